"""Cover vectors of a world without pictures: noise around a mean per topic and person."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.world.topics import Interest

COVER_SPACE = "world-cover-v1"
COVER_WIDTH = 32

_TOPIC_SPREAD, _INTEREST_SPREAD, _STYLE_SPREAD, _COVER_SPREAD = 1.0, 0.6, 0.8, 0.35
_COPY_NOISE = 0.04
"""Noise of a copied cover, against a spread of 0.35 between covers of one person."""


class Media(Protocol):
    """Generator of a world's media; its results are parts of profiles."""

    def style(self, interest: int) -> Any:
        """Style of a new person with this interest."""
        ...

    def cover(self, style: Any) -> Any:
        """Cover in this style."""
        ...

    def placeholder(self, style: Any) -> Any:
        """Uninformative cover."""
        ...

    def again(self, shown: Any) -> Any:
        """Copied media, as on a duplicate account."""
        ...

    def complete(self, style: Any, profile: dict[str, Any]) -> None:
        """Add media other than covers to a profile."""
        ...

    def stranger(self, interest: int) -> dict[str, Any]:
        """Own fields of an account that re-uploads another person's videos."""
        ...


class CoverVectors:
    """Media generator with cover vectors only."""

    def __init__(self, noise: np.random.Generator, interests: list[Interest]) -> None:
        self._noise = noise
        topics = dict.fromkeys(interest.topic for interest in interests)
        means = {topic: self._normal(_TOPIC_SPREAD) for topic in topics}
        self._means = [means[i.topic] + self._normal(_INTEREST_SPREAD) for i in interests]
        self._placeholder = np.round(self._normal(1.0), 3).tolist()

    def style(self, interest: int) -> NDArray[np.float64]:
        """Mean of a person's covers (COVER_WIDTH,)."""
        return self._means[interest] + self._normal(_STYLE_SPREAD)

    def cover(self, style: NDArray[np.float64], spread: float = _COVER_SPREAD) -> dict[str, Any]:
        """Cover vector around a mean."""
        vector = np.round(style + self._normal(spread), 3).tolist()
        return {"vector": vector, "space": COVER_SPACE}

    def placeholder(self, style: NDArray[np.float64]) -> dict[str, Any]:
        """Placeholder vector shared by many covers."""
        return {"vector": self._placeholder, "space": COVER_SPACE}

    def again(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Slightly changed vector; placeholders are unchanged."""
        if shown["vector"] == self._placeholder:
            return shown
        return self.cover(shown["vector"], _COPY_NOISE)

    def complete(self, style: NDArray[np.float64], profile: dict[str, Any]) -> None:
        """There are no media but covers."""

    def stranger(self, interest: int) -> dict[str, Any]:
        """There are no media but covers."""
        return {}

    def _normal(self, spread: float) -> NDArray[np.float64]:
        return self._noise.standard_normal(COVER_WIDTH) * spread
