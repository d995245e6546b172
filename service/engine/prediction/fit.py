"""Fits a predictor on a generation, in seconds; a tenth is held out to choose and calibrate."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.established import VOTERS, BehaviourGraph
from service.engine.prediction.confidence import LEAST_SAMPLES, Confidence, calibrate
from service.engine.prediction.graph import choose_vote, neighbour_graph, neighbours_of_held_out
from service.engine.prediction.linear import (
    LinearMap,
    Ridge,
    best_penalty,
    cosines,
    procrustes,
    unit,
)
from service.engine.prediction.neighbours import (
    MOST,
    Near,
    NeighbourWeights,
    best_weights,
    nearest,
)
from service.engine.prediction.predictor import Predictor, Way, lengths_of
from service.engine.prediction.shrinkage import Shrinkage, learn_shrinkage
from service.engine.spaces.row_vectors import RowVectors
from service.engine.spaces.streamer_neighbours import StreamerNeighbours

LEAST_HELD_OUT = 30
"""Held-out streamers that a choice needs; with fewer, neighbours alone predict."""
MOST_HELD_OUT = 1500
_TAUGHT = (
    "the encoder was trained with the audiences of the held-out streamers, and knows them better "
    f"than newcomers: {LEAST_SAMPLES} streamers that have joined since must have vectors"
)
_BLOCK = 1 << 16
_LEAST_GAIN = 0.002
"""Of mean cosine, that a blend must have over the best of its parts."""
MOST_RESIDUAL = 0.2
"""Share of the vectors that a rotation of the bundle's space may leave unexplained."""


@dataclass(frozen=True, eq=False)
class Known:
    """Streamers that have both content and an own vector, k of them.

    Attributes:
        embeddings: float32 (k, D) of the content, of unit length.
        vectors: float32 (k, E), own vectors.
        coverage: float32 (k,), share of the content that the encoder knows.
        modalities: float32 (k,), kinds of content shown.
        interactions: float32 (k,), None if not told.
        unseen: (k,) whether the encoder was trained without their behaviour.
        audience: float32 (E, E), by which vectors are turned so that their cosines are those of
            their scores for all users; None without users.
        neighbours: among the k, that were handed over; None where none were.
    """

    embeddings: NDArray[np.float32]
    vectors: NDArray[np.float32]
    coverage: NDArray[np.float32]
    modalities: NDArray[np.float32]
    interactions: NDArray[np.float32] | None
    unseen: NDArray[np.bool_]
    audience: NDArray[np.float32] | None = None
    neighbours: StreamerNeighbours | None = None

    def by_audience(self) -> NDArray[np.float32]:
        """Vectors (k, E) whose cosines tell how alike the audiences are, as far as is known."""
        return self.vectors if self.audience is None else self.vectors @ self.audience


@dataclass(frozen=True, eq=False)
class Head:
    """The bundle's way into the space of its own teacher, and what it was taught.

    Attributes:
        map: from an embedding (D,) to the teacher's space (F,).
        rows: int64 (r,), among the known streamers, of those that the teacher had.
        taught: float32 (r, F), the teacher's vectors of them.
    """

    map: LinearMap
    rows: NDArray[np.int64]
    taught: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fit:
    """What was fitted.

    Attributes:
        predictor: None with nobody to learn from.
        shrinkage: of own vectors that were learned from little.
        graph: the vote of the established; None with nobody to vote.
        held_out: how many were held out.
        values: mean cosine on the held-out, by way.
    """

    predictor: Predictor | None
    shrinkage: Shrinkage
    graph: BehaviourGraph | None
    held_out: int = 0
    values: Mapping[str, float] = field(default_factory=dict[str, float])


def _no_tick() -> None:
    return None


def fit(
    known: Known, head: Head | None = None, seed: int = 0, tick: Callable[[], None] = _no_tick
) -> Fit:
    """Fit all that is predicted by.

    Held out is a tenth, of those that the encoder was trained without where there are enough:
    on the others it would look better than it is. Whatever is chosen is then fitted on all.

    Args:
        known: whom to learn from.
        head: of the bundle, where it has one.
        seed: of the choice of the held-out.
        tick: called between steps; may raise to end the work.
    """
    if not len(known.vectors):
        return Fit(None, Shrinkage(), None)
    held = _held_out(known.unseen, np.random.default_rng(seed))
    graph = neighbour_graph(known.by_audience(), tick, known.neighbours)
    if len(held) < LEAST_HELD_OUT:
        why = f"{len(held)} held-out streamers are too few to calibrate"
        shape = known.embeddings.shape[1], known.vectors.shape[1]
        nothing = LinearMap(np.zeros(shape, np.float32), np.zeros(shape[1:], np.float32))
        plain = Predictor(
            [Way("ridge", nothing, 0.0)],
            NeighbourWeights(),
            1.0,
            1.0,
            Confidence(None, float("nan"), why),
        )
        return Fit(plain, Shrinkage(), graph, held_out=len(held))
    train = np.setdiff1d(np.arange(len(known.vectors)), held)
    targets = known.vectors[held]
    near = nearest(known.embeddings[held], known.embeddings[train], VOTERS)
    tick()
    truth = neighbours_of_held_out(known.by_audience(), held, train, known.neighbours)
    voting = choose_vote(_within(graph, train), near, truth)
    graph = replace(graph, temperature=voting.temperature, own_share=voting.own_share)
    tick()
    near = Near(near.places[:, :MOST], near.scores[:, :MOST])
    ridge = Ridge(known.embeddings[train], unit(known.vectors[train]))
    penalty = best_penalty(ridge, known.embeddings[held], targets)
    tick()
    weights = best_weights(near, known.vectors[train], targets)
    ways = {"ridge": ridge.at(penalty)}
    if head is not None and len(head.rows) >= LEAST_HELD_OUT:
        own = unit(known.vectors[head.rows])
        rotation = procrustes(unit(head.taught), own)
        if rotation.residual <= MOST_RESIDUAL:
            ways["head"] = head.map.then(rotation.matrix)
    made = {name: way(known.embeddings[held]) for name, way in ways.items()}
    made["neighbours"] = weights.mean(near, known.vectors[train])
    shares, values = choose(made, unit(targets))
    tick()
    scale = _scale(weights, near, known.vectors[train], targets)
    trial = Predictor(
        [Way(name, way, shares[name]) for name, way in ways.items()],
        weights,
        shares["neighbours"],
        scale,
        Confidence(None, float("nan"), None),
    )
    predicted = trial.predict(
        known.embeddings[held],
        near,
        known.vectors[train],
        known.coverage[held],
        known.modalities[held],
    )
    confidence = Confidence(None, float("nan"), _TAUGHT)
    if known.unseen[held].all():
        confidence = calibrate(predicted.signs, cosines(predicted.vectors, targets), seed)
    shrinkage = Shrinkage()
    if known.interactions is not None:
        shrinkage = learn_shrinkage(targets, predicted.vectors, known.interactions[held])
    tick()
    ways["ridge"] = Ridge(known.embeddings, unit(known.vectors)).at(penalty)
    predictor = replace(
        trial,
        ways=[Way(name, way, shares[name]) for name, way in ways.items()],
        confidence=confidence,
    )
    return Fit(predictor, shrinkage, graph, len(held), values)


def audience_of(users: RowVectors) -> NDArray[np.float32] | None:
    """The matrix (E, E) of `Known.audience`, of user vectors (m, E); None with too few.

    With U the users, the scores of v and w have the inner product (U v)'(U w) = (v L)(w L)', L the
    Cholesky factor of U'U.
    """
    if len(users) < users.shape[1]:
        return None
    gram = np.zeros((users.shape[1],) * 2)
    for begin in range(0, len(users), _BLOCK):
        part = users.block(begin, begin + _BLOCK).astype(np.float64)
        gram += part.T @ part
    ridge = 1e-6 * float(np.trace(gram)) / len(gram)
    if ridge <= 0:
        return None
    factor = np.linalg.cholesky(gram + ridge * np.eye(len(gram)))
    return (factor / np.sqrt(len(users))).astype(np.float32)


def choose(
    made: Mapping[str, NDArray[np.float32]], targets: NDArray[np.float32]
) -> tuple[dict[str, float], dict[str, float]]:
    """Shares of ways in the blend with the best mean cosine, and the mean cosines by way.

    The best single one is taken where no blend is better by more than `_LEAST_GAIN`.

    Args:
        made: by way, its predictions (Q, E) of the held-out.
        targets: (Q, E), unit vectors that were learned.
    """
    names = list(made)
    values = {name: float(cosines(made[name], targets).mean()) for name in names}
    best = max(names, key=lambda name: values[name])
    shares, value = {best: 1.0}, values[best] + _LEAST_GAIN
    for size in range(2, len(names) + 1):
        for part in itertools.combinations(names, size):
            found = _least_squares([made[name] for name in part], targets)
            if found.min() <= 0:
                continue
            blend = sum_blend([made[name] for name in part], found)
            reached = float(cosines(blend, targets).mean())
            if reached > value:
                shares = dict(zip(part, (found / found.sum()).tolist(), strict=True))
                value = reached
    values["chosen"] = value if len(shares) > 1 else values[best]
    return {name: shares.get(name, 0.0) for name in names}, values


def sum_blend(
    made: Sequence[NDArray[np.float32]], shares: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Weighted sum of predictions (Q, E) each."""
    return np.einsum("w,wqe->qe", shares.astype(np.float32), np.stack(made))


def _least_squares(
    made: Sequence[NDArray[np.float32]], targets: NDArray[np.float32]
) -> NDArray[np.float64]:
    gram = np.array([[float((a * b).sum()) for b in made] for a in made])
    right = np.array([float((a * targets).sum()) for a in made])
    return np.linalg.lstsq(gram, right, rcond=None)[0]


def _held_out(unseen: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    count = min(len(unseen) // 10, MOST_HELD_OUT)
    best = np.flatnonzero(unseen)
    pool = best if len(best) >= min(count, LEAST_SAMPLES) else np.arange(len(unseen))
    return np.sort(rng.choice(pool, min(count, len(pool)), replace=False))


def _within(graph: BehaviourGraph, rows: NDArray[np.int64]) -> BehaviourGraph:
    """The graph among some of its rows (r,), ascending."""
    count = len(graph.indptr) - 1
    place = np.full(count, -1, np.int64)
    place[rows] = np.arange(len(rows))
    source = np.repeat(np.arange(count), np.diff(graph.indptr))
    kept = (place[source] >= 0) & (place[graph.indices] >= 0)
    lengths = np.bincount(place[source[kept]], minlength=len(rows))
    total = np.bincount(place[source[kept]], graph.weights[kept], len(rows))
    weights = graph.weights[kept] / np.maximum(total[place[source[kept]]], 1e-12)
    return replace(
        graph,
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        indices=place[graph.indices[kept]].astype(np.int32),
        weights=weights.astype(np.float32),
    )


def _scale(
    weights: NeighbourWeights,
    near: Near,
    vectors: NDArray[np.float32],
    targets: NDArray[np.float32],
) -> float:
    """Median ratio of the lengths of own vectors to those of the neighbours."""
    made = lengths_of(weights, near, vectors)
    return float(np.median(np.linalg.norm(targets, axis=1) / np.maximum(made, 1e-12)))
