"""Match weights of pairs, in the manner of Fellegi and Sunter (1969).

weight = sum over channels of log2(m / u),  absent channels contribute 0, and those against a pair
         for which a channel of `IDENTITY` speaks contribute 0 too; channels beside `DIRECT`
         contribute at most `MOST_COMMON` of what those of `DIRECT` do
log2 odds = log2(prior / (1 - prior)) + slope * weight
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence.channels import (
    ABSENT,
    CHANNELS,
    DIRECT,
    IDENTITY,
    MEDIA,
    NAMES_OF_CHANNELS,
    STYLE_CHANNELS,
    Levels,
)
from model_export.contract.evidence.parameters import EvidenceParameters

Verdict = Literal["same_media", "near_duplicate", "same_contact", "same_style", "unrelated"]
VERDICTS: Sequence[Verdict] = (
    "same_media", "near_duplicate", "same_contact", "same_style", "unrelated",
)  # fmt: skip
JOINING: Sequence[Verdict] = VERDICTS[:3]
_FEWEST_STYLE = 2
"""So many of embedding, tags, and category or language agree where two are of one style."""
MATCHING_VERSION = 2
"""Goes up when the same parameters join other pairs: groups that are kept are made anew then."""
MOST_COMMON = 0.5
"""Two of a topic share tags, category and embedding, which are no three reasons: with a passage in
common they would outweigh a copied text. Players of a game and shops of a chain share its name as
well: with its picture in common it would join them."""
Bits = NDArray[np.float64]
_MOST_LEVELS = max(len(channel.levels) for channel in CHANNELS)
_AGREEING = np.array([channel.agreeing for channel in CHANNELS])


def _columns(names: Collection[str]) -> NDArray[np.int64]:
    return np.array([c for c, name in enumerate(NAMES_OF_CHANNELS) if name in names])


_DIRECT, _STYLE, _IDENTITY = _columns(DIRECT), _columns(STYLE_CHANNELS), _columns(IDENTITY)
_COMMON = _columns({*NAMES_OF_CHANNELS} - DIRECT)
_ALL = np.arange(len(CHANNELS))
_GROUPS = (_columns(MEDIA), _columns({"text", "titles"}), _columns({"contacts"}))


@dataclass(frozen=True, eq=False)
class Matches:
    """What the evidence says of P pairs.

    Attributes:
        contributions: (P, channels), bits; their sum is the weight.
        weights: (P,), bits.
        probabilities: (P,).
        verdicts: (P,), places in `VERDICTS`.
    """

    contributions: Bits
    weights: Bits
    probabilities: Bits
    verdicts: NDArray[np.int8]

    @property
    def joined(self) -> NDArray[np.bool_]:
        """Whether the two are the same in one of three ways (P,)."""
        return self.verdicts < len(JOINING)


class Matcher:
    """Weighs levels by the parameters of a bundle."""

    def __init__(self, parameters: EvidenceParameters) -> None:
        """Tabulate log2(m / u)."""
        self.parameters = parameters
        self._prior = float(np.log2(parameters.prior / (1 - parameters.prior)))
        self.bits = np.zeros((len(CHANNELS), _MOST_LEVELS + 1))
        """Of each level by itself (channels, levels); the last is of the absent."""
        for row, name in enumerate(NAMES_OF_CHANNELS):
            chances = parameters.channels[name]
            self.bits[row, : len(chances.m)] = np.log2(chances.m) - np.log2(chances.u)

    def contributions(self, levels: Levels, masked: Collection[str] = ()) -> Bits:
        """Bits that each channel adds (P, channels): 0 of those absent and of those masked.

        A mask takes a channel's own bits out of the sum; what the pair shows is as it was.
        """
        found = self.bits[_ALL, levels]  # ABSENT is the last
        tells = (found[:, _IDENTITY] > 0).any(1, keepdims=True)  # (P, 1)
        found = np.where(tells, np.maximum(found, 0.0), found)
        most = MOST_COMMON * np.maximum(found[:, _DIRECT], 0).sum(1)  # (P,)
        common = found[:, _COMMON]  # (P, common)
        share = np.minimum(1.0, most / np.maximum(np.maximum(common, 0).sum(1), 1e-12))
        found[:, _COMMON] = np.where(common > 0, common * share[:, None], common)
        if masked:
            found[:, [NAMES_OF_CHANNELS.index(name) for name in masked]] = 0
        return found

    def match(self, levels: Levels, masked: Collection[str] = ()) -> Matches:
        """Weights, probabilities and verdicts of pairs with these levels (P, channels)."""
        contributions = self.contributions(levels, masked)
        weights = contributions.sum(1)
        agrees = (levels != ABSENT) & (levels < _AGREEING)
        return Matches(
            contributions,
            weights,
            self.probability(weights),
            self._verdicts(contributions, weights, agrees),
        )

    def probability(self, weights: Bits) -> Bits:
        """Probability that pairs of these weights (P,) are the same."""
        odds = np.clip(self._prior + self.parameters.slope * weights, -200, 200)
        return 1 / (1 + np.exp2(-odds))

    def weight_of(self, probability: float) -> float:
        """The weight of pairs of this probability."""
        odds = float(np.log2(probability / (1 - probability)))
        return (odds - self._prior) / self.parameters.slope

    def has_direct(self, contributions: Bits) -> NDArray[np.bool_]:
        """Whether some channel that compares content itself speaks for the same (P,)."""
        return contributions[:, _DIRECT].max(1, initial=0) > 0

    def _verdicts(
        self, contributions: Bits, weights: Bits, agrees: NDArray[np.bool_]
    ) -> NDArray[np.int8]:
        positive = np.maximum(contributions, 0) * agrees
        joined = (weights >= self.parameters.threshold) & self.has_direct(contributions)
        by_group = np.stack([positive[:, columns].sum(1) for columns in _GROUPS], 1)  # (P, 3)
        style = agrees[:, _STYLE].sum(1) >= _FEWEST_STYLE
        other = np.where(style, VERDICTS.index("same_style"), VERDICTS.index("unrelated"))
        return np.where(joined, by_group.argmax(1), other).astype(np.int8)
