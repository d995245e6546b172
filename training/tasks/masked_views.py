"""`masked-views`: two masked views of a streamer find each other; no behaviour is needed."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from model_export.contract.features import Featurizer
from training.bags import Bags, bags_of
from training.config import MaskedViewsConfig
from training.evaluate import reciprocal_rank
from training.losses.info_nce import symmetric_info_nce
from training.stage import Stage, all_rows
from training.tasks.base import Task, step_generator
from training.views import Atom, ViewMaker

_HELD_OUT_SEED = 7


class MaskedViews(Task):
    """Symmetric InfoNCE over bounded-overlap views, without names and ids."""

    def __init__(
        self, stage: Stage, config: MaskedViewsConfig, held_out: Sequence[int] | None
    ) -> None:
        """Cut every training streamer into atoms.

        Args:
            stage: of the fit.
            config: of the recipe.
            held_out: rows of streamers to watch; None when nothing is held out.
        """
        self.encoder = stage.encoder
        self._stage, self._config = stage, config
        self._maker = ViewMaker(stage.vocabulary, config.overlap, config.group_modality)
        self._featurizer = Featurizer(stage.vocabulary)
        self._atoms = [self._maker.atoms(stage.pieces[row]) for row in stage.known]
        self._atoms = [atoms for atoms in self._atoms if len(atoms) > 1]
        self._held_out = None
        if held_out is not None:
            rng = np.random.default_rng(_HELD_OUT_SEED)
            self._held_out = self._views(
                [self._maker.atoms(stage.pieces[r]) for r in held_out], rng
            )

    def losses(self, step: int) -> dict[str, Tensor]:
        """`views_loss`."""
        rng = step_generator(self._stage.seed, step)
        count = min(self._config.batch_size // 2, len(self._atoms))
        drawn = rng.choice(len(self._atoms), count, replace=False)
        first, second = self._views([self._atoms[i] for i in drawn], rng)
        a, b = self.encoder.embed(first), self.encoder.embed(second)  # (B, D) each
        return {"views_loss": symmetric_info_nce(a, b, self._config.temperature)}

    def validate(self) -> float:
        """Mean reciprocal rank of a held-out streamer's second view, searched by its first."""
        if self._held_out is None:
            raise ValueError("nothing is held out of this stage")
        first, second = (
            all_rows(self.encoder, self.encoder.embed, view, np.ones(len(view), bool))
            for view in self._held_out
        )
        return float(reciprocal_rank(first, second).mean())

    def _views(
        self, streamers: Sequence[Sequence[Atom]], rng: np.random.Generator
    ) -> tuple[Bags, Bags]:
        """Both views of every streamer that can be drawn."""
        sides = ([], [])
        for atoms in streamers:
            drawn = self._maker.draw(atoms, rng)
            for side, places in zip(sides, drawn or (), strict=False):
                pieces = [piece for i in places for piece in atoms[i].pieces]
                side.append(self._featurizer.from_pieces(pieces))
        first, second = (bags_of(side, self._stage.vocabulary) for side in sides)
        return first, second
