"""Hiding a part of what a streamer shows, so that the encoder never leans on one thing."""

from dataclasses import replace

import numpy as np

from model_export.contract.pieces import MODALITIES
from training.config import RecipeConfig
from training.features.bags import Bags
from training.features.pieces import PieceBags


def drop_tokens(bags: Bags, config: RecipeConfig, rng: np.random.Generator) -> Bags:
    """Hide single tokens, and at times all tokens or all vectors of a row, never both.

    Args:
        bags: rows to hide parts of.
        config: `token_dropout` and `modality_dropout`.
        rng: of this step.
    """
    if bags.pieces is not None:
        return _drop_apart(bags, bags.pieces, config, rng)
    entries = rng.random(len(bags.ids)) >= config.token_dropout
    if not bags.pooled:
        return bags.keep(entries)
    draw = rng.random(len(bags))
    shows_vectors = np.any([p.any(1) for p in bags.pooled], axis=0)
    hides_tokens = shows_vectors & (draw < config.modality_dropout)
    hides_vectors = (bags.lengths > 0) & (draw >= 1 - config.modality_dropout)
    entries &= ~np.repeat(hides_tokens, bags.lengths)
    pooled = tuple(np.where(hides_vectors[:, None], np.float32(0), p) for p in bags.pooled)
    return replace(bags.keep(entries), pooled=pooled)


def _drop_apart(
    bags: Bags, pieces: PieceBags, config: RecipeConfig, rng: np.random.Generator
) -> Bags:
    """A token is hidden in all pieces of a row or none; each modality is hidden by itself."""
    rows, shown = len(bags), 1 + len(MODALITIES)
    of_token = np.repeat(np.arange(rows), bags.lengths)
    of_piece = np.repeat(np.arange(rows), np.diff(pieces.indptr))
    # The sum of two uniform numbers, modulo 1, is uniform; one is the row's, one the token's.
    draw = rng.random(rows)[of_token] + rng.random(1 + int(bags.ids.max(initial=0)))[bags.ids]
    hides = rng.random((rows, shown)) < config.modality_dropout  # (R, 1 + M)
    there = np.zeros((rows, shown), bool)
    there[of_piece, pieces.modality] = True
    hides &= (there & ~hides).any(1, keepdims=True)  # never everything
    entries = (draw % 1 >= config.token_dropout) & ~hides[of_token, bags.modality]
    kept = replace(bags, pieces=pieces.hide(hides[of_piece, pieces.modality])).keep(entries)
    return kept
