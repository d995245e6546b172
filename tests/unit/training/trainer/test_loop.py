import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unit.training.profiles import pieces, vocabulary
from tests.unit.training.tracking.recorded import lines, steps, story
from training.config import MaskedViewsConfig, RecipeConfig
from training.errors import DivergedError
from training.features.bags import corpus_bags
from training.models.checkpoint import STATE
from training.models.encoder import StreamerEncoder
from training.progress import Progress
from training.tasks.base import Task
from training.tracking import open_tracking
from training.trainer.loop import Journal, Settings, Trained, train

WIDTHS: dict[str, Any] = {"dim": 8, "table_dim": 16, "hidden_dim": 16, "content_dim": 16}
CONFIG = MaskedViewsConfig(**WIDTHS, steps=12, evaluate_every=3, patience=100, learning_rate=1e-2)


class Killed(Exception):
    pass


class WithHead(Task):
    """Predicts random numbers with a head beside the encoder."""

    def __init__(self, killed_at: int | None = None) -> None:
        torch.manual_seed(0)
        words = vocabulary()
        self.encoder = StreamerEncoder(words, CONFIG, None)
        self.head = nn.Linear(CONFIG.dim, 1)
        self.train_with(head=self.head)
        self._bags = corpus_bags(pieces(), words)[0]
        self._target = torch.linspace(-1, 1, len(self._bags))[:, None]
        self._killed_at = killed_at

    def losses(self, step: int) -> dict[str, Tensor]:
        if step == self._killed_at:
            raise Killed
        predicted = self.head(self.encoder.embed(self._bags))
        return {"fit_loss": ((predicted - self._target) ** 2).mean()}

    def validate(self) -> float:
        with torch.no_grad():
            return -float(self.losses(-1)["fit_loss"])


def run(
    task: Task,
    folder: Path,
    chosen: Trained | None = None,
    config: RecipeConfig = CONFIG,
    cold_start: Callable[[], float] | None = None,
) -> Trained:
    folder.mkdir(exist_ok=True)
    journal = Journal(folder, "run", save_every_s=0)
    stage = "select" if chosen is None else "refit"
    settings = Settings.of(config, stage, "fit", 1)
    with (
        Progress(stage, CONFIG.steps) as progress,
        open_tracking((), folder, (folder / STATE).exists(), {}) as tracking,
    ):
        return train(task, settings, journal, progress, chosen, tracking, cold_start)


def test_a_head_is_trained_with_the_encoder(tmp_path: Path):
    task, start = WithHead(), WithHead()
    result = run(task, tmp_path)
    assert result.value > result.history[0][1]
    for name, value in start.module.named_parameters():
        assert name.startswith(("encoder.", "head."))
        if name.endswith(("weight", "bias", "table")):
            assert not torch.equal(task.module.state_dict()[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [4, 11])
@pytest.mark.parametrize("chosen", [None, Trained(12)])
def test_killed_with_a_head_it_goes_on_to_the_same_weights(
    tmp_path: Path, killed_at: int, chosen: Trained | None
):
    with pytest.raises(Killed):
        run(WithHead(killed_at=killed_at), tmp_path / "killed", chosen)
    resumed, whole = WithHead(), WithHead()
    for task, folder in ((resumed, "killed"), (whole, "whole")):
        run(task, tmp_path / folder, chosen)
    states = resumed.module.state_dict(), whole.module.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    told = [story(tmp_path / name) for name in ("killed", "whole")]
    for line in (*told[0], *told[1]):
        del line["value"]  # this task validates with dropout
    assert told[0] == told[1]
    (resumption,) = [e for e in lines(tmp_path / "killed") if e["event"] == "resume"]
    assert resumption["step"] == killed_at  # between two validations


def test_every_validation_is_recorded_with_rate_losses_and_speed(tmp_path: Path):
    config = replace(CONFIG, warm_up=0.5)
    result = run(WithHead(), tmp_path, config=config)
    assert steps(tmp_path, "select") == [0, 3, 6, 9, 12]
    start, first, *others, end = lines(tmp_path)
    assert (start["event"], start["step"], start["value"]) == ("start", 0, None)
    assert (first["losses"], first["learning_rate"], first["steps_per_s"]) == ({}, None, None)
    assert (end["event"], end["step"], end["value"]) == ("end", result.step, result.value)
    history = [(each["step"], each["value"]) for each in (first, *others)]
    assert history == result.history
    assert [each["learning_rate"] for each in others[:2]] == pytest.approx([5e-3, 1e-2])
    assert all(each["steps_per_s"] > 0 and each["losses"]["fit_loss"] > 0 for each in others)
    assert {(each["stage"], each["metric"]) for each in lines(tmp_path)} == {("select", "fit")}


def test_the_rate_rises_in_the_warm_up_and_falls_by_a_cosine():
    settings = Settings.of(replace(CONFIG, warm_up=0.25), "select", "fit", 1)
    rates = [settings.schedule(step) for step in range(13)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))
    assert rates[12] == pytest.approx(0)
    at_once = Settings.of(CONFIG, "select", "fit", 1)
    assert at_once.schedule(0) == 1


class StartsWell(WithHead):
    starts_well = True


class Blind(StartsWell):
    def validate(self) -> float:
        return math.nan


def moved(task: Task) -> float:
    """How far the head is from its weights at the start, which are those of any such task."""
    start = WithHead().head.weight.detach()
    return float((task.module.state_dict()["head.weight"] - start).norm())


@pytest.mark.parametrize("wanted", [1.0, 0.5, 0.25])
def test_an_average_with_the_start_is_chosen_by_all_tasks(tmp_path: Path, wanted: float):
    whole = WithHead()
    run(whole, tmp_path / "whole")
    task = StartsWell()

    def cold_start() -> float:
        return -1000 * abs(moved(task) / moved(whole) - wanted)

    result = run(task, tmp_path / "averaged", cold_start=cold_start)
    assert result.choices == {"trained_share": wanted}
    assert moved(task) == pytest.approx(wanted * moved(whole), rel=1e-4)
    again = StartsWell()
    run(again, tmp_path / "again", Trained(result.step, choices=result.choices))
    assert moved(again) == pytest.approx(moved(task), rel=1e-4)


def test_without_a_measure_or_a_good_start_all_of_the_training_counts(tmp_path: Path):
    task, other = StartsWell(), WithHead()
    assert "trained_share" not in run(task, tmp_path / "unjudged").choices
    result = run(other, tmp_path / "other", cold_start=lambda: -moved(other))
    assert "trained_share" not in result.choices
    assert moved(task) == pytest.approx(moved(other), rel=1e-4)
    result = run(StartsWell(), tmp_path / "unmeasured", cold_start=lambda: math.nan)
    assert result.choices == {"trained_share": 1.0}
    assert "trained_share" not in run(Blind(), tmp_path / "blind", cold_start=lambda: 1.0).choices


@pytest.mark.slow
def test_killed_after_its_best_step_it_chooses_the_same_average(tmp_path: Path):
    moves = []
    for folder, killed_at in (("killed", 11), ("whole", None)):
        if killed_at:
            with pytest.raises(Killed):
                run(StartsWell(killed_at), tmp_path / folder)
        task = StartsWell()
        result = run(task, tmp_path / folder, cold_start=lambda task=task: -1000 * moved(task))
        assert result.choices == {"trained_share": 0.25}
        moves.append(moved(task))
    assert moves[0] == pytest.approx(moves[1], rel=1e-6)


class Worsening(WithHead):
    """Every validation is worse than the one before."""

    def __init__(self, settled_from: int) -> None:
        super().__init__()
        self.settled_from = settled_from
        self.finished: list[dict[str, Tensor]] = []
        self._checks = 0

    def validate(self) -> float:
        self._checks += 1
        return -self._checks

    def finish(self) -> None:
        self.finished.append({k: v.clone() for k, v in self.module.state_dict().items()})


@pytest.mark.parametrize(("settled_from", "last"), [(0, 3), (5, 6), (6, 9), (100, 12)])
def test_training_does_not_give_up_before_what_counts_begins(
    tmp_path: Path, settled_from: int, last: int
):
    impatient = replace(CONFIG, patience=1)
    result = run(Worsening(settled_from), tmp_path, config=impatient)
    assert result.history[-1][0] == last
    assert result.step == 0


def test_a_task_finishes_once_with_the_chosen_weights(tmp_path: Path):
    task, start = Worsening(0), WithHead()
    run(task, tmp_path)
    assert len(task.finished) == 1
    chosen = start.module.state_dict()  # of step 0
    assert all(torch.equal(task.finished[0][name], chosen[name]) for name in chosen)


@pytest.mark.slow
def test_training_that_diverges_ends_with_the_step_and_the_remedy(tmp_path: Path):
    with pytest.raises(DivergedError, match="fit_loss is nan at step 2; lower --set learning"):
        run(WithHead(), tmp_path, config=replace(CONFIG, learning_rate=1e30))
