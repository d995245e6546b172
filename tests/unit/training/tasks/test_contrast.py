import math
from copy import deepcopy
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tests.unit.training.small import SMALL, TAUGHT, make_steps, stage_of
from training.config import ContrastConfig, MaskedViewsConfig, TransferPlusConfig, override
from training.data import Dataset
from training.errors import UsageError
from training.losses.info_nce import info_nce
from training.preparation.stage import Stage
from training.tasks.contrast import Contrast
from training.tasks.masked_views import MaskedViews
from training.tasks.transfer_plus import TransferPlus

CONFIG = MaskedViewsConfig(**SMALL, temperature=0.1)
VARIANTS = get_args(get_type_hints(ContrastConfig)["contrast"])


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    return stage_of(world, CONFIG)


def fresh(stage: Stage) -> Stage:
    """The same stage, its encoder still at the start."""
    return replace(stage, encoder=deepcopy(stage.encoder))


def views(n: int = 6) -> tuple[torch.Tensor, torch.Tensor, np.ndarray[Any, Any]]:
    a, b = torch.randn(2, n, CONFIG.dim, generator=torch.Generator().manual_seed(n))
    return normalize(a, dim=1), normalize(b, dim=1), np.arange(n)


def both_ways(a: torch.Tensor, b: torch.Tensor, excluded: torch.Tensor) -> float:
    wanted, s = torch.eye(len(a)), a @ b.T
    forth, back = (info_nce(x, wanted, e, 0.1) for x, e in ((s, excluded), (s.T, excluded.T)))
    return float(forth + back) / 2


def test_two_views_look_for_each_other_both_ways(stage: Stage):
    a, b, rows = views()
    loss = Contrast(stage, CONFIG).two_views(a, b, rows)
    assert float(loss) == pytest.approx(both_ways(a, b, torch.zeros(6, 6).bool()))
    swapped = Contrast(stage, CONFIG).two_views(b, a, rows)
    assert float(loss) == pytest.approx(float(swapped))


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains(stage: Stage, name: str):
    config = override(CONFIG, [f"contrast={name}", "chunk_size=16"])
    assert isinstance(config, MaskedViewsConfig)
    task = MaskedViews(fresh(stage), config, stage.dataset.rows("val"))
    losses = [each["views_loss"] for each in make_steps(task, 30)]
    assert all(map(math.isfinite, losses))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_transfer_plus(world: Dataset, name: str):
    small = TransferPlusConfig(**TAUGHT)
    config = override(small, [f"contrast={name}", "chunk_size=16"])
    assert isinstance(config, TransferPlusConfig)
    task = TransferPlus(stage_of(world, config), config, None)
    losses = [each["contrast_loss"] for each in make_steps(task, 20)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_an_empty_batch_is_zero_with_a_gradient(stage: Stage):
    a = torch.zeros(0, CONFIG.dim, requires_grad=True)
    for name in VARIANTS:
        contrast = Contrast(stage, override_contrast(name))
        loss = contrast.two_views(a, a, np.zeros(0, np.int64))
        loss.backward()
        assert loss.item() == 0


def override_contrast(name: str) -> ContrastConfig:
    config = override(CONFIG, [f"contrast={name}"])
    assert isinstance(config, ContrastConfig)
    return config


def test_the_mask_leaves_out_negatives_of_near_content(stage: Stage):
    config = replace(override_contrast("false-negative-mask"), false_negative_cosine=0.5)
    contrast = Contrast(stage, config)
    with torch.no_grad():
        content = stage.encoder.eval().fused(stage.bags).numpy() * stage.usable[:, None]
    near = content @ content.T > 0.5
    one = next(i for i in range(len(near)) if near[i].sum() > 1)
    other = next(j for j in range(len(near)) if near[one, j] and j != one)
    rows = np.array([one, other, *np.flatnonzero(~near[one] & ~near[other])[:4]])
    a, b, _ = views()
    excluded = torch.from_numpy(near[rows][:, rows]) & ~torch.eye(6, dtype=torch.bool)
    assert excluded[0, 1]
    assert float(contrast.two_views(a, b, rows)) == pytest.approx(both_ways(a, b, excluded))


def test_known_near_duplicates_are_no_negatives(stage: Stage):
    a, b, rows = views()
    groups = np.arange(len(stage.bags))
    groups[3] = groups[1]
    twins = replace(stage, dataset=replace(stage.dataset, duplicates=groups))
    excluded = torch.zeros(6, 6).bool()
    excluded[1, 3] = excluded[3, 1] = True
    loss = float(Contrast(twins, CONFIG).two_views(a, b, rows))
    assert loss == pytest.approx(both_ways(a, b, excluded))
    unknown = replace(stage, dataset=replace(stage.dataset, duplicates=None))
    assert float(Contrast(unknown, CONFIG).two_views(a, b, rows)) > loss


def test_shorter_widths_are_contrasted_beside_the_full_one(stage: Stage):
    a, b, rows = views()
    config = replace(CONFIG, matryoshka="4,8", matryoshka_weight=0.5)
    nothing = torch.zeros(6, 6).bool()
    expected = both_ways(a, b, nothing)
    for width in (4, 8):
        first, second = (normalize(each[:, :width], dim=1) for each in (a, b))
        expected += 0.5 * both_ways(first, second, nothing)
    assert float(Contrast(stage, config).two_views(a, b, rows)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_a_trained_shorter_width_is_better_than_one_that_was_not(stage: Stage):
    """Of the first 4 numbers, on what they were trained for."""
    losses, few = [], replace(stage, known=stage.known[:80])
    for widths in ("", "4"):
        config = replace(CONFIG, matryoshka=widths, matryoshka_weight=1.0)
        task = MaskedViews(fresh(few), config, None)
        make_steps(task, 40)
        shorter = replace(CONFIG, matryoshka="4", matryoshka_weight=1.0)
        with torch.no_grad():
            task.module.eval()
            both, alone = (
                MaskedViews(replace(task._stage), c, None).losses(1000)["views_loss"]
                for c in (shorter, CONFIG)
            )
        losses.append(float(both - alone))
    assert losses[1] < losses[0] - 0.1


def test_widths_are_those_below_the_full_one():
    config = override(MaskedViewsConfig(), ["matryoshka=32,64,128"])
    assert isinstance(config, MaskedViewsConfig)
    assert config.widths == (32, 64)
    assert replace(config, dim=64).widths == (32,)
    assert MaskedViewsConfig().widths == ()


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("contrast=best", "needs one of info-nce, false-negative-mask"),
        ("chunk_size=-8", "--set chunk_size=-8: must be 0"),
        ("matryoshka=8,4", "--set matryoshka=8,4: needs ascending widths, such as 32,64"),
        ("matryoshka=0", "--set matryoshka=0: needs ascending widths"),
        ("matryoshka=half", "--set matryoshka=half: needs ascending widths"),
        ("matryoshka=8,", "--set matryoshka=8,: needs ascending widths"),
        ("matryoshka_weight=-1", "--set matryoshka_weight=-1: must be 0"),
    ],
)
def test_a_wrong_setting_is_named(assignment: str, problem: str):
    with pytest.raises(UsageError, match=problem):
        override(CONFIG, [assignment])
