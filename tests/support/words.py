"""Texts that no other test has."""

import random

_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


def words(seed: str, count: int) -> str:
    """Words that mean nothing and that nobody else has; the same for the same seed."""
    rng = random.Random(seed)
    return " ".join("".join(rng.choices(_SYLLABLES, k=3)) for _ in range(count))
