"""Token and modality dropout on training rows."""

from dataclasses import replace

import numpy as np

from model_export.contract.pieces import MODALITIES
from training.config import RecipeConfig
from training.features.bags import Bags
from training.features.pieces import PieceBags


def drop_tokens(bags: Bags, config: RecipeConfig, rng: np.random.Generator) -> Bags:
    """Drop tokens at random, and sometimes all tokens or all vectors of a row, never both.

    Args:
        bags: rows to augment.
        config: `token_dropout` and `modality_dropout`.
        rng: random numbers of the step.
    """
    if bags.pieces is not None:
        return _drop_pieces(bags, bags.pieces, config, rng)
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


def _drop_pieces(
    bags: Bags, pieces: PieceBags, config: RecipeConfig, rng: np.random.Generator
) -> Bags:
    """Drop tokens in all pieces of a row at once, and modalities independently."""
    rows, shown = len(bags), 1 + len(MODALITIES)
    of_token = np.repeat(np.arange(rows), bags.lengths)
    of_piece = np.repeat(np.arange(rows), np.diff(pieces.indptr))
    # Sum of two uniform numbers modulo 1 is uniform: one per row, one per token.
    draw = rng.random(rows)[of_token] + rng.random(1 + int(bags.ids.max(initial=0)))[bags.ids]
    hides = rng.random((rows, shown)) < config.modality_dropout  # (R, 1 + M)
    there = np.zeros((rows, shown), bool)
    there[of_piece, pieces.modality] = True
    hides &= (there & ~hides).any(1, keepdims=True)  # never everything
    entries = (draw % 1 >= config.token_dropout) & ~hides[of_token, bags.modality]
    kept = replace(bags, pieces=pieces.hide(hides[of_piece, pieces.modality])).keep(entries)
    return kept
