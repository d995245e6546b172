"""The graph of a case: names, and branches that are folded and unfolded by a key."""

from collections.abc import Iterator
from typing import cast

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from tests.bundles import write_bundle_with_evidence
from tests.console.conftest import KEY, open_at
from tests.console.test_cases import case_of
from tests.console.test_looks import violations
from tests.service.features.cases.test_cases import chain
from tests.service.process import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Has accounts that lead from one to the next: Ana, Bo, Cyd and Dee."""
    folder = tmp_path_factory.mktemp("graph")
    write_bundle_with_evidence(folder / "bundle")
    with Service(folder / "bundle", folder / "data", STREAMER_API_KEY=KEY) as running:
        running.wait_until_ready()
        running.client.headers["Authorization"] = f"Bearer {KEY}"
        chain(cast(TestClient, running.client))
        yield running


def test_a_branch_is_folded_and_unfolded_by_a_key(signed_in: Page, service: Service) -> None:
    page = signed_in
    case_id = case_of(service, "a chain", "ana")
    open_at(page, service, f"#/cases?case={case_id}")
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(4)
    nodes, names = page.locator(".graph .node"), page.locator(".graph text:not(.folded)")
    expect(nodes).to_have_count(4)
    expect(names.filter(has_text="Dee")).to_have_count(1)
    fold = page.get_by_role("button", name="reached through")
    expect(fold).to_have_text("Fold the 3 reached through ana c")
    page.keyboard.press("j")
    expect(fold).to_have_text("Fold the 2 reached through bo c")
    page.keyboard.press("c")
    expect(nodes).to_have_count(2)
    expect(page.locator(".graph .folded")).to_have_text("+2")
    expect(names.filter(has_text="Dee")).to_have_count(0)
    expect(fold).to_have_attribute("aria-pressed", "true")
    expect(members).to_have_count(4)  # the table still has everyone
    assert violations(page) == []
    page.keyboard.press("c")
    expect(nodes).to_have_count(4)
    for _ in range(2):
        page.keyboard.press("j")
    expect(fold).to_have_text("Fold the 0 reached through dee c")
    expect(fold).to_be_disabled()
    page.keyboard.press("c")
    expect(nodes).to_have_count(4)
