"""What a streamer takes in the store, before and after `compact`, and what the store's files take.

    python -m tests.benchmarks.one_machine --source data --build build/one --rows 200000

Streamers of a data folder, written by a service, are copied to a store of its own; rows beyond
them are the same profiles under other ids with other vectors near the first ones. With `--in-place`
that data folder itself is measured and compacted.
"""

import argparse
import asyncio
import hashlib
import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from service.engine.encoding.onnx_encoder import EMBEDDING_BITS, rounded
from service.store.base import Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore
from service.store.redis.packing.dictionary import Dictionary
from service.store.redis.packing.packing import BY_DICTIONARY
from service.store.redis.packing.repacking import Repacking

_AT_ONCE, _SAMPLE = 250, 2000
_MIB = 1 << 20


async def opened(folder: Path, stack: AsyncExitStack) -> ArchivedStore:
    """The store of a data folder, until the stack ends."""
    embedded = await stack.enter_async_context(EmbeddedStore(folder / "store"))
    store = await ArchivedStore(embedded.url).open()
    stack.push_async_callback(store.close)
    return store


async def records_of(store: ArchivedStore) -> AsyncGenerator[list[Record]]:
    """All records."""
    after = ""
    while ids := await store.list_ids(after, _AT_ONCE):
        after = ids[-1]
        yield [record for record in await store.get(ids) if record is not None]


async def fill(source: Path, target: Path, rows: int, *, without_vectors: bool) -> None:
    """Copy streamers, again and again under other ids, until there are `rows`."""
    rng = np.random.default_rng(1)
    async with AsyncExitStack() as stack:
        read, write = await opened(source, stack), await opened(target, stack)
        await write.set_model_version(await read.model_version() or "")
        await write.client.ask("CONFIG SET", "hash-max-listpack-value", 64)
        written = copy = 0
        while written < rows:
            async for part in records_of(read):
                part = part[: rows - written]
                await write.write(
                    [Upsert(_copied(each, copy, rng, without_vectors)) for each in part]
                )
                written += len(part)
                if not part:
                    break
            copy += 1
        tell("bytes a streamer, by the server's defaults (a table a record)", await sizes(write))


def _copied(record: Record, copy: int, rng: np.random.Generator, without_vectors: bool) -> Record:
    name = f"{record.streamer_id}-{copy}" if copy else record.streamer_id
    profile = json.loads(record.profile)
    if without_vectors:
        profile = _without_vectors(profile)
    profile["streamer_id"] = name
    text = json.dumps(profile, ensure_ascii=False, separators=(",", ":")).encode()
    vector = np.frombuffer(record.embedding, "<f4")
    if copy:
        vector = vector + rng.standard_normal(len(vector)) * 0.5 / max(len(vector), 1) ** 0.5
        vector /= max(float(np.linalg.norm(vector)), 1e-9)
    return replace(
        record,
        streamer_id=name,
        profile=text,
        digest=hashlib.sha256(text).hexdigest(),
        embedding=rounded(vector[None], EMBEDDING_BITS)[0].astype("<f4").tobytes(),
    )


def _without_vectors(value: Any) -> Any:
    """A profile without ready-made vectors of pictures and sounds."""
    if isinstance(value, list):
        return [_without_vectors(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {n: v for n, v in value.items() if not (isinstance(v, dict) and "vector" in v)}
    return {name: _without_vectors(each) for name, each in kept.items()}


async def sizes(store: ArchivedStore) -> dict[str, Any]:
    """Bytes a streamer: all that the server uses, and the kinds of keys."""
    ask = store.client.ask
    rows = await store.count()
    used = (await ask("INFO", "memory"))["used_memory"]
    drawn: list[bytes] = await ask("ZRANDMEMBER", "ss:ids", _SAMPLE)
    asked = [("MEMORY USAGE", b"ss:record:" + name, "SAMPLES", 0) for name in drawn]
    found: dict[str, float] = defaultdict(float)
    found["record, its key included"] = float(np.mean(await store.client.ask_all(asked)))
    cursor = b"0"
    while True:
        cursor, keys = await ask("SCAN", cursor, "COUNT", 10_000)
        for key in keys:
            if not key.startswith((b"ss:record:", b"ss:done:")):
                kind = ":".join(key.decode().split(":")[:2])
                found[kind] += await ask("MEMORY USAGE", key, "SAMPLES", 1000) / rows
        if int(cursor) == 0:
            break
    return {"all": used / rows, **{name: size for name, size in found.items() if size >= 0.5}}


async def rewrite(store: ArchivedStore) -> dict[str, float]:
    """Have the server rewrite its log; how long it takes, and the memory meanwhile."""
    server = psutil.Process((await store.client.ask("INFO", "server"))["process_id"])
    before, peak, begin = server.memory_full_info().uss, 0, time.perf_counter()
    await store.rewrite_files()
    while True:
        state = await store.client.ask("INFO", "persistence")
        processes = [server, *server.children()]
        pss = 0
        for process in processes:
            try:
                pss += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, pss)
        if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
            break
        await asyncio.sleep(0.05)
    return {
        "seconds": time.perf_counter() - begin,
        "MiB before": before / _MIB,
        "peak MiB, both processes": peak / _MIB,
        "MiB of the file": state["aof_current_size"] / _MIB,
    }


async def costs(store: ArchivedStore, dictionary: Dictionary) -> tuple[float, float]:
    """Microseconds of a core that a record's fields take to be packed, and unpacked."""
    records = [record async for part in records_of(store) for record in part[:20]][:_SAMPLE]
    values = [[getattr(record, name) for name in BY_DICTIONARY] for record in records]
    begin = time.thread_time()
    packed = [[dictionary.pack(value) for value in row] for row in values]
    middle = time.thread_time()
    for row, plain in zip(packed, values, strict=True):
        for value, before in zip(row, plain, strict=True):
            assert value == before or dictionary.unpack(value) == before
    end = time.thread_time()
    return (middle - begin) / len(values) * 1e6, (end - middle) / len(values) * 1e6


def tell(name: str, figures: dict[str, float]) -> None:
    """Print a line."""
    print(f"{name}:", "; ".join(f"{n} {v:,.1f}" for n, v in figures.items()), flush=True)


async def measure(folder: Path) -> None:
    """Print everything."""
    async with AsyncExitStack() as stack:
        store = await opened(folder, stack)
        print(f"{await store.count():,} streamers")
        tell("bytes a streamer, a record in one piece", await sizes(store))
        tell("rewrite", await rewrite(store))
        begin, cpu = time.perf_counter(), time.process_time()
        packed = await Repacking(store).run()
        took, used = time.perf_counter() - begin, time.process_time() - cpu
        print(
            f"compacted in {took:.0f} s ({used:.0f} s of a core beside the server's): "
            f"{packed.bytes_before / packed.streamers:,.0f} bytes of profile, facets, modalities "
            f"and vectors became {packed.bytes_after / packed.streamers:,.0f}"
        )
        tell("bytes a streamer, compacted", await sizes(store))
        tell("rewrite, compacted", await rewrite(store))
        dictionary = await store.packing.active()
        assert dictionary is not None
        pack, unpack = await costs(store, dictionary)
        print(f"a record is packed in {pack:.0f} µs of a core and unpacked in {unpack:.0f}")
    begin = time.perf_counter()
    async with AsyncExitStack() as stack:
        store = await opened(folder, stack)
        print(f"the server starts in {time.perf_counter() - begin:.1f} s")
        tell("bytes a streamer, started again", await sizes(store))


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.one_machine", description=__doc__
    )
    parser.add_argument("--source", type=Path, required=True, help="a data folder, stopped")
    parser.add_argument("--build", type=Path, default=Path("build/one"))
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--without-vectors", action="store_true", help="of covers, in profiles")
    parser.add_argument("--in-place", action="store_true")
    args = parser.parse_args()
    folder: Path = args.source
    if not args.in_place:
        folder = args.build / f"data-{args.rows}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        begin = time.perf_counter()
        asyncio.run(fill(args.source, folder, args.rows, without_vectors=args.without_vectors))
        print(f"{args.rows:,} streamers written in {time.perf_counter() - begin:.0f} s")
    asyncio.run(measure(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
