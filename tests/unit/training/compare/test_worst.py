"""Worst cases: the right queries, true ranks, and text that a page can bear."""

from dataclasses import replace

import numpy as np
import pytest

from training.compare.worst import CASES, readable, worst_cases
from training.data import Dataset
from training.evaluation.run import evaluate
from training.evaluation.setting import setting_of
from training.evaluation.subject import Representation


@pytest.fixture(scope="module")
def vectors(world: Dataset) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(len(world.ids), 8)).astype(np.float32)
    vectors[world.rows("test")[:3]] = 0
    return vectors


@pytest.mark.slow
def test_the_worst_that_ask_at_all_are_shown_with_true_ranks(world: Dataset, vectors: np.ndarray):
    representation = Representation.symmetric(vectors)
    evaluation = evaluate(world, representation)
    found = worst_cases(world, representation, evaluation, "test")
    assert found is not None
    task = setting_of(world).seen
    assert task is not None
    values = evaluation.per_query["seen"]["NDCG@20"]
    asks = vectors[task.queries].any(1)
    assert found.nothing_to_ask == (~asks).sum()
    assert found.nothing_to_ask > 0
    assert found.missed == (values[asks] == 0).sum()
    assert (found.gallery, found.queries) == (len(task.gallery), len(task.queries))
    assert [case.score for case in found.cases] == sorted(values[asks])[:CASES]
    for case in found.cases:
        query = world.ids.index(case.query.id)
        scores = {world.ids[row]: float(vectors[query] @ vectors[row]) for row in task.gallery}
        order = sorted(scores, key=lambda name: -scores[name])
        assert [hit.profile.id for hit in case.found] == order[:5]
        relevant = task.relevant[task.queries.tolist().index(query)]
        wanted = [world.ids[task.gallery[place]] for place in relevant]
        assert [hit.profile.id for hit in case.wanted] == wanted[:5]
        assert case.relevant == len(wanted)
        for hit in (*case.found, *case.wanted):
            assert hit.rank == order.index(hit.profile.id) + 1
            assert hit.wanted == (hit.profile.id in wanted)


def test_without_truth_there_are_none(world: Dataset, vectors: np.ndarray):
    representation = Representation.symmetric(vectors)
    evaluation = evaluate(world, representation)
    alone = replace(world, interactions=None, relations=None, id_embeddings=None)
    assert worst_cases(alone, representation, evaluation, "test") is None


def test_profiles_are_cut_to_what_can_be_read(world: Dataset, vectors: np.ndarray):
    long = [
        profile.model_copy(
            update={"bio": "word " * 500, "tags": [f"{i} " + "t" * 90 for i in range(40)] * 2}
        )
        for profile in world.profiles
    ]
    dataset = replace(world, profiles=long)
    representation = Representation.symmetric(vectors)
    found = worst_cases(dataset, representation, evaluate(world, representation), "test")
    assert found is not None
    query = found.cases[0].query
    assert len(query.bio) <= 220
    assert query.bio.endswith("…")
    assert len(query.tags) + query.more_tags == 40  # each once
    assert max(map(len, query.tags)) <= 40


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("one\n\t two\u2028three", "one two three"),
        ("evil \u202egnp.exe\u2066", "evil gnp.exe"),
        ("👩\u200d🎤 歌い手", "👩\u200d🎤 歌い手"),
        ("\ud800 half", "half"),
        ("a" * 500, "a" * 219 + "…"),
        ("", ""),
    ],
)
def test_text_is_one_line_without_control_characters(text: str, expected: str):
    assert readable(text) == expected
