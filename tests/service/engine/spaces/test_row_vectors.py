"""Vectors of many rows take 16 bits a component, and hardly differ."""

import numpy as np
import pytest

from service.engine.spaces.row_vectors import RowVectors


def rows(count: int = 3000, width: int = 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    # Of lengths that float16 has not.
    lengths = 10.0 ** rng.uniform(-9, 9, (count, 1))
    return (rng.standard_normal((count, width)) * lengths).astype(np.float32)


def test_few_are_as_they_were_given() -> None:
    values = rows(50)
    kept = RowVectors.of(values, 50)
    assert kept.block(10, 20).tobytes() == values[10:20].tobytes()
    assert kept.scores(values[0]).tolist() == (values @ values[0]).tolist()
    assert kept.take(np.array([7, 3])).tolist() == values[[7, 3]].tolist()


def test_many_are_right_to_a_small_part_of_their_length() -> None:
    values = rows()
    kept = RowVectors.of(values, 100)
    lengths = np.linalg.norm(values, axis=1)
    assert kept.shape == (len(kept), 16) == values.shape
    assert (np.abs(kept.block(0, 3000) - values).max(1) <= 2e-5 * lengths).all()
    np.testing.assert_allclose(kept.lengths(), lengths, rtol=1e-4)
    some = np.array([2999, 0, 5])
    assert kept.take(some).tolist() == kept.block(0, 3000)[some].tolist()
    query = np.random.default_rng(1).standard_normal(16).astype(np.float32)
    exact = values.astype(np.float64) @ query
    bound = 1e-4 * lengths * float(np.linalg.norm(query))
    assert (np.abs(kept.scores(query) - exact) <= bound).all()
    np.testing.assert_allclose(kept.scores(query, some), kept.scores(query)[some], rtol=1e-4)


def test_they_are_put_in_parts_of_the_right_shape() -> None:
    values = rows(300)
    kept = RowVectors.empty(300, 16, 100)
    for begin in range(0, 300, 70):
        kept.put(begin, values[begin : begin + 70])
    assert kept.block(0, 300).tolist() == RowVectors.of(values, 100).block(0, 300).tolist()
    for begin, wrong in ((250, values[:70]), (0, values[:, :8])):
        with pytest.raises(ValueError, match="are no rows from"):
            kept.put(begin, wrong)
