"""What a baseline is fitted on: everything is counted and decomposed on known streamers only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.vocabulary import Vocabulary
from training.data import Dataset
from training.data.passes import mapped, subset
from training.errors import UsageError
from training.evaluation.setting import KNOWN, Split
from training.evaluation.subject import Matrix, unit
from training.features.bags import Bags, corpus_bags, tf_idf
from training.features.vocabulary import build_vocabulary
from training.preparation.leaks import check_known
from training.teachers.id_embeddings import audience_of, id_matrix

CONTENT_RANK = 256
ID_RANK = 256


@dataclass(frozen=True, eq=False)
class Corpus:
    """A data set as the baselines see it, computed when first asked for; N streamers.

    Attributes:
        dataset: the data set.
        pieces: of every streamer, N of them.
        known: int64 rows that may be learned from, ascending.
        seed: of what is random.
    """

    dataset: Dataset
    pieces: Sequence[Sequence[Piece]]
    known: NDArray[np.int64]
    seed: int

    def __post_init__(self) -> None:
        """Raise a LeakError if a streamer of the test split may be learned from."""
        check_known(self.dataset, self.known, KNOWN["test"])

    @cached_property
    def selection(self) -> "Corpus":
        """The corpus to choose settings with: learned from train, so that val can judge."""
        train = self.dataset.rows(*KNOWN["val"])
        if np.array_equal(train, self.known):
            return self
        return Corpus(self.dataset, self.pieces, train, self.seed)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Counted on the known streamers."""
        return build_vocabulary(subset(self.pieces, self.known))

    @cached_property
    def bags(self) -> Bags:
        """Features of all N."""
        return corpus_bags(self.pieces, self.vocabulary)[0]

    @cached_property
    def lexical(self) -> sp.csr_matrix:
        """Unit TF-IDF rows (N, 1 + V)."""
        return tf_idf(self.bags, self.vocabulary)

    @cached_property
    def reduced(self) -> NDArray[np.float32]:
        """TF-IDF on the leading singular vectors of the known rows (N, <= 256), best first."""
        rank = min(CONTENT_RANK, len(self.known) - 1, len(self.vocabulary.tokens) - 1)
        if rank < 1:
            raise UsageError(f"{self.dataset.folder} shows no words or tags to learn from")
        _, _, components = randomized_svd(
            sp.csr_matrix(self.lexical[self.known]), rank, random_state=self.seed
        )
        return np.asarray(self.lexical @ np.transpose(components), np.float32)

    @cached_property
    def content(self) -> NDArray[np.float32]:
        """All content as numbers (N, F): reduced TF-IDF, and ready-made vectors about the mean."""
        parts = [self.reduced]
        for pooled in self.bags.pooled:
            shown = np.abs(pooled).sum(1) > 0  # (N,)
            known = self.known[shown[self.known]]
            centre = pooled[known].mean(0) if len(known) else np.zeros(pooled.shape[1], np.float32)
            parts.append((pooled - centre) * shown[:, None])
        return np.hstack(parts).astype(np.float32)

    @cached_property
    def audience(self) -> sp.csr_matrix | None:
        """Who watches the known streamers, binary (N, U), other rows empty; None = not known."""
        audience = audience_of(self.dataset, self.known)
        if audience is None:
            return None
        is_known = np.zeros(len(self.dataset.ids), np.float32)
        is_known[self.known] = 1
        audience = sp.csr_matrix(sp.diags_array(is_known) @ audience)
        audience.eliminate_zeros()
        return audience

    @cached_property
    def watched(self) -> sp.csr_matrix | None:
        """Unit audience rows (N, U), so that their inner product is the audience cosine."""
        return None if self.audience is None else sp.csr_matrix(normalize(self.audience))

    @cached_property
    def identity(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Known rows that behaviour knows (M,), and their ID vectors (M, <= 256), best axes first.

        The leading singular vectors of the unit audiences; or the given ID-embeddings, where no
        audiences are known.

        Raises:
            UsageError: the data set has neither.
        """
        if self.watched is not None:
            rows = self.known[np.diff(self.watched.indptr)[self.known] > 0]
            users = len(np.unique(self.watched.indices))
            rank = min(ID_RANK, len(rows) - 1, users - 1)
            if rank >= 1:
                left, scale, _ = randomized_svd(self.watched[rows], rank, random_state=self.seed)
                return rows, np.asarray(left * scale, np.float32)
        elif self.dataset.id_embeddings is not None:
            vectors, present = id_matrix(self.dataset)
            rows = self.known[present[self.known]]
            if len(rows) > 1:
                return rows, vectors[rows]
        raise UsageError(
            f"{self.dataset.folder} has no interactions, relations or id_embeddings of training "
            "streamers to learn from; take a baseline that needs no behaviour"
        )

    def identities(self, rank: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The same, cut to a rank and of length 1 (M, <= rank)."""
        rows, vectors = self.identity
        return rows, dense_unit(vectors[:, :rank])

    def scattered(
        self, rows: NDArray[np.int64], vectors: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Vectors (M, K) at their rows of (N, K), zero elsewhere."""
        full = np.zeros((len(self.dataset.ids), vectors.shape[1]), np.float32)
        full[rows] = vectors
        return full


def corpus_of(dataset: Dataset, split: Split, seed: int) -> Corpus:
    """The corpus for an evaluation on a split: what that split may know."""
    pieces = mapped(pieces_of, dataset.profiles)
    return Corpus(dataset, pieces, dataset.rows(*KNOWN[split]), seed)


def dense_unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1, or 0."""
    result: Matrix = unit(rows)
    assert isinstance(result, np.ndarray)
    return result
