"""Alerts as those who ask for them see them."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.errors import AlertNotFound, VersionConflict
from service.features.watchlists.alerts.book import ALERTS, MODES, STATES, indexes, key_of
from service.features.watchlists.records import Alert, Decision, Mode
from service.store.base import ANY_STORED
from service.store.documents import DocumentStore, Put, RevisionConflict

State = Literal["open", "confirmed", "dismissed"]
_MOST_DECISIONS = 20


@dataclass(frozen=True)
class ShownAlert:
    """An alert with its id, and the revision by which it is changed."""

    alert_id: str
    revision: int
    alert: Alert


class Alerts:
    """The use-cases behind `/v1/alerts`."""

    def __init__(self, documents: DocumentStore) -> None:
        """Show and change what `documents` holds."""
        self._documents = documents

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
    ) -> tuple[list[ShownAlert], str | None]:
        """Alerts in the order in which they were raised, and what continues them.

        There is always something to continue with where there was one alert: asked again later, it
        gives those that were raised since.
        """
        index = f"alerts:{mode}" if watchlist_id is None else f"alerts:of:{watchlist_id}:{mode}"
        name = index if state is None else f"{index}:{state}"
        entries = await self._documents.page(name, after or None, limit)
        ids = [str(json.loads(entry.body)["alert_id"]) for entry in entries]
        found = await self._documents.get(ALERTS, ids)
        shown = [
            ShownAlert(document.document_id, document.revision, Alert.load(document.body))
            for document in found
            if document is not None
        ]
        return shown, entries[-1].document_id if entries else (after or None)

    async def counts(self, watchlist_id: str | None = None) -> dict[Mode, dict[State, int]]:
        """How many alerts there are by mode and state, of one list or of all."""
        base = "alerts" if watchlist_id is None else f"alerts:of:{watchlist_id}"
        return {
            mode: {state: await self._documents.count(f"{base}:{mode}:{state}") for state in STATES}
            for mode in MODES
        }

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

        Args:
            alert_id: of the alert.
            state: of it from now on.
            note: for people.
            key_id: of the API key that says so.
            key_name: of the key.
            expected: revisions of which it must have one; none = it may have any.

        Raises:
            AlertNotFound: there was never one of this id.
            VersionConflict: it has none of the revisions.
        """
        while True:
            shown = await self.get(alert_id)
            if expected and ANY_STORED not in expected and shown.revision not in expected:
                raise VersionConflict(
                    f"alert {alert_id!r} is at revision {shown.revision}; read it again and repeat "
                    "the change"
                )
            before = shown.alert
            decision = Decision(state, note, key_id, key_name, time.time())
            decisions = [*before.decisions, decision][-_MOST_DECISIONS:]
            alert = replace(before, state=state, decisions=decisions)
            key, entry = key_of(alert.number), json.dumps({"alert_id": alert_id}).encode()
            left = indexes(alert.watchlist_id, alert.mode, before.state)
            joined = indexes(alert.watchlist_id, alert.mode, state)
            puts = [Put(ALERTS, alert_id, alert.dump(), shown.revision)]
            puts += [Put(name, key, None) for name in left if name not in joined]
            puts += [Put(name, key, entry) for name in joined if name not in left]
            try:
                revision, *_ = await self._documents.change(puts)
            except RevisionConflict:
                continue  # somebody else was faster
            return ShownAlert(alert_id, revision, alert)
