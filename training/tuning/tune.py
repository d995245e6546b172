"""Contrastive tuning of a tower on what training streamers show."""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_export.contract.towers import Prepared
from training.data import Dataset
from training.errors import DivergedError, UsageError
from training.losses.info_nce import info_nce
from training.mining.supervised_pairs import NearByBehaviour, near_by_behaviour
from training.models.distributed import Compute
from training.numeric.memory_usage import peak_rss_mib
from training.preparation.leaks import check_known
from training.preparation.stage import sample
from training.tasks.base import step_generator
from training.towers import Tower
from training.towers.base import frozen
from training.trainer.progress import Progress
from training.tuning.items import Items
from training.tuning.pairs import Pairs
from training.tuning.shown import ITEMS, Shown, meaningless, shown_to
from training.tuning.trainable import nothing_masked, trainable
from training.tuning.validation import Validation

_NEIGHBOURS = 20
_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises; pretrained weights are lost otherwise."""
_WEIGHT_DECAY, _CLIP_NORM = 0.01, 1.0
_ENCODED = 64
"""Pieces that validation encodes at a time."""


@dataclass(frozen=True)
class Options:
    """How to tune.

    Attributes:
        steps: at most so many.
        batch: pieces per step, two per anchor.
        learning_rate: of AdamW at its highest, after a linear rise and before a cosine's fall.
        temperature: of the contrast.
        evaluate_every: steps between validations.
        patience: validations without a better value before it stops.
        seed: of everything random.
    """

    steps: int = 300
    batch: int = 128
    learning_rate: float = 2e-5
    temperature: float = 0.05
    evaluate_every: int = 25
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """See that every number can be used.

        Raises:
            UsageError: one can't.
        """
        least = {"steps": 1, "batch": 4, "evaluate_every": 1, "patience": 1, "seed": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UsageError(f"--{name.replace('_', '-')} must be {value} or more")
        for name, number in (("lr", self.learning_rate), ("temperature", self.temperature)):
            if not 0 < number < math.inf:
                raise UsageError(f"--{name} must be a number above 0")


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned tower.

    Attributes:
        tower: the one that was given.
        module: the same with the weights of the best step.
        step: the best step; 0 = none was better than the weights as they came.
        metric: what validation measures.
        history: (step, value) of every validation, beginning with step 0.
        losses: of every step.
        learned_from: ids of the streamers that were learned from.
        counts: of what there was to learn from.
        seconds: that it took.
        peak_rss_mib: memory that the process took at most.
    """

    tower: Tower
    module: nn.Module
    step: int
    metric: str
    history: list[tuple[int, float]]
    losses: list[float]
    learned_from: list[str]
    counts: dict[str, int]
    seconds: float
    peak_rss_mib: float


def tune(
    tower: Tower,
    dataset: Dataset,
    options: Options,
    compute: Compute | None = None,
    stream: TextIO | None = None,
) -> Tuned:
    """Tune a copy of a tower's encoder; the tower stays as it is.

    Args:
        tower: of an encoder of Hugging Face's.
        dataset: what the streamers of its split `train` show and their behaviour are learned from,
            its split `val` chooses the step, nobody else is read.
        options: how.
        compute: what on; one process.
        stream: to report progress to; standard error by default.

    Raises:
        DataError: a picture or sound can't be read; names streamer and field.
        DivergedError: the loss is no longer a number.
        LeakError: a held-out streamer would be learned from.
        UsageError: the tower has no weights to train, or nobody shows what it reads, or nobody is
            held out.
    """
    begin = time.monotonic()
    compute = compute or Compute()
    module, kind = trainable(tower), ITEMS[tower.spec.kind]
    known = dataset.rows("train")
    check_known(dataset, known, ("train",))
    uninformative = meaningless(dataset, known)
    learned = known if kind.most_streamers is None else sample(known, kind.most_streamers, 0)
    shown = shown_to(tower, dataset, learned, uninformative, kind.most_of_each, stream)
    check_known(dataset, shown.rows, ("train",))
    _check_enough(shown, tower, dataset)
    relation = _relation(dataset, known)
    validation = Validation(dataset, known, tower, uninformative, options.seed, stream)
    tuner = _Tuner(module.to(compute.device), tower, shown, relation, options)
    with (
        nothing_masked(module),
        Progress(
            "tune", options.steps, validation.metric, sys.stderr if stream is None else stream
        ) as progress,
    ):
        history, step = _run(tuner, validation, options, progress)
    return Tuned(
        tower=tower,
        module=module.cpu(),
        step=step,
        metric=validation.metric,
        history=history,
        losses=tuner.losses,
        learned_from=[dataset.ids[row] for row in shown.rows],
        counts={
            "streamers": len(shown.rows),
            kind.several: len(shown.items),
            "with_behaviour": 0 if relation is None else len(relation.anchors),
            "validation_queries": validation.queries,
        },
        seconds=round(time.monotonic() - begin, 1),
        peak_rss_mib=round(peak_rss_mib(), 1),
    )


def _check_enough(shown: Shown, tower: Tower, dataset: Dataset) -> None:
    if len(shown.rows) < 2:
        more = "; name others with ?modalities=name,bio,tags and ?kinds=text,tag"
        raise UsageError(
            f"--tower {tower.reference}: {len(shown.rows)} training streamers of {dataset.folder} "
            f"show {shown.items.one} that it reads ({', '.join(tower.spec.modalities)})"
            + (more if tower.spec.text is not None else "")
        )


def _relation(dataset: Dataset, known: NDArray[np.int64]) -> NearByBehaviour | None:
    """Who is near by behaviour; None where nothing is known."""
    if dataset.interactions is None and dataset.relations is None and dataset.id_embeddings is None:
        return None
    relation = near_by_behaviour(dataset, known, _NEIGHBOURS)
    check_known(dataset, relation.rows, ("train",))
    return relation


class _Tuner:
    """The module, and a step of its training."""

    def __init__(
        self,
        module: nn.Module,
        tower: Tower,
        shown: Shown,
        relation: NearByBehaviour | None,
        options: Options,
    ) -> None:
        self.module, self.losses = module, list[float]()
        self._width, self._options = tower.spec.width, options
        self._items, self._pairs = shown.items, Pairs(shown, relation)
        self._device = next(module.parameters()).device
        self._optimiser = torch.optim.AdamW(
            module.parameters(), lr=options.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True
        )

    def step(self, step: int) -> float:
        """One step; the loss before it."""
        options = self._options
        rng = step_generator(options.seed, step)
        for group in self._optimiser.param_groups:
            group["lr"] = options.learning_rate * _schedule(step, options.steps)
        drawn = self._pairs.draw(options.batch // 2, rng)
        wanted, excluded = self._pairs.masks(drawn)
        views = [self._items.view(number, rng) for number in drawn.items.tolist()]
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(options.seed * 1_000_003 + step)
            self.module.train()
            z = self.module(*self._batch(self._items, views))  # (B, W)
            loss = info_nce(
                z @ z.T, self._place(wanted), self._place(excluded), options.temperature
            )
            self._optimiser.zero_grad()
            loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), _CLIP_NORM)
        self._optimiser.step()
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    def encode(self, items: Items) -> NDArray[np.float32]:
        """Vectors of pieces (T, W), as they are served."""
        self.module.eval()
        order = sorted(range(len(items)), key=items.size)
        vectors = np.zeros((len(items), self._width), np.float32)
        for start in range(0, len(order), _ENCODED):
            numbers = order[start : start + _ENCODED]
            with torch.inference_mode():
                z = self.module(*self._batch(items, [items.prepare(i) for i in numbers]))
            vectors[numbers] = z.cpu().numpy()
        return vectors

    def _batch(self, items: Items, prepared: Sequence[Prepared]) -> list[Tensor]:
        return [self._place(array) for array in items.batch(prepared).values()]

    def _place(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _run(
    tuner: _Tuner, validation: Validation, options: Options, progress: Progress
) -> tuple[list[tuple[int, float]], int]:
    """Train until validation gets no better; the module ends with the best weights.

    Returns:
        (step, value) of every validation, and the best step.
    """
    module = tuner.module
    history = [(0, validation.value(tuner.encode(validation.items)))]
    progress.checked(*history[0])
    best, best_step, best_value = _weights(module), *history[0]
    for step in range(1, options.steps + 1):
        loss = tuner.step(step - 1)
        if not math.isfinite(loss):
            raise DivergedError(f"training diverged: the loss is {loss} at step {step}; lower --lr")
        progress.stepped(step, {"loss": loss})
        if step % options.evaluate_every and step != options.steps:
            continue
        value = validation.value(tuner.encode(validation.items))
        progress.checked(step, value)
        history.append((step, value))
        if value > best_value:
            best, best_step, best_value = _weights(module), step, value
        elif step - best_step >= options.patience * options.evaluate_every:
            break
    module.load_state_dict(best)
    frozen(module)
    return history, best_step


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _schedule(step: int, steps: int) -> float:
    """Share of the learning rate: a linear rise, then half a cosine."""
    rise = max(round(_WARM_UP * steps), 1)
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2
