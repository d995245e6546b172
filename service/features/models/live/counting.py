"""What a shadow counts: bounded sums that several replicas add up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from service.features.models.overlap import overlap_of

K = 10
"""Hits of a question that are compared."""
_MOST_HUBS = 512
_MOST_CHANGES = 20
_MOST_REPLICAS = 64
_FIRST_MS, _PER_DOUBLING, _BUCKETS = 0.05, 4, 80
"""Bounds of times: each 19 % above the one before, up to 50 s."""
_Z95 = 1.959964


@dataclass
class Moments:
    """Sums of numbers, for their mean and its interval."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """One more number."""
        self.count += 1
        self.total += value
        self.squares += value * value

    def merge(self, other: "Moments") -> None:
        """Add what another process has counted."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    @property
    def mean(self) -> float | None:
        """Of all numbers; None without any."""
        return self.total / self.count if self.count else None

    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean by the normal distribution; None of fewer than two numbers."""
        mean, count = self.mean, self.count
        if mean is None or count < 2:
            return None
        variance = max(self.squares - count * mean * mean, 0.0) / (count - 1)
        half = _Z95 * math.sqrt(variance / count)
        return mean - half, mean + half


@dataclass
class Times:
    """How long answers took, in buckets that grow geometrically."""

    counts: list[int] = field(default_factory=lambda: [0] * _BUCKETS)

    def add(self, ms: float) -> None:
        """One more."""
        place = math.ceil(_PER_DOUBLING * math.log2(max(ms, _FIRST_MS) / _FIRST_MS))
        self.counts[min(place, _BUCKETS - 1)] += 1

    def merge(self, other: "Times") -> None:
        """Add what another process has counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]

    def quantile(self, share: float) -> float | None:
        """Milliseconds that `share` of the answers did not exceed, at most 19 % too much."""
        wanted, seen = share * sum(self.counts), 0
        for place, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return _FIRST_MS * 2 ** (place / _PER_DOUBLING)
        return None


@dataclass
class Hubs:
    """Streamers that are in many answers: a summary of frequent items (Misra and Gries 1982).

    Attributes:
        counts: of answers that have a streamer; at most `missed` too low, at most 512 streamers.
        missed: by how much a count may be too low.
    """

    counts: dict[str, int] = field(default_factory=dict[str, int])
    missed: int = 0

    def add(self, ids: Sequence[str]) -> None:
        """One more answer."""
        for name in ids:
            self.counts[name] = self.counts.get(name, 0) + 1
        self._shrink()

    def merge(self, other: "Hubs") -> None:
        """Add what another process has counted (Agarwal et al. 2012, mergeable summaries)."""
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.missed += other.missed
        self._shrink()

    def most(self, count: int) -> list[tuple[str, int]]:
        """Streamers that are in most answers, the most frequent first."""
        return sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))[:count]

    def _shrink(self) -> None:
        if len(self.counts) <= _MOST_HUBS:
            return
        less = sorted(self.counts.values(), reverse=True)[_MOST_HUBS]
        self.counts = {name: n - less for name, n in self.counts.items() if n > less}
        self.missed += less


@dataclass
class Answers:
    """What one of the two models answered.

    Attributes:
        answered: questions.
        empty: of these, those without a hit.
        hits: of all answers.
        failed: questions to which it had no answer.
        times: of its answers to questions without profiles: a profile that was just read for one
            model is read faster for it once more.
        hubs: of its answers.
        recall: of the answers that were compared with an exact one.
    """

    answered: int = 0
    empty: int = 0
    hits: int = 0
    failed: int = 0
    times: Times = field(default_factory=Times)
    hubs: Hubs = field(default_factory=Hubs)
    recall: Moments = field(default_factory=Moments)

    def add(self, ids: Sequence[str], ms: float | None) -> None:
        """One more answer, with its milliseconds where they can be compared."""
        self.answered += 1
        self.empty += not ids
        self.hits += len(ids)
        if ms is not None:
            self.times.add(ms)
        self.hubs.add(ids)

    def merge(self, other: "Answers") -> None:
        """Add what another process has counted."""
        self.answered += other.answered
        self.empty += other.empty
        self.hits += other.hits
        self.failed += other.failed
        self.times.merge(other.times)
        self.hubs.merge(other.hubs)
        self.recall.merge(other.recall)


@dataclass(frozen=True)
class Change:
    """A question whose answers have little in common; ids alone."""

    seeds: Sequence[str]
    overlap: float
    active: Sequence[str]
    shadow: Sequence[str]


@dataclass
class ShadowCounts:
    """What a shadow has found.

    Attributes:
        model_version, compared_with: the two models.
        run: names the report; another run begins anew.
        begun_at, updated_at: seconds since 1970.
        sampled: questions that were drawn.
        compared: of these, those that both models answered.
        dropped: of these, those that were not asked, by the reason.
        overlap: share of the hits that both have, by question that one of them has hits for.
        same_first: of these questions, those with the same first hit.
        moved: places by which a hit that both have differs, by hit.
        active, shadow: answers of both.
        changes: the questions with the least overlap.
        replicas: how many parts each has added, and when the last one.
    """

    model_version: str
    compared_with: str
    run: str
    begun_at: float
    updated_at: float = 0.0
    sampled: int = 0
    compared: int = 0
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    overlap: Moments = field(default_factory=Moments)
    same_first: int = 0
    moved: Moments = field(default_factory=Moments)
    active: Answers = field(default_factory=Answers)
    shadow: Answers = field(default_factory=Answers)
    changes: list[Change] = field(default_factory=list[Change])
    replicas: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    @property
    def has_some(self) -> bool:
        """Whether anything was counted."""
        return bool(self.sampled or self.compared or self.dropped)

    def drop(self, why: str) -> None:
        """A question was not asked."""
        self.dropped[why] = self.dropped.get(why, 0) + 1

    def compare(self, active: Sequence[str], shadow: Sequence[str], seeds: Sequence[str]) -> None:
        """Both models have answered a question.

        Args:
            active: hits of the active model, best first.
            shadow: hits of the other one.
            seeds: ids of the question; none where it has other seeds too.
        """
        self.compared += 1
        found = overlap_of(active, shadow)
        if found is None:
            return
        self.same_first += found.is_same_first
        self.overlap.add(found.share)
        for places in found.moved:
            self.moved.add(places)
        if seeds and found.share < 1:
            self._keep([Change(list(seeds), round(found.share, 6), list(active), list(shadow))])

    def add(self, part: "ShadowCounts", replica: str, number: int, at: float) -> bool:
        """Add what a replica has counted; False where its part of this number is there already."""
        if number <= self.replicas.get(replica, (0, 0.0))[0]:
            return False
        self.replicas[replica] = number, at
        latest = sorted(self.replicas.items(), key=lambda each: -each[1][1])
        self.replicas = dict(latest[:_MOST_REPLICAS])
        self.updated_at = max(self.updated_at, at)
        self.sampled += part.sampled
        self.compared += part.compared
        for why, count in part.dropped.items():
            self.dropped[why] = self.dropped.get(why, 0) + count
        self.overlap.merge(part.overlap)
        self.same_first += part.same_first
        self.moved.merge(part.moved)
        self.active.merge(part.active)
        self.shadow.merge(part.shadow)
        self._keep(part.changes)
        return True

    def without(self, streamer_id: str) -> bool:
        """Forget a streamer; whether it was there."""
        sides = self.active.hubs, self.shadow.hubs
        was_hub = [hubs.counts.pop(streamer_id, None) is not None for hubs in sides]
        kept = [each for each in self.changes if streamer_id not in named_in(each)]
        was_there = any(was_hub) or len(kept) < len(self.changes)
        self.changes = kept
        return was_there

    def names(self) -> set[str]:
        """Ids of all streamers that it names."""
        hubs = (*self.active.hubs.counts, *self.shadow.hubs.counts)
        return {*hubs, *(name for change in self.changes for name in named_in(change))}

    def _keep(self, more: Sequence[Change]) -> None:
        """Keep the largest changes, one of the same seeds."""
        known: dict[tuple[str, ...], Change] = {}
        for each in sorted((*self.changes, *more), key=lambda c: (c.overlap, c.seeds)):
            known.setdefault(tuple(each.seeds), each)
        self.changes = list(known.values())[:_MOST_CHANGES]


def named_in(change: Change) -> set[str]:
    """Ids of the streamers of a change."""
    return {*change.seeds, *change.active, *change.shadow}


COUNTS = TypeAdapter(ShadowCounts)
