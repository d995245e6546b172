"""Arrays as pages of a file without a name."""

from pathlib import Path

import numpy as np
import pytest

from service.engine.spaces.array_file import ArrayFile


def test_arrays_are_as_they_were_and_nobody_sees_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = [
        rng.standard_normal((1000, 7)).astype(np.float32),
        np.arange(5, dtype=np.uint8),
        np.zeros((0, 4), np.int16),
        rng.integers(9, size=(3, 4, 5)).transpose(2, 0, 1),
    ]
    with ArrayFile(tmp_path) as file:
        kept = [file.keep(array) for array in given]
        assert list(tmp_path.iterdir()) == []
    for one, other in zip(given, kept, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tolist() == other.tolist()
    with pytest.raises(ValueError, match="read-only"):
        kept[0][0] = 1


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ArrayFile(tmp_path / "none")
