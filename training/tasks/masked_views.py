"""`masked-views`: two masked views of a streamer find each other; no behaviour is needed."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.bags import Bags, corpus_bags
from training.config import MaskedViewsConfig
from training.errors import DataError
from training.evaluation.metrics import reciprocal_rank
from training.losses.info_nce import symmetric_info_nce
from training.stage import Stage, all_rows
from training.tasks.base import Task, step_generator
from training.views import Atom, ViewMaker, overlap

_HELD_OUT_SEED = 7


class MaskedViews(Task):
    """Symmetric InfoNCE over bounded-overlap views, without names and ids."""

    def __init__(
        self, stage: Stage, config: MaskedViewsConfig, held_out: NDArray[np.int64] | None
    ) -> None:
        """Cut the streamers into atoms.

        Args:
            stage: of the fit.
            config: of the recipe.
            held_out: rows of streamers to watch; None when nothing is held out.

        Raises:
            DataError: fewer than two streamers can be cut into two views.
        """
        self.encoder = stage.encoder
        self._stage, self._config = stage, config
        self._maker = ViewMaker(stage.vocabulary, config.overlap, config.group_modality)
        self._training = _Cut(stage, self._maker, stage.known)
        if len(self._training.atoms) < 2:
            raise DataError(f"{stage.dataset.folder} has fewer than two streamers with two pieces")
        self._held_out = None
        if held_out is not None:
            cut = _Cut(stage, self._maker, held_out)
            everyone = np.arange(len(cut.atoms))
            self._held_out = cut.views(everyone, np.random.default_rng(_HELD_OUT_SEED))[:2]

    def losses(self, step: int) -> dict[str, Tensor]:
        """`views_loss`, and the mean `overlap` that the views really had."""
        rng = step_generator(self._stage.seed, step)
        count = min(self._config.batch_size // 2, len(self._training.atoms))
        drawn = rng.choice(len(self._training.atoms), count, replace=False)
        first, second, overlaps = self._training.views(drawn, rng)
        a, b = self.encoder.embed(first), self.encoder.embed(second)  # (B, D) each
        return {
            "views_loss": symmetric_info_nce(a, b, self._config.temperature),
            "overlap": torch.tensor(np.mean(overlaps or [0.0])),
        }

    def validate(self) -> float:
        """Mean reciprocal rank of a held-out streamer's second view, searched by its first."""
        if self._held_out is None or not len(self._held_out[0]):
            return math.nan
        first, second = (
            all_rows(self.encoder, self.encoder.embed, view, np.ones(len(view), bool))
            for view in self._held_out
        )
        return float(reciprocal_rank(first, second).mean())


class _Cut:
    """Streamers cut into atoms; those with less than two are left out."""

    def __init__(self, stage: Stage, maker: ViewMaker, rows: NDArray[np.int64]) -> None:
        self._maker = maker
        atoms = (maker.atoms(stage.pieces[row]) for row in rows)
        self.atoms: list[list[Atom]] = [each for each in atoms if len(each) > 1]
        self._first = np.cumsum([0, *map(len, self.atoms)])  # row of each streamer's first atom
        pieces = [atom.pieces for each in self.atoms for atom in each]
        self._bags, _ = corpus_bags(pieces, stage.vocabulary)

    def views(
        self, drawn: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Bags, Bags, list[float]]:
        """Both views of every drawn streamer with two sides of fair weight, and their overlaps."""
        sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        overlaps: list[float] = []
        for streamer in drawn:
            views = self._maker.draw(self.atoms[streamer], rng)
            if views is None:
                continue
            overlaps.append(overlap(self.atoms[streamer], *views))
            for side, places in zip(sides, views, strict=True):
                side.append([int(self._first[streamer]) + place for place in places])
        return self._view(sides[0]), self._view(sides[1]), overlaps

    def _view(self, rows: Sequence[Sequence[int]]) -> Bags:
        group = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        flat = np.array([row for each in rows for row in each], np.int64)
        return self._bags.take(flat).merge(group.astype(np.int64), len(rows))
