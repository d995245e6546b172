"""A service with a small platform, for the jobs of the teams from their beginning to their end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from tests.console.conftest import KEY, STORED
from tests.console.platform import PLATFORM
from tests.support.bundles import TOPICS, write_bundle
from tests.support.hand_overs import hand_over_of, handed_over
from tests.support.service import Service, wait_until

_FOCUSED = """(target) => {
  if (target !== document.activeElement) return null;
  const rings = [target, target.closest('.seed-box')].filter(Boolean);
  return rings.some((one) => getComputedStyle(one).outlineStyle !== 'none');
}"""


def desk_in(folder: Path) -> Iterator[Service]:
    """Knows the platform, its groups of duplicates, and two generations of a space."""
    write_bundle(folder / "bundle")
    with Service(folder / "bundle", folder / "data", STREAMER_API_KEY=KEY) as running:
        running.wait_until_ready()
        client = running.api
        client.write(PLATFORM)

        def is_grouped() -> bool:
            found: dict[str, Any] = client.get("/v1/streamers/kitchen-0/duplicates").json()
            return (found["group"] or {}).get("size", 0) >= 3

        wait_until(is_grouped, "the copies are one group")
        ids = [f"{topic}-{i:03}" for topic in TOPICS for i in range(20)]
        made = hand_over_of(client, ids)
        handed_over(client, "nightly", "monday", made.npz(), promote=True)
        handed_over(client, "nightly", "tuesday", made.turned(3).npz())
        yield running


def at(page: Page, service: Service, place: str = "") -> Page:
    """A place of the console, signed in."""
    page.add_init_script(f"origin === 'null' || sessionStorage.setItem('{STORED}', '{KEY}')")
    page.goto(f"{service.url}/console/{place}")
    return page


def tab_to(page: Page, target: Locator, key: str = "Tab", most: int = 150) -> None:
    """Press Tab, or another key, until something has the focus, which has to be seen."""
    target.wait_for()
    for _ in range(most):
        page.keyboard.press(key)
        is_seen = target.evaluate(_FOCUSED)
        if is_seen is not None:
            assert is_seen, f"nobody sees that {target} has the focus"
            return
    raise AssertionError(f"{most} times {key} do not reach {target}")


def press_on(page: Page, target: Locator, key: str = "Tab") -> None:
    """Go to a button or a link, and press Enter."""
    tab_to(page, target, key)
    page.keyboard.press("Enter")
