"""What is stored of a watchlist, of its seeds, and how far it was swept.

A list has a version of its own: alerts and sweeps tell by it which seeds they are of. Its *tally*
is written with each alert that it raises and with each change of the list, so that no alert of an
older version comes after a change is acknowledged.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import TypeAdapter

from service.store.documents import Append

LISTS = "watchlists"
"""Collection of lists; its log has the id of each list that was changed."""
SEEDS = "watchlists:seeds"
TALLIES = "watchlists:tallies"
BEYOND = "watchlists:beyond"
"""Collection of what each list counts in place of raising it."""
SWEPT = "watchlists:swept"
_MOST_NEWS = 100_000
"""Entries of the log of lists; who lacks older ones reads all lists."""
_MOST_CONTENTS = 20
Mode = Literal["shadow", "on"]


@dataclass(frozen=True)
class StoredSeed:
    """A seed as it was when the list was written.

    Attributes:
        streamer_id: of the stored streamer that it is, "" of a profile.
        case_id: of the case that it is a confirmed member of, else "".
        profile: JSON of the profile; None of a streamer that was erased since.
        embedding: base64 of float32; "" without usable content.
        model_version: of the embedding.
    """

    streamer_id: str
    case_id: str
    profile: dict[str, Any] | None
    embedding: str
    model_version: str


@dataclass(frozen=True)
class Seeds:
    """All seeds of a version of a list.

    Attributes:
        version: of the list.
        positive: to look for.
        negative: that cancel a match.
        left_out: confirmed members of cases that were not stored, and are no seeds.
        cleared: content of streamers that people cleared in these cases, by id: they raise nothing
            as long as they show that.
    """

    version: int
    positive: Sequence[StoredSeed]
    negative: Sequence[StoredSeed]
    left_out: Sequence[str] = ()
    cleared: Mapping[str, str] = field(default_factory=dict[str, str])

    def dump(self) -> bytes:
        """Write it as JSON."""
        return SEEDS_OF.dump_json(self)


@dataclass(frozen=True)
class Watchlist:
    """A list without its seeds.

    Attributes:
        version: counts its changes, from 1.
        name: for people.
        mode: whether its alerts are delivered.
        min_probability: that a streamer is the same as a positive seed.
        positive, negative: how many seeds it has.
        key_id, key_name: of the API key that wrote it last.
        created_at, updated_at: seconds since 1970.
        request: fingerprint of the request that made it, if that had a key.
    """

    version: int
    name: str
    mode: Mode
    min_probability: float
    positive: int
    negative: int
    key_id: str
    key_name: str
    created_at: float
    updated_at: float
    request: str = ""

    @property
    def seeds(self) -> int:
        """How many seeds it has."""
        return self.positive + self.negative

    def dump(self) -> bytes:
        """Write it as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Tally:
    """What a version of a list has raised.

    Attributes:
        version: of the list.
        beyond: streamers that raised no alert, since the list had too many open ones.
        again: how often it was to be swept anew, since there was room for these.
    """

    version: int
    beyond: int = 0
    again: int = 0

    def dump(self) -> bytes:
        """Write it as JSON."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class Swept:
    """That all stored streamers were matched with a version of a list.

    Attributes:
        version: of the list.
        era: of the log, see `cursor`: after a gap in the log a sweep counts no more.
        at: seconds since 1970.
        streamers: how many there were.
        again: of the list's tally when it began; see `Tally`.
    """

    version: int
    era: str
    at: float
    streamers: int
    again: int = 0

    def dump(self) -> bytes:
        """Write it as JSON."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class Decision:
    """What somebody made of an alert."""

    state: Literal["open", "confirmed", "dismissed"]
    note: str
    key_id: str
    key_name: str
    at: float


@dataclass(frozen=True)
class Alert:
    """A streamer that matched a list.

    Attributes:
        number: in the order in which alerts were raised, from 1.
        watchlist_id: of the list.
        watchlist_version: of the list, when it matched.
        watchlist_name: of the list then.
        mode: of the list then; an open alert of a list that is on by now is delivered, too.
        state: what was made of it last.
        streamer_id: who matched.
        digest: SHA-256 of the profile that matched.
        sequence: of the write that was matched.
        seed: place of the positive seed in the list.
        seed_id: its streamer, "" of a profile.
        probability: that the two are the same.
        weight: match weight, in bits.
        verdict: what the two are to each other.
        evidence: channel, level and bits of each channel that both show.
        model_version: of the evidence.
        at: when it was raised, seconds since 1970.
        decisions: of people, the last ones.
        content: digest of what the evidence read; "" of an earlier build.
    """

    number: int
    watchlist_id: str
    watchlist_version: int
    watchlist_name: str
    mode: Mode
    state: Literal["open", "confirmed", "dismissed"]
    streamer_id: str
    digest: str
    sequence: int
    seed: int
    seed_id: str
    probability: float
    weight: float
    verdict: str
    evidence: Sequence[dict[str, Any]]
    model_version: str
    at: float
    decisions: Sequence[Decision] = field(default_factory=list[Decision])
    content: str = ""

    def is_of(self, content: str, digest: str) -> bool:
        """Whether it is of a profile of this content, or, without its own, of this digest."""
        return self.content == content if self.content else self.digest == digest

    def dump(self) -> bytes:
        """Write it as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def load(cls, body: bytes) -> Self:
        """Read it from JSON."""
        return _ALERT.validate_json(body)  # type: ignore[return-value]


@dataclass(frozen=True)
class AlertHistory:
    """Alerts that a list raised of a streamer.

    Attributes:
        alerts: ids by the contents of which they told, the last ones; the newest comes last.
    """

    alerts: Mapping[str, str] = field(default_factory=dict[str, str])

    def told(self, content: str, alert_id: str) -> Self:
        """After an alert told of a content."""
        others = [each for each in self.alerts.items() if each[0] != content]
        return replace(self, alerts=dict([*others, (content, alert_id)][-_MOST_CONTENTS:]))

    def dump(self) -> bytes:
        """Write it as JSON."""
        return json.dumps(asdict(self)).encode()


def news_of(list_id: str) -> Append:
    """The entry of the log that tells that a list was changed."""
    return Append(LISTS, json.dumps({"watchlist_id": list_id}).encode(), _MOST_NEWS)


_ALERT = TypeAdapter(Alert)
HISTORY = TypeAdapter(AlertHistory)
WATCHLIST = TypeAdapter(Watchlist)
SEEDS_OF = TypeAdapter(Seeds)
TALLY = TypeAdapter(Tally)
SWEPT_OF = TypeAdapter(Swept)
