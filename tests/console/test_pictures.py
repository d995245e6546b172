"""Pictures of the console for the documentation: `make pictures` writes them to docs/pictures.

Each is taken anyway, of a page in the colours, the language and the size that it is shown in.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.console.conftest import KEY, STORED, WAIT_MS
from tests.console.desks import desk_in
from tests.console.platform import AMBER
from tests.console.test_cases import case_of
from tests.console.test_looks import OF_COLOURS, PHONE, violations
from tests.support.service import ROOT, Service, wait_until

DESK = {"width": 1280, "height": 800}
TALL = {"width": 1280, "height": 1000}
MOST_BYTES = 100_000
DOCS = ROOT / "docs"


class Picture(NamedTuple):
    place: str
    shows: str
    scheme: Any = "light"
    language: str = "en"
    size: dict[str, int] = DESK


ASKED = "find?like=kitchen-0&k=50&copies=no&spread=20&open={best}"
PICTURES = {
    "find": Picture(ASKED, "What each part adds"),
    "find-dark": Picture(ASKED, "What each part adds", "dark"),
    "find-zh": Picture(ASKED, "各部分的贡献", language="zh"),
    "find-phone": Picture("find?like=kitchen-0&k=50&copies=no", "Where", size=PHONE),
    "lists": Picture("lists?list=spring-campaign&rating=on", "Spring campaign"),
    "case": Picture("cases?case={case}", "Members, the surest first", size=TALL),
    "case-dark": Picture("cases?case={case}", "Members, the surest first", "dark", size=TALL),
    "alerts": Picture("alerts?list={watchlist}", "Amber again"),
    "duplicates": Picture("duplicates?of=kitchen-0", "Together", size=TALL),
    "newcomer": Picture("newcomer?id=cooking-050", "Neighbours", size=TALL),
    "model": Picture("running?tab=model", "Calibration", size=TALL),
    "model-dark": Picture("running?tab=model", "Calibration", "dark", size=TALL),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from desk_in(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def ids(desk: Service) -> dict[str, str]:
    """What is on the desk: a list that ran twice, a case in progress, a watchlist with an alert."""
    client = desk.api
    question = {
        "positive": [{"streamer_id": "kitchen-0"}],
        "k": 60,
        "without_copies": True,
        "explain": "short",
        "fields": ["name", "category", "language"],
    }
    saved = {"title": "Spring campaign", "question": question}
    client.put("/v1/lists/spring-campaign", json=saved).raise_for_status()
    client.post("/v1/lists/spring-campaign:run").raise_for_status()
    case_id = case_of(desk, "amber pendants", "amber-0")
    for name, verdict in (
        ("amber-1", "confirmed"),
        ("amber-2", "confirmed"),
        ("amber-3", "unsure"),
    ):
        revision = client.get(f"/v1/cases/{case_id}").json()["revision"]
        client.put(
            f"/v1/cases/{case_id}/members/{name}",
            json={"verdict": verdict, "note": "same price list" if name == "amber-1" else ""},
            headers={"If-Match": f'"{revision}"'},
        ).raise_for_status()
    watched = {
        "name": "amber pendants",
        "positive": [{"case_id": case_id}],
        "min_probability": 0.9,
        "mode": "on",
    }
    made = client.post("/v1/watchlists", json=watched).json()
    desk.api.put_streamer("amber-9", **AMBER, name="Amber again")

    def is_raised() -> bool:
        found = client.get("/v1/alerts").json()["alerts"]
        return any(one["streamer_id"] == "amber-9" for one in found)

    wait_until(is_raised, "the newcomer matches the watchlist")
    near = client.get("/v1/streamers/kitchen-0/similar").json()["hits"]
    best = next(hit["streamer_id"] for hit in near if hit["streamer_id"].startswith("cooking-"))
    return {"case": case_id, "watchlist": made["watchlist_id"], "best": best}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_taken(
    browser: Browser, desk: Service, ids: dict[str, str], name: str, tmp_path: Path
) -> None:
    place, shows, scheme, language, size = PICTURES[name]
    context = browser.new_context(
        viewport=size,  # pyright: ignore[reportArgumentType]
        locale="zh-CN" if language == "zh" else "en-GB",
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.add_init_script(f"origin === 'null' || sessionStorage.setItem('{STORED}', '{KEY}')")
    page.goto(f"{desk.url}/console/#/{place.format(**ids)}")
    if name == "find-phone":
        expect(page.locator(".results tbody tr").first).to_be_visible()
    else:
        expect(page.get_by_text(shows).first).to_be_attached()
    if name == "lists":
        expect(page.get_by_role("button", name="Run r")).to_be_visible()
        page.keyboard.press("r")
        expect(page.locator(".results tbody tr").first).to_be_visible()
    expect(page.locator(".loading, [aria-busy=true]")).to_have_count(0)
    page.evaluate("document.activeElement?.blur()")
    # How long it took is of this machine, at this moment.
    page.evaluate(
        "document.querySelectorAll('.list .toolbar .quiet')"
        ".forEach((one) => { one.style.visibility = 'hidden'; })"
    )
    # Each dark picture has a light twin, of which all else is asked.
    found = violations(page, *(OF_COLOURS if scheme == "dark" else ()))
    png = page.screenshot(animations="disabled")
    context.close()
    assert found == []
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.webp"
    Image.open(io.BytesIO(png)).save(file, quality=75, method=6)
    assert file.stat().st_size <= MOST_BYTES
