"""Audio fingerprints, which find copies of sounds: re-encoded, louder, a semitone off, shifted.

A fingerprint holds the levels of 60 bands, a semitone each from 100 Hz, at 48 moments 20 ms apart:
the first second of the sound, repeated if it is shorter. Two sounds are compared by the signs of
how each band changes over 40 ms relative to the octave around it, so loudness and timbre play no
part. An excerpt of 0.6 s of one fingerprint is compared with the other at offsets from -80 to
+120 ms, unchanged and resampled by a semitone up and down.

Measured on the 3,234 sounds of a simulated world of 2,000 streamers and 215 pairs of a sound and
its disguised copy (up to a semitone off, up to 0.1 s cut off, gain 0.4 to 1.5 with clipping, MP3).
Threshold as a share of agreeing signs, and share of the copies found; none of 1.4 million other
pairs reaches any of these thresholds:

    0.66  0.953      0.68  0.949      0.72  0.921      0.76  0.833
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FINGERPRINT_MOMENTS, FINGERPRINT_BANDS = 48, 60
COPY_AGREEMENT = 0.72
"""Sounds are copies from this share of agreeing signs."""
_LOWEST_HZ, _STEP_S, _WINDOW_S = 100.0, 0.02, 0.064
_FLOOR, _SCALE = 0.1, 16.0
"""Floor of a band's power, where the sound's mean square is 1; levels per factor of e."""
_OCTAVE = 13
_FIRST, _LENGTH, _BEGINS = 6, 30, range(2, 13)
"""First moment and length of the excerpt, and the offsets at which it is compared."""
_SEMITONES = (-1, 0, 1)
_EDGE = 2
"""Bands left out at either end, since shifting by semitones wraps around there."""
_TELLING = 0.5
"""Smallest share of changing bands of a sound that can be recognised."""

_Floats = npt.NDArray[np.float32]


def fingerprint_of(samples: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.uint8]:
    """Fingerprint of a sound.

    Args:
        samples: (N,), one second or more, from `decode_audio`.
        rate_hz: samples per second, 8,000 or more.

    Returns:
        uint8 (48, 60), levels.
    """
    step, window = round(_STEP_S * rate_hz), round(_WINDOW_S * rate_hz)
    begins = step * np.arange(FINGERPRINT_MOMENTS)
    heard = np.resize(samples, begins[-1] + window).astype(np.float32)
    heard /= np.sqrt((heard**2).mean()) + 1e-9
    frames = heard[begins[:, None] + np.arange(window)]  # (48, window)
    frames *= np.hanning(window).astype(np.float32)
    bins, weights = _bands(rate_hz, window)  # (120, W)
    waves = np.fft.rfft(frames, 2 * window)[:, : bins.max() + 1]  # (48, F)
    power = waves.real**2 + waves.imag**2
    # Not a matrix product: BLAS would wake its threads, which take longer than the sum.
    loud = np.einsum("tbw,bw->tb", power[:, bins], weights)
    halves = np.log(loud + _FLOOR)  # (48, 120), half a semitone each
    levels = _SCALE * (
        halves.reshape(FINGERPRINT_MOMENTS, FINGERPRINT_BANDS, 2).mean(-1) - np.log(_FLOOR)
    )
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Audio fingerprints of N sounds, preprocessed for comparison.

    Attributes:
        changes: float16 (N, 48, 60), change over time of each band relative to its octave.
        telling: bool (N,), whether the sound changes enough to be recognised.
    """

    changes: npt.NDArray[np.float16]
    telling: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.telling)

    @classmethod
    def all_of(cls, several: "Sequence[Fingerprints]") -> "Fingerprints":
        """Fingerprints of several sets in one."""
        changes = np.concatenate([each.changes for each in several])
        return cls(changes, np.concatenate([each.telling for each in several]))


def fingerprints_of(levels: npt.NDArray[np.uint8]) -> Fingerprints:
    """Preprocess stored levels (N, 48, 60) for comparison."""
    floats = levels.astype(np.float32)
    half = _OCTAVE // 2
    padded = np.pad(floats, ((0, 0), (0, 0), (half + 1, half)), mode="edge")
    total = padded.cumsum(-1)
    beside = floats - (total[..., _OCTAVE:] - total[..., :-_OCTAVE]) / _OCTAVE  # (N, 48, 60)
    changes = np.zeros(beside.shape, np.float32)
    changes[:, 1:-1] = beside[:, 2:] - beside[:, :-2]
    telling = (np.abs(changes) > 1).mean((1, 2)) >= _TELLING
    return Fingerprints(changes.astype(np.float16), telling & floats.any((1, 2)))


def agreement(wholes: Fingerprints, sounds: Fingerprints) -> _Floats:
    """Best share of agreeing signs between excerpts of N sounds and M other sounds: (N, M).

    The share is 0 where either sound changes too little. It is not symmetric: for the best match
    in both directions, call it twice.
    """
    whole = wholes.changes[:, _FIRST : _FIRST + _LENGTH].astype(np.float32)
    middle = _signs(whole)  # (N, 30 x 56)
    best = np.zeros((len(wholes), len(sounds)), np.float32)
    for semitones in _SEMITONES:
        played = _played(sounds.changes.astype(np.float32), semitones)
        for begin in _BEGINS:
            if begin + _LENGTH <= played.shape[1]:
                laid = _signs(played[:, begin : begin + _LENGTH])
                np.maximum(best, (middle @ laid.T / middle.shape[1] + 1) / 2, out=best)
    return np.where(wholes.telling[:, None] & sounds.telling, best, 0).astype(np.float32)


def _signs(changes: _Floats) -> _Floats:
    inner = changes[:, :, _EDGE:-_EDGE]
    return np.sign(inner).reshape(len(changes), inner.shape[1] * inner.shape[2])


def _played(changes: _Floats, semitones: int) -> _Floats:
    """Fingerprints (N, 48, 60) resampled and shifted by semitones: (N, <= 48, 60)."""
    last = changes.shape[1] - 1
    moments = np.arange(last + 1, dtype=np.float64) * math.exp2(semitones / 12)
    moments = moments[moments < last]
    before = moments.astype(np.int64)
    share = (moments - before).astype(np.float32)[:, None]
    stretched = changes[:, before] * (1 - share) + changes[:, before + 1] * share
    return np.roll(stretched, semitones, axis=2).astype(np.float32)


@lru_cache(maxsize=8)
def _bands(rate_hz: int, window: int) -> tuple[npt.NDArray[np.int64], _Floats]:
    """Triangular filters half a semitone apart, each with sum 1, as wide as the window resolves.

    Returns:
        Spectrum bins of each filter and their weights, both (120, W); unused bins weigh 0.
    """
    per_octave = 24
    hertz = _LOWEST_HZ * 2 ** (np.arange(2 * FINGERPRINT_BANDS) / per_octave)
    frequencies = np.maximum(np.arange(window + 1) * rate_hz / (2 * window), 1e-3)
    width = per_octave * np.log2(1 + 0.6 * rate_hz / window / hertz)
    apart = np.abs(per_octave * np.log2(frequencies / hertz[:, None]))
    triangles = np.maximum(0, 1 - apart / np.maximum(1, width)[:, None])  # (120, F)
    widest = int((triangles > 0).sum(1).max())
    first = np.minimum((triangles > 0).argmax(1), len(frequencies) - widest)
    bins = first[:, None] + np.arange(widest)
    weights = np.take_along_axis(triangles, bins, 1)
    return bins, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
