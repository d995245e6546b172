"""How alerts are stored.

alerts                         by id, a hash of list, streamer and content
alerts:histories               by a hash of list and streamer: an `AlertHistory`
alerts:<mode>[:<state>]        by number, in the order in which they were raised
alerts:of:<list>:<mode>[:...]  likewise, of one list
alerts:number                  the last number
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from service.features.watchlists.records import Alert, Mode
from service.store.documents import DocumentStore, Put
from service.store.events import NewEvent

ALERTS, HISTORIES, NUMBER = "alerts", "alerts:histories", "alerts:number"
MATCHED = "watchlist.matched"
STATES = ("open", "confirmed", "dismissed")
MODES: Sequence[Mode] = ("on", "shadow")
_LAST = "last"
_DIGITS = 24


def alert_id_of(list_id: str, streamer_id: str, content: str) -> str:
    """The id of the alert that a list raises of a streamer with this content."""
    return f"al-{_hash(list_id, streamer_id, content)}"


def history_id_of(list_id: str, streamer_id: str) -> str:
    """Id of the alert history of a streamer in a list."""
    return _hash(list_id, streamer_id)


def indexes(list_id: str, mode: str, state: str) -> list[str]:
    """Collections in which an alert is listed."""
    both = (f"alerts:{mode}", f"alerts:of:{list_id}:{mode}")
    return [name for one in both for name in (one, f"{one}:{state}")]


def key_of(number: int) -> str:
    """The id of an alert's entry in its indexes."""
    return f"{number:012x}"


def entries(alert_id: str, alert: Alert) -> list[Put]:
    """The entries of an alert in its indexes."""
    entry = json.dumps({"alert_id": alert_id}).encode()
    names = indexes(alert.watchlist_id, alert.mode, alert.state)
    return [Put(name, key_of(alert.number), entry) for name in names]


def no_entries(alert: Alert) -> list[Put]:
    """The deletion of an alert's entries in its indexes."""
    names = indexes(alert.watchlist_id, alert.mode, alert.state)
    return [Put(name, key_of(alert.number), None) for name in names]


def delivered(alert: Alert, number: int) -> Alert:
    """A shadow alert, turned into one that is delivered, with a new number."""
    return replace(alert, number=number, mode="on")


async def last_alert(documents: DocumentStore) -> tuple[int, int]:
    """The number of the alert that was raised last, 0 = there was none; and its revision."""
    (last,) = await documents.get(NUMBER, [_LAST])
    return (0, 0) if last is None else (int(json.loads(last.body)["number"]), last.revision)


def put_last(number: int, revision: int) -> Put:
    """The change by which a number is the last one; `revision` is that of the one before."""
    return Put(NUMBER, _LAST, json.dumps({"number": number}).encode(), revision)


def event_of(alert_id: str, alert: Alert) -> NewEvent:
    """The event that tells of an alert; there is one of each."""
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
