"""The store's interface for groups of duplicates and for judgements.

Groups, edges and the place in the log up to which they are evaluated are written in one step by
whoever has the lease. They can be made anew from the streamers and the judgements. Judgements are
given by people and can't be made anew, so a backup holds them.
"""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from service.store.base import Position
from service.store.events import NewEvent

GroupState = Literal["live", "merged", "split", "dissolved"]


class NotTheEvaluator(Exception):
    """Another process evaluates the log by now; nothing was written."""


class StepsLost(Exception):
    """The store lost steps that were acknowledged: all has to be read anew; nothing was written."""


@dataclass(frozen=True)
class EdgeRecord:
    """An edge between two streamers; `a` is below `b`."""

    a: str
    b: str
    weight: float
    kind: str


@dataclass(frozen=True)
class GroupRecord:
    """A group, live or not any more; times are seconds since 1970.

    Attributes:
        group_id: never used again.
        state: `live`, or what became of it.
        size: members; 0 unless it is live.
        representative: one of them; empty unless it is live.
        successors: of a group that is not live, those that had its members when it ended.
        members: of such a group, some that were stored then and are not erased: one at a time of
            each of the successors, then those that were in no group; None of live groups, and of
            those that ended before releases that keep them.
        has_others: whether it had more of them.
    """

    group_id: str
    state: GroupState
    size: int
    representative: str
    created_at: float
    updated_at: float
    successors: tuple[str, ...] = ()
    members: tuple[str, ...] | None = None
    has_others: bool = False


@dataclass(frozen=True)
class GroupChange:
    """A group that is written.

    Attributes:
        before: as it is stored; None of a new one.
        after: as it is to be.
        joined: members that are new in it.
        left: members that are not in it any more.
    """

    before: GroupRecord | None
    after: GroupRecord
    joined: Sequence[str] = ()
    left: Sequence[str] = ()


@dataclass(frozen=True)
class Commit:
    """What one atomic step writes.

    Attributes:
        edges: new and changed ones.
        removed: pairs whose edge is no more.
        groups: whose members, state or representative changed.
        events: that tell of it.
        position: up to where the log is evaluated with it; None = as before.
        judged: the last judgement that is taken in with it; None = as before.
        rules: by which all streamers are compared with it; None = as before.
        pending: streamers that have to be compared again, since they lost edges.
        compared: streamers that have not to be any more.
    """

    edges: Sequence[EdgeRecord] = ()
    removed: Sequence[tuple[str, str]] = ()
    groups: Sequence[GroupChange] = ()
    events: Sequence[NewEvent] = ()
    position: Position | None = None
    judged: int | None = None
    rules: str | None = None
    pending: Sequence[str] = ()
    compared: Sequence[str] = ()


@dataclass(frozen=True)
class JudgementRecord:
    """What a person says of a pair; `a` is below `b`.

    Attributes:
        order: grows with every judgement that is given.
        key_id: of the API key that gave it, whose name is `key_name`.
        at: seconds since 1970.
    """

    a: str
    b: str
    verdict: Literal["same", "different", "unsure"]
    note: str
    key_id: str
    key_name: str
    at: float
    order: int = 0


@dataclass(frozen=True)
class JudgementNews:
    """Judgements that were given or taken back and are not evaluated yet.

    Attributes:
        judged: as they are now.
        unjudged: pairs that have none now.
        upto: the last change that is in it; 0 = none.
    """

    judged: Sequence[JudgementRecord] = ()
    unjudged: Sequence[tuple[str, str]] = ()
    upto: int = 0


@dataclass(frozen=True)
class Kept:
    """All that is kept of groups.

    Attributes:
        position: up to where the log is evaluated; None = nothing is, or not to the end.
        step: number of the last commit.
        members: of each live group.
        pending: streamers that have to be compared again; see `Commit`.
    """

    position: Position | None
    step: int
    edges: Sequence[EdgeRecord]
    groups: Mapping[str, GroupRecord]
    members: Mapping[str, Collection[str]]
    pending: Sequence[str] = ()


class JudgementStore(Protocol):
    """Judgements. All methods raise StoreUnavailable when the store does not answer."""

    async def put(self, judgement: JudgementRecord) -> tuple[JudgementRecord | None, list[str]]:
        """Write the judgement of a pair, unless a streamer is not stored.

        Returns:
            The one before, and which of the streamers are not stored: nothing was written then.
        """
        ...

    async def get(self, a: str, b: str) -> JudgementRecord | None:
        """The judgement of a pair; `a` is below `b`."""
        ...

    async def remove(self, a: str, b: str) -> JudgementRecord | None:
        """Take the judgement of a pair back; the one that there was."""
        ...

    async def page(
        self, after: str, limit: int, streamer_id: str | None = None
    ) -> tuple[list[JudgementRecord], str | None]:
        """Judgements in order of their pairs, of one streamer or all.

        Returns:
            Up to `limit`, and what `after` continues with; None on the last page.
        """
        ...

    async def among(self, streamer_ids: Collection[str]) -> list[JudgementRecord]:
        """Judgements of pairs with both ends among some streamers, in no order."""
        ...

    async def news(self) -> JudgementNews:
        """What is not evaluated yet."""
        ...


class GroupStore(Protocol):
    """Groups. All methods raise StoreUnavailable when the store does not answer."""

    async def claim(self, owner: str, lease_s: float, *, force: bool = False) -> int | None:
        """Become the one who evaluates, or stay it; the lease's token.

        Args:
            owner: names this process.
            lease_s: without a sign of life for so long, another one may.
            force: take it from whoever has it.

        Returns:
            None if another one is.
        """
        ...

    async def renew(self, token: int, lease_s: float) -> None:
        """Make a lease last longer.

        Raises:
            NotTheEvaluator: another process has it by now.
        """
        ...

    async def release(self, token: int) -> None:
        """Let others evaluate at once."""
        ...

    async def is_evaluated(self) -> bool:
        """Whether some process has the lease."""
        ...

    async def load(self) -> Kept:
        """All that is kept."""
        ...

    async def commit(self, token: int, step: int, commit: Commit) -> None:
        """Write in one step, once: it may be sent again when the answer was lost.

        Args:
            token: of the lease.
            step: its number, one more than that of the commit before.
            commit: what is written.

        Raises:
            NotTheEvaluator: the lease is another one's; nothing was written.
            StepsLost: the step before is not stored, as after a fail-over without replicas.
        """
        ...

    async def get(self, group_id: str) -> GroupRecord | None:
        """A group, live or not; None if there was never one."""
        ...

    async def forget(self, streamer_id: str, among: Sequence[str] | None = None) -> None:
        """Take a streamer that is erased out of the records of groups that are not live.

        Args:
            streamer_id: who is erased.
            among: ids of groups; None: all are looked at.
        """
        ...

    async def forget_others(self, stored: Container[str]) -> None:
        """Take streamers that are not stored out of the records of groups that are not live.

        Args:
            stored: ids of all that are.
        """
        ...

    async def groups_of(self, streamer_ids: Sequence[str]) -> list[str | None]:
        """Ids of the live groups that streamers are in; None of those in none."""
        ...

    async def members(self, group_id: str, after: str, limit: int) -> list[str]:
        """Members in byte order, strictly after one ("" = from the first)."""
        ...

    async def members_of(self, group_ids: Sequence[str], most: int) -> list[tuple[list[str], int]]:
        """Up to `most` members of each group in byte order, and how many it has."""
        ...

    async def edges_of(self, streamer_ids: Sequence[str], most: int) -> list[list[EdgeRecord]]:
        """Up to `most` edges of each streamer, in order of the other ends."""
        ...

    async def page(
        self, order: Literal["size", "newest"], after: str, limit: int
    ) -> tuple[list[GroupRecord], str | None]:
        """Live groups, the largest or the last changed first; and what `after` continues with."""
        ...

    async def position(self) -> Position | None:
        """Up to where the log is evaluated; None = nothing is."""
        ...

    async def rules(self) -> str | None:
        """By which rules all streamers are compared; None = that is not known."""
        ...
