"""Cases: from a seed in Find to the ring, decided by keys, with evidence and a file to check."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import lose_the_answer, open_at, wait_until_seen
from tests.console.profiles import HARM
from tests.console.test_looks import PHONE, violations
from tests.support.service import Service, run, wait_until

NOTE = HARM.format(field="note")


def test_from_a_seed_to_the_ring(signed_in: Page, service: Service, tmp_path: Path) -> None:
    page = signed_in
    open_at(page, service, "#/find?like=copy-1&k=10")
    page.get_by_role("checkbox", name="Select copy-0").check()
    page.get_by_role("button", name="Start a case").click()
    page.get_by_label("What it is about").fill("<i>noodles</i>")
    lose_the_answer(page, "**/v1/cases")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_text("No members yet")).to_be_visible()
    page.get_by_role("button", name="Expand").click()
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(3)
    expect(page.get_by_role("img", name="Graph of 3 members")).to_be_visible()
    case_id = page.url.partition("case=")[2]
    titles = [one["title"] for one in service.api.get("/v1/cases").json()["cases"]]
    assert titles.count("<i>noodles</i>") == 1
    first = members.first.locator(".name")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(first).to_be_focused()
    page.keyboard.press("j")
    decided = members.nth(1).locator(".id").inner_text()
    page.keyboard.press("y")
    expect(members.nth(1)).to_contain_text("Confirmed")
    found = service.api.get(f"/v1/cases/{case_id}/verdicts").json()["verdicts"]
    assert [(one["streamer_id"], one["verdict"]) for one in found] == [(decided, "confirmed")]
    page.locator("summary", has_text="Edges").click()
    page.locator(".edges button").first.click()
    evidence = page.locator(".evidence")
    expect(evidence.locator(".quotes").first).to_be_visible()
    expect(evidence.locator("tfoot")).to_contain_text("Together")
    assert violations(page) == []
    page.keyboard.press("z")
    expect(members.nth(1)).not_to_contain_text("Confirmed")
    page.locator("summary", has_text="What happened").click()
    expect(page.locator(".events li")).to_have_count(4)
    with page.expect_download() as downloading:
        page.get_by_role("button", name="ZIP").click()
    archive = tmp_path / "case.zip"
    downloading.value.save_as(archive)
    assert run("verify-case", archive).returncode == 0
    page.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def case_of(service: Service, title: str, *seeds: str) -> str:
    """A case that was expanded; its id."""
    made = service.api.post("/v1/cases", json={"title": title, "seeds": seeds}).json()
    path = f"/v1/cases/{made['case_id']}"
    tag = {"If-Match": f'"{made["revision"]}"'}
    service.api.post(f"{path}:expand", headers=tag).raise_for_status()
    wait_until(lambda: service.api.get(path).json()["run"] is not None, "the case is expanded")
    return made["case_id"]


SHOP: dict[str, Any] = {
    "bio": "Coral rings from the lagoon, ask t.me/coral_rings_lagoon for what is left",
    "tags": ["coral", "rings", "lagoon"],
    "videos": [{"video_id": f"v{i}", "title": f"Coral ring no {i} 珊瑚戒指"} for i in range(4)],
}


@pytest.fixture
def shops(service: Service) -> Iterator[None]:
    """Three accounts of one shop, and nobody of it when the test ends."""
    for i in range(3):
        wait_until_seen(service, service.api.put_streamer(f"shop-{i}", **SHOP))
    yield
    for i in range(4):
        service.api.delete(f"/v1/streamers/shop-{i}")


@pytest.mark.usefixtures("shops")
def test_a_case_is_run_again_noted_watched_and_deleted(signed_in: Page, service: Service) -> None:
    page = signed_in
    case_id = case_of(service, "again", "shop-0")
    open_at(page, service, f"#/cases?case={case_id}")
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(3)
    page.get_by_role("button", name="Run again").click()
    changed = page.get_by_role("region", name="What this run changed")
    expect(changed).to_contain_text("Nothing changed")
    wait_until_seen(service, service.api.put_streamer("shop-3", **SHOP))
    page.get_by_role("button", name="Run again").click()
    expect(changed).to_contain_text("1 joined")
    expect(changed).to_contain_text("A streamer is new")
    expect(changed.get_by_role("link", name="shop-3")).to_be_visible()
    expect(members).to_have_count(4)
    row = page.locator(".members tr", has_text="shop-3")
    row.locator(".name").click()
    page.keyboard.press("m")
    page.keyboard.type(NOTE)
    page.keyboard.press("Enter")
    page.keyboard.press("n")
    expect(row).to_contain_text("Cleared")
    expect(row).to_contain_text(NOTE)
    expect(page.get_by_label("Note")).to_have_value("")
    assert violations(page) == []
    page.get_by_role("button", name="Run again").click()
    expect(changed).to_contain_text("1 left")
    expect(changed).to_contain_text("Somebody decided")
    found = service.api.get(f"/v1/cases/{case_id}/verdicts").json()["verdicts"]
    assert [(one["streamer_id"], one["note"]) for one in found] == [("shop-3", NOTE)]
    page.provoked += ["404", "422"]  # pyright: ignore[reportAttributeAccessIssue]
    page.get_by_role("link", name="Watch for more").click()
    page.get_by_role("button", name="Watch", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("confirmed")  # nobody is, up to now
    page.go_back()
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete the case again?")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="New case")).to_be_visible()
    assert service.api.get(f"/v1/cases/{case_id}").status_code == 404
    assert page.evaluate("window.harmed") is None
