"""The store on Valkey or Redis: the embedded one, or a server of one's own.

ss:meta          hash: epoch, sequence, mark (of the last write), model_version, log_entries (most
                 entries of the log, if set), format (`connecting.format`), and what `models.store`
                 and `packing.packing` say
ss:ids           sorted set of all ids, each with score 0: byte order
ss:log           stream: entry `<sequence>-0` per write, so that a gap shows
ss:record:<id>   hash: the fields of `Record`
ss:done:<mark>   what a write did, for as long as it may be sent again
ss:once:<key>    the same of a write that is done once, and what its request was told; for a day

Beside these are what `service.store.redis.jobs`, `.keys`, `.limits` and `.anchors` keep.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

from service.errors import ModelChanged, StoreUnavailable
from service.store.base import (
    Delete,
    DoneBefore,
    IndexEntry,
    LogEntry,
    Outcome,
    Position,
    ProfilePage,
    Record,
    StoredProfile,
    Upsert,
)
from service.store.events import MOST_KEPT, WRITES
from service.store.jobs import JobStep, LeaseLost
from service.store.once import REMEMBERED_S, Once
from service.store.redis.anchors import RedisAnchors
from service.store.redis.client import Argument, ConnectionLost, Limits, RedisClient
from service.store.redis.codec import (
    ENTRY_FIELDS,
    PROFILE_FIELDS,
    RECORD_FIELDS,
    arguments_of,
    done_before_of,
    fitting,
    id_of,
    model_of,
    outcome_of,
    parts_of,
    progress_of,
    second_of,
    terms_of,
    to_entry,
    to_profile,
    to_record,
)
from service.store.redis.connecting.address import StoreAddress
from service.store.redis.connecting.format import check_format
from service.store.redis.connecting.log_reader import LogReader
from service.store.redis.durability import ALWAYS, find_durability, run_id
from service.store.redis.forgetting import forget, rewrite_files
from service.store.redis.keys import RedisKeys
from service.store.redis.limits import RedisLimits
from service.store.redis.models.second import ModelRows, kept_models, set_model
from service.store.redis.packing.packing import Packing

_WRITE = Path(__file__).with_name("write.lua").read_text("utf-8").replace("%KEPT", str(MOST_KEPT))
CHUNK_BYTES = 8 << 20
"""One command moves about so much, so that it is answered well before its timeout."""
_WAITS_S = (0.0, 0.05)
"""Before a write whose connection was lost is sent again."""


class RedisStore:
    """A `StreamerStore` on a Valkey or Redis server.

    Attributes:
        durability: "always" when an acknowledged write is on disk and stays there; otherwise what
            may be lost, for people. Known from `open` on.
        keys: the API keys.
        limits: the rate limits.
        anchors: those of the audit log.
        packing: of the values of records.
    """

    def __init__(
        self,
        address: StoreAddress | str,
        *,
        prefix: str = "ss:",
        limits: Limits | None = None,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Nothing is connected before `open`.

        Args:
            address: of its servers, or the URL of one: `redis://`, `rediss://` or `unix://`.
            prefix: how every key begins; services with the same prefix share their streamers.
            limits: sizes and times.
            trouble: what the supervisor of an embedded store knows to be wrong, if anything.

        Raises:
            UnsafeConfiguration: the address can't be understood.
        """
        self._limits = limits or Limits()
        self._meta, self._ids, self._log = f"{prefix}meta", f"{prefix}ids", f"{prefix}log"
        self._record, self._job = f"{prefix}record:", f"{prefix}job:"
        self._done, self._once = f"{prefix}done:", f"{prefix}once:"
        self._events = f"{prefix}events:{WRITES}"
        self._ahead_ms = 0.0  # the server's clock, of this process's monotonic one
        place = StoreAddress(address) if isinstance(address, str) else address
        self._has_replicas = bool(place.sentinels or place.replicas)
        self._client = RedisClient(place, self._limits, trouble)
        self._rows = ModelRows(self._client)
        self.packing = Packing(self._client, prefix)
        self._write = self._client.script(_WRITE, "store_write")
        # Connections of their own: no traffic delays a revocation.
        self.keys = RedisKeys(
            RedisClient(place, replace(self._limits, connections=2), trouble), prefix
        )
        # A settlement that takes longer than a second is of no use to anyone.
        brief = replace(self._limits, connections=1, connect_timeout_s=1.0, answer_timeout_s=1.0)
        self.limits = RedisLimits(RedisClient(place.unreplicated, brief, trouble), prefix)
        self.anchors = RedisAnchors(self._client, prefix)
        self._new_follower = lambda: RedisClient(place, self._limits, trouble, single=True)
        self.durability = "unknown"

    async def open(self) -> Self:
        """Connect, and find out how durable the server is.

        Raises:
            NewerStore: a newer release wrote it.
            StoreUnavailable: it does not answer.
        """
        try:
            await check_format(self._client, self._meta)
            self.durability = await find_durability(self._client)
            await self.position()
        except BaseException:
            await self.close()
            raise
        return self

    def of_model(self, model: str) -> Self:
        """A view that reads of records with two models' vectors what this one made."""
        view = copy(self)
        view._rows = ModelRows(self._client, model)
        return view

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
        await self.keys.close()
        await self.limits.close()

    @property
    def client(self) -> RedisClient:
        """What else is kept in the same store is asked for by this."""
        return self._client

    async def write(
        self,
        operations: Sequence[Upsert | Delete],
        *,
        once: Once | None = None,
        step: JobStep | None = None,
    ) -> list[Outcome]:
        """Apply operations in order, as one atomic script; see `StreamerStore.write`.

        Each write has a mark, by which the script knows what it did already, and a latest time to
        begin. Without it, what a network held back could undo a later write that was acknowledged.

        Raises:
            DoneBefore: a write of the same name was done already.
            LeaseLost: the job of the step is run by somebody else, or further; nothing was written.
            ModelChanged: the store holds another model's vectors; nothing was written.
            StoreFull: nothing was written, since disk or memory is full.
            StoreUnavailable: no answer; the operations may or may not have been applied.
        """
        if not operations:
            return []
        model = model_of(operations)
        mark = secrets.token_hex(8)
        done = self._done + mark if once is None else self._once + once.key
        job = done if step is None else self._job + step.lease.job_id
        keys = [self._meta, self._ids, self._log, done, job, self._events]
        arguments: list[Argument] = [model, *progress_of(step), *terms_of(once)]
        arguments.append(second_of(operations))
        for operation in await self.packing.operations(operations):
            keys.append(self._record + id_of(operation))
            arguments += arguments_of(operation)
        waits = iter(_WAITS_S)
        while True:
            began = time.monotonic()
            try:
                answers = await self._write(keys, [*self._terms(mark, began, once), *arguments])
            except ConnectionLost:
                wait = next(waits, None)
                if wait is None:
                    raise
                await asyncio.sleep(wait)
                continue
            if isinstance(answers, list):
                found = cast(list[bytes | list[int]], answers)
                if isinstance(found[0], bytes):
                    raise done_before_of(found[0])
                return [outcome_of(answer) for answer in cast(list[list[int]], found)]
            if answers is None:
                raise LeaseLost("the job that this write is a step of is run by others, or further")
            if isinstance(answers, bytes):
                raise ModelChanged(
                    f"the store takes vectors of model {answers.decode()}, this process encodes "
                    f"for {model}: restart it with that model's bundle, or ask one that has it",
                    retry_after_s=5,
                )
            self._ahead_ms = answers - began * 1000  # the server's clock was set
            if next(waits, None) is None:
                raise StoreUnavailable("the store's clock jumps, or a write takes too long")

    def _terms(self, mark: str, began: float, once: Once | None) -> list[Argument]:
        """What write.lua takes for a write as a whole."""
        patience_ms = self._limits.answer_timeout_s * 1000
        latest = began * 1000 + self._ahead_ms + patience_ms
        remember_ms = 3 * patience_ms if once is None else REMEMBERED_S * 1000
        return [self._limits.log_entries, mark, round(latest), round(remember_ms)]

    async def done_before(self, key: str) -> DoneBefore | None:
        """What was done once under a key; see `StreamerStore.done_before`."""
        found: bytes | None = await self._client.ask("GET", self._once + key, confirmed=True)
        return None if found is None else done_before_of(found)

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        """Records by id, None where there is none."""
        rows = await self._fields(ids, RECORD_FIELDS)
        return [to_record(i, row) if row[0] else None for i, row in zip(ids, rows, strict=True)]

    async def entries(self, ids: Sequence[str]) -> list[IndexEntry | None]:
        """What indexes hold of records by id, None where there is none."""
        rows = await self._fields(ids, ENTRY_FIELDS)
        return [to_entry(i, row) if row[0] else None for i, row in zip(ids, rows, strict=True)]

    async def profiles(self, ids: Sequence[str]) -> list[StoredProfile | None]:
        """Profiles by id, None where there is none."""
        rows = await self._fields(ids, PROFILE_FIELDS)
        return [to_profile(i, row) if row[0] else None for i, row in zip(ids, rows, strict=True)]

    async def digests(
        self, ids: Sequence[str], *, confirmed: bool = False
    ) -> list[tuple[int, str] | None]:
        """Versions and digests of profiles by id; see `StreamerStore.digests`."""
        asked = [("HMGET", self._record + i, "version", "digest") for i in ids]
        rows: list[Any] = []
        for start in range(0, len(asked), 1000):  # all at once would keep the event loop
            rows += await self._client.ask_all(asked[start : start + 1000], confirmed=confirmed)
        return [(int(version), digest.decode()) if version else None for version, digest in rows]

    async def tower_vectors(self, ids: Sequence[str]) -> list[bytes]:
        """Tower vectors by id, empty where there are none."""
        return [found or b"" for (found,) in await self._fields(ids, ("tower_vectors",))]

    async def model_versions(self, ids: Sequence[str]) -> list[str | None]:
        """Model versions by id, None where there is no record."""
        rows = await self._fields(ids, ("model_version",))
        return [found and found.decode() for (found,) in rows]

    async def chunks(self, ids: Sequence[str], max_bytes: int = CHUNK_BYTES) -> list[list[str]]:
        """Ids in parts, in order, by the size of their records; see `StreamerStore.chunks`."""
        keys = [self._record + streamer_id for streamer_id in ids]
        profiles = await self._client.ask_all([("HSTRLEN", k, "profile") for k in keys])
        seen = await self._client.ask_all([("HSTRLEN", k, "tower_vectors") for k in keys])
        return parts_of(ids, [sum(sizes) for sizes in zip(profiles, seen, strict=True)], max_bytes)

    async def list_ids(self, after: str, limit: int) -> list[str]:
        """Up to `limit` ids in byte order, strictly after `after` ("" = from the start)."""
        found: list[bytes] = await self._client.ask(
            "ZRANGEBYLEX", self._ids, f"({after}" if after else "-", "+", "LIMIT", 0, limit
        )
        return [streamer_id.decode() for streamer_id in found]

    async def page(self, after: str, limit: int, max_bytes: int) -> ProfilePage:
        """Profiles strictly after an id; see `StreamerStore.page`."""
        ids = await self.list_ids(after, limit)
        sizes = await self._client.ask_all([("HSTRLEN", self._record + i, "profile") for i in ids])
        taken = fitting(sizes, max_bytes)
        read = await self.profiles(ids[:taken])
        taken = fitting([0 if each is None else len(each.profile) for each in read], max_bytes)
        is_last = taken == len(ids) < limit
        found = [profile for profile in read[:taken] if profile is not None]
        return ProfilePage(found, None if is_last else ids[taken - 1])

    async def count(self) -> int:
        """Number of streamers stored."""
        return int(await self._client.ask("ZCARD", self._ids))

    async def position(self, *, confirmed: bool = False) -> Position:
        """Where the log ends now; see `StreamerStore.position`."""
        began = time.monotonic()
        seconds, microseconds = await self._client.ask("TIME")
        self._ahead_ms = seconds * 1000 + microseconds / 1000 - began * 1000
        return await self._position(self._client, confirmed=confirmed)

    async def scan(self, chunk: int = 1000) -> AsyncGenerator[list[IndexEntry], None]:
        """All entries, in chunks; see `StreamerStore.scan`."""
        after, run = "", await run_id(self._client)
        while ids := await self.list_ids(after, chunk):
            yield [entry for entry in await self.entries(ids) if entry is not None]
            after = ids[-1]
        # What was read of a primary may be what the replica that was promoted never had.
        if self._has_replicas and run != await run_id(self._client):
            raise StoreUnavailable("another server is the store's primary since the scan began")

    async def follow(
        self, after: int, epoch: str | None = None, mark: str = ""
    ) -> AsyncGenerator[list[LogEntry], None]:
        """Log entries from `after + 1` on; see `StreamerStore.follow`.

        Raises:
            LogGap: number `after + 1` is no longer in the log, or this is another history.
            StoreUnavailable: the connection was lost; follow again from the last entry applied.
        """
        client = self._new_follower()
        try:
            await self._check_continues(client, after, epoch, mark)
            while True:
                entries = await self._log_by(client).next(after)
                if entries:
                    yield entries
                    after, mark = entries[-1].sequence, entries[-1].mark
                else:
                    await self._check_continues(client, after, epoch, mark)
        finally:
            await client.close()

    async def check_continues(self, place: Position) -> None:
        """Return if the log goes on behind a place; see `StreamerStore.check_continues`."""
        await self._check_continues(self._client, place.sequence, place.epoch, place.mark)

    async def keep_log(self, entries: int) -> int:
        """Have the log of this store keep so many entries, whoever writes; how many it kept before.

        The number is the store's: services that were started with different ones would otherwise
        cut the log to the smallest.
        """
        known = await self._client.ask("HGET", self._meta, "log_entries")
        before = self._limits.log_entries if known is None else int(known)
        if entries != before:
            await self._client.ask("HSET", self._meta, "log_entries", entries)
        return before

    async def forget(self, streamer_id: str, before: int) -> int:
        """Remove a streamer's vectors from the log; see `StreamerStore.forget`."""
        return await forget(self._client, self._log, streamer_id, before)

    async def rewrite_files(self) -> bool:
        """Have the server drop removed bytes; see `StreamerStore.rewrite_files`."""
        return await rewrite_files(self._client)

    async def model_version(self) -> str | None:
        """The model whose vectors are stored; None for an empty store."""
        return (await self.kept_models())[0]

    async def kept_models(self) -> tuple[str | None, str | None]:
        """The model that serves, and the other one whose vectors are written too; or None."""
        return await kept_models(self._client, self._meta)

    async def set_model_version(self, version: str) -> None:
        """Record which model the stored vectors belong to; there is no target then."""
        await set_model(self._client, self._meta, version)

    async def _fields(self, ids: Sequence[str], names: Sequence[str]) -> list[list[Any]]:
        keys = [self._record + streamer_id for streamer_id in ids]
        rows = await self._rows.read(keys, names)
        return await self.packing.unpack_rows(rows, names)

    async def _position(self, client: RedisClient, *, confirmed: bool = False) -> Position:
        """The epoch names a history that never goes back.

        It is drawn once for a store. A server that may lose acknowledged writes in a crash can go
        back and then count on, so its every run is an epoch.
        """
        epoch, sequence, mark = await client.ask(
            "HMGET", self._meta, "epoch", "sequence", "mark", confirmed=confirmed
        )
        if epoch is None:
            await client.ask("HSETNX", self._meta, "epoch", secrets.token_hex(16))
            return await self._position(client)
        run = b"" if self.durability == ALWAYS else b"." + await run_id(client)
        return Position((epoch + run).decode(), int(sequence or 0), (mark or b"").decode())

    async def _check_continues(
        self, client: RedisClient, after: int, epoch: str | None, mark: str
    ) -> None:
        """Raise `LogGap` unless entry `after + 1` is in the log or still to come."""
        await self._log_by(client).check(await self._position(client), after, epoch, mark)

    def _log_by(self, client: RedisClient) -> LogReader:
        return LogReader(client, self._log, self._limits, self._rows.model, self.packing)
