"""Filtered questions beside unfiltered ones, at 100,000 streamers and without HTTP.

    python -m tests.benchmarks.filters --streamers 100000

All through the use-cases that the API calls, one at a time, kinds mixed within each round. The last
column is the longest time for which the event loop had no turn: so long all other requests waited.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle
from model_export.contract.established import BehaviourGraph, Established
from model_export.contract.features import Features
from service.engine.encoding.onnx_encoder import Encoded, OnnxEncoder
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import Reader
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.audience import SharedAudience
from service.engine.evidence.shared_content import SharedContent
from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Model
from service.engine.scoring.precision import Precision
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.search_pool import SearchPool
from service.engine.work.turns import Turns
from service.features.cold_start.service import Recommender
from service.features.similar.asking import SimilarQuery
from service.features.similar.explain import Explainer
from service.features.similar.pages import Pages
from service.features.similar.seeds import Seed, Seeds
from service.features.similar.service import Similar
from service.index.faiss.index import FaissIndex
from service.index.filters import Condition, Filter
from service.settings import Paging, Work
from service.store.base import IndexEntry, LogEntry, Position
from service.store.redis.store import RedisStore
from tests.benchmarks.clustered import clustered
from tests.support.bundles import CONTENT_DIM, DIM, ID_DIM, write_bundle

Question = Callable[[], Awaitable[object]]
_EDGES = 20


class HeldStore(RedisStore):
    """What is to be indexed, and a log in which nothing more happens."""

    def __init__(self, entries: Sequence[IndexEntry]) -> None:
        super().__init__("unix:///nowhere")
        self._entries = entries

    async def position(self, *, confirmed: bool = False) -> Position:
        return Position("held", len(self._entries))

    async def count(self) -> int:
        return len(self._entries)

    async def kept_models(self) -> tuple[str | None, str | None]:
        return None, None

    async def scan(self, chunk: int = 1000) -> AsyncGenerator[list[IndexEntry], None]:
        for start in range(0, len(self._entries), chunk):
            yield list(self._entries[start : start + chunk])

    async def follow(
        self, after: int, epoch: str | None = None, mark: str = ""
    ) -> AsyncGenerator[list[LogEntry], None]:
        await asyncio.Event().wait()
        yield []


def entries_of(vectors: NDArray[np.float32]) -> list[IndexEntry]:
    """Streamers s0, s1, ... whose `order` is a number of their own in random order."""
    rng = np.random.default_rng(1)
    order = rng.permutation(len(vectors)).tolist()
    tags = rng.integers(0, 2000, (len(vectors), 5)).tolist()
    return [
        IndexEntry(
            streamer_id=f"s{i}",
            version=i + 1,
            embedding=vector.tobytes(),
            content=np.resize(vector, CONTENT_DIM).astype("<f2").tobytes(),
            facets=json.dumps(
                {
                    "name": f"streamer {i}",
                    "language": ("zh", "en", "ja", "ko", "es")[i % 5],
                    "category": f"category {i % 40}",
                    "tags": [f"tag {t}" for t in tags[i]],
                    "attributes": {"order": order[i], "live": i % 2 == 0},
                }
            ).encode(),
            model_version="",
        )
        for i, vector in enumerate(vectors)
    ]


def recommender(streamers: int) -> Recommender:
    """Half of the streamers, each tied to twenty others."""
    rng = np.random.default_rng(2)
    ids = [f"s{i}" for i in range(0, streamers, 2)]
    graph = BehaviourGraph(
        np.arange(len(ids) + 1) * _EDGES,
        rng.integers(0, len(ids), len(ids) * _EDGES).astype(np.int32),
        np.full(len(ids) * _EDGES, 1 / _EDGES, np.float32),
        temperature=0.05,
        own_share=0.2,
    )
    vectors = rng.standard_normal((len(ids), ID_DIM)).astype(np.float32)
    return Recommender(Established(ids, vectors, graph))


def filters(streamers: int) -> dict[str, Filter]:
    """By name, from hardly anyone to everyone."""
    made = {
        f"{share:.2%} by a range": Filter([Condition("order", lt=share * streamers)])
        for share in (0.0001, 0.01, 0.1, 0.5, 1.0)
    }
    return made | {
        "one of three tags": Filter([Condition("tags", any=["tag 1", "tag 2", "tag 3"])]),
        "language and not category": Filter(
            [Condition("language", any=["zh", "en"])],
            [Condition("category", any=[f"category {i}" for i in range(5)])],
        ),
    }


async def _stood_still(until: asyncio.Event) -> list[float]:
    """How late each turn of the event loop came, in milliseconds."""
    late: list[float] = []
    while not until.is_set():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - before) * 1000 - 1)
    return late


async def measured(questions: dict[str, Question], rounds: int) -> dict[str, tuple[float, ...]]:
    """Median, 99th percentile, and the longest standstill, in milliseconds, by name."""
    took: dict[str, list[float]] = {name: [] for name in questions}
    stood: dict[str, float] = dict.fromkeys(questions, 0.0)
    for each in range(rounds + 3):
        for name, ask in questions.items():
            done = asyncio.Event()
            watch = asyncio.create_task(_stood_still(done))
            await asyncio.sleep(0)
            begin = time.perf_counter()
            await ask()
            spent = (time.perf_counter() - begin) * 1000
            done.set()
            late = await watch
            if each >= 3:  # warm
                took[name].append(spent)
                stood[name] = max(stood[name], *late)
    return {
        name: (float(np.median(ms)), float(np.quantile(ms, 0.99)), stood[name])
        for name, ms in took.items()
    }


async def benchmark(folder: Path, streamers: int, rounds: int) -> dict[str, tuple[float, ...]]:
    """Everything, on streamers whose vectors are made up."""
    write_bundle(folder)
    bundle = Bundle(folder)
    encoder, manifest = OnnxEncoder(bundle), bundle.manifest
    vectors = clustered(streamers, DIM)
    store, known = HeldStore(entries_of(vectors)), recommender(streamers)

    async def encode_one(features: Features) -> Encoded:
        return encoder.encode([features])[0]

    async def encode_many(features: Sequence[Features], lane: Lane) -> list[Encoded]:
        return encoder.encode(features)

    reader = Reader(bundle.featurizer)
    pipeline = EncodingPipeline(reader, encode_one, encode_many, manifest.model_version)
    lanes = Lanes(Work())
    lanes.start()
    stored = StoredProfiles(store, pipeline, lanes)
    model = Model(manifest.model_version, DIM, CONTENT_DIM, "")
    searches = SearchPool(lanes)
    follower = Follower(
        store, lambda: FaissIndex(DIM, CONTENT_DIM, known.ids, work=searches), model
    )
    begin = time.perf_counter()
    follower.start()
    await follower.wait_for(streamers, 600_000)
    print(f"{streamers / (time.perf_counter() - begin):,.0f} streamers indexed per second")
    turns = Turns("explanations", at_once=1, max_queue=1, deadline_s=60)
    content = SharedContent(bundle.featurizer.vocabulary)
    explainer = Explainer(pipeline, stored, content, SharedAudience(None, {}), lanes, turns)
    precision = Precision(None, "min_score")
    similar = Similar(
        follower,
        Seeds(pipeline, DIM),
        explainer,
        precision,
        Pages(Paging()),
        manifest.model_version,
        0,
    )
    rng = np.random.default_rng(3)

    def asking(wanted: Filter) -> Question:
        def ask() -> Awaitable[object]:
            seed = Seed(vector=vectors[rng.integers(streamers)].tolist())
            return similar.search(SimilarQuery([seed], filter=wanted))

        return ask

    questions = {"unfiltered": asking(Filter())}
    questions |= {name: asking(wanted) for name, wanted in filters(streamers).items()}
    found = await measured(questions, rounds)
    lanes.stop()
    await follower.stop()
    await store.close()
    return found


def main() -> int:
    """Print the figures; the exit status is 1 when a filter takes more than three times as long."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.filters", description=__doc__)
    parser.add_argument("--streamers", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(benchmark(Path(folder) / "bundle", args.streamers, args.rounds))
    base = found["unfiltered"]
    print(f"{'ms':<28} {'p50':>8} {'p99':>8} {'p99 / unfiltered':>17} {'stood still':>12}")
    for name, (p50, p99, stood) in found.items():
        print(f"{name:<28} {p50:>8.2f} {p99:>8.2f} {p99 / base[1]:>17.2f} {stood:>12.2f}")
    return int(any(found[name][1] > 3 * base[1] for name in filters(args.streamers)))


if __name__ == "__main__":
    sys.exit(main())
