"""`masked-views`: contrast of two masked views of a streamer, without behaviour."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import MaskedViewsConfig
from training.errors import DataError
from training.features.masked_views import ViewMaker
from training.models.grad_cache import embed_in_chunks
from training.preparation.stage import Stage
from training.tasks.atom_views import AtomViews, SelfSupervised
from training.tasks.base import step_generator
from training.tasks.contrast import Contrast


class MaskedViews(SelfSupervised[MaskedViewsConfig]):
    """Symmetric contrast of views with bounded overlap, without names."""

    def __init__(
        self, stage: Stage, config: MaskedViewsConfig, held_out: NDArray[np.int64] | None
    ) -> None:
        """Split the streamers into atoms; arguments like `SelfSupervised`.

        Raises:
            DataError: fewer than two streamers have two atoms.
        """
        super().__init__(stage, config, held_out)
        maker = ViewMaker(stage.vocabulary, config.overlap, config.group_modality)
        self._training = AtomViews(stage, stage.known, maker)
        if len(self._training) < 2:
            raise DataError(f"{stage.dataset.folder} has fewer than two streamers with two pieces")
        self._contrast = Contrast(stage, config)

    def losses(self, step: int) -> dict[str, Tensor]:
        """`views_loss`, and the mean `overlap` of the views."""
        rng = step_generator(self._stage.seed, step)
        count = min(self._config.batch_size // 2, len(self._training))
        drawn = rng.choice(len(self._training), count, replace=False)
        *views, rows, overlaps = self._training.draw(drawn, rng)
        first, second = (
            embed_in_chunks(self.encoder.embed, view, self._config.chunk_size) for view in views
        )  # (B, D) each
        return {
            "views_loss": self._contrast.two_views(first, second, rows),
            "overlap": torch.tensor(np.mean(overlaps or [0.0])),
        }
