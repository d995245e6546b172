"""The inbox: a watchlist is made, a write raises an alert, and keys decide on it."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.console.conftest import lose_the_answer, open_at
from tests.console.test_looks import PHONE, violations
from tests.support.service import Service, wait_until

RING: dict[str, Any] = {
    "bio": "Amber pendants carved at the harbour, write for the price list of the week",
    "tags": ["amber", "pendants", "carving"],
    "videos": [{"video_id": f"v{i}", "title": f"Amber pendant no {i} 琥珀吊坠"} for i in range(4)],
}


@pytest.fixture
def ring(service: Service) -> Iterator[None]:
    """Whom a list watches, and nobody of it and no open alert when the test ends."""
    service.api.put("/v1/streamers/amber-0", json=RING).raise_for_status()
    yield
    for alert in service.api.get("/v1/alerts", params={"state": "open"}).json()["alerts"]:
        path = f"/v1/alerts/{alert['alert_id']}"
        service.api.put(path, json={"state": "dismissed"}).raise_for_status()
    for name in ("amber-0", "amber-1", "amber-2"):
        service.api.delete(f"/v1/streamers/{name}")


def alerts(service: Service, state: str, mode: str = "on") -> list[str]:
    query = {"state": state, "mode": mode}
    found: list[dict[str, Any]] = service.api.get("/v1/alerts", params=query).json()["alerts"]
    return sorted(alert["streamer_id"] for alert in found)


@pytest.mark.usefixtures("ring")
def test_an_alert_appears_and_is_decided(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/alerts?watch=amber-0")
    page.get_by_label("Name").fill("<u>amber</u>")
    page.get_by_label("Mode").select_option("shadow")
    watch, seeds = page.get_by_role("button", name="Watch", exact=True), page.locator("textarea")
    enabled = watch.evaluate("(one) => getComputedStyle(one).backgroundColor")
    seeds.fill("")
    expect(watch).to_be_disabled()
    expect(watch).not_to_have_css("background-color", enabled)
    seeds.fill("amber-0")
    lose_the_answer(page, "**/v1/watchlists")
    watch.click()
    expect(page.get_by_role("alert")).to_be_visible()
    watch.click()
    lists = page.get_by_role("navigation", name="Watchlists")
    expect(lists.get_by_role("link", name="<u>amber</u>")).to_have_count(1)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert len(service.api.get("/v1/watchlists").json()["watchlists"]) == 1
    for name in ("amber-1", "amber-2"):
        profile = {**RING, "name": "<img src=x onerror=window.harmed=1>"}
        service.api.put(f"/v1/streamers/{name}", json=profile).raise_for_status()
    two = ["amber-1", "amber-2"]
    wait_until(lambda: alerts(service, "open", "shadow") == two, "the shadow list matches them")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("No alerts here")).to_be_visible()
    page.get_by_role("link", name="Shadow", exact=True).click()
    expect(page.locator(".alert")).to_have_count(2)
    page.get_by_role("button", name="Turn on").click()
    wait_until(lambda: alerts(service, "open") == two, "the list delivers them")
    page.get_by_role("link", name="Shadow", exact=True).click()
    page.get_by_role("button", name="Look again").click()
    expect(page.locator(".alert")).to_have_count(2)
    assert violations(page) == []
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("y")
    expect(page.locator(".alert")).to_have_count(1)
    expect(page.locator(".alert [data-alert]")).to_be_focused()
    page.keyboard.press("n")
    expect(page.get_by_text("No alerts here")).to_be_visible()
    expect(page.get_by_role("button", name="Look again")).to_be_focused()
    assert len(alerts(service, "confirmed")) == len(alerts(service, "dismissed")) == 1
    page.get_by_role("link", name="Dismissed").click()
    page.get_by_role("button", name="Open again").click()
    expect(page.get_by_text("No alerts here")).to_be_visible()
    assert len(alerts(service, "open")) == 1
    page.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    page.get_by_role("link", name="Confirmed").click()
    expect(page.get_by_role("link", name="Evidence")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate("window.harmed") is None
    for one in service.api.get("/v1/watchlists").json()["watchlists"]:
        tag = {"If-Match": f'"{one["revision"]}"'}
        path = f"/v1/watchlists/{one['watchlist_id']}"
        service.api.delete(path, headers=tag).raise_for_status()


def opened(page: Page, service: Service, name: str, *seeds: str) -> tuple[str, dict[str, Any]]:
    """Make a watchlist and open its editor; its path, and what it was made of."""
    body = {
        "name": name,
        "positive": [{"streamer_id": seed} for seed in seeds],
        "min_probability": 0.95,
        "mode": "shadow",
    }
    made = service.api.post("/v1/watchlists", json=body).json()
    open_at(page, service, f"#/alerts?list={made['watchlist_id']}")
    page.locator(".watchlist summary").click()
    return f"/v1/watchlists/{made['watchlist_id']}", body


def test_a_watchlist_is_changed_and_deleted(signed_in: Page, service: Service) -> None:
    page = signed_in
    path, body = opened(page, service, "<i>old</i>", "hostile-1", "arabic-1")
    chips = page.get_by_role("group", name="Like one of these").locator(".chip")
    expect(chips).to_have_count(2)
    chips.first.get_by_role("button").click()
    page.get_by_label("Add: Like one of these").fill("marks-1, flags-1")
    page.keyboard.press("Enter")
    page.get_by_label("Add: Unless as near").fill("music-01")
    page.get_by_role("button", name="Add", exact=True).last.click()
    expect(chips).to_have_count(3)
    editor = page.locator(".watchlist")
    editor.get_by_label("Name").fill("new name")
    editor.get_by_label("Least probability").fill("0.97")
    assert violations(page) == []
    page.provoked.append("ERR_")  # pyright: ignore[reportAttributeAccessIssue]
    alert = page.get_by_role("alert")
    page.route(f"**{path}", lambda route: route.abort())
    page.get_by_role("button", name="Look again").click()
    expect(alert).to_contain_text("The service does not answer")
    page.unroute(f"**{path}")
    alert.get_by_role("button", name="Try again").click()
    expect(alert).to_have_count(0)
    page.get_by_role("button", name="Turn on").click()
    expect(editor.get_by_label("Mode")).to_have_value("on")
    expect(editor.get_by_label("Name")).to_have_value("new name")
    expect(chips).to_have_count(3)
    expect(alert).to_have_count(0)
    page.get_by_role("button", name="Save and match again").click()
    expect(page.get_by_text("Saved: new name")).to_be_visible()
    found = service.api.get(path).json()
    assert (found["name"], found["min_probability"]) == ("new name", 0.97)
    assert found["mode"] == "on"
    assert [one["streamer_id"] for one in found["positive"]] == ["arabic-1", "marks-1", "flags-1"]
    assert [one["streamer_id"] for one in found["negative"]] == ["music-01"]
    page.provoked.append("412")  # pyright: ignore[reportAttributeAccessIssue]
    editor.get_by_label("Name").fill("typed")
    anyhow = {"If-Match": "*"}
    service.api.put(path, json=body, headers=anyhow).raise_for_status()  # somebody else
    page.get_by_role("button", name="Look again").click()
    expect(alert).to_contain_text("changed elsewhere meanwhile")
    expect(editor.get_by_label("Least probability")).to_have_value("0.95")
    expect(editor.get_by_label("Name")).to_have_value("typed")
    service.api.put(path, json=body, headers=anyhow).raise_for_status()
    page.get_by_role("button", name="Save and match again").click()
    expect(alert).to_contain_text("Somebody changed it meanwhile")
    waiting: list[Route] = []
    page.route(f"**{path}", lambda route: waiting.append(route), times=1)
    alert.get_by_role("button", name="Show what is saved now").click()
    wait_until(lambda: bool(page.evaluate("true") and waiting), "it is asked for")
    expect(alert).to_have_count(0)
    drop = editor.get_by_role("button", name="Delete")
    expect(drop).to_be_disabled()  # until it is known what would be deleted
    waiting[0].continue_()
    expect(editor.get_by_label("Name")).to_have_value("<i>old</i>")
    service.api.put(path, json=body, headers=anyhow).raise_for_status()
    drop.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("Somebody changed it meanwhile")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".watchlist")).to_have_count(0)
    assert service.api.get(path).status_code == 404
