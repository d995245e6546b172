"""Is every vector that is stored, saved and served that of its profile, and are there no others?

Told apart from writes that go on meanwhile: a version that the other side can't know yet, or any
more, is no difference.
"""

import hashlib
import math
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from service.index.base import VectorIndex
from service.store.base import LogGap, Position, Record
from service.store.redis.backup import ArchivedStore

SHOWN = 20
_CHUNK = 500
_UNIT = 1e-2
"""How far from 1 a vector's length may be: rounding alone is far below."""


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


async def check_store(store: ArchivedStore, findings: Findings) -> Stored:
    """Whether each record has the vector that its status promises, of the store's model."""
    at, model = await store.position(), await store.model_version()
    versions: dict[str, int] = {}
    digests: dict[str, str] = {}
    dims: dict[int, int] = {}
    after = ""
    while ids := await store.list_ids(after, _CHUNK):
        after = ids[-1]
        for streamer_id, record in zip(ids, await store.get(ids), strict=True):
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


def _wrong_with(record: Record, model: str | None, size: int) -> list[str]:
    """What is wrong with a record whose embedding should have `size` bytes."""
    wrong: list[str] = []
    if record.model_version != model:
        wrong.append(f"was made by model {record.model_version}, the store is of {model}")
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


async def check_snapshot(
    index: VectorIndex, place: Position, stored: Stored, store: ArchivedStore, findings: Findings
) -> str | None:
    """Whether a saved index is the store's as of its place; why it would not be used, if so."""
    if place.epoch != stored.at.epoch:
        return "it is of another history of the store"
    try:
        changed = await store.changed_since(place.sequence, place.mark)
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
