"""How much of a ring a case finds from two seeds, and how long an expansion takes.

    python -m tests.benchmarks.cases --bundle BUNDLE --seeds 0 1 2 3
    python -m tests.benchmarks.cases --bundle BUNDLE --time --streamers 100000
    python -m tests.benchmarks.cases --bundle BUNDLE --large 10000

Rings are those of `python -m training world --hidden-rings`: 8 to 25 accounts of which each reuses
one thing of one other, in disguises, beside as many honest look-alikes. A case begins with the two
accounts from which the others are three links at most. Beside it: the same case within one hop, and
the accounts nearest to a seed by TF-IDF over folded text, at the threshold that is best for them on
the very world that is measured.
"""

import argparse
import asyncio
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic_core import to_json

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import sounds_like
from service.engine.candidates.corpus import Corpus
from service.engine.candidates.kept import KeptCorpus
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.expansion.evidence_edges import EvidenceEdges
from service.engine.work.lanes import Lane, Lanes
from service.features.cases import running
from service.features.cases.expanding import Expander, settled
from service.features.cases.exports.exporting import MEDIA_TYPES
from service.features.cases.records import Actor, Case, Query
from service.features.cases.shown import detail_fields
from service.features.duplicates.comparing import EvidenceComparer
from service.settings import Work
from service.store.base import Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore
from tests.benchmarks.duplicates.grouping import records
from tests.service.features.cases.large import LoopSteps, MadeUpEdges, large_cases
from training.world import World, generate

T = TypeVar("T")
HIDDEN = 0.08
_READ_AT_ONCE = 200


@asynccontextmanager
async def expander(
    folder_of_bundle: Path, world: World, *, encoded: bool = True
) -> AsyncGenerator[Expander, None]:
    """Expands over a world in an embedded store of its own.

    Not `encoded`, its vectors are random: what they are does not change how long a search takes.
    """
    bundle = Bundle(folder_of_bundle)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        running = await stack.enter_async_context(EmbeddedStore(Path(folder) / "store"))
        store = await RedisStore(running.url).open()
        stack.push_async_callback(store.close)
        made = records(bundle, world.profiles) if encoded else drawn(bundle, world.profiles)
        for part in made:
            await store.write([Upsert(record) for record in part])
        lanes = Lanes(Work(threads=2))
        lanes.start()
        stack.callback(lanes.stop)
        manifest, evidence = bundle.manifest, Evidence(bundle)
        version = manifest.model_version
        sides = StoredSides(store, evidence, lanes, version, folder=Path(folder))
        comparer = EvidenceComparer(evidence, sides, lanes)
        kept = KeptCorpus()
        corpus = Corpus(manifest.content_dim, manifest.dim)
        after = ""
        while ids := await store.list_ids(after, _READ_AT_ONCE):
            after = ids[-1]
            for record in await store.get(ids):
                if record is not None:
                    entry = comparer.entry_of(record)
                    corpus.load(record.streamer_id, entry)
                    comparer.keep(record.streamer_id, entry)
        corpus.settle()
        kept.keep(corpus)

        async def nobody(names: Sequence[str]) -> list[list[str]]:
            return [[] for _ in names]

        async def everybody(_: Mapping[str, object], names: Sequence[str]) -> list[bool]:
            return [True for _ in names]

        async def evaluated() -> int:
            return 0

        edges = EvidenceEdges(evidence, sides, kept, nobody, lanes)
        yield Expander(store, edges, everybody, evaluated, lanes, manifest.model_version)


def drawn(bundle: Bundle, profiles: Sequence[Mapping[str, Any]]) -> Iterator[list[Record]]:
    """Records of profiles with random vectors; in parts."""
    rng = np.random.default_rng(0)
    manifest = bundle.manifest
    for start in range(0, len(profiles), _READ_AT_ONCE):
        part: list[Record] = []
        for profile in profiles[start : start + _READ_AT_ONCE]:
            text = json.dumps(profile, ensure_ascii=False).encode()
            embedding = rng.standard_normal(manifest.dim, np.float32)
            content = rng.standard_normal(manifest.content_dim, np.float32)
            part.append(
                Record(
                    streamer_id=profile["streamer_id"],
                    version=0,
                    embedding=(embedding / np.linalg.norm(embedding)).tobytes(),
                    content=content.astype("<f2").tobytes(),
                    facets=b"{}",
                    model_version=manifest.model_version,
                    profile=text,
                    digest=hashlib.sha256(text).hexdigest(),
                    status="indexed",
                    modalities=b"{}",
                    id_embedding=b"",
                    updated_at=0.0,
                )
            )
        yield part


def rings_of(world: World) -> list[tuple[list[str], set[str]]]:
    """Seeds and accounts of each ring."""
    seeds: defaultdict[str, list[str]] = defaultdict(list)
    members: defaultdict[str, set[str]] = defaultdict(set)
    for name, ring, kind in zip(world.ids, world.rings, world.kinds, strict=True):
        if ring is not None:
            members[ring].add(name)
            if kind == "ring_seed":
                seeds[ring].append(name)
    return [(seeds[ring], members[ring]) for ring in sorted(members)]


def score(found: set[str], ring: set[str], seeds: Sequence[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the accounts beside the seeds."""
    found, ring = found - {*seeds}, ring - {*seeds}
    hits = len(found & ring)
    precision, recall = hits / max(len(found), 1), hits / len(ring)
    return precision, recall, 2 * hits / max(len(found) + len(ring), 1)


def text_of(profile: Mapping[str, Any]) -> str:
    """All text of a profile, folded."""
    items = [*profile.get("videos", []), *profile.get("lives", [])]
    texts = [profile.get("name"), profile.get("bio"), *profile.get("tags", [])]
    return sounds_like("\n".join(t for t in (*texts, *(i.get("title") for i in items)) if t))


def by_tf_idf(world: World) -> tuple[float, float, float]:
    """Scores by TF-IDF over folded text, at the threshold with the best mean F1."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char", ngram_range=(2, 4), min_df=2).fit_transform(
        [text_of(profile) for profile in world.profiles]
    )
    place = {name: i for i, name in enumerate(world.ids)}
    names = np.array(world.ids)
    best = (0.0, 0.0, 0.0)
    nearest = [
        (seeds, ring, (vectors @ vectors[[place[s] for s in seeds]].T).toarray().max(1))
        for seeds, ring in rings_of(world)
    ]
    for threshold in np.arange(0.05, 0.95, 0.025):
        scores = [
            score(set(names[cosines >= threshold].tolist()), ring, seeds)
            for seeds, ring, cosines in nearest
        ]
        mean = means(scores)
        best = max(best, mean, key=lambda each: each[2])
    return best


def means(scores: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Mean of each figure over the rings."""
    precision, recall, f1 = (statistics.fmean(each) for each in zip(*scores, strict=True))
    return precision, recall, f1


def case_of(seeds: Sequence[str]) -> Case:
    """A case that begins with these."""
    return Case("case-0", "benchmark", tuple(seeds), (), 0.0, "", "")


async def quality(bundle: Path, world: World, query: Query, details: bool) -> None:
    """Print what is found of the rings of a world."""
    async with expander(bundle, world) as expanding:
        for name, asked in (("case", query), ("one hop", replace(query, hops=1))):
            scores, visited = [], []
            for seeds, ring in rings_of(world):
                found = await expanding.expand(case_of(seeds), {}, asked, Lane.HEAVY)
                members = {member.streamer_id for member in found.members}
                scores.append(score(members, ring, seeds))
                visited.append(found.run.visited)
                if details and name == "case":
                    print(f"    {len(ring):3} accounts: {scores[-1]} {found.run.stopped_because}")
            tell(
                name, means(scores), f"{len(scores)} rings, {statistics.fmean(visited):.0f} visited"
            )
    tell("TF-IDF", by_tf_idf(world), "best threshold for this world")


def tell(name: str, figures: tuple[float, float, float], more: str) -> None:
    """Print a line of figures."""
    precision, recall, f1 = figures
    print(
        f"  {name:<8} precision {precision:.3f} recall {recall:.3f} F1 {f1:.3f}  {more}", flush=True
    )


async def timing(bundle: Path, world: World, query: Query, rounds: int) -> None:
    """Print how long expansions take, each of another ring, in rounds."""
    async with expander(bundle, world, encoded=False) as expanding:
        rings = rings_of(world)
        took: list[float] = []
        visited: list[int] = []
        for i in range(rounds):
            seeds, _ = rings[i % len(rings)]
            began = time.perf_counter()
            found = await expanding.expand(case_of(seeds), {}, query, Lane.HEAVY)
            took.append((time.perf_counter() - began) * 1000)
            visited.append(found.run.visited)
        low, _, high = statistics.quantiles(took, n=4)
        print(
            f"  {len(world.ids)} streamers, budget {query.budget}, {query.hops} hops: median "
            f"{statistics.median(took):.0f} ms, quartiles {low:.0f} to {high:.0f} ms, "
            f"{statistics.fmean(visited):.0f} visited, {rounds} expansions"
        )


async def large(count: int) -> None:
    """Print the longest steps, in CPU time, of what is done for a case of so many.

    Of what is done in slices in a thread, and of the event loop.
    """
    names = [f"w{i:06}" for i in range(count)]
    made = MadeUpEdges(names)
    edges = await made.compare([pair for name in names for pair in made.below(name)], 0.0)
    stored = dict.fromkeys(names, (1, "0" * 64))
    query = Query(hops=5, min_probability=0.1, budget=20_000, fan_out=64)
    members, _, _ = longest("settled", settled(edges, names[:1], [], query, stored))
    print(f"  {len(members)} members, {len(edges)} edges")
    who = Actor("k", "benchmark")
    running.AT_ONCE_S = 600
    with tempfile.TemporaryDirectory() as folder:
        async with large_cases(Path(folder), count) as served, LoopSteps() as steps:

            def told(name: str, began: float) -> None:
                took = time.perf_counter() - began
                print(f"  {name}: {took:.2f} s, loop held {steps.longest_s * 1000:.1f} ms at most")
                steps.longest_s = 0.0

            steps.longest_s = 0.0
            kept = await served.cases.create("a farm", names[:1], [], who)
            case_id = kept.case.case_id
            for name in ("expand", "rerun"):
                began = time.perf_counter()
                revision = (await served.cases.kept.get(case_id)).revision
                if name == "expand":
                    await served.cases.expand(case_id, query, [revision], who)
                else:
                    await served.cases.rerun(case_id, [revision], who)
                told(name, began)
            began = time.perf_counter()
            shown = await served.cases.show(case_id, None, 0, 200)
            to_json(detail_fields(shown, None))
            told("a page", began)
            for file_format in MEDIA_TYPES:
                began = time.perf_counter()
                size = 0
                async for part in (await served.exports.export(case_id, file_format)).parts:
                    size += len(part)
                told(f"{file_format} of {size >> 20} MiB", began)


def longest(name: str, steps: Generator[Any, None, T]) -> T:
    """What a generator returns; prints its longest step."""
    most = whole = 0.0
    while True:
        began = time.thread_time()
        try:
            next(steps)
        except StopIteration as end:
            print(f"  {name}: longest step {most * 1000:.1f} ms, {whole:.2f} s in all")
            return end.value
        took = time.thread_time() - began
        most, whole = max(most, took), whole + took


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.cases", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--streamers", type=int, default=4000)
    parser.add_argument("--hidden", type=float, default=HIDDEN, help="share of accounts in rings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the worlds")
    parser.add_argument("--min-probability", type=float, default=Query().min_probability)
    parser.add_argument("--budget", type=int, default=Query().budget)
    parser.add_argument("--time", action="store_true", help="how long it takes, with budget 500")
    parser.add_argument("--large", type=int, metavar="N", help="steps of a case of N members")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--details", action="store_true", help="the figures of each ring")
    args = parser.parse_args()
    if args.large:
        asyncio.run(large(args.large))
        return 0
    bundle = args.bundle
    query = Query(min_probability=args.min_probability, budget=args.budget)
    for seed in args.seeds:
        world = generate(args.streamers, seed, hidden_share=args.hidden)
        print(f"world of {args.streamers}, seed {seed}", flush=True)
        if args.time:
            asyncio.run(timing(bundle, world, replace(query, budget=500), args.rounds))
        else:
            asyncio.run(quality(bundle, world, query, args.details))
    return 0


if __name__ == "__main__":
    sys.exit(main())
