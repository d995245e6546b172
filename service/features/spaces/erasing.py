"""Erasure of a streamer or a user from the generations that have it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.chunk_codec import (
    ATTRIBUTES,
    IDS,
    INTERACTIONS,
    NEIGHBOURS,
    STREAMERS,
    USERS,
    VECTORS,
    name_of,
    packed_floats,
    packed_ids,
    unpacked_floats,
    unpacked_ids,
)
from service.engine.spaces.streamer_neighbours import unpacked_neighbours
from service.engine.spaces.user_attributes import without_row
from service.errors import StoreUnavailable
from service.store.spaces import (
    ChunksLost,
    ErasedRow,
    GenerationRecord,
    RowErasure,
    SpaceRecord,
    SpaceStore,
)

_TRIES = 20
_PAUSE_S = 0.05

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Makes a call of some milliseconds in a thread."""


class _Unread(Exception):
    """A generation can't be read as it is."""


class _Left(NamedTuple):
    """Chunks without a row, and whether that had neighbours."""

    chunks: dict[str, bytes]
    had_neighbours: bool


async def erase_streamer(store: SpaceStore, streamer_id: str, in_thread: InThread) -> int:
    """Remove a streamer's vector from all generations of all spaces; from how many.

    Raises:
        StoreUnavailable: the store does not answer; asked again, it goes on.
    """
    row = ErasedRow("streamer", streamer_id)
    await store.note_erasure("", row)
    spaces = sorted(await store.all())
    return sum([await _erase_from(store, space, row, in_thread) for space in spaces])


async def erase_row(store: SpaceStore, space: str, row: ErasedRow, in_thread: InThread) -> int:
    """Remove a streamer or a user from all generations of a space; from how many.

    Raises:
        DamagedChunk: a chunk is not as it was written.
        StoreUnavailable: the store does not answer, or vectors of a generation can't be read;
            asked again, it goes on.
    """
    await store.note_erasure(space, row)
    return await _erase_from(store, space, row, in_thread)


async def drop_row(
    store: SpaceStore, record: GenerationRecord, row: ErasedRow, in_thread: InThread
) -> GenerationRecord:
    """Remove a row from the chunks of a generation that is not kept yet; as it is without.

    Raises:
        ChunksLost: they are not all there any more.
        StoreFull, StoreUnavailable: they can't be written anew.
    """
    try:
        left = await _without(store, record, row, in_thread)
    except _Unread as error:
        raise ChunksLost("some chunks are gone") from error
    if left is None:
        return record
    for name, chunk in left.chunks.items():
        await store.put_chunk(record.chunks_id, name, chunk)
    return _less(record, row, left)


async def _erase_from(store: SpaceStore, space: str, row: ErasedRow, in_thread: InThread) -> int:
    text = await store.get(space)
    known = SpaceRecord.of_json(text).generations if text else []
    return sum([await _erase(store, space, one.chunks_id, row, in_thread) for one in known])


async def _erase(
    store: SpaceStore, space: str, chunks_id: str, row: ErasedRow, in_thread: InThread
) -> bool:
    generation = ""
    for _ in range(_TRIES):
        text = await store.get(space)
        known = SpaceRecord.of_json(text) if text else SpaceRecord(space)
        record = next((g for g in known.generations if g.chunks_id == chunks_id), None)
        if record is None:
            return False
        generation = record.generation
        try:
            left = await _without(store, record, row, in_thread)
        except _Unread:  # another one was erased meanwhile, or it is not there
            await asyncio.sleep(_PAUSE_S)
            continue
        if left is None:
            await store.clear_replaced(chunks_id)  # an erasure may have been cut short
            return False
        after = _less(record, row, left)
        changed = known.with_generation(after).to_json()
        erasure = RowErasure(space, text, changed, chunks_id, left.chunks, row, after.erased)
        if await store.erase(erasure):
            return True
    raise StoreUnavailable(
        f"generation {generation!r} of the space {space!r} can't be read as a whole, so it may "
        f"have {row.row_id!r}: try again, with STREAMER_SPACES__CHUNKS_DIR set and its folder "
        "within reach, or delete the generation",
        5,
    )


def _less(record: GenerationRecord, row: ErasedRow, left: _Left) -> GenerationRecord:
    """A generation that has a row less."""
    is_user = row.kind == "user"
    had = None if record.neighbours is None else record.neighbours - left.had_neighbours
    return replace(
        record,
        users=record.users - is_user,
        streamers=record.streamers - (not is_user),
        erased=record.erased + 1,
        erased_streamers=record.erased_streamers + (not is_user),
        neighbours=had,
    )


async def _without(
    store: SpaceStore, record: GenerationRecord, row: ErasedRow, in_thread: InThread
) -> _Left | None:
    """The chunks that hold a row of a generation, as they are without; None if none does.

    Raises:
        _Unread: a chunk is missing, or was changed meanwhile.
    """
    if row.kind == "user":
        kind, parts = USERS, record.user_chunks
        kept = (IDS, VECTORS, ATTRIBUTES) if record.user_attributes else (IDS, VECTORS)
    else:
        kind, parts = STREAMERS, record.streamer_chunks
        kept = (IDS, VECTORS, INTERACTIONS) if record.has_interactions else (IDS, VECTORS)
        kept = kept if record.neighbours is None else (*kept, NEIGHBOURS)
    for part in range(parts):
        names = [name_of(kind, part, what) for what in kept]
        (packed,) = await store.chunks(record.chunks_id, names[:1])
        if packed is None:
            raise _Unread
        ids: list[str] = await in_thread(partial(unpacked_ids, packed))
        if row.row_id not in ids:
            continue
        found = await store.chunks(record.chunks_id, names)
        if found[0] != packed or None in found:
            raise _Unread
        whole = [chunk for chunk in found if chunk is not None]
        chunks: dict[str, bytes] = dict(zip(kept, whole, strict=True))
        left: _Left = await in_thread(partial(_left, ids, chunks, ids.index(row.row_id)))
        return _Left(dict(zip(names, left.chunks.values(), strict=True)), left.had_neighbours)
    return None


def _left(ids: Sequence[str], chunks: dict[str, bytes], row: int) -> _Left:
    left: dict[str, bytes] = {}
    had_neighbours = False
    for what, chunk in chunks.items():
        if what == IDS:
            left[what] = packed_ids([*ids[:row], *ids[row + 1 :]])
        elif what == ATTRIBUTES:
            left[what] = without_row(chunk, row)
        elif what == NEIGHBOURS:
            part = unpacked_neighbours(chunk)
            had_neighbours = bool(part.lengths[row])
            left[what] = part.without(row)
        else:
            kept: NDArray[np.float32] = np.delete(unpacked_floats(chunk), row, axis=0)
            left[what] = packed_floats(kept)
    return _Left(left, had_neighbours)
