"""The map of a million streamers in Debian's Chromium, drawn by the processor.

    python -m tests.benchmarks.map --rows 1000000

A process serves the endpoint and the console with a real index, whose streamers are placed by
100,000 anchors; nothing else is left out but the store. Each round opens the page anew and measures
the time from the beginning of the navigation until points are painted, and until all are; then it
drags the map for some seconds and counts frames. Browser and service share the cores. The exit
status is 1 when a target is missed.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Page, sync_playwright

from service.console import serving
from service.engine.layouts.anchors import MOST_ANCHORS, Anchors, Frame, Placer
from service.engine.layouts.map import LayoutMap
from service.engine.work.lanes import Lane, Lanes
from service.features.layouts import endpoints
from service.features.layouts.following import LayoutFollower
from service.features.layouts.service import Layouts
from service.features.layouts.storing import LayoutRecord
from service.http import problems
from service.http.auth.audit import current_audit
from service.http.auth.callers import KEYLESS, current_caller
from service.index.base import Upsert
from service.index.faiss.index import FaissIndex
from service.settings import Work
from tests.support.service import ROOT, environment, wait_until

DIM = 32
PAINT_MS, FRAMES = 3000, 10
_DRAG_S = 4
_READY_S = 900


async def filled(rows: int) -> tuple[FaissIndex, Anchors]:
    """An index of streamers in groups, and anchors for them."""
    rng = np.random.default_rng(1)
    groups = 400
    centres = rng.standard_normal((groups, DIM)).astype(np.float32)
    weights = 1 / np.arange(1, groups + 1) ** 0.7
    of = rng.choice(groups, rows, p=weights / weights.sum())
    index = FaissIndex(DIM, 8)
    spots = rng.normal(scale=8, size=(groups, 2))
    vectors = np.empty((rows, DIM), np.float32)
    for start in range(0, rows, 50_000):
        part = of[start : start + 50_000]
        made = centres[part] + 0.7 * rng.standard_normal((len(part), DIM), dtype=np.float32)
        vectors[start : start + len(part)] = made / np.linalg.norm(made, axis=1, keepdims=True)
    content = np.zeros(8, "<f2").tobytes()
    changes: list[Upsert] = []
    for i in range(rows):
        facets = json.dumps({"name": f"The channel of {i}", "category": f"category {of[i] % 40}"})
        embedding = vectors[i].astype("<f4").tobytes()
        changes.append(Upsert(f"streamer-{i}", i + 1, embedding, content, facets.encode()))
        if len(changes) == 5000 or i + 1 == rows:
            await index.apply(changes)
            changes.clear()
    chosen = rng.permutation(rows)[:MOST_ANCHORS]
    spread = rng.normal(scale=0.6, size=(len(chosen), 2)) * (1 + of[chosen] % 3)[:, None]
    places = (spots[of[chosen]] + spread).astype(np.float32)
    keys = np.arange(len(chosen), dtype=np.uint64)
    kept = vectors[chosen].astype(np.float16)
    return index, Anchors(keys, kept, places, Frame.around(places))


def serve(rows: int, port: int) -> None:
    """Serve the map and the console until the process is ended."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[Mapping[str, Any], None]:
        begin = time.perf_counter()
        index, anchors = await filled(rows)
        built = time.perf_counter()
        lanes = Lanes(Work())
        lanes.start()
        unused: Any = None
        replica: Any = SimpleNamespace(index=index, behind_because=None)
        follower = LayoutFollower(unused, replica, "test-0", lanes)
        placer = Placer(anchors)
        trained = time.perf_counter()
        known = LayoutMap("generated", placer, index)
        await lanes.run_in_slices(known.placing(), Lane.BULK)
        placed = time.perf_counter()
        print(
            f"{rows:,} rows in {built - begin:.0f} s, anchors indexed in {trained - built:.1f} s, "
            f"all placed in {placed - trained:.0f} s",
            flush=True,
        )
        follower.record = LayoutRecord(
            "generated", time.time(), "test-0", len(anchors.keys), 0.0, anchors.frame, []
        )
        follower.served, follower._trouble = known, None
        layouts = Layouts(unused, follower, unused, unused, lanes)
        yield {"services": SimpleNamespace(layouts=layouts)}
        lanes.stop()

    app = FastAPI(lifespan=lifespan)
    app.include_router(endpoints.router)
    app.include_router(serving.router_of())
    problems.install(app)
    # What the guard of the whole service would find out of a request.
    app.dependency_overrides[current_caller] = lambda: KEYLESS
    app.dependency_overrides[current_audit] = lambda: SimpleNamespace(about=_nothing)
    uvicorn.run(app, port=port, log_level="warning")


def _nothing(*_: object, **__: object) -> None:
    """No log is told of requests."""


def opened(page: Page, url: str) -> tuple[float, float]:
    """Milliseconds from the navigation until points were painted, and until all were."""
    page.goto("about:blank")
    page.goto(f"{url}/console/#/map?colour=category")
    found: list[float] = []
    for mark in ("map.painted", "map.complete"):
        entries = f"performance.getEntriesByName('{mark}')"
        wait_until(lambda: page.evaluate(f"{entries}.length") > 0, mark)  # noqa: B023 - at once
        found.append(page.evaluate(f"{entries}[0].startTime"))
    return found[0], found[1]


def frames(page: Page) -> float:
    """Frames a second while the map is dragged."""
    box = page.locator(".map-box").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate(
        """() => {
          window.frames_ = 0;
          const count = () => { window.frames_ += 1; requestAnimationFrame(count); };
          requestAnimationFrame(count);
        }"""
    )
    page.mouse.move(x, y)
    page.mouse.down()
    begin, before = time.perf_counter(), int(page.evaluate("window.frames_"))
    step = 0
    while time.perf_counter() - begin < _DRAG_S:
        step += 1
        page.mouse.move(x + 150 * np.sin(step / 9), y + 90 * np.cos(step / 9))
    took, after = time.perf_counter() - begin, int(page.evaluate("window.frames_"))
    page.mouse.up()
    return (after - before) / took


def main() -> int:
    """Print medians of rounds, with their 95 % intervals."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--picture", type=Path, help="of the page, PNG")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.rows, args.serve)
        return 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.benchmarks.map", "--rows", str(args.rows)]
    served = subprocess.Popen([*command, "--serve", str(port)], cwd=ROOT, env=environment())
    try:
        asyncio.run(_until_ready(url))
        took = _downloaded(url)
        painted: list[float] = []
        complete: list[float] = []
        rates: list[float] = []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
            )
            for _ in range(args.rounds):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                first, last = opened(page, url)
                painted.append(first)
                complete.append(last)
                rates.append(frames(page))
                if args.picture is not None:
                    page.wait_for_timeout(3000)
                    page.screenshot(path=args.picture)
                page.close()
                print(f"  {first:.0f} ms, {last:.0f} ms, {rates[-1]:.0f} frames/s", flush=True)
            browser.close()
    finally:
        served.terminate()
        served.wait()
    print(f"the points alone: {took[0]:.0f} ms, {took[1] / 1e6:.1f} MB")
    print(f"first paint: {_told(painted)} ms (target {PAINT_MS})")
    print(f"all points: {_told(complete)} ms")
    print(f"dragging: {_told(rates)} frames/s (target {FRAMES})")
    return int(np.median(painted) > PAINT_MS or np.median(rates) < FRAMES)


async def _until_ready(url: str) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(_READY_S):
            with contextlib.suppress(httpx.TransportError):
                await client.get(f"{url}/v1/layouts")
                return
            await asyncio.sleep(1)
    raise SystemExit("the service did not begin")


def _downloaded(url: str) -> tuple[float, int]:
    begin = time.perf_counter()
    with httpx.Client(timeout=60) as client:
        answer = client.get(f"{url}/v1/layouts/current/points?colour=category").raise_for_status()
    return (time.perf_counter() - begin) * 1000, len(answer.content)


def _told(values: list[float]) -> str:
    rng = np.random.default_rng(1)
    drawn = [np.median(rng.choice(values, len(values))) for _ in range(2000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{np.median(values):.0f} [{low:.0f}, {high:.0f}]"


if __name__ == "__main__":
    sys.exit(main())
