"""Scores from cosines, against a double loop over rows and seeds."""

import math

import numpy as np
import pytest

from service.index.query import Query, ScoringSpec, Strategy
from tests.service.index.faiss.records import unit

DIM = 6
RNG = np.random.default_rng(4)
SEEDS, ROWS = unit(RNG, 5, DIM), unit(RNG, 40, DIM)
WEIGHTS = {
    "one": (2.0,),
    "two": (1.0, 3.0),
    "unlike": (1.0, -1.0),
    "many": (1.0, 0.5, -2.0, 4.0, -0.25),
}


def scores(spec: ScoringSpec, rows: np.ndarray) -> np.ndarray:
    """As an index comes to them (N,)."""
    return spec.combine(spec.probes() @ rows.T)


def mean(seeds: list[tuple[float, np.ndarray]]) -> list[float]:
    """The direction of the weighted mean, number by number."""
    total = [sum(w * float(seed[d]) for w, seed in seeds) for d in range(DIM)]
    length = math.sqrt(sum(x * x for x in total))
    return [x / length for x in total]


def cosine(a: object, b: object) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))  # type: ignore[call-overload]


def naive(seeds: np.ndarray, weights: tuple[float, ...], strategy: Strategy) -> list[float]:
    found: list[float] = []
    wanted = [(w, s) for w, s in zip(weights, seeds, strict=True) if w > 0]
    unwanted = [(-w, s) for w, s in zip(weights, seeds, strict=True) if w < 0]
    for row in ROWS:
        if strategy == "average":
            score = cosine(mean(wanted), row)
            if unwanted:
                score = (score - cosine(mean(unwanted), row)) / 2
        elif strategy == "best_score":
            score = max(cosine(seed, row) for _, seed in wanted)
            worst = max((cosine(seed, row) for _, seed in unwanted), default=-math.inf)
            score = -abs(worst) if worst > score else score
        else:
            score = sum(w * cosine(seed, row) for w, seed in wanted)
            score -= sum(w * cosine(seed, row) for w, seed in unwanted)
            score /= sum(abs(w) for w in weights)
        found.append(score)
    return found


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
def test_scores_are_those_of_a_double_loop(weights: tuple[float, ...], strategy: Strategy) -> None:
    seeds = SEEDS[: len(weights)]
    spec = ScoringSpec(seeds, weights, strategy)
    np.testing.assert_allclose(scores(spec, ROWS), naive(seeds, weights, strategy), atol=1e-6)
    if spec.is_cosine:
        (probe,) = spec.probes()
        assert np.linalg.norm(probe) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
@pytest.mark.parametrize("tiny", [1e-31, 1e-200, 5e-324])
def test_weights_count_by_their_proportions_however_small(strategy: Strategy, tiny: float) -> None:
    """In single precision they and their sum would vanish."""
    for weights in ((1, 1), (1, -1), (1, 1, -1), (1,)):
        seeds = SEEDS[: len(weights)]
        small = ScoringSpec(seeds, [tiny * w for w in weights], strategy)
        np.testing.assert_allclose(
            scores(small, ROWS), scores(ScoringSpec(seeds, weights, strategy), ROWS), atol=1e-6
        )


def test_of_opposite_seeds_the_heaviest_counts() -> None:
    opposite = np.stack([SEEDS[0], -SEEDS[0]])
    found = scores(ScoringSpec(opposite, (1.0, 1.0005)), ROWS)
    np.testing.assert_allclose(found, -(ROWS @ SEEDS[0]), atol=1e-6)
    both = np.stack([SEEDS[0], SEEDS[0]])
    assert scores(ScoringSpec(both, (1, -1)), ROWS).tolist() == [0] * len(ROWS)


def test_which_queries_are_plain() -> None:
    nearest = ScoringSpec.nearest(SEEDS[0])
    assert Query(nearest, exclude={"a"}).is_plain
    assert Query(ScoringSpec(SEEDS, (1, 2, 3, 4, 5))).is_plain  # one mean
    assert Query(ScoringSpec(SEEDS[:1], (3,), "best_score")).is_plain
    assert not Query(ScoringSpec(SEEDS, (1, 2, 3, 4, -5))).is_plain
    assert not Query(ScoringSpec(SEEDS, (1, 2, 3, 4, 5), "sum")).is_plain
    assert not Query(nearest, min_score=-1).is_plain
    assert not Query(nearest, established_only=True).is_plain
    assert not Query(nearest, exact=True).is_plain


def test_who_is_nearer_to_what_is_unwanted_scores_below_zero_always() -> None:
    """Also where both are far away: the cosines with both are negative then."""
    seeds = np.array([[1, 0], [0, 1]], np.float32)
    rows = np.array([[-0.8, -0.6], [-0.6, -0.8], [0.6, 0.8]], np.float32)
    found = scores(ScoringSpec(seeds, (1.0, -1.0), "best_score"), rows)
    np.testing.assert_allclose(found, [-0.6, -0.6, -0.8], atol=1e-6)


@pytest.mark.parametrize("strategy", ["average", "sum"])
def test_seeds_that_take_each_other_away_have_no_direction(strategy: Strategy) -> None:
    one, other = SEEDS[:1], SEEDS[1:2]
    assert not ScoringSpec(np.concatenate([one, one]), (1.0, -1.0), strategy).has_direction
    assert ScoringSpec(np.concatenate([one, other]), (1.0, -1.0), strategy).has_direction
    assert ScoringSpec(np.concatenate([one, one]), (1.0, -1.0), "best_score").has_direction
