"""Parquet files as query engines and pandas write them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.data import load_dataset, validate
from training.data.problems import Problem
from training.data.rows import parquet_rows

MAP = pa.map_(pa.string(), pa.string())
FAR = pa.array([2**60, 0], pa.timestamp("ms", "UTC"))


def write(folder: Path, name: str = "streamers", **columns: Any) -> Path:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"streamer_id": ["a", "b"], **columns}), path)
    return path


@pytest.mark.parametrize(
    "attributes",
    [
        pa.array([[("level", "7"), ("country", "DE"), ("none", None)], []], MAP),
        pa.array(
            [
                [
                    {"key": "level", "value": "7"},
                    {"key": "country", "value": "DE"},
                    {"key": "none", "value": None},
                ],
                [],
            ]
        ),
    ],
)
def test_maps_and_lists_of_pairs_are_attributes(tmp_path: Path, attributes: pa.Array) -> None:
    write(tmp_path, attributes=attributes)
    first, second = load_dataset(tmp_path).profiles
    assert first.attributes == {"level": "7", "country": "DE"}
    assert second.attributes == {}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (pa.array([["DE"], ["FR", "ok"]]), "valid dictionary"),
        (pa.array([["vip"], []]), "valid dictionary"),
        (pa.array([[1], None]), "valid dictionary"),
        (pa.array([[{"key": 1, "value": "x"}], None]), "valid dictionary"),
        (pa.array([[{"key": "k", "value": "x", "at": 1}], None]), "valid dictionary"),
        (pa.array([[("k", "w"), ("k", "z")], None], MAP), "duplicate key was 'k'"),
        (pa.array([[{"key": "k", "value": v} for v in "wz"], None]), "must not repeat"),
    ],
)
def test_other_attributes_are_a_problem_of_their_row(
    tmp_path: Path, attributes: pa.Array, reason: str
) -> None:
    write(tmp_path, attributes=attributes)
    problem = validate(tmp_path)[0]
    assert (problem.line, problem.field) == (1, "attributes")
    assert reason in problem.reason


def test_a_value_without_a_python_form_costs_its_row_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "interactions", user_id=FAR, weight=pa.array([1, 1]))
    problems: list[Problem] = []
    (row,) = parquet_rows(path, problems)
    assert (row[0], row[1]["streamer_id"]) == (2, "b")
    (problem,) = problems
    assert (problem.line, problem.field) == (1, "user_id")
    assert "can't be read: Python int too large" in problem.reason


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    columns = [pa.array(["a"]), pa.array(["x"]), pa.array(["y"])]
    table = pa.Table.from_arrays(columns, ["streamer_id", "name", "name"])
    pq.write_table(table, tmp_path / "streamers.parquet")
    assert [str(p) for p in validate(tmp_path)] == [
        "streamers.parquet: name: is there more than once; keep one"
    ]


def test_an_index_of_pandas_is_one_problem(tmp_path: Path) -> None:
    write(tmp_path, __index_level_0__=pa.array([3, 7]))
    assert [str(p) for p in validate(tmp_path)] == [
        "streamers.parquet: __index_level_0__: is the index of a pandas table; write it with "
        "index=False"
    ]


def test_rows_are_numbered_over_batches_and_row_groups(tmp_path: Path) -> None:
    """With bad rows in between, and for some rows alone."""
    count, bad = 5000, {0, 63, 64, 1024, 3001, 4999}
    pairs = [[("k", "v"), ("k", "w")] if i in bad else [("k", str(i))] for i in range(count)]
    path = tmp_path / "streamers.parquet"
    pq.write_table(pa.table({"facts": pa.array(pairs, MAP)}), path, row_group_size=3000)
    problems: list[Problem] = []
    rows = list(parquet_rows(path, problems))
    assert {problem.line for problem in problems} == {i + 1 for i in bad}
    assert [number for number, _ in rows] == [i + 1 for i in range(count) if i not in bad]
    assert all(row == {"facts": {"k": str(number - 1)}} for number, row in rows)
    wanted = [3, 65, 1025, 1026, 3000, 3001, 4001]
    some: list[Problem] = []
    found = list(parquet_rows(path, some, pa.array(wanted).to_numpy()))
    assert [number for number, _ in found] == [3, 1026, 3000, 3001, 4001]
    assert [problem.line for problem in some] == [65, 1025]
