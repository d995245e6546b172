"""The teacher: one ID-embedding per streamer, from user behaviour.

It contains only streamers that may be learned from: held-out streamers have no audience in it and
are nobody's audience.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from training.config import RecipeConfig, TeacherConfig
from training.data import Dataset
from training.data.vectors import IdEmbeddings
from training.errors import UsageError
from training.teachers.label_noise import NoiseEstimate, estimate_noise

_AUDIENCE_RANK = 64
_MOST_NUMBERS = 2**26
"""Most numbers of a dense matrix of all users."""
_TOGETHER, _OVERSAMPLES, _POWERS = 16, 10, 7
_NOISE = 1
"""Seed offset of the label-noise draw."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """ID-embeddings of N streamers with known behaviour.

    Attributes:
        space: name of the ID-embedding space.
        rows: int64 (N,), ascending data set rows.
        vectors: float32 (N, E), not normalised.
        audience: binary (N, U); None if only ID-embeddings are known.
        learned_from_audience: whether the vectors were computed from the audience.
        noise: label noise of the vectors, see `training.teachers.label_noise`; None = none.
        audience_noise: label noise of the audiences; None = that of the vectors.
    """

    space: str
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    audience: sp.csr_matrix | None
    learned_from_audience: bool = False
    noise: NoiseEstimate | None = None
    audience_noise: NoiseEstimate | None = None

    @property
    def behaviour_noise(self) -> NoiseEstimate | None:
        """Label noise of the audiences if estimated separately, otherwise of the vectors."""
        return self.noise if self.audience_noise is None else self.audience_noise

    def part(self, places: NDArray[np.int64]) -> "Teacher":
        """Teacher of some of the streamers, by their places in `rows`."""
        vectors, audience = self.noise, self.audience_noise
        return replace(
            self,
            rows=self.rows[places],
            vectors=self.vectors[places],
            audience=None if self.audience is None else self.audience[places],
            noise=None if vectors is None else vectors.of(places),
            audience_noise=None if audience is None else audience.of(places),
        )

    @property
    def scale(self) -> float:
        """Standard deviation of all components, the unit of the regression loss."""
        return float(self.vectors.std()) or 1.0

    @property
    def directions(self) -> NDArray[np.float32]:
        """Unit rows (N, E)."""
        norm = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return (self.vectors / np.maximum(norm, 1e-9)).astype(np.float32)


def audience_of(dataset: Dataset, known: NDArray[np.int64]) -> sp.csr_matrix | None:
    """Audience of each streamer, binary (N, U); None if unknown.

    Relations count as audiences in both directions: the users are then the related streamers, of
    which only the `known` ones are included.
    """
    if dataset.relations is not None:
        audience = dataset.relations.tocsc()[:, known].tocsr()
    elif dataset.interactions is not None:
        audience = dataset.interactions.matrix.tocsr()
    else:
        return None
    audience = sp.csr_matrix(audience, dtype=np.float32, copy=True)
    audience.data[:] = 1
    return audience


def id_matrix(dataset: Dataset) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Given ID-embeddings by row (N, E), zero where missing, and which rows have one (N,)."""
    given = dataset.id_embeddings
    if given is None:
        raise UsageError(f"{dataset.folder} has no id_embeddings")
    row = {name: i for i, name in enumerate(dataset.ids)}
    rows = [row[name] for name in given.ids]
    vectors = np.zeros((len(dataset.ids), given.vectors.shape[1]), np.float32)
    vectors[rows] = given.vectors
    present = np.zeros(len(dataset.ids), bool)
    present[rows] = True
    return vectors, present


def find_teacher(
    dataset: Dataset, known: NDArray[np.int64], config: TeacherConfig, seed: int, threads: int
) -> Teacher:
    """Teacher of the known streamers: given ID-embeddings, or ALS on their audiences.

    Raises:
        UsageError: the data set has neither, or of fewer than two of them.
    """
    teacher = _clean_teacher(dataset, known, config, seed, threads)
    return swapped(teacher, config.teacher_noise, np.random.default_rng([seed, _NOISE]))


def _clean_teacher(
    dataset: Dataset, known: NDArray[np.int64], config: TeacherConfig, seed: int, threads: int
) -> Teacher:
    audience = audience_of(dataset, known)
    if dataset.id_embeddings is not None:
        vectors, present = id_matrix(dataset)
        rows = known[present[known]]
        if len(rows) < 2:
            raise UsageError("id_embeddings has fewer than two training streamers")
        watched = None if audience is None else audience[rows]
        return Teacher("id_embeddings", rows, vectors[rows], watched)
    if audience is None:
        raise UsageError(
            f"{dataset.folder} has neither id_embeddings nor interactions nor relations to learn a "
            "teacher from; use --recipe masked-views"
        )
    return learn_teacher(audience, known, config, seed, threads)


def learn_teacher(
    audience: sp.csr_matrix,
    known: NDArray[np.int64],
    config: TeacherConfig,
    seed: int,
    threads: int,
) -> Teacher:
    """Implicit ALS (Hu, Koren & Volinsky 2008) on audiences (N, U) of the known streamers.

    Deviation from the paper: audiences are binary, so all observations have equal confidence.

    Raises:
        UsageError: fewer than two of them have an audience.
    """
    rows = known[np.diff(audience.indptr)[known] > 0]
    if len(rows) < 2:
        raise UsageError(
            "fewer than two training streamers have an audience, so there is no behaviour to learn "
            "from; use --recipe masked-views"
        )
    observed = audience[rows].T.tocsr()  # (users, streamers)
    observed = observed[np.diff(observed.indptr) > 0]
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=config.teacher_dim,
            regularization=config.teacher_regularization,
            alpha=config.teacher_confidence,
            iterations=config.teacher_iterations,
            random_state=seed,
            num_threads=threads,
        )
        model.fit(observed, show_progress=False)
    return Teacher(
        space="als",
        rows=rows,
        vectors=np.asarray(model.item_factors, np.float32),
        audience=audience[rows],
        learned_from_audience=True,
    )


def audience_rank(audience: sp.csr_matrix, most: int = _AUDIENCE_RANK) -> int:
    """Rank of the SVD of audiences (N, U), at most `most`, at least 1."""
    return max(1, min(most, *(side - 1 for side in audience.get_shape())))


def handed_over(dataset: Dataset, config: RecipeConfig, seed: int, threads: int) -> Dataset:
    """Data set as a recommender with private clicks hands it over; unchanged if they are shared.

    It has ID-embeddings and no audiences. Without given ID-embeddings, ALS on the audiences of
    train + val stands for those of a recommender.

    Args:
        dataset: the data set.
        config: settings of the teacher, or the defaults if it has none.
        seed: of ALS.
        threads: of ALS.
    """
    if config.clicks == "shared":
        return dataset
    given, known = dataset.id_embeddings, dataset.rows("train", "val")
    audience = audience_of(dataset, known)
    if given is None and audience is not None:
        settings = config if isinstance(config, TeacherConfig) else TeacherConfig()
        teacher = learn_teacher(audience, known, settings, seed, threads)
        given = IdEmbeddings([dataset.ids[row] for row in teacher.rows], teacher.vectors)
    return replace(dataset, interactions=None, relations=None, id_embeddings=given)


def audience_directions(
    audience: sp.csr_matrix, seed: int, most: int = _AUDIENCE_RANK
) -> NDArray[np.float32]:
    """Truncated SVD of normalised audiences (N, U), as unit rows (N, `audience_rank`).

    Empty audiences give zero rows, and so do less than two rows or users.
    """
    rank = audience_rank(audience, most)
    if min(audience.get_shape()) < 2:
        return np.zeros((audience.get_shape()[0], 1), np.float32)
    rows = sp.csr_matrix(normalize(audience))
    if rank * audience.get_shape()[1] > _MOST_NUMBERS:
        return np.asarray(normalize(_scaled_left_vectors(rows, rank, seed)), np.float32)
    left, singular, _ = randomized_svd(rows, rank, random_state=seed)
    return np.asarray(normalize(left * singular), np.float32)


def _scaled_left_vectors(x: sp.csr_matrix, rank: int, seed: int) -> NDArray[np.float32]:
    """Left singular vectors times singular values (N, rank), by subspace iteration on x x^T.

    Unlike in `randomized_svd`, no dense matrix is as wide as the rank and as long as the U users
    (Halko, Martinsson & Tropp 2011, with power iterations on the rows' side).
    """
    turned = sp.csr_matrix(x.T)

    def gram(part: NDArray[np.float32]) -> NDArray[np.float32]:
        columns = (part[:, i : i + _TOGETHER] for i in range(0, part.shape[1], _TOGETHER))
        return np.concatenate([x @ (turned @ each) for each in columns], 1)

    rng, wide = np.random.default_rng(seed), rank + _OVERSAMPLES
    basis = rng.standard_normal((x.get_shape()[0], wide), np.float32)
    for _ in range(_POWERS):
        basis = np.linalg.qr(gram(basis))[0]
    squares, axes = np.linalg.eigh(basis.T @ gram(basis))  # ascending
    leading = axes[:, : -rank - 1 : -1] * np.sqrt(squares[: -rank - 1 : -1].clip(min=0))
    return basis @ leading


def judged(
    teacher: Teacher, content: NDArray[np.float32], shown: NDArray[np.bool_], seed: int
) -> Teacher:
    """Teacher with label-noise estimates; streamers without content are trusted.

    Given ID-embeddings and audiences are estimated separately, since one may be wrong where the
    other is not.

    Args:
        teacher: of N streamers.
        content: content vectors of those that show any (S, F).
        shown: which of the N show any (N,).
        seed: of the folds.
    """

    def estimate(directions: NDArray[np.float32]) -> NoiseEstimate:
        found = estimate_noise(content, directions[shown], seed)
        everyone = NoiseEstimate.blind(directions)
        everyone.trust[shown], everyone.predicted[shown] = found.trust, found.predicted
        return everyone

    teacher = replace(teacher, noise=estimate(teacher.directions))
    if teacher.audience is None or teacher.learned_from_audience:
        return teacher
    audiences = audience_directions(teacher.audience, seed)
    return replace(teacher, audience_noise=estimate(audiences))


def swapped(teacher: Teacher, share: float, rng: np.random.Generator) -> Teacher:
    """Inject label noise: swap ID-embeddings and audiences of a share of the N streamers.

    round(share * N) streamers pass theirs on in a circle, so none of them keeps its own; a single
    drawn streamer is unchanged.
    """
    chosen = rng.permutation(len(teacher.rows))[: round(share * len(teacher.rows))]
    source = np.arange(len(teacher.rows))
    source[chosen] = np.roll(chosen, 1)
    audience = None if teacher.audience is None else teacher.audience[source]
    return replace(teacher, vectors=teacher.vectors[source], audience=audience)
