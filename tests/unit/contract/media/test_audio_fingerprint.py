"""Copies of sounds are known again by their prints, and others are not taken for them."""

import random

import numpy as np
import pytest

from model_export.contract.media import (
    COPY_AGREEMENT,
    FINGERPRINT_BANDS,
    FINGERPRINT_MOMENTS,
    Fingerprints,
    agreement,
    fingerprint_of,
    fingerprints_of,
)
from tests.unit.contract.media.files import tone
from training.world.media.sounds import RATE_HZ, decoded, disguise, mp3, synthesise
from training.world.media.voices import interest_voice, personal_voice, topic_voices


def prints(*sounds: np.ndarray, rate_hz: int = RATE_HZ) -> Fingerprints:
    return fingerprints_of(np.stack([fingerprint_of(sound, rate_hz) for sound in sounds]))


def alike(first: Fingerprints, second: Fingerprints) -> np.ndarray:
    return np.maximum(agreement(first, second), agreement(second, first).T)


@pytest.fixture(scope="module")
def originals() -> list[np.ndarray]:
    """Tunes of 80 people, ten of each of eight topics."""
    rng = random.Random(5)
    voices = topic_voices(rng, [f"d{i % 3}/t{i}" for i in range(8)])
    people = [personal_voice(rng, interest_voice(rng, voice)) for voice in voices * 10]
    return [synthesise(voice, i) for i, voice in enumerate(people)]


def test_disguised_copies_are_found_and_nothing_else(originals: list[np.ndarray]) -> None:
    copies = [decoded(mp3(*disguise(sound, i))) for i, sound in enumerate(originals)]
    found = alike(prints(*originals), prints(*copies)) >= COPY_AGREEMENT
    assert found.diagonal().mean() >= 0.9
    assert not (found & ~np.eye(len(originals), dtype=bool)).any()


def test_what_is_forgiven(originals: list[np.ndarray]) -> None:
    sound = originals[0]
    places = np.arange(0, len(sound) - 1, 2 ** (1 / 12))
    changed = {
        "softer": 0.2 * sound,
        "clipped": np.clip(2 * sound, -1, 1),
        "later": sound[1600:],
        "a semitone higher": np.interp(places, np.arange(len(sound)), sound),
        "noisy": sound + 0.005 * np.random.default_rng(0).standard_normal(len(sound)),
        "at another rate": np.repeat(sound, 2),
    }
    for name, heard in changed.items():
        rate_hz = 2 * RATE_HZ if name == "at another rate" else RATE_HZ
        (share,) = alike(prints(sound), prints(heard.astype(np.float32), rate_hz=rate_hz)).ravel()
        assert share >= COPY_AGREEMENT, name


def test_what_says_nothing_is_no_copy_of_itself(originals: list[np.ndarray]) -> None:
    says_nothing = prints(np.zeros(RATE_HZ, np.float32), tone(1, RATE_HZ, 1000))
    assert not says_nothing.telling.any()
    assert not agreement(says_nothing, says_nothing).any()
    assert not agreement(prints(originals[0]), says_nothing).any()
    stored = fingerprints_of(np.zeros((1, FINGERPRINT_MOMENTS, FINGERPRINT_BANDS), np.uint8))
    assert not stored.telling.any()


def test_a_print_is_small_and_a_short_sound_is_repeated(originals: list[np.ndarray]) -> None:
    found = fingerprint_of(originals[0], RATE_HZ)
    assert (found.shape, found.dtype) == (
        (FINGERPRINT_MOMENTS, FINGERPRINT_BANDS),
        np.dtype(np.uint8),
    )
    short = originals[0][: RATE_HZ // 4]
    np.testing.assert_array_equal(
        fingerprint_of(short, RATE_HZ), fingerprint_of(np.tile(short, 9), RATE_HZ)
    )


def test_none_at_all(originals: list[np.ndarray]) -> None:
    none = fingerprints_of(np.zeros((0, FINGERPRINT_MOMENTS, FINGERPRINT_BANDS), np.uint8))
    one = prints(originals[0])
    assert agreement(none, one).shape == (0, 1)
    assert agreement(one, none).shape == (1, 0)
    assert len(Fingerprints.all_of([none, one, one])) == 2
