"""The texts that a tower reads of some streamers, each different one once."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from model_export.contract.pieces import pieces_of
from model_export.contract.text import readable
from model_export.contract.towers import TowerSpec, pieces_for
from model_export.contract.uninformative import says_nothing
from training.data import Dataset
from training.data.passes import mapped, subset
from training.vocabulary import build_vocabulary


@dataclass(frozen=True, eq=False)
class Texts:
    """What S streamers write, T different texts in all.

    Attributes:
        rows: int64 (S,), ascending data set rows of those who show any text.
        texts: T texts, as a tower reads them.
        indptr: int64 (S + 1,), where the texts of each streamer begin in `shown`.
        shown: int64 (E,), places in `texts`; no streamer shows a place twice.
    """

    rows: NDArray[np.int64]
    texts: list[str]
    indptr: NDArray[np.int64]
    shown: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Different texts of each streamer (S,)."""
        return np.diff(self.indptr)

    def means(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of each streamer's text vectors (T, W) as unit rows (S, W)."""
        ones = np.ones(len(self.shown), np.float32)
        shows = sp.csr_matrix((ones, self.shown, self.indptr), (len(self.rows), len(self.texts)))
        return np.asarray(normalize(shows @ vectors), np.float32)


def meaningless(dataset: Dataset, known: NDArray[np.int64]) -> frozenset[str]:
    """What so many of the known streamers show that it says nothing, see `build_vocabulary`."""
    return build_vocabulary(mapped(pieces_of, subset(dataset.profiles, known))).uninformative


def texts_of(
    dataset: Dataset,
    rows: NDArray[np.int64],
    spec: TowerSpec,
    uninformative: frozenset[str],
    most: int | None = None,
) -> Texts:
    """The texts of some streamers; what means nothing is left out.

    Args:
        dataset: whose profiles are read, those of these rows only.
        rows: ascending.
        spec: of the tower, which says what it reads.
        uninformative: see `meaningless`.
        most: so many of each streamer, the first ones; None = all.
    """
    places: dict[str, int] = {}
    found: list[int] = []
    shown: list[int] = []
    ends = [0]
    for row, profile in zip(rows.tolist(), subset(dataset.profiles, rows), strict=True):
        pieces = pieces_for(spec, pieces_of(profile))
        read = (readable(piece.text) for piece in pieces if not says_nothing(piece, uninformative))
        own = list(dict.fromkeys(read))[:most]
        if own:
            found.append(row)
            shown += [places.setdefault(text, len(places)) for text in own]
            ends.append(len(shown))
    arrays = (np.array(values, np.int64) for values in (found, ends, shown))
    found_rows, indptr, at = arrays
    return Texts(found_rows, list(places), indptr, at)
