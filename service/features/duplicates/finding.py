"""Finds the edges of streamers: candidates among all others, and a comparison with these."""

import contextlib
from array import array
from collections.abc import AsyncGenerator, Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from service.engine.candidates.corpus import Corpus
from service.engine.work.ahead import ahead
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.resumable import Resumable
from service.features.duplicates.comparers import Comparer, OfAll
from service.features.duplicates.groups.edges import Edge, Pair, at_both_ends, pair_of, shared_out
from service.features.duplicates.looked_up import LookedUp
from service.features.jobs.runner import persist

MOST_FOUND = 16
"""Edges that a streamer is given when it is evaluated, beside those that others have with it: the
strongest. In a farm of thousands all are alike, and a few edges each hold it together."""
_ASKED_AT_ONCE = 16
"""Streamers whose candidates are looked for in one step: some 20 ms at 100,000 streamers."""


class EdgeFinder:
    """Compares streamers with those that may be their duplicates."""

    def __init__(
        self,
        comparer: Comparer,
        corpus: Corpus,
        lanes: Lanes,
        neighbours: Callable[[str], Collection[str]],
    ) -> None:
        """Nothing is compared yet.

        Args:
            comparer: decides who is whose duplicate.
            corpus: finds candidates.
            lanes: where work is done.
            neighbours: who has an edge with a streamer already; they are always compared.
        """
        self._comparer = comparer
        self._corpus = corpus
        self._lanes = lanes
        self._neighbours = neighbours

    async def edges(
        self,
        names: Sequence[str],
        asked_of: Callable[[str], NDArray[np.uint32]],
        of_all: OfAll | None = None,
        looked: LookedUp | None = None,
    ) -> dict[str, list[Edge]]:
        """All edges of some streamers, by each of them.

        Args:
            names: streamers that are in the corpus.
            asked_of: keys by which each finds others (K,).
            of_all: compares all streamers; None: they are compared as they are stored now.
            looked: what was found for answers.

        Raises:
            Unavailable: the store or the index can't answer at the moment.
        """
        known_of = looked or LookedUp(self._corpus)

        async def compared(part: Sequence[str]) -> dict[str, list[Edge]]:
            near = await self._near(part, asked_of, known_of)
            known = [set(self._neighbours(name)) for name in part]
            edges = await self._compared(part, near, known, of_all, known_of)
            return shared_out(part, known, edges, MOST_FOUND)

        async def parts() -> AsyncGenerator[Sequence[str], None]:
            for start in range(0, len(names), _ASKED_AT_ONCE):
                yield names[start : start + _ASKED_AT_ONCE]

        edges: dict[str, list[Edge]] = {}
        # While the pairs of one part are compared, another thread looks for the next ones.
        results = ahead(parts(), compared, 2 if of_all is None else of_all.comparer.at_once)
        async with contextlib.aclosing(results):
            async for _, found in results:
                edges |= found
        return at_both_ends(edges)

    async def _near(
        self,
        names: Sequence[str],
        asked_of: Callable[[str], NDArray[np.uint32]],
        looked: LookedUp,
    ) -> list[set[str]]:
        found = {name: looked.candidates(name) for name in names}
        left = [name for name, near in found.items() if near is None]
        if left:
            work = Resumable(self._corpus.candidates(left, [asked_of(name) for name in left]))
            near = await persist(lambda: self._lanes.run_in_slices(work, Lane.BULK))
            found |= zip(left, near, strict=True)
        return [found[name] or set() for name in names]

    async def _compared(
        self,
        names: Sequence[str],
        near: Sequence[set[str]],
        known: Sequence[set[str]],
        of_all: OfAll | None,
        looked: LookedUp,
    ) -> list[Edge]:
        """Edges of some streamers with others that are near, or were known to have one."""
        pairs: set[Pair] = set()
        compared: dict[Pair, Edge | None] = {}
        for name, others, before in zip(names, near, known, strict=True):
            unlike = set(of_all.unlike.pop(name, ())) if of_all else set[int]()
            new = {o for o in others if self._corpus.row(o) not in unlike} if unlike else others
            pairs |= {pair_of(name, other) for other in new | before}
            compared |= looked.compared(name)
        wanted = sorted(pairs - compared.keys())
        found = [edge for pair, edge in compared.items() if edge is not None and pair in pairs]
        if not wanted:
            return found
        if of_all is None:
            found += await persist(lambda: self._comparer.edges(wanted, self._corpus.version))
            return found
        edges = await persist(lambda: of_all.comparer.edges(wanted))
        asked, joined = set(names), {edge.pair for edge in edges}
        for a, b in wanted:  # the later one of the two need not be compared with the earlier
            if a in asked and b not in asked and (a, b) not in joined:
                of_all.unlike.setdefault(b, array("I")).append(self._corpus.row(a))
        return edges
