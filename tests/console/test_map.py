"""Map: made by a button, coloured, looked at closely, chosen from by a line, and as a list."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.console.conftest import open_at
from tests.console.test_looks import violations
from tests.support.service import Service, wait_until

pytestmark = pytest.mark.slow
PICTURES = os.environ.get("CONSOLE_PICTURES")
FIT_MS = 600_000
_FLAT = """
  const canvas = document.querySelector(".map-box canvas");
  const flat = document.createElement("canvas");
  [flat.width, flat.height] = [canvas.width, canvas.height];
  const context = flat.getContext("2d");
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, flat.width, flat.height);
"""
"""`data`: the pixels of the canvas, four bytes each."""


@pytest.fixture
def map_page(signed_in: Page, service: Service) -> Page:
    page = signed_in
    open_at(page, service, "#/map")
    expect(page.get_by_role("heading", name="Map of all streamers")).to_be_attached()
    expect(page.locator(".loading")).to_have_count(0)
    if page.get_by_text("There is no map yet").count():
        page.get_by_role("button", name="Make the map").click()
    expect(page.locator(".map-box")).to_be_visible(timeout=FIT_MS)
    complete(page)
    return page


def placed(service: Service) -> int:
    """How many are on the map; other tests may have written some."""
    return service.client.get("/v1/layouts").json()["placed"]


def complete(page: Page) -> None:
    """Wait until all points are drawn."""
    marks = "performance.getEntriesByName('map.complete').length"
    # Not by `wait_for_function`, which evaluates a text in the page: its policy forbids that.
    wait_until(lambda: page.evaluate(marks) > 0, "all points are drawn")
    page.evaluate("new Promise(requestAnimationFrame)")


def drawn(page: Page) -> int:
    """How many pixels of the canvas are no ground."""
    return page.evaluate(
        f"() => {{ {_FLAT}"
        """
          let found = 0;
          for (let i = 3; i < data.length; i += 4) found += data[i] > 0;
          return found;
        }"""
    )


def extent(page: Page) -> list[float]:
    """The first and the last column of the canvas with a point, as shares of its width."""
    return page.evaluate(
        f"() => {{ {_FLAT}"
        """
          let [least, most] = [flat.width, 0];
          for (let i = 3; i < data.length; i += 4) {
            if (!data[i]) continue;
            const column = ((i - 3) / 4) % flat.width;
            [least, most] = [Math.min(least, column), Math.max(most, column)];
          }
          return [least / flat.width, most / flat.width];
        }"""
    )


def test_a_map_is_made_coloured_and_has_nothing_that_axe_finds(
    map_page: Page, service: Service
) -> None:
    page = map_page
    assert drawn(page) > placed(service)
    page.get_by_role("combobox", name="Colour by").select_option("category")
    legend = page.get_by_role("region", name="Colour by")
    expect(legend.get_by_role("button", name="music")).to_be_visible()
    legend.get_by_role("button", name="music").click()
    expect(legend.get_by_role("button", name="music")).to_have_attribute("aria-pressed", "true")
    assert "colour=category" in page.url
    found: dict[str, list[str]] = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # pyright: ignore[reportArgumentType]
        found[scheme] = violations(page)
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"map-{scheme}.png")
    assert not {scheme: some for scheme, some in found.items() if some}


def test_without_another_model_the_page_says_what_its_changes_need(map_page: Page) -> None:
    page = map_page
    page.provoked.append("422")  # pyright: ignore[reportAttributeAccessIssue]
    colours = page.get_by_role("combobox", name="Colour by")
    colours.select_option("change from the other model")
    expect(page.get_by_role("alert")).to_contain_text("needs another model in this replica")
    expect(page.get_by_text("1: nothing of that is left")).to_be_visible()
    assert violations(page) == []
    colours.select_option("language")
    expect(page.get_by_role("alert")).to_have_count(0)
    legend = page.get_by_role("region", name="Colour by")
    expect(legend.get_by_role("button", name="zh")).to_be_visible()


def test_a_fit_that_fails_says_why_and_may_be_tried_again(map_page: Page, service: Service) -> None:
    page = map_page
    folder = service.data_dir / "layouts"
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_bytes(b"")  # in the way of its files
    again = page.get_by_role("button", name="Make it anew")
    again.click()
    expect(page.get_by_role("alert")).to_contain_text("Make room", timeout=FIT_MS)
    expect(again).to_be_enabled()
    folder.unlink()
    before = service.client.get("/v1/layouts").json()["served"]
    again.click()
    wait_until(
        lambda: service.client.get("/v1/layouts").json()["served"] != before,
        "the new map is served",
        FIT_MS / 1000,
    )
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(again).to_be_enabled()


def test_a_line_around_streamers_chooses_them(map_page: Page, service: Service) -> None:
    page, count = map_page, placed(service)
    page.get_by_role("button", name="Draw a line around").click()
    box = page.locator(".map-box").bounding_box()
    assert box is not None
    x, y, width, height = box["x"] + 2, box["y"] + 2, box["width"] - 4, box["height"] - 4
    page.mouse.move(x, y)
    page.mouse.down()
    for right, down in ((1, 0), (1, 1), (0, 1)):
        page.mouse.move(x + right * width, y + down * height, steps=5)
    page.mouse.up()
    chosen = page.get_by_role("region", name="Chosen")
    expect(chosen.get_by_text(f"{count} streamers")).to_be_visible()
    expect(chosen.get_by_role("listitem")).to_have_count(min(100, count))
    with page.expect_download() as download:
        chosen.get_by_role("button", name="Download CSV").click()
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    assert text.count("\r\n") == 1 + count
    chosen.get_by_role("button", name="Start a case").click()
    expect(page.get_by_role("dialog")).to_contain_text("A case of")
    page.keyboard.press("Escape")
    expect(chosen.get_by_role("link", name="Watch for more")).to_be_visible()
    chosen.get_by_role("link", name="Find similar ones").click()
    expect(page.get_by_role("heading", name="Nobody matches")).to_be_visible()  # all are seeds


def test_a_line_is_not_asked_of_another_map(map_page: Page, service: Service) -> None:
    page, count = map_page, placed(service)
    page.provoked.append("404")  # pyright: ignore[reportAttributeAccessIssue]
    before = service.client.get("/v1/layouts").json()["served"]
    service.client.post("/v1/layouts:fit").raise_for_status()
    wait_until(
        lambda: service.client.get("/v1/layouts").json()["served"] != before,
        "the new map is served",
        FIT_MS / 1000,
    )
    page.keyboard.press("l")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("made anew meanwhile")
    page.evaluate("performance.clearMarks()")
    alert.get_by_role("button", name="Show the new map").click()
    complete(page)
    expect(alert).to_have_count(0)
    page.keyboard.press("l")
    chosen = page.get_by_role("region", name="Chosen")
    expect(chosen.get_by_text(f"{count} streamers")).to_be_visible()


def test_points_stay_where_they_are_on_another_screen(map_page: Page) -> None:
    page, before = map_page, extent(map_page)
    size = {"width": 1280, "height": 900, "deviceScaleFactor": 2, "mobile": False}
    page.context.new_cdp_session(page).send("Emulation.setDeviceMetricsOverride", size)
    page.keyboard.press("+")
    wait_until(lambda: extent(page) != before, "it is drawn closer")
    page.keyboard.press("0")
    wait_until(lambda: extent(page) == pytest.approx(before, abs=0.01), "it is drawn as before")


def test_a_list_is_saved_of_those_like_the_chosen_ones(map_page: Page, service: Service) -> None:
    page = map_page
    open_at(page, service, "#/map?at=cooking-01")
    around = page.get_by_role("region", name="Around cooking-01")
    expect(around.get_by_text("cooking-01", exact=True)).to_be_visible()
    asked = {"streamer_id": "cooking-01", "radius": 800, "limit": 100}
    found = service.client.post("/v1/layouts/current:select", json=asked).json()["streamers"]
    around.get_by_role("button", name="Save a list of similar ones").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"like the {len(found)} nearest to the middle")
    dialog.get_by_label("Name of the list").fill("from-the-map")
    dialog.get_by_label("Title, for people").fill("Kitchens")
    dialog.get_by_label("How many, up to 10,000").fill("5")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("navigation", name="Saved lists")).to_contain_text("Kitchens")
    assert "list=from-the-map" in page.url
    kept = service.client.get("/v1/lists/from-the-map").raise_for_status().json()
    seeds = {one["streamer_id"] for one in kept["question"]["positive"]}
    assert seeds == {one["streamer_id"] for one in found}
    assert kept["question"]["k"] == 5
    rows = service.client.post("/v1/lists/from-the-map:run").raise_for_status().json()["rows"]
    assert rows
    assert not seeds & {row["streamer_id"] for row in rows}


def test_the_list_and_the_keys_do_without_a_mouse(map_page: Page, service: Service) -> None:
    page, count = map_page, placed(service)
    page.keyboard.press("l")
    chosen = page.get_by_role("region", name="Chosen")
    expect(chosen.get_by_text(f"{count} streamers")).to_be_visible()
    for key in ("+", "+", "+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("l")
    expect(chosen.get_by_text(f"{count} streamers")).to_have_count(0)
    page.keyboard.press("0")
    page.keyboard.press("l")
    expect(chosen.get_by_text(f"{count} streamers")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("cooking-01")
    held, select = list[Route](), "**/v1/layouts/current:select"
    page.route(select, lambda route: held.append(route))
    with page.expect_request(select):
        page.keyboard.press("Enter")
    around = page.get_by_role("region", name="Around cooking-01")
    expect(around).to_have_attribute("aria-busy", "true")
    told = around.get_by_role("status")
    expect(told).to_have_text("Loading …")
    expect(around.get_by_role("listitem")).to_have_count(0)  # others were listed before
    expect(around.get_by_role("link")).to_have_count(0)
    held.pop().continue_()
    page.unroute(select)
    expect(around.get_by_text("cooking-01", exact=True)).to_be_visible()
    expect(told).to_contain_text("streamer")
    expect(around).to_have_attribute("aria-busy", "false")
    assert "at=cooking-01" in page.url

    served: str = service.client.get("/v1/layouts").json()["served"]
    other = served[::-1]

    def rename(route: Route) -> None:
        body = route.fetch().body().replace(served.encode(), other.encode())
        route.fulfill(body=body, content_type="application/json")

    page.route(select, rename)
    colours = page.get_by_role("combobox", name="Colour by")
    points = "**/v1/layouts/current/points*"
    page.route(points, rename)  # another layout comes with the colours
    with page.expect_request(select):
        colours.select_option("category")
    expect(around.get_by_text("cooking-01", exact=True)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.provoked.append("403")  # pyright: ignore[reportAttributeAccessIssue]
    page.unroute(points)
    page.route(points, lambda route: route.fulfill(status=403))
    colours.select_option("language")
    expect(page.get_by_role("alert")).to_contain_text("This key may not do that")
    expect(page.get_by_role("toolbar")).not_to_contain_text("streamers")


def test_a_name_is_shown_where_the_mouse_rests(map_page: Page, service: Service) -> None:
    page = map_page
    open_at(page, service, "#/map?at=cooking-01")
    expect(page.get_by_role("region", name="Around cooking-01")).to_be_visible()
    mark = page.locator(".map-marks circle").first
    expect(mark).to_be_attached()
    complete(page)
    box = mark.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".map-tip")).to_contain_text("Cooking 1")
