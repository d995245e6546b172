"""Whether the established vote for the nearest of a baseline."""

from dataclasses import replace

import numpy as np
import pytest

from training.baselines import corpus_of
from training.baselines.voting import choose_baseline_vote
from training.cold_start import vote as module
from training.cold_start.vote import choose_vote, edges_of, sampled
from training.config import BaselineConfig
from training.data import Dataset
from training.evaluation.setting import setting_of
from training.evaluation.subject import Representation


@pytest.mark.slow
def test_votes_are_compared_on_the_queries_that_they_are_chosen_by(
    world: Dataset, monkeypatch: pytest.MonkeyPatch
):
    """Content of half of the queries is as good as behaviour, that of the others says nothing."""
    monkeypatch.setattr(module, "_QUERIES", 2)
    trial = corpus_of(world, "val", 0, BaselineConfig(text_tower=""))
    setting = setting_of(world, "val")
    task = setting.seen
    assert task is not None
    assert world.interactions is not None
    rng = np.random.default_rng(0)
    told, blind = world.interactions.matrix.toarray(), task.queries[::2]
    told[blind] = rng.random((len(blind), told.shape[1]))
    told /= np.linalg.norm(told, axis=1, keepdims=True).clip(1e-9)
    judged = Representation.symmetric(told.astype(np.float32))
    chosen = set[bool]()
    for seed in range(6):
        trial, asked = replace(trial, seed=seed), sampled(task, seed)
        assert trial.teacher is not None
        assert len(asked.queries) == 2
        teacher = trial.teacher
        vote = choose_vote(judged, teacher, edges_of(teacher), asked, seed)
        is_better = vote.value > asked.ndcg(judged.query).mean()
        found = choose_baseline_vote(judged, trial, setting)
        assert (found is not None) == is_better
        chosen.add(is_better)
    assert chosen == {True, False}
