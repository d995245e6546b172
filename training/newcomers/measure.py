"""Users of cold streamers, foretold by several ways and measured alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from model_export.contract.streamer import StreamerProfile
from training.baselines.corpus import Corpus, dense_unit
from training.config import TeacherConfig
from training.data import Dataset
from training.data.passes import subset
from training.errors import UsageError
from training.evaluation.metrics import ndcg, recall
from training.evaluation.setting import Setting, setting_of
from training.evaluation.statistics import bootstrap_means, percentiles
from training.evaluation.subject import search
from training.features.bags import corpus_features

METRICS = ("NDCG@50", "recall@100")
PARTS = ("thin", "middle", "rich")
"""Thirds of the queries by how much they show, those that show equally much in one."""
_LENDERS = 20
_PENALTIES = (0.01, 0.1, 1.0, 10.0)
_DEPTH = 100
_DRAWS = 2000
_BLOCK = 256
Scores = Callable[[slice], NDArray[np.floating]]
"""Of some queries: scores of all users (b, U)."""


@dataclass(frozen=True, eq=False)
class Newcomers:
    """Cold streamers with users, and what is known of the warm ones.

    Attributes:
        setting: test streamers against train + val.
        corpus: content of all streamers.
        queries: int64 (Q,), rows of the cold streamers.
        relevant: per query, places of its users.
        watched: binary (G, U), users of the warm streamers; each user watches one or more.
        richness: int64 (Q,), distinct tokens of each modality, and vectors, that a query shows.
    """

    setting: Setting
    corpus: Corpus
    queries: NDArray[np.int64]
    relevant: Sequence[NDArray[np.int64]]
    watched: sp.csr_matrix
    richness: NDArray[np.int64]


@dataclass(frozen=True)
class Value:
    """A mean over queries, and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Measured:
    """One way to foretell users.

    Attributes:
        name: of the way.
        values: by metric and part; the part of all is "all".
    """

    name: str
    values: dict[tuple[str, str], Value]


def newcomers_of(dataset: Dataset, corpus: Corpus) -> Newcomers:
    """Cold streamers of a data set, with the users of its interactions.

    Relations, which are the audience elsewhere, are left out: their users are streamers.

    Raises:
        UsageError: nothing is known of users.
    """
    setting = setting_of(replace(dataset, relations=None), "test")
    if setting.audience is None:
        raise UsageError(
            f"{dataset.folder} has no interactions.csv: whose users shall be foretold?"
        )
    watched = sp.csr_matrix(setting.audience[setting.gallery])
    active = np.flatnonzero(np.asarray(watched.sum(0)).ravel() > 0)
    truth = sp.csr_matrix(setting.audience[setting.queries][:, active])
    has = np.flatnonzero(np.diff(truth.indptr))
    if not len(has):
        raise UsageError(f"{dataset.folder}: no test streamer has a user that is known from others")
    truth = sp.csr_matrix(truth[has])
    queries = setting.queries[has]
    return Newcomers(
        setting,
        corpus,
        queries,
        [part.astype(np.int64) for part in np.split(truth.indices, truth.indptr[1:-1])],
        sp.csr_matrix(watched[:, active]),
        _richness(corpus, queries),
    )


def ways_of(
    given: Newcomers, seed: int, embeddings: NDArray[np.float32] | None = None
) -> dict[str, Scores]:
    """Ways to foretell users, by name.

    Args:
        given: the newcomers.
        seed: of ALS and of the random order.
        embeddings: (N, D) of an encoder; None: simple ways alone.
    """
    corpus, gallery, queries = given.corpus, given.setting.gallery, given.queries
    popularity = np.asarray(given.watched.sum(0), np.float32).ravel()
    own, users = _als(given.watched, seed)
    directions = dense_unit(own)
    learned = np.linalg.norm(own, axis=1) > 0
    rng = np.random.default_rng(seed)

    def drawn(part: slice) -> NDArray[np.float32]:
        rows = range(*part.indices(len(queries)))
        each = (np.random.default_rng([seed, row]) for row in rows)
        return np.stack([one.random(len(popularity), np.float32) for one in each])

    def ranked(vectors: NDArray[np.float32]) -> Scores:
        return lambda part: vectors[part] @ users.T

    def mapped(content: NDArray[np.float32]) -> Scores:
        penalty = _penalty(content[gallery[learned]], directions[learned], rng)
        model = Ridge(alpha=penalty).fit(content[gallery[learned]], directions[learned])
        return ranked(np.asarray(model.predict(content[queries]), np.float32))

    def lent(near: NDArray[np.int64], weights: NDArray[np.float32]) -> Scores:
        return ranked(np.einsum("qk,qke->qe", weights, directions[near]).astype(np.float32))

    by_category = _category_popularity(given)
    ties = popularity.astype(np.float64) / (1 + popularity.max())  # below 1, what a watcher counts
    ways: dict[str, Scores] = {
        "random": drawn,
        "popularity": lambda part: np.tile(popularity, (len(queries[part]), 1)),
        "category popularity": lambda part: by_category(part) + ties,
        "kNN-borrowed": lent(*search(corpus.lexical[queries], corpus.lexical[gallery], _LENDERS)),
        "ridge": mapped(corpus.content),
    }
    if embeddings is not None:
        ways["encoder, kNN-borrowed"] = lent(
            *search(embeddings[queries], embeddings[gallery], _LENDERS)
        )
        ways["encoder, ridge"] = mapped(embeddings)
    return ways


def measure(given: Newcomers, name: str, scores: Scores) -> Measured:
    """Measure one way, over all queries and over `PARTS`, unless all show equally much."""
    ranking = np.zeros((len(given.queries), min(_DEPTH, given.watched.get_shape()[1])), np.int64)
    for begin in range(0, len(ranking), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        ranking[part] = np.argsort(-scores(part), axis=1, kind="stable")[:, : ranking.shape[1]]
    per_query = dict(
        zip(
            METRICS,
            (ndcg(ranking, given.relevant, 50), recall(ranking, given.relevant, 100)),
            strict=True,
        )
    )
    parts = {"all": np.arange(len(ranking)), **_thirds(given.richness)}
    return Measured(
        name,
        {
            (metric, part): _value(values[rows])
            for metric, values in per_query.items()
            for part, rows in parts.items()
            if len(rows)
        },
    )


def _thirds(richness: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Queries (b,) of each part, by the mean rank of equal richness (Q,); empty if all are equal.

    Where many are equal, parts differ in size, and one may have no queries.
    """
    ordered = np.sort(richness)
    if ordered[0] == ordered[-1]:
        return {}
    below, up_to = (np.searchsorted(ordered, richness, side) for side in ("left", "right"))
    part = (below + up_to) * len(PARTS) // (2 * len(ordered))
    return {name: np.flatnonzero(part == place) for place, name in enumerate(PARTS)}


def _richness(corpus: Corpus, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens of each modality and vectors that these rows show (R,)."""
    shown = corpus_features(subset(corpus.pieces, rows), corpus.vocabulary)
    return np.array([len(each.token_ids) + sum(map(len, each.vectors)) for each in shown], np.int64)


def _value(values: NDArray[np.float64]) -> Value:
    drawn = bootstrap_means(values[:, None], _DRAWS)[:, 0]
    return Value(float(values.mean()), *percentiles(drawn))


def _als(watched: sp.csr_matrix, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of streamers (G, E) and users (U, E), by ALS as a teacher learns it."""
    config = TeacherConfig()
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=config.teacher_dim,
            regularization=config.teacher_regularization,
            alpha=config.teacher_confidence,
            iterations=config.teacher_iterations,
            random_state=seed,
            num_threads=1,
        )
        model.fit(watched.T.tocsr(), show_progress=False)
    return np.asarray(model.item_factors, np.float32), np.asarray(model.user_factors, np.float32)


def _penalty(
    content: NDArray[np.float32], directions: NDArray[np.float32], rng: np.random.Generator
) -> float:
    """Ridge penalty with the best mean cosine on a tenth of the warm streamers."""
    order = rng.permutation(len(content))
    held, train = order[: len(order) // 10], order[len(order) // 10 :]
    if not len(held):
        return 1.0

    def cosine(penalty: float) -> float:
        model = Ridge(alpha=penalty).fit(content[train], directions[train])
        made = dense_unit(np.asarray(model.predict(content[held]), np.float32))
        return float((made * directions[held]).sum(1).mean())

    return max(_PENALTIES, key=cosine)


def _category_popularity(given: Newcomers) -> Scores:
    """Users by how many warm streamers of the query's category they watch; of tags without one."""
    profiles = given.corpus.dataset.profiles

    def labels(profile: StreamerProfile) -> list[str]:
        return [f"c={profile.category}"] if profile.category else [f"t={t}" for t in profile.tags]

    of_gallery = [labels(profile) for profile in subset(profiles, given.setting.gallery)]
    names = sorted({label for row in of_gallery for label in row})
    place = {label: i for i, label in enumerate(names)}

    def matrix(rows: Sequence[Sequence[str]]) -> sp.csr_matrix:
        known = [[place[label] for label in row if label in place] for row in rows]
        ends = np.cumsum([0, *map(len, known)])
        columns = np.array([i for row in known for i in row], np.int64)
        shape = (len(rows), max(len(names), 1))
        return sp.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape)

    by_label = sp.csr_matrix(matrix(of_gallery).T @ given.watched)  # (L, U)
    asked = matrix([labels(profile) for profile in subset(profiles, given.queries)])  # (Q, L)
    return lambda part: np.asarray((asked[part] @ by_label).todense(), np.float32)
