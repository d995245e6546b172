"""Seeds of all watchlists, and what written streamers match of them."""

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import ABSENT, CHANNELS, VERDICTS, Side, Verdict
from service.engine.evidence.engine import Compared, Evidence
from service.engine.watchlists.bounds import Bounds
from service.engine.watchlists.seed_index import SeedIndex

_WRITTEN_AT_ONCE = 64
_PAIRS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class ListSeeds:
    """What a list looks for.

    Attributes:
        list_id: of the list.
        version: of the list.
        positive: sides of the seeds that it looks for.
        seed_ids: streamers that these are, "" of profiles.
        negative: sides of seeds that cancel a match.
        exempt: streamers that raise nothing, each as long as it shows this content (`content_of`):
            seeds as they were given.
        min_probability: that a streamer is the same as a seed.
    """

    list_id: str
    version: int
    positive: Sequence[Side]
    seed_ids: Sequence[str]
    negative: Sequence[Side]
    exempt: Mapping[str, str]
    min_probability: float


@dataclass(frozen=True)
class Contribution:
    """What a channel adds to the match weight, in bits, and the name of its level."""

    channel: str
    level: str
    weight: float


@dataclass(frozen=True)
class Hit:
    """A streamer that matches a list.

    Attributes:
        written: its place among those that were asked.
        list_id: of the list.
        version: of the list.
        seed: place of the positive seed that it matches best.
        seed_id: the streamer that this is, "" of a profile.
        weight: match weight with that seed, in bits.
        probability: that the two are the same.
        verdict: what they are to each other.
        evidence: channels that both show.
    """

    written: int
    list_id: str
    version: int
    seed: int
    seed_id: str
    weight: float
    probability: float
    verdict: Verdict
    evidence: Sequence[Contribution]


class _Pair(NamedTuple):
    """A streamer and a seed of a list."""

    written: int
    known: ListSeeds
    seed: int
    side: Side
    seed_id: str = ""


@dataclass(eq=False)
class _Segment:
    """Lists whose positive seeds are indexed together.

    Attributes:
        lists: those that are still valid, by the place that they were given.
        owner: which list each seed is of (S,).
        first: row of the first seed of each list.
        sides: of the seeds.
        index: of the seeds.
    """

    lists: dict[int, ListSeeds]
    owner: NDArray[np.int64]
    first: NDArray[np.int64]
    sides: Sequence[Side]
    index: SeedIndex


class KnownLists(NamedTuple):
    """Lists by their ids, and the segments that have their seeds."""

    lists: dict[str, ListSeeds]
    segments: list[_Segment]


class Matcher:
    """Matches streamers against many lists. For one at a time who changes it.

    Lists that come together get an index; small indexes are merged into larger ones, so that a list
    that changes costs little, and there are never more than a few.
    """

    def __init__(self, evidence: Evidence) -> None:
        """Know no list."""
        self._evidence = evidence
        self._bounds = Bounds(evidence.matcher)
        self._segments: list[_Segment] = []
        self._lists: dict[str, ListSeeds] = {}

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return len(self._lists)

    @property
    def ids(self) -> Collection[str]:
        """Of the lists."""
        return tuple(self._lists)

    @property
    def seeds(self) -> int:
        """How many positive and negative seeds they have."""
        return sum(len(each.positive) + len(each.negative) for each in self._lists.values())

    def version(self, list_id: str) -> int | None:
        """The version of a list that is known; None if it is not."""
        known = self._lists.get(list_id)
        return None if known is None else known.version

    def known(self, list_ids: Collection[str]) -> list[ListSeeds]:
        """Those of some lists that are known."""
        return [self._lists[list_id] for list_id in list_ids if list_id in self._lists]

    def is_exempt(self, list_id: str, streamer_id: str, content: str) -> bool:
        """Whether a streamer of this content raises nothing in a list that it matches."""
        known = self._lists.get(list_id)
        return known is not None and known.exempt.get(streamer_id) == content

    def changed(self, lists: Sequence[ListSeeds], gone: Collection[str] = ()) -> KnownLists:
        """What is known with lists in place of what was known of them, and without others.

        It takes long, and changes nothing before `take`: nobody may wait for it any more.
        """
        left = {each.list_id for each in lists} | set(gone)
        kept = [
            replace(s, lists={p: e for p, e in s.lists.items() if e.list_id not in left})
            for s in self._segments
        ]
        segments = [segment for segment in kept if segment.lists]
        fresh = list(lists)
        while segments and fresh:
            size = sum(len(each.positive) for each in fresh)
            if len(segments[-1].sides) > 2 * size:
                break
            fresh += segments.pop().lists.values()
        if fresh:
            segments.append(self._indexed(fresh))
        others = {name: each for name, each in self._lists.items() if name not in left}
        return KnownLists(others | {each.list_id: each for each in lists}, segments)

    def take(self, known: KnownLists) -> None:
        """Know what `changed` has made of what is known."""
        self._lists, self._segments = known

    def match(
        self, ids: Sequence[str], written: Sequence[Side]
    ) -> Generator[None, None, list[Hit]]:
        """What streamers match; a generator that pauses every few milliseconds.

        A streamer matches a list if its probability with a positive seed is as high as the list
        asks, and its weight with each negative seed is lower than that. One that is a positive seed
        itself, as it was, matches only if another seed is nearer.

        Args:
            ids: of the streamers (W,).
            written: their sides (W,).
        """
        hits: list[Hit] = []
        for start in range(0, len(written), _WRITTEN_AT_ONCE):
            part = slice(start, start + _WRITTEN_AT_ONCE)
            for segment in list(self._segments):
                found = yield from self._in_segment(segment, ids[part], written[part])
                hits += [replace(hit, written=start + hit.written) for hit in found]
        return hits

    def _indexed(self, lists: Sequence[ListSeeds]) -> _Segment:
        sizes = [len(each.positive) for each in lists]
        sides = [side for each in lists for side in each.positive]
        required = [self._bounds.required(each.min_probability) for each in lists]
        first = np.cumsum([0, *sizes])[:-1]
        owner = np.repeat(np.arange(len(lists)), sizes)
        index = SeedIndex(sides, np.repeat(required, sizes), self._evidence)
        return _Segment(dict(enumerate(lists)), owner, first, sides, index)

    def _in_segment(
        self, segment: _Segment, ids: Sequence[str], written: Sequence[Side]
    ) -> Generator[None, None, list[Hit]]:
        reached = yield from segment.index.reached(written)
        pairs: list[_Pair] = []
        for place, rows in enumerate(reached):
            for row in rows.tolist():
                owner = int(segment.owner[row])
                known = segment.lists.get(owner)
                if known is not None:
                    seed: int = row - int(segment.first[owner])
                    side, seed_id = known.positive[seed], known.seed_ids[seed]
                    pairs.append(_Pair(place, known, seed, side, seed_id))
        scored = yield from self._scored(written, pairs)
        best: dict[tuple[int, str], tuple[tuple[float, bool, int], _Pair, Hit]] = {}
        for pair, hit in zip(pairs, scored, strict=True):
            if hit.probability < pair.known.min_probability:
                continue
            order = -hit.weight, pair.seed_id != ids[pair.written], hit.seed
            before = best.get((hit.written, hit.list_id))
            if before is None or order < before[0]:
                best[hit.written, hit.list_id] = order, pair, hit
        found = [(pair, hit) for (_, is_other, _), pair, hit in best.values() if is_other]
        against = [
            _Pair(pair.written, pair.known, seed, side)
            for pair, _ in found
            for seed, side in enumerate(pair.known.negative)
        ]
        cancels: dict[tuple[int, str], float] = {}
        for hit in (yield from self._scored(written, against)):
            key = hit.written, hit.list_id
            cancels[key] = max(cancels.get(key, hit.weight), hit.weight)
        return [
            hit for _, hit in found if hit.weight > cancels.get((hit.written, hit.list_id), -np.inf)
        ]

    def _scored(
        self, written: Sequence[Side], pairs: Sequence[_Pair]
    ) -> Generator[None, None, list[Hit]]:
        """Each pair, by the exact comparison."""
        hits: list[Hit] = []
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            part = pairs[start : start + _PAIRS_AT_ONCE]
            places = {id(pair.side): pair.side for pair in part}
            place_of = {each: place for place, each in enumerate(places)}
            shown = sorted({pair.written for pair in part})
            own = {each: len(places) + place for place, each in enumerate(shown)}
            sides = [*places.values(), *(written[each] for each in shown)]
            one = np.array([own[pair.written] for pair in part])
            other = np.array([place_of[id(pair.side)] for pair in part])
            compared = yield from self._evidence.compare(sides, one, other)
            hits += [_hit(pair, compared, row) for row, pair in enumerate(part)]
        return hits


def _hit(pair: _Pair, compared: Compared, row: int) -> Hit:
    matches = compared.matches
    evidence = [
        Contribution(channel.name, channel.levels[level], float(matches.contributions[row, column]))
        for column, channel in enumerate(CHANNELS)
        if (level := int(compared.levels[row, column])) != ABSENT
    ]
    return Hit(
        pair.written,
        pair.known.list_id,
        pair.known.version,
        pair.seed,
        pair.seed_id,
        float(matches.weights[row]),
        float(matches.probabilities[row]),
        VERDICTS[int(matches.verdicts[row])],
        evidence,
    )
