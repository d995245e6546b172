"""The service's questions without HTTP at up to a million streamers, beside raw FAISS, in one run.

    python -m tests.benchmarks.index_scale --rows 1000000 --build build/scale
    python -m tests.benchmarks.index_scale --rows 5000000 --compacted --without-duplicates

A stored state (`stored`) is opened as the service opens it, in this process. Raw FAISS is the very
index that the service searches, asked in the same rounds by one thread, one question at a time, for
as many neighbours and with the `nprobe` that the service's recall takes.
"""

import argparse
import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import faiss as untyped_faiss
import numpy as np
import psutil
import uvloop
from numpy.typing import NDArray

from model_export.contract.streamer import StreamerProfile
from service.bootstrap import open_services
from service.engine.replica.maintenance import give_way
from service.features.similar.asking import SimilarQuery
from service.features.similar.seeds import Seed
from service.index.faiss.ann.device import OnCpu
from service.index.faiss.index import FaissIndex
from service.index.filters import Condition, Filter
from service.services import Services
from service.settings import Duplicates, Settings
from tests.benchmarks.stored import mapped_vectors, name_of, prepared
from tests.service.index.asked import now

faiss = cast(Any, untyped_faiss)
K, AT_ONCE, QUERIES = 10, 32, 200
_HALF_PRECISION = 2e-4
"""Of inner products of unit vectors, about."""
_HUNDREDTH = Filter([Condition("hundredth", any=[7])])


class Bench:
    """Opened services and the questions that it is asked."""

    def __init__(self, services: Services, rows: int) -> None:
        index = services.operations.serving.follower.index
        assert isinstance(index, FaissIndex)
        assert index.segment is not None
        assert isinstance(index.segment.placed, OnCpu)
        self.services, self.rows, self.index = services, rows, index
        self.segment, self.raw = index.segment, index.segment.placed
        self.rng = np.random.default_rng(3)
        self.places = self.rng.integers(rows, size=20_000).tolist()
        self.chosen = self.rng.choice(rows, QUERIES, replace=False)

    def plain(self, place: int, **other: object) -> Awaitable[object]:
        """The nearest of one streamer."""
        query = SimilarQuery([Seed(streamer_id=name_of(place))], **other)  # type: ignore[arg-type]
        return self.services.similar.search(query)

    async def rate(self, seconds: float) -> float:
        """Questions a second through the use-case, `AT_ONCE` under way."""
        until = time.perf_counter() + seconds
        asked = 0
        places = iter(self.places * 100)

        async def ask() -> None:
            nonlocal asked
            while time.perf_counter() < until:
                await self.plain(next(places))
                asked += 1
                await asyncio.sleep(0)

        begin = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        return asked / (time.perf_counter() - begin)

    def raw_nprobe(self, vectors: NDArray[np.float32], recall: float) -> int | None:
        """The least nprobe with which the bare index finds as many; None without inverted lists."""
        if not isinstance(self.raw.index, faiss.IndexIVF):
            return None
        queries = vectors[self.chosen]
        best, _ = faiss.knn(queries, vectors, K + 1, faiss.METRIC_INNER_PRODUCT)
        for nprobe in sorted({1 << i for i in range(12)} | {3 << i for i in range(11)}):
            parameters = faiss.SearchParametersIVF(nprobe=nprobe)  # pyright: ignore[reportCallIssue]
            scores, _ = self.raw.index.search(queries, K + 1, params=parameters)
            hits = (scores >= best[:, -1:] - _HALF_PRECISION).sum(axis=1) - 1  # without itself
            if float(np.clip(hits, 0, K).mean()) / K >= recall:
                return nprobe
        return None

    def raw_rate(self, seconds: float, nprobe: int | None) -> float:
        """Questions a second of the bare index."""
        vectors = [now(self.index.vector(name_of(place))) for place in self.places[:3000]]
        queries = [v.embedding for v in vectors if v is not None and v.embedding is not None]
        faiss.omp_set_num_threads(1)
        parameters = None
        if nprobe is not None:
            parameters = faiss.SearchParametersIVF(nprobe=nprobe)  # pyright: ignore[reportCallIssue]
        asked, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            query = queries[asked % len(queries)]
            self.raw.index.search(query[None, :], K + 1, params=parameters)
            asked += 1
        return asked / (time.perf_counter() - begin)

    async def latencies(self, ask: Callable[[int], Awaitable[object]], many: int) -> list[float]:
        """Milliseconds of questions one after the other."""
        took: list[float] = []
        for place in self.rng.integers(self.rows, size=many).tolist():
            begin = time.perf_counter()
            await ask(place)
            took.append((time.perf_counter() - begin) * 1000)
        return took

    async def recall(self, vectors: NDArray[np.float32], among: NDArray[np.int64] | None) -> float:
        """Of the `K` nearest of stored streamers, all or with the filter, against brute force."""
        slots = np.arange(self.rows) if among is None else among
        gallery = vectors if among is None else vectors[among]
        _, places = faiss.knn(vectors[self.chosen], gallery, K + 1, faiss.METRIC_INNER_PRODUCT)
        found = 0
        for place, row in zip(self.chosen.tolist(), slots[places].tolist(), strict=True):
            best = {name_of(i) for i in [i for i in row if i != place][:K]}
            other = {} if among is None else {"filter": _HUNDREDTH}
            answer = await self.plain(place, **other)
            hits = answer.hits  # type: ignore[attr-defined]
            found += len(best & {hit.streamer_id for hit in hits})
        return found / (K * QUERIES)

    async def visible(self, many: int) -> list[float]:
        """Milliseconds from an acknowledged write to an answer that has it."""
        took: list[float] = []
        for i in range(many):
            profile = StreamerProfile(streamer_id=f"written-{i}", tags=["cooking", "music"])
            done = await self.services.writes.put(profile, None)
            begin = time.perf_counter()
            await self.services.similar.search(
                SimilarQuery([Seed(streamer_id=profile.streamer_id)], after_sequence=done.sequence)
            )
            took.append((time.perf_counter() - begin) * 1000)
            await asyncio.sleep(0.005)
        for i in range(many):
            await self.services.writes.delete(f"written-{i}", None)
        return took


def told(name: str, took: Sequence[float]) -> float:
    """Print median and 99th percentile; the latter."""
    p50, p99 = np.quantile(np.array(took), [0.5, 0.99]).tolist()
    print(f"{name:<44} p50 {p50:>8.3f} ms   p99 {p99:>8.3f} ms", flush=True)
    return p99


async def measure(
    services: Services, vectors: NDArray[np.float32], seconds: float, rounds: int
) -> None:
    """Print everything."""
    rows = len(vectors)
    process = psutil.Process()
    bench = Bench(services, rows)
    print(
        f"{bench.segment.factory}, {bench.segment.effort} for all, or {bench.segment.reach_of_few}"
    )
    (store,) = process.children()
    memory = [each.memory_info().rss / 2**20 for each in (process, store)]
    print(f"RSS {memory[0]:,.0f} MiB, and {memory[1]:,.0f} of the store")
    found = await bench.recall(vectors, None)
    nprobe = bench.raw_nprobe(vectors, found)
    print(f"recall@10 {found:.4f}, for which raw FAISS takes nprobe={nprobe}", flush=True)
    ratios: list[float] = []
    for _ in range(rounds):
        raw, ours = bench.raw_rate(seconds, nprobe), await bench.rate(seconds)
        ratios.append(ours / raw)
        print(f"raw FAISS {raw:,.0f} q/s, use-case {ours:,.0f} q/s, ratio {ours / raw:.2f}")
    print(f"median ratio {np.median(ratios):.2f}", flush=True)
    filtered = lambda place: bench.plain(place, filter=_HUNDREDTH)  # noqa: E731
    base = told("unfiltered", await bench.latencies(bench.plain, 1000))
    share = told("filter that keeps 1 %", await bench.latencies(filtered, 300))
    print(f"filtered / unfiltered p99 {share / base:.1f}")
    builder = threading.Thread(target=lambda: (give_way(), bench.index.rebuild()), daemon=True)
    builder.start()
    told("written and visible, while a base is built", await bench.visible(200))
    during = told("unfiltered, while a base is built", await bench.latencies(bench.plain, 1000))
    print(f"still building: {builder.is_alive()}; p99 {during / base:.1f} times", flush=True)
    await asyncio.to_thread(builder.join)
    among = np.flatnonzero(np.arange(rows) % 100 == 7)
    print(f"recall@10 filtered {await bench.recall(vectors, among):.4f}")


async def until(condition: Callable[[], bool]) -> None:
    """Look now and then: nobody tells."""
    while True:
        await asyncio.sleep(0.1)
        if condition():
            return


async def run(args: argparse.Namespace, bundle: Path, data: Path) -> None:
    """Open, wait, measure."""
    begin, cpu = time.perf_counter(), time.process_time()
    duplicates = Duplicates(evaluate=not args.without_duplicates)
    settings = Settings(bundle=bundle, data_dir=data, duplicates=duplicates)
    async with open_services(settings) as services:
        follower = services.operations.serving.follower
        await until(lambda: follower.is_ready)
        spent, used = time.perf_counter() - begin, time.process_time() - cpu
        print(f"{follower.index.count:,} rows in {spent:.0f} s ({used:.0f} s of a core)")
        await until(lambda: follower.index.state().kind != "exact")
        spent, used = time.perf_counter() - begin, time.process_time() - cpu
        print(f"a base in {spent:.0f} s ({used:.0f} s of a core)", flush=True)
        vectors = mapped_vectors(args.build, args.rows)
        await measure(services, vectors, args.seconds, args.rounds)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.index_scale", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--build", type=Path, default=Path("build/scale"))
    parser.add_argument("--compacted", action="store_true", help="as `compact` leaves the store")
    parser.add_argument(
        "--without-duplicates", action="store_true", help="another process would keep the groups"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    args = parser.parse_args()
    bundle, data = prepared(args.build, args.rows, compacted=args.compacted)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(args, bundle, data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
