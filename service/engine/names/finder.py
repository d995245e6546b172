"""Search by nickname, tag and bio, in ranked pages."""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from service.engine.names.file import NamesFile
from service.engine.names.follower import Names
from service.engine.names.grams import Question, question_of
from service.engine.names.matched import MATCHED, Matched
from service.engine.work.lanes import Lanes
from service.errors import NotReady

Keep = Callable[[Sequence[str]], Awaitable[Sequence[bool]]]
_MOST_LOOKED_AT = 50_000
"""Streamers of one page that a filter looks at."""
_MOST_AT_ONCE = 4096


class Place(NamedTuple):
    """A place in the order of all matches: how they match, as in `MATCHED`, and the row."""

    rank: int = 0
    number: int = 0


class Hit(NamedTuple):
    """A streamer that was found, and its place."""

    streamer_id: str
    matched: Matched
    place: Place


class Found(NamedTuple):
    """A page of an answer.

    Attributes:
        hits: the best first.
        after: continues behind them; None on the last page.
        incomplete_because: why some may be missing; None if none is.
    """

    hits: Sequence[Hit]
    after: Place | None
    incomplete_because: str | None


class Finder:
    """Finds streamers by what people remember of them.

    An id that is exactly as asked comes first; then names: the whole name, those that begin so,
    those that have it elsewhere, each time shorter ones first and of the same length in an order
    that stays until one is written; then, in the same order, streamers with a tag that has it, and
    those whose bio has all its words. Nobody comes twice.
    """

    def __init__(self, names: Names, lanes: Lanes) -> None:
        """Find by `names`, in threads of `lanes`."""
        self._names = names
        self._lanes = lanes

    async def wait_for(self, sequence: int, timeout_ms: int) -> None:
        """Return once a write is found; see `Names.wait_for`."""
        await self._names.wait_for(sequence, timeout_ms)

    async def find(
        self, text: str, after: Place, limit: int, keep: Keep | None = None
    ) -> Found | None:
        """Streamers that a text finds.

        Args:
            text: what is searched for.
            after: where the page begins.
            limit: most hits.
            keep: which of some streamers may be in the answer; by default all.

        Returns:
            None where the text has fewer than two characters that count.

        Raises:
            NotReady: the file can't be read at the moment.
            Overloaded: too much work waits already.
        """
        question = question_of(text)
        if question is None:
            return None
        because, file = self._names.incomplete_because, self._names.file
        hits: list[Hit] = []
        if file is None:
            return Found(hits, None, because or "the file of names is being opened again")
        size, looked_at, is_last = limit + 1, 0, False
        while len(hits) <= limit and not is_last and looked_at < _MOST_LOOKED_AT:
            look = partial(rows_of, file, text.strip(), question, after, size)
            rows = await self._lanes.run(look)
            is_last, looked_at = len(rows) < size, looked_at + len(rows)
            if rows:
                after = rows[-1].place
                kept = await keep([row.streamer_id for row in rows]) if keep else [True] * len(rows)
                hits += [row for row, is_kept in zip(rows, kept, strict=True) if is_kept]
            size = min(4 * size, _MOST_AT_ONCE)
        because = because or self._names.incomplete_because  # it may have been emptied meanwhile
        if len(hits) > limit:
            return Found(hits[:limit], hits[limit - 1].place, because)
        return Found(hits, None if is_last else after, because)


def rows_of(file: NamesFile, text: str, question: Question, after: Place, size: int) -> list[Hit]:
    """Up to `size` matches behind a place; fewer are the last ones."""
    found: list[Hit] = []
    try:
        number_of_id = file.number_of(text)
        if after.rank == 0 and number_of_id is not None and after.number == 0:
            found.append(Hit(text, "id", Place(0, number_of_id)))
        for rank, expression in enumerate(question, start=1):
            if rank < after.rank or expression is None:
                continue
            begin = after.number if rank == after.rank else 0
            for number, name in file.matches(expression, begin, size - len(found) + 1):
                if number != number_of_id and len(found) < size:
                    found.append(Hit(name, MATCHED[rank], Place(rank, number)))
            if len(found) == size:
                break
    except sqlite3.Error as error:
        raise NotReady(f"names can't be searched at the moment: {error}") from error
    return found


def place_of(text: str) -> Place | None:
    """The place that `str_of` wrote; None of any other text."""
    rank, _, number = text.partition(".")
    if not (rank.isdecimal() and number.isdecimal() and len(text) < 24):
        return None
    place = Place(int(rank), int(number))
    return place if place.rank < len(MATCHED) and place.number < 1 << 63 else None


def str_of(place: Place | None) -> str | None:
    """A place as text; None of None."""
    return None if place is None else f"{place.rank}.{place.number}"
