"""`mlm`: masked-token prediction from the embedding of the unmasked pieces (BERT, Devlin 2019).

Whole atoms are masked, a piece together with its near-duplicates, since n-grams of a partly masked
word would reveal it. The tokens that occur in masked atoms only are predicted by

    logit(token | rest) = cos(head(embedding of the rest), E[token]) / temperature + log p(token)

with the encoder's token table E and the unigram probability p, so the table learns co-occurrence
beyond frequency. The softmax over the vocabulary is estimated on a sample.

Deviations from BERT: one embedding of all that is kept predicts every masked token, masked atoms
are left out without a mask token, and none is kept or replaced at random.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.config import MlmConfig
from training.errors import DataError
from training.features.bags import Bags
from training.features.masked_views import ViewMaker
from training.losses.masked_token import masked_token_prediction
from training.models.content_sketch import safe_normalise
from training.models.grad_cache import embed_in_chunks
from training.preparation.stage import Stage
from training.tasks.atom_views import AtomViews, SelfSupervised
from training.tasks.base import step_generator

_SAMPLING_POWER = 0.75
"""Exponent of the unigram probability in negative sampling (Mikolov 2013)."""


class MaskedTokens(SelfSupervised[MlmConfig]):
    """Masked-token prediction within a streamer, by sampled softmax."""

    def __init__(self, stage: Stage, config: MlmConfig, held_out: NDArray[np.int64] | None) -> None:
        """Split the streamers into atoms; arguments like `SelfSupervised`.

        Raises:
            DataError: no streamer has two atoms, one to mask and one to keep.
        """
        super().__init__(stage, config, held_out)
        maker = ViewMaker(stage.vocabulary, overlap=0.0, group_modality=0.0, names=True)
        self._training = AtomViews(stage, stage.known, maker)
        if not len(self._training) or not stage.vocabulary.tokens:
            raise DataError(
                f"{stage.dataset.folder} has no streamer with two pieces of text, tags or "
                "categories, one to mask and one to keep"
            )
        share = np.array(stage.vocabulary.document_frequency, np.float64)  # (V,), ids 1..V
        self._log_share = np.log(share / share.sum()).astype(np.float32)
        drawn = share**_SAMPLING_POWER
        self._cumulative = np.cumsum(drawn / drawn.sum())
        self._log_drawn = np.log(drawn / drawn.sum()).astype(np.float32)
        self._head = nn.Linear(config.dim, config.table_dim)
        self.encoder_replaced()
        self.train_with(head=self._head)

    @torch.no_grad()
    def encoder_replaced(self) -> None:
        """Start the head where the nearest tokens are those of the sum."""
        self._head.weight.copy_(self.encoder.fixed_projection)
        self._head.bias.zero_()

    def losses(self, step: int) -> dict[str, Tensor]:
        """`token_loss`, and the number of `masked` tokens."""
        config, rng = self._config, step_generator(self._stage.seed, step)
        count = min(config.batch_size, len(self._training))
        streamers = rng.choice(len(self._training), count, replace=False)
        shown, hidden = self.mask(streamers, rng)
        masked = Masked.of(shown, hidden, self.encoder.known, config.targets, rng)
        # `searchsorted` in (0, 1] of a sum that may miss 1 by rounding
        drawn = np.searchsorted(self._cumulative, rng.random(config.sample), side="right")
        sample = 1 + drawn.clip(max=self.encoder.known - 1)  # (S,)
        z = embed_in_chunks(self.encoder.embed, shown, config.chunk_size)  # (R, D)
        context = safe_normalise(self._head(z))  # (R, H)
        rows = self.encoder.place(masked.rows)
        true = (context[rows] * self._token(masked.ids)).sum(1)  # (E,)
        sampled = (context @ self._token(sample).T)[rows]  # (E, S)
        accidental = self.encoder.place(masked.members[:, sample].toarray() > 0)[rows]  # (E, S)
        log_sample = math.log(config.sample)
        return {
            "token_loss": masked_token_prediction(
                true / config.temperature + self._of(self._log_share, masked.ids),
                sampled / config.temperature + self._of(self._log_share, sample),
                self._of(self._log_drawn, masked.ids) + log_sample,
                self._of(self._log_drawn, sample) + log_sample,
                accidental,
            ),
            "masked": torch.tensor(float(len(masked.ids))),
        }

    def mask(self, streamers: NDArray[np.int64], rng: np.random.Generator) -> tuple[Bags, Bags]:
        """Kept and masked parts of each streamer (R,), each with at least one atom.

        Args:
            streamers: places among the streamers with two atoms or more.
            rng: of the draw.
        """
        shown: list[list[int]] = []
        hidden: list[list[int]] = []
        for streamer in streamers.tolist():
            hides = rng.random(len(self._training.atoms[streamer])) < self._config.mask
            if hides.all() or not hides.any():
                place = rng.integers(len(hides))
                hides[place] = not hides[place]
            hidden.append(np.flatnonzero(hides).tolist())
            shown.append(np.flatnonzero(~hides).tolist())
        parts = self._training.parts
        return parts.together(streamers, shown), parts.together(streamers, hidden)

    def _token(self, ids: NDArray[np.int64]) -> Tensor:
        """Unit vectors of tokens (E, H)."""
        return safe_normalise(self.encoder.table[self.encoder.place(ids)])

    def _of(self, values: NDArray[np.float32], ids: NDArray[np.int64]) -> Tensor:
        """Values of tokens (E,), from values of the vocabulary (V,)."""
        return self.encoder.place(values[ids - 1])


@dataclass(frozen=True, eq=False)
class Masked:
    """Masked tokens to predict.

    Attributes:
        rows: int64 (E,), row of each token.
        ids: int64 (E,), known token ids.
        members: (R, 1 + V) sparse, > 0 for all known tokens of a row, kept or masked.
    """

    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    members: sp.csr_matrix

    @classmethod
    def of(
        cls, shown: Bags, hidden: Bags, known: int, most: int, rng: np.random.Generator
    ) -> "Masked":
        """Tokens that are masked and not kept elsewhere, at most `most` per row, at random."""
        there, missing = _members(shown, known), _members(hidden, known)
        target = sp.csr_matrix(missing - missing.multiply(there))  # 1 where masked only
        target.eliminate_zeros()
        rows, ids = (part.astype(np.int64) for part in target.nonzero())
        order = np.lexsort((rng.random(len(rows)), rows))
        rows, ids = rows[order], ids[order]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)  # among those of its row
        return cls(rows[place < most], ids[place < most], sp.csr_matrix(there + missing))


def _members(bags: Bags, known: int) -> sp.csr_matrix:
    """Binary matrix of the known tokens of each row (R, 1 + V)."""
    kept = bags.keep((bags.ids > 0) & (bags.ids <= known))
    ones = np.ones(len(kept.ids), np.int8)
    found = sp.csr_matrix((ones, kept.ids, kept.indptr), shape=(len(kept), 1 + known))
    found.sum_duplicates()
    found.data[:] = 1
    return found
