"""Duplicates: a group is reviewed by keys, each judgement is stored, and can be taken back."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.console.conftest import open_at
from tests.support.service import Service, wait_until


def judgements(service: Service) -> dict[tuple[str, str], str]:
    found: list[dict[str, Any]] = service.api.get("/v1/judgements").json()["judgements"]
    return {(one["a"], one["b"]): one["verdict"] for one in found if one["a"].startswith("copy-")}


def group_of_copies(service: Service) -> str:
    """The group of the copies, when it is complete."""
    found: dict[str, Any] = {}

    def is_complete() -> bool:
        found.update(service.api.get("/v1/streamers/copy-0/duplicates").json())
        return (found["group"] or {}).get("size", 0) >= 3

    wait_until(is_complete, "the copies are one group")
    return found["group"]["group_id"]


def test_a_group_is_reviewed_by_keys(signed_in: Page, service: Service) -> None:
    page, group = signed_in, group_of_copies(service)
    open_at(page, service, "#/duplicates?of=copy-0")
    expect(page.get_by_role("article")).to_have_count(2)
    assert f"group={group}" in page.url
    expect(page.get_by_text("Pair 1 of")).to_be_visible()
    expect(page.locator("mark").first).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text("Text")
    page.keyboard.press("x")
    expect(page.get_by_role("status").filter(has_text=": Same")).to_be_visible()
    assert list(judgements(service).values()) == ["same"]
    page.keyboard.press("u")
    expect(page.get_by_role("status").filter(has_text=": Unsure")).to_be_visible()
    assert sorted(judgements(service).values()) == ["same", "unsure"]
    page.keyboard.press("z")
    expect(page.get_by_text("Taken back")).to_be_visible()
    assert list(judgements(service).values()) == ["same"]
    page.keyboard.press("z")
    expect(page.get_by_role("button", name="Take back")).to_be_disabled()
    wait_until(lambda: judgements(service) == {}, "it is taken back")


def test_a_comparison_shows_its_evidence(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/compare")
    expect(page.get_by_text("Which two?")).to_be_visible()
    page.get_by_label("First").fill("copy-0")
    page.get_by_label("Second").fill("copy-1")
    page.keyboard.press("Enter")
    answer = service.api.post(
        "/v1/compare", json={"a": {"streamer_id": "copy-0"}, "b": {"streamer_id": "copy-1"}}
    ).json()
    table = page.get_by_role("table")
    expect(table.locator("tbody tr")).to_have_count(len(answer["channels"]))
    expect(table.locator("tfoot")).to_contain_text(f"{answer['weight']:.1f}")
    expect(page.locator(".verdict")).to_contain_text("The same")
    expect(page.locator("mark").first).to_be_visible()
