"""Streamers found by name: the file of names at a million, and what it costs to keep it.

    python -m tests.benchmarks.names --streamers 1000000

Names, tags and bios are drawn from Zipf distributions of Chinese characters and of words, three of
five Chinese. All through the use-cases, without HTTP, kinds of questions mixed within each round.
Memory is that of this process: pages of the file that the system keeps are its own to drop.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import psutil

from model_export.contract.folding.tables import tables
from service.engine.names.finder import Finder, Place
from service.engine.names.follower import Names
from service.engine.work.lanes import Lanes
from service.settings import Work
from service.store.base import LogEntry, Position, ProfilePage, StoredProfile
from service.store.redis.store import RedisStore

_POOL = 20_000


class Drawn:
    """Names, tags and bios."""

    def __init__(self, seed: int) -> None:
        self.drawn = drawn = random.Random(seed)
        simplified = sorted(c for c in tables().inert if "\u4e00" <= c <= "\u9fff")
        self._han = drawn.sample(simplified, 3000)
        letters = "abcdefghijklmnoprstuvwy"
        self._words = ["".join(drawn.choices(letters, k=drawn.randint(3, 8))) for _ in range(_POOL)]
        self._weights = [
            list(itertools.accumulate(1 / (rank + 3) for rank in range(len(each))))
            for each in (self._han, self._words)
        ]
        self._tags = [[self.han(2), self.words(1)] for _ in range(5000)]
        self._bios = [[self.han(40), self.words(12)] for _ in range(_POOL)]

    def han(self, count: int) -> str:
        return "".join(self.drawn.choices(self._han, cum_weights=self._weights[0], k=count))

    def words(self, count: int) -> str:
        return " ".join(self.drawn.choices(self._words, cum_weights=self._weights[1], k=count))

    def profile(self, number: int) -> bytes:
        drawn = self.drawn
        is_latin = drawn.random() < 0.4
        name = f"{self.words(drawn.randint(1, 3))}{drawn.randrange(1000)}"
        fields = {
            "streamer_id": name_of(number),
            "name": name if is_latin else self.han(drawn.randint(2, 8)),
            "bio": drawn.choice(self._bios)[is_latin],
            "tags": [each[is_latin] for each in drawn.choices(self._tags, k=3)],
        }
        return json.dumps(fields, ensure_ascii=False).encode()

    def questions(self) -> dict[str, str]:
        """One of each kind."""
        return {
            "two Chinese characters": self.han(2),
            "three Chinese characters": self.han(3),
            "the most frequent two": self._han[0] + self._han[1],
            "a word": self.words(1),
            "three letters of a word": self.words(1)[:3],
            "two words": self.words(2),
            "a tag": self.drawn.choice(self._tags)[0],
            "an id": name_of(self.drawn.randrange(1000)),
            "nothing": "qqzzqq",
        }


def name_of(number: int) -> str:
    return f"w{number:07}"


class HeldStore(RedisStore):
    """Profiles that are drawn as they are read, and a log that is written to."""

    def __init__(self, count: int, drawn: Drawn) -> None:
        super().__init__("unix:///nowhere")
        self._count = count
        self._drawn = drawn
        self.log: asyncio.Queue[list[LogEntry]] = asyncio.Queue()

    async def position(self, *, confirmed: bool = False) -> Position:
        return Position("held", self._count)

    async def count(self) -> int:
        return self._count

    async def page(self, after: str, limit: int, max_bytes: int) -> ProfilePage:
        del max_bytes
        begin = int(after[1:]) + 1 if after else 0
        end = min(begin + limit, self._count)
        profiles = await self.profiles([name_of(number) for number in range(begin, end)])
        found = [profile for profile in profiles if profile is not None]
        return ProfilePage(found, name_of(end - 1) if end < self._count else None)

    async def profiles(self, ids: Sequence[str]) -> list[StoredProfile | None]:
        return [
            StoredProfile(name, 1, "m", self._drawn.profile(int(name[1:])), "indexed", b"{}", 0.0)
            for name in ids
        ]

    async def chunks(self, ids: Sequence[str], max_bytes: int = 0) -> list[list[str]]:
        del max_bytes
        return [list(ids)]

    async def follow(
        self, after: int, epoch: str | None = None, mark: str = ""
    ) -> AsyncGenerator[list[LogEntry], None]:
        while True:
            yield await self.log.get()


async def pauses(found: list[float]) -> None:
    """Milliseconds for which the event loop had no turn."""
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(0.001)
        found.append((time.perf_counter() - begin) * 1000 - 1)


async def opened(store: HeldStore, lanes: Lanes, folder: Path) -> tuple[Names, float]:
    """Names that are complete, and after how many seconds they were."""
    begin = time.perf_counter()

    async def ready() -> None:
        """The index is not part of it."""

    names = Names(store, lanes, folder, ready, lambda: names.sequence)
    names.start()
    while names.incomplete_because is not None or names.file is None:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return names, time.perf_counter() - begin


async def measure(streamers: int, rounds: int, folder: Path) -> None:
    drawn = Drawn(1)
    store = HeldStore(streamers, drawn)
    lanes = Lanes(Work())
    lanes.start()
    waits: list[float] = []
    watching = asyncio.create_task(pauses(waits))
    cpu_s = time.process_time()
    before = psutil.Process().memory_info().rss
    names, took_s = await opened(store, lanes, folder)
    grown = psutil.Process().memory_info().rss - before
    core_s = time.process_time() - cpu_s
    print(f"{streamers:,} streamers: all read in {took_s:.0f} s, {core_s:.0f} s of a core")
    waits.sort()
    print(f"  event loop meanwhile, p99 and longest pause: {waits[-len(waits) // 100]:.1f} ms, "
          f"{waits[-1]:.1f} ms")  # fmt: skip
    await names.stop()
    size = sum(each.stat().st_size for each in os.scandir(folder))
    print(f"  file {size / 1e6:.0f} MB ({size / streamers:.0f} bytes each), "
          f"memory {grown / 1e6:+.0f} MB")  # fmt: skip
    names, took_s = await opened(store, lanes, folder)
    print(f"  complete again after a restart in {took_s * 1000:.0f} ms")
    await ask(Finder(names, lanes), drawn, rounds, waits)
    sequence, shown = streamers, list[float]()
    for number in range(200):
        sequence += 1
        begin = time.perf_counter()
        store.log.put_nowait([LogEntry(sequence, name_of(number), None, "")])
        await names.wait_for(sequence, 5000)
        shown.append((time.perf_counter() - begin) * 1000)
    print(f"  a change of a name is found after, ms: {told(shown)} (20 ms to gather others)")
    begin = time.perf_counter()
    for start in range(0, 2000, 100):
        changed = range(start + 1, start + 101)
        entries = [LogEntry(sequence + n, name_of(1000 + n), None, "") for n in changed]
        store.log.put_nowait(entries)
    await names.wait_for(sequence + 2000, 60_000)
    print(f"  changes in batches of 100: {2000 / (time.perf_counter() - begin):.0f}/s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"  peak memory of the process {peak / 1e3:.0f} MB")
    watching.cancel()
    await names.stop()
    lanes.stop()


async def ask(finder: Finder, drawn: Drawn, rounds: int, waits: list[float]) -> None:
    """Pages of twenty, of each kind in each round."""
    times: dict[str, list[float]] = {}
    hits: dict[str, int] = {}
    waits.clear()
    for _ in range(rounds):
        for kind, text in drawn.questions().items():
            begin = time.perf_counter()
            found = await finder.find(text, Place(), 20)
            times.setdefault(kind, []).append((time.perf_counter() - begin) * 1000)
            hits[kind] = hits.get(kind, 0) + (0 if found is None else len(found.hits))
    for kind, each in times.items():
        print(f"  {kind:26} ms: {told(each)}   {hits[kind] / rounds:.1f} hits of 20")
    every = [one for each in times.values() for one in each]
    print(f"  {'all':26} ms: {told(every)}; longest pause of the event loop {max(waits):.1f} ms")


def told(values: list[float]) -> str:
    """Median, p95 and p99."""
    values = sorted(values)
    at = [values[min(int(share * len(values)), len(values) - 1)] for share in (0.5, 0.95, 0.99)]
    return f"p50 {at[0]:.2f}, p95 {at[1]:.2f}, p99 {at[2]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streamers", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(measure(args.streamers, args.rounds, Path(folder)))


if __name__ == "__main__":
    main()
