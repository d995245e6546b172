"""Training loop with early stopping, resumable since all randomness comes from (seed, step)."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.config import RecipeConfig
from training.errors import CheckpointError, DivergedError
from training.models.checkpoint import STATE, load_state, save_state
from training.progress import Progress
from training.tasks.base import Task
from training.tracking import Entry, Event, Tracker, Tracking
from training.trainer.averaging import TRAINED_SHARE, average, choose_average


@dataclass
class Journal:
    """Storage of the training state of a fit, for resuming.

    Attributes:
        folder: checkpoint folder.
        run: identity of the fit; the state of another fit is refused.
        save_every_s: least seconds between two saves.
        begun: monotonic time at which the fit began, moved back by the seconds of earlier sessions.
    """

    folder: Path
    run: str
    save_every_s: float
    begun: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)

    def restore(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Last saved state of this fit, or None.

        Raises:
            CheckpointError: the folder holds the state of another fit.
        """
        state = load_state(self.folder)
        if state is not None and state[1]["run"] != self.run:
            raise CheckpointError(
                f"{self.folder} holds an unfinished fit with other settings or data; "
                "resume with those, choose another --out, or start over with --overwrite"
            )
        return state

    @property
    def seconds(self) -> float:
        """Seconds that the fit took so far, in all sessions up to what they saved."""
        return time.monotonic() - self.begun

    def discard_other(self) -> None:
        """Remove the state of another fit, or an unreadable one."""
        try:
            self.restore()
        except CheckpointError:
            (self.folder / STATE).unlink()

    def save(
        self, tensors: Callable[[], Mapping[str, Tensor]], progress: Mapping[str, Any]
    ) -> None:
        """Save the state, unless the last save is recent."""
        if time.monotonic() - self._saved_at >= self.save_every_s:
            about = {"run": self.run, "seconds": self.seconds}
            save_state(self.folder, tensors(), {**about, **progress})
            self._saved_at = time.monotonic()


@dataclass
class Trained:
    """Outcome of a stage; the task holds the chosen weights.

    Attributes:
        step: step of the chosen weights.
        value: validation metric at that step; NaN without validation.
        history: (step, value) of every validation.
        choices: `Task.choices` of the chosen weights.
        calibration: calibration of the chosen weights as JSON (see `training.calibration`); kept
            here since a resumed fit does not recompute these weights.
        vote: cold-start vote chosen with them (see `training.cold_start.vote`).
        audience_vote: audience vote chosen with them (see `training.evaluation.audience`); empty
            without audiences.
    """

    step: int = 0
    value: float = math.nan
    history: list[tuple[int, float]] = field(default_factory=list)
    choices: dict[str, float] = field(default_factory=dict)
    calibration: list[dict[str, Any]] = field(default_factory=list)
    vote: dict[str, Any] = field(default_factory=dict)
    audience_vote: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How a stage is trained.

    Attributes:
        stage: name of the stage; a saved state of another stage is not restored.
        metric: name of what validation measures.
        seed: of all randomness.
        steps: most optimiser steps, and the length of the learning-rate schedule.
        evaluate_every: steps between validations.
        patience: validations without improvement before training stops.
        learning_rate: peak rate of AdamW.
        weight_decay: of AdamW.
        clip_norm: largest gradient norm.
        warm_up: share of the steps in which the rate rises linearly, before it falls by a cosine.
        remedy: what to change when the loss diverges.
    """

    stage: str
    metric: str
    seed: int
    steps: int
    evaluate_every: int
    patience: int
    learning_rate: float
    weight_decay: float
    clip_norm: float
    warm_up: float = 0.0
    remedy: str = (
        "lower --set learning_rate, or raise --set temperature where the recipe has a small one"
    )

    @classmethod
    def of(cls, config: RecipeConfig, stage: str, metric: str, seed: int) -> "Settings":
        """The settings of a recipe."""
        names = ("steps", "evaluate_every", "patience", "learning_rate", "weight_decay")
        names += ("clip_norm", "warm_up")
        return cls(stage, metric, seed, **{name: getattr(config, name) for name in names})

    def schedule(self, step: int) -> float:
        """Share of the peak rate at a step: linear warm-up, then half a cosine."""
        rise = max(round(self.warm_up * self.steps), 1) if self.warm_up else 0
        if step < rise:
            return (step + 1) / rise
        fallen = min((step - rise) / max(self.steps - rise, 1), 1)
        return (1 + math.cos(math.pi * fallen)) / 2


def train(
    task: Task,
    settings: Settings,
    journal: Journal | None,
    progress: Progress,
    chosen: Trained | None = None,
    tracking: Tracker | None = None,
    cold_start: Callable[[], float] | None = None,
) -> Trained:
    """Train with early stopping on validation, or for a given number of steps.

    Args:
        task: at its start; ends with the chosen weights.
        settings: of the stage.
        journal: where the state is saved and restored; None = not resumable.
        progress: counts the steps.
        chosen: outcome of the stage that chose the number of steps; None = choose it here.
        tracking: records validations; None = nothing does.
        cold_start: metric of the weights that the task has finished with at a cold start; None = no
            average with the weights at the start is chosen.

    Raises:
        CheckpointError: the folder holds the state of another fit.
        DivergedError: a loss is no longer finite.
    """
    compute, record = task.compute, _Record(settings, tracking or Tracking())
    module = task.module.to(compute.device)
    compute.start_alike(module)
    optimiser = torch.optim.AdamW(
        task.parameter_groups(settings.learning_rate, settings.weight_decay),
        fused=True,  # one pass over the table instead of ten: 4 to 8 times as fast on a CPU
    )
    rates = [group["lr"] for group in optimiser.param_groups]
    last = settings.steps if chosen is None else chosen.step
    result, step, best = Trained(), 0, _weights(task)
    start = best if task.starts_well else None
    saved = None if journal is None else journal.restore()
    compute.wait()  # no process writes before all have read
    if saved is not None and saved[1]["stage"] == settings.stage:
        tensors, state = saved
        step, result = state["step"], Trained(**state["result"])
        best = _restore(task, optimiser, tensors)
        progress.move_to(step)
    record.begin(step)
    if not step and chosen is None:
        result = Trained(0, task.validate())
        result.history.append((0, result.value))
        result.choices = dict(task.choices)
        record.validation(0, result.value)
    while step < last and (chosen is not None or not _gave_up(task, result, step, settings)):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * settings.schedule(step)
        losses = update(task, optimiser, settings.clip_norm, settings.seed, step)
        step += 1
        _check_finite(losses, step, settings)
        progress.move_to(step)
        if step % settings.evaluate_every == 0 or step == last:
            record.pause(step)
            value = math.nan if chosen is not None else task.validate()
            _report(progress, settings, value, losses)
            record.validation(step, value, losses)
            if chosen is None:
                result.history.append((step, value))
                if not value <= result.value:
                    result.step, result.value, best = step, value, _weights(task)
                    result.choices = dict(task.choices)
        if journal is not None and compute.is_first:
            standing = {"stage": settings.stage, "step": step, "result": vars(result)}
            standing["chosen"] = chosen and vars(chosen)
            journal.save(partial(_state, task, optimiser, best), standing)
    if chosen is None:
        module.load_state_dict(best)
        is_measured = result.step > 0 and not math.isnan(result.value)
        if start is not None and cold_start is not None and is_measured:
            result.value, result.choices = choose_average(task, start, best, cold_start)
    else:
        result.step, result.choices = step, chosen.choices
    if start is not None and TRAINED_SHARE in result.choices:
        trained = best if chosen is None else _weights(task)
        module.load_state_dict(average(start, trained, result.choices[TRAINED_SHARE]))
    task.choices = result.choices
    task.finish()
    record.end(result)
    return result


class _Record:
    """Entries of a stage, with the speed of training between them."""

    def __init__(self, settings: Settings, tracking: Tracker) -> None:
        self._settings, self._tracking = settings, tracking
        self._step, self._since, self._speed = 0, 0.0, math.nan

    def begin(self, step: int) -> None:
        """Start a stage, or resume it at a step."""
        self._tracking.go_on(self._settings.stage, step)
        self._write("resume" if step else "start", step)

    def pause(self, step: int) -> None:
        """Training pauses for a validation."""
        seconds = time.perf_counter() - self._since
        self._speed = (step - self._step) / max(seconds, 1e-9)

    def validation(
        self, step: int, value: float, losses: Mapping[str, float] | None = None
    ) -> None:
        """Record a validation; training goes on."""
        share = self._settings.schedule(step - 1) if step else math.nan
        self._write(
            "validation",
            step,
            value=value,
            losses=losses or {},
            learning_rate=share * self._settings.learning_rate,
            steps_per_s=self._speed,
        )

    def end(self, result: Trained) -> None:
        """Record the outcome of the stage."""
        self._write("end", result.step, value=result.value)

    def _write(self, event: Event, step: int, **values: Any) -> None:
        settings = self._settings
        self._tracking.record(Entry(event, settings.stage, step, settings.metric, **values))
        self._step, self._since = step, time.perf_counter()


def _report(
    progress: Progress, settings: Settings, value: float, losses: Mapping[str, float]
) -> None:
    measured = "" if math.isnan(value) else f"{settings.metric} {value:.4f}"
    said = [f"{settings.stage} step {progress.done}", measured]
    lost = "".join(f", {name} {loss:.3f}" for name, loss in losses.items())
    progress.show(measured, ": ".join(part for part in said if part) + lost)


def update(
    task: Task, optimiser: torch.optim.Optimizer, clip_norm: float, seed: int, step: int
) -> dict[str, float]:
    """Make one optimiser step and return the task's losses, measured before it."""
    compute = task.compute
    with torch.random.fork_rng(compute.cuda_devices):
        torch.manual_seed(seed * 1_000_003 + step)
        task.module.train()
        losses = task.losses(step)
        total = torch.stack([v for name, v in losses.items() if name.endswith("_loss")]).sum()
        optimiser.zero_grad()
        total.backward()
    compute.average_gradients(task.module)
    torch.nn.utils.clip_grad_norm_(task.module.parameters(), clip_norm)
    optimiser.step()
    return {name: float(value.detach()) for name, value in losses.items()}


def _check_finite(losses: Mapping[str, float], step: int, settings: Settings) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"training diverged: {name} is {value} at step {step}; {settings.remedy}"
            )


def _gave_up(task: Task, result: Trained, step: int, settings: Settings) -> bool:
    since = max(result.step, task.settled_from)
    return step - since >= settings.patience * settings.evaluate_every


def _weights(task: Task) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in task.module.state_dict().items()}


def _state(
    task: Task, optimiser: torch.optim.Optimizer, best: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    tensors = {f"now.{name}": value for name, value in task.module.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    names = _parameter_names(task, optimiser)
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{key}.{names[index]}": value for key, value in values.items()}
    return tensors


def _parameter_names(task: Task, optimiser: torch.optim.Optimizer) -> list[str]:
    """Names of the parameters in the order of the optimiser's state."""
    names = {id(parameter): name for name, parameter in task.module.named_parameters()}
    return [names[id(each)] for group in optimiser.param_groups for each in group["params"]]


def _restore(
    task: Task, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Restore a saved state; returns the best weights so far."""
    groups: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "optimiser": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        groups[group][rest] = value
    task.module.load_state_dict(groups["now"])
    names = _parameter_names(task, optimiser)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in groups["optimiser"].items():
        key, _, parameter = name.partition(".")
        moments.setdefault(names.index(parameter), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    device = task.compute.device
    return {name: value.to(device) for name, value in groups["best"].items()}
