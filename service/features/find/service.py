"""The use-cases of finding streamers by what people remember, and of facet counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from service.engine.names.finder import Finder, Found, Hit, Keep, Place
from service.engine.replica.follower import Follower
from service.errors import InvalidRequest
from service.index.base import Row
from service.index.facets import FacetCounts
from service.index.filters import EVERYONE, Filter


@dataclass(frozen=True)
class Shown:
    """A hit with what the index knows of it."""

    hit: Hit
    row: Row


@dataclass(frozen=True)
class FoundPage:
    """A page of an answer; the fields are those of `Found`."""

    hits: Sequence[Shown]
    after: Place | None
    incomplete_because: str | None


@dataclass(frozen=True)
class FacetAnswer:
    """Counts, and why they may lack writes."""

    counts: FacetCounts
    incomplete_because: str | None


class Find:
    """Finds streamers without a seed."""

    def __init__(self, finder: Finder, follower: Follower, visible_timeout_ms: int) -> None:
        """Find by `finder`.

        Args:
            finder: of names.
            follower: of the index, which knows filters.
            visible_timeout_ms: how long a question waits for its `after_sequence`.
        """
        self._finder = finder
        self._follower = follower
        self._visible_timeout_ms = visible_timeout_ms

    async def hits(
        self,
        text: str,
        after: Place,
        limit: int,
        wanted: Filter = EVERYONE,
        after_sequence: int = 0,
        *,
        parameter: bool = False,
    ) -> Found:
        """A page of hits; some may be deleted by now.

        Args:
            text: what is searched for.
            after: where the page begins.
            limit: most hits.
            wanted: who may be in the answer.
            after_sequence: a write that has to be found.
            parameter: whether `text` came as a parameter, for the error.

        Raises:
            InvalidRequest: the text is too short.
            NotYetVisible: the write is not found in time.
            NotReady: there is no index yet, which a filter needs, or names can't be searched.
            Overloaded: too much work waits already.
        """
        keep: Keep | None = None
        if wanted:
            keep = partial(self._follower.index.let_through, wanted=wanted)
        await self._wait_for(after_sequence)
        await self._finder.wait_for(after_sequence, self._visible_timeout_ms)
        found = await self._finder.find(text, after, limit, keep)
        if found is None:
            detail = "needs two characters or more besides blanks and punctuation"
            if parameter:
                raise InvalidRequest.of_parameter("q", detail)
            raise InvalidRequest.of("/q", detail)
        return found

    async def page(
        self, text: str, after: Place, limit: int, wanted: Filter, after_sequence: int
    ) -> FoundPage:
        """A page of hits as the index knows them, without those deleted by now; see `hits`."""
        index = self._follower.index
        found = await self.hits(text, after, limit, wanted, after_sequence)
        rows = await index.get([hit.streamer_id for hit in found.hits])
        shown = [Shown(h, row) for h, row in zip(found.hits, rows, strict=True) if row is not None]
        because = found.incomplete_because or self._follower.behind_because
        return FoundPage(shown, found.after, because)

    async def facets(
        self, wanted: Filter, fields: Sequence[str], most: int, after_sequence: int
    ) -> FacetAnswer:
        """How many of those that a filter lets through have which values.

        Raises:
            NotYetVisible, NotReady, Overloaded: as `hits`.
        """
        index = self._follower.index
        await self._wait_for(after_sequence)
        counts = await index.facet_counts(wanted, fields, most)
        return FacetAnswer(counts, self._follower.behind_because)

    async def _wait_for(self, sequence: int) -> None:
        await self._follower.wait_for(sequence, self._visible_timeout_ms)
