"""Contacts that many of a list show, as an agency's: they do not tell who runs an account."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import Side

Places = NDArray[np.int64]
MOST_HOLDERS = 16
"""Nearly as many as a large ring has accounts. A contact of more of them alone joins nobody."""
_KEY_BITS = 32


def only_in_crowds(
    sides: Sequence[Side], one: Places, other: Places, most: int = MOST_HOLDERS
) -> NDArray[np.bool_]:
    """Whether all contacts that both sides of pairs show are shown by many (P,).

    Args:
        sides: the list.
        one: places of one side of each pair (P,).
        other: places of the other side (P,).
        most: of the list, to whom a contact may belong.
    """
    shown = [side.of("contacts") for side in sides]
    keys = np.concatenate([np.zeros(0, np.uint32), *shown]).astype(np.int64)  # (K,)
    distinct, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
    if not (counts > most).any():
        return np.zeros(len(one), np.bool_)
    ends = np.cumsum([len(each) for each in shown])
    sizes = np.diff(ends, prepend=0)
    owned = np.repeat(np.arange(len(sides)), sizes) << _KEY_BITS | keys  # ascending
    mine = sizes[one]
    rows = np.repeat(np.arange(len(one)), mine)  # (S,)
    places = np.arange(len(rows)) + np.repeat((ends - sizes)[one] - np.cumsum(mine) + mine, mine)
    asked = other[rows] << _KEY_BITS | distinct[which[places]]
    found = np.searchsorted(owned, asked)
    found[found == len(owned)] = 0
    is_shared = owned[found] == asked
    shared = np.bincount(rows[is_shared], minlength=len(one))
    is_rare = is_shared & (counts[which[places]] <= most)
    return (shared > 0) & (np.bincount(rows[is_rare], minlength=len(one)) == 0)
