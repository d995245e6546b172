"""A service as a process, with its page in Debian's Chromium; every page ends without an error."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from tests.console.profiles import STREAMERS
from tests.support.bundles import write_bundle
from tests.support.service import Service, wait_until

KEY = "the-key-of-the-tests"
STORED = "similar-streamer.key"
READ_BACK = "GPU stall due to ReadPixels"
"""What the browser says of the map where no GPU composes the page."""
NO_KEY = "the server responded with a status of 401"
WAIT_MS = 60_000
"""For what the page shows, on a machine that does much else."""
NOWHERE = "http://127.0.0.1:9/"
NO_CHROMIUM = "no chromium is found: run `make browser`, or leave these out with -m 'not browser'"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def wait_until_seen(service: Service, sequence: int) -> None:
    """Wait until a write is in the index and in groups: an expansion waits for them 2 s at most."""

    def is_known() -> bool:
        groups = service.api.get("/v1/duplicates?limit=1").json()
        index = service.api.get("/readyz").json()["index_sequence"]
        return min(groups["evaluated_sequence"] or 0, index) >= sequence

    wait_until(is_known, "the write is in the index and in groups")


def serving(folder: Path) -> Iterator[Service]:
    """Knows `STREAMERS`, and answers to `KEY`."""
    write_bundle(folder / "bundle")
    with Service(folder / "bundle", folder / "data", STREAMER_API_KEY=KEY) as running:
        running.wait_until_ready()
        lines = running.api.bulk(STREAMERS)
        assert {line["outcome"] for line in lines} == {"created"}
        wait_until_seen(running, max(line["sequence"] for line in lines))
        yield running


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from serving(tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    assert executable is not None, NO_CHROMIUM
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        # As root, as in containers, Chromium has no sandbox of its own. The map is drawn by the
        # processor, where there is no other one; all else costs a quarter less without that detour.
        options = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        options += ["--disable-gpu-compositing"]
        opened = playwright.chromium.launch(executable_path=executable, args=options)
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    opened.set_default_timeout(WAIT_MS)
    opened.grant_permissions(["clipboard-read", "clipboard-write"])
    # While a context has no route, its browser asks for none of its requests; after a first one
    # is added, a page may send some before it is told to ask. So there is always one.
    opened.route(NOWHERE, lambda route: route.abort())
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page; the test fails if its script fails or its console has an error that is not named.

    The browser itself notes answers that are refusals: a test that provokes some names them in
    `page.provoked`.
    """
    opened = context.new_page()
    errors: list[str] = []
    provoked: list[str] = []
    opened.provoked = provoked  # pyright: ignore[reportAttributeAccessIssue]

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and READ_BACK not in message.text:
            errors.append(f"{message.text} ({message.location['url']})")

    opened.on("console", note)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    unforeseen = [e for e in errors if not any(known in e for known in provoked)]
    assert not unforeseen


def open_at(page: Page, service: Service, place: str = "") -> None:
    """Open a place of the console, from wherever the page is."""
    page.goto("about:blank")
    page.goto(f"{service.url}/console/{place}")


def lose_the_answer(page: Page, url: str) -> None:
    """The service does what is asked for once, and the page is told that no answer came."""
    page.provoked.append("504")  # pyright: ignore[reportAttributeAccessIssue]

    def lose(route: Route) -> None:
        route.fetch()
        route.fulfill(status=504)

    page.route(url, lose, times=1)


def sign_in(page: Page, service: Service, place: str = "#/find", key: str = KEY) -> None:
    """Open a place of the console, with the key that the form takes."""
    page.goto(f"{service.url}/console/{place}")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("API key")).to_have_count(0)


@pytest.fixture
def signed_in(page: Page) -> Page:
    """A page that opens any place of the console without its form for the key."""
    page.add_init_script(f"origin === 'null' || sessionStorage.setItem('{STORED}', '{KEY}')")
    return page
