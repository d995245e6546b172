"""A case of 10,000 members: real ones, a page at a time, from the expansion to the last page."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.bundles import write_bundle
from tests.console.conftest import KEY
from tests.console.desks import at
from tests.console.test_cases import wait_until_seen
from tests.service.process import Service, wait_until

pytestmark = pytest.mark.slow
RINGS, EACH = 100, 100
"""Each ring has a contact of its own, and fewer accounts than what is shown by everybody."""
CHUNK = 2000
WIDE: dict[str, Any] = {"hops": 1, "fan_out": 256, "budget": 20_000}


def _account(ring: int, i: int) -> dict[str, Any]:
    return {
        "streamer_id": f"ring-{ring:03}-{i:03}",
        "name": f"Shop {ring} {i}",
        "bio": f"orders by t.me/harbour_shop_{ring:03}",
        "tags": ["music"],
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("large")
    write_bundle(folder / "bundle")
    with Service(folder / "bundle", folder / "data", STREAMER_API_KEY=KEY) as running:
        running.wait_until_ready()
        running.client.headers["Authorization"] = f"Bearer {KEY}"
        accounts = [_account(ring, i) for ring in range(RINGS) for i in range(EACH)]
        for begin in range(0, len(accounts), CHUNK):
            lines = running.bulk(accounts[begin : begin + CHUNK])
            wait_until_seen(running, max(line["sequence"] for line in lines))
        yield running


def test_a_case_of_ten_thousand_members(page: Page, service: Service) -> None:
    client = service.client
    seeds = [f"ring-{ring:03}-000" for ring in range(RINGS)]
    case = client.post("/v1/cases", json={"title": "harbour shops", "seeds": seeds}).json()
    path = f"/v1/cases/{case['case_id']}"
    at(page, service, f"#/cases?case={case['case_id']}")
    expect(page.get_by_text("No members yet")).to_be_visible()
    tag = {"If-Match": f'"{case["revision"]}"'}
    begun = client.post(f"{path}:expand", json=WIDE, headers=tag)
    begun.raise_for_status()

    def is_expanded() -> bool:
        return client.get(path, params={"limit": 1}).json()["run"] is not None

    wait_until(is_expanded, "the case is expanded", 300)
    page.reload()
    expect(page.get_by_text("100 of 10,000 members")).to_be_visible()
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(100)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(members.nth(2).locator(".name")).to_be_focused()
    page.keyboard.press("y")
    expect(members.nth(2)).to_contain_text("Confirmed")
    first = members.first.locator(".id").inner_text()
    page.get_by_role("link", name="Next page").last.click()
    expect(members.first.locator(".id")).not_to_have_text(first)
    expect(members).to_have_count(100)
    with page.expect_download() as downloading:
        page.get_by_role("button", name="CSV").click()
    lines = downloading.value.path().read_text("utf-8-sig").splitlines()
    assert len(lines) > RINGS * EACH
