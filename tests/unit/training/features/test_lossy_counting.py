from collections import Counter

import numpy as np

from training.features.lossy_counting import FrequencyCounter


def things(seed: int) -> list[list[str]]:
    """What 2,000 profiles show: few frequent things, and many that are seen once."""
    rng = np.random.default_rng(seed)
    return [
        [*{f"t{k}" for k in rng.zipf(1.5, 10)}, *(f"own{i}-{j}" for j in range(5))]
        for i in range(2000)
    ]


def test_counts_are_exact_while_there_is_room():
    counter, expected = FrequencyCounter(), Counter[str]()
    for each in things(0):
        counter.update(each)
        expected.update(each)
    assert counter.counts == expected
    assert counter.missed == 0


def test_beyond_it_the_frequent_ones_are_known_and_fall_short_by_little():
    counter, expected, most = FrequencyCounter(1000), Counter[str](), 0
    for each in things(1):
        counter.update(each)
        expected.update(each)
        most = max(most, len(counter.counts))
    assert most <= 1000
    assert 0 < counter.missed < 100
    for thing, count in expected.items():
        assert count - counter.missed <= counter.counts[thing] <= count
