"""What dropout leaves of a row."""

import numpy as np
import pytest

from training.config import RecipeConfig
from training.features.bags import Bags
from training.features.dropout import drop_tokens

KNOWN, ROWS = 9, 4000
UNKNOWN = 10


def bags_of(tokens: list[int], vector: float | None) -> Bags:
    """Many rows of these tokens, and of a vector in a space, or none."""
    count = len(tokens) * ROWS
    pooled = () if vector is None else (np.full((ROWS, 2), vector, np.float32),)
    return Bags(
        indptr=np.arange(ROWS + 1) * len(tokens),
        ids=np.tile(np.array(tokens, np.int32), ROWS),
        counts=np.ones(count, np.uint16),
        modality=np.ones(count, np.uint8),
        pooled=pooled,
    )


def known_left(bags: Bags) -> np.ndarray:
    row = np.repeat(np.arange(len(bags)), bags.lengths)
    return np.bincount(row[bags.ids <= KNOWN], minlength=len(bags))


@pytest.mark.parametrize("vector", [None, 0.0, 1.0])
@pytest.mark.parametrize("tokens", [[3], [3, UNKNOWN], [2, 3, UNKNOWN], [1, 2, 3, 4]])
def test_a_row_keeps_something_that_the_encoder_reads(tokens: list[int], vector: float | None):
    config = RecipeConfig(token_dropout=0.7, modality_dropout=0.4)
    found = drop_tokens(bags_of(tokens, vector), KNOWN, config, np.random.default_rng(0))
    shows_vector = np.zeros(ROWS, bool) if vector is None else found.pooled[0].any(1)
    assert (shows_vector | (known_left(found) > 0)).all()
    if vector == 1:  # hidden where a token is left
        share = 0.4 * (1 - 0.7 ** sum(token <= KNOWN for token in tokens))
        assert (~shows_vector).mean() == pytest.approx(share, abs=0.03)


def test_what_is_restored_is_drawn_among_the_known():
    config = RecipeConfig(token_dropout=0.99, modality_dropout=0.0)
    found = drop_tokens(bags_of([1, UNKNOWN, 2, 3], None), KNOWN, config, np.random.default_rng(0))
    count = np.bincount(found.ids, minlength=UNKNOWN + 1)
    np.testing.assert_allclose(count[1:4] / ROWS, 1 / 3, atol=0.05)
    assert count[UNKNOWN] / ROWS == pytest.approx(0.01, abs=0.01)


def test_what_shows_nothing_stays_empty():
    config = RecipeConfig(token_dropout=0.5, modality_dropout=0.4)
    for tokens in ([], [UNKNOWN]):
        found = drop_tokens(bags_of(tokens, 0.0), KNOWN, config, np.random.default_rng(0))
        assert not known_left(found).any()
        assert not found.pooled[0].any()


def test_without_dropout_nothing_is_lost():
    config = RecipeConfig(token_dropout=0.0, modality_dropout=0.0)
    bags = bags_of([1, 2, UNKNOWN], 1.0)
    found = drop_tokens(bags, KNOWN, config, np.random.default_rng(0))
    np.testing.assert_array_equal(found.ids, bags.ids)
    np.testing.assert_array_equal(found.pooled[0], bags.pooled[0])
