"""Alerts in the store: each is raised once, with its event, however often its cause is found.

alerts                         by id, a hash of list, streamer and content
alerts:<mode>[:<state>]        by number, in the order in which they were raised
alerts:of:<list>:<mode>[:...]  likewise, of one list
alerts:number                  the last number
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from service.features.watchlists.alerts.distinct import DISTINCT, Distinct
from service.features.watchlists.matching import Found
from service.features.watchlists.records import (
    BEYOND,
    LISTS,
    TALLIES,
    TALLY,
    WATCHLIST,
    Alert,
    Mode,
    Tally,
    Watchlist,
)
from service.store.documents import Document, DocumentStore, Put, RevisionConflict
from service.store.events import NewEvent

ALERTS, NUMBER = "alerts", "alerts:number"
MATCHED = "watchlist.matched"
STATES = ("open", "confirmed", "dismissed")
MODES: Sequence[Mode] = ("on", "shadow")
_LAST = "last"
_AT_ONCE = 100
_DIGITS = 24


def alert_id_of(list_id: str, streamer_id: str, digest: str) -> str:
    """The id of the alert that a list raises of a streamer with this content."""
    return f"al-{_hash(list_id, streamer_id, digest)}"


def indexes(list_id: str, mode: str, state: str) -> list[str]:
    """Collections in which an alert is listed."""
    both = (f"alerts:{mode}", f"alerts:of:{list_id}:{mode}")
    return [name for one in both for name in (one, f"{one}:{state}")]


async def last_number(documents: DocumentStore) -> int:
    """The number of the alert that was raised last; 0 = there was none."""
    (last,) = await documents.get(NUMBER, [_LAST])
    return _number(last)


def key_of(number: int) -> str:
    """The id of an alert's entry in its indexes."""
    return f"{number:012x}"


@dataclass
class _Changes:
    """What follows from some matches.

    Attributes:
        number: the last one that was given.
        rooms: open alerts that each list may have besides.
        tallies: of the lists, by id.
        beyond: matches that these counted, by id; of those that may have no room for more alerts.
        told: lists whose tally is written.
        counted: those of them that counted more.
        puts: alerts and their entries in indexes.
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


class AlertBook:
    """Raises alerts. Several processes may, at the same time.

    Attributes:
        raised: how many alerts this process raised or delivered.
    """

    def __init__(self, documents: DocumentStore, model_version: str, most_open: int) -> None:
        """Keep alerts in `documents`, up to `most_open` open ones of a list."""
        self._documents = documents
        self._model_version = model_version
        self._most_open = most_open
        self._lock = asyncio.Lock()
        self.raised = 0

    async def raise_alerts(self, found: Sequence[Found], step: Put | None = None) -> int:
        """Raise an alert for each match, unless it was raised before.

        Matches of a list that was changed or deleted since are left out. Those of a list with too
        many open alerts are counted in place of being raised, each once.

        Args:
            found: matches.
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
        ids = [alert_id_of(each.hit.list_id, each.streamer_id, each.digest) for each in found]
        before = await self._documents.get(ALERTS, ids)
        (last,) = await self._documents.get(NUMBER, [_LAST])
        rooms = {list_id: await self._room(list_id) for list_id in list_ids}
        full = [list_id for list_id, room in rooms.items() if room < len(found)]
        counted = await self._documents.get(BEYOND, full) if full else []
        changes = _Changes(
            _number(last),
            rooms,
            {d.document_id: TALLY.validate_json(d.body) for d in tallies if d is not None},
            {d.document_id: DISTINCT.validate_json(d.body) for d in counted if d is not None},
        )
        lists = {d.document_id: WATCHLIST.validate_json(d.body) for d in stored if d is not None}
        begun = changes.number
        for alert_id, each, known in zip(ids, found, before, strict=True):
            watched, tally = lists.get(each.hit.list_id), changes.tallies.get(each.hit.list_id)
            if watched is None or tally is None:
                continue
            if watched.version == tally.version == each.hit.version:
                self._take(changes, alert_id, each, watched, known)
        puts = changes.puts
        if changes.number > begun:
            body = json.dumps({"number": changes.number}).encode()
            puts.append(Put(NUMBER, _LAST, body, 0 if last is None else last.revision))
        for document in tallies:
            if document is not None and document.document_id in changes.told:
                body = changes.tallies[document.document_id].dump()
                puts.append(Put(TALLIES, document.document_id, body, document.revision))
        puts += [Put(BEYOND, each, changes.beyond[each].dump()) for each in changes.counted]
        return changes, puts

    def _take(
        self,
        changes: _Changes,
        alert_id: str,
        found: Found,
        watched: Watchlist,
        known: Document | None,
    ) -> None:
        """Add what follows from one match."""
        list_id = found.hit.list_id
        if known is not None:
            alert = Alert.load(known.body)
            if (alert.mode, alert.state, watched.mode) != ("shadow", "open", "on"):
                return
            key = key_of(alert.number)
            changes.puts += [Put(name, key, None) for name in indexes(list_id, "shadow", "open")]
            alert = replace(alert, number=changes.number + 1, mode="on")
        elif changes.rooms[list_id] <= 0:
            tally, before = changes.tallies[list_id], changes.beyond.get(list_id)
            if before is None or before.version != tally.version:
                before = Distinct(tally.version)
            after = before.plus(alert_id)
            if after is not before:
                changes.beyond[list_id] = after
                changes.tallies[list_id] = replace(tally, beyond=after.count)
                changes.told.add(list_id)
                changes.counted.add(list_id)
            return
        else:
            changes.rooms[list_id] -= 1
            alert = self._new(changes.number + 1, found, watched)
        changes.number += 1
        changes.raised += 1
        changes.told.add(list_id)
        expected = 0 if known is None else known.revision
        changes.puts.append(Put(ALERTS, alert_id, alert.dump(), expected))
        entry = json.dumps({"alert_id": alert_id}).encode()
        changes.puts += [
            Put(name, key_of(alert.number), entry)
            for name in indexes(list_id, alert.mode, alert.state)
        ]
        if alert.mode == "on":
            changes.events.append(_event(alert_id, alert))

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
        )

    async def _room(self, list_id: str) -> int:
        counts = [await self._documents.count(f"alerts:of:{list_id}:{mode}:open") for mode in MODES]
        return self._most_open - sum(counts)


def _number(last: Document | None) -> int:
    return 0 if last is None else int(json.loads(last.body)["number"])


def _event(alert_id: str, alert: Alert) -> NewEvent:
    data = {
        "alert_id": alert_id,
        "watchlist_id": alert.watchlist_id,
        "watchlist_name": alert.watchlist_name,
        "streamer_id": alert.streamer_id,
        "seed_id": alert.seed_id or None,
        "probability": alert.probability,
        "verdict": alert.verdict,
        "sequence": alert.sequence,
    }
    written = json.dumps(data, ensure_ascii=False).encode()
    return NewEvent(f"evt-{_hash(MATCHED, alert_id)}", MATCHED, written)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGITS]
