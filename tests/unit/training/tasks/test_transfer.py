from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from model_export.contract.pieces import Piece
from tests.unit.training.small import TAUGHT, make_steps, stage_of
from training.config import TransferConfig
from training.data import Dataset
from training.errors import DataError, UsageError
from training.preparation.stage import Stage
from training.progress import Progress
from training.tasks.masked_views import MaskedViews
from training.tasks.transfer import Transfer
from training.trainer.loop import Journal, Settings, Trained, train

CONFIG = TransferConfig(**TAUGHT, pretrain_steps=0)
FILTERS = ("edit-distance", "similarity", "tags")


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    return stage_of(world, CONFIG)


def fresh(stage: Stage) -> Stage:
    """The same stage, its encoder still at the start."""
    return replace(stage, encoder=deepcopy(stage.encoder))


def build(stage: Stage, config: TransferConfig = CONFIG) -> Transfer:
    return Transfer(fresh(stage), config, None)


def kept(task: Transfer) -> np.ndarray:
    """The weights of the neighbours (N, K)."""
    return task.pairs.strength


def test_without_a_filter_all_neighbours_in_the_id_space_are_positives(stage: Stage):
    task = build(stage, replace(CONFIG, filter="none", neighbours=5))
    assert kept(task).shape[1] == 5
    assert (kept(task) == 1).all()


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_keeps_a_part(stage: Stage, name: Any):
    assert 0.02 < kept(build(stage, replace(CONFIG, filter=name))).mean() < 0.9


def test_the_random_filter_keeps_as_many_as_the_similar(stage: Stage):
    tasks = [build(stage, replace(CONFIG, filter=name)) for name in ("similarity", "random")]
    np.testing.assert_array_equal(tasks[0].pairs.near, tasks[1].pairs.near)
    similar, control = map(kept, tasks)
    # Differences of running float32 sums: equal weights differ in the last bits.
    np.testing.assert_allclose(np.sort(similar, axis=None), np.sort(control, axis=None), atol=1e-5)
    assert not np.allclose(similar, control, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_never_sees_a_cold_streamer(stage: Stage, name: Any):
    """Whoever looked at their pieces would fail."""
    config = replace(CONFIG, filter=name, pretrain_steps=1)
    known = set(stage.known.tolist())
    none = cast("list[Piece]", None)
    pieces = [each if row in known else none for row, each in enumerate(stage.pieces)]
    task = build(replace(stage, pieces=pieces), config)
    assert set(task.rows.tolist()) <= known
    assert task.pairs.near.max() < len(task.rows)


@pytest.mark.parametrize("form", ["hard", "soft"])
def test_anchors_and_positives_are_drawn_by_weight(stage: Stage, form: Any):
    task = build(stage, replace(CONFIG, filter_form=form))
    weights = kept(task)
    for step in range(5):
        drawn = task.draw(np.random.default_rng(step))
        anchors, positives = np.split(drawn, 2)
        assert len(set(anchors)) == len(anchors) == 32
        for anchor, positive in zip(anchors, positives, strict=True):
            assert weights[anchor][task.pairs.near[anchor] == positive] > 0


def test_the_start_is_that_of_masked_views(stage: Stage):
    stage = replace(stage, known=stage.known[:80])
    task = build(stage, replace(CONFIG, pretrain_steps=2))
    assert task.settled_from == 2
    assert [set(task.losses(step)) for step in (0, 1, 2)] == [
        {"views_loss", "overlap"},
        {"views_loss", "overlap"},
        {"pairs_loss"},
    ]
    alone = MaskedViews(fresh(stage), CONFIG, None)
    with torch.no_grad():
        task.encoder.eval()
        alone.encoder.eval()
        assert torch.equal(task.losses(1)["views_loss"], alone.losses(1)["views_loss"])


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [2, 6])
def test_killed_in_either_phase_it_goes_on_to_the_same_weights(
    stage: Stage, tmp_path: Path, killed_at: int
):
    config = replace(CONFIG, pretrain_steps=4, steps=8, evaluate_every=2)
    few = replace(stage, known=stage.known[:80])

    class Dying(Transfer):
        def losses(self, step: int):
            if step == killed_at:
                raise Killed
            return super().losses(step)

    def run(task: Transfer, folder: str) -> Trained:
        journal = Journal(tmp_path / folder, "run", save_every_s=0)
        with Progress("select", config.steps) as progress:
            return train(task, Settings.of(config, "select", "NDCG@20", 0), journal, progress)

    with pytest.raises(Killed):
        run(Dying(fresh(few), config, None), "killed")
    resumed, whole = build(few, config), build(few, config)
    assert run(resumed, "killed").step == run(whole, "whole").step == 8
    states = resumed.module.state_dict(), whole.module.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


@pytest.mark.slow
def test_pairs_come_nearer_while_others_go_apart(stage: Stage):
    task = build(stage)
    losses = [each["pairs_loss"] for each in make_steps(task, 40)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_a_filter_that_drops_all_is_named_with_the_remedy(stage: Stage):
    own = [[Piece("tags", "tag", "tags[0]", name)] for name in stage.dataset.ids]
    with pytest.raises(DataError, match=r"'tags' drops all neighbours .* lower --set filter_quan"):
        build(replace(stage, pieces=own), replace(CONFIG, filter="tags"))


def test_streamers_of_one_piece_need_no_start(stage: Stage):
    single = replace(stage, pieces=[each[:1] for each in stage.pieces])
    with pytest.raises(
        DataError, match="two pieces; skip the pretraining with --set pretrain_steps=0"
    ):
        build(single, replace(CONFIG, pretrain_steps=5))
    assert len(build(single).pairs.anchors)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"filter_quantile": 1.1}, r"filter_quantile=1.1: must be in \[0, 1\]"),
        ({"pretrain_steps": -1}, "pretrain_steps=-1: must be 0 or more"),
        ({"neighbours": 0}, "neighbours=0: must be 1 or more"),
        ({"chunk_size": -1}, "chunk_size=-1"),
    ],
)
def test_a_setting_that_is_none_is_named(changes: dict[str, Any], problem: str):
    with pytest.raises(UsageError, match=problem):
        TransferConfig(**changes)
