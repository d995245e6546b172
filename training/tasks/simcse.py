"""`simcse`: contrast of dropout twins, or supervised with hard negatives (SimCSE, Gao 2021).

Unsupervised: each streamer is encoded twice with independent dropout of hidden units, and the
encodings are positives. Supervised: positives are related streamers by label, duplicate group or
behaviour; negatives are the positives of the other anchors and a hard negative per anchor, which is
near by content, but neither related nor a known near-duplicate.

Deviations from the paper: the encoder has one layer with dropout, in its MLP. The unsupervised loss
is symmetric, and likely false negatives are left out. The supervised form has relations between
streamers in place of entailment and contradiction. `token_dropout` and `modality_dropout`, 0 by
default as in the paper, make the two inputs differ. Twins are validated by other views, as those of
the other self-supervised recipes: dropout twins share vectors, and find each other untrained.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import SimcseConfig
from training.errors import DataError
from training.features.dropout import drop_tokens
from training.mining.supervised_pairs import (
    AlikeSearch,
    Relation,
    known_duplicates,
    near_by_behaviour,
    same_label,
)
from training.models.grad_cache import embed_in_chunks
from training.numeric.blocks import blocks
from training.numeric.nearest import nearest
from training.preparation.stage import MOST_SEARCHED, Stage, all_rows, embeddings
from training.tasks.atom_views import ViewSearch, weigh_vectors
from training.tasks.base import Task, step_generator
from training.tasks.contrast import Contrast

_SEARCH_SEED = 7
_CONSIDERED = 100
"""Nearest by content that are considered as hard negatives."""


class Simcse(Task):
    """Contrast of dropout twins, or of related streamers with hard negatives."""

    def __init__(
        self, stage: Stage, config: SimcseConfig, held_out: NDArray[np.int64] | None
    ) -> None:
        """Find the pairs of the configuration.

        Args:
            stage: of the fit.
            config: of the recipe.
            held_out: rows of validation streamers; None without validation.

        Raises:
            DataError: fewer than two streamers have a related one.
            UsageError: the data set lacks the source of the positives.
        """
        self.encoder = stage.encoder
        self._stage, self._config = stage, config
        self._known = stage.known[stage.usable[stage.known]]
        self._relation = self._find_relation(self._known)
        self._anchors = self._known if self._relation is None else self._relation.anchors
        self._anchors = self._anchors[stage.usable[self._anchors]]
        if len(self._anchors) < 2:
            raise DataError(
                f"{stage.dataset.folder} has fewer than two training streamers that are alike to "
                f"another by {config.positives}; use positives=dropout"
            )
        self._hard = None
        if self._relation is not None and config.hard_negatives:
            self._hard = self._hard_negatives(self._relation)
        self._search = self._find_search(held_out)
        if self._relation is None:
            assert isinstance(self._search, ViewSearch)
            self.choices = weigh_vectors(
                stage, config, self._search, is_judged=held_out is not None
            )
        alike = None if self._relation is None else self._relation.alike
        self._contrast = Contrast(stage, config, alike)

    def losses(self, step: int) -> dict[str, Tensor]:
        """`contrast_loss`."""
        rng = step_generator(self._stage.seed, step)
        count = min(self._config.batch_size // 2, len(self._anchors))
        rows = rng.choice(self._anchors, count, replace=False)
        if self._relation is None:
            twins = self._embed(rows, rng), self._embed(rows, rng)  # (B, D) each
            return {"contrast_loss": self._contrast.two_views(*twins, rows)}
        keys = self._relation.draw(rows, rng)
        if self._hard is not None:
            keys = np.concatenate([keys, self._hard_of(rows, rng)])  # (2B,)
        queries, found = self._embed(rows, rng), self._embed(keys, rng)
        wanted = torch.eye(count, len(keys), dtype=queries.dtype, device=queries.device)
        return {"contrast_loss": self._contrast(queries, found, rows, keys, wanted)}

    def validate(self) -> float:
        """Mean reciprocal rank of the second view, or of the first related streamer."""
        if isinstance(self._search, ViewSearch):
            return self._search.mean_reciprocal_rank(self.encoder)
        return self._search.mean_reciprocal_rank(embeddings(self._stage, self._search.rows))

    def _embed(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Embeddings (R, D) with fresh dropout."""
        bags = drop_tokens(self._stage.bags.take(rows), self.encoder.known, self._config, rng)
        return embed_in_chunks(self.encoder.embed, bags, self._config.chunk_size)

    def _find_relation(self, rows: NDArray[np.int64]) -> Relation | None:
        """Relation between these rows; None for dropout twins."""
        dataset = self._stage.dataset
        match self._config.positives:
            case "duplicates":
                return known_duplicates(dataset, rows)
            case "labels":
                return same_label(dataset, rows)
            case "behaviour":
                return near_by_behaviour(dataset, rows, self._config.neighbours)
            case "dropout":
                return None

    def _find_search(self, held_out: NDArray[np.int64] | None) -> ViewSearch | AlikeSearch:
        """Validation search, drawn once."""
        stage = self._stage
        if held_out is None or self._relation is None:
            return ViewSearch.of_atoms(stage, held_out)
        held_out = held_out[stage.usable[held_out]]
        everyone = np.sort(np.concatenate([self._known, held_out]))
        relation = self._find_relation(everyone)
        assert relation is not None
        rng = np.random.default_rng(_SEARCH_SEED)
        return AlikeSearch(relation, held_out, everyone, rng, MOST_SEARCHED)

    def _hard_negatives(self, relation: Relation) -> NDArray[np.int64]:
        """Per data set row (N, K), the nearest by content that are not related, padded with -1."""
        stage, known = self._stage, self._known
        content = all_rows(self.encoder, self.encoder.fused, stage.bags, stage.usable, known)
        places = nearest(content, _CONSIDERED)[0]  # (M, C), nearest first
        groups, considered = stage.dataset.groups, places.shape[1]
        table = np.full((len(stage.bags), min(self._config.hard_negatives, considered)), -1)
        for part in blocks(*places.shape):
            rows, near = known[part], known[places[part]]  # (b,), (b, C)
            alike = relation.alike(np.repeat(rows, considered), near.ravel()).reshape(near.shape)
            alike |= groups[rows][:, None] == groups[near]
            first = np.argsort(alike, axis=1, kind="stable")[:, : table.shape[1]]
            chosen = np.take_along_axis(near, first, 1)
            table[rows] = np.where(np.take_along_axis(alike, first, 1), -1, chosen)
        return table

    def _hard_of(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """A hard negative per anchor (B,), or a random streamer if it has none."""
        assert self._hard is not None
        candidates = self._hard[rows]  # (B, K), padding last
        count = (candidates >= 0).sum(1)
        pick = (rng.random(len(rows)) * count).astype(np.int64)
        anyone = rng.choice(self._known, len(rows))
        return np.where(count > 0, candidates[np.arange(len(rows)), pick], anyone)
