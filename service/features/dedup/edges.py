"""Edges of a list: pairs that evidence joins, and what it says of pairs that are joined anyway."""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import VERDICTS, Side
from service.engine.evidence.crowds import only_in_crowds
from service.engine.evidence.engine import Evidence
from service.engine.evidence.list_candidates import list_candidates
from service.engine.evidence.media_copies import SameMedia

Places = NDArray[np.int64]
_SAME_CONTACT = VERDICTS.index("same_contact")


@dataclass(frozen=True, eq=False)
class Edges:
    """Pairs of a list that evidence compared.

    Attributes:
        one, other: places of each pair (E,).
        weights: bits (E,); of pairs that nobody joins, not of all channels.
        probabilities: that the two are the same (E,); likewise.
        verdicts: places in `contract.evidence.VERDICTS` (E,).
        joined: whether evidence joins the two (E,).
        strongest: the edge of each place that says most, -1 for none (N,).
    """

    one: Places
    other: Places
    weights: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    verdicts: NDArray[np.int8]
    joined: NDArray[np.bool_]
    strongest: Places


def compare_list(
    evidence: Evidence,
    sides: Sequence[Side],
    partners: Places,
    alike: Sequence[SameMedia],
    masked: Collection[str] = (),
) -> Generator[None, None, Edges]:
    """Compare the pairs of a list that may be the same; pauses every few milliseconds.

    Args:
        evidence: of the model.
        sides: of N profiles.
        partners: of each place, the one that it is joined with by its content sketch, -1 for none.
        alike: pairs that share pictures and sounds.
        masked: channels that are left out.
    """
    size = len(sides)
    one, other = yield from list_candidates(sides)
    joined_by_sketch = np.flatnonzero(partners >= 0)
    sketched = _codes(joined_by_sketch, partners[joined_by_sketch], size)
    shared = {pair.one * size + pair.other: pair.copies for pair in alike}
    media = np.array(list(shared), np.int64)
    codes = np.unique(np.concatenate([one * size + other, sketched, media]))
    one, other = codes // size, codes % size
    copies = np.full(len(codes), -1)
    copies[np.searchsorted(codes, media)] = list(shared.values())
    is_told = np.isin(codes, np.concatenate([sketched, media]))
    yield
    compared = yield from evidence.compare(
        sides, one, other, {"pictures": copies}, masked, told=is_told
    )
    matches, joined = compared.matches, compared.matches.joined
    by_contact = np.flatnonzero(joined & (matches.verdicts == _SAME_CONTACT))
    yield
    if len(by_contact):
        others = ["contacts", *masked]
        alone = evidence.matcher.match(compared.levels[by_contact], others).joined
        crowded = only_in_crowds(sides, one[by_contact], other[by_contact])
        joined[by_contact] &= alone | ~crowded
    counted = np.flatnonzero(joined | is_told)
    order = counted[np.lexsort((matches.weights[counted], joined[counted]))]
    strongest = np.full(size, -1, np.int64)
    strongest[one[order]] = order  # of several the last one stays
    last = np.full(size, -1, np.int64)
    last[other[order]] = order
    rank = np.full(len(codes) + 1, -1)  # the last is of -1: no edge
    rank[order] = np.arange(len(order))
    strongest = np.where(rank[last] > rank[strongest], last, strongest)
    return Edges(
        one,
        other,
        matches.weights,
        matches.probabilities,
        matches.verdicts,
        joined,
        strongest,
    )


def _codes(one: Places, other: Places, size: int) -> Places:
    return np.minimum(one, other) * size + np.maximum(one, other)
