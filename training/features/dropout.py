"""Token and modality dropout on training rows."""

from dataclasses import replace

import numpy as np

from training.config import RecipeConfig
from training.features.bags import Bags


def drop_tokens(bags: Bags, config: RecipeConfig, rng: np.random.Generator) -> Bags:
    """Drop tokens at random, and sometimes all tokens or all vectors of a row, never both.

    Args:
        bags: rows to augment.
        config: `token_dropout` and `modality_dropout`.
        rng: random numbers of the step.
    """
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
