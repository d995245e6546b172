"""Queries whose words are replaced, and the precision that they are measured to have."""

from dataclasses import replace

import numpy as np
import pytest

from model_export.contract.features import Features, coverage_of
from model_export.contract.pieces import pieces_of
from training.calibration.coverage import (
    ENOUGH,
    FEWEST_IN_BAND,
    SHARES,
    Veiled,
    curves_by_coverage,
    veil,
    veiled,
)
from training.calibration.truth import Truth
from training.data import Dataset
from training.features.bags import corpus_features
from training.features.vocabulary import build_vocabulary


@pytest.fixture(scope="module")
def pieces(world: Dataset) -> list:
    return [pieces_of(profile) for profile in world.profiles]


@pytest.fixture(scope="module")
def vocabulary(world: Dataset, pieces: list):
    return build_vocabulary([pieces[row] for row in world.rows("train")])


@pytest.fixture(scope="module")
def queries(world: Dataset, pieces: list, vocabulary) -> list[Features]:
    found = corpus_features([pieces[row] for row in world.rows("val", "test")], vocabulary)
    return [each for each in found if each.usable]


@pytest.mark.slow
def test_words_are_replaced_until_the_wanted_coverage_is_left(queries, vocabulary):
    rng, left = np.random.default_rng(0), []
    for query in queries:
        wanted = rng.uniform(0, query.coverage)
        found = veil(query, vocabulary, wanted, rng)
        unknown = found.token_ids > len(vocabulary.tokens)
        was_unknown = query.token_ids > len(vocabulary.tokens)
        assert wanted <= found.coverage <= query.coverage
        assert (found.token_ids == query.token_ids)[~unknown].all()
        assert unknown[was_unknown].all()
        assert (found.token_modality == query.token_modality).all()
        assert found.coverage == coverage_of(
            vocabulary, found.token_ids, found.token_modality, found.vectors_modality
        )
        if not any(map(len, query.vectors)):  # these stay
            left.append(found.coverage - wanted)
    assert len(left) > 10
    assert np.mean(left) < 0.05
    whole = veil(queries[0], vocabulary, queries[0].coverage, rng)
    assert (whole.token_ids == queries[0].token_ids).all()


@pytest.mark.slow
def test_each_query_is_asked_as_it_is_and_with_words_replaced(queries, vocabulary):
    found = veiled(queries, vocabulary, 0)
    assert list(found.features[: len(queries)]) == queries
    own, changed = np.split(found.coverage, 2)
    (least,) = found.least  # too few for more than one band
    assert least == min(round(float(np.quantile(own, SHARES[0])), 3), ENOUGH)
    assert (changed <= own).all()
    assert (changed >= np.minimum(least, own)).all()
    assert changed.mean() < own.mean()


def test_many_queries_have_several_bands_and_half_is_enough_to_be_asked(queries, vocabulary):
    known = [replace(query, coverage=0.6 + 0.4 * i / 400) for i in range(400) for query in queries]
    found = veiled(known[: int(FEWEST_IN_BAND / SHARES[1])], vocabulary, 0)
    assert len(found.least) == len(SHARES)
    assert found.least[0] == ENOUGH
    assert found.least == sorted(found.least)


def test_the_less_is_known_the_less_is_promised():
    """Queries find their own topic in proportion to how much of them is known."""
    rng = np.random.default_rng(0)
    count, topics = 200, 20
    gallery = np.eye(topics, dtype=np.float32)[np.arange(2000) % topics]
    own = np.arange(count) % topics
    coverage = np.concatenate([rng.uniform(0.6, 1, count), rng.uniform(0.2, 0.6, count)])
    noise = rng.standard_normal((2 * count, topics)).astype(np.float32)
    query = np.eye(topics, dtype=np.float32)[np.tile(own, 2)]
    query += (1 - coverage[:, None].astype(np.float32)) * noise
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    truth = Truth(
        source="",
        queries=np.arange(count) + len(gallery),
        gallery=np.arange(len(gallery)),
        query_weight=np.ones(count),
        gallery_weight=np.ones(len(gallery)),
        cluster=np.arange(count),
        is_right=lambda places: own[places][:, None] == np.arange(len(gallery)) % topics,
    )
    empty = np.zeros(0, np.int64)
    features = [Features(empty, empty, empty, (), (), {}, float(share)) for share in coverage]
    low, high = curves_by_coverage(truth, Veiled(features, [0.2, 0.6]), query, gallery)
    assert (low.least_coverage, high.least_coverage) == (0.2, 0.6)
    assert low.queries == high.queries == count
    assert low.knots[-1].precision < high.knots[-1].precision
    assert low.strictest.at_least < high.strictest.at_least
