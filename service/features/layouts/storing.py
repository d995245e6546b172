"""Layouts in the store: a record each, and their anchors in parts.

They are documents, so they are in backups. Ids are kept as hashes, which erasure removes. It also
writes each record anew, and a part is only stored with the revision that the record had before it
was asked who is still there: so nobody is stored who was erased, whenever that was.
"""

import asyncio
import base64
import contextlib
import json
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from service.engine.layouts.anchors import Anchors, Frame, keys_of
from service.engine.layouts.registering import Registration
from service.engine.work.lanes import Lane, Lanes, run_to_end
from service.features.jobs.runner import persist
from service.store.documents import Document, DocumentStore, Put, RevisionConflict

COLLECTION = "layouts"
CURRENT = "current"
"""The document that names the layout which is served."""
_PART_BYTES = 1 << 19
_LAYOUTS_AT_ONCE = 100
StillThere = Callable[[slice], Awaitable[NDArray[np.bool_]]]


@dataclass(frozen=True)
class LayoutRecord:
    """What is kept of a layout beside its anchors.

    Attributes:
        layout_id: names it.
        created_at: seconds since 1970.
        model_version: whose vectors it was fitted on.
        fitted: on how many streamers.
        took_s: the fit.
        frame: what a map shows of it.
        first_keys: where its parts begin: 0, then between two keys, so that none of them is left
            here of who is erased.
        registration: how well it lies on the one before; None of the first one.
        is_replaced: whether another one is served since, and it is about to be removed.
    """

    layout_id: str
    created_at: float
    model_version: str
    fitted: int
    took_s: float
    frame: Frame
    first_keys: list[int]
    registration: Registration | None = None
    is_replaced: bool = False

    @classmethod
    def of_json(cls, text: bytes) -> Self:
        """Read a stored record.

        Raises:
            ValueError: it can't be read.
        """
        return _RECORD.validate_json(text)  # type: ignore[return-value]

    def to_json(self) -> bytes:
        """The record as it is stored."""
        return json.dumps(asdict(self)).encode()


_RECORD = TypeAdapter(LayoutRecord)


class LayoutGone(Exception):
    """A layout was removed while it was read or published; another one has taken its place."""


class StoredLayouts:
    """Reads and writes layouts. All methods raise StoreUnavailable if the store does not answer."""

    def __init__(self, documents: DocumentStore, lanes: Lanes) -> None:
        """Keep them in `documents`; parts are packed in threads of `lanes`."""
        self._documents = documents
        self._lanes = lanes

    async def current(self) -> LayoutRecord | None:
        """The layout that is served; None before the first one."""
        return await self.get(CURRENT)

    async def get(self, layout_id: str) -> LayoutRecord | None:
        """A layout, published or not; None if there is none of this id."""
        (found,) = await self._documents.get(COLLECTION, [layout_id])
        return None if found is None else LayoutRecord.of_json(found.body)

    async def put(
        self, record: LayoutRecord, anchors: Anchors, still_there: StillThere
    ) -> tuple[LayoutRecord, int]:
        """Write a layout that is not served yet.

        Args:
            record: of it, without its parts.
            anchors: of it.
            still_there: tells which of some rows of them may be stored: those that nobody had
                erased when it was called.

        Returns:
            The record with its parts, and how many anchors they have.

        Raises:
            Unavailable: a trouble did not pass; up to then each part is tried by itself.
        """
        size = max(1, _PART_BYTES // (2 * anchors.vectors.shape[1] + 16))
        kept = replace(record, first_keys=_bounds(anchors.keys, size))
        text, stored, number = kept.to_json(), 0, 0
        begun = [Put(COLLECTION, kept.layout_id, text)]
        (revision,) = await persist(lambda: self._documents.change(begun))
        while number < len(kept.first_keys):
            part = slice(number * size, (number + 1) * size)
            count, body = await persist(partial(self._part, anchors, part, still_there))
            made = Put(_parts_of(kept), _name(number), body)
            both = [made, Put(COLLECTION, kept.layout_id, text, revision)]
            try:
                _, revision = await persist(partial(self._documents.change, both))
            except RevisionConflict as conflict:  # somebody was erased, or the answer was lost
                revision = conflict.found
                continue
            stored, number = stored + count, number + 1
        return kept, stored

    async def _part(
        self, anchors: Anchors, part: slice, still_there: StillThere
    ) -> tuple[int, bytes]:
        """How many of some rows may be stored, and what is stored of them."""
        rows = part.start + np.flatnonzero(await still_there(part))
        return len(rows), await self._lanes.run_in_slices(_packed(anchors, rows), Lane.BULK)

    async def publish(self, record: LayoutRecord) -> None:
        """Have a layout served from now on, and remove all others; once more does no harm.

        Who comes late removes none that was published since.

        Raises:
            LayoutGone: another one was, and this one is removed.
        """
        while True:
            (current,) = await self._documents.get(COLLECTION, [CURRENT])
            expected = 0 if current is None else current.revision
            puts, is_there = [Put(COLLECTION, CURRENT, record.to_json(), expected)], False
            async for one, found in self._all():
                if is_own := one.layout_id == record.layout_id:
                    if one.is_replaced:
                        raise LayoutGone(record.layout_id)
                    is_there = True
                body = found.body if is_own else replace(one, is_replaced=True).to_json()
                puts.append(Put(COLLECTION, one.layout_id, body, found.revision))
            if not is_there:
                raise LayoutGone(record.layout_id)
            with contextlib.suppress(RevisionConflict):  # of an erasure, or another publication
                await self._documents.change(puts)
                break
        async for one, _ in self._all():
            if one.is_replaced:
                await self._documents.drop(_parts_of(one))
                await self._documents.change([Put(COLLECTION, one.layout_id, None)])

    async def load(self, record: LayoutRecord) -> Anchors | None:
        """The anchors of a layout; None when everyone that it was fitted on was erased.

        Raises:
            LayoutGone: it is not there any more.
            Overloaded: too much work waits.
        """
        parts: list[_Part] = []
        for number in range(len(record.first_keys)):
            (found,) = await self._documents.get(_parts_of(record), [_name(number)])
            if found is None:
                raise LayoutGone(record.layout_id)
            part = await self._lanes.run_in_slices(_unpacked(found.body), Lane.BULK)
            if len(part[0]):
                parts.append(part)
        if not parts:
            return None
        return Anchors(
            np.concatenate([keys for keys, _, _ in parts]),
            np.concatenate([vectors for _, vectors, _ in parts]),
            np.concatenate([places for _, _, places in parts]),
            record.frame,
        )

    async def erase(self, streamer_id: str) -> None:
        """Remove the anchor that a streamer is, from all layouts; it is not stored any more."""
        key = int(keys_of([streamer_id])[0])
        async for record, _ in self._all():
            await self._renew(record.layout_id)  # first: see above
            number = bisect_right(record.first_keys, key) - 1
            await self._erase(record, _name(number), key)

    async def _all(self) -> AsyncGenerator[tuple[LayoutRecord, Document], None]:
        """All layouts, published or not, and the documents that have them."""
        after: str | None = None
        while found := await self._documents.page(COLLECTION, after, _LAYOUTS_AT_ONCE):
            for one in found:
                if one.document_id != CURRENT:
                    yield LayoutRecord.of_json(one.body), one
            after = found[-1].document_id

    async def _renew(self, layout_id: str) -> None:
        """Give a record another revision."""
        while True:
            (found,) = await self._documents.get(COLLECTION, [layout_id])
            if found is None:
                return
            same = Put(COLLECTION, layout_id, found.body, found.revision)
            with contextlib.suppress(RevisionConflict):
                await self._documents.change([same])
                return

    async def _erase(self, record: LayoutRecord, name: str, key: int) -> None:
        while True:
            (found,) = await self._documents.get(_parts_of(record), [name])
            if found is None:
                return
            # Not in lanes: the command `erase` has none that run.
            part = await asyncio.to_thread(run_to_end, _unpacked(found.body))
            others = np.flatnonzero(part[0] != key)
            if len(others) == len(part[0]):
                return
            packing = _packed(Anchors(*part, record.frame), others)
            body = await asyncio.to_thread(run_to_end, packing)
            try:
                await self._documents.change([Put(_parts_of(record), name, body, found.revision)])
            except RevisionConflict:
                continue
            return


_Part = tuple[NDArray[np.uint64], NDArray[np.float16], NDArray[np.float32]]


def _bounds(keys: NDArray[np.uint64], size: int) -> list[int]:
    """Where parts of ascending keys begin: each bound is above the last key of the part before."""
    firsts: list[int] = keys[size::size].tolist()
    lasts: list[int] = keys[size - 1 :: size].tolist()
    return [0, *((last + first) // 2 + 1 for last, first in zip(lasts, firsts, strict=False))]


def _parts_of(record: LayoutRecord) -> str:
    return f"{COLLECTION}:{record.layout_id}"


def _name(number: int) -> str:
    return f"{number:06d}"


def _packed(anchors: Anchors, rows: NDArray[np.intp]) -> Generator[None, None, bytes]:
    body: dict[str, Any] = {"dim": anchors.vectors.shape[1]}
    for name, column in (
        ("keys", anchors.keys[rows].astype("<u8")),
        ("vectors", anchors.vectors[rows].astype("<f2")),
        ("places", anchors.places[rows].astype("<f4")),
    ):
        body[name] = base64.b64encode(column.tobytes()).decode()
        yield
    return json.dumps(body).encode()


def _unpacked(text: bytes) -> Generator[None, None, _Part]:
    body = json.loads(text)
    yield
    keys, vectors, places = (
        np.frombuffer(base64.b64decode(body[name]), kind)
        for name, kind in (("keys", "<u8"), ("vectors", "<f2"), ("places", "<f4"))
    )
    return (
        keys.astype(np.uint64),
        vectors.astype(np.float16).reshape(-1, int(body["dim"])),
        places.astype(np.float32).reshape(-1, 2),
    )
