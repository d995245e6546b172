"""Receives hand-overs: to disk, read row by row, checked, and stored as a generation."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from service.engine.work.background import Background
from service.engine.work.lanes import Lanes
from service.errors import (
    GenerationExists,
    HandOverUnderWay,
    InvalidRequest,
    Overloaded,
    ServiceError,
    StoreFull,
    UnsupportedMediaType,
)
from service.features.spaces.checking import Before, Checker
from service.features.spaces.erasing import drop_row
from service.features.spaces.patient_work import in_a_thread, in_slices
from service.features.spaces.readers.lines import read_lines
from service.features.spaces.readers.npz import read_npz
from service.features.spaces.readers.rows import HandOver, Rows
from service.features.spaces.records import contended
from service.features.spaces.storing import StoredChunks, write_chunks
from service.files import parquet
from service.files.spool import BLOCK_BYTES, Spool, Upload
from service.settings.spaces import Spaces as Settings
from service.store.spaces import (
    UPLOAD_LEASE_S,
    ChunksLost,
    GenerationRecord,
    SpaceChange,
    SpaceRecord,
    SpaceStore,
)

Form = Literal["lines", "npz", "parquet"]
_AT_ONCE = 2
_TRIES = 20
_TOKEN = 1
_NOT_KEPT = (GenerationExists, HandOverUnderWay, StoreFull)
"""Whose hand-over raises one of these, the store has not kept it."""


@dataclass(frozen=True)
class _Received:
    """A hand-over that was received and read.

    Attributes:
        given: its rows.
        sha256: of what was sent.
        erasures: how many there had been before.
    """

    given: HandOver
    sha256: str
    erasures: int


class Receiver:
    """Takes hand-overs, two at once, and one of a space, all replicas together."""

    def __init__(
        self, store: SpaceStore, spool: Spool, checker: Checker, lanes: Lanes, settings: Settings
    ) -> None:
        """Keep uploads in `spool`, and generations in `store`."""
        self._store = store
        self._spool = spool
        self._checker = checker
        self._lanes = lanes
        self._settings = settings
        self._under_way: set[str] = set()

    async def sweep(self) -> None:
        """Remove what uploads left behind that a process did not live to end."""
        for upload in await asyncio.to_thread(self._spool.old_jobs):
            if upload not in self._under_way:
                await asyncio.to_thread(self._spool.remove, upload)

    async def receive(
        self,
        space: str,
        generation: str,
        parts: AsyncIterator[bytes],
        form: Form,
        key_id: str,
        before: Callable[[], Awaitable[Before | None]],
    ) -> GenerationRecord:
        """Store a generation, whether it passes its checks or not.

        Args:
            space: whose it is.
            generation: its name.
            parts: of the body.
            form: of the body.
            key_id: who hands it over.
            before: what it is compared with.

        Raises:
            GenerationExists: there is one of this name.
            HandOverUnderWay: another one of the space is being received.
            InvalidRequest: it can't be read, or a row is not usable; nothing was changed.
            Overloaded: too many are being received.
            SpoolFull, StoreFull: there is no room for it.
            StoreUnavailable: the store does not answer.
        """
        if form == "parquet" and not parquet.is_readable():
            raise UnsupportedMediaType(parquet.MISSING)
        if len(self._under_way) >= _AT_ONCE:
            raise Overloaded(f"{_AT_ONCE} hand-overs are being received already", 30)
        token = secrets.token_hex(12)
        self._under_way.add(token)
        try:
            await self.sweep()  # what was too young to be given up when the service started
            async with self._alone(space, token) as lease:
                await self._check_new(space, generation)
                async with self._received(token, parts, form, lease) as received:
                    checks = await self._checker.check(received.given, await before())
                    lease.check()
                    return await self._store_it(
                        space, generation, received, checks, key_id, token, lease
                    )
        finally:
            self._under_way.discard(token)

    @contextlib.asynccontextmanager
    async def _alone(self, space: str, token: str) -> AsyncGenerator["_Lease"]:
        if not await self._store.begin_upload(space, token):
            raise under_way(space)
        lease, renewing = _Lease(self._store, space, token), Background("lease of a hand-over")
        renewing.start(lease.renew())
        try:
            yield lease
        finally:
            await renewing.stop()
            with contextlib.suppress(ServiceError):  # it expires
                await self._store.end_upload(space, token)

    async def _check_new(self, space: str, generation: str) -> None:
        text = await self._store.get(space)
        if text and SpaceRecord.of_json(text).get(generation) is not None:
            raise exists(space, generation)
        if not text and len(await self._store.all()) >= self._settings.max_spaces:
            raise InvalidRequest.of_parameter(
                "space",
                f"would be one more than {self._settings.max_spaces} spaces: delete the "
                "generations of another, or raise STREAMER_SPACES__MAX_SPACES",
            )

    @contextlib.asynccontextmanager
    async def _received(
        self, token: str, parts: AsyncIterator[bytes], form: Form, lease: "_Lease"
    ) -> AsyncGenerator[_Received]:
        """Receive and read a hand-over, whose files are gone afterwards."""
        given: HandOver | None = None
        try:
            erasures = (await self._store.erasures()).count
            sha256 = await self._to_disk(token, parts, lease)
            given = await asyncio.to_thread(self._new_hand_over, token)
            await in_slices(self._lanes, self._read(token, form, given))
            yield _Received(given, sha256, erasures)
        finally:
            if given is not None:
                await asyncio.to_thread(given.discard)
            await asyncio.to_thread(self._spool.remove, token)

    async def _to_disk(self, token: str, parts: AsyncIterator[bytes], lease: "_Lease") -> str:
        block, digest = bytearray(), hashlib.sha256()

        def write(upload: Upload, part: bytes) -> None:
            upload.write(part)
            digest.update(part)

        async with self._spool.receiving(token) as upload:
            async for part in parts:
                block += part
                if len(block) >= BLOCK_BYTES:
                    await asyncio.to_thread(write, upload, bytes(block))
                    block.clear()
                    lease.check()
            await asyncio.to_thread(write, upload, bytes(block))
            await asyncio.to_thread(upload.keep)
        return digest.hexdigest()

    def _new_hand_over(self, token: str) -> HandOver:
        known, folder = self._settings, self._spool.folder
        return HandOver(
            Rows(
                folder / f"{token}.streamers",
                self._spool,
                "streamers",
                known.max_streamers,
                known.max_dim,
                are_users=False,
            ),
            Rows(
                folder / f"{token}.users",
                self._spool,
                "users",
                known.max_users,
                known.max_dim,
                are_users=True,
            ),
        )

    def _read(self, token: str, form: Form, into: HandOver) -> Generator[None, None, None]:
        path = self._spool.upload(token)
        if form == "parquet":
            lines: Path = self._spool.lines(token, _TOKEN)
            with path.open("rb") as file:
                yield from parquet.write_lines(file, lines, self._spool)
            path = lines
        yield from (read_npz if form == "npz" else read_lines)(path, into)
        yield from into.close()

    async def _store_it(
        self,
        space: str,
        generation: str,
        received: _Received,
        checks: list[dict[str, Any]],
        key_id: str,
        token: str,
        lease: "_Lease",
    ) -> GenerationRecord:
        given, chunks_id = received.given, secrets.token_hex(12)
        is_asked = False  # the store, to keep it
        try:
            written = await write_chunks(self._store, chunks_id, given, self._lanes, lease.check)
            record = _record(generation, chunks_id, received, written, checks, key_id)
            erasures = received.erasures
            for _ in range(_TRIES):
                record, erasures = await self._without_erased(space, record, given, erasures)
                is_asked = True
                if await self._keep(space, record, written.count, erasures):
                    return record
                is_asked = False
            raise contended(space)
        except BaseException as error:
            # A store that did not answer may have kept it: its chunks expire if not.
            if not is_asked or isinstance(error, _NOT_KEPT):
                with contextlib.suppress(ServiceError):  # they expire
                    await self._store.drop_chunks(chunks_id)
            raise

    async def _without_erased(
        self, space: str, record: GenerationRecord, given: HandOver, since: int
    ) -> tuple[GenerationRecord, int]:
        """A generation without who was erased since, and how many erasures there were by now."""
        known = await self._store.erasures()
        for number in range(since + 1, known.count + 1):
            if number not in known.rows:
                raise HandOverUnderWay(
                    "rows were erased while the hand-over was received, and which ones is not "
                    "known any more: repeat it without them"
                )
            of, row = known.rows[number]
            rows = given.users if row.kind == "user" else given.streamers
            if of in ("", space) and rows.ids.find(row.row_id) is not None:
                with _took_too_long():
                    in_thread = partial(in_a_thread, self._lanes)
                    record = await drop_row(self._store, record, row, in_thread)
        return record, known.count

    async def _keep(self, space: str, record: GenerationRecord, chunks: int, erasures: int) -> bool:
        """Add a generation to a space, in place of the oldest that is not needed."""
        before = await self._store.get(space)
        known = SpaceRecord.of_json(before) if before else SpaceRecord(space)
        if known.get(record.generation) is not None:
            raise exists(space, record.generation)
        after, dropped = pruned(
            replace(known, generations=[*known.generations, record]), self._settings.keep
        )
        change = SpaceChange(
            space,
            before,
            after.to_json(),
            (record.chunks_id, chunks),
            [g.chunks_id for g in dropped],
            erasures=erasures,
        )
        with _took_too_long():
            return await self._store.change(change)


@contextlib.contextmanager
def _took_too_long() -> Generator[None, None, None]:
    try:
        yield
    except ChunksLost as error:
        raise HandOverUnderWay(f"{error}: the hand-over took too long; repeat it") from error


class _Lease:
    """The right to hand over for a space, which is renewed while the hand-over goes on."""

    def __init__(self, store: SpaceStore, space: str, token: str) -> None:
        self._store = store
        self._space = space
        self._token = token
        self._is_lost = False

    async def renew(self) -> None:
        """Keep it, until this is cancelled or another one has it."""
        while not self._is_lost:
            await asyncio.sleep(UPLOAD_LEASE_S / 6)
            with contextlib.suppress(ServiceError):  # it may answer in time
                self._is_lost = not await self._store.begin_upload(self._space, self._token)

    def check(self) -> None:
        """Go on only while nobody else has it.

        Raises:
            HandOverUnderWay: another one has it.
        """
        if self._is_lost:
            raise under_way(self._space)


def under_way(space: str) -> HandOverUnderWay:
    """The error for a second hand-over meanwhile."""
    return HandOverUnderWay(
        f"another generation of {space!r} is being received; try again when it is done, or "
        f"{UPLOAD_LEASE_S:g} s after it was given up"
    )


def exists(space: str, generation: str) -> GenerationExists:
    """The error for a name that is taken."""
    return GenerationExists(
        f"generation {generation!r} of {space!r} is there already, and never changes: choose "
        "another name, or delete that one first"
    )


def pruned(space: SpaceRecord, keep: int) -> tuple[SpaceRecord, list[GenerationRecord]]:
    """A space with at most so many generations, and those that go.

    What is served, what was served before, what is about to be and the newest stay.
    """
    needed = {*space.served[-2:], space.preparing, space.generations[-1].generation}
    spare = [g for g in space.generations if g.generation not in needed]
    dropped = spare[: max(0, len(space.generations) - keep)]
    gone = {g.generation for g in dropped}
    kept = replace(
        space,
        generations=[g for g in space.generations if g.generation not in gone],
        served=[name for name in space.served if name not in gone],
    )
    return kept, dropped


def _record(
    generation: str,
    chunks_id: str,
    received: _Received,
    written: StoredChunks,
    checks: list[dict[str, Any]],
    key_id: str,
) -> GenerationRecord:
    streamers = received.given.streamers
    return GenerationRecord(
        generation=generation,
        chunks_id=chunks_id,
        created_at=round(time.time(), 3),
        passed=all(check["passed"] is not False for check in checks),
        forced=False,
        checks=checks,
        dim=streamers.dim,
        streamers=streamers.count,
        users=received.given.users.count,
        has_interactions=streamers.interactions is not None,
        streamer_chunks=written.streamer_chunks,
        user_chunks=written.user_chunks,
        stored_bytes=written.stored_bytes,
        sha256=received.sha256,
        key_id=key_id,
        user_attributes=received.given.users.attributes.names,
        neighbours=streamers.neighbours.count or None,
    )
