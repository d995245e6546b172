"""What so many show that it says nothing of who belongs together: hubs, which carry no weight.

An agency's handle, a platform's phone number or a fashionable tag connects thousands of honest
accounts. How many streamers of the corpus have a key tells a hub, whatever training has seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

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


def without_hubs(
    sides: Sequence[Side], counts: Callable[[Keys], NDArray[np.int64]], most: int
) -> list[Side]:
    """Sides without the keys that more than `most` streamers have; a channel of hubs is absent.

    Args:
        sides: of profiles.
        counts: of keys (K,), how many streamers have each (K,).
        most: streamers.
    """
    shown = [kind(side.of(channel)) for side in sides for channel, kind in _KINDS.items()]
    every = np.unique(np.concatenate([np.zeros(0, np.uint32), *shown]))
    hubs = every[counts(every) > most]
    return [_without(side, hubs) for side in sides] if len(hubs) else list(sides)


def _without(side: Side, hubs: Keys) -> Side:
    keys = dict(side.keys)
    for channel, kind in _KINDS.items():
        found = side.of(channel)
        kept = found[~np.isin(kind(found), hubs)]
        if len(kept):
            keys[channel] = kept
        else:
            keys.pop(channel, None)
    return replace(side, keys=keys)
