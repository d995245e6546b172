"""More requests than can be answered, at a fixed rate: what is answered, refused, and how fast.

    python -m tests.benchmarks.overload --build build/scale --seconds 60

Two scenarios: questions that encode a profile at 4 x capacity, and the lean `GET similar` at 1.5 x.
Capacity is the median of five closed loops right before. The clients share the cores with the
service. The exit status is 1 when a target is missed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
import psutil

from tests.benchmarks.closed_loop import http_request, load
from tests.benchmarks.index_http import wait_for
from tests.benchmarks.open_loop import Arrivals, Generator
from tests.benchmarks.stored import name_of, prepared
from tests.support.bundles import TOPICS
from tests.support.service import Service

_ROWS = 10_000
_LIVE_MS, _RECOVERY_S, _SLOWER = 100, 2.0, 5
_AFTER_S = 6


@dataclass(frozen=True)
class Scenario:
    """Requests of one kind, how many times its capacity they come at, and the least goodput."""

    name: str
    requests: Sequence[bytes]
    factor: float
    goodput: float


def profiles(count: int) -> list[dict[str, object]]:
    """Profiles that show different words."""
    rng = np.random.default_rng(5)
    words = [word for words in TOPICS.values() for word in words.split()]
    return [
        {
            "bio": " ".join(rng.choice(words, 12)),
            "tags": rng.choice(words, 3).tolist(),
            "language": "en",
            "videos": [
                {"video_id": f"v{i}", "title": " ".join(rng.choice(words, 4))} for i in range(8)
            ],
        }
        for _ in range(count)
    ]


def encoding_questions(count: int) -> list[bytes]:
    """Each with a profile of its own."""
    return [
        http_request(
            "POST", "/v1/similar", json.dumps({"positive": [{"profile": profile}]}).encode()
        )
        for profile in profiles(count)
    ]


def lean_questions(count: int, rows: int = _ROWS) -> list[bytes]:
    """The ten nearest of stored streamers."""
    places = np.random.default_rng(3).integers(rows, size=count)
    return [http_request("GET", f"/v1/streamers/{name_of(i)}/similar") for i in places]


def recovery_s(after: Arrivals, limit_ms: float) -> float:
    """Seconds after the load fell until nothing is refused or slow any more, but for 1 %."""
    bad = ~after.accepted | (after.took_s * 1000 > limit_ms)
    seconds = np.arange(0.25, _AFTER_S, 0.25)
    fine = [float(bad[after.due_s >= s - 0.25].mean()) <= 0.01 for s in seconds]
    return float(seconds[fine.index(True)]) - 0.25 if any(fine) else float("inf")


def measure(
    service: Service, generator: Generator, scenario: Scenario, seconds: float
) -> dict[str, bool]:
    """Print the figures; which targets are reached."""
    port = urlsplit(service.url).port or 0
    process = psutil.Process(service.process.pid)
    load(port, scenario.requests[:2000])  # warm
    peak = median(load(port, scenario.requests).rate for _ in range(5))
    calm = generator.send(port, scenario.requests, 0.2 * peak, min(seconds, 15)).result()
    before = process.memory_info().rss
    live = generator.probe(port, "/livez", seconds)
    storm = generator.send(port, scenario.requests, scenario.factor * peak, seconds).result()
    after = generator.send(port, scenario.requests, 0.5 * peak, _AFTER_S).result()
    grown = process.memory_info().rss - before
    refused = storm.status == 503
    live_ms = float(np.quantile(live.result(), 0.99)) * 1000
    limit_ms = _SLOWER * calm.ms(0.99)
    back = recovery_s(after, limit_ms)
    named = float(storm.retry_after[refused].mean()) if refused.any() else 1.0
    other = storm.status[~refused & ~storm.accepted]
    print(
        f"{scenario.name}: peak {peak:,.0f}/s, {scenario.factor:g} x for {seconds:g} s\n"
        f"  goodput {storm.goodput:,.0f}/s = {storm.goodput / peak:.2f} of the peak, "
        f"{refused.mean():.2f} refused, {named:.0%} with Retry-After, "
        f"{len(other)} otherwise {sorted(set(other.tolist()))}\n"
        f"  accepted p50 {storm.ms(0.5):.1f}, p99 {storm.ms(0.99):.1f} ms; unloaded "
        f"{calm.ms(0.5):.1f} and {calm.ms(0.99):.1f} ms; /livez p99 {live_ms:.0f} ms\n"
        f"  memory {before / 2**20:,.0f} MiB, {grown / 2**20:+,.0f}; recovered within {back:g} s",
        flush=True,
    )
    return {
        "goodput": storm.goodput >= scenario.goodput * peak,
        "p99": storm.ms(0.99) <= limit_ms,
        "livez": live_ms <= _LIVE_MS,
        "Retry-After": named == 1 and not len(other),
        "memory": grown <= max(32 * 2**20, 0.1 * before),
        "recovery": back <= _RECOVERY_S,
    }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.overload")
    parser.add_argument("--build", type=Path, default=Path("build/scale"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", choices=["encode", "lean"])
    args = parser.parse_args()
    bundle, data = prepared(args.build, _ROWS)
    scenarios = {
        "encode": Scenario("questions with a profile", encoding_questions(2000), 4, 0.9),
        "lean": Scenario("GET similar", lean_questions(8000), 1.5, 0.6),
    }
    missed: list[str] = []
    with tempfile.TemporaryDirectory(), Service(bundle, data) as service, Generator() as generator:
        wait_for(service, _ROWS)
        for name, scenario in scenarios.items():
            if args.only in (None, name):
                reached = measure(service, generator, scenario, args.seconds)
                missed += [f"{name} {what}" for what, is_so in reached.items() if not is_so]
    print(f"missed: {', '.join(missed) or 'nothing'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
