"""Verification: records agree with themselves, and the indexes with the records.

Writes that go on meanwhile are no differences: a version that the other side can't know yet, or no
longer, is left out.
"""

import asyncio
import hashlib
import math
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from service.engine.encoding.onnx_encoder import Encoded
from service.index.base import VectorIndex
from service.store.base import LogGap, Position, Record
from service.store.progress import Tell
from service.store.redis.backup import ArchivedStore

SHOWN = 20
_CHUNK = 500
_UNIT = 1e-2
"""How far from 1 a vector's length may be: rounding alone is far below."""
_SAME_COSINE = 0.999
"""Vectors that two machines compute for one profile are at least so near."""
_DROPPED = b'"sha256":"'
"""In a stored profile: the bytes of a picture or sound were not kept, so its digest can't be
computed again."""


@dataclass
class Findings:
    """What is wrong.

    Attributes:
        count: how many differences there are.
        shown: the first of them: whose, and what it is.
        streamers: how many were looked at.
        vectors: how many of those have one.
    """

    count: int = 0
    shown: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    streamers: int = 0
    vectors: int = 0

    def add(self, streamer_id: str, what: str) -> None:
        """One more."""
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append((streamer_id, what))


@dataclass(frozen=True)
class Stored:
    """What a store says that an index should hold.

    Attributes:
        at: where its log ended before it was read.
        versions: by id.
        digests: of the embeddings, by id; empty of those without a vector.
    """

    at: Position
    versions: Mapping[str, int]
    digests: Mapping[str, str]


def digest_of(embedding: bytes) -> str:
    """What tells a vector from others, short; empty without one."""
    return hashlib.sha256(embedding).hexdigest()[:16] if embedding else ""


async def check_store(store: ArchivedStore, findings: Findings, tell: Tell) -> Stored:
    """Whether each record has the vector that its status promises, of the store's model."""
    at, model = await store.position(), await store.model_version()
    versions: dict[str, int] = {}
    digests: dict[str, str] = {}
    dims: dict[int, int] = {}
    after, total, looked = "", await store.count(), 0
    while ids := await store.list_ids(after, _CHUNK):
        after = ids[-1]
        looked += len(ids)
        tell(min(looked, total), total)
        async for streamer_id, record in _records(store, ids):
            if record is None:
                if await store.is_listed(streamer_id):
                    findings.add(streamer_id, "is listed and has no record")
                continue
            versions[streamer_id] = record.version
            digests[streamer_id] = digest_of(record.embedding)
            if record.embedding:
                dims[len(record.embedding)] = dims.get(len(record.embedding), 0) + 1
            for what in _wrong_with(record, model, max(dims, key=lambda d: dims[d], default=0)):
                findings.add(streamer_id, what)
    async for streamer_id in store.orphans():
        findings.add(streamer_id, "has a record and is not listed")
    end = (await store.position()).sequence
    for streamer_id, version in versions.items():
        if not 0 < version <= end:
            findings.add(streamer_id, f"is of version {version}, the last write was {end}")
    findings.streamers, findings.vectors = len(versions), sum(map(bool, digests.values()))
    return Stored(at, versions, digests)


def _is_json(value: bytes) -> bool:
    try:
        from_json(value)
    except ValueError:
        return False
    return True


def _wrong_with(record: Record, model: str | None, size: int) -> list[str]:
    """What is wrong with a record whose embedding should have `size` bytes."""
    wrong: list[str] = []
    if record.model_version != model:
        wrong.append(f"was made by model {record.model_version}, the store is of {model}")
    computed = hashlib.sha256(record.profile).hexdigest()
    if computed != record.digest and _DROPPED not in record.profile:
        wrong.append("has a profile that its digest is not of")
    for name, value in (("facets", record.facets), ("modalities", record.modalities)):
        if value and not _is_json(value):
            wrong.append(f"has {name} that can't be read")
    if bool(record.embedding) != (record.status == "indexed"):
        has = "a" if record.embedding else "no"
        wrong.append(f"has {has} vector and status {record.status}")
    if bool(record.content) != bool(record.embedding):
        wrong.append("has one of vector and content sketch without the other")
    if record.embedding:
        if len(record.embedding) != size:
            wrong.append(f"has a vector of {len(record.embedding)} bytes, others have {size}")
        length = float(
            np.linalg.norm(np.frombuffer(_whole(record.embedding), "<f4").astype(np.float64))
        )
        if not math.isfinite(length) or abs(length - 1) > _UNIT:
            wrong.append(f"has a vector of length {length:.3f}")
    return wrong


async def check_encoding(
    store: ArchivedStore,
    stored: Stored,
    sample: int,
    encode: Callable[[Record], Encoded | None],
    findings: Findings,
) -> None:
    """Encode some stored profiles again, and compare the vectors with the stored ones.

    Args:
        store: of the records.
        stored: who is there.
        sample: how many profiles are drawn at random.
        encode: what the store's model makes of a record's profile; None without usable content.
        findings: takes the differences.
    """
    ids = sorted(stored.versions)
    ids = random.sample(ids, min(sample, len(ids)))
    for start in range(0, len(ids), _CHUNK):
        async for _, record in _records(store, ids[start : start + _CHUNK]):
            if record is None:
                continue  # deleted meanwhile
            findings.streamers += 1
            findings.vectors += bool(record.embedding)
            encoded = await asyncio.to_thread(encode, record)
            if (encoded is None) != (not record.embedding):
                gives = "no" if encoded is None else "a"
                findings.add(record.streamer_id, f"gives {gives} vector when it is encoded again")
            elif encoded is not None:
                for name, again, kept in (
                    ("vector", encoded.embedding, np.frombuffer(_whole(record.embedding), "<f4")),
                    ("content sketch", encoded.content, np.frombuffer(record.content, "<f2")),
                ):
                    if _cosine(again, kept) < _SAME_COSINE:
                        findings.add(record.streamer_id, f"has not the {name} of its profile")


async def _records(
    store: ArchivedStore, ids: Sequence[str]
) -> AsyncIterator[tuple[str, Record | None]]:
    for part in await store.chunks(ids):
        for found in zip(part, await store.get(part), strict=True):
            yield found


def _cosine(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Cosine of two vectors (D,); 0 where their widths differ or one is zero."""
    if one.shape != other.shape:
        return 0.0
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


async def check_snapshot(
    index: VectorIndex, place: Position, stored: Stored, store: ArchivedStore, findings: Findings
) -> str | None:
    """Whether a saved index is the store's as of its place; why it would not be used, if so."""
    if place.epoch != stored.at.epoch:
        return "it is of another history of the store"
    older = min(place, stored.at, key=lambda at: at.sequence)  # a service may have saved it since
    try:
        changed = await store.changed_since(older.sequence, older.mark)
    except LogGap as gap:
        return f"the log does not go on where it ends ({gap})"
    held = {i: (version, digest) async for i, version, digest in held_by(index)}
    compare(stored, held, findings, changed)
    if findings.vectors != index.count:
        findings.add("*", f"{index.count} vectors can be found, {findings.vectors} are somebody's")
    return None


async def held_by(index: VectorIndex) -> AsyncIterator[tuple[str, int, str]]:
    """Id, version and digest of everyone in an index, as `VectorIndex.rows` gives them."""
    async for row in index.rows():
        vector = b"" if row.embedding is None else row.embedding.astype("<f4").tobytes()
        yield row.streamer_id, row.version, digest_of(vector)


def compare(
    stored: Stored,
    held: Mapping[str, tuple[int, str]],
    findings: Findings,
    changed: Collection[str],
) -> None:
    """Whether an index holds what is stored.

    Args:
        stored: what it should hold.
        held: what it holds, version and digest by id.
        findings: takes the differences.
        changed: who was changed between the two, or meanwhile.
    """
    findings.streamers, findings.vectors = len(held), sum(bool(d) for _, d in held.values())
    for streamer_id in stored.versions.keys() | held.keys():
        if streamer_id in changed:
            continue
        version, digest = stored.versions.get(streamer_id), stored.digests.get(streamer_id)
        found = held.get(streamer_id)
        if version is None:
            findings.add(streamer_id, "is not stored and is in the index")
        elif found is None:
            findings.add(streamer_id, "is stored and is not in the index")
        elif found[0] != version:
            findings.add(streamer_id, f"is stored as {version} and in the index as {found[0]}")
        elif found[1] != digest:
            findings.add(streamer_id, "has another vector in the index than in the store")


def _whole(embedding: bytes) -> bytes:
    return embedding[: len(embedding) // 4 * 4]
