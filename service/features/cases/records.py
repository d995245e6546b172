"""What is stored of a case, as JSON."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from pydantic import TypeAdapter

from service.engine.expansion.certificate import Hangs
from service.engine.expansion.edges import EdgeKind, EvidenceEdge
from service.engine.expansion.paths import Rules
from service.engine.expansion.walk import StoppedBecause

Verdict = Literal["confirmed", "cleared", "unsure"]
EventKind = Literal["created", "expanded", "rerun", "verdict", "undone"]
Cause = Literal["profile_changed", "joined", "deleted", "model", "threshold", "verdict"]
ALL_KINDS: tuple[EdgeKind, ...] = get_args(EdgeKind)
HOPS, MIN_PROBABILITY, FAN_OUT, BUDGET = 3, 0.35, 32, 1000
DECAY = 0.95
MOST_EVENTS = 10_000
"""Events of a case that are kept at least; older ones go."""


class Actor(NamedTuple):
    """Who changes a case: id and name of an API key."""

    key_id: str
    key_name: str


@dataclass(frozen=True)
class Query:
    """How far a case is expanded; see `Rules` and `Walk`. `filter` is the JSON of a filter."""

    hops: int = HOPS
    kinds: tuple[EdgeKind, ...] = ALL_KINDS
    min_probability: float = MIN_PROBABILITY
    fan_out: int = FAN_OUT
    budget: int = BUDGET
    filter: dict[str, Any] = field(default_factory=dict[str, Any])
    decay: float = DECAY

    @property
    def rules(self) -> Rules:
        """Who is a member."""
        return Rules(self.hops, self.min_probability, self.decay)


@dataclass(frozen=True)
class Run:
    """An expansion whose result is kept.

    Attributes:
        run_id: names the collection with its members.
        at: seconds since 1970.
        query: that was asked.
        sources: seeds and confirmed members that it began with.
        barred: exclusions and cleared streamers.
        members, edges, visited: how many.
        stopped_because: why it did not go on.
        incomplete_because: None where candidates came from the whole corpus.
        model_version: whose evidence it is.
        index_sequence: the last write that it takes into account.
        digest: SHA-256 of members and edges; equal ones are the same.
        job_id: of the job that made it; "" of a run that was made at once.
        request: that made it at once, where an `Idempotency-Key` named it.
    """

    run_id: str
    at: float
    query: Query
    sources: tuple[str, ...]
    barred: tuple[str, ...]
    members: int
    edges: int
    visited: int
    stopped_because: StoppedBecause
    incomplete_because: str | None
    model_version: str
    index_sequence: int
    digest: str
    job_id: str = ""
    request: str = ""


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes:
        case_id: of the case.
        title: for people.
        seeds: where it begins.
        exclude: who does not belong to it.
        created_at: seconds since 1970.
        key_id, key_name: of the API key that created it.
        run: whose members are shown; None before the first one.
        before: the run before, which `:undo` shows again.
        events: number of the last event.
        undoable: number of the event that `:undo` takes back; 0 = there is none.
        request: that made it, where an `Idempotency-Key` named it.
    """

    case_id: str
    title: str
    seeds: tuple[str, ...]
    exclude: tuple[str, ...]
    created_at: float
    key_id: str
    key_name: str
    run: Run | None = None
    before: Run | None = None
    events: int = 0
    undoable: int = 0
    request: str = ""

    def bounds(
        self, verdicts: Mapping[str, "VerdictRecord"]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Sources and barred of an expansion by these verdicts; of many it takes a while."""
        confirmed = [name for name, each in verdicts.items() if each.verdict == "confirmed"]
        cleared = {name for name, each in verdicts.items() if each.verdict == "cleared"}
        barred = {*self.exclude} | cleared
        return tuple(sorted({*self.seeds, *confirmed} - barred)), tuple(sorted(barred))

    def is_outdated_by(self, verdicts: Mapping[str, "VerdictRecord"]) -> bool:
        """Whether the run that is shown began with other bounds than these verdicts give."""
        run = self.run
        return run is not None and self.bounds(verdicts) != (run.sources, run.barred)


@dataclass(frozen=True)
class VerdictRecord:
    """What somebody decided of a streamer, in a case; it outlasts the streamer.

    Attributes:
        verdict: that was given.
        note: for people.
        key_id, key_name: of the API key that decided.
        at: seconds since 1970.
        digest: of the profile that was decided on; "" where there was none, and of verdicts that
            older releases made.
    """

    verdict: Verdict
    note: str
    key_id: str
    key_name: str
    at: float
    digest: str = ""

    def decided(self, now: str | None) -> "Decided":
        """The verdict beside the digest of the profile that is stored now; None = none is."""
        is_other = None if not self.digest else now is not None and now != self.digest
        return Decided(self, is_other)


class Decided(NamedTuple):
    """A verdict, and whether the profile is another one by now than was decided on.

    `profile_changed` is None where it is not known which one was decided on.
    """

    record: VerdictRecord
    profile_changed: bool | None


@dataclass(frozen=True)
class Event:
    """An entry of a case's log: what was changed, by whom.

    Attributes:
        kind: of the change.
        key_id, key_name: who.
        old, new: what was and what is: a verdict, a run, or the title and seeds.
        streamer_id: whose verdict.
        undoes: number of the event that this one takes back.
        previous: number of the event that can be undone after this one.
    """

    kind: EventKind
    key_id: str
    key_name: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    streamer_id: str | None = None
    undoes: int | None = None
    previous: int = 0


@dataclass(frozen=True)
class Member:
    """A member, as a run found it.

    Attributes:
        streamer_id: of the member.
        state: whether it was stored.
        hop: hops of its best path; 0 of a source.
        probability: value of the best path, to six places.
        path: streamers from a source to it.
        weakest_link: the two ends of the least probable edge of the path; None of a source.
        leaves_if: what its membership hangs on.
        edges: with members before it.
        digest: of the profile that was seen; "" of one that is not stored.
    """

    streamer_id: str
    state: Literal["stored", "deleted"]
    hop: int
    probability: float
    path: Sequence[str]
    weakest_link: tuple[str, str] | None
    leaves_if: Hangs
    edges: Sequence[EvidenceEdge]
    digest: str


@dataclass(frozen=True)
class Copy:
    """The profile of a member, copied after a run was made.

    Attributes:
        digest: of the profile; that of the member, unless it was written since the run saw it.
        version: of the streamer.
        profile: zlib and base64 of its JSON; None where it was erased or not stored.
        sha256: of that JSON, which is not `digest` where media are left out; "" where there is
            none, and of copies that older releases made.
    """

    digest: str
    version: int
    profile: str | None
    sha256: str = ""


@dataclass(frozen=True)
class Difference:
    """Somebody who joined, left, or is shown otherwise, why, and because of whom."""

    streamer_id: str
    cause: Cause
    because: Sequence[str]


@dataclass(frozen=True)
class Differences:
    """What another run makes of a case."""

    joined: Sequence[Difference] = ()
    left: Sequence[Difference] = ()
    changed: Sequence[Difference] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.joined or self.left or self.changed)


CASE = TypeAdapter(Case)
RUN = TypeAdapter(Run)
VERDICT = TypeAdapter(VerdictRecord)
EVENT = TypeAdapter(Event)
MEMBERS = TypeAdapter(list[Member])
COPY = TypeAdapter(Copy)


def read_members(bodies: Sequence[bytes]) -> Generator[None, None, list[Member]]:
    """Members of a run from the bodies of their documents, a body at a time."""
    found: list[Member] = []
    for body in bodies:
        found += MEMBERS.validate_json(body[len(b'{"members":') : -1])
        yield
    return found
