"""What a trained encoder is measured by: duplicates, modalities, robustness, trials, votes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from model_export.contract.pieces import MODALITIES, pieces_of
from model_export.errors import SourceError
from model_export.source import ExportSource
from tests.unit.training.helpers import SMALL, stage_of, without_behaviour
from training.cold_start.vote import Ballot, Vote, edges_of, graph_of, weighed
from training.config import RecipeConfig
from training.data import Dataset
from training.errors import UsageError
from training.evaluation.metrics import pairwise_f1
from training.evaluation.setting import setting_of
from training.evaluation.subject import Representation
from training.inference.duplicate_threshold import (
    DEFAULT_THRESHOLD,
    best_threshold,
    calibrate_duplicates,
    f1_at,
)
from training.inference.load import load_checkpoint
from training.inference.modalities import GROUPS, Alone, each_alone
from training.inference.representation import represent
from training.inference.robustness import Robustness, robustness
from training.inference.trial import load_trial
from training.preparation.stage import Stage
from training.teachers.id_embeddings import Teacher
from training.teachers.label_noise import NoiseEstimate


@pytest.fixture(scope="module")
def source(fitted_folder: Path) -> ExportSource:
    return load_checkpoint(fitted_folder)


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    return stage_of(world, RecipeConfig(**SMALL))


def test_the_threshold_is_the_best_of_all_cuts():
    rng = np.random.default_rng(0)
    cosines = rng.random(200).astype(np.float32)
    is_true = rng.random(200) < cosines**4
    found = best_threshold(cosines, is_true, int(is_true.sum()) + 5)

    def f1(cut: float) -> float:
        hits = int(is_true[cosines >= cut].sum())
        return 2 * hits / (int((cosines >= cut).sum()) + int(is_true.sum()) + 5)

    assert f1(found) == pytest.approx(max(f1(float(cut)) for cut in cosines))
    # The best cut by order alone lies among the four equal ones, of which one is right.
    cosines = np.array([0.9, 0.8, 0.8, 0.8, 0.8, 0.4], np.float32)
    assert best_threshold(cosines, np.arange(6) < 2, 2) == pytest.approx(0.85)


def test_f1_counts_all_pairs_of_the_rows():
    content = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.8]], np.float32)
    groups = np.array([0, 0, 1, 1, 1])
    expected = pairwise_f1(2, 2, 4)  # (0, 1), (2, 3) of these, (2, 4), (3, 4)
    assert f1_at(0.9, np.arange(5), groups, content) == expected
    assert f1_at(0.7, np.arange(5), groups, content) == 1
    assert f1_at(0.9, np.array([0, 1]), groups, content) == 1


def test_copied_accounts_of_a_world_are_found(stage: Stage):
    threshold = calibrate_duplicates(stage)
    assert "known duplicate pairs" in threshold.source
    assert threshold.metrics["duplicate_f1_all"] >= 0.9
    assert 0.3 < threshold.value < 0.95


def test_test_pairs_play_no_part_in_the_threshold(stage: Stage):
    groups = stage.dataset.duplicates
    assert groups is not None
    shuffled = groups.copy()
    cold = stage.dataset.rows("test")
    shuffled[cold] = groups.max() + 1 + np.arange(len(cold))
    other = replace(stage, dataset=replace(stage.dataset, duplicates=shuffled))
    assert calibrate_duplicates(other).value == calibrate_duplicates(stage).value
    unknown = calibrate_duplicates(replace(stage, dataset=replace(stage.dataset, duplicates=None)))
    assert (unknown.value, unknown.metrics) == (DEFAULT_THRESHOLD, {})
    assert "not calibrated" in unknown.source


@pytest.fixture(scope="module")
def measured(world: Dataset, source: ExportSource) -> tuple[dict[str, Alone], float]:
    rows, chance = each_alone(world, source)
    return {row.name: row for row in rows}, chance


def test_everything_together_is_what_evaluate_measures(
    world: Dataset, source: ExportSource, measured: tuple[dict[str, Alone], float]
):
    task = setting_of(world).seen
    assert task is not None
    everything = measured[0]["all"]
    values = task.ndcg(represent(source, world).query)
    # Who shows nothing at all finds nobody but by chance.
    assert everything.metric == pytest.approx(float(values.mean()), abs=0.005)
    assert everything.metric_shown == everything.metric_all


def test_each_that_anybody_shows_is_measured_on_those_who_do(
    world: Dataset, measured: tuple[dict[str, Alone], float]
):
    task = setting_of(world).seen
    assert task is not None
    rows, chance = measured
    profiles = [pieces_of(world.profiles[row]) for row in task.queries.tolist()]
    for name, row in rows.items():
        showing = [any(p.modality in GROUPS[name] for p in pieces) for pieces in profiles]
        assert 0 < row.queries <= sum(showing)
        assert 0 <= row.metric <= 1
    assert {"all", "texts", "labels", "bio", "videos", "covers"} <= set(rows)
    assert not {"sounds", "avatar", "frames"} & set(rows)  # a world without media
    assert rows["all"].metric > 1.2 * chance
    assert {m for group in GROUPS.values() for m in group} == set(MODALITIES)


def test_without_behaviour_nothing_can_be_measured(world: Dataset, source: ExportSource):
    alone = without_behaviour(world)
    with pytest.raises(UsageError, match="no behaviour to measure modalities by"):
        each_alone(alone, source)
    with pytest.raises(UsageError, match="no behaviour to measure robustness by"):
        robustness(alone, source)


@pytest.fixture(scope="module")
def rows(world: Dataset, source: ExportSource) -> list[Robustness]:
    return robustness(world, source, shares=(0, 0.5, 1))


def test_each_modality_that_is_shown_is_corrupted(rows: list[Robustness]):
    done = {(row.modality, row.corruption) for row in rows}
    for modality in ("bio", "tags", "videos", "covers"):
        assert {(modality, name) for name in ("drop", "swap", "boilerplate")} <= done
    assert ("category", "drop") in done
    assert ("category", "boilerplate") not in done
    assert ("avatar", "boilerplate") not in done


def test_without_corruption_nothing_changes(
    world: Dataset, source: ExportSource, rows: list[Robustness]
):
    task = setting_of(world).seen
    assert task is not None
    clean = float(task.ndcg(represent(source, world).query).mean())
    untouched = [row for row in rows if row.share == 0]
    assert untouched
    for row in untouched:
        assert (row.retention, row.overlap) == (1, 1)
        if row.corruption == "boilerplate":
            assert row.queries == len(task.queries)
            assert row.metric == pytest.approx(clean, abs=1e-6)


def test_validation_streamers_search_training_streamers(world: Dataset, world_folder: Path):
    task = setting_of(world, "val").seen
    assert task is not None
    whole = load_trial(world_folder, 10_000)
    split = dict(zip(world.ids, world.split, strict=True))
    assert {split[p.streamer_id] for p in whole.queries} == {"val"}
    assert {split[p.streamer_id] for p in whole.gallery} == {"train"}
    assert len(whole.queries) == len(task.queries)
    assert len(whole.gallery) == len(task.gallery)
    row_of = {name: row for row, name in enumerate(world.ids)}
    place_of = {int(row): place for place, row in enumerate(task.queries)}
    for profile, found in zip(whole.queries, whole.relevant, strict=True):
        wanted = task.gallery[task.relevant[place_of[row_of[profile.streamer_id]]]]
        assert {whole.gallery[i].streamer_id for i in found} == {world.ids[row] for row in wanted}


def test_fewer_are_drawn_and_each_has_somebody_to_find(world_folder: Path):
    small = load_trial(world_folder, 80)
    assert len(small.queries) <= 20
    assert len(small.queries) + len(small.gallery) <= 80
    assert all(len(found) for found in small.relevant)
    assert all(np.all(found < len(small.gallery)) for found in small.relevant)
    again = load_trial(world_folder, 80)
    assert [p.streamer_id for p in again.gallery] == [p.streamer_id for p in small.gallery]


def test_what_can_not_be_judged_by(tmp_path: Path):
    with pytest.raises(SourceError, match="streamers"):
        load_trial(tmp_path, 80)
    (tmp_path / "streamers.jsonl").write_text(
        "\n".join(f'{{"streamer_id": "s{i}", "bio": "a"}}' for i in range(40))
    )
    with pytest.raises(SourceError, match="has no interactions, relations or ID-embeddings"):
        load_trial(tmp_path, 80)


AUDIENCE = sp.csr_matrix(
    np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1]], np.float32)
)


def teacher(audience: sp.csr_matrix | None) -> Teacher:
    vectors = np.array([[1, 0], [1, 0.1], [0.9, 0.2], [0, 1]], np.float32)
    return Teacher("test", np.array([1, 3, 4, 6]), vectors, audience)


def test_edges_join_those_who_share_an_audience_both_ways():
    edges = edges_of(teacher(AUDIENCE)).toarray()
    # 0 and 1 share two users, 0 and 2 too; 1 and 2 share but one, 3 shares none
    assert (edges > 0).tolist() == [
        [False, True, True, False],
        [True, False, False, False],
        [True, False, False, False],
        [False, False, False, False],
    ]
    np.testing.assert_allclose(edges.sum(1), [1, 1, 1, 0], rtol=1e-6)
    assert edges[0, 1] > 0


def test_the_matrices_score_as_the_service_does():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[4] = 0  # established, shows nothing: can be found, can't vote
    rows, edges, vote = np.array([1, 3, 4, 6]), edges_of(teacher(AUDIENCE)), Vote(0.2, 0.5)
    asking = np.array([0, 4, 8])  # 4 shows nothing and doesn't ask
    query, gallery = Ballot.of(Representation.symmetric(vectors), rows, edges, asking).matrices(
        vote
    )
    scores = (query @ gallery.T).toarray()
    graph = graph_of(edges, vote)
    voters = np.array([0, 1, 3])
    for row in (0, 8):
        shares = graph.shares(vectors[rows[voters]] @ vectors[row])
        np.testing.assert_allclose(
            scores[row, rows], graph.count(voters, shares).scores(), rtol=1e-4
        )
        assert scores[row].sum() <= 1 + 1e-5
    assert not scores[[4, 1, 2, 3]].any()


def test_an_edge_counts_as_far_as_both_ends_are_trusted():
    clean = teacher(AUDIENCE)
    trust = np.array([1, 0.5, 0, 1], np.float32)
    noise = replace(NoiseEstimate.blind(clean.directions), trust=trust)
    doubted = replace(clean, noise=noise)
    plain = edges_of(doubted)
    assert weighed(plain, doubted, Vote(trusting=True)) is plain
    counted = weighed(plain, doubted, Vote(trusting=False)).toarray()
    np.testing.assert_allclose(counted[0], plain.toarray()[0] * [1, 0.5, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(counted[1], 0.5 * plain.toarray()[1], rtol=1e-6)
    assert not counted[2].any()
