"""Spaces in backups: their records, and a file of chunks for each generation."""

import contextlib
import json
import secrets
import struct
from collections.abc import Iterator
from dataclasses import replace

from service.errors import StartupError, Unavailable
from service.files.checksummed import Broken, ChecksummedFolder, FolderWriter
from service.store.redis.spaces.store import RedisSpaces
from service.store.spaces import GenerationRecord, SpaceChange, SpaceRecord

SPACES = "spaces.json"
_FRAME = struct.Struct("<HI")
_MOST_CHUNK_BYTES = 256 << 20
_TRIES = 10


class ChangesTooOften(StartupError):
    """Spaces were changed again and again while they were copied."""


async def copy_spaces(store: RedisSpaces, folder: FolderWriter) -> None:
    """Write all spaces to a backup, beside changes of them.

    Raises:
        ChangesTooOften: each copy of a generation was out of date when it was done.
        StoreUnavailable: the store does not answer.
    """
    copied: set[str] = set()
    for _ in range(_TRIES):
        records = await store.all()
        for record in _generations(records):
            if (name := _file_of(record)) not in copied and await _copy(store, record, folder):
                copied.add(name)
        named = set(map(_file_of, _generations(records)))
        if records == await store.all() and copied >= named:
            for name in copied - named:  # of generations that went, or from which rows were erased
                folder.remove(name)
            if records:
                texts = {space: text.decode() for space, text in records.items()}
                folder.write(SPACES, json.dumps(texts).encode())
            return
    raise ChangesTooOften("spaces were changed meanwhile, again and again: try again later")


async def _copy(store: RedisSpaces, record: GenerationRecord, folder: FolderWriter) -> bool:
    """Write the chunks of a generation; False if it was deleted meanwhile."""
    names = await store.chunk_names(record.chunks_id)
    if not names:
        return False
    with folder.file(_file_of(record)) as file:
        for name in names:
            (chunk,) = await store.chunks(record.chunks_id, [name])
            if chunk is not None:
                file.write(_FRAME.pack(len(name), len(chunk)) + name.encode())
                file.write(chunk)
    return True


async def restore_spaces(store: RedisSpaces, source: ChecksummedFolder) -> None:
    """Put the spaces of a backup in place of those of a store.

    Chunks get new names: those of a shared folder may be of another store, from which rows were
    erased since. What an interrupted restore wrote there goes with it or, after a kill, with a
    later hand-over.

    Raises:
        Broken: they are not as they were written.
        StoreFull, StoreUnavailable: the store can't take them.
    """
    for space, text in (await store.all()).items():
        dropped = [g.chunks_id for g in SpaceRecord.of_json(text).generations]
        await store.change(SpaceChange(space, text, b"", drop=dropped))
    if SPACES not in source.files:
        return
    try:
        texts: dict[str, str] = json.loads(source.read(SPACES))
        records = {space: SpaceRecord.of_json(text.encode()) for space, text in texts.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise Broken(f"{source.path / SPACES} can't be read: {error!r}") from error
    written: list[str] = []
    try:
        for record in records.values():
            await _restore(store, source, record, written)
    except BaseException:
        for chunks_id in written:
            with contextlib.suppress(Unavailable):  # a later hand-over removes them
                await store.drop_chunks(chunks_id)
        raise


async def _restore(
    store: RedisSpaces, source: ChecksummedFolder, record: SpaceRecord, written: list[str]
) -> None:
    """Write a space; the names of its chunks are added to `written` as they are drawn."""
    generations: list[GenerationRecord] = []
    for generation in record.generations:
        chunks_id = secrets.token_hex(12)
        written.append(chunks_id)
        count = 0
        for name, chunk in _chunks(source, _file_of(generation)):
            await store.put_chunk(chunks_id, name, chunk)
            count += 1
        generations.append(replace(generation, chunks_id=chunks_id))
        # The record grows by what is complete, and has all of it in the end.
        is_last = len(generations) == len(record.generations)
        part = replace(record, generations=generations) if is_last else None
        after = (part or SpaceRecord(record.space, generations)).to_json()
        change = SpaceChange(record.space, await store.get(record.space), after, (chunks_id, count))
        await store.change(change)


def _generations(records: dict[str, bytes]) -> Iterator[GenerationRecord]:
    for text in records.values():
        yield from SpaceRecord.of_json(text).generations


def _file_of(record: GenerationRecord) -> str:
    return f"generation-{record.chunks_id}-{record.erased}"


def _chunks(source: ChecksummedFolder, file: str) -> Iterator[tuple[str, bytes]]:
    if file not in source.files:
        raise Broken(f"{source.path} has no {file}, of which {SPACES} tells")
    buffer = bytearray()
    for block in source.blocks(file):
        buffer += block
        while len(buffer) >= _FRAME.size:
            name_bytes, size = _FRAME.unpack_from(buffer)
            end = _FRAME.size + name_bytes + size
            if size > _MOST_CHUNK_BYTES:
                raise Broken(f"{source.path / file} has a chunk of {size} bytes")
            if len(buffer) < end:
                break
            name = buffer[_FRAME.size : _FRAME.size + name_bytes].decode()
            yield name, bytes(buffer[_FRAME.size + name_bytes : end])
            del buffer[:end]
    if buffer:
        raise Broken(f"{source.path / file} ends in the middle")
