"""Synthesised sounds whose timbre, rhythm and pitch depend on the topic."""

import io

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from training.world.media.voices import STEPS, Voice

RATE_HZ = 16_000
SECONDS = 1.25
PLACEHOLDERS = 5
"""Number of placeholder sounds: silence, white noise, a hum, a whistle."""

_SAMPLES = round(RATE_HZ * SECONDS)
_HARMONICS = 10
_NYQUIST_HZ = 7000.0
"""Harmonics above are omitted, to avoid aliasing."""
_COARSE = 128
"""Quantisation step of the 16-bit samples, which shrinks files to a third."""

Samples = NDArray[np.float32]


def synthesise(voice: Voice, seed: int) -> Samples:
    """Synthesise a short tune (SECONDS * RATE_HZ,) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    length = max(1, round(RATE_HZ / voice.steps_per_s))  # of a step, in samples
    count = -(-_SAMPLES // length)
    steps = (np.arange(count) + int(rng.integers(STEPS))) % STEPS
    sounds = np.array(voice.rhythm)[steps]
    degrees = np.array(voice.scale)[rng.integers(0, len(voice.scale), count)]
    hertz = voice.base_hz * 2 ** (degrees / 12)  # (T,)

    harmonic = np.arange(1, _HARMONICS + 1)
    loud = harmonic**-voice.tilt * np.where(harmonic % 2, 1, voice.even)
    loud = loud * (1 + 2 * np.exp(-((harmonic - voice.formant) ** 2)))
    loud = loud * (hertz[:, None] * harmonic < _NYQUIST_HZ) * sounds[:, None]  # (T, K)
    phase = 2 * np.pi * np.cumsum(np.repeat(hertz, length)[:_SAMPLES]) / RATE_HZ
    within = (np.arange(_SAMPLES) % length).astype(np.float32) / RATE_HZ
    envelope = np.exp(-voice.decay * within) * np.minimum(within / 0.004, 1)
    tune = _harmonics(phase.astype(np.float32), loud.astype(np.float32), length) * envelope
    tune /= max(float(np.abs(tune).max()), 1e-6)

    noise = rng.standard_normal(_SAMPLES, np.float32)
    beats = np.repeat((steps % 2 == 0).astype(np.float32), length)[:_SAMPLES]
    tune += voice.beat * 0.4 * noise * beats * np.exp(-40 * within)
    tune += voice.noise * rng.standard_normal(_SAMPLES, np.float32)
    tune *= voice.loudness / float(np.abs(tune).max())
    return tune.astype(np.float32)


def placeholder(number: int) -> Samples:
    """Synthesise one of the `PLACEHOLDERS` (SECONDS * RATE_HZ,)."""
    if number == 0:
        samples = np.zeros(_SAMPLES)
    elif number <= 2:
        loudness = (0.05, 0.2)[number - 1]
        samples = loudness * np.random.default_rng(number).standard_normal(_SAMPLES)
    else:
        hertz = (50, 1000)[number - 3]
        samples = 0.2 * np.sin(2 * np.pi * hertz * np.arange(_SAMPLES) / RATE_HZ)
    return samples.astype(np.float32)


def disguise(samples: Samples, seed: int) -> tuple[Samples, float]:
    """Disguise a sound like a re-upload.

    It is shifted by up to a semitone, cut by up to 0.1 s at the start, and louder or softer.

    Returns:
        The sound and the strength of the compression.
    """
    rng = np.random.default_rng(seed)
    if rng.random() < 0.7:
        speed = 2 ** (float(rng.choice((-1, 1))) / 12)
        places = np.arange(0, len(samples) - 1, speed)
        samples = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    if rng.random() < 0.5:
        samples = samples[int(rng.integers(0, RATE_HZ // 10)) :]
    return np.clip(samples * rng.uniform(0.4, 1.5), -1, 1), float(rng.uniform(0.3, 0.8))


def flac(samples: Samples) -> bytes:
    """Encode a sound as FLAC."""
    most = 2**15 // _COARSE
    coarse = np.clip(np.rint(samples * most), -most, most - 1) * _COARSE
    file = io.BytesIO()
    sf.write(file, coarse.astype(np.int16), RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def mp3(samples: Samples, compression: float) -> bytes:
    """Encode a sound as MP3, with a compression from 0 (little) to 1.

    Ogg files contain a random serial number and would not be reproducible.
    """
    file = io.BytesIO()
    sf.write(file, samples, RATE_HZ, "MPEG_LAYER_III", format="MP3", compression_level=compression)
    return file.getvalue()


def decoded(data: bytes) -> Samples:
    """Decode a sound file at `RATE_HZ`."""
    return np.asarray(sf.read(io.BytesIO(data), dtype="float32")[0], np.float32)


def _harmonics(phase: Samples, loud: Samples, length: int) -> Samples:
    """Sum of loud[t, k] * sin((k + 1) * phase), with t the step of a sample.

    Uses sin((k + 1) x) = 2 cos(x) sin(k x) - sin((k - 1) x), so only two waves are computed.
    """
    before, wave, twice_cos = np.zeros_like(phase), np.sin(phase), 2 * np.cos(phase)
    total = np.zeros_like(phase)
    for k in range(_HARMONICS):
        total += np.repeat(loud[:, k], length)[: len(phase)] * wave
        before, wave = wave, twice_cos * wave - before
    return total
