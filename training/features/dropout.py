"""Token and modality dropout on training rows."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.config import RecipeConfig
from training.features.bags import Bags


def drop_tokens(bags: Bags, known: int, config: RecipeConfig, rng: np.random.Generator) -> Bags:
    """Drop tokens at random, and sometimes all tokens or all vectors of a row, never both.

    A row that shows a known token or a vector keeps at least one of them.

    Args:
        bags: R rows to augment.
        known: number of known tokens; higher ids are unknown, and no encoder reads them.
        config: `token_dropout` and `modality_dropout`.
        rng: random numbers of the step.
    """
    entries = rng.random(len(bags.ids)) >= config.token_dropout
    row = np.repeat(np.arange(len(bags)), bags.lengths)  # (T,)
    is_known = bags.ids <= known
    if not bags.pooled:
        return bags.keep(_with_one_each(entries, row, is_known, np.ones(len(bags), bool), rng))
    draw = rng.random(len(bags))
    shows_vectors = np.any([p.any(1) for p in bags.pooled], axis=0)
    hides_tokens = shows_vectors & (draw < config.modality_dropout)
    entries &= ~hides_tokens[row]
    is_left = np.bincount(row[entries & is_known], minlength=len(bags)) > 0
    hides_vectors = is_left & (draw >= 1 - config.modality_dropout)
    entries = _with_one_each(entries, row, is_known, ~shows_vectors, rng)
    pooled = tuple(np.where(hides_vectors[:, None], np.float32(0), p) for p in bags.pooled)
    return replace(bags.keep(entries), pooled=pooled)


def _with_one_each(
    entries: NDArray[np.bool_],
    row: NDArray[np.int64],
    is_known: NDArray[np.bool_],
    needs_one: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Entries to keep (T,), with a random known one of each row that needs one and has none left.

    Args:
        entries: drawn to be kept (T,).
        row: of each entry, ascending (T,).
        is_known: entries of known tokens (T,).
        needs_one: rows (R,) that show nothing else.
        rng: random numbers of the step.
    """
    places, rows = np.flatnonzero(is_known), len(needs_one)
    count = np.bincount(row[places], minlength=rows)  # (R,)
    left = np.bincount(row[entries & is_known], minlength=rows)
    empty = np.flatnonzero(needs_one & (count > 0) & (left == 0))
    first = np.cumsum(count) - count
    drawn = (rng.random(len(empty)) * count[empty]).astype(np.int64)
    kept = entries.copy()
    kept[places[first[empty] + drawn]] = True
    return kept
