"""How long it takes to group a generated world from nothing, in CPU seconds, time and memory.

    python -m tests.benchmarks.duplicates.grouping --bundle BUNDLE --streamers 100000

Profiles are those of `python -m training world --rings 0.05`, encoded by the bundle and written to
an embedded store. What is measured is the evaluation alone: reading all streamers as candidates,
comparing them, and writing edges and groups. CPU seconds are those of this process, without the
store's: on a machine that does other work too, they tell more than the time.
"""

import argparse
import asyncio
import ctypes
import gc
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from model_export.contract.bundle import Bundle
from model_export.contract.streamer import StreamerProfile
from service.engine.candidates.corpus import Corpus
from service.engine.encoding.onnx_encoder import OnnxEncoder
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.work.lanes import Lanes
from service.features.duplicates.comparing import EvidenceComparer
from service.features.duplicates.evaluation import Evaluation
from service.features.duplicates.rebuild import rebuild
from service.settings import Work
from service.store.base import Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.duplicates.groups import RedisGroups
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.events.feed import RedisEvents
from service.store.redis.store import RedisStore
from training.world import generate

_AT_ONCE = 256
T = TypeVar("T")


def records(bundle: Bundle, profiles: list[dict[str, Any]]) -> Iterator[list[Record]]:
    """Records of profiles, encoded; in parts."""
    manifest = bundle.manifest
    encoder = OnnxEncoder(bundle, threads=1, device="cpu", dim=manifest.dim)
    for start in range(0, len(profiles), _AT_ONCE):
        texts = [json.dumps(p, ensure_ascii=False).encode() for p in profiles[start:][:_AT_ONCE]]
        read = [bundle.featurizer(StreamerProfile.model_validate_json(text)) for text in texts]
        part: list[Record] = []
        for profile, text, features, vectors in zip(
            profiles[start:], texts, read, encoder.encode(read), strict=False
        ):
            usable = features.usable
            part.append(
                Record(
                    streamer_id=profile["streamer_id"],
                    version=0,
                    embedding=vectors.embedding.tobytes() if usable else b"",
                    content=vectors.content.astype("<f2").tobytes() if usable else b"",
                    facets=b"{}",
                    model_version=manifest.model_version,
                    profile=text,
                    digest=hashlib.sha256(text).hexdigest(),
                    status="indexed" if usable else "insufficient_content",
                    modalities=b"{}",
                    id_embedding=b"",
                    updated_at=0.0,
                )
            )
        yield part


async def measured(name: str, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` returns; prints its time and CPU seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    result = await work()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    print(f"  {name:<28} {used:8.1f} s of CPU {took:8.1f} s", flush=True)
    return result


async def group(folder: Path, bundle: Bundle, profiles: list[dict[str, Any]], threads: int) -> None:
    """Write profiles and group them, and print how long that takes."""
    async with EmbeddedStore(folder / "store") as running, AsyncExitStack() as stack:
        store = await RedisStore(running.url).open()
        stack.push_async_callback(store.close)
        for part in records(bundle, profiles):
            await store.write([Upsert(record) for record in part])
        lanes = Lanes(Work(threads=threads))
        lanes.start()
        stack.callback(lanes.stop)
        judgements = RedisJudgements(store.client)
        groups = RedisGroups(store.client, judgements, RedisEvents(store.client))
        token = await groups.claim("benchmark", 3600)
        assert token is not None
        manifest = bundle.manifest
        evidence = Evidence(bundle)
        sides = StoredSides(store, evidence, lanes, manifest.model_version)
        comparer = EvidenceComparer(evidence, sides, lanes, folder)
        corpus = Corpus(manifest.content_dim, manifest.dim)
        before = resident_bytes()
        evaluation = Evaluation(store, groups, judgements, comparer, corpus, lanes, token)

        async def told(_: str, __: int) -> None:
            """Nobody waits for it."""

        await measured("read as candidates", lambda: evaluation.open(to_rebuild=True))
        begin = evaluation.read_from
        assert begin is not None
        await measured(
            "compared and grouped", lambda: rebuild(evaluation, store, "benchmark", begin, "", told)
        )
        print(f"  {evaluation.count} groups, {len(corpus)} streamers")
        print(f"  {(resident_bytes() - before) / len(corpus):.0f} bytes of memory a streamer more")
        some = [str(profile["streamer_id"]) for profile in profiles[:50]]

        async def one_by_one() -> None:
            for name in some:
                await evaluation.evaluate([name], f"again {name}", None)

        await measured("50 evaluated one by one", one_by_one)


def resident_bytes() -> int:
    """Memory of this process, without what the allocator keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.duplicates.grouping",
        description=str(__doc__).splitlines()[0],
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--streamers", type=int, default=100_000)
    parser.add_argument("--rings", type=float, default=0.05, help="share of accounts in rings")
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    world = generate(args.streamers, args.seed, ring_share=args.rings)
    print(f"{args.streamers} streamers, seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(group(Path(folder), Bundle(args.bundle), world.profiles, args.threads))
    return 0


if __name__ == "__main__":
    sys.exit(main())
