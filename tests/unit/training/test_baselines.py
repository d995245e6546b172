"""Baselines and published recommenders: what each is and needs, and that none looks ahead."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from model_export.contract.streamer import StreamerProfile
from tests.unit.training.helpers import TAUGHT, without_behaviour
from training.baselines import BASELINES, Corpus, corpus_of, find_baseline
from training.baselines.automatic_tower import (
    TowerChoice,
)
from training.baselines.kernel import kernel
from training.baselines.lexical import bm25
from training.baselines.registry import Baseline
from training.config import BaselineConfig, TransferPlusConfig
from training.data import Dataset, load_dataset
from training.errors import UsageError
from training.evaluation.run import evaluate
from training.evaluation.setting import setting_of
from training.evaluation.subject import Matrix, Representation, scores, shown
from training.trainer.fit import Request

PEERS = ["dropoutnet", "clcrec", "heater", "two-tower", "lightfm"]
NEED_BEHAVIOUR = ["popularity", "ridge", "kernel", "cca", "lexical+ridge", "knn-id", "ridge-id"]
NEED_BEHAVIOUR += PEERS


WITHOUT_TOWER = BaselineConfig(text_tower="")


@pytest.fixture(scope="module")
def corpus(world: Dataset) -> Corpus:
    return corpus_of(world, "test", 0, WITHOUT_TOWER)


@pytest.fixture(scope="module")
def fitted(corpus: Corpus) -> dict[str, Representation]:
    return {name: quick(name).fit(corpus) for name in BASELINES if "text" not in name}


def quick(name: str) -> Baseline:
    """A baseline; a peer, which is trained for each trial, tries two settings in fewer epochs."""
    made = BASELINES[name]
    if name not in PEERS:
        return made
    first, rate, (_, fewer, _) = made.axes
    return replace(made, axes=(first[:2], rate[:1], (fewer,)))


def unit_rows(rows) -> np.ndarray:
    return np.asarray(normalize(rows))


def test_behaviour_beats_words_and_words_beat_chance(
    world: Dataset, fitted: dict[str, Representation]
):
    summary = {name: evaluate(world, each).summary for name, each in fitted.items()}
    for name, each in summary.items():
        by_behaviour = name in ("popularity", "knn-id", "ridge-id")
        assert not by_behaviour or not {"seen", "unseen"} & set(each), name
        assert "cold start" in each, name
    value = {
        name: each.get("seen", each["cold start"])["NDCG@20"] for name, each in summary.items()
    }
    for name in ("tf-idf", "bm25", "svd", *PEERS):
        assert value[name] > 1.5 * value["random"], name
    for name in ("ridge", "kernel", "cca", "lexical+ridge"):
        assert value[name] > value["tf-idf"], name
        assert summary[name]["unseen"]["NDCG@20"] > summary["random"]["unseen"]["NDCG@20"], name
    for name in ("ridge-id", "knn-id"):
        assert value[name] > value["tf-idf"], name


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


def test_bm25_is_the_sum_over_the_query_s_tokens(world: Dataset):
    corpus = corpus_of(world, "test", 0, WITHOUT_TOWER)
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


def test_popularity_is_the_same_for_everyone(world: Dataset, fitted: dict[str, Representation]):
    each = fitted["popularity"]
    assert each.user_scores is not None
    measured = evaluate(world, each)
    values = measured.per_query["audience"]
    np.testing.assert_array_equal(values["NDCG@50"], values["popularity NDCG@50"])


@pytest.mark.parametrize("name", NEED_BEHAVIOUR)
def test_without_behaviour_it_is_told_what_is_missing(world: Dataset, name: str):
    with pytest.raises(UsageError, match=r"has (neither|no) interactions"):
        BASELINES[name].fit(corpus_of(without_behaviour(world), "test", 0, WITHOUT_TOWER))


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
    return corpus_of(replace(world, profiles=profiles), "test", 0, WITHOUT_TOWER)


@pytest.mark.parametrize("name", ["tf-idf", "ridge", "kernel", "cca", "lexical+ridge", "svd"])
def test_profiles_of_vectors_alone_are_enough(of_vectors_alone: Corpus, name: str):
    found = BASELINES[name].fit(of_vectors_alone)
    for side in (found.query, found.gallery):
        assert np.isfinite(scores(side, side)).all()
    value = evaluate(of_vectors_alone.dataset, found).summary.get("seen", {}).get("NDCG@20", 0)
    chance = BASELINES["random"].fit(of_vectors_alone)
    by_chance = evaluate(of_vectors_alone.dataset, chance).summary["seen"]["NDCG@20"]
    assert (value > 1.5 * by_chance) == (name in ("ridge", "kernel", "cca", "lexical+ridge"))


def test_sentences_are_encoded_for_all_who_write(tiny_world_folder: Path):
    tiny = load_dataset(tiny_world_folder)
    found = BASELINES["text"].fit(corpus_of(tiny, "test", 0, WITHOUT_TOWER))
    writes = [bool(p.name or p.bio or p.tags or p.videos or p.lives) for p in tiny.profiles]
    assert shown(found.query)[np.array(writes)].mean() > 0.9
    assert evaluate(tiny, found).summary["seen"]["NDCG@20"] > 0


def test_profiles_of_neither_words_nor_vectors_are_told_of(world: Dataset):
    mute = [StreamerProfile(streamer_id=i) for i in world.ids]
    with pytest.raises(UsageError, match="no words, tags or vectors to learn from"):
        BASELINES["ridge"].fit(corpus_of(replace(world, profiles=mute), "test", 0, WITHOUT_TOWER))


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
    return corpus_of(other, "test", 0, WITHOUT_TOWER)


@pytest.mark.parametrize("name", sorted(name for name in BASELINES if "text" not in name))
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


TRAINED = ["dropoutnet", "clcrec", "heater", "two-tower", "lightfm"]


def made(name: str, corpus: Corpus, epochs: int | None = None) -> Representation:
    """The peer with its default settings, or with other epochs."""
    baseline = BASELINES[name]
    settings = [axis[0] for axis in baseline.axes]
    if epochs is not None:
        settings[-1] = epochs
    return baseline.make(corpus, *settings)


@pytest.fixture(scope="module")
def of(corpus: Corpus) -> Callable[[str], Representation]:
    """With defaults, but for the one that is trained longest."""
    found = {name: made(name, corpus, 20 if name == "dropoutnet" else None) for name in TRAINED}
    return found.__getitem__


def dense(rows: Matrix) -> np.ndarray:
    assert isinstance(rows, np.ndarray)
    return rows


@pytest.mark.parametrize("name", TRAINED)
def test_cold_streamers_are_told_apart_far_better_than_by_chance(
    world: Dataset, corpus: Corpus, of: Callable[[str], Representation], name: str
):
    setting = setting_of(world, "test")
    assert setting.seen is not None
    assert setting.unseen is not None
    chance = made("random", corpus)
    # The unseen gallery is small, so chance finds much in it.
    for task, times in ((setting.seen, 2.0), (setting.unseen, 1.1)):
        found = task.ndcg(of(name).query, of(name).gallery).mean()
        assert found > times * task.ndcg(chance.query).mean()


@pytest.mark.parametrize("name", TRAINED)
def test_one_seed_gives_one_result_and_another_a_different_one(corpus: Corpus, name: str):
    state = torch.get_rng_state()
    first = made(name, corpus, epochs=2)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's draws are changed
    again = made(name, corpus, epochs=2)
    np.testing.assert_array_equal(dense(again.query), dense(first.query))
    other = made(name, replace(corpus, seed=1), epochs=2)
    assert not np.allclose(dense(other.query), dense(again.query), atol=1e-2)


@pytest.mark.parametrize("name", TRAINED)
def test_without_pairs_it_is_told_what_is_missing(world: Dataset, name: str):
    private = corpus_of(world, "test", 0, BaselineConfig(text_tower="", clicks="private"))
    with pytest.raises(UsageError, match=r"no interactions .*clicks=private hides them; use a b"):
        made(name, private)


def test_an_automatic_text_tower_needs_enough_to_decide_by(world: Dataset, tmp_path: Path):
    note, config = io.StringIO(), TransferPlusConfig(**TAUGHT, text_tower="auto")
    request = Request("transfer-plus", config, 0, 1, tmp_path / "out", tower_cache=tmp_path)
    settled = request.settled(world, note)
    choice = settled.tower_choice
    assert choice is not None
    assert (settled.config.text_tower, choice.reference, choice.trials) == ("", "", ())
    assert note.getvalue() == str(choice)
    assert "val has fewer than 50 streamers" in choice.reason
    assert TowerChoice.of(json.loads(json.dumps(asdict(choice)))) == choice
    asked = replace(request, config=replace(config, text_tower="all-minilm-l6-v2"))
    assert asked.settled(world) is asked
