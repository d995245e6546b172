"""Calibration of scores: answers, curves, and what they promise."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import beta

from model_export.contract.calibration import Calibration
from model_export.contract.features import Features
from model_export.contract.pieces import pieces_of
from tests.support.bundles import curve as bundle_curve
from tests.unit.training.helpers import SMALL, TAUGHT, stage_of
from training.calibration import (
    calibrate_content,
    calibrate_embedding,
)
from training.calibration.answers import Answers, find_answers
from training.calibration.coverage import (
    Veiled,
    curves_by_coverage,
)
from training.calibration.curves import FEWEST_PAIRS, curve, lower_bound
from training.calibration.scale import carried_over, score_scale
from training.calibration.truth import Truth, held_out_truth
from training.config import RecipeConfig, TransferPlusConfig
from training.data import Dataset, load_dataset
from training.data.vectors import IdEmbeddings
from training.features.bags import corpus_features
from training.features.vocabulary import build_vocabulary
from training.inference.load import load_checkpoint
from training.models.checkpoint import Checkpoint
from training.preparation.stage import Stage
from training.trainer.fit import Request, fit


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    vectors = rng.standard_normal((rows, 6))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def vectors() -> np.ndarray:
    return unit(np.random.default_rng(0), 50)


def truth(queries: np.ndarray, gallery: np.ndarray, share: float = 1.0) -> Truth:
    """Right = both rows are even or both are odd."""
    return Truth(
        "right = alike",
        queries,
        gallery,
        np.ones(len(queries)),
        np.full(len(gallery), 1 / share),
        np.arange(len(queries)),
        lambda places: (queries[places][:, None] - gallery) % 2 == 0,
    )


def test_all_pairs_from_the_median_of_the_last_wanted_score_on(vectors: np.ndarray):
    queries, gallery = np.arange(9), np.arange(10, 50)
    found = find_answers(truth(queries, gallery), vectors[queries], vectors[gallery], depth=5)
    scores = vectors[queries] @ vectors[gallery].T
    floor = np.median(np.sort(scores, axis=1)[:, -5])
    assert len(found.score) == (scores >= floor).sum()
    assert (np.diff(found.score) <= 0).all()
    for query, score, right in zip(found.query, found.score, found.right, strict=True):
        place = int(np.abs(scores[query] - score).argmin())
        assert scores[query, place] == pytest.approx(score, abs=1e-6)
        assert right == ((queries[query] - gallery[place]) % 2 == 0)
    assert found.base_rate == pytest.approx(0.5)
    assert found.per_query[-1] == pytest.approx(len(found.score) / 9)


def test_nobody_answers_oneself(vectors: np.ndarray):
    everyone = np.arange(50)
    found = find_answers(truth(everyone, everyone), vectors, vectors, depth=49)
    assert len(found.score) <= 50 * 49
    assert found.score[0] < 0.9999
    assert found.base_rate == pytest.approx(24 / 49)


def chance(score: np.ndarray) -> np.ndarray:
    """Of an answer being right: rises with its score from .1 to .95."""
    return 0.1 + 0.85 * score


def drawn(rng: np.random.Generator, queries: int, per_query: int, spread: float) -> Answers:
    """Answers with uniform scores; `spread` says how much those of a query go together."""
    score = rng.random((queries, per_query))
    luck = rng.uniform(-spread, spread, (queries, 1))
    right = rng.random((queries, per_query)) < np.clip(chance(score) + luck, 0, 1)
    return answers(np.repeat(np.arange(queries), per_query), score.ravel(), right.ravel())


def answers(query: np.ndarray, score: np.ndarray, right: np.ndarray, **change) -> Answers:
    order = np.argsort(-score, kind="stable")
    count = int(query.max()) + 1
    given = {
        "weight": np.ones(len(query)),
        "query_weight": np.ones(count),
        "cluster": np.arange(count),
        "base_rate": float(right.mean()),
    } | change
    return Answers(query[order], score[order].astype(np.float32), right[order], **given)


def true_precision(score: float, spread: float = 0.0) -> float:
    """Mean chance of uniform scores from this one on."""
    scores = np.linspace(score, 1, 101)
    luck = np.linspace(-spread, spread, 101)[:, None]
    return float(np.clip(chance(scores) + luck, 0, 1).mean())


@pytest.mark.parametrize(("wanted", "spread"), [(0.8, 0.0), (0.6, 0.3)])
def test_what_is_promised_holds_in_nearly_all_draws(wanted: float, spread: float):
    rng = np.random.default_rng(7)
    kept = promised = 0
    for _ in range(40):
        found = curve(drawn(rng, 100, 20, spread), 1, None)
        knot = None if found is None else found.threshold(wanted)
        promised += knot is not None
        kept += knot is None or true_precision(knot.score, spread) >= wanted
    assert kept >= 37
    assert promised >= 37  # and it is not kept by never promising anything


def test_a_curve_only_falls_and_is_near_the_truth():
    found = curve(drawn(np.random.default_rng(0), 300, 30, 0.0), 2, 3)
    assert found is not None
    assert (found.fewest, found.most, found.queries) == (2, 3, 300)
    for knot in found.knots[3:]:
        assert knot.precision == pytest.approx(true_precision(knot.score), abs=0.05)
        assert knot.at_least < knot.precision
        assert knot.answers == pytest.approx(knot.pairs / 300)
    assert found.knots[-1].pairs == 9000


def test_the_bound_of_independent_answers_is_that_of_clopper_and_pearson():
    query = np.arange(200)
    right = np.arange(200) % 5 > 0
    bound = lower_bound(answers(query, np.ones(200), right), 200)
    assert bound == pytest.approx(float(beta.ppf(0.05, 160, 41)), abs=0.003)


def test_answers_that_go_together_are_less_evidence():
    query = np.repeat(np.arange(20), 10)
    right = np.repeat(np.arange(20) % 5 > 0, 10)  # all or none of a query
    bound = lower_bound(answers(query, np.ones(200), right), 200)
    assert bound == pytest.approx(float(beta.ppf(0.05, 16, 5)), abs=0.03)
    every = lower_bound(answers(query, np.ones(200), np.ones(200, bool)), 200)
    assert every == pytest.approx(0.05 ** (1 / 20), abs=1e-6)
    one = answers(np.zeros(50, np.int64), np.ones(50), np.ones(50, bool))
    assert lower_bound(one, 50) == 0


def test_too_few_pairs_or_no_right_ones_give_no_curve():
    few = FEWEST_PAIRS - 1
    assert curve(answers(np.arange(few), np.ones(few), np.ones(few, bool)), 1, None) is None
    assert curve(answers(np.arange(99), np.ones(99), np.zeros(99, bool)), 1, None) is None


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


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    return stage_of(world, RecipeConfig(**SMALL))


def of(stage: Stage, **change) -> Stage:
    """The same stage without any truth but what is given."""
    nothing = dict.fromkeys(("interactions", "relations", "id_embeddings", "labels", "duplicates"))
    return replace(stage, dataset=replace(stage.dataset, **{**nothing, **change}))


def known(found: Truth | str) -> Truth:
    assert isinstance(found, Truth), found
    return found


def right(found: Truth) -> np.ndarray:
    return found.is_right(np.arange(len(found.queries)))


def test_audiences_come_first(stage: Stage):
    found = known(held_out_truth(stage))
    assert "at least 2 users in common" in found.source
    split, interactions = stage.dataset.split, stage.dataset.interactions
    assert interactions is not None
    assert set(split[found.queries]) == {"val"}
    assert set(split[found.gallery]) == {"train"}
    assert stage.usable[found.queries].all()
    watched = interactions.matrix.toarray() > 0
    assert (watched[np.concatenate([found.queries, found.gallery])].sum(1) >= 2).all()
    shared = watched[found.queries].astype(int) @ watched[found.gallery].astype(int).T
    np.testing.assert_array_equal(right(found), shared >= 2)


def test_then_id_embeddings(stage: Stage):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((len(stage.dataset.ids), 4)).astype(np.float32)
    given = IdEmbeddings(list(stage.dataset.ids), vectors, None, None)
    found = known(held_out_truth(of(stage, id_embeddings=given)))
    assert "ID-embeddings with a cosine of at least" in found.source
    per_query = right(found).sum(1)
    assert 10 < np.median(per_query) < 40  # about the twenty nearest


def test_then_labels(stage: Stage):
    found = known(held_out_truth(of(stage, labels=stage.dataset.labels)))
    assert "right = the same label" in found.source
    labels = np.array(stage.dataset.labels, object)
    np.testing.assert_array_equal(
        right(found), labels[found.queries][:, None] == labels[found.gallery]
    )
    some = [label if row % 2 else None for row, label in enumerate(labels)]
    found = known(held_out_truth(of(stage, labels=some)))
    assert (np.concatenate([found.queries, found.gallery]) % 2 == 1).all()


def test_then_duplicates_which_are_whole_within_a_split(stage: Stage):
    groups = np.arange(len(stage.dataset.ids))
    pair = stage.dataset.rows("val")[stage.usable[stage.dataset.rows("val")]][:2]
    groups[pair] = groups[pair[0]]
    found = known(held_out_truth(of(stage, duplicates=groups)))
    assert "right = known duplicates" in found.source
    assert set(stage.dataset.split[found.gallery]) == {"train", "val"}
    assert right(found)[np.isin(found.queries, pair)].sum() == 4  # the pair, both ways, and oneself


@pytest.mark.parametrize(
    ("split", "message"),
    [("val", "no audiences, ID-embeddings, labels or known dup"), ("", "no validation streamers")],
)
def test_without_any_truth_the_reason_is_told(stage: Stage, split: str, message: str):
    bare = of(stage)
    places = np.where(bare.dataset.split == "val", split or "train", bare.dataset.split)
    found = held_out_truth(replace(bare, dataset=replace(bare.dataset, split=places)))
    assert isinstance(found, str)
    assert found.startswith("none: the training data has ")
    assert message in found


@torch.no_grad()
def test_an_encoder_whose_scores_are_higher_has_higher_thresholds(stage: Stage):
    before = score_scale(stage)
    shifted = replace(stage, encoder=deepcopy(stage.encoder))
    last = shifted.encoder.mlp[-1]
    assert isinstance(last, torch.nn.Linear)
    last.bias.add_(0.2)  # all vectors turn to one side
    after = score_scale(shifted)
    measured = bundle_curve(1, None, (0.6, 0.9, 0.8), (0.3, 0.8, 0.7))
    moved = carried_over(measured, before, after)
    for one, other in zip(measured.knots, moved.knots, strict=True):
        assert other.score > one.score


def test_a_fit_keeps_its_calibration_and_the_exporter_gets_it(fitted_folder: Path, tmp_path: Path):
    checkpoint = Checkpoint.load(fitted_folder)
    stored = Calibration.model_validate(checkpoint.config["calibration"])
    assert load_checkpoint(fitted_folder).calibration == stored
    assert "at least 2 users in common" in stored.embedding.source
    assert "its 95 % bounds are estimates" in stored.embedding.source
    assert stored.embedding.curves[0].knots[0].pairs >= 30
    assert 0 < (stored.embedding.base_rate or 0) < stored.embedding.curves[0].knots[0].precision
    assert 0 < stored.embedding.least_coverage <= 0.5
    assert stored.embedding.by_coverage[0].queries > stored.embedding.curves[0].queries
    assert stored.content.by_coverage == []
    assert "known duplicates" in stored.content.source
    assert stored.content.curves[0].knots[0].precision > 0.3
    old = {name: value for name, value in checkpoint.config.items() if name != "calibration"}
    replace(checkpoint, config=old).save(tmp_path)
    assert load_checkpoint(tmp_path).calibration is None


def test_without_labels_there_is_a_reason_in_place_of_a_calibration(
    tiny_world_folder: Path, tmp_path: Path
):
    bare = replace(load_dataset(tiny_world_folder), labels=None, duplicates=None)
    config = TransferPlusConfig(**TAUGHT, steps=2, evaluate_every=1)
    split = np.where(bare.split == "val", "train", bare.split)
    checkpoint = fit(Request("transfer-plus", config, 1, 1, tmp_path), replace(bare, split=split))
    stored = Calibration.model_validate(Checkpoint.load(tmp_path).config["calibration"])
    assert stored.embedding.curves == stored.content.curves == []
    assert "no validation streamers" in stored.embedding.source
    assert "no known duplicates" in stored.content.source
    assert checkpoint.metrics["validation_step"] == config.steps


def test_test_streamers_play_no_part(stage: Stage):
    dataset = stage.dataset
    assert dataset.interactions is not None
    assert dataset.duplicates is not None
    cold = dataset.rows("test")
    matrix = dataset.interactions.matrix.tolil()
    matrix[cold] = 1
    duplicates = dataset.duplicates.copy()
    duplicates[cold] = duplicates[cold[0]]
    interactions = replace(dataset.interactions, matrix=matrix.tocsr())
    changed = replace(dataset, interactions=interactions, duplicates=duplicates)
    other = replace(stage, dataset=changed)
    assert calibrate_embedding(other) == calibrate_embedding(stage)
    assert calibrate_content(other) == calibrate_content(stage)
