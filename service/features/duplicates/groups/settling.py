"""Contradicting judgements: the newest wins, and those that it overrules are named.

Judgements are taken the newest first. One is overruled if those taken before imply the opposite:
`same` of two whom a chain of `same` leads to a pair that is `different`, or `different` of two whom
a chain of `same` joins. Only judgement edges are ever stored; what holds is computed from them.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.features.duplicates.groups.edges import Judgement, Pair, pair_of


@dataclass(frozen=True)
class Settled:
    """Judgements that hold.

    Attributes:
        same: pairs that are to be in one group.
        different: pairs that are to be in two.
        overruled: pairs whose judgement does not hold, and the newer ones that contradict it.
    """

    same: frozenset[Pair] = frozenset()
    different: frozenset[Pair] = frozenset()
    overruled: Mapping[Pair, tuple[Pair, ...]] = field(default_factory=dict[Pair, tuple[Pair, ...]])


def settle(judgements: Iterable[Judgement]) -> Settled:
    """Which judgements hold, in O(J log J) unless many contradict each other."""
    newest_first = sorted(judgements, key=lambda j: (-j.order, j.pair))
    taken = _Taken()
    for judgement in newest_first:
        if judgement.verdict != "unsure":
            taken.take(judgement)
    return Settled(frozenset(taken.same), frozenset(taken.different), taken.overruled)


class _Taken:
    """Judgements taken so far: sets of streamers that are the same, and which sets are apart."""

    def __init__(self) -> None:
        self.same: set[Pair] = set()
        self.different: set[Pair] = set()
        self.overruled: dict[Pair, tuple[Pair, ...]] = {}
        self._set_of: dict[str, str] = {}
        self._members: dict[str, list[str]] = {}
        self._apart: dict[str, dict[str, Pair]] = {}  # set -> other set -> the pair that says so
        self._joined: dict[str, list[str]] = {}

    def take(self, judgement: Judgement) -> None:
        a, b = judgement.pair
        one, other = self._set(a), self._set(b)
        if judgement.verdict == "different":
            if one == other:
                self.overruled[judgement.pair] = tuple(self._chain(a, b))
            else:
                self.different.add(judgement.pair)
                self._apart[one].setdefault(other, judgement.pair)
                self._apart[other].setdefault(one, judgement.pair)
            return
        if (apart := self._apart[one].get(other)) is not None:
            x, y = apart if self._set(apart[0]) == one else apart[::-1]
            self.overruled[judgement.pair] = (*self._chain(a, x), apart, *self._chain(y, b))
            return
        self.same.add(judgement.pair)
        self._joined.setdefault(a, []).append(b)
        self._joined.setdefault(b, []).append(a)
        if one != other:
            self._merge(one, other)

    def _set(self, streamer_id: str) -> str:
        found = self._set_of.setdefault(streamer_id, streamer_id)
        if found == streamer_id and streamer_id not in self._members:
            self._members[streamer_id], self._apart[streamer_id] = [streamer_id], {}
        return found

    def _merge(self, one: str, other: str) -> None:
        def size(name: str) -> int:
            return len(self._members[name]) + len(self._apart[name])

        kept, gone = (one, other) if size(one) >= size(other) else (other, one)
        for member in self._members.pop(gone):
            self._set_of[member] = kept
            self._members[kept].append(member)
        for third, pair in self._apart.pop(gone).items():
            del self._apart[third][gone]
            self._apart[third].setdefault(kept, pair)
            self._apart[kept].setdefault(third, pair)

    def _chain(self, start: str, end: str) -> list[Pair]:
        """The shortest chain of `same` between two streamers of one set."""
        before: dict[str, str] = {start: start}
        waiting = deque([start])
        while end not in before:
            at = waiting.popleft()
            for other in sorted(self._joined.get(at, ())):
                if other not in before:
                    before[other] = at
                    waiting.append(other)
        chain: list[Pair] = []
        while end != start:
            chain.append(pair_of(before[end], end))
            end = before[end]
        return chain[::-1]
