"""Candidates over the whole corpus: sign codes of content and embedding, and exact keys.

Whoever compares a streamer with all others misses nothing and takes for ever; these three sources
name the few that are worth it. Each finds what the others miss: the content sketch texts that were
copied, the embedding what means the same, exact keys one title or picture in otherwise different
profiles.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.candidates.postings import Postings
from service.index.faiss.codes import Codes, codes_of

NEAREST_BY_CONTENT, NEAREST_BY_EMBEDDING = 50, 25
MOST_BY_HINTS = 32
FARTHEST_BY_CONTENT, FARTHEST_BY_EMBEDDING = 0.42, 0.35
"""Share of the bits in which codes differ at most: beyond are cosines below some 0.25 and 0.45."""
Keys = Sequence[Collection[int]]


@dataclass(frozen=True, eq=False)
class Entry:
    """What is known of a streamer.

    Attributes:
        content: float32 (C,); None without usable content.
        embedding: float32 (D,); likewise.
        keys: `postings.key_of` of what it shows.
    """

    content: NDArray[np.float32] | None
    embedding: NDArray[np.float32] | None
    keys: AbstractSet[int]


class Corpus:
    """All streamers, in some 200 bytes each besides their keys. For one thread at a time."""

    def __init__(self, content_dim: int, dim: int) -> None:
        """Nobody yet.

        Args:
            content_dim: width of content sketches.
            dim: width of embeddings.
        """
        self._content = Codes((content_dim + 7) // 8)
        self._embedding = Codes((dim + 7) // 8)
        self._postings = Postings()
        self._ids: list[str | None] = []
        self._row_of: dict[str, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        """How many streamers there are."""
        return len(self._row_of)

    def __contains__(self, streamer_id: str) -> bool:
        """Whether a streamer is there, with usable content or without."""
        return streamer_id in self._row_of

    def load(self, streamer_id: str, entry: Entry) -> None:
        """Take in a streamer of whom nothing was known; `settle` has to follow."""
        self._ids.append(streamer_id)
        row = self._row_of[streamer_id] = len(self._ids) - 1
        for codes, vector in ((self._content, entry.content), (self._embedding, entry.embedding)):
            codes.put(row, _code(codes, vector))
        self._postings.load(row, entry.keys)

    def settle(self) -> None:
        """Make those that were loaded candidates."""
        self._postings.merge()

    def put(self, streamer_id: str, entry: Entry) -> None:
        """Take in a streamer, in place of what was known of it."""
        row = self._row_of.get(streamer_id)
        if row is None:
            if self._free:
                row = self._free.pop()
                self._ids[row] = streamer_id
            else:
                row = len(self._ids)
                self._ids.append(streamer_id)
            self._row_of[streamer_id] = row
        for codes, vector in ((self._content, entry.content), (self._embedding, entry.embedding)):
            codes.put(row, _code(codes, vector))
        self._postings.put(row, entry.keys)

    def remove(self, streamer_id: str) -> None:
        """Forget a streamer."""
        row = self._row_of.pop(streamer_id, None)
        if row is not None:
            self._ids[row] = None
            self._free.append(row)
            self._postings.remove(row)
            for codes in (self._content, self._embedding):
                codes.put(row, _code(codes, None))

    def candidates(self, streamer_ids: Sequence[str], keys: Keys) -> list[set[str]]:
        """Who may be a duplicate of each of some streamers, itself left out.

        Args:
            streamer_ids: streamers that are there.
            keys: of each.
        """
        rows = [self._row_of[name] for name in streamer_ids]
        found = [self._by_keys(some) for some in keys]
        for codes, k, farthest in (
            (self._content, NEAREST_BY_CONTENT, FARTHEST_BY_CONTENT),
            (self._embedding, NEAREST_BY_EMBEDDING, FARTHEST_BY_EMBEDDING),
        ):
            asked = codes.get(rows)  # (N, width)
            places = np.flatnonzero(asked.any(1))  # without usable content there are no signs
            if not len(places):
                continue
            apart, near = codes.nearest(asked[places], k + 1, len(self._ids))  # (N, <= k + 1)
            is_near = apart <= farthest * 8 * codes.width
            for place, some, mask in zip(places.tolist(), near, is_near, strict=True):
                found[place].update(some[mask].tolist())
        named: list[set[str]] = []
        for row, others in zip(rows, found, strict=True):
            ids = {self._ids[other] for other in others if other != row}
            named.append({name for name in ids if name is not None})
        return named

    def _by_keys(self, keys: Collection[int]) -> set[int]:
        """Rows that share a key; of hints alone, the rows that share most of them."""
        shared = Counter(self._postings.rows(key for key in keys if key & 1))
        most = sorted(shared, key=lambda row: (-shared[row], row))[:MOST_BY_HINTS]
        return {*most, *self._postings.rows(key for key in keys if not key & 1)}

    def keys_of_all(self) -> Callable[[str], Collection[int]]:
        """The keys of each streamer, as they are now: for who looks for all candidates."""
        by_row = self._postings.keys_by_row()
        return lambda streamer_id: by_row.of(self._row_of[streamer_id])


def _code(codes: Codes, vector: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    if vector is None:
        return np.zeros(codes.width, np.uint8)
    return codes_of(vector[None, :])[0]
