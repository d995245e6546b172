"""Sounds tell the topic, not too plainly, and a copy is still the same sound."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.training.world.probe import hit_rates
from training.world.media.sounds import (
    PLACEHOLDERS,
    RATE_HZ,
    SECONDS,
    decoded,
    disguise,
    flac,
    mp3,
    placeholder,
    synthesise,
)
from training.world.media.voices import Voice, interest_voice, personal_voice, topic_voices

pytestmark = pytest.mark.slow

TOPICS = [f"d{domain}/t{topic}" for domain in range(4) for topic in range(6)]
PEOPLE = 24
"""Of each topic."""
_WINDOW = 1024


@pytest.fixture(scope="module")
def voices() -> list[list[Voice]]:
    """Of people, by topic."""
    rng = random.Random(11)
    return [
        [personal_voice(rng, interest_voice(rng, topic)) for _ in range(PEOPLE)]
        for topic in topic_voices(rng, TOPICS)
    ]


def test_a_simple_probe_learns_the_topic_from_people_it_has_not_heard(
    voices: list[list[Voice]],
) -> None:
    heard = [
        (topic, statistics(decoded(flac(synthesise(voice, 1000 * topic + i)))))
        for topic, people in enumerate(voices)
        for i, voice in enumerate(people)
    ]
    topics, features = np.array([t for t, _ in heard]), np.stack([f for _, f in heard])
    learned, shuffled = hit_rates(features, topics)
    assert learned > 6 / len(TOPICS)
    assert learned < 0.95
    assert shuffled < 2.5 / len(TOPICS)


def test_a_copy_is_found_among_sounds_of_the_same_topic(voices: list[list[Voice]]) -> None:
    for topic in (0, 9):
        originals = [synthesise(voice, i) for i, voice in enumerate(voices[topic])]
        files = [mp3(*disguise(samples, i)) for i, samples in enumerate(originals)]
        assert len(set(files)) == PEOPLE
        shifts = np.stack([[pitches(s, shift) for shift in (-1, 0, 1)] for s in originals])
        found = [int((shifts @ pitches(decoded(file), 0)).max(1).argmax()) for file in files]
        assert np.mean(np.array(found) == np.arange(PEOPLE)) >= 0.9


def test_sounds_are_small_and_the_same_each_time(voices: list[list[Voice]]) -> None:
    for i, voice in enumerate(people[0] for people in voices):
        samples = synthesise(voice, i)
        assert samples.dtype == np.float32
        assert np.abs(samples).max() == pytest.approx(voice.loudness, rel=1e-5)
        assert len(decoded(flac(samples))) == round(SECONDS * RATE_HZ)
        assert np.abs(decoded(flac(samples)) - samples).max() <= 1 / 128
        assert len(flac(samples)) < 24_000
        assert flac(synthesise(voice, i)) == flac(samples)
        copied = disguise(samples, i)
        assert mp3(*copied) == mp3(*disguise(samples, i))
        assert len(decoded(mp3(*copied))) == len(copied[0])


def test_placeholders_are_silent_or_monotonous() -> None:
    assert not placeholder(0).any()
    for number in range(1, PLACEHOLDERS):
        halves = np.split(placeholder(number), 2)
        loud, louder = sorted(float(np.std(half)) for half in halves)
        assert louder < 1.05 * loud


def spectra(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """(windows, frequencies) power."""
    windows = len(samples) // _WINDOW
    parts = samples[: windows * _WINDOW].reshape(windows, _WINDOW) * np.hanning(_WINDOW)
    return np.abs(np.fft.rfft(parts, axis=1)) ** 2


def statistics(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean and spread of the power in bands."""
    bands = np.unique(np.geomspace(1, _WINDOW // 2, 40).astype(int))
    power = np.log(np.add.reduceat(spectra(samples), bands, axis=1) + 1e-3)
    return np.concatenate([power.mean(0), power.std(0)])


def pitches(samples: NDArray[np.float32], semitones: int) -> NDArray[np.float64]:
    """(P,) which pitches sound, as if played by that much higher; without mean, of length 1."""
    power = np.log(np.abs(np.fft.rfft(samples, 4 * RATE_HZ)) + 1.0)  # a quarter of a hertz each
    hertz = 100 * 2 ** (np.arange(12 * 5 * 2) / 24 - semitones / 12)
    bands = np.add.reduceat(power, (hertz * 4).astype(int))[:-1] / np.diff((hertz * 4).astype(int))
    bands -= bands.mean()
    return bands / np.linalg.norm(bands)
