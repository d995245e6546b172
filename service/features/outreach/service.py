"""Records of outreach: made, listed, deleted, and what they say of whom."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from pydantic import TypeAdapter

from service.engine.work.lanes import Lanes
from service.errors import (
    FieldError,
    OutreachNotFound,
    StreamerNotFound,
    TooManyRecords,
)
from service.store.base import StreamerStore
from service.store.documents import Append, Document, DocumentStore, Entry, Put, RevisionConflict
from service.store.once import Made, Once, Requests

COLLECTION, REQUESTS = "outreach", "outreach:requests"
"""Records by their ids, and the id of a record by the name of the request that made it."""
MOST_RECORDS = 20_000
_AT_ONCE = 100
"""Records read together: each may have 10,000 ids."""
_ENTRIES, _MOST_ENTRIES = 1000, 100_000
"""Entries of the log that are read together, and that are kept."""
_PAGE_RECORDS, _PAGE_IDS = 10, 20_000
"""Records of a page that are read together, and ids after which it ends."""
_SHOWN = 20


@dataclass(frozen=True)
class OutreachRecord:
    """Who was written to.

    Attributes:
        outreach_id: of the record; in byte order, later ones come later.
        ids: of streamers.
        at: when they were written to, seconds since 1970.
        note: for people.
        key_id: of who says so.
        key_name: likewise.
        recorded_at: when it was recorded.
        request: that recorded it, where an `Idempotency-Key` named it.
    """

    outreach_id: str
    ids: tuple[str, ...]
    at: float
    note: str
    key_id: str
    key_name: str
    recorded_at: float
    request: str = ""


_RECORD = TypeAdapter(OutreachRecord)


class Outreach:
    """The use-cases behind `/v1/outreach`, and who is not to be written to again.

    This process keeps in memory who was written to when, and reads what changed from the log of
    the collection before each question: other replicas record as well. Where the log does not go on
    behind what is known, all records are read. The log names records, never streamers, so that an
    erasure needs no change of it.
    """

    def __init__(
        self,
        streamers: StreamerStore,
        documents: DocumentStore,
        lanes: Lanes,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is read yet.

        Args:
            streamers: who is stored.
            documents: where records are kept.
            lanes: where records are read and gone through.
            now: seconds since 1970.
        """
        self._streamers = streamers
        self._documents = documents
        self._lanes = lanes
        self._requests = Requests(documents, REQUESTS)
        self._now = now
        self._known: dict[str, tuple[float, Sequence[str]]] = {}
        self._last: Entry | None = None
        self._is_read = False
        self._reading = asyncio.Lock()

    async def record(
        self,
        ids: Sequence[str],
        at: float | None,
        note: str,
        key_id: str,
        key_name: str,
        once: Once | None = None,
    ) -> OutreachRecord:
        """Record that streamers were written to; on disk when this returns.

        Raises:
            IdempotencyKeyReused: another request has the name of this one.
            StreamerNotFound: names those that are not stored; nothing is recorded then.
            TooManyRecords: so many are kept already.
            StoreUnavailable: the store does not answer.
        """
        noted = await self._requests.made(once)
        if once is not None and (before := await self._made_before(once, noted)) is not None:
            return before
        ids = tuple(dict.fromkeys(ids))
        await self._check(ids)
        if await self._documents.count(COLLECTION) >= MOST_RECORDS:
            raise TooManyRecords(
                f"{MOST_RECORDS} records of outreach are kept: delete old ones first, or record "
                "more streamers at once"
            )
        now = self._now()
        outreach_id = f"{int(now * 1000):012x}{secrets.token_hex(8)}"
        when = now if at is None else at
        request = "" if once is None else once.request
        made = OutreachRecord(outreach_id, ids, when, note, key_id, key_name, now, request)
        puts = [Put(COLLECTION, outreach_id, await self._lanes.run(lambda: _body(made)), 0)]
        puts += self._requests.making(once, outreach_id, noted)
        try:
            await self._documents.change(puts, [_told(outreach_id)])
        except RevisionConflict:  # the same request came twice at once
            noted = await self._requests.made(once)
            if once is None or (before := await self._made_before(once, noted)) is None:
                raise
            return before
        try:
            await self._check(ids)  # an erasure may have looked before this was recorded
        except StreamerNotFound:
            await self._documents.change(_forgotten(self._requests, made), [_told(outreach_id)])
            raise
        return made

    async def _check(self, ids: Sequence[str]) -> None:
        """Refuse those that are not stored."""
        known = await self._streamers.digests(ids)
        missing = [
            FieldError(f"/ids/{place}", f"streamer {name!r} is not stored")
            for place, (name, found) in enumerate(zip(ids, known, strict=True))
            if found is None
        ]
        if missing:
            told = "; ".join(error.detail for error in missing[:_SHOWN])
            more = f" (and {len(missing) - _SHOWN} more)" if len(missing) > _SHOWN else ""
            raise StreamerNotFound(f"{told}{more}; nothing was recorded", missing)

    async def _made_before(self, once: Once, noted: Made) -> OutreachRecord | None:
        """What an earlier request with this name recorded; None if there is none."""
        (found,) = await self._documents.get(COLLECTION, [noted.made_id])
        if found is None:
            return None
        record = await self._lanes.run(lambda: _record(found))
        once.check(record.request)
        return record

    async def page(
        self, after: str, limit: int, streamer_id: str | None = None, since: float | None = None
    ) -> tuple[list[OutreachRecord], str | None]:
        """Records in order, those of a streamer or since a time; and what continues them."""
        chosen: list[str] | None = None
        if streamer_id is not None or since is not None:
            await self._catch_up()
            chosen = await self._lanes.run(lambda: self._chosen(after, streamer_id, since))
        records: list[OutreachRecord] = []
        told = 0
        while len(records) < limit and told < _PAGE_IDS:
            most = min(_PAGE_RECORDS, limit - len(records))
            if chosen is None:
                documents = await self._documents.page(COLLECTION, after or None, most)
            else:
                some, chosen = chosen[:most], chosen[most:]
                documents = [d for d in await self._documents.get(COLLECTION, some) if d]
            if not documents and not chosen:
                return records, None
            found = documents
            read = await self._lanes.run(lambda found=found: [_record(one) for one in found])
            records += read
            told += sum(len(record.ids) for record in read)
            after = records[-1].outreach_id if records else after
        return records, after

    def _chosen(self, after: str, streamer_id: str | None, since: float | None) -> list[str]:
        """Records behind one that have a streamer, or are since a time; in order."""
        return sorted(
            name
            for name, (at, ids) in list(self._known.items())
            if name > after
            and (since is None or at >= since)
            and (streamer_id is None or streamer_id in ids)
        )

    async def delete(self, outreach_id: str) -> OutreachRecord:
        """Delete a record; what it was.

        Raises:
            OutreachNotFound: there is none.
        """
        (found,) = await self._documents.get(COLLECTION, [outreach_id])
        if found is None:
            raise OutreachNotFound(f"there is no record of outreach {outreach_id!r}")
        record = _record(found)
        await self._documents.change(_forgotten(self._requests, record), [_told(outreach_id)])
        return record

    async def written_to(self, since: float) -> Iterator[Sequence[str]]:
        """Ids of everybody who was written to at that time or later, a record at a time."""
        await self._catch_up()
        return (ids for at, ids in list(self._known.values()) if at >= since)

    async def _catch_up(self) -> None:
        """Read what was recorded and deleted since the last time.

        One at a time: who read before another may take in what it read after, so that a record that
        was deleted in between would stay.
        """
        async with self._reading:
            await self._read_log()

    async def _read_log(self) -> None:
        """Read on behind the last entry; all records, where the log has another in its place.

        So it is where a store that failed over lost entries and gave their numbers again, and where
        the log does not keep the entry any more.
        """
        last = self._last
        after = 0 if last is None else last.number - 1
        entries = await self._documents.entries(COLLECTION, after, _ENTRIES)
        goes_on = entries[:1] == [last] if last else not entries or entries[0].number == 1
        if not self._is_read or not goes_on:
            entries = await self._read_all()
        elif last is not None:
            entries = entries[1:]
        while entries:
            names = list(dict.fromkeys(json.loads(entry.body)["changed"] for entry in entries))
            for start in range(0, len(names), _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                found = await self._documents.get(COLLECTION, some)
                # The thread goes on when who waits for it leaves, and others read meanwhile.
                _take(self._known, await self._lanes.run(partial(_read, some, found)))
            self._last = entries[-1]  # who leaves now has not read in vain
            entries = await self._documents.entries(COLLECTION, self._last.number, _ENTRIES)

    async def _read_all(self) -> list[Entry]:
        """Read all records; the entries that came meanwhile."""
        number = await self._documents.last_entry(COLLECTION)
        last = await self._documents.entries(COLLECTION, number - 1, 1) if number else []
        known: dict[str, tuple[float, Sequence[str]]] = {}
        after: str | None = None
        while found := await self._documents.page(COLLECTION, after, _AT_ONCE):
            names = [document.document_id for document in found]
            _take(known, await self._lanes.run(partial(_read, names, found)))
            after = names[-1]
        self._known, self._last, self._is_read = known, last[0] if last else None, True
        return await self._documents.entries(COLLECTION, number, _ENTRIES)


def _read(
    names: Sequence[str], found: Sequence[Document | None]
) -> dict[str, tuple[float, Sequence[str]] | None]:
    """When records say that whom was written to; None of those that are not there."""
    read: dict[str, tuple[float, Sequence[str]] | None] = dict.fromkeys(names)
    for name, document in zip(names, found, strict=True):
        if document is not None:
            record = _record(document)
            read[name] = record.at, record.ids
    return read


def _take(
    known: dict[str, tuple[float, Sequence[str]]],
    read: Mapping[str, tuple[float, Sequence[str]] | None],
) -> None:
    for name, record in read.items():
        if record is None:
            known.pop(name, None)
        else:
            known[name] = record


async def forget(documents: DocumentStore, streamer_id: str) -> int:
    """Take a streamer out of all records, for its erasure; how many had it."""
    requests = Requests(documents, REQUESTS)
    forgotten, after, quoted = 0, None, json.dumps(streamer_id).encode()
    while found := await documents.page(COLLECTION, after, _PAGE_RECORDS):
        after = found[-1].document_id
        for known in found:
            document: Document | None = known
            while document is not None and quoted in document.body:
                record = _record(document)
                ids = tuple(one for one in record.ids if one != streamer_id)
                name, revision = document.document_id, document.revision
                puts = _forgotten(requests, record, revision)
                if ids:
                    puts = [Put(COLLECTION, name, _body(replace(record, ids=ids)), revision)]
                try:
                    await documents.change(puts, [_told(name)])
                except RevisionConflict:
                    (document,) = await documents.get(COLLECTION, [name])
                    continue
                forgotten += len(ids) < len(record.ids)
                break
    return forgotten


def _forgotten(
    requests: Requests, record: OutreachRecord, revision: int | None = None
) -> list[Put]:
    """What deletes a record, and the name of the request that made it."""
    record_itself = Put(COLLECTION, record.outreach_id, None, revision)
    return [record_itself, *requests.forgetting(record.request)]


def _told(outreach_id: str) -> Append:
    return Append(COLLECTION, json.dumps({"changed": outreach_id}).encode(), _MOST_ENTRIES)


def _body(record: OutreachRecord) -> bytes:
    return json.dumps(asdict(record), ensure_ascii=False).encode()


def _record(document: Document) -> OutreachRecord:
    return _RECORD.validate_json(document.body)
