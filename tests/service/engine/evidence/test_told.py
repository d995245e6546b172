"""What is not asked for is left out of a comparison, and changes nothing of the rest."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import ABSENT, NAMES_OF_CHANNELS, Side
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.engine import Evidence
from service.engine.evidence.list_candidates import NEAREST, list_candidates
from service.engine.work.lanes import run_to_end
from service.features.dedup.edges import compare_list
from training.world import generate


@pytest.fixture(scope="module")
def evidence(bundle: Path) -> Evidence:
    return Evidence(Bundle(bundle))


@pytest.fixture(scope="module")
def sides(evidence: Evidence) -> list[Side]:
    rng = np.random.default_rng(3)
    found: list[Side] = []
    for profile in generate(90, 3, ring_share=0.3).profiles:
        read = StreamerProfile.model_validate_json(json.dumps(profile, ensure_ascii=False))
        vector = rng.standard_normal(8)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        found.append(evidence.side(read, unit))
    return found


@pytest.mark.slow
def test_of_pairs_that_are_not_told_only_those_are_weighed_whole_that_are_the_same(
    evidence: Evidence, sides: list[Side]
) -> None:
    pairs = np.array(list(combinations(range(len(sides)), 2)))
    one, other = pairs[:, 0], pairs[:, 1]
    told = np.random.default_rng(4).random(len(pairs)) < 0.1
    whole = run_to_end(evidence.compare(sides, one, other)).matches
    compared = run_to_end(evidence.compare(sides, one, other, told=told))
    part = compared.matches
    assert whole.joined.any()  # rings were planted
    np.testing.assert_array_equal(part.joined, whole.joined)
    wanted = whole.joined | told
    np.testing.assert_array_equal(part.verdicts[wanted], whole.verdicts[wanted])
    np.testing.assert_allclose(part.weights[wanted], whole.weights[wanted], atol=1e-6)
    has_embedding = compared.levels[:, NAMES_OF_CHANNELS.index("embedding")] != ABSENT
    assert has_embedding[wanted].all()
    assert not has_embedding.all()  # some were left out


@pytest.mark.slow
def test_a_list_gets_the_answer_of_all_pairs_compared_by_all_channels(
    evidence: Evidence, sides: list[Side]
) -> None:
    one, other = run_to_end(list_candidates(sides))
    whole = run_to_end(evidence.compare(sides, one, other)).matches
    edges = run_to_end(compare_list(evidence, sides, np.full(len(sides), -1), ()))
    expected = list(zip(one[whole.joined].tolist(), other[whole.joined].tolist(), strict=True))
    joined = edges.joined
    assert list(zip(edges.one[joined].tolist(), edges.other[joined].tolist(), strict=True)) == (
        expected
    )
    np.testing.assert_allclose(edges.weights[joined], whole.weights[whole.joined], atol=1e-6)
    assert (edges.strongest >= 0).sum() == len({place for pair in expected for place in pair})


def test_each_is_paired_with_its_nearest(sides: list[Side]) -> None:
    vectors = np.stack([side.embedding for side in sides if side.embedding is not None])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    one, other = run_to_end(list_candidates(sides))
    found = set(zip(one.tolist(), other.tolist(), strict=True))
    for place, row in enumerate(cosines):
        for near in np.argsort(-row)[:NEAREST].tolist():
            assert (min(place, near), max(place, near)) in found
