"""Verification of spaces: each generation has the vectors that its record tells of."""

import numpy as np

from service.engine.spaces.chunk_codec import (
    IDS,
    NEIGHBOURS,
    STREAMERS,
    USERS,
    VECTORS,
    DamagedChunk,
    name_of,
    unpacked_floats,
    unpacked_ids,
)
from service.engine.spaces.streamer_neighbours import unpacked_neighbours
from service.features.operations.verification import Findings
from service.store.spaces import GenerationRecord, SpaceRecord, SpaceStore


async def check_spaces(store: SpaceStore, findings: Findings) -> int:
    """Check all generations; how many there are. Names of what is wrong are `space/generation`."""
    count = 0
    for space, text in (await store.all()).items():
        try:
            record = SpaceRecord.of_json(text)
        except ValueError:
            findings.add(space, "has a record that can't be read")
            continue
        for name in record.served:
            if record.get(name) is None:
                findings.add(space, f"is said to serve {name!r}, which it does not have")
        for generation in record.generations:
            count += 1
            for what in await _wrong_with(store, generation, findings):
                if await store.get(space) == text:  # else it was changed meanwhile
                    findings.add(f"{space}/{generation.generation}", what)
    return count


async def _wrong_with(store: SpaceStore, record: GenerationRecord, findings: Findings) -> list[str]:
    wrong: list[str] = []
    for kind, what, parts, expected in (
        (STREAMERS, "streamers", record.streamer_chunks, record.streamers),
        (USERS, "users", record.user_chunks, record.users),
    ):
        seen: set[str] = set()
        rows = 0
        for part in range(parts):
            names = [name_of(kind, part, IDS), name_of(kind, part, VECTORS)]
            ids, vectors = await store.chunks(record.chunks_id, names)
            if ids is None or vectors is None:
                wrong.append(f"lacks the chunk {names[0 if ids is None else 1]}")
                continue
            try:
                found, read = unpacked_ids(ids), unpacked_floats(vectors)
            except DamagedChunk as error:
                wrong.append(f"has a damaged chunk {names[1]}: {error}")
                continue
            if read.shape != (len(found), record.dim):
                wrong.append(f"has {len(found)} ids and vectors of {read.shape} in {names[1]}")
            norms = np.einsum("ij,ij->i", read, read)
            if not (np.isfinite(norms) & (norms > 0)).all():
                wrong.append(f"has a vector that is zero or not finite in {names[1]}")
            seen |= set(found)
            rows += len(found)
        if rows != expected or len(seen) != rows:
            wrong.append(f"has {rows} {what}, {len(seen)} different ones, and tells of {expected}")
        findings.streamers += rows
        findings.vectors += rows
    if record.neighbours is not None:
        wrong += await _wrong_neighbours(store, record, record.neighbours)
    return wrong


async def _wrong_neighbours(
    store: SpaceStore, record: GenerationRecord, expected: int
) -> list[str]:
    wrong: list[str] = []
    rows = having = 0
    before = -1
    for part in range(record.streamer_chunks):
        name = name_of(STREAMERS, part, NEIGHBOURS)
        (chunk,) = await store.chunks(record.chunks_id, [name])
        if chunk is None:
            wrong.append(f"lacks the chunk {name}")
            continue
        try:
            found = unpacked_neighbours(chunk)
        except DamagedChunk as error:
            wrong.append(f"has a damaged chunk {name}: {error}")
            continue
        if len(found.numbers) and found.numbers[0] <= before:
            wrong.append(f"has neighbours in {name} that are not in the order of their streamers")
        before = int(found.numbers[-1]) if len(found.numbers) else before
        rows += len(found.numbers)
        having += int(np.count_nonzero(found.lengths))
    if (rows, having) != (record.streamers, expected):
        wrong.append(
            f"has neighbours of {having} of {rows} streamers, and tells of {expected} of "
            f"{record.streamers}"
        )
    return wrong
