"""Records with recognisable content, and what is left of them in an index."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable

from service.store.base import Delete, IndexEntry, LogEntry, Outcome, Record, Upsert, Written
from service.store.redis.store import RedisStore
from tests.service.process import WAIT_S

BINARY = bytes(range(256)) + b"\r\n$-1\r\n\0"


def record(streamer_id: str, text: str = "", *, size: int = 64) -> Record:
    """A record whose profile is `text` and whose vectors depend on it."""
    profile = text.encode() or streamer_id.encode()
    vector = hashlib.shake_256(profile).digest(size)
    return Record(
        streamer_id=streamer_id,
        version=0,
        embedding=vector,
        content=vector[::-1],
        facets=b'{"name":"' + streamer_id.encode() + b'"}',
        profile=profile,
        digest=hashlib.sha256(profile).hexdigest(),
        model_version="model-1",
        status="indexed",
        modalities=b"{}",
        id_embedding=b"",
        updated_at=1_700_000_000.25,
    )


def upsert(streamer_id: str, text: str = "", expected_version: int | None = None) -> Upsert:
    return Upsert(record(streamer_id, text), expected_version)


async def put(store: RedisStore, streamer_id: str, text: str = "") -> int:
    """Write one record; its sequence number."""
    return sequence(await store.write([upsert(streamer_id, text)]))


async def remove(store: RedisStore, streamer_id: str) -> int:
    """Delete one record; the sequence number."""
    return sequence(await store.write([Delete(streamer_id)]))


def sequence(outcomes: list[Outcome]) -> int:
    (outcome,) = outcomes
    assert isinstance(outcome, Written)
    return outcome.sequence


async def scanned(store: RedisStore, chunk: int = 1000) -> dict[str, IndexEntry]:
    return {e.streamer_id: e async for entries in store.scan(chunk) for e in entries}


async def read_log(store: RedisStore, after: int, until: int) -> list[LogEntry]:
    """Log entries `after + 1` to `until`."""
    found: list[LogEntry] = []
    if until > after:
        async with contextlib.aclosing(store.follow(after)) as feed:
            async for entries in feed:
                found += entries
                if found[-1].sequence >= until:
                    break
    return found


def apply(index: dict[str, IndexEntry], log: list[LogEntry]) -> None:
    """What an index does with the log: the newer version wins."""
    for item in log:
        known = index.get(item.streamer_id)
        if known is not None and known.version >= item.sequence:
            continue
        if item.entry is not None:
            index[item.streamer_id] = item.entry
        else:
            index.pop(item.streamer_id, None)


async def until(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
