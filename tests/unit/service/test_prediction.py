"""The predictor of a recommender's vectors, against naive solutions and known worlds."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.prediction.confidence import Signs, calibrate, calibration_error
from service.engine.prediction.fit import Fit, Known, audience_of, fit
from service.engine.prediction.graph import neighbour_graph
from service.engine.prediction.inner_products import InnerProductIndex
from service.engine.prediction.linear import LinearMap, Ridge, cosines, procrustes, unit
from service.engine.prediction.neighbours import nearest
from service.engine.prediction.shrinkage import Shrinkage, learn_shrinkage
from service.engine.spaces.row_vectors import RowVectors
from service.engine.spaces.streamer_neighbours import StreamerNeighbours, shares_of

Floats = NDArray[np.float32]
COUNT, COLD, DIM, WIDTH = 1200, 150, 24, 12


@dataclass(frozen=True)
class World:
    """Streamers of some topics whose vectors follow from content, and users."""

    known: Known
    cold: Floats
    cold_vectors: Floats
    users: Floats


@pytest.fixture(scope="module")
def world() -> World:
    rng, rows = np.random.default_rng(0), COUNT + COLD
    topics = rng.standard_normal((15, DIM))
    shown = topics[rng.integers(15, size=rows)] + 0.6 * rng.standard_normal((rows, DIM))
    content = unit(shown.astype(np.float32))
    to_space = rng.standard_normal((DIM, WIDTH))
    interactions = rng.integers(1, 200, rows).astype(np.float32)
    learned = content @ to_space + 0.4 * rng.standard_normal((rows, WIDTH))
    learned += rng.standard_normal((rows, WIDTH)) / np.sqrt(interactions)[:, None]
    lengths = 0.5 + 0.5 * np.log1p(interactions)
    vectors = (unit(learned.astype(np.float32)) * lengths[:, None]).astype(np.float32)
    users = (rng.standard_normal((300, DIM)) @ to_space).astype(np.float32)
    known = Known(
        embeddings=content[:COUNT],
        vectors=vectors[:COUNT],
        coverage=rng.uniform(0.7, 1, COUNT).astype(np.float32),
        modalities=rng.integers(2, 6, COUNT).astype(np.float32),
        interactions=interactions[:COUNT],
        unseen=np.ones(COUNT, bool),
    )
    return World(known, content[COUNT:], vectors[COUNT:], users)


def predicted(made: Fit, known: Known, embeddings: Floats) -> Floats:
    assert made.predictor is not None
    count = len(embeddings)
    return made.predictor.predict(
        embeddings,
        nearest(embeddings, known.embeddings),
        known.vectors,
        np.full(count, 0.9, np.float32),
        np.full(count, 4, np.float32),
    ).vectors


def turned(known: Known) -> tuple[Known, Floats]:
    noise = np.random.default_rng(1).standard_normal((WIDTH, WIDTH))
    rotation = np.linalg.qr(noise)[0].astype(np.float32)
    return replace(known, vectors=known.vectors @ rotation), rotation


def test_newcomers_are_predicted_far_better_than_by_the_mean(world: World) -> None:
    made = fit(world.known)
    found = predicted(made, world.known, world.cold)
    mean = np.tile(world.known.vectors.mean(0), (COLD, 1))
    reached = cosines(found, world.cold_vectors).mean()
    assert reached > max(0.75, cosines(mean, world.cold_vectors).mean() + 0.3)
    lengths = [np.median(np.linalg.norm(rows, axis=1)) for rows in (found, world.cold_vectors)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.15)
    # A hand-over in other directions gives the same answers in those directions.
    known, rotation = turned(world.known)
    again = predicted(fit(known), known, world.cold)
    np.testing.assert_allclose(again, found @ rotation, atol=1e-3)


def test_ridge_is_the_naive_solution(world: World) -> None:
    inputs, targets = world.known.embeddings[:300], world.known.vectors[:300]
    found = Ridge(inputs, targets).at(0.1)
    centred = inputs - inputs.mean(0)
    covariance = centred.T @ centred / 300
    penalty = 0.1 * np.linalg.eigvalsh(covariance).mean() * np.eye(DIM)
    matrix = np.linalg.solve(covariance + penalty, centred.T @ (targets - targets.mean(0)) / 300)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-4)
    np.testing.assert_allclose(found(inputs).mean(0), targets.mean(0), atol=1e-4)


def test_maps_compose() -> None:
    first = LinearMap(np.array([[1, 2]], np.float32), np.array([3, 4], np.float32))
    both = first.then(np.array([[0, 1], [1, 0]], np.float32))
    assert both(np.array([[1]], np.float32)).tolist() == [[6, 4]]


def test_procrustes_tells_a_rotation_from_another_space(world: World) -> None:
    known, rotation = turned(world.known)
    found = procrustes(world.known.vectors, known.vectors)
    np.testing.assert_allclose(found.matrix, rotation, atol=1e-3)
    assert found.residual == pytest.approx(0, abs=1e-5)
    shuffled = known.vectors[np.random.default_rng(0).permutation(COUNT)]
    assert procrustes(world.known.vectors, shuffled).residual > 0.5


def test_vectors_turned_by_audience_are_as_alike_as_their_scores(world: World) -> None:
    turn = audience_of(RowVectors.of(world.users))
    assert turn is not None
    known = replace(world.known, audience=turn)
    scores = unit(known.vectors[:50] @ world.users.T)
    found = unit(known.by_audience()[:50])
    np.testing.assert_allclose(found @ found.T, scores @ scores.T, atol=1e-3)


def test_own_vectors_of_little_are_shrunk_as_far_as_their_noise_asks() -> None:
    rng = np.random.default_rng(0)
    shape = 3000, 16
    foretold = unit(rng.standard_normal(shape).astype(np.float32))
    true = unit((foretold + 0.15 * rng.standard_normal(shape)).astype(np.float32))
    interactions = rng.integers(1, 100, 3000).astype(np.float32)
    noise = 0.6 * rng.standard_normal(shape) / np.sqrt(interactions)[:, None]
    own = unit((true + noise).astype(np.float32))
    curve = learn_shrinkage(own, foretold, interactions)
    # Squared lengths: noise 16 * 0.6², and 16 * 0.15² that content does not show.
    assert curve.noise == pytest.approx(5.8, rel=0.4)
    assert curve.rest == pytest.approx(0.36, rel=0.3)
    few = np.flatnonzero(interactions < 5)
    blended = np.stack([curve.blend(own[i], foretold[i], float(interactions[i])) for i in few])
    reached = cosines(blended, true[few]).mean()
    assert reached > cosines(own[few], true[few]).mean() + 0.05
    assert reached > cosines(foretold[few], true[few]).mean()


@pytest.mark.parametrize(("noise", "rest"), [(5.8, 0.36), (2.0, 1.5), (20.0, 0.8)])
@pytest.mark.parametrize("interactions", [1, 4, 60])
def test_the_expected_cosine_of_a_blend_is_the_one_that_it_reaches(
    noise: float, rest: float, interactions: float
) -> None:
    rng = np.random.default_rng(1)
    shape = 400, 256
    true = unit(rng.standard_normal(shape).astype(np.float32))

    def with_noise(variance: float) -> Floats:
        rows = true + np.sqrt(variance / 256) * rng.standard_normal(shape)
        return unit(rows.astype(np.float32))

    own, foretold = with_noise(noise / interactions), with_noise(rest)
    curve = Shrinkage(noise, rest)
    blended = [curve.blend(*both, interactions) for both in zip(own, foretold, strict=True)]
    expected = curve.expected_cosine(interactions, 1 / np.sqrt(1 + rest))
    assert expected == pytest.approx(cosines(np.stack(blended), true).mean(), abs=0.03)
    assert expected == pytest.approx(1 / np.sqrt(1 + 1 / (interactions / noise + 1 / rest)))


def test_confidence_is_what_is_reached_on_average() -> None:
    rng = np.random.default_rng(0)

    def signs() -> Signs:
        agreement, nearness, coverage = rng.uniform(0.2, 1, (3, 2000)).astype(np.float32)
        return Signs(agreement, nearness, coverage, rng.integers(1, 6, 2000).astype(np.float32))

    def truth(of: Signs) -> NDArray[np.floating]:
        return 0.2 + 0.5 * of.agreement * of.coverage

    mine, others = signs(), signs()
    reached = (truth(mine) + 0.1 * rng.standard_normal(2000)).astype(np.float32)
    found = calibrate(mine, reached)
    assert found.calibration is not None
    assert calibration_error(found.calibration(others), truth(others).astype(np.float32)) < 0.05
    few = Signs(
        *(each[:20] for each in (mine.agreement, mine.nearness, mine.coverage, mine.modalities))
    )
    withheld = calibrate(few, reached[:20])
    assert (withheld.calibration, bool(withheld.withheld_because)) == (None, True)


def test_handed_neighbours_go_before_cosines_in_the_graph(world: World) -> None:
    vectors, draw = world.known.vectors[:60], np.random.default_rng(4)
    lengths = draw.integers(0, 8, 60) * (np.arange(60) % 3 > 0)
    rows = np.concatenate(
        [np.setdiff1d(draw.permutation(60), [own])[:size] for own, size in enumerate(lengths)]
    )
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    shares = shares_of(draw.uniform(0.1, 1, len(rows)), lengths)
    handed = StreamerNeighbours(indptr, rows.astype(np.int32), shares)
    near = unit(vectors) @ unit(vectors).T
    np.fill_diagonal(near, -1)
    directed = np.zeros((60, 60))
    for own, size in enumerate(lengths):
        if size:
            part = slice(indptr[own], indptr[own + 1])
            directed[own, rows[part]] = shares[part]
        else:
            best = np.argsort(-near[own])[:20]
            directed[own, best] = near[own, best].clip(0) / near[own].max()
    mutual = np.maximum(directed, directed.T)
    graph, found = neighbour_graph(vectors, lambda: None, handed), np.zeros((60, 60))
    for own in range(60):
        part = slice(graph.indptr[own], graph.indptr[own + 1])
        found[own, graph.indices[part]] = graph.weights[part]
    np.testing.assert_allclose(found, mutual / mutual.sum(axis=1, keepdims=True), atol=1e-5)


def test_codes_find_nearly_all_of_the_largest_inner_products() -> None:
    def rows(count: int, seed: int) -> Floats:
        rng = np.random.default_rng(seed)
        made = np.random.default_rng(0).standard_normal((40, 16))[rng.integers(40, size=count)]
        made = made + 0.5 * rng.standard_normal((count, 16))
        return (made * rng.lognormal(0, 0.5, (count, 1))).astype(np.float32)

    users = rows(20_000, 1)
    index = InnerProductIndex(RowVectors.of(users), rows(64, 6), most=100, exact_rows=1000)
    assert not index.is_exact
    shares = []
    for query in rows(30, 5):
        best, scores = index.search(query, 100)
        exact = np.argsort(-(users @ query))[:100]
        shares.append(len(np.intersect1d(best, exact)) / 100)
        np.testing.assert_allclose(scores, users[best] @ query, rtol=1e-4, atol=1e-4)
        assert (np.diff(scores) <= 0).all()
    assert np.mean(shares) > 0.95
