"""Cases of thousands of members, and expansions that take long, in a browser."""

import asyncio
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from service.engine.expansion.walk import MOST_MEMBERS
from service.features.cases import running
from service.features.cases.records import Actor, Query
from tests.support.bundles import write_bundle
from tests.console.conftest import KEY, wait_until_seen
from tests.console.desks import at
from tests.console.test_looks import violations
from tests.service.features.cases.large import large_cases
from tests.support.service import ROOT, UNGROUPED, Service

LONGEST_MS = 10_000
"""Only for hangs: it takes 80 ms on two busy cores, and a second on slow ones."""
ELEMENTS = "document.querySelectorAll('*').length"
MOST_ELEMENTS = 3_000
"""Of a page of a hundred members, on any machine: it has 1,900, and all of them 100,000."""
ON_A_PAGE = 100
GATE = "GATE_OF_THE_TESTS"
HELD = f"""
import asyncio, os
from service.features.cases.running import Runs

_of_job = Runs.of_job

async def held(*arguments):
    while not os.path.exists(os.environ["{GATE}"]):
        await asyncio.sleep(0.05)
    return await _of_job(*arguments)

Runs.of_job = held
"""
"""Python runs it when it starts: jobs of cases wait for a file, and then do what they do."""
GRAPH = "document.querySelector('.graph')?._cyreg?.cy"
ALONE = f"""{GRAPH}.nodes('.member').filter(
  (one) => !one.hasClass('elsewhere') && one.degree() === 0).map((one) => one.id())"""
NOTE_LONG_TASKS = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
}).observe({ type: 'longtask', buffered: true });
"""
PLAN = {
    "bio": "Amber lamps from the harbour, ask t.me/amber_lamps_harbour for what is left",
    "videos": [{"video_id": f"v{i}", "title": f"Amber lamp no {i} 琥珀灯"} for i in range(4)],
}


async def recorded(folder: Path, model: str) -> tuple[str, int]:
    """Leave a case of ten thousand in the store of a data folder; its id, and its members."""
    async with large_cases(folder, MOST_MEMBERS + 200, model) as large:
        who = Actor("k", "desk")
        kept = await large.cases.create("a farm", [large.names[0]], [], who)
        query = Query(hops=5, min_probability=0.1, budget=20_000, fan_out=64)
        ran = await large.cases.expand(kept.case.case_id, query, [kept.revision], who)
        assert isinstance(ran, running.Ran)
        assert ran.kept.case.run is not None
        return kept.case.case_id, ran.kept.case.run.members


@pytest.mark.slow
def test_a_case_of_ten_thousand_members(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.features.cases.running.AT_ONCE_S", 600)
    write_bundle(tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    made = recorded(tmp_path / "data", manifest["model_version"])
    with ThreadPoolExecutor(1) as aside:  # Playwright has an event loop in this thread
        case_id, count = aside.submit(lambda: asyncio.run(made)).result()
    settings: Any = {"STREAMER_API_KEY": KEY, **UNGROUPED}
    with Service(tmp_path / "bundle", tmp_path / "data", **settings) as service:
        service.client.headers["Authorization"] = f"Bearer {KEY}"
        service.wait_until_ready()
        page.add_init_script(NOTE_LONG_TASKS)
        at(page, service, f"#/cases?case={case_id}")
        members = page.locator(".members tbody tr")
        expect(members).to_have_count(ON_A_PAGE)
        expect(page.get_by_text(f"100 of {count:,} members")).to_be_visible()
        expect(page.get_by_text(f"members of this page, of {count:,}")).to_be_visible()
        # Branches are folded at first; whoever wants to see all of the page does.
        graph = page.get_by_role("img", name="Graph of")
        expect(graph).to_be_visible()
        expect(page.get_by_role("img", name=f"Graph of {ON_A_PAGE} members")).to_have_count(0)
        page.get_by_role("button", name="Unfold all").click()
        expect(page.get_by_role("img", name=f"Graph of {ON_A_PAGE} members")).to_be_visible()
        assert page.evaluate("longest") < LONGEST_MS
        assert page.evaluate(ELEMENTS) < MOST_ELEMENTS
        assert violations(page) == []
        page.evaluate("longest = 0")  # what looks for violations takes longer than the page

        page.mouse.move(400, 500)
        page.mouse.wheel(0, 3000)
        page.wait_for_function("() => scrollY > 1000")
        for key in ("j", "k") * 10:
            page.keyboard.press(key)
        expect(page.locator(".members .name").first).to_be_focused()

        seen: set[str] = set()
        for _ in range(3):
            ids = page.locator(".members .id").all_inner_texts()
            assert len(ids) == ON_A_PAGE
            assert not seen & set(ids)
            seen |= set(ids)
            page.get_by_role("link", name="Next").last.click()
            expect(page.locator(".members .id", has_text=ids[0])).to_have_count(0)
            # Whoever leads to them is of another page, and drawn all the same.
            page.wait_for_function(f"() => {GRAPH}?.nodes('.elsewhere').length > 0")
            assert page.evaluate(ALONE) == []
        page.reload()
        expect(members).to_have_count(ON_A_PAGE)
        assert not seen & set(page.locator(".members .id").all_inner_texts())
        assert page.evaluate("longest") < LONGEST_MS
        assert page.evaluate(ELEMENTS) < MOST_ELEMENTS
        expect(page.get_by_role("alert")).to_have_count(0)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Service]:
    """Its jobs of cases wait until there is a file `go` beside its data."""
    (tmp_path / "patched").mkdir()
    (tmp_path / "patched" / "sitecustomize.py").write_text(HELD)
    write_bundle(tmp_path / "bundle")
    path = os.pathsep.join([str(tmp_path / "patched"), str(ROOT)])
    patched: Any = {"PYTHONPATH": path, GATE: str(tmp_path / "go")}
    bundle, data = tmp_path / "bundle", tmp_path / "data"
    with Service(bundle, data, STREAMER_API_KEY=KEY, **patched) as service:
        service.client.headers["Authorization"] = f"Bearer {KEY}"
        service.wait_until_ready()
        for i in range(3):
            wait_until_seen(service, service.put(f"shop-{i}", **PLAN))
        yield service


def test_an_expansion_that_began_elsewhere_is_followed(
    page: Page, held: Service, tmp_path: Path
) -> None:
    client = held.client
    made = client.post("/v1/cases", json={"title": "long", "seeds": ["shop-0"]}).json()
    path = f"/v1/cases/{made['case_id']}"
    headers = {"If-Match": f'"{made["revision"]}"', "Prefer": "respond-async"}
    job = client.post(f"{path}:expand", headers=headers).raise_for_status().json()
    assert client.get(path).json()["job_id"] == job["job_id"]
    at(page, held, f"#/cases?case={made['case_id']}")
    told = page.get_by_role("status").filter(has_text="goes on as a job")
    expect(told).to_be_visible()
    expect(page.get_by_role("button", name="Expand")).to_be_disabled()
    assert violations(page) == []
    page.keyboard.press("y")  # its button is off
    page.reload()
    expect(told).to_be_visible()
    (tmp_path / "go").touch()
    expect(page.locator(".members tbody tr")).to_have_count(3)
    expect(told).to_have_count(0)
    expect(page.get_by_role("button", name="Expand")).to_be_enabled()
    assert client.get(path).json()["job_id"] is None
    assert client.get(f"{path}/verdicts").json()["verdicts"] == []
