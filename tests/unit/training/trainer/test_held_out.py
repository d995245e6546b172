"""Figures of the test split."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from tests.unit.training.small import SMALL, stage_of
from training.cold_start.vote import Vote
from training.config import RecipeConfig
from training.data import Dataset
from training.evaluation.setting import Setting
from training.preparation.stage import embeddings
from training.trainer.held_out import held_out_metrics


def test_without_a_refit_streamers_of_val_are_not_among_those_learned_from(world: Dataset):
    stage = stage_of(world, RecipeConfig(**SMALL))
    found = held_out_metrics(stage, Vote(), None)
    task = Setting(world, world.rows("test"), world.rows("train")).seen
    assert task is not None
    assert found["test_seen_queries"] == len(task.queries)
    assert found["test_seen_NDCG@20"] == pytest.approx(task.ndcg(embeddings(stage)).mean())


def test_unlearned_relations_are_nobodys_audience(world: Dataset):
    """Everybody is related to everybody of val alone, so no one of train shares an audience."""
    related = np.zeros((len(world.ids), len(world.ids)), np.float32)
    related[:, world.rows("val")] = 1
    given = replace(world, relations=sp.csr_matrix(related))
    assert held_out_metrics(stage_of(given, RecipeConfig(**SMALL)), Vote(), None) == {}
