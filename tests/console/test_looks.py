"""Every page: axe finds nothing, in light and dark; what others wrote does no harm."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.console.conftest import open_at
from tests.console.profiles import FLAGS, HARM
from tests.console.test_duplicates import group_of_copies
from tests.support.service import Service

WEB = Path(__file__).parents[2] / "service" / "console" / "web"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
PLACES = {
    "#/find": "Whom should they be like?",
    "#/find?like=cooking-01&k=30&open=cooking-02": "What each part adds",
    "#/compare?a=copy-0&b=copy-1": "Together",
    "#/duplicates?of=copy-0": "Together",
    "#/newcomer?id=cooking-01": "The model knows",
    "#/newcomer?tab=spaces": "",
    "#/lists": "Choose a list",
    "#/map": "",
    "#/cases": "New case",
    "#/alerts?watch=cooking-01": "Least probability",
    "#/running": "Ready",
    "#/running?tab=model": "Calibration",
    "#/running?tab=models": "active",
    "#/running?tab=jobs": "",
    "#/running?tab=keys": "New key",
    "#/running?tab=webhooks": "New webhook",
    "#/running?tab=audit": "Download NDJSON",
    "#/running?tab=events": "",
    "#/nothing": "This page does not exist",
}
NARROW = """[...document.querySelectorAll('.profile dd')]
  .filter((one) => one.offsetWidth < 100).map((one) => one.textContent)"""
PHONE = {"width": 390, "height": 844}
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules of axe whose answer depends on the scheme."""


ENDED = """() => Promise.all(document.getAnimations()
  .filter((one) => one.playState === 'running')
  .filter((one) => one.effect.getComputedTiming().endTime !== Infinity)
  .map((one) => one.finished.catch(() => {})))"""


def violations(page: Page, *rules: str) -> list[str]:
    """What axe finds by these rules, or by WCAG 2.2 A and AA and its best practices.

    It looks once nothing fades in any more, which has little contrast until then.
    """
    page.evaluate(ENDED)
    if page.evaluate("window.axe === undefined"):
        page.evaluate(AXE.read_text("utf-8"))
    options = {"runOnly": list(rules)} if rules else {}
    found: dict[str, Any] = page.evaluate("(options) => axe.run(options)", options)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def test_axe_finds_nothing(signed_in: Page, service: Service) -> None:
    page = signed_in
    group_of_copies(service)
    found: dict[str, list[str]] = {}

    def look(place: str) -> None:
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        found[f"{place}, dark"] = violations(page, *OF_COLOURS)
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        found[place] = violations(page)

    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    for place, text in PLACES.items():
        open_at(page, service, place)
        if text:
            expect(page.get_by_text(text).first).to_be_visible()
        expect(page.locator("main h1").first).to_be_attached()  # of the page, once it is loaded
        expect(page.locator(".loading")).to_have_count(0)
        look(place)
    page.keyboard.press("?")
    look("help")
    assert not {place: some for place, some in found.items() if some}


def test_nothing_is_wider_than_a_phone(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    wide: dict[str, int] = {}
    for place, text in PLACES.items():
        open_at(page, service, place)
        if text:
            expect(page.get_by_text(text).first).to_be_visible()
        expect(page.locator("main h1").first).to_be_attached()  # of the page, once it is loaded
        expect(page.locator(".loading")).to_have_count(0)
        wide[place] = page.evaluate("document.documentElement.scrollWidth")
        # What names a thing, beside it, leaves it room for words.
        assert page.evaluate(NARROW) == [], place
    assert {place: width for place, width in wide.items() if width > PHONE["width"]} == {}


def test_chinese_is_chosen_and_kept(browser: Browser, signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service)
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_text("想找像谁的主播？")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.reload()
    expect(page.get_by_role("link", name="重复审核")).to_be_visible()
    page.get_by_label("配色").select_option("深色")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_what_others_wrote_does_no_harm(signed_in: Page, service: Service) -> None:
    page = signed_in
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    # Everyone odd, and beside each other.
    odd = "hostile-1,marks-1,arabic-1,flags-1"
    open_at(page, service, f"#/find?like={odd}&open=hostile-1")
    panel = page.get_by_role("complementary")
    expect(panel.get_by_text(HARM.format(field="bio"))).to_be_visible()
    expect(panel.get_by_text(HARM.format(field="title")).first).to_be_visible()
    expect(panel.locator("img")).to_have_count(2)  # the covers that came with it
    open_at(page, service, "#/find?like=hostile-1&open=flags-1")
    expect(page.get_by_role("complementary").get_by_text(FLAGS.strip()).first).to_be_visible()
    expect(page.locator(".results .id", has_text="marks-1")).to_have_count(1)
    tall = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.results tr')].map((r) => r.offsetHeight))"
    )
    assert tall < 250  # marks that pile up stay in their box
    open_at(page, service, "#/compare?a=hostile-1&b=arabic-1")
    expect(page.get_by_role("article")).to_have_count(2)
    assert page.evaluate("window.harmed") is None
    assert {url.split("/")[2] for url in asked if not url.startswith("data:")} == {
        service.url.split("/")[2]
    }
