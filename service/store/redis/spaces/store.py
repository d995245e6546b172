"""Spaces on Valkey or Redis.

ss:spaces                    hash: JSON of a `SpaceRecord` by space
ss:space:chunks:<id>         hash: vectors and ids in parts; expires before it is kept. Where chunks
                             are in a folder, those alone that an erasure has changed
ss:space:upload:<space>      the token of the hand-over that is being received; expires
ss:space:erased              sorted set: notes of who was erased, by the time of the erasure
ss:space:receiving           is there while hand-overs are received; expires
ss:space:erasures            sorted set: `<number> <space and row>` of erasures of late, by time, of
                             which hand-overs were received meanwhile
ss:spaces:replicas           hash: by replica, when it told what it has in memory, and that
ss:spaces:once:<key>         the request that changed a space once, for a day
ss:meta                      hash: spaces_mark, drawn at random at each change; spaces_erasures,
                             how many there were
"""

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.store.once import REMEMBERED_S, Once
from service.store.redis.client import Argument, RedisClient
from service.store.redis.events.feed import EMIT, event_arguments
from service.store.redis.presence import RedisPresence
from service.store.redis.spaces.folder import ChunkFolder
from service.store.spaces import (
    ERASED_KEPT_S,
    ERASURES_KEPT_S,
    UPLOAD_LEASE_S,
    ChunksLost,
    ErasedRow,
    Erasures,
    RowErasure,
    SpaceChange,
    SpaceRecord,
)

_CHANGE = EMIT + Path(__file__).with_name("change.lua").read_text(encoding="utf-8")
_ERASE = Path(__file__).with_name("erase.lua").read_text(encoding="utf-8")
_TAKE = """
-- KEYS  lease, whether any is held;  ARGV  token, milliseconds
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], '', 'PX', ARGV[2])
return 1
"""
_GIVE_BACK = """
-- KEYS  lease;  ARGV  token
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
"""
_NOTE_ERASURE = """
-- KEYS  meta, erasures of late, whether hand-overs are received
-- ARGV  space and row, seconds for which it is kept
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[2]))
local number = redis.call('HINCRBY', KEYS[1], 'spaces_erasures', 1)
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('ZADD', KEYS[2], now, number .. ' ' .. ARGV[1])
  redis.call('EXPIRE', KEYS[2], tonumber(ARGV[2]))
end
"""
_UNKEPT_S = 3600
"""Chunks of a hand-over that is never kept are gone so long after the last of them came."""


class RedisSpaces:
    """A `SpaceStore` on a Valkey or Redis server."""

    def __init__(
        self, client: RedisClient, prefix: str = "ss:", folder: ChunkFolder | None = None
    ) -> None:
        """Ask by `client` for what is kept under a prefix; new chunks go to `folder`, if any."""
        self._client = client
        self._folder = folder
        self._records, self._meta = f"{prefix}spaces", f"{prefix}meta"
        self._chunk_key, self._upload = f"{prefix}space:chunks:", f"{prefix}space:upload:"
        self._erased, self._once = f"{prefix}space:erased", f"{prefix}spaces:once:"
        self._receiving, self._erasures = f"{prefix}space:receiving", f"{prefix}space:erasures"
        self._events = [f"{prefix}events", f"{prefix}events:meta"]
        self._change, self._erase = client.script(_CHANGE), client.script(_ERASE)
        self._take, self._give_back = client.script(_TAKE), client.script(_GIVE_BACK)
        self._note_erasure = client.script(_NOTE_ERASURE)
        self._presence = RedisPresence(client, f"{prefix}spaces:replicas")

    async def mark(self) -> str:
        """Another text after each change; empty as long as there was none."""
        mark: bytes | None = await self._client.ask("HGET", self._meta, "spaces_mark")
        return (mark or b"").decode()

    async def all(self) -> dict[str, bytes]:
        """Every record as it is stored, by space."""
        found: dict[bytes, bytes] = await self._client.ask("HGETALL", self._records)
        return {space.decode(): record for space, record in found.items()}

    async def get(self, space: str) -> bytes:
        """A record as it is stored; empty if there is none."""
        return await self._client.ask("HGET", self._records, space) or b""

    async def was_done(self, once: Once) -> bool:
        """Whether an earlier request with this name changed a space; see `SpaceStore.was_done`."""
        found: bytes | None = await self._client.ask("GET", self._once + once.key, confirmed=True)
        if found is not None:
            once.check(found.decode())
        return found is not None

    async def change(self, change: SpaceChange) -> bool:
        """Make a change; see `SpaceStore.change`.

        Raises:
            ChunksLost: what shall be kept is not all there; nothing was changed.
        """
        kept, count = change.keep or ("", 0)
        if self._folder is not None and count:
            await self._settle(self._folder, kept, count)
            count = 0
        keys = [self._records, self._meta, *self._events]
        keys.append(self._chunk_key + kept if count else self._meta)
        once = change.once
        keys.append(self._once + ("" if once is None else once.key))
        keys += [self._chunk_key + chunks_id for chunks_id in change.drop]
        arguments: list[Argument] = [change.space, change.before, change.after]
        arguments += [secrets.token_hex(8), count, "" if once is None else once.request]
        arguments += [REMEMBERED_S, "" if change.erasures is None else change.erasures]
        arguments.append(len(change.events))
        done = await self._change(keys, [*arguments, *event_arguments(change.events)])
        if done == -1:
            raise ChunksLost(f"of {count} chunks some are gone")
        if done and self._folder is not None:
            for chunks_id in change.drop:
                await asyncio.to_thread(self._folder.drop, chunks_id)
        return bool(done)

    async def _settle(self, folder: ChunkFolder, chunks_id: str, count: int) -> None:
        if len(await asyncio.to_thread(folder.names, chunks_id)) != count:
            raise ChunksLost(f"of {count} chunks some are gone")
        await asyncio.to_thread(folder.settle, chunks_id)

    async def note_erasure(self, space: str, row: ErasedRow) -> None:
        """Tell hand-overs that are being received of an erasure; see `SpaceStore.note_erasure`."""
        note = json.dumps([space, *row])
        keys = [self._meta, self._erasures, self._receiving]
        await self._note_erasure(keys, [note, int(ERASURES_KEPT_S)])

    async def erasures(self) -> Erasures:
        """Which erasures there were, as of one moment."""
        count, notes = await self._client.ask_together(
            [("HGET", self._meta, "spaces_erasures"), ("ZRANGE", self._erasures, 0, -1)]
        )
        rows: dict[int, tuple[str, ErasedRow]] = {}
        for note in notes:
            number, _, text = note.partition(b" ")
            space, kind, row_id = json.loads(text)
            rows[int(number)] = space, ErasedRow(kind, row_id)
        return Erasures(int(count or 0), rows)

    async def erase(self, erasure: RowErasure) -> bool:
        """Remove a row; see `SpaceStore.erase`."""
        keys = [self._records, self._meta, self._chunk_key + erasure.chunks_id, self._erased]
        kind, row_id = erasure.row
        note = json.dumps([erasure.chunks_id, erasure.number, row_id, kind])
        arguments: list[Argument] = [erasure.space, erasure.before, erasure.after]
        arguments += [secrets.token_hex(8), note, int(ERASED_KEPT_S)]
        for name, chunk in erasure.chunks.items():
            arguments += [name, chunk]
        done = bool(await self._erase(keys, arguments))
        if done:
            await self.clear_replaced(erasure.chunks_id)
        return done

    async def clear_replaced(self, chunks_id: str) -> None:
        """Remove chunks of the folder that the store has itself: these are read in their place."""
        if self._folder is not None:
            names: list[bytes] = await self._client.ask("HKEYS", self._chunk_key + chunks_id)
            replaced = [name.decode() for name in names]
            await asyncio.to_thread(self._folder.remove, chunks_id, replaced)

    async def erased(self, chunks_id: str) -> dict[int, ErasedRow]:
        """Who was erased from a generation lately, by number."""
        notes: list[bytes] = await self._client.ask("ZRANGE", self._erased, 0, -1)
        read = [json.loads(note) for note in notes]
        # Those of a release before tell of users alone, and not of their kind.
        return {
            number: ErasedRow(kind[0] if kind else "user", row_id)
            for of, number, row_id, *kind in read
            if of == chunks_id
        }

    async def put_chunk(self, chunks_id: str, name: str, data: bytes) -> None:
        """Write a chunk; see `SpaceStore.put_chunk`."""
        if self._folder is not None:
            return await asyncio.to_thread(self._folder.put, chunks_id, name, data)
        key = self._chunk_key + chunks_id
        await self._client.ask_together([("HSET", key, name, data), ("EXPIRE", key, _UNKEPT_S)])

    async def chunks(self, chunks_id: str, names: Sequence[str]) -> list[bytes | None]:
        """Chunks as of one moment; None of those that are not there."""
        key = self._chunk_key + chunks_id
        found: list[bytes | None] = await self._client.ask("HMGET", key, *names)
        if self._folder is not None:
            for i, name in enumerate(names):
                if found[i] is None:
                    found[i] = await asyncio.to_thread(self._folder.get, chunks_id, name)
        return found

    async def chunk_names(self, chunks_id: str) -> list[str]:
        """Names of a generation's chunks."""
        names: list[bytes] = await self._client.ask("HKEYS", self._chunk_key + chunks_id)
        found = {name.decode() for name in names}
        if self._folder is not None:
            found.update(await asyncio.to_thread(self._folder.names, chunks_id))
        return sorted(found)

    async def drop_chunks(self, chunks_id: str) -> None:
        """Remove chunks of a hand-over that was given up."""
        await self._client.ask("UNLINK", self._chunk_key + chunks_id)
        if self._folder is not None:
            await asyncio.to_thread(self._folder.drop, chunks_id)

    async def begin_upload(self, space: str, token: str) -> bool:
        """Take or keep the right to hand over; see `SpaceStore.begin_upload`."""
        arguments: list[Argument] = [token, int(UPLOAD_LEASE_S * 1000)]
        taken = bool(await self._take([self._upload + space, self._receiving], arguments))
        if taken and self._folder is not None:
            records = [SpaceRecord.of_json(text) for text in (await self.all()).values()]
            kept = {one.chunks_id for record in records for one in record.generations}
            await asyncio.to_thread(self._folder.sweep, kept)
        return taken

    async def end_upload(self, space: str, token: str) -> None:
        """Give it back."""
        await self._give_back([self._upload + space], [token])

    async def note_replica(self, replica: str, held: Mapping[str, Sequence[str]]) -> None:
        """Tell which generations a replica has in memory, by space."""
        await self._presence.note(replica, {space: list(names) for space, names in held.items()})

    async def forget_replica(self, replica: str) -> None:
        """Forget a replica, which stops."""
        await self._presence.forget(replica)

    async def replicas(self, seen_within_s: float) -> dict[str, Mapping[str, Sequence[str]]]:
        """What replicas have in memory, of those that told it so lately."""
        return await self._presence.seen(seen_within_s)
