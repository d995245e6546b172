"""Contrastive fine-tuning of a tower on training streamers."""

import math
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
from training.errors import UsageError
from training.losses.info_nce import info_nce
from training.mining.supervised_pairs import NearByBehaviour, near_by_behaviour
from training.models.distributed import Compute
from training.numeric.memory_usage import peak_rss_mib
from training.preparation.leaks import check_known
from training.preparation.stage import sample
from training.progress import Progress
from training.tasks.base import Task, step_generator
from training.towers import Tower
from training.towers.base import frozen
from training.trainer.loop import Settings, train
from training.tuning.items import Items
from training.tuning.pairs import Pairs
from training.tuning.shown import ITEMS, Shown, meaningless, shown_to
from training.tuning.trainable import nothing_masked, trainable
from training.tuning.validation import Validation

_NEIGHBOURS = 20
_WARM_UP = 0.1
"""Warm-up as a share of the steps, which protects pretrained weights."""
_WEIGHT_DECAY, _CLIP_NORM = 0.01, 1.0
_ENCODED = 64
"""Batch size of validation."""


@dataclass(frozen=True)
class Options:
    """Options of a tuning.

    Attributes:
        steps: most training steps.
        batch: pieces per step, two per anchor.
        learning_rate: peak rate of AdamW, after a linear warm-up and before a cosine decay.
        temperature: of the contrastive loss.
        evaluate_every: steps between validations.
        patience: validations without improvement before training stops.
        seed: of all randomness.
    """

    steps: int = 300
    batch: int = 128
    learning_rate: float = 2e-5
    temperature: float = 0.05
    evaluate_every: int = 25
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check all numbers.

        Raises:
            UsageError: a number is out of range.
        """
        least = {"steps": 1, "batch": 4, "evaluate_every": 1, "patience": 1, "seed": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UsageError(f"--{name.replace('_', '-')} must be {value} or more")
        for name, number in (("lr", self.learning_rate), ("temperature", self.temperature)):
            if not 0 < number < math.inf:
                raise UsageError(f"--{name} must be a number above 0")

    def settings(self, metric: str) -> Settings:
        """The training loop's settings."""
        return Settings(
            stage="tune",
            metric=metric,
            seed=self.seed,
            steps=self.steps,
            evaluate_every=self.evaluate_every,
            patience=self.patience,
            learning_rate=self.learning_rate,
            weight_decay=_WEIGHT_DECAY,
            clip_norm=_CLIP_NORM,
            warm_up=_WARM_UP,
            remedy="lower --lr",
        )


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned tower.

    Attributes:
        tower: the original tower.
        module: module with the weights of the best step.
        step: best step; 0 = no improvement on the original weights.
        metric: name of the validation metric.
        history: (step, value) of every validation, from step 0.
        losses: loss of every step.
        learned_from: ids of the training streamers.
        counts: sizes of the training data.
        seconds: duration.
        peak_rss_mib: peak resident memory of the process.
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
    """Tune a copy of a tower's encoder; the given tower is unchanged.

    Args:
        tower: a Hugging Face tower.
        dataset: the tower learns from split `train`, and split `val` chooses the step; other
            streamers are not read.
        options: options of the tuning.
        compute: device; one process only.
        stream: for progress; None = standard error.

    Raises:
        DataError: a picture or sound can't be read; the message names streamer and field.
        DivergedError: the loss is no longer finite.
        LeakError: a held-out streamer would be learned from.
        UsageError: the tower can't be tuned, or too few streamers have content that it reads.
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
    task = TowerTuning(
        module, tower, Pairs(shown, relation, dataset.groups), validation, options, compute
    )
    with nothing_masked(module), Progress("tune", options.steps, stream) as progress:
        trained = train(task, options.settings(validation.metric), None, progress)
    return Tuned(
        tower=tower,
        module=module.cpu(),
        step=trained.step,
        metric=validation.metric,
        history=trained.history,
        losses=task.step_losses,
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
    """Behavioural neighbours; None if behaviour is unknown."""
    if dataset.interactions is None and dataset.relations is None and dataset.id_embeddings is None:
        return None
    relation = near_by_behaviour(dataset, known, _NEIGHBOURS)
    check_known(dataset, relation.rows, ("train",))
    return relation


class TowerTuning(Task):
    """Contrasts pieces of one streamer, and of streamers near by behaviour, by InfoNCE.

    Attributes:
        step_losses: the loss of every step.
    """

    def __init__(
        self,
        module: nn.Module,
        tower: Tower,
        pairs: Pairs,
        validation: Validation,
        options: Options,
        compute: Compute,
    ) -> None:
        self.step_losses: list[float] = []
        self._tuned, self._width, self._compute = module, tower.spec.width, compute
        self._pairs, self._validation, self._options = pairs, validation, options

    @property
    def module(self) -> nn.Module:
        """The tower's module."""
        return self._tuned

    @property
    def compute(self) -> Compute:
        """Device of the tuning; one process."""
        return self._compute

    def losses(self, step: int) -> dict[str, Tensor]:
        """`contrast_loss` of a batch of anchors and their positives."""
        options, items = self._options, self._pairs.items
        rng = step_generator(options.seed, step)
        drawn = self._pairs.draw(options.batch // 2, rng)
        wanted, excluded = self._pairs.masks(drawn)
        views = [items.view(number, rng) for number in drawn.items.tolist()]
        z = self._tuned(*self._batch(items, views))  # (B, W)
        loss = info_nce(z @ z.T, self._place(wanted), self._place(excluded), options.temperature)
        self.step_losses.append(float(loss.detach()))
        return {"contrast_loss": loss}

    def validate(self) -> float:
        """The metric of `Validation` with the vectors of all its pieces."""
        items = self._validation.items
        self._tuned.eval()
        order = sorted(range(len(items)), key=items.size)
        vectors = np.zeros((len(items), self._width), np.float32)
        for start in range(0, len(order), _ENCODED):
            numbers = order[start : start + _ENCODED]
            with torch.inference_mode():
                z = self._tuned(*self._batch(items, [items.prepare(i) for i in numbers]))
            vectors[numbers] = z.cpu().numpy()
        return self._validation.value(vectors)

    def finish(self) -> None:
        """Freeze the tuned module."""
        frozen(self._tuned)

    def _batch(self, items: Items, prepared: Sequence[Prepared]) -> list[Tensor]:
        return [self._place(array) for array in items.batch(prepared).values()]

    def _place(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._compute.device)
