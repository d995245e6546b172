from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from model_export.contract.pieces import MODALITIES, pieces_of
from model_export.source import ExportSource
from training.data import Dataset
from training.errors import UsageError
from training.evaluation.metrics import ndcg
from training.evaluation.setting import setting_of
from training.evaluation.tasks import ColdStartTask
from training.inference.modalities import GROUPS, Alone, _chance, alone_table, each_alone
from training.inference.representation import represent

pytestmark = pytest.mark.slow


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


def test_chance_is_the_mean_of_random_orders(
    world: Dataset, measured: tuple[dict[str, Alone], float]
):
    task = setting_of(world).seen
    assert task is not None
    rng = np.random.default_rng(3)
    size = len(task.gallery)
    found = [
        ndcg(np.array([rng.permutation(size)[:20] for _ in task.queries]), task.relevant).mean()
        for _ in range(300)
    ]
    assert measured[1] == pytest.approx(float(np.mean(found)), rel=0.05)


def test_chance_in_a_gallery_of_few_is_the_mean_of_all_orders():
    relevant = [np.array([2]), np.array([0, 3]), np.arange(4)]
    orders = [np.tile(order, (3, 1)) for order in permutations(range(4))]
    wanted = np.mean([ndcg(order, relevant) for order in orders], axis=0)
    found = _chance(ColdStartTask(np.arange(4, 7), np.arange(4), relevant))
    np.testing.assert_allclose(found, wanted)


def test_the_table_has_a_line_for_each(measured: tuple[dict[str, Alone], float]):
    rows, chance = measured
    lines = list(alone_table(list(rows.values()), chance))
    assert len(lines) == 2 + len(rows)
    assert lines[1].split()[0] == "all"
    assert lines[-1].split()[0] == "random"


def test_it_needs_behaviour(world: Dataset, source: ExportSource):
    alone = replace(world, interactions=None, relations=None, id_embeddings=None)
    with pytest.raises(UsageError, match="no behaviour to measure modalities by"):
        each_alone(alone, source)
