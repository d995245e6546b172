"""Kills the primary of a replicated store under writes, again and again, and measures.

    python -m tests.reliability.failover [--rounds 10] [--acknowledging 1] [--json]
    python -m tests.reliability.failover --cost [--rounds 10] [--json]

Three servers and three sentinels on loopback. Each round writes without pause, kills the primary
(kill -9) at a random moment, and starts it again once writes are acknowledged by the next one; it
comes back as a replica. In the end nothing acknowledged may be lost, and the log is contiguous.
With `--acknowledging 0` writes are acknowledged by the primary alone: what is lost is counted.
`--cost` kills nobody and measures what a replica's acknowledgement costs, in rounds in turn.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from service.errors import NotReplicated, StoreUnavailable
from service.store.base import Delete, Written
from service.store.redis.client import Limits
from service.store.redis.connecting.address import StoreAddress
from service.store.redis.store import RedisStore
from tests.reliability.history import History
from tests.service.store.records import read_log, upsert
from tests.support.valkey import SERVICE, Replicated, Sentinels, Server

WRITERS, IDS_PER_WRITER = 16, 20
WHOLE_LOG = Limits(log_entries=10_000_000)
DOWN_AFTER_MS = 2000
"""As in deploy/: a primary that is silent for so long is replaced."""


@dataclass
class Writers:
    """Write without pause, and note what they were told.

    Attributes:
        told: what is known.
        last: when the last write was acknowledged, by the monotonic clock.
        refused: writes that were not acknowledged, by what was said.
    """

    store: RedisStore
    told: History = field(default_factory=History)
    last: float = 0.0
    refused: dict[str, int] = field(default_factory=dict[str, int])

    async def write_for_ever(self, writer: int) -> None:
        choices, step = random.Random(writer), 0
        while True:
            step += 1
            i, text = f"w{writer}-{choices.randrange(IDS_PER_WRITER)}", f"{step}"
            state = None if choices.random() < 0.2 else text
            self.told.sent(i, state)
            try:
                operation = Delete(i) if state is None else upsert(i, text)
                (outcome,) = await self.store.write([operation])
            except StoreUnavailable as error:
                kind = "not replicated" if isinstance(error, NotReplicated) else "no answer"
                self.refused[kind] = self.refused.get(kind, 0) + 1
                await asyncio.sleep(0.02)
                continue
            self.last = time.monotonic()
            if isinstance(outcome, Written):
                self.told.acknowledged(i, state, outcome.sequence)
            else:
                self.told.refused(i)


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        back_s: seconds from the kill to the first write acknowledged after it, per round.
        acknowledged: writes.
        refused: writes that were not, by what was said.
        lost: acknowledged writes that the store lacks.
        entries: of the log, which is contiguous.
    """

    back_s: list[float]
    acknowledged: int
    refused: dict[str, int]
    lost: int
    entries: int


async def fail_over(folder: Path, rounds: int, acknowledging: int, sentinels: int = 3) -> Outcome:
    """Kill the primary so many times under writes."""
    back_s: list[float] = []
    with (
        Replicated(folder, replicas=2) as servers,
        Sentinels(folder, servers.servers[0], sentinels, down_after_ms=DOWN_AFTER_MS) as watching,
    ):
        watching.wait_until_they_know(2)
        address = StoreAddress(
            f"redis://{SERVICE}/0", tuple(watching.addresses), replicas=acknowledging
        )
        store = await RedisStore(address, limits=WHOLE_LOG).open()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            writers = Writers(store)
            tasks = [asyncio.create_task(writers.write_for_ever(i)) for i in range(WRITERS)]
            try:
                for _ in range(rounds):
                    back_s.append(await _one_round(servers, watching, writers))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return await _outcome(writers, back_s, acknowledging)


async def _one_round(servers: Replicated, watching: Sentinels, writers: Writers) -> float:
    before = len(writers.told.versions)
    async with asyncio.timeout(60):
        while len(writers.told.versions) < before + 200:  # noqa: ASYNC110
            await asyncio.sleep(random.uniform(0.01, 0.05))
    port = await asyncio.to_thread(watching.primary)
    (primary,) = (server for server in servers.servers if server.port == port)
    await asyncio.to_thread(primary.kill)
    killed = time.monotonic()
    async with asyncio.timeout(120):
        while writers.last < killed + 0.1:  # noqa: ASYNC110 - answers under way may still come
            await asyncio.sleep(0.005)
    back = writers.last - killed
    port = await asyncio.to_thread(watching.primary)
    (now,) = (server for server in servers.servers if server.port == port)
    primary.replica_of = now
    await asyncio.to_thread(primary.start)
    await asyncio.to_thread(_wait_until_whole, servers, watching, now)
    return back


def _wait_until_whole(servers: Replicated, watching: Sentinels, primary: Server) -> None:
    servers.wait_until_whole(primary)
    watching.wait_until_they_know(2)


async def _outcome(writers: Writers, back_s: list[float], acknowledging: int) -> Outcome:
    store, told = writers.store, writers.told
    last = (await store.position()).sequence
    if acknowledging:
        await told.check(store)
        lost = 0
    else:
        log = await read_log(store, 0, last)
        assert [entry.sequence for entry in log] == list(range(1, last + 1))
        lost = len(told.versions) - len(set(told.versions)) + sum(v > last for v in told.versions)
    return Outcome(back_s, len(told.versions), writers.refused, lost, last)


async def cost(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Writes/s with 64 in flight and ms of one at a time, by how many replicas acknowledge."""
    found: dict[str, list[float]] = {}
    with Replicated(folder, replicas=2) as servers:
        for _ in range(rounds):
            for acknowledging in (0, 1):
                address = StoreAddress(servers.servers[0].url, replicas=acknowledging)
                store = await RedisStore(address, limits=WHOLE_LOG).open()
                took = await _timed(store, 64, 4000)
                found.setdefault(f"writes/s, {acknowledging}", []).append(4000 / took)
                took = await _timed(store, 1, 300)
                found.setdefault(f"ms, {acknowledging}", []).append(took / 300 * 1000)
                await store.close()
    return found


async def _timed(store: RedisStore, in_flight: int, number: int) -> float:
    """Seconds for so many writes of about 2 KB."""
    waiting = iter(range(number))

    async def write() -> None:
        for i in waiting:
            await store.write([upsert(f"c{i}", "x" * 1500)])

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(in_flight)))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--acknowledging", type=int, default=1, help="replicas that must have it")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.cost:
        with tempfile.TemporaryDirectory() as folder:
            measured = asyncio.run(cost(Path(folder), args.rounds))
        for name, values in measured.items():
            shown = json.dumps(values) if args.json else f"{statistics.median(values):.2f}"
            sys.stdout.write(f"{name} acknowledging: {shown}\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(fail_over(Path(folder), args.rounds, args.acknowledging))
    if args.json:
        sys.stdout.write(json.dumps(vars(found)) + "\n")
        return
    worst, median = max(found.back_s), statistics.median(found.back_s)
    sys.stdout.write(
        f"{len(found.back_s)} kills: writes back after {median:.2f} s (median), {worst:.2f} s at "
        f"most; {found.acknowledged} acknowledged, {found.lost} of them lost; refused: "
        f"{found.refused}; {found.entries} entries in the log, contiguous\n"
    )


if __name__ == "__main__":
    main()
