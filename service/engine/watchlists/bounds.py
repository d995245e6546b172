"""Upper bounds of match weights.

Levels of a channel have an order, the strongest agreement first, and are decided by conditions such
as "20 bits are shared". Whoever decides them by numbers that are no smaller than the true ones gets
the true level or a stronger one. Weights need not fall with the levels, so the bound of a channel
is the largest weight of that level and of all weaker ones: never less than the true weight.
"""

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import CHANNELS, IDENTITY, NAMES_OF_CHANNELS, Levels, Matcher

Bits = NDArray[np.float64]
SLACK = 1e-4
"""Share by which sums of bits, and by which cosines are taken for larger than they are: the
comparison adds them in another order and precision."""
_LARGEST_ODDS = 52.99
"""Bits of odds below those of which the probability is 1 in 64 bits."""


class Bounds:
    """Tables of one model's weights."""

    def __init__(self, matcher: Matcher) -> None:
        """Tabulate the largest weight from each level on."""
        most = max(len(channel.levels) for channel in CHANNELS)
        self._parameters = matcher.parameters
        levels = np.array(
            [[min(level, len(c.levels) - 1) for c in CHANNELS] for level in range(most)], np.int8
        )  # (L, channels): a channel with fewer levels repeats its last one
        weights = matcher.bits[np.arange(len(CHANNELS))[:, None], levels.T]  # (channels, L)
        self._from = np.maximum.accumulate(weights[:, ::-1], axis=1)[:, ::-1]
        self.last = weights[:, -1]
        """Weight of each channel's last level, where nothing is shared (channels,)."""
        self.against = float(np.maximum(-self.last, 0).sum())
        """Bits against a pair, of all channels, at most: they do not count where it is told."""

    def of(self, channel: str, levels: Levels) -> Bits:
        """What a channel weighs at most at these levels (N,), or weaker ones."""
        return self._from[NAMES_OF_CHANNELS.index(channel)][levels]

    def told(self, channel: str, levels: Levels) -> Bits:
        """What is to be added to bounds at these levels (N,), or weaker ones, of a channel.

        Where a channel of `IDENTITY` speaks for a pair, bits against it do not count.
        """
        speaks = (
            self.of(channel, levels) > 0 if channel in IDENTITY else np.zeros(len(levels), bool)
        )
        return np.where(speaks, self.against, 0.0)

    def required(self, probability: float) -> float:
        """The match weight from which pairs have a probability, in (0, 1]."""
        given = self._parameters
        odds = np.log2(probability) - np.log2(max(1 - probability, 2.0**-60))
        prior = np.log2(given.prior / (1 - given.prior))
        return (min(float(odds), _LARGEST_ODDS) - float(prior)) / given.slope
