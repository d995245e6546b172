"""Chunks of a generation: written from a hand-over, and read into memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import numpy as np

from service.engine.spaces.chunk_codec import (
    ATTRIBUTES,
    IDS,
    INTERACTIONS,
    NEIGHBOURS,
    STREAMERS,
    USERS,
    VECTORS,
    DamagedChunk,
    name_of,
    packed_floats,
    packed_ids,
    rows_per_chunk,
    unpacked_floats,
    unpacked_ids,
)
from service.engine.spaces.generation import Generation
from service.engine.spaces.packed_ids import PackedIds
from service.engine.spaces.row_vectors import RowVectors
from service.engine.spaces.streamer_neighbours import (
    MOST_NEIGHBOURS,
    NeighboursPart,
    StreamerNeighbours,
    unpacked_neighbours,
)
from service.engine.spaces.user_attributes import UserAttributes
from service.engine.work.ahead import ahead
from service.engine.work.lanes import Lanes
from service.features.spaces.patient_work import in_a_thread
from service.features.spaces.readers.rows import HandOver, Rows
from service.store.spaces import GenerationRecord, SpaceStore

_AT_ONCE = 2
"""The store writes, or reads, a part while a thread is at the next one."""


@dataclass(frozen=True)
class StoredChunks:
    """What was written.

    Attributes:
        count: chunks, of all kinds.
        streamer_chunks, user_chunks: parts of streamers and of users.
        stored_bytes: of all.
    """

    count: int
    streamer_chunks: int
    user_chunks: int
    stored_bytes: int


async def write_chunks(
    store: SpaceStore,
    chunks_id: str,
    given: HandOver,
    lanes: Lanes,
    check: Callable[[], None],
) -> StoredChunks:
    """Write all rows of a hand-over; they expire unless they are kept.

    Args:
        store: to write to.
        chunks_id: a new name.
        given: the rows.
        lanes: where chunks are packed.
        check: called before each, and raises if the hand-over is to end.

    Raises:
        StoreFull: disk or memory is full.
        StoreUnavailable: the store does not answer.
    """
    kinds = ((STREAMERS, given.streamers), (USERS, given.users))
    sizes = {kind: rows_per_chunk(_width(rows)) for kind, rows in kinds}

    async def packed() -> AsyncGenerator[dict[str, bytes]]:
        for kind, rows in kinds:
            for part, start in enumerate(range(0, rows.count, sizes[kind])):
                check()
                call = partial(_packed, rows, start, start + sizes[kind])
                found = await in_a_thread(lanes, call)
                yield {name_of(kind, part, what): data for what, data in found.items()}

    async def put(chunks: Mapping[str, bytes]) -> None:
        await asyncio.gather(*(store.put_chunk(chunks_id, *chunk) for chunk in chunks.items()))

    count = size = 0
    async with aclosing(ahead(packed(), put, _AT_ONCE)) as stored:
        async for chunks, _ in stored:
            count, size = count + len(chunks), size + sum(map(len, chunks.values()))
    streamers, users = (-(-rows.count // sizes[kind]) for kind, rows in kinds)
    return StoredChunks(count, streamers, users, size)


def _width(rows: Rows) -> int:
    """The numbers of 32 bits that a row has in its largest chunk."""
    return max(rows.dim, 2 * MOST_NEIGHBOURS if rows.neighbours.count else 1)


def _packed(rows: Rows, start: int, end: int) -> dict[str, bytes]:
    vectors = np.array(rows.vectors()[start:end])
    found = {IDS: packed_ids(rows.ids[start:end]), VECTORS: packed_floats(vectors)}
    if rows.interactions is not None:
        found[INTERACTIONS] = packed_floats(rows.interactions[start:end].reshape(-1, 1))
    if rows.attributes.names:
        found[ATTRIBUTES] = rows.attributes.packed(start, min(end, rows.count))
    if rows.neighbours.count:
        found[NEIGHBOURS] = rows.neighbours.packed(start, min(end, rows.count))
    return found


class ChangedMeanwhile(Exception):
    """A generation was changed or deleted while it was read; read it again, if it is there."""


async def load(
    store: SpaceStore, space: str, record: GenerationRecord, lanes: Lanes
) -> tuple[Generation, StreamerNeighbours | None]:
    """Read a generation into memory: its vectors once, and a chunk.

    Returns:
        The generation, and the neighbours that its streamers came with.

    Raises:
        ChangedMeanwhile: it is not as `record` tells.
        DamagedChunk: a chunk is not as it was written.
        StoreUnavailable: the store does not answer.
    """

    async def read(names: Sequence[str]) -> list[bytes | None]:
        return await store.chunks(record.chunks_id, names)

    own = np.zeros((record.streamers, record.dim), np.float32)
    more = [INTERACTIONS] if record.has_interactions else []
    more += [] if record.neighbours is None else [NEIGHBOURS]
    streamers = _Filling(RowVectors(own), more)
    users = _Filling(
        RowVectors.empty(record.users, record.dim), [ATTRIBUTES] if record.user_attributes else []
    )
    for kind, parts, filling in (
        (STREAMERS, record.streamer_chunks, streamers),
        (USERS, record.user_chunks, users),
    ):
        async with aclosing(ahead(_names(kind, parts, filling.wanted), read, _AT_ONCE)) as chunked:
            async for names, chunks in chunked:
                await in_a_thread(lanes, partial(filling.add, chunks, names[0]))
    ids = await in_a_thread(lanes, streamers.ids)
    user_ids = await in_a_thread(lanes, users.ids)
    generation = Generation(
        space,
        record.generation,
        record.created_at,
        ids,
        own,
        streamers.interactions,
        user_ids,
        users.vectors,
        users.attributes,
    )
    return generation, await in_a_thread(lanes, streamers.joined_neighbours)


async def _names(kind: str, parts: int, wanted: Sequence[str]) -> AsyncGenerator[list[str]]:
    for part in range(parts):
        yield [name_of(kind, part, what) for what in wanted]


class _Filling:
    """Arrays of streamers or users that are being filled, a chunk at a time."""

    def __init__(self, vectors: RowVectors, more: Sequence[str]) -> None:
        count = len(vectors)
        self.vectors = vectors
        self.interactions = np.empty(count, np.float32) if INTERACTIONS in more else None
        self.attributes = UserAttributes(count) if ATTRIBUTES in more else None
        self.wanted = (IDS, VECTORS, *more)
        self._neighbours: list[NeighboursPart] = []
        self._done = 0
        self._text = bytearray()
        self._ends = np.empty(count, np.uint64)

    def add(self, chunks: Sequence[bytes | None], name: str) -> None:
        """Take in the next chunk of each kind; raises as `load`."""
        if any(chunk is None for chunk in chunks):
            raise ChangedMeanwhile(
                f"the chunk {name} is gone; where STREAMER_SPACES__CHUNKS_DIR is set, it has to be "
                "the same folder for all"
            )
        whole = [chunk for chunk in chunks if chunk is not None]
        given = dict(zip(self.wanted, whole, strict=True))
        found = [text.encode() for text in unpacked_ids(given[IDS])]
        rows = slice(self._done, self._done + len(found))
        if rows.stop > len(self.vectors):
            raise ChangedMeanwhile(f"there are more rows than {len(self.vectors)}")
        try:
            self.vectors.put(rows.start, unpacked_floats(given[VECTORS]))
            if self.interactions is not None:
                self.interactions[rows] = unpacked_floats(given[INTERACTIONS])[:, 0]
            if self.attributes is not None:
                self.attributes.put(rows.start, given[ATTRIBUTES])
            if NEIGHBOURS in given:
                self._put_neighbours(unpacked_neighbours(given[NEIGHBOURS]), len(found))
        except (DamagedChunk, ValueError) as error:
            raise DamagedChunk(f"chunk {name}: {error}") from error
        sizes = np.array([len(one) for one in found], np.uint64)
        self._ends[rows] = np.uint64(len(self._text)) + np.cumsum(sizes, dtype=np.uint64)
        self._text += b"".join(found)
        self._done = rows.stop

    def _put_neighbours(self, part: NeighboursPart, count: int) -> None:
        if len(part.numbers) != count:
            raise DamagedChunk(f"it has neighbours of {len(part.numbers)} streamers, not {count}")
        self._neighbours.append(part)

    def joined_neighbours(self) -> StreamerNeighbours | None:
        """The neighbours of all rows; None where there are none.

        Raises:
            DamagedChunk: they are not as they were written.
        """
        parts, self._neighbours = self._neighbours, []
        return StreamerNeighbours.joined(parts) if parts else None

    def ids(self) -> PackedIds:
        """The ids of all rows.

        Raises:
            ChangedMeanwhile: there are fewer than there should be.
        """
        if self._done != len(self.vectors):
            raise ChangedMeanwhile(f"there are {self._done} rows, not {len(self.vectors)}")
        return PackedIds(bytes(self._text), self._ends)
