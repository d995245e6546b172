import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tests.training.small import SMALL, TAUGHT, make_steps, stage_of
from training.config import ContrastConfig, MaskedViewsConfig, TransferPlusConfig, override
from training.data import Dataset
from training.errors import UsageError
from training.losses.info_nce import info_nce
from training.preparation.stage import Stage
from training.progress import Progress
from training.tasks.contrast import Contrast
from training.tasks.masked_views import MaskedViews
from training.tasks.transfer_plus import TransferPlus
from training.teachers.id_embeddings import audience_of
from training.trainer.loop import Journal, Settings, train

CONFIG = MaskedViewsConfig(**SMALL, temperature=0.1)
VARIANTS = get_args(get_type_hints(ContrastConfig)["contrast"])


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    return stage_of(world, CONFIG)


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
def test_every_variant_trains(world: Dataset, stage: Stage, name: str):
    config = override(CONFIG, [f"contrast={name}", "memory=40", "chunk_size=16"])
    assert isinstance(config, MaskedViewsConfig)
    task = MaskedViews(stage_of(world, config), config, world.rows("val"))
    before = {n: p.detach().clone() for n, p in task.module.named_parameters()}
    losses = [each["views_loss"] for each in make_steps(task, 30)]
    assert all(map(math.isfinite, losses))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    learned = {n for n, p in task.module.named_parameters() if not torch.equal(p, before[n])}
    assert ("contrast.bias" in learned) == (name == "siglip")


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_transfer_plus(world: Dataset, name: str):
    small = TransferPlusConfig(**TAUGHT)
    config = override(small, [f"contrast={name}", "memory=40", "chunk_size=16"])
    assert isinstance(config, TransferPlusConfig)
    task = TransferPlus(stage_of(world, config), config, None)
    losses = [each["contrast_loss"] for each in make_steps(task, 20)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_those_of_past_batches_who_share_an_audience_are_no_negatives(
    world: Dataset, monkeypatch: pytest.MonkeyPatch
):
    """As those of the same batch."""
    small = TransferPlusConfig(**TAUGHT)
    config = override(small, ["memory=60", "hard_negatives=0"])
    assert isinstance(config, TransferPlusConfig)
    task = TransferPlus(stage_of(world, config), config, None)
    seen: list[tuple[np.ndarray, torch.Tensor, torch.Tensor]] = []
    among = Contrast.among

    def watched(self: Contrast, z: torch.Tensor, rows: np.ndarray, *pairs: torch.Tensor):
        past = self.remembered()
        seen.append((rows, torch.from_numpy(past), pairs[1]))
        return among(self, z, rows, *pairs)

    monkeypatch.setattr(Contrast, "among", watched)
    for step in (0, 1):
        task.losses(step)
    audience = audience_of(world, np.arange(len(world.ids)))
    assert audience is not None
    (rows, past, excluded) = seen[1]
    assert len(past) > 0
    shared = (audience[rows] @ audience[past.numpy()].T).toarray() >= 2
    assert shared.any()
    assert not shared.all()
    assert excluded[:, len(rows) :].numpy()[shared].all()
    assert not excluded[:, len(rows) :].all()


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


def test_past_keys_are_negatives_of_all_but_their_own_streamer(stage: Stage):
    a, b, rows = views()
    contrast = Contrast(stage, replace(CONFIG, memory=10))
    past, past_rows = normalize(torch.randn(3, CONFIG.dim), dim=1), np.array([2, 70, 71])
    contrast.remember(past, past_rows)
    expected = 0.0
    for x, y in ((a, b), (b, a)):
        cosines = torch.cat([x @ y.T, x @ past.T], 1)
        excluded = torch.from_numpy(rows[:, None] == np.concatenate([[-1] * 6, past_rows])[None])
        expected += float(info_nce(cosines, torch.eye(6, 9), excluded, 0.1)) / 2
    assert float(contrast.two_views(a, b, rows)) == pytest.approx(expected)
    assert contrast.memory is not None
    assert sorted(contrast.memory.held()[1].tolist()) == [0, 1, 2, 2, 3, 4, 5, 70, 71]


def test_shorter_widths_are_contrasted_beside_the_full_one(stage: Stage):
    a, b, rows = views()
    config = replace(CONFIG, matryoshka="4,8", matryoshka_weight=0.5)
    nothing = torch.zeros(6, 6).bool()
    expected = both_ways(a, b, nothing)
    for width in (4, 8):
        first, second = (normalize(each[:, :width], dim=1) for each in (a, b))
        expected += 0.5 * both_ways(first, second, nothing)
    assert float(Contrast(stage, config).two_views(a, b, rows)) == pytest.approx(expected, rel=1e-4)


def test_shorter_widths_have_past_keys_as_negatives_too(stage: Stage):
    a, b, rows = views()
    contrast = Contrast(stage, replace(CONFIG, memory=10, matryoshka="4", matryoshka_weight=1.0))
    past = normalize(torch.randn(3, CONFIG.dim), dim=1)
    contrast.remember(past, np.array([70, 71, 72]))
    expected = 0.0
    for x, y in ((a, b), (b, a)):
        for width in (4, CONFIG.dim):
            asking, asked = (normalize(t[:, :width], dim=1) for t in (x, torch.cat([y, past])))
            wanted, nothing = torch.eye(6, 9), torch.zeros(6, 9).bool()
            expected += float(info_nce(asking @ asked.T, wanted, nothing, 0.1)) / 2
    assert float(contrast.two_views(a, b, rows)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_a_trained_shorter_width_is_better_than_one_that_was_not(world: Dataset):
    """Of the first 4 numbers, on what they were trained for."""
    losses = []
    for widths in ("", "4"):
        config = replace(CONFIG, matryoshka=widths, matryoshka_weight=1.0)
        task = MaskedViews(stage_of(world, config), config, None)
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


def test_nothing_is_remembered_outside_of_training(stage: Stage):
    contrast = Contrast(stage, replace(CONFIG, memory=10)).eval()
    contrast.two_views(*views())
    assert contrast.memory is not None
    assert len(contrast.memory.held()[1]) == 0


class Killed(Exception):
    pass


class KilledAt(MaskedViews):
    step: int | None = None

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        if step == self.step:
            raise Killed
        return super().losses(step)


@pytest.mark.slow
def test_memory_and_learned_bias_go_on_where_a_killed_fit_stopped(world: Dataset, tmp_path: Path):
    changes = ["contrast=siglip", "memory=50", "steps=9", "evaluate_every=2", "chunk_size=8"]
    config = override(CONFIG, changes)
    assert isinstance(config, MaskedViewsConfig)
    states = []
    for killed_at in (5, None, None):
        fresh = stage_of(world, config)
        task = KilledAt(fresh, config, None)
        task.step = killed_at
        journal = Journal(tmp_path / ("killed" if len(states) < 2 else "whole"), "run", 0)
        with Progress("s", 9) as bar, pytest.raises(Killed) if killed_at else nullcontext():
            train(task, Settings.of(config, "select", "MRR", 0), journal, bar)
        states.append(task.module.state_dict())
    _, resumed, whole = states
    assert {"contrast.memory.vectors", "contrast.memory.rows", "contrast.bias"} <= set(whole)
    assert (whole["contrast.memory.rows"] >= 0).all()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_widths_are_those_below_the_full_one():
    config = override(MaskedViewsConfig(), ["matryoshka=32,64,128"])
    assert isinstance(config, MaskedViewsConfig)
    assert config.widths == (32, 64)
    assert replace(config, dim=64).widths == (32,)
    assert MaskedViewsConfig().widths == ()


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        (
            "contrast=best",
            "needs one of info-nce, decoupled, siglip, debiased, entmax, false-negative-mask",
        ),
        ("memory=-1", "--set memory=-1: must be 0"),
        ("chunk_size=-8", "--set chunk_size=-8: must be 0"),
        ("matryoshka=8,4", "--set matryoshka=8,4: needs ascending widths, such as 32,64"),
        ("matryoshka=0", "--set matryoshka=0: needs ascending widths"),
        ("matryoshka=half", "--set matryoshka=half: needs ascending widths"),
        ("matryoshka=8,", "--set matryoshka=8,: needs ascending widths"),
        ("matryoshka_weight=-1", "--set matryoshka_weight=-1: must be 0"),
        ("positive_prior=1", r"--set positive_prior=1: must be in \[0, 1\)"),
    ],
)
def test_a_wrong_setting_is_named(assignment: str, problem: str):
    with pytest.raises(UsageError, match=problem):
        override(CONFIG, [assignment])
