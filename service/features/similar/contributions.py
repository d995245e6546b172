"""What each modality contributes to the cosine of a seed and a hit, so that it adds up to it.

The cosine is taken apart as a game whose players are the modalities that either side shows: the
worth v(S) of a set of them is the cosine of the two profiles when both hide all others, encoded
again, and 0 where one side has nothing left. With all of them N,

    share of m = (v({m}) + v(N) - v(N without m)) / 2

the mean of what m is worth as the first to join and as the last. Where modalities interact by pairs
only, that is the Shapley value, and adds up to v(N) (Grabisch and Roubens, An axiomatic approach to
the concept of interaction among players in cooperative games, 1999). What is left of v(N) otherwise
is given to the shares in proportion to their sizes. So of two modalities that say the same, both
have a share, and what changes nothing has none.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_export.contract.features import Features, without
from model_export.contract.pieces import MODALITIES

Part = tuple[Literal["only", "without", "piece"], str]
"""Of what a profile shows: one modality, all others, or one piece by its source."""


def parts_of(features: Features, other: Features) -> Generator[Part, None, None]:
    """The parts of a profile that are encoded to compare it with another one.

    A modality that the other one does not show is worth nothing alone.
    """
    for modality in MODALITIES:
        if features.status[modality] == "used":
            if other.status[modality] == "used":
                yield "only", modality
            yield "without", modality


def part_of(features: Features, part: Part) -> Features | None:
    """One modality or all others of a profile; None where that is nothing to go by."""
    shown = [m for m in MODALITIES if features.status[m] == "used"]
    kind, modality = part
    left = without(features, [m for m in shown if (m == modality) == (kind == "without")])
    return left if left.usable else None


@dataclass(frozen=True, eq=False)
class Encoded:
    """A profile and its parts, encoded.

    Attributes:
        features: of the profile.
        whole: embedding (D,).
        parts: embeddings (D,), see `parts_of`.
    """

    features: Features
    whole: NDArray[np.float32]
    parts: Mapping[Part, NDArray[np.float32] | None]

    def only(self, modality: str) -> NDArray[np.float32] | None:
        """The embedding (D,) of one modality; None where that is nothing to go by."""
        return self.parts.get(("only", modality))

    def without(self, modality: str) -> NDArray[np.float32] | None:
        """The embedding (D,) of all others; None where that is nothing to go by."""
        if self.features.status[modality] != "used":
            return self.whole
        return self.parts.get(("without", modality))


def contributions(seed: Encoded, hit: Encoded) -> dict[str, float]:
    """What each modality that either side shows contributes to the cosine, by modality."""
    whole = _cosine(seed.whole, hit.whole)
    shares = {
        m: (_cosine(seed.only(m), hit.only(m)) + whole - _cosine(seed.without(m), hit.without(m)))
        / 2
        for m in MODALITIES
        if "used" in (seed.features.status[m], hit.features.status[m])
    }
    left, size = whole - sum(shares.values()), sum(map(abs, shares.values()))
    return {m: share + left * abs(share) / size if size else 0.0 for m, share in shares.items()}


def _cosine(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> float:
    return 0.0 if a is None or b is None else float(a @ b)
