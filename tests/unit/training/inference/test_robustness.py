from dataclasses import replace

import numpy as np
import pytest

from model_export.source import ExportSource
from training.data import Dataset
from training.errors import UsageError
from training.evaluation.setting import setting_of
from training.inference.representation import represent
from training.inference.robustness import Robustness, robustness

pytestmark = pytest.mark.slow


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


def test_the_videos_of_another_move_more_than_a_default_title(rows: list[Robustness]):
    full = {(row.modality, row.corruption): row for row in rows if row.share == 1}
    assert full["videos", "swap"].overlap < full["videos", "boilerplate"].overlap < 1
    for row in rows:
        assert 0 <= row.metric <= 1
        assert 0 <= row.overlap <= 1
        assert row.retention >= 0


def test_it_is_the_same_every_time(world: Dataset, source: ExportSource, rows: list[Robustness]):
    assert robustness(world, source, shares=(0.5,)) == [row for row in rows if row.share == 0.5]


def test_robustness_needs_behaviour(world: Dataset, source: ExportSource):
    alone = replace(world, interactions=None, relations=None, id_embeddings=None)
    with pytest.raises(UsageError, match="no behaviour to measure robustness by"):
        robustness(alone, source)


def test_seeds_choose_others(world: Dataset, source: ExportSource, rows: list[Robustness]):
    other = robustness(world, source, shares=(0.5,), seed=1)
    mine = [row for row in rows if row.share == 0.5]
    assert not np.allclose([row.metric for row in other], [row.metric for row in mine])
