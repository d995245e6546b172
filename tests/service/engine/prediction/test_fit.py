"""A predictor fitted on a generation: what it reaches, and what it does not depend on."""

from dataclasses import replace

import numpy as np
import pytest

from service.engine.prediction.fit import Fit, Head, Known, audience_of, fit
from service.engine.prediction.linear import LinearMap, Ridge, cosines, procrustes
from service.engine.prediction.neighbours import nearest
from service.engine.prediction.predictor import Predictions
from service.engine.spaces.row_vectors import RowVectors
from tests.service.engine.prediction.worlds import World, unit, world


def predict(made: Fit, known: Known, embeddings: np.ndarray) -> Predictions:
    assert made.predictor is not None
    count = len(embeddings)
    return made.predictor.predict(
        embeddings,
        nearest(embeddings, known.embeddings),
        known.vectors,
        np.full(count, 0.9, np.float32),
        np.full(count, 4, np.float32),
    )


@pytest.fixture(scope="module")
def clear() -> World:
    return world()


@pytest.fixture(scope="module")
def made(clear: World) -> Fit:
    return fit(clear.known)


def turned(known: Known, seed: int = 1) -> tuple[Known, np.ndarray]:
    size = known.vectors.shape[1]
    random = np.random.default_rng(seed).standard_normal((size, size))
    rotation = np.linalg.qr(random)[0].astype(np.float32)
    return replace(known, vectors=known.vectors @ rotation), rotation


@pytest.mark.slow
def test_who_is_new_is_predicted_far_better_than_by_the_mean(clear: World, made: Fit) -> None:
    reached = cosines(predict(made, clear.known, clear.cold).vectors, clear.cold_vectors).mean()
    mean = np.tile(clear.known.vectors.mean(0), (len(clear.cold), 1))
    assert reached > 0.75
    assert reached > cosines(mean, clear.cold_vectors).mean() + 0.3
    assert made.values["chosen"] >= max(made.values["ridge"], made.values["neighbours"])


@pytest.mark.slow
def test_a_rotated_hand_over_gives_the_same_answers_rotated(clear: World, made: Fit) -> None:
    known, rotation = turned(clear.known)
    again = fit(known)
    first = predict(made, clear.known, clear.cold).vectors @ rotation
    np.testing.assert_allclose(predict(again, known, clear.cold).vectors, first, atol=1e-3)


@pytest.mark.slow
def test_lengths_are_those_of_own_vectors(clear: World, made: Fit) -> None:
    lengths = np.linalg.norm(predict(made, clear.known, clear.cold).vectors, axis=1)
    own = np.linalg.norm(clear.cold_vectors, axis=1)
    assert np.median(lengths) == pytest.approx(np.median(own), rel=0.15)


def test_the_head_of_the_bundle_is_used_in_a_space_that_was_only_rotated(clear: World) -> None:
    few = 400
    part = replace(
        clear.known,
        **{
            name: getattr(clear.known, name)[:few]
            for name in (
                "embeddings",
                "vectors",
                "coverage",
                "modalities",
                "interactions",
                "unseen",
            )
        },
    )
    everything = Ridge(clear.known.embeddings, unit(clear.known.vectors)).at(1e-3)
    known, _ = turned(part)
    head = Head(everything, np.arange(few), part.vectors)
    with_head = fit(known, head)
    assert "head" in with_head.values
    other = fit(known, replace(head, taught=np.random.default_rng(0).standard_normal((few, 12))))
    assert "head" not in other.values


def test_too_few_to_hold_out_are_predicted_by_neighbours_without_a_confidence() -> None:
    small = world(count=40, cold=5)
    made = fit(small.known)
    assert made.predictor is not None
    assert (made.predictor.source, made.predictor.method) == ("neighbours", "neighbours")
    assert made.predictor.confidence.calibration is None
    assert "too few" in (made.predictor.confidence.withheld_because or "")
    assert np.isfinite(predict(made, small.known, small.cold).vectors).all()


def test_nobody_to_learn_from_is_no_error() -> None:
    empty = world(count=40, cold=5).known
    nobody = Known(
        *(getattr(empty, name)[:0] for name in ("embeddings", "vectors", "coverage", "modalities")),
        interactions=None,
        unseen=np.ones(0, bool),
    )
    assert fit(nobody).predictor is None


@pytest.mark.slow
def test_held_out_are_those_that_the_encoder_was_trained_without(clear: World) -> None:
    unseen = np.arange(len(clear.known.vectors)) < 200
    found = fit(replace(clear.known, unseen=unseen))
    assert found.held_out == 150
    assert found.predictor is not None
    assert found.predictor.confidence.calibration is not None
    # What the encoder was trained with looks better than newcomers do.
    unseen[50:] = False
    found = fit(replace(clear.known, unseen=unseen))
    assert found.predictor is not None
    assert found.predictor.confidence.calibration is None
    assert "trained" in (found.predictor.confidence.withheld_because or "")


@pytest.mark.slow
def test_vectors_turned_by_audience_are_as_alike_as_their_scores(clear: World) -> None:
    turn = audience_of(RowVectors.of(clear.users))
    assert turn is not None
    known = replace(clear.known, audience=turn)
    scores = clear.known.vectors @ clear.users.T
    expected = unit(scores[:50]) @ unit(scores[:50]).T
    found = unit(known.by_audience()[:50]) @ unit(known.by_audience()[:50]).T
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert fit(known).graph is not None
    assert audience_of(RowVectors.of(clear.users[:3])) is None
    equal = np.full((1000, 64), 0.1, np.float32)
    turn = audience_of(RowVectors.of(equal))
    assert turn is not None
    assert np.isfinite(turn).all()


def test_procrustes_tells_a_rotation_from_another_space(clear: World) -> None:
    known, rotation = turned(clear.known)
    found = procrustes(clear.known.vectors, known.vectors)
    np.testing.assert_allclose(found.matrix, rotation, atol=1e-3)
    assert found.residual == pytest.approx(0, abs=1e-5)
    shuffled = known.vectors[np.random.default_rng(0).permutation(len(known.vectors))]
    assert procrustes(clear.known.vectors, shuffled).residual > 0.5


def test_ridge_is_the_naive_solution(clear: World) -> None:
    inputs, targets = clear.known.embeddings[:300], clear.known.vectors[:300]
    found = Ridge(inputs, targets).at(0.1)
    centred = inputs - inputs.mean(0)
    covariance = centred.T @ centred / 300
    penalty = 0.1 * np.linalg.eigvalsh(covariance).mean() * np.eye(24)
    matrix = np.linalg.solve(covariance + penalty, centred.T @ (targets - targets.mean(0)) / 300)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-4)
    np.testing.assert_allclose(found(inputs).mean(0), targets.mean(0), atol=1e-4)


def test_maps_compose() -> None:
    first = LinearMap(np.array([[1, 2]], np.float32), np.array([3, 4], np.float32))
    both = first.then(np.array([[0, 1], [1, 0]], np.float32))
    assert both(np.array([[1]], np.float32)).tolist() == [[6, 4]]
