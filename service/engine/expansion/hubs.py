"""What so many show that it says nothing of who belongs together: hubs, which carry no weight.

An agency's handle, a platform's phone number or a fashionable tag connects thousands of honest
accounts. How many streamers of the corpus have a key tells a hub, whatever training has seen.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import VECTOR_KEYS, Side
from service.engine.candidates.postings import faint_hint, hint, strong

Keys = NDArray[np.uint32]
_KINDS: dict[str, Callable[[Keys], Keys]] = {
    "contacts": strong,
    "pictures": strong,
    "sounds": strong,
    VECTOR_KEYS: strong,
    "titles": hint,
    "tags": faint_hint,
}
"""How the keys of a channel stand in the corpus."""
_CHANNELS = list(_KINDS)


def without_hubs(
    sides: Sequence[Side], counts: Callable[[Keys], NDArray[np.int64]], most: int
) -> list[Side]:
    """Sides without the keys that more than `most` streamers have; a channel of hubs is absent.

    Args:
        sides: of profiles.
        counts: of keys (K,), how many streamers have each (K,).
        most: streamers.
    """
    found = list(sides)
    shown = [side.of(channel) for side in sides for channel in _KINDS]
    kinds = list(_KINDS.values()) * len(sides)
    ends = np.cumsum([len(keys) for keys in shown])
    every = np.concatenate(
        [np.zeros(0, np.uint32), *(kind(k) for kind, k in zip(kinds, shown, strict=True))]
    )  # (K,)
    distinct, which = np.unique(every, return_inverse=True)
    is_hub = (counts(distinct) > most)[which]  # (K,)
    holders = np.unique(np.searchsorted(ends, np.flatnonzero(is_hub), "right"))
    numbers: list[int] = holders.tolist()
    for number in numbers:
        place, channel = divmod(number, len(_KINDS))
        end = int(ends[number])
        kept = shown[number][~is_hub[end - len(shown[number]) : end]]
        found[place] = _with(found[place], _CHANNELS[channel], kept)
    return found


def _with(side: Side, channel: str, kept: Keys) -> Side:
    keys = {**side.keys, channel: kept}
    return Side(keys, side.name, side.limit, side.vectors, side.embedding, script=side.script)
