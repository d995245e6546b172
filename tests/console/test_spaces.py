"""Spaces: a generation of a hand-over is promoted, and rolled back, from the page."""

from playwright.sync_api import Page, expect

from tests.console.conftest import open_at
from tests.console.test_looks import violations
from tests.support.bundles import TOPICS
from tests.support.hand_overs import hand_over_of, handed_over
from tests.support.service import Service

IDS = [f"{topic}-{i:02}" for topic in TOPICS for i in range(15)]


def test_a_generation_is_promoted_and_rolled_back(signed_in: Page, service: Service) -> None:
    page = signed_in
    made = hand_over_of(service.api, IDS)
    handed_over(service.api, "nightly", "monday", made.npz(), promote=True)
    handed_over(service.api, "nightly", "tuesday", made.turned(3).npz())
    handed_over(service.api, "nightly", "bad", made.shuffled().npz())
    open_at(page, service, "#/newcomer?tab=spaces")
    space = page.get_by_role("region", name="nightly")
    expect(space).to_contain_text("This replica serves monday")
    tuesday = space.locator("tbody tr", has_text="tuesday")
    bad = space.locator("tbody tr", has=page.get_by_role("rowheader", name="bad"))
    expect(bad).to_contain_text("refused")
    expect(bad.get_by_role("button")).to_have_count(0)
    assert violations(page) == []
    dialog = page.get_by_role("dialog")
    tuesday.get_by_role("button", name="Promote").click()
    expect(dialog).to_contain_text("nightly goes from monday to tuesday")
    assert violations(page) == []
    dialog.get_by_role("button", name="Promote").click()
    expect(space).to_contain_text("This replica serves tuesday")
    assert service.api.ok("GET", "/v1/spaces/nightly")["serving"] == "tuesday"
    space.get_by_role("button", name="Roll back to monday").click()
    dialog.get_by_role("button", name="Roll back to monday").click()
    expect(space).to_contain_text("This replica serves monday")
    assert service.api.ok("GET", "/v1/spaces/nightly")["serving"] == "monday"
