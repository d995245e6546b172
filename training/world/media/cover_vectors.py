"""Covers of a world without pictures: vectors around a mean per topic, interest and person."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.world.topics import Interest

COVER_SPACE = "world-cover-v1"
COVER_WIDTH = 32

_TOPIC_SPREAD, _INTEREST_SPREAD, _STYLE_SPREAD, _COVER_SPREAD = 1.0, 0.6, 0.8, 0.35
_COPY_NOISE = 0.04
"""What saving a picture again changes, against a spread of 0.35 between covers of one person."""


class Media(Protocol):
    """What people of a world look and sound like. What it returns goes into profiles."""

    def style(self, interest: int) -> Any:
        """What everything has in common that a new person with this interest shows."""
        ...

    def cover(self, style: Any) -> Any:
        """A cover of a person with this style."""
        ...

    def placeholder(self, style: Any) -> Any:
        """A cover that says nothing."""
        ...

    def again(self, shown: Any) -> Any:
        """The same, as a copied account shows it."""
        ...

    def complete(self, style: Any, profile: dict[str, Any]) -> None:
        """Add what is shown beside covers to a written profile."""
        ...

    def stranger(self, interest: int) -> dict[str, Any]:
        """Fields that somebody adds who shows another person's videos as their own."""
        ...


class CoverVectors:
    """Media of a world in which covers are vectors, and there are no others."""

    def __init__(self, noise: np.random.Generator, interests: list[Interest]) -> None:
        self._noise = noise
        topics = dict.fromkeys(interest.topic for interest in interests)
        means = {topic: self._normal(_TOPIC_SPREAD) for topic in topics}
        self._means = [means[i.topic] + self._normal(_INTEREST_SPREAD) for i in interests]
        self._placeholder = np.round(self._normal(1.0), 3).tolist()

    def style(self, interest: int) -> NDArray[np.float64]:
        """(COVER_WIDTH,) mean of a person's covers."""
        return self._means[interest] + self._normal(_STYLE_SPREAD)

    def cover(self, style: NDArray[np.float64], spread: float = _COVER_SPREAD) -> dict[str, Any]:
        """A picture as a vector around a mean."""
        vector = np.round(style + self._normal(spread), 3).tolist()
        return {"vector": vector, "space": COVER_SPACE}

    def placeholder(self, style: NDArray[np.float64]) -> dict[str, Any]:
        """The one vector that many covers share."""
        return {"vector": self._placeholder, "space": COVER_SPACE}

    def again(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Nearly the same vector; the placeholder stays as it is."""
        if shown["vector"] == self._placeholder:
            return shown
        return self.cover(shown["vector"], _COPY_NOISE)

    def complete(self, style: NDArray[np.float64], profile: dict[str, Any]) -> None:
        """Nothing but covers is shown."""

    def stranger(self, interest: int) -> dict[str, Any]:
        """Nothing but covers is shown."""
        return {}

    def _normal(self, spread: float) -> NDArray[np.float64]:
        return self._noise.standard_normal(COVER_WIDTH) * spread
