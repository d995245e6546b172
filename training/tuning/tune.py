"""Contrastive tuning of a text tower on the texts of training streamers."""

import copy
import math
import sys
import time
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_export.contract.towers import Payload, TowerInputs, inputs_of
from training.compute import Compute
from training.data import Dataset
from training.errors import DivergedError, UsageError
from training.leaks import check_known
from training.losses.info_nce import info_nce
from training.progress import Progress
from training.relations import NearByBehaviour, near_by_behaviour
from training.tasks.base import step_generator
from training.towers import Tower
from training.towers.base import frozen
from training.towers.text import HuggingFaceText
from training.tuning.pairs import Pairs
from training.tuning.texts import Texts, meaningless, texts_of
from training.tuning.validation import Validation
from training.usage import peak_rss_mib

_NEIGHBOURS = 20
_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises; pretrained weights are lost otherwise."""
_WEIGHT_DECAY, _CLIP_NORM = 0.01, 1.0
_ENCODED = 64
"""Texts that validation encodes at a time."""


@dataclass(frozen=True)
class Options:
    """How to tune.

    Attributes:
        steps: at most so many.
        batch: texts per step, two per anchor.
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
        module: its encoder with the weights of the best step.
        step: the best step; 0 = none was better than the weights as they came.
        metric: what validation measures.
        history: (step, value) of every validation, beginning with step 0.
        losses: of every step.
        learned_from: ids of the streamers whose texts were learned from.
        counts: of what there was to learn from.
        seconds: that it took.
        peak_rss_mib: memory that the process took at most.
    """

    tower: Tower
    module: HuggingFaceText
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
        dataset: the texts and the behaviour of its split `train` are learned from, its split `val`
            chooses the step, nobody else is read.
        options: how.
        compute: what on; one process.
        stream: to report progress to; standard error by default.

    Raises:
        DivergedError: the loss is no longer a number.
        LeakError: a held-out streamer would be learned from.
        UsageError: the tower has no weights to train, or nobody writes, or nobody is held out.
    """
    begin = time.monotonic()
    compute = compute or Compute()
    module = _trainable(tower)
    known = dataset.rows("train")
    check_known(dataset, known, ("train",))
    uninformative = meaningless(dataset, known)
    texts = texts_of(dataset, known, tower.spec, uninformative)
    check_known(dataset, texts.rows, ("train",))
    _check_enough(texts, tower, dataset)
    relation = _relation(dataset, known)
    validation = Validation(dataset, known, tower.spec, uninformative, options.seed)
    tuner = _Tuner(module.to(compute.device), tower, texts, Pairs(texts, relation), options)
    with Progress(
        "tune", options.steps, validation.metric, sys.stderr if stream is None else stream
    ) as progress:
        history, step = _run(tuner, validation, options, progress)
    return Tuned(
        tower=tower,
        module=module.cpu(),
        step=step,
        metric=validation.metric,
        history=history,
        losses=tuner.losses,
        learned_from=[dataset.ids[row] for row in texts.rows],
        counts={
            "streamers": len(texts.rows),
            "texts": len(texts.texts),
            "with_behaviour": 0 if relation is None else len(relation.anchors),
            "validation_queries": validation.queries,
        },
        seconds=round(time.monotonic() - begin, 1),
        peak_rss_mib=round(peak_rss_mib(), 1),
    )


def _trainable(tower: Tower) -> HuggingFaceText:
    """A copy of the tower's module, to be trained."""
    if not isinstance(tower.module, HuggingFaceText):
        raise UsageError(
            f"--tower {tower.reference}: its weights come ready for use and can't be trained "
            "further; take hf:FOLDER_OR_NAME, an encoder of Hugging Face's, or all-minilm-l6-v2"
        )
    return copy.deepcopy(tower.module).requires_grad_(True)


def _check_enough(texts: Texts, tower: Tower, dataset: Dataset) -> None:
    if len(texts.rows) < 2:
        raise UsageError(
            f"--tower {tower.reference}: {len(texts.rows)} training streamers of {dataset.folder} "
            f"show a text that it reads ({', '.join(tower.spec.modalities)}); name others with "
            "?modalities=name,bio,tags and ?kinds=text,tag"
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
        self, module: HuggingFaceText, tower: Tower, texts: Texts, pairs: Pairs, options: Options
    ) -> None:
        self.module, self.losses = module, list[float]()
        self._tower, self._texts, self._pairs, self._options = tower, texts, pairs, options
        self._inputs: TowerInputs = inputs_of(tower.spec, tower.tokenizer)
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
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(options.seed * 1_000_003 + step)
            self.module.train()
            z = self.module(*self._batch([self._texts.texts[i] for i in drawn.texts]))  # (B, W)
            loss = info_nce(
                z @ z.T, self._place(wanted), self._place(excluded), options.temperature
            )
            self._optimiser.zero_grad()
            loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), _CLIP_NORM)
        self._optimiser.step()
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of texts (T, W), as they are served."""
        self.module.eval()
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = np.zeros((len(texts), self._tower.spec.width), np.float32)
        for start in range(0, len(order), _ENCODED):
            places = order[start : start + _ENCODED]
            with torch.inference_mode():
                z = self.module(*self._batch([texts[place] for place in places]))
            vectors[places] = z.cpu().numpy()
        return vectors

    def _batch(self, texts: list[str]) -> list[Tensor]:
        prepared = [self._inputs.prepare(Payload("text", text=text)) for text in texts]
        return [self._place(array) for array in self._inputs.batch(prepared).values()]

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
    history = [(0, validation.value(tuner.encode(validation.texts)))]
    progress.checked(*history[0])
    best, best_step, best_value = _weights(module), *history[0]
    for step in range(1, options.steps + 1):
        loss = tuner.step(step - 1)
        if not math.isfinite(loss):
            raise DivergedError(f"training diverged: the loss is {loss} at step {step}; lower --lr")
        progress.stepped(step, {"loss": loss})
        if step % options.evaluate_every and step != options.steps:
            continue
        value = validation.value(tuner.encode(validation.texts))
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
