"""What near-duplicates add to a write, among many streamers.

    python -m tests.benchmarks.duplicates.write_costs --bundle BUNDLE --build build/duplicates

One service with a generated world, every streamer grouped; then bulk writes of one line, in turns
with near-duplicates and without. Rounds of both take turns. The exit status is 1 when what is added
at the median is more than the target, by the upper bound of its 95 % interval.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.benchmarks.index_http import wait_until_grouped
from tests.support.service import Service
from training.world import generate

TARGET_MS = 2.0
_POLL_S = 0.5
_DONE = "complete"


def load(service: Service, profiles: list[dict[str, Any]], done: Path) -> None:
    """Import profiles, and wait until all are grouped."""
    client = service.api
    if not done.exists():
        lines = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in profiles)
        headers = {"Content-Type": "application/x-ndjson"}
        answer = client.post("/v1/jobs/imports", content=lines.encode(), headers=headers)
        path = answer.raise_for_status().headers["Location"]
        began = time.monotonic()
        while (job := client.get(path).json())["state"] in ("queued", "running"):
            time.sleep(_POLL_S)
        if job["state"] != "succeeded" or job["result"]["refused"]:
            raise RuntimeError(job)
        print(f"imported in {time.monotonic() - began:.0f} s", flush=True)
    print(f"grouped in {wait_until_grouped(client):.0f} s", flush=True)
    done.touch()


def median_ms(client: httpx.Client, lines: list[bytes], *, near: bool) -> float:
    """Of writes of one line each, one after the other."""
    took: list[float] = []
    for line in lines:
        begin = time.perf_counter()
        answer = client.post(
            "/v1/streamers:bulk",
            content=line,
            params={"near_duplicates": near},
            headers={"Content-Type": "application/x-ndjson"},
        )
        took.append((time.perf_counter() - begin) * 1000)
        outcome = json.loads(answer.raise_for_status().text)
        if outcome["outcome"] not in ("created", "updated"):
            raise RuntimeError(outcome)
        if near and outcome.get("near_duplicates") is None:
            raise RuntimeError(outcome)
    return statistics.median(took)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.duplicates.write_costs",
        description=str(__doc__).splitlines()[0],
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--build", type=Path, default=Path("build/duplicates"))
    parser.add_argument("--streamers", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--writes", type=int, default=100, help="of each kind in a round")
    args = parser.parse_args()
    profiles = generate(args.streamers, 0, ring_share=0.05).profiles
    folder = args.build / f"data-{args.streamers}"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    with Service(args.bundle, folder) as service:
        load(service.wait_until_ready(), profiles, args.build / f"{args.streamers}.{_DONE}")
        found: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(args.rounds):
            for near in (turn % 2 == 0, turn % 2 == 1):
                lines: list[bytes] = []
                for place in rng.integers(len(profiles), size=args.writes).tolist():
                    changed = {**profiles[place], "bio": f"{profiles[place].get('bio', '')} {turn}"}
                    lines.append(json.dumps(changed, ensure_ascii=False).encode() + b"\n")
                found[near].append(median_ms(service.api, lines, near=near))
    added = np.array(found[True]) - np.array(found[False])
    drawn = np.random.default_rng(0).choice(added, (10_000, len(added)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    for near, name in ((False, "without"), (True, "with near-duplicates")):
        print(f"{name:<22} {statistics.median(found[near]):6.2f} ms")
    print(f"{'added':<22} {np.median(added):6.2f} ms ({low:.2f} to {high:.2f})")
    return int(high > TARGET_MS)


if __name__ == "__main__":
    sys.exit(main())
