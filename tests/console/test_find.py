"""Find: from an id to a list with reasons, narrowed, changed, downloaded; by keyboard alone."""

import csv
import io
import re
from pathlib import Path
from zipfile import ZipFile

from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import open_at
from tests.support.service import Service


def rows(page: Page) -> Locator:
    return page.locator(".results tbody tr:not(.end)")


def test_from_an_id_to_reasons_and_back_by_the_url(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service)
    expect(page.get_by_text("Whom should they be like?")).to_be_visible()
    page.get_by_label("Like these", exact=True).fill("cooking-01")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(50)
    assert "like=cooking-01" in page.url
    best = service.api.get("/v1/streamers/cooking-01/similar").json()["hits"][0]
    first = rows(page).first
    expect(first).to_contain_text(best["streamer_id"])
    expect(first).to_contain_text(f"{best['score']:.3f}")
    expect(first).to_contain_text("both tag")
    page.get_by_label("Unlike these").fill("gaming-01, gaming-02")
    page.keyboard.press("Enter")
    expect(page.locator(".chip", has_text="gaming-02")).to_be_visible()
    page.go_back()
    expect(page.locator(".chip", has_text="gaming-02")).to_have_count(0)
    expect(page.locator(".chip", has_text="cooking-01")).to_be_visible()


def test_a_pasted_list_filters_and_a_threshold(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service)
    page.get_by_label("Like these", exact=True).fill("music-01\nmusic-02\tmusic-03")
    page.get_by_role("button", name="Add").first.click()
    expect(page.locator(".chip")).to_have_count(3)
    page.get_by_label("Value").fill("music")
    page.get_by_role("button", name="Add filter").click()
    expect(rows(page)).to_have_count(12)
    page.get_by_label("Field").fill("followers")
    page.get_by_label("Condition").select_option("at least")
    page.get_by_label("Value").fill("many")
    expect(page.get_by_text("needs a number")).to_be_visible()
    page.get_by_label("Value").fill("900")
    page.get_by_role("button", name="Add filter").click()
    expect(rows(page)).to_have_count(6)


def test_by_keyboard_alone(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service)
    page.locator("body").press("/")
    page.keyboard.type("travel-03")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(50)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator(".results .name").nth(1)
    expect(second).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator(".results .name").first).to_be_focused()
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary")
    expect(panel.get_by_text("What the model reads")).to_be_visible()
    excluded = panel.locator(".id").inner_text()
    page.keyboard.press("e")
    expect(page.get_by_text("1 excluded").first).to_be_visible()
    names, ids = page.locator(".results .name"), page.locator(".results .id")
    expect(ids.filter(has_text=re.compile(f"^{excluded}$"))).to_have_count(0)
    expect(names.first).to_be_focused()  # the next one took its place
    page.keyboard.press("z")
    expect(ids.filter(has_text=re.compile(f"^{excluded}$"))).to_have_count(1)
    expect(names.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel.locator(".id")).to_have_text(excluded)
    left, follows = ids.nth(2).inner_text(), ids.nth(3).inner_text()
    names.nth(2).focus()
    page.keyboard.press("e")  # whom the focus is on, not whom the panel shows
    expect(ids.nth(2)).to_have_text(follows)
    expect(names.nth(2)).to_be_focused()
    expect(panel.locator(".id")).to_have_text(excluded)
    assert f"exclude={left}" in page.url
    rows(page).nth(4).get_by_role("checkbox").focus()
    page.keyboard.press("k")
    expect(names.nth(3)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("to the search box")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_nickname_finds_a_seed(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service)
    seeds = page.get_by_label("Like these", exact=True)
    seeds.fill("night kitchen")
    found = page.get_by_role("listbox", name="Streamers found")
    expect(found.get_by_role("option")).to_have_count(3)
    expect(found).to_contain_text("by its name")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    second = found.get_by_role("option").nth(1)
    expect(second).to_have_attribute("aria-selected", "true")
    chosen = second.locator(".id").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator(".chip", has_text=chosen)).to_be_visible()
    expect(found).to_have_count(0)
    expect(rows(page)).to_have_count(50)
    first = service.api.post("/v1/streamers:find", json={"q": "night kitchen"}).json()
    open_at(page, service, "")
    seeds.fill("night kitchen")  # a name, not two ids
    expect(found.get_by_role("option")).to_have_count(3)
    expect(page.get_by_text("3 streamers found")).to_be_attached()
    page.keyboard.press("Escape")
    expect(found).to_have_count(0)
    seeds.focus()
    page.keyboard.press("ArrowDown")
    expect(found.get_by_role("option")).to_have_count(3)
    page.keyboard.press("Tab")
    expect(found).to_have_count(0)
    seeds.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_text([f"{first['streamers'][0]['streamer_id']}×"])
    seeds.fill("cooking-01 cooking-02")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(3)


def test_filters_have_the_counts_of_all(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service)
    counted = service.api.post("/v1/streamers:facets", json={"fields": ["language"]}).json()
    counts = {value["value"]: value["count"] for value in counted["fields"][0]["values"]}
    english = page.locator(".facet").get_by_role("button", name=f"en {counts['en']}")
    english.click()
    expect(page.get_by_text(f"{counts['en']} streamers pass")).to_be_visible()


def test_a_selection_becomes_a_table(signed_in: Page, service: Service, tmp_path: Path) -> None:
    page = signed_in
    open_at(page, service, "#/find?like=cooking-01&k=20")
    expect(rows(page)).to_have_count(20)
    for row in (0, 2):
        rows(page).nth(row).get_by_role("checkbox").check()
    expect(page.get_by_text("2 selected")).to_be_visible()
    names = [page.locator(".results .name").nth(row).inner_text() for row in (0, 2)]
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download CSV").click()
    file = tmp_path / "list.csv"
    downloading.value.save_as(file)
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    table = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert [row["name"] for row in table] == names
    assert all(row["why"] for row in table)
    with page.expect_download() as downloading:
        page.get_by_role("button", name="XLSX").click()
    expect(page.get_by_text("Files ask the question anew")).to_have_count(1)
    assert downloading.value.suggested_filename == "similar-streamers.xlsx"
    with ZipFile(downloading.value.path()) as book:
        texts = book.read("xl/sharedStrings.xml").decode()
    assert all(name in texts for name in names)


def test_a_seed_that_is_gone_can_be_taken_out(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.provoked.append("404")  # pyright: ignore[reportAttributeAccessIssue]
    open_at(page, service, "#/find?like=cooking-01,nobody")
    expect(page.get_by_role("alert")).to_contain_text("nobody")
    page.get_by_role("alert").get_by_role("button", name="Remove nobody").click()
    expect(rows(page)).to_have_count(50)
