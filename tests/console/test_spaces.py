"""Spaces: a generation of a real hand-over is promoted, and rolled back, from the page."""

from typing import cast

from fastapi.testclient import TestClient
from playwright.sync_api import Page, Route, expect

from tests.support.bundles import TOPICS
from tests.console.conftest import lose_the_answer, open_at
from tests.console.test_looks import violations
from tests.service.features.spaces.hand_overs import NPZ, hand_over_of
from tests.support.service import Service, wait_until

IDS = [f"{topic}-{i:02}" for topic in TOPICS for i in range(15)]


def test_a_generation_is_promoted_and_rolled_back(signed_in: Page, service: Service) -> None:
    page = signed_in
    made = hand_over_of(cast(TestClient, service.client), IDS)
    for name, handed in (("monday", made), ("tuesday", made.turned(3)), ("bad", made.shuffled())):
        path = f"/v1/spaces/nightly/generations/{name}"
        query = {"promote": name == "monday"}
        headers = {"Content-Type": NPZ}
        answer = service.client.put(path, params=query, headers=headers, content=handed.npz())
        assert answer.is_success, answer.text
    open_at(page, service, "#/newcomer?tab=spaces")
    space = page.get_by_role("region", name="nightly")
    expect(space).to_contain_text("This replica serves monday")
    tuesday = space.locator("tbody tr", has_text="tuesday")
    bad = space.locator("tbody tr", has=page.get_by_role("rowheader", name="bad"))
    expect(bad).to_contain_text("refused")
    expect(bad).to_contain_text("failed")
    expect(bad.get_by_role("button")).to_have_count(0)
    assert violations(page) == []
    dialog = page.get_by_role("dialog")
    tuesday.get_by_role("button", name="Promote").click()
    expect(dialog).to_contain_text("nightly goes from monday to tuesday")
    assert violations(page) == []
    waiting: list[Route] = []
    page.route("**/tuesday:promote", lambda route: waiting.append(route), times=1)
    dialog.get_by_role("button", name="Promote").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(tuesday.get_by_role("button", name="Promote")).to_be_disabled()
    wait_until(lambda: bool(page.evaluate("true") and waiting), "it is asked for")
    page.provoked.append("504")  # pyright: ignore[reportAttributeAccessIssue]
    waiting[0].fulfill(status=504)
    expect(page.get_by_role("alert")).to_be_visible()
    tuesday.get_by_role("button", name="Promote").click()
    dialog.get_by_role("button", name="Promote").click()
    expect(space).to_contain_text("This replica serves tuesday")
    assert service.client.get("/v1/spaces/nightly").json()["serving"] == "tuesday"
    lose_the_answer(page, "**/v1/spaces/nightly:rollback")
    space.get_by_role("button", name="Roll back to monday").click()
    dialog.get_by_role("button", name="Roll back to monday").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_role("button", name="Roll back to monday").click()
    expect(dialog).to_have_count(0)
    expect(space).to_contain_text("This replica serves monday")
    expect(tuesday.get_by_role("button", name="Promote")).to_be_visible()
    assert service.client.get("/v1/spaces/nightly").json()["serving"] == "monday"
    path = "/v1/spaces/nightly/generations/tuesday:promote"
    service.client.post(path).raise_for_status()
    open_at(page, service, "#/newcomer?tab=spaces")
    space.get_by_role("button", name="Roll back to monday").click()
    service.client.post("/v1/spaces/nightly:rollback").raise_for_status()  # somebody else
    page.provoked.append("409")  # pyright: ignore[reportAttributeAccessIssue]
    dialog.get_by_role("button", name="Roll back to monday").click()
    expect(dialog).to_contain_text("monday is served by now")
    assert service.client.get("/v1/spaces/nightly").json()["active"]["generation"] == "monday"
