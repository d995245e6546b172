"""Which sounds are copies of each other: re-encoded, louder, a semitone off, begun later.

Of a sound its *print* is kept: the levels of 60 bands, a semitone each from 100 Hz on, at 48
moments 20 ms apart, which is its first second (a shorter one is repeated). What is compared is
the sign of how each band, beside the octave around it, changes over 40 ms: neither loudness nor
timbre plays a part. .6 s out of one print are laid over the other at each moment from 80 ms before
to 120 ms after, as it is and played a semitone higher and lower, which makes it faster or slower.

Measured on the 3,234 sounds of a simulated world of 2,000 and 215 pairs of which one is a copy of
the other in disguise (up to a semitone off, up to .1 s cut off, gain .4 to 1.5 and clipped, MP3).
So many signs agree in this share of the copies, and in none of 1.4 million pairs of others':

    .66  .953      .68  .949      .72  .921      .76  .833
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

PRINT_MOMENTS, PRINT_BANDS = 48, 60
COPY_AGREEMENT = 0.72
"""Sounds of which so large a share of the signs agrees are copies."""
_LOWEST_HZ, _STEP_S, _WINDOW_S = 100.0, 0.02, 0.064
_FLOOR, _SCALE = 0.1, 16.0
"""Of a band's power, where the sound's mean square is 1; and levels per factor of e."""
_OCTAVE = 13
_FIRST, _LENGTH, _BEGINS = 6, 30, range(2, 13)
"""The part that is laid over the other, in moments, and where it is laid."""
_SEMITONES = (-1, 0, 1)
_EDGE = 2
"""Bands at either end that no other is shifted into."""
_TELLING = 0.5
"""Share of the bands that change, of a sound that can be known again."""

_Floats = npt.NDArray[np.float32]


def print_of(samples: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.uint8]:
    """The print of a sound.

    Args:
        samples: (N,), one second or more, as `decode_audio` returns them.
        rate_hz: samples a second, 8,000 or more.

    Returns:
        uint8 (48, 60), levels.
    """
    step, window = round(_STEP_S * rate_hz), round(_WINDOW_S * rate_hz)
    begins = step * np.arange(PRINT_MOMENTS)
    heard = np.resize(samples, begins[-1] + window).astype(np.float32)
    heard /= np.sqrt((heard**2).mean()) + 1e-9
    frames = heard[begins[:, None] + np.arange(window)]  # (48, window)
    frames *= np.hanning(window).astype(np.float32)
    bins, weights = _bands(rate_hz, window)  # (120, W)
    waves = np.fft.rfft(frames, 2 * window)[:, : bins.max() + 1]  # (48, F)
    power = waves.real**2 + waves.imag**2
    # Not a product of matrices: BLAS would wake its threads, which take longer than the sum.
    loud = np.einsum("tbw,bw->tb", power[:, bins], weights)
    halves = np.log(loud + _FLOOR)  # (48, 120), half a semitone each
    levels = _SCALE * (halves.reshape(PRINT_MOMENTS, PRINT_BANDS, 2).mean(-1) - np.log(_FLOOR))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Prints:
    """Prints of N sounds, made ready to be compared.

    Attributes:
        changes: float16 (N, 48, 60), of each band beside its octave, over time.
        telling: bool (N,), whether enough changes to know the sound again.
    """

    changes: npt.NDArray[np.float16]
    telling: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.telling)

    @classmethod
    def all_of(cls, several: "Sequence[Prints]") -> "Prints":
        """Several, one after the other."""
        changes = np.concatenate([prints.changes for prints in several])
        return cls(changes, np.concatenate([prints.telling for prints in several]))


def prints_of(levels: npt.NDArray[np.uint8]) -> Prints:
    """Prints (N, 48, 60), made ready."""
    floats = levels.astype(np.float32)
    half = _OCTAVE // 2
    padded = np.pad(floats, ((0, 0), (0, 0), (half + 1, half)), mode="edge")
    total = padded.cumsum(-1)
    beside = floats - (total[..., _OCTAVE:] - total[..., :-_OCTAVE]) / _OCTAVE  # (N, 48, 60)
    changes = np.zeros(beside.shape, np.float32)
    changes[:, 1:-1] = beside[:, 2:] - beside[:, :-2]
    telling = (np.abs(changes) > 1).mean((1, 2)) >= _TELLING
    return Prints(changes.astype(np.float16), telling & floats.any((1, 2)))


def agreement(wholes: Prints, sounds: Prints) -> _Floats:
    """The share of signs in which the middle of N sounds and M others agree at best: (N, M).

    0 where either tells too little. Who wants it both ways asks twice.
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
    """Sounds (N, 48, 60) as if played higher and faster by semitones: (N, <= 48, 60)."""
    last = changes.shape[1] - 1
    moments = np.arange(last + 1, dtype=np.float64) * math.exp2(semitones / 12)
    moments = moments[moments < last]
    before = moments.astype(np.int64)
    share = (moments - before).astype(np.float32)[:, None]
    stretched = changes[:, before] * (1 - share) + changes[:, before + 1] * share
    return np.roll(stretched, semitones, axis=2).astype(np.float32)


@lru_cache(maxsize=8)
def _bands(rate_hz: int, window: int) -> tuple[npt.NDArray[np.int64], _Floats]:
    """Triangles half a semitone apart, each of sum 1, as wide as the window.

    Returns:
        Of each the frequencies that it hears, as places in a spectrum, and their weights: (120, W),
        the weights of those beyond a narrow one are 0.
    """
    per_octave = 24
    hertz = _LOWEST_HZ * 2 ** (np.arange(2 * PRINT_BANDS) / per_octave)
    frequencies = np.maximum(np.arange(window + 1) * rate_hz / (2 * window), 1e-3)
    width = per_octave * np.log2(1 + 0.6 * rate_hz / window / hertz)
    apart = np.abs(per_octave * np.log2(frequencies / hertz[:, None]))
    triangles = np.maximum(0, 1 - apart / np.maximum(1, width)[:, None])  # (120, F)
    widest = int((triangles > 0).sum(1).max())
    first = np.minimum((triangles > 0).argmax(1), len(frequencies) - widest)
    bins = first[:, None] + np.arange(widest)
    weights = np.take_along_axis(triangles, bins, 1)
    return bins, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
