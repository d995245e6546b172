"""Candidates over the whole corpus: sign codes of content and embedding, and exact keys.

Whoever compares a streamer with all others misses nothing and takes for ever; these three sources
name the few that are worth it. Each finds what the others miss: the content sketch texts that were
copied, the embedding what means the same, exact keys one title or picture in otherwise different
profiles.
"""

import threading
from array import array
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import Side
from service.engine.candidates.ids_by_row import IdsByRow
from service.engine.candidates.numbers_by_name import NumbersByName
from service.engine.candidates.postings import Postings
from service.index.faiss.codes import Codes, codes_of

NEAREST_BY_CONTENT, NEAREST_BY_EMBEDDING = 10, 10
MOST_BY_HINTS = 40
FEWEST_BITS = 7.0
"""Of faint hints that are shared, see `Postings.shared`: one that only one other has, or
several."""
FARTHEST_BY_CONTENT, FARTHEST_BY_EMBEDDING = 0.42, 0.35
"""Share of the bits in which codes differ at most: beyond are cosines below some 0.25 and 0.45."""
_LAST_CHANGED = 64


@dataclass(frozen=True, eq=False)
class Entry:
    """What is known of a streamer.

    Attributes:
        content: float32 (C,); None without usable content.
        embedding: float32 (D,); likewise.
        keys: `keys.kept_keys`: others find it by them (K,).
        asked: `keys.asked_keys`: it finds others by them (A,).
        version: of the streamer that was read.
        side: what is compared of it, for who compares it next; a corpus does not keep it.
    """

    content: NDArray[np.float32] | None
    embedding: NDArray[np.float32] | None
    keys: NDArray[np.uint32]
    asked: NDArray[np.uint32]
    version: int = 0
    side: Side | None = None


class Ranked(NamedTuple):
    """Who may be a duplicate of a streamer.

    Attributes:
        ids: the likeliest first, the streamer itself left out.
        changes: that the corpus had taken in by then, see `Corpus.changed_since`.
    """

    ids: Sequence[str]
    changes: int


class Corpus:
    """All streamers, in some 200 bytes each besides their keys. Any thread may use it."""

    def __init__(self, content_dim: int, dim: int) -> None:
        """Nobody yet.

        Args:
            content_dim: width of content sketches.
            dim: width of embeddings.
        """
        self._content = Codes((content_dim + 7) // 8)
        self._embedding = Codes((dim + 7) // 8)
        self._sources = (
            (self._content, NEAREST_BY_CONTENT, FARTHEST_BY_CONTENT),
            (self._embedding, NEAREST_BY_EMBEDDING, FARTHEST_BY_EMBEDDING),
        )
        self._postings = Postings()
        self._ids = IdsByRow()
        self._versions = array("q")
        self._row_of = NumbersByName(self._ids.get)
        self._free: list[int] = []
        self._changes = 0
        self._last_changed: deque[str] = deque(maxlen=_LAST_CHANGED)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many streamers there are."""
        return len(self._row_of)

    def __contains__(self, streamer_id: str) -> bool:
        """Whether a streamer is there, with usable content or without."""
        return self._row_of.get(streamer_id) is not None

    def row(self, streamer_id: str) -> int:
        """The number of a streamer, which it keeps until it is removed.

        Raises:
            KeyError: it is not there.
        """
        row = self._row_of.get(streamer_id)
        if row is None:
            raise KeyError(streamer_id)
        return row

    def version(self, streamer_id: str) -> int | None:
        """The version of a streamer that was taken in last; None if it is not there."""
        row = self._row_of.get(streamer_id)
        return None if row is None else self._versions[row]

    def changed_since(self, changes: int) -> list[str] | None:
        """Who was put or removed since there were so many changes; None where many were.

        Args:
            changes: `Ranked.changes`.
        """
        with self._lock:
            count = self._changes - changes
            last = list(self._last_changed)
        return last[len(last) - count :] if 0 <= count <= len(last) else None

    def load(self, streamer_id: str, entry: Entry) -> None:
        """Take in a streamer of whom nothing was known; `settle` has to follow."""
        with self._lock:
            row = self._new_row(streamer_id)
            self._set(row, entry)
            self._postings.load(row, entry.keys)

    def settle(self) -> None:
        """Make those that were loaded candidates."""
        with self._lock:
            self._postings.merge()

    def put(self, streamer_id: str, entry: Entry) -> None:
        """Take in a streamer, in place of what was known of it."""
        with self._lock:
            row = self._row_of.get(streamer_id)
            row = self._new_row(streamer_id) if row is None else row
            self._set(row, entry)
            self._postings.put(row, frozenset(entry.keys.tolist()))
            self._note(streamer_id)

    def remove(self, streamer_id: str) -> None:
        """Forget a streamer."""
        with self._lock:
            row = self._row_of.pop(streamer_id)
            if row is not None:
                self._note(streamer_id)
                self._ids.remove(row)
                self._free.append(row)
                self._postings.remove(row)
                for codes in (self._content, self._embedding):
                    codes.put(row, _code(codes, None))

    def candidates(
        self, streamer_ids: Sequence[str], asked: Sequence[NDArray[np.uint32]]
    ) -> Generator[None, None, list[set[str]]]:
        """Who may be a duplicate of each of some streamers, itself left out; pauses for each.

        Some may be named needlessly where others are put or removed meanwhile.

        Args:
            streamer_ids: streamers that are there.
            asked: `Entry.asked` of each.
        """
        with self._lock:
            rows = [self.row(name) for name in streamer_ids]
        found: list[set[int]] = []
        for keys in asked:
            with self._lock:
                found.append(set(chain.from_iterable(self._by_keys(keys))))
            yield
        for codes, k, farthest in self._sources:
            with self._lock:
                near_all = self._near(codes, codes.get(rows), k, farthest)
            for some, near in zip(found, near_all, strict=True):
                some.update(near)
            yield
        return [
            self._named(other for other in others if other != row)
            for row, others in zip(rows, found, strict=True)
        ]

    def counts(self, keys: NDArray[np.uint32]) -> NDArray[np.int64]:
        """How many streamers have each of these keys (K,), about: some that had it count too."""
        with self._lock:
            return self._postings.counts(keys)

    def ranked(self, streamer_id: str, entry: Entry) -> Ranked:
        """Who may be a duplicate of a streamer that need not be there, the likeliest first.

        Each source in its turn gives its next best one: who shares most keys of a kind, the nearest
        by content and by embedding.
        """
        with self._lock:
            ranked: list[Sequence[int]] = list(self._by_keys(entry.asked))
            for (codes, k, farthest), vector in zip(
                self._sources, (entry.content, entry.embedding), strict=True
            ):
                ranked += self._near(codes, _code(codes, vector)[None, :], k, farthest)
            rows = dict.fromkeys(row for each in zip_longest(*ranked) for row in each)
            names = (self._ids.get(row) for row in rows if row is not None)
            found = [name for name in names if name is not None and name != streamer_id]
            return Ranked(found, self._changes)

    def _note(self, streamer_id: str) -> None:
        self._changes += 1
        self._last_changed.append(streamer_id)

    def _new_row(self, streamer_id: str) -> int:
        if self._free:
            row = self._free.pop()
            self._ids.put(row, streamer_id)
        else:
            row = self._ids.append(streamer_id)
            self._versions.append(0)
        self._row_of.put(streamer_id, row)
        return row

    def _set(self, row: int, entry: Entry) -> None:
        self._versions[row] = entry.version
        for codes, vector in ((self._content, entry.content), (self._embedding, entry.embedding)):
            codes.put(row, _code(codes, vector))

    def _named(self, rows: Iterable[int]) -> set[str]:
        return {name for row in rows if (name := self._ids.get(row)) is not None}

    def _near(
        self, codes: Codes, asked: NDArray[np.uint8], k: int, farthest: float
    ) -> list[list[int]]:
        """Rows near each of some codes (N, width), the nearest first, itself among them."""
        near_all: list[list[int]] = [[] for _ in range(len(asked))]
        places = np.flatnonzero(asked.any(1))  # without usable content there are no signs
        if len(places) and len(self._ids):
            apart, near = codes.nearest(asked[places], k + 1, len(self._ids))  # (N, <= k + 1)
            is_near = apart <= farthest * 8 * codes.width
            for place, some, mask in zip(places.tolist(), near, is_near, strict=True):
                near_all[place] = some[mask].tolist()
        return near_all

    def _by_keys(self, asked: NDArray[np.uint32]) -> Iterator[list[int]]:
        """Rows that share keys, by their kind, the likeliest first."""
        kinds = asked & 3
        yield _ranked(*self._postings.shared(asked[(kinds & 1) == 0]), 0)
        for kind, fewest in ((1, 0), (3, FEWEST_BITS)):
            yield _ranked(*self._postings.shared(asked[kinds == kind]), fewest)[:MOST_BY_HINTS]


def _ranked(rows: NDArray[np.int64], bits: NDArray[np.float64], fewest: float) -> list[int]:
    """Distinct rows with so many bits together, those with most first."""
    distinct, which = np.unique(rows, return_inverse=True)
    sums = np.bincount(which, bits, len(distinct))
    order = np.argsort(-sums, kind="stable")
    ranked: list[int] = distinct[order[sums[order] >= fewest]].tolist()
    return ranked


def _code(codes: Codes, vector: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    if vector is None:
        return np.zeros(codes.width, np.uint8)
    return codes_of(vector[None, :])[0]
