"""Edges between stored streamers: who may belong together, and what the evidence says of it."""

from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import CHANNELS, DIRECT, NAMES_OF_CHANNELS, Side
from service.engine.candidates.corpus import Corpus
from service.engine.candidates.kept import KeptCorpus
from service.engine.candidates.keys import asked_keys
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.expansion.edges import ChannelOf, EdgeKind, EvidenceEdge
from service.engine.expansion.hubs import without_hubs
from service.engine.work.lanes import Lane, Lanes

Pair = tuple[str, str]
CHANNELS_OF: Mapping[EdgeKind, frozenset[str]] = {
    "text": frozenset({"text", "names"}),
    "contacts": frozenset({"contacts"}),
    "media": frozenset({"pictures", "sounds", "vectors"}),
    "tags": frozenset({"tags", "category_language"}),
    "titles": frozenset({"titles"}),
    "embedding": frozenset({"embedding"}),
}
"""Channels of evidence by the kind of edge that a walk may go over."""
HUB_STREAMERS = 256
"""What more streamers show is a hub; ten times as many as a large ring has accounts."""
Near = Callable[[Sequence[str]], Awaitable[list[list[str]]]]
"""Candidates of stored streamers where there is no corpus, the likeliest first."""


class EvidenceEdges:
    """Makes what expansions need of the corpus that this process keeps."""

    def __init__(
        self, evidence: Evidence, sides: StoredSides, kept: KeptCorpus, near: Near, lanes: Lanes
    ) -> None:
        """Find candidates in `kept`, or by `near` where it has none, and compare in `lanes`."""
        self._evidence = evidence
        self._sides = sides
        self._kept = kept
        self._near = near
        self._lanes = lanes

    def looking(self, kinds: Collection[EdgeKind], lane: Lane) -> "Looking":
        """What one expansion looks with, over edges of these kinds."""
        corpus = self._kept.corpus
        return Looking(
            self._evidence, self._sides, corpus, self._near, self._lanes, frozenset(kinds), lane
        )


class Looking:
    """Candidates and edges of one expansion, which reads and compares each profile once.

    Attributes:
        is_complete: whether candidates come from the corpus of all streamers.
    """

    def __init__(
        self,
        evidence: Evidence,
        sides: StoredSides,
        corpus: Corpus | None,
        near: Near,
        lanes: Lanes,
        kinds: frozenset[EdgeKind],
        lane: Lane,
    ) -> None:
        """Made by `EvidenceEdges.looking`."""
        self.is_complete = corpus is not None
        self._evidence = evidence
        self._stored = sides
        self._corpus = corpus
        self._near = near
        self._lanes = lanes
        self._lane = lane
        self._known: dict[str, Side] = {}
        channels = frozenset[str]().union(*(CHANNELS_OF[kind] for kind in kinds))
        self._masked = [name for name in NAMES_OF_CHANNELS if name not in channels]
        self._needs_direct = bool(channels & DIRECT)

    async def candidates(self, names: Sequence[str]) -> list[list[str]]:
        """Who may belong together with each of some streamers; nobody of those not stored.

        Raises:
            Unavailable: the store does not answer, or too much work waits.
        """
        await self._read(names)
        corpus = self._corpus
        if corpus is None:
            return await self._near(names)

        def look() -> Generator[None, None, list[list[str]]]:
            asked = {name: asked_keys(self._known[name]) for name in names if name in self._known}
            there = [name for name in asked if name in corpus]
            keys = [_without_strong_hubs(asked[name], corpus) for name in there]
            near = yield from corpus.candidates(there, keys)
            found = dict(zip(there, near, strict=True))
            return [sorted(found.get(name, ())) for name in names]

        return await self._lanes.run_in_slices(look(), self._lane)

    async def compare(self, pairs: Sequence[Pair], least: float) -> list[EvidenceEdge]:
        """Those of the pairs whose probability is `least` or more, of streamers that are stored.

        Where content itself is compared, some of it has to speak for an edge: a likeness of style
        alone makes none.

        Raises:
            Unavailable: as `candidates`.
        """
        await self._read(sorted({name for pair in pairs for name in pair}))
        known = [pair for pair in pairs if pair[0] in self._known and pair[1] in self._known]
        if not known:
            return []
        return await self._lanes.run_in_slices(self._compared(known, least), self._lane)

    async def _read(self, names: Sequence[str]) -> None:
        missing = [name for name in names if name not in self._known]
        if not missing:
            return
        corpus = self._corpus
        versions = [None if corpus is None else corpus.version(name) for name in missing]
        found = await self._stored.get(missing, versions, self._lane)
        sides = {name: side for name, side in zip(missing, found, strict=True) if side is not None}
        if corpus is None or not sides:
            self._known.update(sides)
            return
        plain = await self._lanes.run(
            lambda: without_hubs(list(sides.values()), corpus.counts, HUB_STREAMERS), self._lane
        )
        self._known.update(zip(sides, plain, strict=True))

    def _compared(
        self, pairs: Sequence[Pair], least: float
    ) -> Generator[None, None, list[EvidenceEdge]]:
        names = sorted({name for pair in pairs for name in pair})
        place = {name: i for i, name in enumerate(names)}
        one = np.array([place[a] for a, _ in pairs])  # (P,)
        other = np.array([place[b] for _, b in pairs])
        sides = [self._known[name] for name in names]
        compared = yield from self._evidence.compare(sides, one, other, masked=self._masked)
        matches = compared.matches
        kept = matches.probabilities >= least
        if self._needs_direct:
            kept &= self._evidence.matcher.has_direct(matches.contributions)
        return [
            EvidenceEdge(
                *pairs[i],
                round(float(matches.probabilities[i]), 6),
                round(float(matches.weights[i]), 3),
                _channels(compared.levels[i].tolist(), matches.contributions[i].tolist()),
            )
            for i in np.flatnonzero(kept).tolist()
        ]


def _without_strong_hubs(keys: NDArray[np.uint32], corpus: Corpus) -> NDArray[np.uint32]:
    """Keys (K,) by which somebody is looked for; of hints so many find nobody as it is."""
    places = np.flatnonzero((keys & 1) == 0)
    return np.delete(keys, places[corpus.counts(keys[places]) > HUB_STREAMERS])


def _channels(levels: Sequence[int], contributions: Sequence[float]) -> list[ChannelOf]:
    """Channels that both show and that are not masked, those that say most first."""
    found = [
        ChannelOf(channel.name, round(bits, 3), channel.levels[level])
        for channel, level, bits in zip(CHANNELS, levels, contributions, strict=True)
        if level >= 0 and bits
    ]
    return sorted(found, key=lambda each: -each.weight)
