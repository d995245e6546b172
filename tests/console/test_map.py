"""Map: made by a button, coloured, looked at closely, chosen from by a line, and as a list."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.console.conftest import open_at
from tests.console.test_looks import violations
from tests.support.service import Service, wait_until

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
    return service.api.get("/v1/layouts").json()["placed"]


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

    served: str = service.api.get("/v1/layouts").json()["served"]
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
