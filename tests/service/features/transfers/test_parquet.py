"""Imports of Parquet files."""

import contextlib
import json
import os
import re
import resource
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.work.lanes import run_to_end
from service.errors import InvalidRequest, SpoolFull
from service.files import parquet
from service.files.spool import Spool
from service.settings import MIB, Jobs, Settings
from tests.service.features.transfers.waiting import ended, submitted
from tests.service.http.test_bad_input import problem

TYPE = {"Content-Type": "application/vnd.apache.parquet"}
STARTED = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {
        "streamer_id": f"s{i:03}",
        "bio": "noodles" if i % 2 else None,
        "tags": ["music", "美食"],
        "attributes": {"followers": i, "partner": None},
        "lives": [{"live_id": "l", "title": "soup", "started_at": STARTED}],
    }
    for i in range(50)
]


def packed(rows: list[dict[str, Any]], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue().to_pybytes()


@pytest.mark.slow
@pytest.mark.parametrize("by_path", [False, True])
def test_rows_become_profiles(bundle: Path, tmp_path: Path, by_path: bool) -> None:
    jobs = Jobs(import_dir=tmp_path)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", jobs=jobs)
    content = packed([*ROWS, {"streamer_id": None, "tags": ["music"]}], row_group_size=7)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        if by_path:
            (tmp_path / "a.parquet").write_bytes(content)
            answer = client.post("/v1/jobs/imports", json={"path": "a.parquet"})
        else:
            answer = client.post("/v1/jobs/imports", content=content, headers=TYPE)
        job = ended(client, submitted(answer))
        assert job["state"] == "succeeded", job
        result = job["result"]
        assert (result["lines"], result["created"], result["refused"]) == (51, 50, 1)
        assert result["refused_lines"][0]["line"] == 51
        profile = client.get("/v1/streamers/s001").json()["profile"]
        assert profile["bio"] == "noodles"
        assert profile["attributes"] == {"followers": 1}
        assert profile["lives"][0]["started_at"].startswith("2026-05-01T12:00:00")
        assert "bio" not in client.get("/v1/streamers/s002").json()["profile"]
    assert [file.name for file in (tmp_path / "data" / "jobs").iterdir()] == ["place"]


@pytest.mark.parametrize("content", [b"rubbish", b"", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet_fails_and_says_so(client: TestClient, content: bytes) -> None:
    answer = client.post("/v1/jobs/imports", content=content, headers=TYPE)
    job = ended(client, submitted(answer))
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_request")
    assert job["error"]["detail"].startswith("the file can't be read as Parquet: ")


def test_a_row_group_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST_GROUP_BYTES", 10)
    file, spool = tmp_path / "a.parquet", Spool(tmp_path, MIB)
    file.write_bytes(packed(ROWS))
    with file.open("rb") as opened, pytest.raises(InvalidRequest, match="smaller row groups"):
        run_to_end(parquet.write_lines(opened, tmp_path / "lines", spool))


def test_rows_are_read_beside_a_thousand_open_files(tmp_path: Path) -> None:
    file, limits = tmp_path / "a.parquet", resource.getrlimit(resource.RLIMIT_NOFILE)
    file.write_bytes(packed(ROWS))
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 2048:
        pytest.skip(f"no process may open more than {limits[1]} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2048), limits[1]))
    with file.open("rb") as opened, contextlib.ExitStack() as others:
        try:
            while (other := os.dup(opened.fileno())) < 1100:
                others.callback(os.close, other)
            others.callback(os.close, other)
            run_to_end(parquet.write_lines(opened, tmp_path / "lines", Spool(tmp_path, MIB)))
        finally:
            others.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len((tmp_path / "lines").read_bytes().splitlines()) == len(ROWS)


def test_lines_take_room_in_the_spool(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    file, spool = tmp_path / "a.parquet", Spool(tmp_path / "spool", 100)
    file.write_bytes(packed(ROWS))
    with file.open("rb") as opened, pytest.raises(SpoolFull):
        run_to_end(parquet.write_lines(opened, tmp_path / "spool" / "lines", spool))
    assert list((tmp_path / "spool").iterdir()) == []  # or it would be full for all others


def test_what_attempts_before_left_goes_with_the_next_one(bundle: Path, tmp_path: Path) -> None:
    spool, waiting = tmp_path / "data" / "jobs", Jobs(at_once=0)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", jobs=waiting)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        path = submitted(client.post("/v1/jobs/imports", content=b"rubbish", headers=TYPE))
    job_id = path.rpartition("/")[2]
    others = [f"{job_id}0.1.lines", f"{job_id}.1.result"]
    for name in (f"{job_id}.1.lines", f"{job_id}.1.lines.0a1b", *others):
        (spool / name).write_bytes(b"{}")
    settings = settings.model_copy(update={"jobs": Jobs()})
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert ended(client, path)["state"] == "failed"
    assert {file.name for file in spool.iterdir()} == {"place", f"{job_id}.upload", *others}


def test_values_that_json_has_no_form_for(tmp_path: Path) -> None:
    row = {"d": STARTED.date(), "t": STARTED, "b": b"\0\xff", "n": None, "l": [{"x": None, "y": 1}]}
    file = tmp_path / "a.parquet"
    file.write_bytes(packed([row]))
    with file.open("rb") as opened:
        run_to_end(parquet.write_lines(opened, tmp_path / "lines", Spool(tmp_path, MIB)))
    assert json.loads((tmp_path / "lines").read_text()) == {
        "d": "2026-05-01",
        "t": "2026-05-01T12:00:00+00:00",
        "b": "AP8=",
        "l": [{"y": 1}],
    }


@pytest.mark.parametrize(
    ("pairs", "told"),
    [([("k", "v"), ("none", None)], {"k": "v"}), ([], {}), ([("k", "v"), ("k", "w")], None)],
)
def test_maps_are_objects_of_keys_that_come_once(
    tmp_path: Path, pairs: list[tuple[str, str | None]], told: dict[str, str] | None
) -> None:
    file, spool = tmp_path / "a.parquet", Spool(tmp_path, MIB)
    maps = pa.array([pairs], pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"attributes": maps}), file)
    repeated = pytest.raises(InvalidRequest, match=r"row 1, column 'attributes': .*'k'")
    with file.open("rb") as opened, contextlib.nullcontext() if told is not None else repeated:
        run_to_end(parquet.write_lines(opened, tmp_path / "lines", spool))
        assert json.loads((tmp_path / "lines").read_text()) == {"attributes": told}


def test_keys_of_a_map_that_are_no_text_are_told_as_text(tmp_path: Path) -> None:
    file, spool = tmp_path / "a.parquet", Spool(tmp_path, MIB)
    day = pa.array([[(date(2026, 1, 2), "v")]], pa.map_(pa.date32(), pa.string()))
    pq.write_table(pa.table({"attributes": day}), file)
    with file.open("rb") as opened:
        run_to_end(parquet.write_lines(opened, tmp_path / "lines", spool))
    assert json.loads((tmp_path / "lines").read_text()) == {"attributes": {"2026-01-02": "v"}}
    key = pa.array([{"a": 1}], pa.struct([("a", pa.int64())]))
    maps = pa.MapArray.from_arrays(pa.array([0, 1], pa.int32()), key, pa.array(["v"]))
    pq.write_table(pa.table({"attributes": maps}), file)
    refused = pytest.raises(InvalidRequest, match="row 1, column 'attributes': unhashable")
    with file.open("rb") as opened, refused:
        run_to_end(parquet.write_lines(opened, tmp_path / "lines", spool))


def test_columns_and_values_that_no_row_can_show_are_named(tmp_path: Path) -> None:
    file, spool = tmp_path / "a.parquet", Spool(tmp_path, MIB)
    ids, time = pa.array(["a"] * 20), pa.timestamp("ms")
    for columns, said in (
        ({"bio": ids}, "has two columns 'bio': keep one of them"),
        ({"t": pa.array([0] * 19 + [2**60], time)}, "row 20, column 't': "),
    ):
        names = ["streamer_id", "bio", *columns]
        pq.write_table(pa.Table.from_arrays([ids, ids, *columns.values()], names), file)
        with file.open("rb") as opened, pytest.raises(InvalidRequest, match=re.escape(said)):
            run_to_end(parquet.write_lines(opened, tmp_path / "lines", spool))


def test_without_the_library(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, bundle: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(parquet, "find_spec", lambda _: None)
    answer = client.post("/v1/jobs/imports", content=packed(ROWS[:1]), headers=TYPE)
    assert "the extra parquet" in problem(answer, 415, "unsupported_media_type")["detail"]
    (tmp_path / "a.parquet").write_bytes(b"x")
    settings = Settings(bundle=bundle, data_dir=tmp_path / "d", jobs=Jobs(import_dir=tmp_path))
    with TestClient(create_app(settings), base_url="http://localhost") as with_paths:
        answer = with_paths.post("/v1/jobs/imports", json={"path": "a.parquet"})
        assert problem(answer, 422, "invalid_request")["errors"][0]["pointer"] == "/path"
