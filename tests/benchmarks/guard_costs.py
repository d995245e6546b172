"""What keys, rate limits and the audit log cost `GET /v1/streamers/{id}/similar`, in one run.

    python -m tests.benchmarks.guard_costs --rows 100000 --build build/scale

Two services over the same streamers, one with all three and one with none of them, as settings turn
them off; one load generator for both (`closed_loop`), rounds of both in turn. The exit status is 1
when the ratio's upper bound does not reach the target.
"""

import argparse
import contextlib
import itertools
import shutil
import statistics
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from service.maxima import MOST_UNITS
from tests.benchmarks.closed_loop import http_request, load
from tests.benchmarks.index_http import wait_for
from tests.benchmarks.stored import name_of, prepared
from tests.support.service import Service

TARGET = 0.9
_KEY = "a-key-of-this-benchmark-0123456789"
_OFF = {"STREAMER_AUDIT__ENABLED": "false"}
_VARIANTS = {
    "off": _OFF,
    "key": {**_OFF, "STREAMER_API_KEY": _KEY, "STREAMER_RATE_LIMITS__SEARCH": "0"},
    "key and limit": {**_OFF, "STREAMER_API_KEY": _KEY},
    "audit": {},
    "all": {"STREAMER_API_KEY": _KEY},
}
_UNLIMITED = str(MOST_UNITS)


def interval(ratios: list[float]) -> tuple[float, float]:
    """Of the median, 95 %: by resampling the rounds 10,000 times."""
    drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(high)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.guard_costs", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--build", type=Path, default=Path("build/scale"))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=10_000, help="of a round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--parts", action="store_true", help="measure each of the three as well")
    args = parser.parse_args()
    bundle, data = prepared(args.build, args.rows)
    chosen = list(_VARIANTS) if args.parts else ["off", "all"]
    rng = np.random.default_rng(3)
    paths = [
        f"/v1/streamers/{name_of(i)}/similar" for i in rng.integers(args.rows, size=args.requests)
    ]
    authorization = f"Authorization: Bearer {_KEY}\r\n"
    asked = {
        name: [
            http_request("GET", path, headers=authorization if "STREAMER_API_KEY" in env else "")
            for path in paths
        ]
        for name, env in _VARIANTS.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in chosen}
    with contextlib.ExitStack() as stack:
        ports: dict[str, int] = {}
        for name in chosen:
            copy = data.with_name(f"{data.name}-{name.replace(' ', '-')}")
            if not copy.exists():
                shutil.copytree(data, copy)
            units = {"STREAMER_RATE_LIMITS__SEARCH": _UNLIMITED, **_VARIANTS[name]}
            service = stack.enter_context(Service(bundle, copy, **units))
            wait_for(service, args.rows)
            ports[name] = urlsplit(service.url).port or 0
        for order, _ in zip(itertools.cycle((chosen, chosen[::-1])), range(args.rounds + 1)):
            for name in order:
                run = load(ports[name], asked[name], connections=args.connections)
                rates[name].append(run.rate)
    print("| | requests/s | of off | 95 % |")
    print("| --- | --- | --- | --- |")
    high = 0.0
    for name in chosen:
        ratios = [a / b for a, b in zip(rates[name][1:], rates["off"][1:], strict=True)]
        low, high = interval(ratios)
        print(
            f"| {name} | {statistics.median(rates[name][1:]):,.0f} | "
            f"{statistics.median(ratios):.3f} | {low:.3f} to {high:.3f} |"
        )
    print(f"target: {TARGET}")
    return int(high < TARGET)


if __name__ == "__main__":
    sys.exit(main())
