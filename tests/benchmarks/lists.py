"""A campaign list of 200 with reasons: in one request, and as it was made by many before.

    python -m tests.benchmarks.lists --build build/bench --rows 100000

Each round asks for another seed, so that nothing is kept of it: the list with reasons in words, the
same as a workbook, the bare nearest 200 (the floor), and each answer that a list took before: the
nearest 200, the profile of each for its fields, and its comparison with the seed for the reason.
Rounds are interleaved. Then a job makes a workbook of 10,000 rows, while `/livez` tells how
late the event loop is. With `--page` each round also asks in the console, in Debian's Chromium, and
measures the time from the question to the painted table.
"""

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import sync_playwright

from tests.benchmarks.stored import name_of, prepared
from tests.support.service import Service

_ROWS, _TITLES = 200, 10


def question(seed: str, **more: Any) -> dict[str, Any]:
    """The question for a list like a seed."""
    return {
        "positive": [{"streamer_id": seed}],
        "k": _ROWS,
        "explain": "short",
        "language": "zh",
        "without_copies": True,
        "diversify": {"by": "category", "max_per_value": 20},
        **more,
    }


def ways(client: httpx.Client) -> dict[str, Callable[[str], int]]:
    """Ways to a list, by name; each returns the number of requests."""

    def list_of(seed: str) -> int:
        answer = client.post("/v1/lists:preview", json=question(seed)).raise_for_status().json()
        assert len(answer["rows"]) == _ROWS
        assert all(row["why"] for row in answer["rows"])
        return 1

    def workbook(seed: str) -> int:
        asked = {"json": question(seed), "params": {"format": "xlsx"}}
        client.post("/v1/lists:preview", **asked).raise_for_status()
        return 1

    def floor(seed: str) -> int:
        asked = {"k": _ROWS, "exact": True}
        client.get(f"/v1/streamers/{seed}/similar", params=asked).raise_for_status()
        return 1

    def before(seed: str) -> int:
        floor(seed)
        found = client.get(f"/v1/streamers/{seed}/similar", params={"k": _ROWS}).json()["hits"]
        for hit in found:
            other = hit["streamer_id"]
            client.get(f"/v1/streamers/{other}").raise_for_status()
            client.get(f"/v1/streamers/{other}/duplicates").raise_for_status()
            pair = {"a": {"streamer_id": seed}, "b": {"streamer_id": other}}
            client.post("/v1/compare", json=pair).raise_for_status()
        return 1 + 3 * len(found)

    return {"list": list_of, "workbook": workbook, "floor": floor, "before": before}


_PAINTED = """async (place) => {
  const frame = () => new Promise(requestAnimationFrame);
  location.hash = place;
  do await frame(); while (document.querySelectorAll(".results tbody tr:not(.end)").length < 200);
  await frame();
}"""


@contextlib.contextmanager
def console(url: str) -> Iterator[Callable[[str], int]]:
    """The same question, asked in the console: returns once its 200 rows are painted."""
    executable = shutil.which("chromium")
    assert executable is not None, "no chromium is found: run `make browser`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="zh-CN")
        page.goto(f"{url}/console/")

        def painted(seed: str) -> int:
            page.evaluate("location.hash = '#/find'")
            page.locator(".results").wait_for(state="detached")
            page.evaluate(_PAINTED, f"#/find?like={seed}&k={_ROWS}&copies=no&spread=20")
            return 1

        yield painted
        browser.close()


def late(url: str, stop: threading.Event) -> list[float]:
    """Milliseconds of requests that the event loop answers by itself."""
    took: list[float] = []
    with httpx.Client(base_url=url) as client:
        while not stop.wait(0.01):
            begin = time.perf_counter()
            client.get("/livez")
            took.append((time.perf_counter() - begin) * 1000)
    return took


def job(client: httpx.Client, url: str, seed: str) -> None:
    """Have a job make 10,000 rows; print how long it takes, and how late the loop is."""
    stop, found = threading.Event(), list[float]()
    prober = threading.Thread(target=lambda: found.extend(late(url, stop)))
    time.sleep(2)
    prober.start()
    time.sleep(5)
    idle = len(found)
    begin = time.perf_counter()
    body = question(seed, k=10_000, diversify=None)
    made = client.post("/v1/lists:preview", json=body, params={"format": "xlsx"}).json()
    while True:
        state = client.get(f"/v1/jobs/{made['job_id']}").json()
        if state["state"] in ("succeeded", "failed"):
            break
        time.sleep(0.2)
    took = time.perf_counter() - begin
    stop.set()
    prober.join()
    assert state["state"] == "succeeded", state
    print(f"10,000 rows as a workbook: {took:.1f} s, {state['result']['bytes'] / 1e6:.1f} MB")
    for name, some in (("meanwhile", found[idle:]), ("all along", found)):
        p50, p99 = np.percentile(some, [50, 99])
        print(f"  /livez {name}: p50 {p50:.1f}, p99 {p99:.1f}, max {max(some):.1f} ms")


def main() -> int:
    """Print medians of rounds, in milliseconds, with their 95 % intervals."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build/bench"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--without-job", action="store_true")
    parser.add_argument("--page", action="store_true", help="also to the painted table")
    args = parser.parse_args()
    bundle, data = prepared(args.build, args.rows, _TITLES)
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        copy = copytree(data, Path(folder) / "data")
        with Service(bundle, copy, STREAMER_DUPLICATES__EVALUATE="false") as service:
            service.wait_until_ready()
            with (
                httpx.Client(base_url=service.url, timeout=120) as client,
                console(service.url) if args.page else contextlib.nullcontext() as painted,
            ):
                asked = ways(client)
                if painted is not None:
                    asked["painted"] = painted
                took: dict[str, list[float]] = {name: [] for name in asked}
                requests: dict[str, int] = {}
                for round_ in range(args.rounds + 1):
                    for name, way in asked.items():
                        seed = name_of(int(rng.integers(args.rows)))
                        begin = time.perf_counter()
                        requests[name] = way(seed)
                        if round_:  # the first one warms up
                            took[name].append((time.perf_counter() - begin) * 1000)
                for name, some in took.items():
                    low, high = np.percentile(
                        [np.median(rng.choice(some, len(some))) for _ in range(2000)], [2.5, 97.5]
                    )
                    print(
                        f"{name:<10} {requests[name]:>4} requests  median "
                        f"{statistics.median(some):8.1f} ms  [{low:.1f}, {high:.1f}]  "
                        f"worst {max(some):.1f}"
                    )
                if not args.without_job:
                    job(client, service.url, name_of(1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
