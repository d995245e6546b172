"""Corpus: the data of a baseline, with statistics of known streamers only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd

from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary
from training.baselines.sentences import sentence_means
from training.cold_start.vote import edges_of
from training.data import Dataset
from training.data.passes import subset
from training.errors import UsageError
from training.evaluation.setting import KNOWN
from training.evaluation.subject import Matrix, shown, unit
from training.features.bags import Bags, corpus_bags, tf_idf
from training.features.vocabulary import build_vocabulary
from training.numeric.blocks import blocks
from training.preparation.leaks import check_known
from training.teachers.id_embeddings import (
    Teacher,
    audience_of,
    id_matrix,
    judged,
)

CONTENT_RANK = 256
ID_RANK = 256
_VECTOR_WEIGHT = np.float32(2)
"""Length of vectors beside the tokens: a penalty shrinks what is spread over all axes more."""
MOST_EXACT = 10_000
"""Most streamers that a kernel is computed between exactly."""
LANDMARKS = 4_000
"""Streamers that represent the others above that."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Data set with lazily computed features; N streamers.

    Attributes:
        dataset: the data set.
        pieces: pieces of all N streamers.
        known: int64, ascending rows that may be learned from.
        seed: of all randomness.
        tower: space of the text tower's vectors among the pieces; "" for none.
    """

    dataset: Dataset
    pieces: Sequence[Sequence[Piece]]
    known: NDArray[np.int64]
    seed: int
    tower: str = ""

    def __post_init__(self) -> None:
        """Raise a LeakError if a streamer of the test split may be learned from."""
        check_known(self.dataset, self.known, KNOWN["test"])

    @cached_property
    def selection(self) -> "Corpus":
        """Corpus fitted on train only, for choosing settings on val."""
        train = self.dataset.rows(*KNOWN["val"])
        if np.array_equal(train, self.known):
            return self
        return Corpus(self.dataset, self.pieces, train, self.seed, self.tower)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary counted on the known streamers."""
        return build_vocabulary(subset(self.pieces, self.known))

    @cached_property
    def bags(self) -> Bags:
        """Features of all N streamers."""
        return corpus_bags(self.pieces, self.vocabulary)[0]

    @cached_property
    def lexical(self) -> sp.csr_matrix:
        """Unit TF-IDF rows (N, 1 + V)."""
        return tf_idf(self.bags, self.vocabulary)

    @cached_property
    def reduced(self) -> NDArray[np.float32]:
        """TF-IDF projected on the leading singular vectors of the known rows (N, <= 256).

        A column of zeros where profiles show vectors alone.

        Raises:
            UsageError: they show no vectors either.
        """
        rank = min(CONTENT_RANK, len(self.known) - 1, len(self.vocabulary.tokens) - 1)
        if rank < 1 and not self.vocabulary.spaces:
            raise UsageError(f"{self.dataset.folder} has no words, tags or vectors to learn from")
        if rank < 1:
            return np.zeros((len(self.bags), 1), np.float32)  # scikit-learn wants a column
        _, _, components = randomized_svd(
            sp.csr_matrix(self.lexical[self.known]), rank, random_state=self.seed
        )
        return np.asarray(self.lexical @ np.transpose(components), np.float32)

    @cached_property
    def centred(self) -> dict[str, NDArray[np.float32]]:
        """Space -> mean vectors (N, W), centred; zero where a streamer shows none."""
        spaces = zip(self.vocabulary.spaces, self.bags.pooled, strict=True)
        return {space.name: self._centred(pooled) for space, pooled in spaces}

    def _centred(self, means: NDArray[np.float32]) -> NDArray[np.float32]:
        """Means (N, W) without the mean of the known streamers; zero stays zero."""
        is_shown = shown(means)  # (N,)
        known = self.known[is_shown[self.known]]
        centre = means[known].mean(0) if len(known) else np.zeros(means.shape[1], np.float32)
        return ((means - centre) * is_shown[:, None]).astype(np.float32)

    @cached_property
    def sentences(self) -> NDArray[np.float32]:
        """Centred mean vectors of streamers' texts by the text tower, or else a sentence encoder.

        (N, W), zero where a streamer shows none.

        Raises:
            UsageError: the encoder is not installed, or there is no text.
        """
        if self.tower in self.centred:
            return self.centred[self.tower]
        means = sentence_means(self.pieces, self.vocabulary.uninformative)
        if means is None:
            raise UsageError(f"{self.dataset.folder} has no text to encode; use another baseline")
        return self._centred(means)

    @cached_property
    def content(self) -> NDArray[np.float32]:
        """Dense content features (N, F): reduced TF-IDF and directions of centred vectors."""
        vectors = [_VECTOR_WEIGHT * dense_unit(each) for each in self.centred.values()]
        return np.hstack([self.reduced, *vectors]).astype(np.float32)

    @cached_property
    def cosines(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Landmarks (M,), ascending rows, and content cosines of all streamers with them (N, M).

        Landmarks are the rows of `identity`, or a random part of them in a large data set. A cosine
        is the mean of those by TF-IDF and by its SVD; with vectors, the mean of that and of the
        vectors' mean cosine.
        """
        rows, _ = self.identity
        landmarks = rows
        if len(rows) > MOST_EXACT:
            drawn = np.random.default_rng(self.seed).permutation(len(rows))[:LANDMARKS]
            landmarks = rows[np.sort(drawn)]
        lexical, reduced = self.lexical, dense_unit(self.reduced)
        spaces = [dense_unit(vectors) for vectors in self.centred.values()]
        found = np.zeros((len(self.dataset.ids), len(landmarks)), np.float32)
        for part in blocks(len(found), len(landmarks)):
            words = (lexical[part] @ lexical[landmarks].T).toarray()
            found[part] = (words + reduced[part] @ reduced[landmarks].T) / 2
            if spaces:
                near = sum(vectors[part] @ vectors[landmarks].T for vectors in spaces)
                found[part] = (found[part] + near / np.float32(len(spaces))) / 2
        return landmarks, found

    @cached_property
    def audience(self) -> sp.csr_matrix | None:
        """Audiences of the known streamers, binary (N, U), other rows empty; None if unknown."""
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
        """Normalised audience rows (N, U), whose inner product is the audience cosine."""
        return None if self.audience is None else sp.csr_matrix(normalize(self.audience))

    @cached_property
    def identity(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Known rows with behaviour (M,), and their ID vectors (M, <= 256), leading axes first.

        ID vectors are the leading singular vectors of the normalised audiences, or the given
        ID-embeddings if audiences are unknown.

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
            "streamers to learn from; use a baseline that needs no behaviour"
        )

    @cached_property
    def unknown(self) -> NDArray[np.int64]:
        """Rows that may not be learned from, the queries of a vote."""
        return np.setdiff1d(np.arange(len(self.dataset.ids)), self.known)

    @cached_property
    def teacher(self) -> Teacher | None:
        """Behaviour of the known streamers for the cold-start vote; None if unknown."""
        try:
            rows, vectors = self.identity
        except UsageError:
            return None
        audience = None if self.audience is None else sp.csr_matrix(self.audience[rows])
        teacher = Teacher("content", rows, vectors, audience, audience is not None)
        has_content = shown(self.content[rows])
        return judged(teacher, self.content[rows[has_content]], has_content, self.seed)

    @cached_property
    def edges(self) -> sp.csr_matrix:
        """Behaviour graph of `teacher`, which must be known."""
        assert self.teacher is not None
        return edges_of(self.teacher)

    def identities(self, rank: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows of `identity` and their ID vectors, cut to a rank and normalised (M, <= rank)."""
        rows, vectors = self.identity
        return rows, dense_unit(vectors[:, :rank])

    def scattered(
        self, rows: NDArray[np.int64], vectors: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scatter vectors (M, K) to their rows of (N, K), zero elsewhere."""
        full = np.zeros((len(self.dataset.ids), vectors.shape[1]), np.float32)
        full[rows] = vectors
        return full


def dense_unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised rows; zero rows stay zero."""
    result: Matrix = unit(rows)
    assert isinstance(result, np.ndarray)
    return result
