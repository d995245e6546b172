"""Augmentation of sounds: excerpt, gain, speed and noise."""

import numpy as np
from numpy.typing import NDArray

from model_export.contract.media import decode_audio
from model_export.contract.towers import Prepared
from training.towers import Tower
from training.tuning.items import Media

_LONGEST = 3.0
"""Range of the excerpts from the beginning, in lengths of the tower's input."""
_MAX_SECONDS = 60.0
_LEAST_SHARE = 0.5
"""Shortest excerpt, as a share of the tower's input."""
_SEMITONES = 1.0
"""Largest change of pitch and speed, in semitones."""
_GAINS = (0.4, 1.5)
_NOISE_DB = (-50.0, -20.0)
"""Level of white noise, relative to the sound."""


class Sounds(Media):
    """Sounds with augmented views."""

    one, several = "a sound", "sounds"

    def __init__(self, tower: Tower) -> None:
        super().__init__(tower)
        assert tower.spec.audio is not None
        self._spec = tower.spec.audio
        seconds = min(_MAX_SECONDS, _LONGEST * self._spec.seconds)
        self._longer = self._spec.model_copy(update={"seconds": seconds})

    def view(self, number: int, rng: np.random.Generator) -> Prepared:
        """Implements `Items`; float32 (N,)."""
        payload = self.payload(number)
        # A shorter sound is repeated, like in serving.
        samples = decode_audio(payload.data, payload.content_type, self._longer, payload.source)
        excerpt = _excerpt(samples, self._spec.samples, rng)
        return np.resize(changed(excerpt, rng), self._spec.samples)


def _excerpt(
    samples: NDArray[np.float32], most: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    length = round(most * rng.uniform(_LEAST_SHARE, 1))
    begin = int(rng.integers(0, len(samples) - length + 1))
    return samples[begin : begin + length]


def changed(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Randomly change speed and gain of a sound (N,) -> (M,), and add noise."""
    speed = 2 ** (_SEMITONES * rng.uniform(-1, 1) / 12)
    places = np.arange(0, len(samples) - 1, speed)
    heard = np.interp(places, np.arange(len(samples)), samples)
    level = float(np.sqrt((heard**2).mean())) * 10 ** (rng.uniform(*_NOISE_DB) / 20)
    heard = rng.uniform(*_GAINS) * (heard + level * rng.standard_normal(len(heard)))
    return heard.clip(-1, 1).astype(np.float32)
