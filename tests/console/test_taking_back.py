"""Take back: by a double click one thing is taken back, and not the one before it as well."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import open_at, serving
from tests.console.desks import click_again
from tests.console.test_cases import case_of
from tests.console.test_duplicates import group_of_copies, judgements
from tests.console.test_find import rows
from tests.console.test_once import look_at_jobs, sent
from tests.support.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from serving(tmp_path_factory.mktemp("taking-back"))


def test_one_verdict_is_taken_back_by_a_double_click(signed_in: Page, service: Service) -> None:
    page = signed_in
    case_id = case_of(service, "taken back", "copy-0")
    open_at(page, service, f"#/cases?case={case_id}")
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(3)
    for row in range(2):
        page.keyboard.press("y")
        expect(members.nth(row)).to_contain_text("Confirmed")
        expect(page.get_by_role("button", name="Take back")).to_be_enabled()
    undone = sent(page, f"/v1/cases/{case_id}:undo")
    button = page.get_by_role("button", name="Take back")
    button.click()
    expect(members.nth(1)).not_to_contain_text("Confirmed")
    expect(button).to_be_enabled()
    click_again(page, button)
    look_at_jobs(page, service)
    assert len(undone) == 1
    found = service.client.get(f"/v1/cases/{case_id}/verdicts").json()["verdicts"]
    assert len(found) == 1


def test_one_judgement_is_taken_back_by_a_double_click(signed_in: Page, service: Service) -> None:
    page = signed_in
    group = group_of_copies(service)
    open_at(page, service, f"#/duplicates?group={group}")
    expect(page.get_by_text("Pair 1 of")).to_be_visible()
    said = page.get_by_role("status")
    for key, told in (("x", ": Same"), ("u", ": Unsure")):
        page.keyboard.press(key)
        expect(said.filter(has_text=told)).to_be_visible()
    button = page.get_by_role("button", name="Take back")
    expect(button).to_be_enabled()
    button.click()
    expect(said.filter(has_text="Taken back")).to_be_visible()
    expect(button).to_be_enabled()
    click_again(page, button)
    look_at_jobs(page, service)
    assert list(judgements(service).values()) == ["same"]


def test_what_another_person_judged_is_not_taken_back(signed_in: Page, service: Service) -> None:
    page = signed_in
    for (a, b), _ in judgements(service).items():
        service.client.delete("/v1/judgements", params={"a": a, "b": b})
    group = group_of_copies(service)
    open_at(page, service, f"#/duplicates?group={group}")
    expect(page.get_by_text("Pair 1 of")).to_be_visible()
    for other in ("copy-0 copy-2", "copy-1 copy-2", "copy-0 copy-1"):
        a, b = other.split()
        given = {"a": a, "b": b, "verdict": "different", "note": "two harbours"}
        service.client.put("/v1/judgements", json=given)
    page.keyboard.press("x")
    expect(page.get_by_text("This replaces “Different”")).to_contain_text("two harbours")
    page.keyboard.press("z")
    expect(page.get_by_text("Taken back:")).to_be_visible()
    assert list(judgements(service).values()) == ["different"] * 3
    found = service.client.get("/v1/judgements", params={"streamer_id": "copy-0"}).json()
    assert {one["note"] for one in found["judgements"]} == {"two harbours"}
    page.keyboard.press("u")
    expect(page.get_by_role("status").filter(has_text=": Unsure")).to_be_visible()
    judged = next(pair for pair, verdict in judgements(service).items() if verdict == "unsure")
    given = {"a": judged[0], "b": judged[1], "verdict": "same", "note": "they met"}
    service.client.put("/v1/judgements", json=given)
    page.keyboard.press("z")
    expect(page.get_by_text("Nothing was taken back")).to_contain_text("they met")
    assert judgements(service)[judged] == "same"
    at = int(page.locator(".judging .quiet").inner_text().split()[1])
    page.keyboard.press("x")
    expect(page.get_by_text("This replaces “Same”")).to_be_visible()
    service.client.put("/v1/judgements", json=given | {"verdict": "different"})
    for _ in range(4 - at):  # back to it, from the last one
        page.keyboard.press("k")
    page.keyboard.press("u")
    expect(page.get_by_text("This replaces “Different”")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_text("Taken back:")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_text("Nothing was taken back")).to_be_visible()
    assert judgements(service)[judged] == "different"


def test_one_exclusion_is_taken_back_by_a_double_click(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/find?like=cooking-01&k=10&exclude=music-01,music-02")
    expect(page.get_by_text("2 excluded")).to_be_visible()
    page.get_by_role("button", name="Undo").dblclick()
    expect(page.get_by_text("1 excluded")).to_be_visible()
    expect(rows(page)).to_have_count(10)
    assert "exclude=music-01" in page.url
    assert "music-02" not in page.url
