"""Raises alerts: once of each content of a streamer, and one at a time, with its event.

Content that a streamer shows later brings its open alert up to date; once that is decided, other
content raises another.
"""

import asyncio
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from service.engine.work.lanes import Lane, Lanes
from service.features.jobs.runner import persist
from service.features.watchlists.alerts.distinct import DISTINCT, Distinct
from service.features.watchlists.alerts.keeping import (
    ALERTS,
    HISTORIES,
    alert_id_of,
    delivered,
    entries,
    event_of,
    history_id_of,
    last_alert,
    no_entries,
    put_last,
)
from service.features.watchlists.alerts.rooms import room_of, sweep_again
from service.features.watchlists.matching import Found
from service.features.watchlists.records import (
    BEYOND,
    HISTORY,
    LISTS,
    TALLIES,
    TALLY,
    WATCHLIST,
    Alert,
    AlertHistory,
    Tally,
    Watchlist,
)
from service.store.documents import Document, DocumentStore, Put, RevisionConflict
from service.store.events import NewEvent

_AT_ONCE = 100


@dataclass(frozen=True)
class _Stored:
    """An alert as it is stored."""

    alert_id: str
    revision: int
    alert: Alert


@dataclass(frozen=True)
class _Prior:
    """What is stored of a match before it is told.

    Attributes:
        history_id: of the alert history of its streamer in its list.
        history: that.
        revision: of the history; 0 = there is none.
        same: the alert that told of its content.
        open: the newest open alert of its streamer.
        is_taken: whether its content gave another alert its id, which told of other content since.
    """

    history_id: str
    history: AlertHistory
    revision: int
    same: _Stored | None
    open: _Stored | None
    is_taken: bool


@dataclass
class _Changes:
    """What follows from some matches.

    Attributes:
        number: the last one that was given.
        rooms: open alerts that each list may have besides.
        tallies: of the lists, by id.
        beyond: matches that these counted, by id; of those that may have no room for more alerts.
        told: lists whose tally is written.
        counted: those of them that count others as beyond.
        puts: alerts, their entries in indexes, and histories.
        events: of those that are delivered.
        raised: how many alerts are new or delivered now.
    """

    number: int
    rooms: dict[str, int]
    tallies: dict[str, Tally]
    beyond: dict[str, Distinct]
    told: set[str] = field(default_factory=set[str])
    counted: set[str] = field(default_factory=set[str])
    puts: list[Put] = field(default_factory=list[Put])
    events: list[NewEvent] = field(default_factory=list[NewEvent])
    raised: int = 0

    def count(self, list_id: str, streamer_id: str, *, is_beyond: bool) -> None:
        """Count a streamer among those beyond the open alerts of a list, or no longer."""
        tally, before = self.tallies[list_id], self.beyond.get(list_id)
        if before is None or before.version != tally.version:
            before = Distinct(tally.version)
        after = before.plus(streamer_id) if is_beyond else before.minus(streamer_id)
        if after is not before:
            self.beyond[list_id] = after
            self.tallies[list_id] = replace(tally, beyond=after.count)
            self.told.add(list_id)
            self.counted.add(list_id)


class AlertBook:
    """Raises alerts. Several processes may, at the same time.

    Attributes:
        raised: how many alerts this process raised or delivered.
    """

    def __init__(
        self, documents: DocumentStore, lanes: Lanes, model_version: str, most_open: int
    ) -> None:
        """Keep alerts in `documents`, up to `most_open` open ones of a list; read in `lanes`."""
        self._documents = documents
        self._lanes = lanes
        self._model_version = model_version
        self._most_open = most_open
        self._lock = asyncio.Lock()
        self.raised = 0

    async def raise_alerts(self, found: Sequence[Found], step: Put | None = None) -> int:
        """Raise an alert for each match, unless one told of it before.

        Matches of a list that was changed or deleted since are left out. Those of a list with too
        many open alerts are counted in place of being raised, each streamer once.

        Args:
            found: matches, of each list one of a streamer.
            step: a change that is made in one step with the last of them.

        Returns:
            The revision of the step; 0 without one.

        Raises:
            RevisionConflict: of the step; the last alerts were not raised.
            Unavailable: the store does not answer; raise them again.
        """
        revision = 0
        for start in range(0, max(len(found), 1), _AT_ONCE):
            is_last = start + _AT_ONCE >= len(found)
            part = found[start : start + _AT_ONCE]
            revision = await self._raise_part(part, step if is_last else None)
        return revision

    async def sweep_again(self) -> None:
        """Have lists swept again that have room by now for matches beyond it.

        Raises:
            Unavailable: the store does not answer.
        """
        await sweep_again(self._documents, self._most_open)

    async def _raise_part(self, found: Sequence[Found], step: Put | None) -> int:
        also = [] if step is None else [step]
        async with self._lock:
            while True:
                changes, puts = await self._changes(found)
                if not puts and not also:
                    return 0
                try:
                    revisions = await self._documents.change([*also, *puts], (), changes.events)
                except RevisionConflict as conflict:
                    if step is not None and conflict.document_id == step.document_id:
                        raise
                    continue  # another process raised alerts, or somebody decided one
                self.raised += changes.raised
                return revisions[0] if also else 0

    async def _changes(self, found: Sequence[Found]) -> tuple[_Changes, list[Put]]:
        """What follows from matches, and all changes that make it so."""
        list_ids = list(dict.fromkeys(each.hit.list_id for each in found))
        if not list_ids:
            return _Changes(0, {}, {}, {}), []
        # Tallies first: a list that is changed after that changes its tally as well.
        tallies = await self._documents.get(TALLIES, list_ids)
        stored = await self._documents.get(LISTS, list_ids)
        priors = await self._priors(found)
        begun, last_revision = await last_alert(self._documents)
        rooms = {
            list_id: await room_of(self._documents, list_id, self._most_open)
            for list_id in list_ids
        }
        read = {d.document_id: TALLY.validate_json(d.body) for d in tallies if d is not None}
        short = [i for i in list_ids if rooms[i] < len(found) or (i in read and read[i].beyond)]
        counted = await self._documents.get(BEYOND, short) if short else []
        beyond = {d.document_id: DISTINCT.validate_json(d.body) for d in counted if d is not None}
        changes = _Changes(begun, rooms, read, beyond)
        lists = {d.document_id: WATCHLIST.validate_json(d.body) for d in stored if d is not None}
        for each, prior in zip(found, priors, strict=True):
            watched, tally = lists.get(each.hit.list_id), changes.tallies.get(each.hit.list_id)
            if watched is None or tally is None:
                continue
            if watched.version == tally.version == each.hit.version:
                self._take(changes, each, watched, prior)
        puts = changes.puts
        if changes.number > begun:
            puts.append(put_last(changes.number, last_revision))
        for document in tallies:
            if document is not None and document.document_id in changes.told:
                body = changes.tallies[document.document_id].dump()
                puts.append(Put(TALLIES, document.document_id, body, document.revision))
        puts += [Put(BEYOND, each, changes.beyond[each].dump()) for each in changes.counted]
        return changes, puts

    async def _priors(self, found: Sequence[Found]) -> list[_Prior]:
        """What is stored of each match."""
        history_ids = [history_id_of(each.hit.list_id, each.streamer_id) for each in found]
        documents = await self._documents.get(HISTORIES, history_ids)
        histories = [
            AlertHistory() if d is None else HISTORY.validate_json(d.body) for d in documents
        ]
        # Also by the content alone: a copy of the store that was made meanwhile may lack the
        # history. Alerts of earlier builds have the digest of the profile in place of the content.
        by_hash = [
            [
                alert_id_of(each.hit.list_id, each.streamer_id, shown)
                for shown in (each.content, each.digest)
            ]
            for each in found
        ]
        wanted = {
            alert_id: None
            for history, ids in zip(histories, by_hash, strict=True)
            for alert_id in (*history.alerts.values(), *ids)
        }
        alerts = [d for d in await self._documents.get(ALERTS, [*wanted]) if d is not None]
        # Up to 22 alerts of each match, so not on the event loop; busy threads are waited for.
        stored = await persist(lambda: self._lanes.run_in_slices(_loaded(alerts), Lane.HEAVY))
        return [
            _prior_of(each, history_id, document, history, ids, stored)
            for each, history_id, document, history, ids in zip(
                found, history_ids, documents, histories, by_hash, strict=True
            )
        ]

    def _take(self, changes: _Changes, found: Found, watched: Watchlist, prior: _Prior) -> None:
        """Add what follows from one match."""
        before = prior.same or prior.open
        if before is None:
            self._raise_or_count(changes, found, watched, prior)
            return
        alert = before.alert
        is_hidden = (alert.mode, alert.state, watched.mode) == ("shadow", "open", "on")
        if before is prior.same:
            if alert.content and not is_hidden:
                return
            alert = replace(alert, content=found.content)
        else:
            alert = self._up_to_date(alert, found, watched)
        if is_hidden:
            _deliver(changes, found, prior, before, alert)
        else:
            _tell(changes, found, prior, replace(before, alert=alert))

    def _raise_or_count(
        self, changes: _Changes, found: Found, watched: Watchlist, prior: _Prior
    ) -> None:
        """Raise the first alert of a content, or count its streamer as beyond without room."""
        list_id = found.hit.list_id
        has_room = changes.rooms[list_id] > 0
        changes.count(list_id, found.streamer_id, is_beyond=not has_room)
        if not has_room:
            return
        changes.rooms[list_id] -= 1
        alert = self._new(changes.number + 1, found, watched)
        shown = f"{found.content} {alert.number}" if prior.is_taken else found.content
        made = _Stored(alert_id_of(list_id, found.streamer_id, shown), 0, alert)
        _tell(changes, found, prior, made)

    def _up_to_date(self, alert: Alert, found: Found, watched: Watchlist) -> Alert:
        """The open alert of a streamer, of what that shows now."""
        shown = self._new(alert.number, found, watched)
        return replace(shown, mode=alert.mode, at=alert.at, decisions=alert.decisions)

    def _new(self, number: int, found: Found, watched: Watchlist) -> Alert:
        hit = found.hit
        return Alert(
            number=number,
            watchlist_id=hit.list_id,
            watchlist_version=hit.version,
            watchlist_name=watched.name,
            mode=watched.mode,
            state="open",
            streamer_id=found.streamer_id,
            digest=found.digest,
            sequence=found.sequence,
            seed=hit.seed,
            seed_id=hit.seed_id,
            probability=round(hit.probability, 6),
            weight=round(hit.weight, 6),
            verdict=hit.verdict,
            evidence=[{**asdict(each), "weight": round(each.weight, 6)} for each in hit.evidence],
            model_version=self._model_version,
            at=time.time(),
            content=found.content,
        )


def _deliver(changes: _Changes, found: Found, prior: _Prior, before: _Stored, alert: Alert) -> None:
    """Deliver what an open shadow alert has become, now that its list is on."""
    changes.puts += no_entries(before.alert)
    made = delivered(alert, changes.number + 1)
    _tell(changes, found, prior, replace(before, alert=made))


def _tell(changes: _Changes, found: Found, prior: _Prior, told: _Stored) -> None:
    """Write an alert that tells of a match; one of a new number is listed, and has its event."""
    alert_id, alert = told.alert_id, told.alert
    changes.told.add(found.hit.list_id)
    history = prior.history.told(found.content, alert_id)
    changes.puts.append(Put(ALERTS, alert_id, alert.dump(), told.revision))
    changes.puts.append(Put(HISTORIES, prior.history_id, history.dump(), prior.revision))
    if alert.number > changes.number:
        changes.number = alert.number
        changes.raised += 1
        changes.puts += entries(alert_id, alert)
        if alert.mode == "on":
            changes.events.append(event_of(alert_id, alert))


def _loaded(documents: Sequence[Document]) -> Generator[None, None, dict[str, _Stored]]:
    """Alerts by their ids; a generator that pauses behind each."""
    stored: dict[str, _Stored] = {}
    for found in documents:
        alert = Alert.load(found.body)
        stored[found.document_id] = _Stored(found.document_id, found.revision, alert)
        yield
    return stored


def _prior_of(
    found: Found,
    history_id: str,
    document: Document | None,
    history: AlertHistory,
    by_hash: Sequence[str],
    stored: Mapping[str, _Stored],
) -> _Prior:
    told = history.alerts.get(found.content)
    ids = [*([] if told is None else [told]), *by_hash]
    all_same = (
        stored[each]
        for each in ids
        if each in stored and stored[each].alert.is_of(found.content, found.digest)
    )
    all_open = (
        stored[each]
        for each in reversed([*history.alerts.values()])
        if each in stored and stored[each].alert.state == "open"
    )
    return _Prior(
        history_id,
        history,
        0 if document is None else document.revision,
        next(all_same, None),
        next(all_open, None),
        by_hash[0] in stored,
    )
