"""Distinct pieces that a tower reads of a set of streamers."""

from collections.abc import Set
from dataclasses import dataclass
from typing import TextIO

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.towers import TowerKind, payload_key, payload_of, pieces_for
from model_export.contract.uninformative import may_say_nothing, says_nothing
from training.data import Dataset
from training.data.passes import subset
from training.features.lossy_counting import FrequencyCounter
from training.features.vocabulary import shown_by_many
from training.progress import Progress
from training.towers import Tower
from training.tuning.items import Items
from training.tuning.pictures import Pictures
from training.tuning.sounds import Sounds
from training.tuning.texts import Texts

ITEMS: dict[TowerKind, type[Items]] = {"text": Texts, "image": Pictures, "audio": Sounds}
"""Tower kind -> store of its payloads."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Pieces of S streamers, T distinct ones.

    Attributes:
        rows: int64 (S,), ascending data set rows of streamers with any piece.
        items: the T pieces.
        indptr: int64 (S + 1,), start of each streamer's entries in `shown`.
        shown: int64 (E,), item numbers, distinct per streamer.
    """

    rows: NDArray[np.int64]
    items: Items
    indptr: NDArray[np.int64]
    shown: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of distinct pieces per streamer (S,)."""
        return np.diff(self.indptr)

    def means(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised mean of each streamer's piece vectors (S, W), from all vectors (T, W)."""
        ones = np.ones(len(self.shown), np.float32)
        shape = (len(self.rows), len(self.items))
        shows = sp.csr_matrix((ones, self.shown, self.indptr), shape)
        return np.asarray(normalize(shows @ vectors), np.float32)


def meaningless(dataset: Dataset, known: NDArray[np.int64]) -> frozenset[str]:
    """Uninformative cluster hashes among known streamers, by the rule of `build_vocabulary`.

    Media are counted like the tower vectors made of them.
    """
    counter = FrequencyCounter()
    for profile in subset(dataset.profiles, known):
        pieces = pieces_of(profile)
        counter.update({piece.cluster_hash for piece in pieces if _may_say_nothing(piece)})
    return shown_by_many(counter, len(known))


def _may_say_nothing(piece: Piece) -> bool:
    return piece.kind == "media" or may_say_nothing(piece)


def _says_nothing(piece: Piece, uninformative: Set[str]) -> bool:
    if piece.kind == "media":
        return piece.cluster_hash in uninformative
    return says_nothing(piece, uninformative)


def shown_to(
    tower: Tower,
    dataset: Dataset,
    rows: NDArray[np.int64],
    uninformative: Set[str],
    most: int | None = None,
    stream: TextIO | None = None,
) -> Shown:
    """Collect the informative pieces that a tower reads of some streamers.

    Args:
        tower: selects the pieces.
        dataset: data set; only profiles of these rows are read.
        rows: ascending data set rows.
        uninformative: see `meaningless`.
        most: most pieces per streamer, the first ones; None = all.
        stream: for progress; None = standard error.

    Raises:
        DataError: a picture or sound can't be read; the message names streamer and field.
    """
    items = ITEMS[tower.spec.kind](tower)
    numbers: dict[bytes, int | None] = {}
    found: list[int] = []
    shown: list[int] = []
    ends = [0]
    profiles = zip(rows.tolist(), subset(dataset.profiles, rows), strict=True)
    with Progress(f"streamers' {items.several}", len(rows), stream) as progress:
        for row, profile in profiles:
            own: dict[int, None] = {}
            for piece in pieces_for(tower.spec, pieces_of(profile)):
                if len(own) == most or _says_nothing(piece, uninformative):
                    continue
                key = payload_key(piece)
                if key not in numbers:
                    numbers[key] = items.add(payload_of(piece, profile), profile.streamer_id)
                number = numbers[key]
                if number is not None:
                    own[number] = None
            if own:
                found.append(row)
                shown += own
                ends.append(len(shown))
            progress.advance(1)
    found_rows, indptr, at = (np.array(values, np.int64) for values in (found, ends, shown))
    return Shown(found_rows, items, indptr, at)
