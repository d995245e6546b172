"""Time of evidence in lists: all of it, its longest step, and how long it keeps other threads.

    python -m tests.benchmarks.evidence --rounds 10

Lists of a simulated world with rings: 1,000 as in a feed, and 10,000 with one farm of 448 copies,
which are 100,000 pairs. Lists take turns; medians with the range of their middle half. Processor
time is that of the thread, so that it means something on a busy machine as well; stalls are how
late another thread wakes from sleeps of 1 ms, beside the same of a thread that works alone.
"""

import argparse
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import Side, side_of
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.engine import Evidence
from service.engine.evidence.list_candidates import list_candidates
from service.features.dedup.edges import compare_list
from tests.benchmarks.clustered import clustered
from training.world import generate

FARM = 448
Work = Callable[[], Generator[None, None, object]]
_DIM = 128
_NAP_S = 0.001


@dataclass
class Figures:
    """What was measured of one piece of work, in milliseconds."""

    wall: list[float] = field(default_factory=list[float])
    processor: list[float] = field(default_factory=list[float])
    longest: list[float] = field(default_factory=list[float])
    stall: list[float] = field(default_factory=list[float])

    def line(self, name: str) -> str:
        """All medians, for people."""
        shown = [
            f"{what} {statistics.median(found):7.1f} ({low:.1f}-{high:.1f})"
            for what, found in vars(self).items()
            for low, _, high in [statistics.quantiles(found, n=4)]
        ]
        return f"{name:<22} {'  '.join(shown)} ms"


@contextmanager
def stalls(found: list[float]) -> Iterator[None]:
    """Adds the longest time that this thread's work kept another one from waking."""
    done, worst = threading.Event(), [0.0]

    def nap() -> None:
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(_NAP_S)
            now = time.perf_counter()
            worst[0] = max(worst[0], now - last - _NAP_S)
            last = now

    thread = threading.Thread(target=nap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        found.append(worst[0] * 1000)


def measure(work: Generator[None, None, object], figures: Figures) -> None:
    """Run it to its end, once."""
    longest = 0.0
    with stalls(figures.stall):
        wall, begin = time.perf_counter(), time.thread_time()
        last = begin
        for _ in work:
            now = time.thread_time()
            longest, last = max(longest, now - last), now
        now = time.thread_time()
        figures.wall.append((time.perf_counter() - wall) * 1000)
    figures.processor.append((now - begin) * 1000)
    figures.longest.append(max(longest, now - last) * 1000)


def sides_of(profiles: Sequence[dict[str, object]], farm: int, seed: int) -> list[Side]:
    """Sides of profiles, the last of them copied until there are `farm` of it, in random order."""
    shown = [StreamerProfile.model_validate(profile) for profile in profiles]
    vectors = clustered(len(shown), _DIM)
    sides = [side_of(p, embedding=v) for p, v in zip(shown, vectors, strict=True)]
    rng = np.random.default_rng(seed)
    for _ in range(farm):
        vector = vectors[-1] + 0.02 * rng.normal(size=_DIM).astype(np.float32)
        made = side_of(shown[-1], embedding=vector / np.linalg.norm(vector))
        sides.append(made)
    random.Random(seed).shuffle(sides)
    return sides


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Time of evidence in lists.")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--most", type=int, default=10_000)
    args = parser.parse_args()
    evidence = Evidence(Bundle(args.bundle))
    world = generate(args.most, 8, ring_share=0.05).profiles
    begin = time.thread_time()
    feed = sides_of(world[:1000], 0, 1)
    size = np.mean([side.size_bytes for side in feed])
    print(f"a side: {time.thread_time() - begin:.2f} ms, {size:.0f} bytes")  # of a thousand
    farm = sides_of(world[: args.most - FARM], FARM, 2)
    lists = {"feed of 1,000": feed, "10,000 with a farm": farm}

    def alone() -> Generator[None, None, None]:
        for _ in range(200):
            sum(range(20_000))
            yield

    def works() -> dict[str, Work]:
        found: dict[str, Work] = {"nothing but Python": alone}
        for name, sides in lists.items():
            none = np.full(len(sides), -1)
            found[f"{name}: pairs"] = lambda sides=sides: list_candidates(sides)
            found[f"{name}: all"] = lambda sides=sides, none=none: compare_list(
                evidence, sides, none, ()
            )
        return found

    figures = {name: Figures() for name in works()}
    for _ in range(args.rounds):
        for name, work in works().items():
            measure(work(), figures[name])
    for name, found in figures.items():
        print(found.line(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
