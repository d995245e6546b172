"""What a tower reads of some streamers, each different piece once."""

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
"""Kind of a tower -> what keeps and changes what it reads."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What S streamers show, T different pieces in all.

    Attributes:
        rows: int64 (S,), ascending data set rows of those who show any.
        items: the T pieces.
        indptr: int64 (S + 1,), where those of each streamer begin in `shown`.
        shown: int64 (E,), numbers of items; no streamer shows one twice.
    """

    rows: NDArray[np.int64]
    items: Items
    indptr: NDArray[np.int64]
    shown: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Different pieces of each streamer (S,)."""
        return np.diff(self.indptr)

    def means(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of each streamer's pieces, of the vectors of all (T, W): unit rows (S, W)."""
        ones = np.ones(len(self.shown), np.float32)
        shape = (len(self.rows), len(self.items))
        shows = sp.csr_matrix((ones, self.shown, self.indptr), shape)
        return np.asarray(normalize(shows @ vectors), np.float32)


def meaningless(dataset: Dataset, known: NDArray[np.int64]) -> frozenset[str]:
    """Cluster hashes of what so many known streamers show that it says nothing.

    The rule is that of `build_vocabulary`, for media as for what a tower makes of them.
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
    """What a tower reads of some streamers; what means nothing is left out.

    Args:
        tower: that says what it reads.
        dataset: whose profiles are read, those of these rows only.
        rows: ascending.
        uninformative: see `meaningless`.
        most: so many pieces of each streamer, the first ones; None = all.
        stream: to report progress to; standard error by default.

    Raises:
        DataError: a picture or sound can't be read; names streamer and field.
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
