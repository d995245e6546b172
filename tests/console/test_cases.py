"""Cases: from a seed in Find to the ring, decided by keys, with evidence and a file to check."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from service.features.cases.exports.archive import verify
from tests.console.conftest import open_at
from tests.console.test_looks import PHONE, violations
from tests.service.process import Service


def test_from_a_seed_to_the_ring(signed_in: Page, service: Service, tmp_path: Path) -> None:
    page = signed_in
    open_at(page, service, "#/find?like=copy-1&k=10")
    page.get_by_role("checkbox", name="Select copy-0").check()
    page.get_by_role("button", name="Start a case").click()
    page.get_by_label("What it is about").fill("<i>noodles</i>")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No members yet")).to_be_visible()
    page.get_by_role("button", name="Expand").click()
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(3)
    expect(page.get_by_role("img", name="Graph of 3 members")).to_be_visible()
    expect(page.locator(".graph circle")).to_have_count(3)
    case_id = page.url.partition("case=")[2]
    first = members.first.locator(".name")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(first).to_be_focused()
    page.keyboard.press("j")
    decided = members.nth(1).locator(".id").inner_text()
    page.keyboard.press("y")
    expect(members.nth(1)).to_contain_text("Confirmed")
    found = service.client.get(f"/v1/cases/{case_id}/verdicts").json()["verdicts"]
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
    assert verify(archive)
    page.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_two_who_decide_at_once(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.provoked.append("412")  # pyright: ignore[reportAttributeAccessIssue]
    made = service.client.post("/v1/cases", json={"title": "two tabs", "seeds": ["copy-0"]}).json()
    path = f"/v1/cases/{made['case_id']}"
    tag = {"If-Match": f'"{made["revision"]}"'}
    ran = service.client.post(f"{path}:expand", headers=tag).json()
    open_at(page, service, f"#/cases?case={made['case_id']}")
    expect(page.locator(".members tbody tr")).to_have_count(3)
    tag = {"If-Match": f'"{ran["revision"]}"'}
    body = {"verdict": "cleared"}
    service.client.put(f"{path}/members/copy-2", json=body, headers=tag).raise_for_status()
    page.keyboard.press("y")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".members tr", has_text="copy-2")).to_contain_text("Cleared")
    page.keyboard.press("y")
    expect(page.locator(".members tr", has_text=re.compile("Confirmed"))).to_have_count(1)


def test_a_case_that_is_gone(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.provoked.append("404")  # pyright: ignore[reportAttributeAccessIssue]
    open_at(page, service, "#/cases?case=case-0000000000000000")
    expect(page.get_by_role("alert").first).to_contain_text("That is not there any more")
