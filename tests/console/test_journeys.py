"""The three teams' jobs, from the first key to the last: the mouse is never touched."""

import re
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Page, expect

from tests.console.desks import at, desk_in, press_on, tab_to
from tests.console.platform import AMBER
from tests.console.test_find import rows
from tests.support.service import Service, wait_until


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from desk_in(tmp_path_factory.mktemp("desk"))


def test_operations_from_a_nickname_to_a_workbook(page: Page, desk: Service) -> None:
    at(page, desk)
    page.locator("body").press("/")
    page.keyboard.type("night kitchen")
    found = page.get_by_role("listbox", name="Streamers found")
    expect(found.get_by_role("option").first).to_contain_text("Night Kitchen")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".chip", has_text="kitchen-")).to_be_visible()
    expect(rows(page)).to_have_count(50)
    tab_to(page, page.get_by_label("How many"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(rows(page)).to_have_count(200)
    tab_to(page, page.get_by_label("one of each group of copies"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_label("Most of one category"))
    page.keyboard.press("End")
    expect(page.locator(".results td.wide", has_text="music")).to_have_count(50)
    expect(rows(page)).to_have_count(200)
    assert page.locator(".results .id", has_text="kitchen-").count() <= 1
    with page.expect_download() as downloading:
        press_on(page, page.get_by_role("button", name="XLSX"))
    with ZipFile(downloading.value.path()) as book:
        assert book.read("xl/worksheets/sheet1.xml").count(b"<row ") == 201
    press_on(page, page.get_by_role("button", name="Save as a list"), "Shift+Tab")
    page.keyboard.type("spring")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="spring")).to_be_visible()
    page.keyboard.press("r")
    expect(rows(page)).to_have_count(200)
    press_on(page, page.get_by_role("button", name="Record outreach"))
    page.keyboard.type("first mail")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Recorded: 200 were written to")).to_be_visible()
    expect(page.get_by_role("button", name="Record outreach")).to_be_focused()


def test_anti_fraud_from_a_seed_to_an_alert(page: Page, desk: Service) -> None:
    at(page, desk)
    press_on(page, page.get_by_role("link", name="Cases"))
    expect(page.get_by_role("heading", name="New case")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("amber-0")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("amber ring")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No members yet")).to_be_visible()
    press_on(page, page.get_by_role("button", name="Expand"))
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(5)
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(members.first.locator(".name")).to_be_focused()
    page.keyboard.press("m")
    page.keyboard.type("same shop")
    page.keyboard.press("Enter")
    expect(members.first.locator(".name")).to_be_focused()
    for row in range(4):
        page.keyboard.press("y")
        expect(members.nth(row)).to_contain_text("Confirmed")
    expect(members.first).to_contain_text("same shop")
    page.keyboard.press("z")
    expect(members.nth(3)).not_to_contain_text("Confirmed")
    page.keyboard.press("y")
    expect(page.locator(".members tbody tr", has_text="Confirmed")).to_have_count(4)
    press_on(page, page.get_by_role("link", name="Watch for more"))
    expect(page.get_by_text("Like the confirmed members of")).to_be_visible()
    tab_to(page, page.get_by_label("Mode"))
    page.keyboard.press("ArrowDown")
    press_on(page, page.get_by_role("button", name="Watch", exact=True))
    expect(page.get_by_role("navigation", name="Watchlists")).to_contain_text("amber ring")
    desk.api.put_streamer("amber-9", **AMBER, name="Amber again")

    def both_alerts() -> bool:
        """Of the newcomer, and of the one member that was left unconfirmed, by the sweep."""
        found = desk.api.get("/v1/alerts", params={"state": "open"}).json()["alerts"]
        return len(found) == 2 and "amber-9" in {one["streamer_id"] for one in found}

    wait_until(both_alerts, "the watchlist matches the newcomer and the member that is left")
    page.keyboard.press("r")
    expect(page.locator(".alert", has_text="Amber again")).to_be_visible()
    expect(page.locator(".alert")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = page.locator(".alert").first.locator("a").first
    expect(first).to_be_focused()
    page.keyboard.press("y")
    expect(page.locator(".alert")).to_have_count(1)
    press_on(page, page.get_by_role("link", name="Confirmed", exact=True))
    expect(page.locator(".alert")).to_have_count(1)


def test_a_recommender_from_a_newcomer_to_a_roll_back(page: Page, desk: Service) -> None:
    at(page, desk)
    press_on(page, page.get_by_role("link", name="Cold start"))
    expect(page.get_by_text("Who is new?")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("cooking-050")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="Established neighbours")).to_be_visible()
    expect(page.locator("section[aria-labelledby=audience] .chip").first).to_be_visible()
    press_on(page, page.get_by_role("link", name="Spaces"))
    space = page.get_by_role("region", name="nightly")
    expect(space).to_contain_text("This replica serves monday")
    dialog = page.get_by_role("dialog")
    press_on(page, space.get_by_role("button", name="Promote"))
    press_on(page, dialog.get_by_role("button", name="Promote"))
    expect(space).to_contain_text("This replica serves tuesday")
    press_on(page, space.get_by_role("button", name="Roll back to monday"))
    press_on(page, dialog.get_by_role("button", name="Roll back to monday"))
    expect(space).to_contain_text("This replica serves monday")


def test_an_operator_from_a_key_to_its_end(page: Page, desk: Service, tmp_path: Path) -> None:
    about = {"streamer_id": "amber-0"}
    desk.api.get("/v1/streamers/amber-0/similar").raise_for_status()
    wait_until(
        lambda: bool(desk.api.get("/v1/audit", params=about).json()["entries"]),
        "the question is in the audit log",
    )
    at(page, desk)
    press_on(page, page.get_by_role("link", name="Running it"))
    press_on(page, page.get_by_role("link", name="API keys"))
    tab_to(page, page.get_by_label("Name"))
    page.keyboard.type("desk 9")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This is shown once")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("Name")).to_be_focused()
    row = page.locator("tbody tr", has_text="desk 9")
    press_on(page, row.get_by_role("button", name="Rotate"))
    expect(dialog).to_contain_text("one more day")
    page.keyboard.press("Escape")
    expect(row.get_by_role("button", name="Rotate")).to_be_focused()
    press_on(page, row.get_by_role("button", name="Revoke"))
    expect(dialog).to_contain_text("Whoever uses it is refused at once")
    press_on(page, dialog.get_by_role("button", name="Revoke"))
    expect(row).to_have_count(0)
    press_on(page, page.get_by_role("link", name="Audit log"))
    tab_to(page, page.get_by_label("Streamer (id)"))
    page.keyboard.type("amber-0")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("of=amber-0"))
    with page.expect_download() as downloading:
        press_on(page, page.get_by_role("button", name="Download NDJSON"))
    file = tmp_path / "audit.ndjson"
    downloading.value.save_as(file)
    lines = file.read_text("utf-8").splitlines()
    assert lines
    assert all("amber-0" in line for line in lines)
