import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.data.folders import write_folder
from training.data import load_dataset, validate

IDS = np.array(["a", "c"])
VECTORS = np.array([[1.0, 0.0, 2.0], [0.5, -1.0, 3.0]], np.float32)
USERS = {"user_ids": np.array(["u1"]), "user_vectors": np.ones((1, 3), np.float32)}


def problems_of(folder: Path, **arrays: Any) -> list[str]:
    np.savez(write_folder(folder) / "id_embeddings.npz", **arrays)
    return [str(problem) for problem in validate(folder)]


def test_vectors_of_streamers_and_users(tmp_path: Path) -> None:
    assert problems_of(tmp_path, ids=IDS, vectors=VECTORS.astype(np.float64), **USERS) == []
    embeddings = load_dataset(tmp_path).id_embeddings
    assert embeddings is not None
    assert embeddings.ids == ["a", "c"]
    assert embeddings.vectors.dtype == np.float32
    assert embeddings.vectors.tolist() == VECTORS.tolist()
    assert embeddings.user_ids == ["u1"]
    assert embeddings.user_vectors is not None
    assert embeddings.user_vectors.shape == (1, 3)


def test_parquet_vectors(tmp_path: Path) -> None:
    table = {
        "streamer_id": ["a", None, "c"],
        "user_id": [None, "u1", None],
        "vector": [VECTORS[0].tolist(), [1.0, 1.0, 1.0], VECTORS[1].tolist()],
    }
    pq.write_table(pa.table(table), write_folder(tmp_path) / "id_embeddings.parquet")
    embeddings = load_dataset(tmp_path).id_embeddings
    assert embeddings is not None
    assert embeddings.ids == ["a", "c"]
    assert embeddings.vectors.tolist() == VECTORS.tolist()
    assert embeddings.user_ids == ["u1"]


def with_row(row: int, value: float) -> np.ndarray:
    changed = VECTORS.copy()
    changed[row, 1:] = value
    changed[row, 0] = 0 if value == 0 else 1
    return changed


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"vectors": with_row(1, np.nan)}, "id_embeddings.npz:2: vectors: has NaN or infinity"),
        ({"vectors": with_row(0, np.inf)}, "id_embeddings.npz:1: vectors: has NaN or infinity"),
        (
            {"vectors": VECTORS.astype(float) + 1e300},
            "id_embeddings.npz:2: vectors: has NaN or infinity",
        ),
        ({"vectors": with_row(1, 0)}, "id_embeddings.npz:2: vectors: is all zeros"),
        ({"vectors": VECTORS[0]}, "vectors: needs shape (M, width) of floats, is (3,)"),
        ({"vectors": VECTORS.astype(int)}, "of floats, is (2, 3) of int64"),
        ({"vectors": VECTORS[:1]}, "vectors: has 1 rows, ids has 2"),
        ({"ids": np.array([1, 2])}, "ids: needs shape (M,) of text, is (2,) of int64"),
        ({"ids": np.array(["a", "a"])}, "id_embeddings.npz:2: ids: 'a' is already in row 1"),
        ({"ids": np.array(["a", "q"])}, "id_embeddings.npz:2: ids: 'q' is not a streamer"),
        ({"ids": np.array(["a", {}], object)}, "ids: can't be read: Object arrays"),
        ({"extra": IDS}, "extra: is unknown"),
        ({"user_ids": np.array(["u"])}, "user_vectors: is missing"),
        (
            {"user_ids": np.array(["u"]), "user_vectors": np.ones((1, 4))},
            "user_vectors: is 4 wide, vectors is 3 wide",
        ),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    found = problems_of(tmp_path, **({"ids": IDS, "vectors": VECTORS} | arrays))
    assert expected in found[-1]


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    assert problems_of(tmp_path, ids=IDS) == ["id_embeddings.npz: vectors: is missing"]


@pytest.mark.parametrize("kept", [0, 30, 400])
def test_a_damaged_file_is_named(tmp_path: Path, kept: int) -> None:
    whole = io.BytesIO()
    np.savez(whole, ids=IDS, vectors=VECTORS)
    (write_folder(tmp_path) / "id_embeddings.npz").write_bytes(whole.getvalue()[:kept])
    (problem,) = validate(tmp_path)
    assert problem.file == "id_embeddings.npz"
    assert "can't be read" in problem.reason


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    with (write_folder(tmp_path) / "id_embeddings.npz").open("wb") as file:
        np.save(file, VECTORS)
    assert [str(p) for p in validate(tmp_path)] == [
        "id_embeddings.npz: is a single array, not an .npz file"
    ]


def test_every_byte_may_be_damaged(tmp_path: Path) -> None:
    """A flipped byte anywhere is named or harmless, never a traceback."""
    whole = io.BytesIO()
    np.savez_compressed(whole, ids=IDS, vectors=VECTORS)
    write_folder(tmp_path)
    for at in range(0, len(whole.getvalue()), 7):
        spoilt = bytearray(whole.getvalue())
        spoilt[at] ^= 0x55
        (tmp_path / "id_embeddings.npz").write_bytes(spoilt)
        validate(tmp_path)
