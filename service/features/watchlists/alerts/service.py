"""Alerts as those who ask for them see them."""

import json
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from service.engine.work.lanes import Lane, Lanes
from service.errors import AlertNotFound, CursorExpired, InvalidRequest, VersionConflict
from service.features.watchlists.alerts.keeping import (
    ALERTS,
    MODES,
    STATES,
    delivered,
    entries,
    event_of,
    last_alert,
    no_entries,
    put_last,
)
from service.features.watchlists.alerts.rooms import closing
from service.features.watchlists.records import (
    LISTS,
    TALLIES,
    TALLY,
    WATCHLIST,
    Alert,
    Decision,
    Mode,
)
from service.store.base import ANY_STORED
from service.store.documents import (
    Append,
    Document,
    DocumentStore,
    Put,
    RevisionConflict,
    Unchanged,
)

State = Literal["open", "confirmed", "dismissed"]
_MOST_DECISIONS = 20
PAGE_BYTES = 1 << 20
_AT_ONCE = 25
_PLACE = re.compile(r"([0-9a-f]{12,14})(?:\.(al-[0-9a-f]{24})\.([0-9a-f]{1,14}))?")
"""Number of an alert, its id, and when it was raised; earlier releases gave the number alone."""


@dataclass(frozen=True)
class ShownAlert:
    """An alert with its id, and the revision by which it is changed."""

    alert_id: str
    revision: int
    alert: Alert


class AlertsPage(NamedTuple):
    """A page of alerts.

    Attributes:
        alerts: in the order in which they were raised.
        following: what continues them. There is always something where there was one alert: asked
            again later, it gives those that were raised since.
        has_more: whether there may be more by now.
    """

    alerts: list[ShownAlert]
    following: str | None
    has_more: bool


class Alerts:
    """The use-cases behind `/v1/alerts`."""

    def __init__(self, documents: DocumentStore, lanes: Lanes, most_open: int) -> None:
        """Show and change what `documents` holds; pages are read in `lanes`.

        Args:
            documents: where all is kept.
            lanes: where work is done.
            most_open: open alerts that a list may have.
        """
        self._documents = documents
        self._lanes = lanes
        self._most_open = most_open

    async def get(self, alert_id: str) -> ShownAlert:
        """An alert.

        Raises:
            AlertNotFound: there was never one of this id.
        """
        (found,) = await self._documents.get(ALERTS, [alert_id])
        if found is None:
            raise AlertNotFound(f"there was never an alert {alert_id!r}")
        return ShownAlert(alert_id, found.revision, Alert.load(found.body))

    async def page(
        self, mode: Mode, state: State | None, watchlist_id: str | None, after: str, limit: int
    ) -> AlertsPage:
        """Alerts in the order in which they were raised; a page of large ones has fewer.

        Raises:
            InvalidRequest: this service gave no such place.
            CursorExpired: the alert of the place is not there. Alerts stay, so the store is a copy
                from before that, or lost its last writes, and gives numbers again: what has a
                number behind the place is not all that is new.
        """
        if after:
            await self._check(after, mode)
        index = f"alerts:{mode}" if watchlist_id is None else f"alerts:of:{watchlist_id}:{mode}"
        name = index if state is None else f"{index}:{state}"
        entries = await self._documents.page(name, after.split(".")[0] or None, limit)
        if not entries:
            return AlertsPage([], after or None, False)
        found = await self._fitting([str(json.loads(entry.body)["alert_id"]) for entry in entries])
        shown = await self._lanes.run(
            lambda: [
                ShownAlert(document.document_id, document.revision, Alert.load(document.body))
                for document in found
                if document is not None
            ],
            Lane.HEAVY,
        )
        last, alert = entries[len(found) - 1].document_id, found[-1]
        place = last if alert is None else f"{last}.{_mark_of(alert)}"
        return AlertsPage(shown, place, len(found) == limit or len(found) < len(entries))

    async def _fitting(self, ids: Sequence[str]) -> list[Document | None]:
        """The first of these that fit on a page, at least one."""
        found: list[Document | None] = []
        size = 0
        for start in range(0, len(ids), _AT_ONCE):
            for one in await self._documents.get(ALERTS, ids[start : start + _AT_ONCE]):
                size += 0 if one is None else len(one.body)
                if found and size > PAGE_BYTES:
                    return found
                found.append(one)
        return found

    async def _check(self, place: str, mode: Mode) -> None:
        found = _PLACE.fullmatch(place)
        if found is None:
            raise InvalidRequest.of_cursor()
        number, alert_id, at = int(found[1], 16), found[2], found[3]
        if alert_id is None:
            is_there = number <= (await last_alert(self._documents))[0]
        else:
            (known,) = await self._documents.get(ALERTS, [alert_id])
            alert = None if known is None else Alert.load(known.body)
            is_there = (
                alert is not None
                and _raised(alert) == at
                # One of a list that is on by now got another number with that.
                and (alert.number == number or (mode, alert.mode) == ("shadow", "on"))
            )
        if not is_there:
            raise CursorExpired(
                "the store does not have the alert behind which this cursor continues, so new ones "
                "may have numbers from before it: begin without a cursor"
            )

    async def counts(self, watchlist_id: str | None = None) -> dict[Mode, dict[State, int]]:
        """How many alerts there are by mode and state, of one list or of all."""
        base = "alerts" if watchlist_id is None else f"alerts:of:{watchlist_id}"
        return {
            mode: {state: await self._documents.count(f"{base}:{mode}:{state}") for state in STATES}
            for mode in MODES
        }

    async def beyond(self, watchlist_ids: Collection[str]) -> int:
        """How many of these lists matched more than they raised, since too many were open."""
        found = await self._documents.get(TALLIES, [*watchlist_ids])
        return sum(d is not None and TALLY.validate_json(d.body).beyond > 0 for d in found)

    async def decide(
        self,
        alert_id: str,
        state: State,
        note: str,
        key_id: str,
        key_name: str,
        expected: Sequence[int] = (),
    ) -> ShownAlert:
        """Say what became of an alert; who and when is kept with it.

        Where many were open, the list is swept again for those that had no room. One that was
        raised in shadow and is opened again is delivered if its list is on.

        Args:
            alert_id: of the alert.
            state: of it from now on.
            note: for people.
            key_id: of the API key that says so.
            key_name: of the key.
            expected: revisions of which it must have one; none = it may have any.

        Raises:
            AlertNotFound: there was never one of this id.
            VersionConflict: it has none of the revisions, or is of another profile than at first.
        """
        first: ShownAlert | None = None
        while True:
            shown = await self.get(alert_id)
            first = first or shown
            is_expected = not expected or ANY_STORED in expected or shown.revision in expected
            if not is_expected or shown.alert.digest != first.alert.digest:
                raise VersionConflict(
                    f"alert {alert_id!r} is at revision {shown.revision}; read it again and repeat "
                    "the change"
                )
            before = shown.alert
            decision = Decision(state, note, key_id, key_name, time.time())
            decisions = [*before.decisions, decision][-_MOST_DECISIONS:]
            alert = replace(before, state=state, decisions=decisions)
            also: Sequence[Put | Unchanged] = ()
            appends: Sequence[Append] = ()
            if before.state == "open" != state:
                also, appends = await closing(self._documents, before.watchlist_id, self._most_open)
            if state == "open" and before.mode == "shadow":
                also, alert = await self._as_its_list(alert)
            events = [event_of(alert_id, alert)] if alert.mode != before.mode else []
            listed = {(put.collection, put.document_id): put for put in entries(alert_id, alert)}
            left = [p for p in no_entries(before) if (p.collection, p.document_id) not in listed]
            put = Put(ALERTS, alert_id, alert.dump(), shown.revision)
            puts = [put, *also, *left, *listed.values()]
            try:
                revision, *_ = await self._documents.change(puts, appends, events)
            except RevisionConflict:
                continue  # somebody else was faster
            return ShownAlert(alert_id, revision, alert)

    async def _as_its_list(self, alert: Alert) -> tuple[Sequence[Put | Unchanged], Alert]:
        """An open shadow alert as it is now that its list may be on, and what that needs."""
        (found,) = await self._documents.get(LISTS, [alert.watchlist_id])
        if found is None:
            return [], alert
        as_read = Unchanged(LISTS, found.document_id, found.revision)
        if WATCHLIST.validate_json(found.body).mode != "on":
            return [as_read], alert
        number, revision = await last_alert(self._documents)
        return [as_read, put_last(number + 1, revision)], delivered(alert, number + 1)


def _mark_of(alert: Document) -> str:
    return f"{alert.document_id}.{_raised(Alert.load(alert.body))}"


def _raised(alert: Alert) -> str:
    return f"{round(alert.at * 1e6):x}"
