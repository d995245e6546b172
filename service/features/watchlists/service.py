"""Watchlists as those who ask for them see them."""

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from service.errors import (
    IdempotencyKeyReused,
    TooManyWatchlists,
    VersionConflict,
    WatchlistNotFound,
)
from service.features.watchlists.alerts.rooms import room_of
from service.features.watchlists.alerts.service import Alerts, State
from service.features.watchlists.cursor import read_matched
from service.features.watchlists.erasing import SeedCopies
from service.features.watchlists.records import (
    BEYOND,
    LISTS,
    SEEDS,
    SEEDS_OF,
    SWEPT,
    TALLIES,
    WATCHLIST,
    Mode,
    Seeds,
    Swept,
    Tally,
    Watchlist,
    news_of,
)
from service.features.watchlists.seeds import Given, SeedReader
from service.features.watchlists.watched import DueList, swept_as, tally_of
from service.store.base import ANY_STORED
from service.store.documents import Document, DocumentStore, Put, RevisionConflict
from service.store.once import Once

TOTALS, _TOTAL = "watchlists:totals", "seeds"
_DIGITS = 24
_CUT_S = 600.0
"""A repeat within so long may be of a request that was cut off before its look for erased seeds."""


@dataclass(frozen=True)
class Wanted:
    """What a list is to be.

    Attributes:
        name: for people.
        mode: whether its alerts are delivered.
        min_probability: that a streamer is the same as a positive seed, in (0, 1].
        positive: seeds to look for.
        negative: seeds that cancel a match.
    """

    name: str
    mode: Mode
    min_probability: float
    positive: Sequence[Given]
    negative: Sequence[Given] = ()


@dataclass(frozen=True)
class Changed:
    """What of a list is another one; None = as before."""

    name: str | None
    mode: Mode | None
    min_probability: float | None


@dataclass(frozen=True)
class Writer:
    """Who writes a list: an API key, by its id and its name."""

    key_id: str
    key_name: str


@dataclass(frozen=True)
class ShownList:
    """A list as it is shown.

    Attributes:
        watchlist_id: its id.
        revision: by which it is changed.
        known: what is stored.
        swept: the sweep that counts; None while one is due or under way.
        beyond: streamers without an alert, since too many were open.
        is_full: whether as many are open as may be.
        alerts: how many there are, by mode and state.
        seeds: None in a listing.
    """

    watchlist_id: str
    revision: int
    known: Watchlist
    swept: Swept | None
    beyond: int
    is_full: bool
    alerts: Mapping[Mode, Mapping[State, int]]
    seeds: Seeds | None = None


@dataclass(frozen=True)
class Maxima:
    """How much is kept: lists, seeds of all lists together, and open alerts of each."""

    lists: int
    seeds: int
    open_alerts: int


class Watchlists:
    """The use-cases behind `/v1/watchlists`."""

    def __init__(
        self,
        documents: DocumentStore,
        reader: SeedReader,
        alerts: Alerts,
        maxima: Maxima,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep lists.

        Args:
            documents: where they are kept.
            reader: of their seeds.
            alerts: of all lists.
            maxima: how many are kept.
            told: hears of each change of a list.
        """
        self._documents = documents
        self._reader = reader
        self._alerts = alerts
        self._maxima = maxima
        self._told = told
        self._copies = SeedCopies(documents)

    async def create(self, wanted: Wanted, writer: Writer, once: Once | None) -> ShownList:
        """Keep a list: later writes are matched with it, and all that is stored is swept soon.

        Raises:
            TooManyWatchlists: no more are kept.
            IdempotencyKeyReused: another request has the name of this one.
            StreamerNotFound, InvalidRequest, Unavailable: see `SeedReader.read`.
        """
        list_id = f"wl-{secrets.token_hex(_DIGITS // 2) if once is None else once.key[:_DIGITS]}"
        (before,) = await self._documents.get(LISTS, [list_id])
        if before is not None:
            return await self._made_before(before, once)
        seeds = await self._reader.read(1, wanted.positive, wanted.negative)
        now = time.time()
        made = _made(wanted, seeds, writer, now, now)
        if once is not None:
            made = replace(made, request=once.fingerprint)
        while True:
            try:
                revision = await self._write(list_id, made, seeds, 0, made.seeds)
            except RevisionConflict as conflict:
                if conflict.document_id == list_id:
                    (before,) = await self._documents.get(LISTS, [list_id])
                    if before is not None:
                        return await self._made_before(before, once)
                continue
            if await self._copies.erase_gone(list_id, seeds, self._reader):
                return await self.get(list_id)
            return await self._one(list_id, revision, made, seeds=seeds)

    async def replace(
        self, list_id: str, wanted: Wanted, writer: Writer, expected: Sequence[int]
    ) -> ShownList:
        """Make a list another one; alerts of its older version end, and it is swept again.

        Raises:
            WatchlistNotFound: there is none of this id.
            VersionConflict: it has none of the expected revisions.
            TooManyWatchlists, StreamerNotFound, InvalidRequest, Unavailable: as `create`.
        """
        found = await self._expected(list_id, expected)
        before = WATCHLIST.validate_json(found.body)
        seeds = await self._reader.read(before.version + 1, wanted.positive, wanted.negative)
        made = _made(wanted, seeds, writer, before.created_at, time.time())
        made = replace(made, request=before.request)
        while True:
            grown = made.seeds - before.seeds
            try:
                revision = await self._write(list_id, made, seeds, found.revision, grown)
            except RevisionConflict as conflict:
                if conflict.document_id == list_id:
                    found = await self._expected(list_id, expected)
                    before = WATCHLIST.validate_json(found.body)
                    made = replace(made, version=before.version + 1)
                    # Whoever changed the list may have erased one of those that were read.
                    seeds = await self._reader.read(made.version, wanted.positive, wanted.negative)
                continue
            if await self._copies.erase_gone(list_id, seeds, self._reader):
                return await self.get(list_id)
            return await self._one(list_id, revision, made, seeds=seeds)

    async def change(
        self, list_id: str, wanted: Changed, writer: Writer, expected: Sequence[int]
    ) -> ShownList:
        """Change a list whose seeds stay as they were read, those of deleted streamers too.

        Alerts of its older version end, and it is swept again.

        Raises:
            WatchlistNotFound: there is none of this id.
            VersionConflict: it has none of the expected revisions.
            Unavailable: the store does not answer.
        """
        while True:
            found = await self._expected(list_id, expected)
            (stored,) = await self._documents.get(SEEDS, [list_id])
            if stored is None:  # deleted in between
                raise WatchlistNotFound(f"there is no watchlist {list_id!r} any more")
            before = WATCHLIST.validate_json(found.body)
            seeds = await self._reader.of_version(before.version + 1, stored.body)
            made = replace(
                before,
                version=seeds.version,
                name=before.name if wanted.name is None else wanted.name,
                mode=before.mode if wanted.mode is None else wanted.mode,
                min_probability=before.min_probability
                if wanted.min_probability is None
                else wanted.min_probability,
                key_id=writer.key_id,
                key_name=writer.key_name,
                updated_at=time.time(),
            )
            try:
                # An erasure in between changes the seeds, and has to stay done.
                revision = await self._write(
                    list_id, made, seeds, found.revision, 0, seeds_revision=stored.revision
                )
            except RevisionConflict:
                continue
            return await self._one(list_id, revision, made, seeds=seeds)

    async def delete(self, list_id: str, expected: Sequence[int]) -> None:
        """Forget a list; its alerts stay.

        Raises:
            WatchlistNotFound: there is none of this id.
            VersionConflict: it has none of the expected revisions.
        """
        while True:
            found = await self._expected(list_id, expected)
            total = await self._total(-WATCHLIST.validate_json(found.body).seeds)
            puts = [
                Put(LISTS, list_id, None, found.revision),
                *(Put(each, list_id, None) for each in (SEEDS, TALLIES, BEYOND, SWEPT)),
                total,
            ]
            try:
                await self._documents.change(puts, [news_of(list_id)])
            except RevisionConflict:
                continue
            self._told()
            return

    async def get(self, list_id: str) -> ShownList:
        """A list with its seeds.

        Raises:
            WatchlistNotFound: there is none of this id.
        """
        found = await self._expected(list_id, ())
        (shown,) = await self._shown([found])
        (stored,) = await self._documents.get(SEEDS, [list_id])
        seeds = None if stored is None else SEEDS_OF.validate_json(stored.body)
        return replace(shown, seeds=seeds)

    async def page(self, after: str, limit: int) -> tuple[list[ShownList], str | None]:
        """Lists in order of their ids, without seeds; and what continues them."""
        found = await self._documents.page(LISTS, after or None, limit)
        following = found[-1].document_id if len(found) == limit else None
        return await self._shown(found), following

    async def _write(
        self,
        list_id: str,
        known: Watchlist,
        seeds: Seeds,
        expected: int,
        grown: int,
        *,
        seeds_revision: int | None = None,
    ) -> int:
        """Write a list with all that belongs to it; its new revision.

        Raises:
            RevisionConflict: of the list, of its seeds, or of the number of seeds.
            TooManyWatchlists: no more are kept.
        """
        if expected == 0 and await self._documents.count(LISTS) >= self._maxima.lists:
            raise TooManyWatchlists(
                f"{self._maxima.lists} watchlists are kept (STREAMER_WATCHLISTS__MAX_LISTS): "
                "delete one that is not needed"
            )
        puts = [
            Put(LISTS, list_id, known.dump(), expected),
            await self._total(grown),
            Put(SEEDS, list_id, seeds.dump(), seeds_revision),
            Put(TALLIES, list_id, Tally(known.version).dump()),
        ]
        revision, *_ = await self._documents.change(puts, [news_of(list_id)])
        self._told()
        return revision

    async def _total(self, grown: int) -> Put:
        """The change of the number of seeds of all lists.

        Raises:
            TooManyWatchlists: there would be too many.
        """
        (found,) = await self._documents.get(TOTALS, [_TOTAL])
        total = grown + (0 if found is None else int(json.loads(found.body)["seeds"]))
        if grown > 0 and total > self._maxima.seeds:
            raise TooManyWatchlists(
                f"all watchlists together would have {total} seeds, and may have "
                f"{self._maxima.seeds} (STREAMER_WATCHLISTS__MAX_SEEDS): give fewer seeds, or "
                "delete a list that is not needed"
            )
        body = json.dumps({"seeds": total}).encode()
        return Put(TOTALS, _TOTAL, body, 0 if found is None else found.revision)

    async def _expected(self, list_id: str, expected: Sequence[int]) -> Document:
        (found,) = await self._documents.get(LISTS, [list_id])
        if found is None:
            raise WatchlistNotFound(
                f"there is no watchlist {list_id!r}; GET /v1/watchlists lists all"
            )
        if expected and ANY_STORED not in expected and found.revision not in expected:
            raise VersionConflict(
                f"watchlist {list_id!r} is at revision {found.revision}; read it again and repeat "
                "the change"
            )
        return found

    async def _made_before(self, before: Document, once: Once | None) -> ShownList:
        known = WATCHLIST.validate_json(before.body)
        if once is None or known.request != once.fingerprint:
            raise IdempotencyKeyReused(
                "another request has this Idempotency-Key: send a key of its own with each"
            )
        shown = await self.get(before.document_id)
        if known.version > 1 or shown.seeds is None or time.time() > known.created_at + _CUT_S:
            return shown
        is_erased = await self._copies.erase_gone(shown.watchlist_id, shown.seeds, self._reader)
        return await self.get(shown.watchlist_id) if is_erased else shown

    async def _shown(self, found: Sequence[Document]) -> list[ShownList]:
        ids = [document.document_id for document in found]
        _, matched = await read_matched(self._documents)
        tallies = await self._documents.get(TALLIES, ids)
        swept = await self._documents.get(SWEPT, ids)
        shown: list[ShownList] = []
        for (list_id, revision, body), told, done in zip(found, tallies, swept, strict=True):
            known = WATCHLIST.validate_json(body)
            tally = tally_of(told)
            wanted = DueList(known.version, tally.again)
            sweep = None if matched is None else swept_as(done, wanted, matched.era)
            beyond = tally.beyond if tally.version == known.version else 0
            shown.append(await self._one(list_id, revision, known, sweep, beyond))
        return shown

    async def _one(
        self,
        list_id: str,
        revision: int,
        known: Watchlist,
        swept: Swept | None = None,
        beyond: int = 0,
        seeds: Seeds | None = None,
    ) -> ShownList:
        counts = await self._alerts.counts(list_id)
        is_full = await room_of(self._documents, list_id, self._maxima.open_alerts) <= 0
        return ShownList(list_id, revision, known, swept, beyond, is_full, counts, seeds)


def _made(
    wanted: Wanted, seeds: Seeds, writer: Writer, created_at: float, updated_at: float
) -> Watchlist:
    return Watchlist(
        seeds.version,
        wanted.name,
        wanted.mode,
        wanted.min_probability,
        len(seeds.positive),
        len(seeds.negative),
        writer.key_id,
        writer.key_name,
        created_at,
        updated_at,
    )
