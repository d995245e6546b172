import io
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.data.folders import write_folder
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
        ({"ids": np.array(["a", {}], object)}, "ids: holds Python objects, which are not loaded"),
        ({"ids": np.array([b"a", b"c"])}, "is (2,) of |S1; write ids.astype(str)"),
        ({"interactions": np.array([{}, {}])}, "interactions: is unknown"),
        (
            {"vectors": VECTORS.astype(float) * [[1], [1e-60]]},
            "id_embeddings.npz:2: vectors: is too long or too short for 32-bit numbers",
        ),
        ({"vectors": VECTORS * np.float32(1e30)}, "npz:2: vectors: is too long or too short"),
        ({"vectors": VECTORS * np.float32(1e-30)}, "npz:2: vectors: is too long or too short"),
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


def test_a_pickle_is_refused_without_advice_to_load_it(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "id_embeddings.npz").write_bytes(b"\x80\x04N.")
    (problem,) = validate(tmp_path)
    assert "allow_pickle" not in problem.reason
    assert "np.savez" in problem.reason


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"streamer_id": ["a", "c"], "vector": [[1.0, 2.0], [1.0]]},
            "id_embeddings.parquet:2: vector: has 1 numbers, those before have 2",
        ),
        (
            {"streamer_id": ["a"], "vector": [[datetime(2026, 1, 1)]]},
            "id_embeddings.parquet:1: vector: needs a list of numbers, is [datetime.datetime(",
        ),
        ({"streamer_id": ["a"], "vector": [["1"]]}, "vector: needs a list of numbers, is ['1']"),
        ({"streamer_id": ["a"], "vector": [[True]]}, "vector: needs a list of numbers, is [True]"),
        ({"streamer_id": ["a"], "vector": [None]}, "vector: needs a list of numbers, is None"),
        ({"streamer_id": [None], "vector": [[1.0]]}, "parquet:1: needs streamer_id or user_id"),
        (
            {"streamer_id": ["a", "c"], "vector": [[1.0], [1.0]], "at": [1, 2]},
            "id_embeddings.parquet: has the columns streamer_id, vector, at; needs",
        ),
        ({"streamer_id": ["a", "c"]}, "id_embeddings.parquet: has the columns streamer_id; needs"),
        ({"streamer_id": ["a"], "vector": [[1.0, None]]}, "vectors: has NaN or infinity"),
    ],
)
def test_bad_parquet_vectors_are_named_once(
    tmp_path: Path, columns: dict[str, list[Any]], expected: str
) -> None:
    pq.write_table(pa.table(columns), write_folder(tmp_path) / "id_embeddings.parquet")
    (problem,) = validate(tmp_path)
    assert expected in str(problem)


def test_one_id_of_megabytes_makes_no_other_as_wide(tmp_path: Path) -> None:
    """A NumPy array of 20,000 texts would have 80 GB for it."""
    ids = ["x" * 1_000_000, *(f"s{i}" for i in range(20_000))]
    table = pa.table({"streamer_id": ids, "vector": [[1.0]] * len(ids)})
    pq.write_table(table, write_folder(tmp_path) / "id_embeddings.parquet")
    first = validate(tmp_path)[0]
    assert first.line == 1
    assert len(first.reason) < 200


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
