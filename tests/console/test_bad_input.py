"""What is gone, what means harm, two tabs on one case, and a service that restarts meanwhile."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.bundles import write_bundle
from tests.console.conftest import KEY, STORED, open_at, wait_until_seen
from tests.console.desks import at
from tests.console.profiles import HARM, STREAMERS
from tests.console.test_cases import case_of
from tests.console.test_looks import PHONE
from tests.support.machine import free_port
from tests.support.service import Service

ODD = ("hostile-1", "marks-1", "arabic-1", "flags-1")
TALLEST = 250
GONE = {
    "cases?case=case-0000000000000000": "That is not there any more",
    "lists?list=nothing": "That is not there any more",
    "alerts?list=wl-000000000000000000000000": "That is not there any more",
    "duplicates?group=dup-000000000000000000000000": "That is not there any more",
    "running?tab=webhooks&hook=wh-0000000000000000": "That is not there any more",
    "newcomer?id=nobody": "That is not there any more",
    "compare?a=nobody&b=nobody-2": "That is not there any more",
    "find?like=cooking-01&open=nobody": "That is not there any more",
    "cases?case=%3Cscript%3E": "",
    "lists?list=../../v1/keys": "",
    "running?tab=nothing": "Ready",
    "alerts?cursor=nonsense": "",
}


@pytest.mark.parametrize("place", GONE)
def test_a_link_to_what_is_gone(signed_in: Page, service: Service, place: str) -> None:
    page = signed_in
    page.provoked += ["404", "400", "422"]  # pyright: ignore[reportAttributeAccessIssue]
    open_at(page, service, f"#/{place}")
    if not (told := GONE[place]):
        expect(page.get_by_role("alert").first).to_be_visible()
    elif told == "Ready":
        expect(page.get_by_text(told, exact=True)).to_be_visible()
    else:
        expect(
            page.get_by_text(told).or_(page.get_by_text("Deleted, or never")).first
        ).to_be_visible()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


def test_harm_in_every_field_of_the_newer_pages(signed_in: Page, service: Service) -> None:
    page = signed_in
    client = service.client
    title = HARM.format(field="case")
    case_id = case_of(service, title, *ODD)
    case = client.get(f"/v1/cases/{case_id}").json()
    tag = {"If-Match": f'"{case["revision"]}"'}
    verdict = {"verdict": "unsure", "note": HARM.format(field="note")}
    path = f"/v1/cases/{case_id}"
    client.put(f"{path}/members/hostile-1", json=verdict, headers=tag).raise_for_status()
    list_body: dict[str, Any] = {
        "title": HARM.format(field="list"),
        "question": {"positive": [{"streamer_id": name} for name in ODD], "k": 20},
    }
    client.put("/v1/lists/harm", json=list_body).raise_for_status()
    watched = client.post(
        "/v1/watchlists",
        json={
            "name": HARM.format(field="watchlist"),
            "positive": [
                *({"streamer_id": name} for name in ODD),
                {"profile": {"bio": HARM.format(field="profile")}},
            ],
            "min_probability": 0.99,
        },
    ).json()
    places = {
        f"cases?case={case_id}": HARM.format(field="note"),
        "lists?list=harm": HARM.format(field="list"),
        f"alerts?list={watched['watchlist_id']}": HARM.format(field="watchlist"),
        "newcomer?id=hostile-1": "The model knows",
        "running?tab=audit&of=hostile-1": "hostile-1",
        "running?tab=model": "Calibration",
        "running?tab=events": "",
    }
    for size in (None, PHONE):
        if size:
            page.set_viewport_size(size)  # pyright: ignore[reportArgumentType]
        for place, text in places.items():
            open_at(page, service, f"#/{place}")
            if text:
                expect(page.get_by_text(text).first).to_be_visible()
            if place.startswith("lists"):
                expect(page.get_by_role("button", name="Run r")).to_be_visible()
                page.keyboard.press("r")
                expect(page.locator(".results tbody tr").first).to_be_visible()
            page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
            expect(page.locator(".loading")).to_have_count(0)
            tall = page.evaluate(
                "Math.max(0, ...[...document.querySelectorAll('tr, .chip')]"
                ".map((one) => one.offsetHeight))"
            )
            assert tall < TALLEST or size, place  # marks that pile up stay in their box
            assert page.evaluate("window.harmed") is None
            width = page.evaluate("document.documentElement.scrollWidth")
            assert not size or width <= size["width"], place
    revision = client.get(path).json()["revision"]
    client.delete(path, headers={"If-Match": f'"{revision}"'}).raise_for_status()
    client.delete("/v1/lists/harm").raise_for_status()
    tag = {"If-Match": f'"{watched["revision"]}"'}
    client.delete(f"/v1/watchlists/{watched['watchlist_id']}", headers=tag).raise_for_status()


def test_two_tabs_on_one_case(context: BrowserContext, service: Service) -> None:
    case_id = case_of(service, "two tabs", "copy-0")
    tabs = [context.new_page(), context.new_page()]
    for tab in tabs:
        tab.add_init_script(f"origin === 'null' || sessionStorage.setItem('{STORED}', '{KEY}')")
        tab.goto(f"{service.url}/console/#/cases?case={case_id}")
        expect(tab.locator(".members tbody tr")).to_have_count(3)
    first, second = tabs
    first.keyboard.press("y")
    expect(first.locator(".members tbody tr").first).to_contain_text("Confirmed")
    second.keyboard.press("n")
    expect(second.get_by_role("alert")).to_be_visible()  # and what the other tab did is shown:
    expect(second.locator(".members tbody tr").first).to_contain_text("Confirmed")
    second.keyboard.press("n")
    expect(second.locator(".members tbody tr").first).to_contain_text("Cleared")
    found = service.client.get(f"/v1/cases/{case_id}/verdicts").json()["verdicts"]
    assert [one["verdict"] for one in found] == ["cleared"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    return tmp_path


def started(folder: Path, port: int) -> Service:
    return Service(folder / "bundle", folder / "data", port=port, STREAMER_API_KEY=KEY)


def test_the_service_restarts_while_a_page_is_open(page: Page, folder: Path) -> None:
    page.provoked += ["ERR_", "503"]  # pyright: ignore[reportAttributeAccessIssue]
    port = free_port()
    with started(folder, port) as service:
        service.wait_until_ready()
        service.client.headers["Authorization"] = f"Bearer {KEY}"
        wait_until_seen(service, max(line["sequence"] for line in service.bulk(STREAMERS)))
        at(page, service, "#/cases")
        page.get_by_label("What it is about").fill("kept over a restart")
        page.get_by_label("Seeds").fill("copy-0")
        page.get_by_role("button", name="Begin").click()
        page.get_by_role("button", name="Expand").click()
        members = page.locator(".members tbody tr")
        expect(members).to_have_count(3)
        page.get_by_label("Note").fill("typed before")
    page.get_by_role("button", name="Confirmed").click()
    expect(page.get_by_role("alert").first).to_contain_text("The service does not answer")
    with started(folder, port) as service:
        service.wait_until_ready()
        page.get_by_role("button", name="Try again").first.click()
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(members).to_have_count(3)
        page.keyboard.press("y")
        expect(members.first).to_contain_text("Confirmed")
