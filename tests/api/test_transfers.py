"""Imports of lines, Parquet and what is encoded already, and exports that become imports."""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.api import NDJSON, Api
from tests.support.bundles import TOPICS, write_bundle
from tests.support.service import Service, run, wait_until

PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
JSON = {"Content-Type": "application/json"}
LINE_BYTES = 8192
STARTED = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORDS = " ".join(TOPICS.values()).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below which imports may name files; beside it lies what they may not."""
    allowed = tmp_path_factory.mktemp("imports") / "allowed"
    (allowed / "below").mkdir(parents=True)
    outside = allowed.with_name("allowed-not")  # its name begins like the other's
    outside.mkdir()
    (outside / "a.jsonl").write_text('{"streamer_id":"secret"}\n')
    (allowed / "link").symlink_to(outside)
    (allowed / "link-to-file").symlink_to(outside / "a.jsonl")
    (allowed / "loop").symlink_to(allowed / "loop")
    os.mkfifo(allowed / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(allowed / "socket"))
    return allowed


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, str]:
    return {
        "STREAMER_JOBS__IMPORT_DIR": str(folder),
        "STREAMER_LIMITS__BODY_LIMIT_BYTES": str(LINE_BYTES),
        "STREAMER_LIMITS__PAGE_BYTES": "1024",
    }


def dumped(profiles: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in profiles)


def shown(prefix: str, i: int) -> dict[str, Any]:
    """Profiles of all lengths; of ten one shows nothing."""
    if i % 10 == 9:
        return {"streamer_id": f"{prefix}-{i:03}"}
    words = [WORDS[(i * 7 + j) % len(WORDS)] for j in range(1 + i % 13)]
    videos = [{"video_id": f"v{j}", "title": f"{words[0]} {j}"} for j in range(i % 4)]
    profile = {"streamer_id": f"{prefix}-{i:03}", "bio": " ".join(words), "tags": words}
    return {**profile, **({"videos": videos} if videos else {})}


def begun(api: Api, content: Any, kind: dict[str, str] = NDJSON, **query: str) -> dict[str, Any]:
    """An import of a body, or of a file by its path."""
    if isinstance(content, dict):
        return api.ok("POST", "/v1/jobs/imports", content, status=202)
    asked: dict[str, Any] = {"content": content, "headers": kind, "params": query}
    return api.ok("POST", "/v1/jobs/imports", status=202, **asked)


def imported(api: Api, content: Any, kind: dict[str, str] = NDJSON, **query: str) -> dict[str, Any]:
    """What an import says at its end."""
    return api.finished(begun(api, content, kind, **query))["result"]


def failed(api: Api, content: Any, kind: dict[str, str] = NDJSON, **query: str) -> dict[str, Any]:
    """The error of an import that fails."""
    return api.finished(begun(api, content, kind, **query), "failed")["error"]


def exported(api: Api, **wanted: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Lines of an export, and the job's result."""
    job = api.finished(api.ok("POST", "/v1/jobs/exports", wanted, status=202))
    answer, result = api.get(f"/v1/jobs/{job['job_id']}/result"), job["result"]
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert (result["bytes"], job["progress"]["done"]) == (
        len(answer.content),
        job["progress"]["total"],
    )
    assert result["sha256"] == hashlib.sha256(answer.content).hexdigest()
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert result["streamers"] == len(lines)
    return lines, result


# Lines


def test_lines_are_written_and_counted(api: Api) -> None:
    profiles = [shown("line", i) for i in range(40)]
    api.ok("PUT", "/v1/streamers/line-001", profiles[1], status=201)
    api.ok("PUT", "/v1/streamers/line-002", {"tags": ["music"]}, status=201)
    content = dumped(profiles) + b"\n" + dumped([{"streamer_id": "line-040"}])
    result = imported(api, content)
    sequence = result.pop("sequence")
    assert result == {
        "lines": 42,
        "created": 39,
        "updated": 1,
        "unchanged": 1,
        "refused": 0,
        "without_content": 5,
        "refused_lines": [],
        "model_version": "test-0",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    api.wait_until_indexed(sequence)
    for profile in profiles[:3]:
        assert api.ok("GET", f"/v1/streamers/{profile['streamer_id']}")["profile"] == profile
    hits = api.ok("GET", "/v1/streamers/line-001/similar?k=100")["hits"]
    assert "line-002" in {hit["streamer_id"] for hit in hits}
    again = imported(api, content)
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 41)


def test_refused_lines_are_shown_with_their_errors(api: Api) -> None:
    good = [dumped([shown("refused", i)]) for i in range(2)]
    bad = [b'{"streamer_id":"x","nmae":"x"}\n', b"rubbish\n", b'{"tags":["music"]}\n']
    unread = {"streamer_id": "y", "avatar": {"vector": [1], "space": "nowhere"}}
    long = b'{"streamer_id":"long"}'.ljust(LINE_BYTES + 1) + b"\n"
    fits = b'{"streamer_id":"refused-fits"}'.ljust(LINE_BYTES) + b"\n"
    lines = [good[0], *bad, dumped([unread]), long, fits, good[1], *[b"[]\n"] * 30]
    result = imported(api, b"".join(lines))
    assert (result["lines"], result["created"], result["refused"]) == (38, 3, 35)
    shown_lines = result["refused_lines"]
    assert [line["line"] for line in shown_lines] == [2, 3, 4, 5, 6, *range(9, 24)]
    codes = [line["error"]["code"] for line in shown_lines[:5]]
    invalid = "invalid_request"
    assert codes == [invalid, "malformed_body", invalid, invalid, "body_too_large"]
    pointers = [shown_lines[i]["error"]["errors"][0]["pointer"] for i in (0, 2, 3)]
    assert pointers == ["/nmae", "/streamer_id", "/avatar/space"]
    assert shown_lines[3]["streamer_id"] == "y"


def test_the_last_line_of_an_id_wins(api: Api) -> None:
    lines = dumped([{"streamer_id": "last", "tags": [tag]} for tag in ("music", "cooking")])
    result = imported(api, lines)
    assert (result["created"], result["updated"]) == (1, 1)
    assert api.ok("GET", "/v1/streamers/last")["profile"]["tags"] == ["cooking"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \n"])
def test_an_import_of_nothing(api: Api, content: bytes) -> None:
    result = imported(api, content)
    assert (result["created"], result["refused"]) == (0, 0)


# A file by its path


def test_a_file_is_imported_by_its_path(api: Api, folder: Path) -> None:
    file = folder / "below" / "a.jsonl"
    file.write_bytes(dumped([shown("path", i) for i in range(20)]))
    for path in ("below/a.jsonl", str(file), "below/../below/a.jsonl"):
        assert imported(api, {"path": path})["lines"] == 20
    assert file.is_file()


@pytest.mark.parametrize(
    "path",
    [
        *("..", ".", "", "/", "../allowed-not/a.jsonl", "../allowed/../allowed-not/a.jsonl"),
        *("..//allowed-not//a.jsonl", "%2e%2e/allowed-not/a.jsonl", "..\\allowed-not\\a.jsonl"),
        *("..\u2215allowed-not/a.jsonl", "\uff0e\uff0e/allowed-not/a.jsonl", "~/a.jsonl"),
        *("$HOME/a.jsonl", "file:///etc/passwd", "a.jsonl\x00.jsonl", "a\n.jsonl", "below"),
        *("link/a.jsonl", "link-to-file", "loop", "pipe", "socket", "nothing.jsonl", "-", "|id"),
        *("/etc/passwd", "/proc/self/environ", "/dev/zero", "/proc/self/fd/0", "x" * 300),
        *("/proc/self/root/etc/passwd", "//etc/passwd", "x/" * 2000),
    ],
    ids=lambda path: repr(path)[:30],
)
def test_no_path_leads_out_of_the_folder(api: Api, path: str) -> None:
    said = api.refused(
        "POST", "/v1/jobs/imports", {"path": path}, status=422, code="invalid_request"
    )
    assert {error["pointer"] for error in said["errors"]} == {"/path"}
    assert "root:" not in json.dumps(said)


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ('{"file":"a"}', 422, "invalid_request", "/path"),
        ('{"path":7}', 422, "invalid_request", "/path"),
        ("[]", 422, "invalid_request", ""),
        ("{", 400, "malformed_body", None),
        ("", 400, "malformed_body", None),
    ],
)
def test_a_body_that_names_no_file(
    api: Api, body: str, status: int, code: str, pointer: str | None
) -> None:
    said = api.refused(
        "POST", "/v1/jobs/imports", content=body, headers=JSON, status=status, code=code
    )
    found = [error["pointer"] for error in said.get("errors", [])]
    assert pointer is None or pointer in found


def append(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(dumped([{"streamer_id": "appended"}]))


def replace(file: Path) -> None:
    kept = file.stat()
    other = file.with_suffix(".new")
    other.write_bytes(file.read_bytes().replace(b"music", b"movie"))
    os.utime(other, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    other.rename(file)


def touch(file: Path) -> None:
    os.utime(file, (1, 1))


def to_link(file: Path) -> None:
    other = file.parents[2] / "moved.jsonl"  # outside
    file.rename(other)
    file.symlink_to(other)


def folder_to_link(file: Path) -> None:
    moved = file.parents[2] / f"{file.parent.name}-moved"
    file.parent.rename(moved)
    file.parent.symlink_to(moved)


def to_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


CHANGES: list[Callable[[Path], None]] = [
    *(append, replace, touch, to_link, folder_to_link, to_pipe, Path.unlink),
]


@dataclass
class Later:
    """A service that was stopped while imports of files were queued, and now runs them."""

    service: Service
    jobs: list[dict[str, Any]]


@pytest.fixture(scope="module")
def later(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Later]:
    """Meanwhile each of the files but the last was changed."""
    allowed = tmp_path_factory.mktemp("later") / "allowed"
    files = [allowed / f"f{i}" / "a.jsonl" for i in range(len(CHANGES) + 1)]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True)
        file.write_bytes(dumped([{"streamer_id": f"f{i}", "tags": ["music"]}]))
    data = allowed.with_name("data")
    variables: dict[str, Any] = {"STREAMER_JOBS__IMPORT_DIR": str(allowed)}
    with Service(bundle, data, **variables, STREAMER_JOBS__AT_ONCE="0") as stopped:
        api = stopped.wait_until_ready().api
        jobs = [begun(api, {"path": f"{file.parent.name}/a.jsonl"}) for file in files]
        assert stopped.stop() == 0
    for change, file in zip(CHANGES, files, strict=False):
        change(file)
    with Service(bundle, data, **variables) as running:
        yield Later(running.wait_until_ready(), jobs)


def test_a_file_that_changes_before_it_is_read_is_not_imported(later: Later) -> None:
    api = later.service.api
    *changed, same = later.jobs
    assert api.finished(same)["result"]["created"] == 1
    for change, job in zip(CHANGES, changed, strict=True):
        error = api.finished(job, "failed")["error"]
        assert error["code"] == "input_changed", change
        assert error["detail"].startswith("/path: ")
        assert api.get(f"/v1/streamers/f{CHANGES.index(change)}").status_code == 404
    # A retry takes the file as it is by then.
    retried = api.ok("POST", f"/v1/jobs/{changed[0]['job_id']}:retry")
    assert api.finished(retried)["result"]["lines"] == 2
    assert api.get("/v1/streamers/appended").status_code == 200


# Parquet


def packed(rows: list[dict[str, Any]] | pa.Table, **options: Any) -> bytes:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("is_path", [False, True], ids=["a body", "a path"])
def test_rows_of_parquet_become_profiles(api: Api, folder: Path, is_path: bool) -> None:
    prefix = "row-path" if is_path else "row"
    rows: list[dict[str, Any]] = [
        {
            "streamer_id": f"{prefix}-{i:03}",
            "bio": "noodles" if i % 2 else None,
            "tags": ["music", "美食"],
            "attributes": {"followers": i, "partner": None},
            "lives": [{"live_id": "l", "title": "soup", "started_at": STARTED}],
        }
        for i in range(50)
    ]
    content = packed([*rows, {"streamer_id": None, "tags": ["music"]}], row_group_size=7)
    if is_path:
        (folder / "a.parquet").write_bytes(content)
        result = imported(api, {"path": "a.parquet"})
    else:
        result = imported(api, content, PARQUET)
    assert (result["lines"], result["created"], result["refused"]) == (51, 50, 1)
    assert result["refused_lines"][0]["line"] == 51
    profile = api.ok("GET", f"/v1/streamers/{prefix}-001")["profile"]
    assert (profile["bio"], profile["tags"]) == ("noodles", ["music", "美食"])
    assert profile["attributes"] == {"followers": 1}
    assert datetime.fromisoformat(profile["lives"][0]["started_at"]) == STARTED
    assert "bio" not in api.ok("GET", f"/v1/streamers/{prefix}-002")["profile"]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (pa.array([[("k", "v"), ("none", None)]], pa.map_(pa.string(), pa.string())), {"k": "v"}),
        (pa.array([[(date(2026, 1, 2), 5)]], pa.map_(pa.date32(), pa.int64())), {"2026-01-02": 5}),
        (pa.array([{"day": date(2026, 1, 2), "share": 0.5}]), {"day": "2026-01-02", "share": 0.5}),
    ],
    ids=["a map", "a map by days", "a struct"],
)
def test_maps_and_structs_become_objects(
    api: Api, attributes: pa.Array, expected: dict[str, Any]
) -> None:
    table = pa.table({"streamer_id": ["mapped"], "attributes": attributes})
    assert imported(api, packed(table), PARQUET)["refused"] == 0
    assert api.ok("GET", "/v1/streamers/mapped")["profile"]["attributes"] == expected


def nested(depth: int) -> bytes:
    """A schema of groups, each in the one before, as its bytes (Thrift's compact protocol)."""

    def element(name: bytes, *, children: int | None, kind: int | None) -> bytes:
        fields, last = b"", 0
        repetition = 1 if kind is None else 0
        values = ((1, 5, kind), (3, 5, repetition), (4, 8, name), (5, 5, children))
        for number, wire, value in values:
            if value is not None:
                fields += bytes([(number - last) << 4 | wire])
                is_text = isinstance(value, bytes)
                fields += bytes([len(value)]) + value if is_text else bytes([2 * value])
                last = number
        return fields + b"\0"

    elements = [element(b"g", children=1, kind=None)] * depth
    elements.append(element(b"v", children=None, kind=1))
    count = len(elements)
    size = bytes([count & 0x7F | 0x80, count >> 7 & 0x7F | 0x80, count >> 14])
    footer = b"\x15\x02\x19\xfc" + size + b"".join(elements) + b"\x16\x00\x19\x0c\0"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def much() -> bytes:
    """One row: one text of a megabyte, ten thousand times."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int8()), ["x" * (1 << 20)])
    offsets = pa.array([0, len(column)], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, column)
    return packed(pa.table({"tags": lists}), compression="zstd")


def twice() -> bytes:
    ids = pa.array(["a"])
    return packed(pa.Table.from_arrays([ids, ids, ids], ["streamer_id", "bio", "bio"]))


def repeated() -> bytes:
    pairs = pa.array([[("k", "v"), ("k", "w")]], pa.map_(pa.string(), pa.string()))
    return packed(pa.table({"streamer_id": ["a"], "attributes": pairs}))


def late() -> bytes:
    return packed(pa.table({"streamer_id": ["a"], "t": pa.array([2**60], pa.timestamp("ms"))}))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: b"rubbish", "Parquet"),
        (lambda: b"", "Parquet"),
        (lambda: b"PAR1" + b"\0" * 100 + b"PAR1", "Parquet"),
        (lambda: b"PK\x03\x04" + b"\x80\x04cos\nsystem\n" * 100, "Parquet"),
        (twice, "'bio'"),
        (repeated, "row 1, column 'attributes'"),
        (late, "row 1, column 't'"),
        (lambda: nested(100_000), "Parquet"),
        (much, "Parquet"),
    ],
    ids=["rubbish", "nothing", "no file", "zip", "columns", "keys", "time", "nested", "much"],
)
def test_parquet_that_is_none_or_unpacks_to_too_much(
    api: Api, make: Callable[[], bytes], named: str
) -> None:
    error = failed(api, make(), PARQUET)
    assert error["code"] == "invalid_request"
    assert named in error["detail"]
    assert api.get("/livez").status_code == 200


# Exports

PEOPLE = {
    "ex-a": {"tags": ["exmusic", "exguitar"], "language": "en", "attributes": {"exfollow": 10}},
    "ex-b": {"tags": ["exmusic"], "language": "zh", "attributes": {"exfollow": 20, "expart": True}},
    "ex-c": {"tags": ["excook"], "category": "exfood"},
    "ex-d": {"bio": "nothing that is known"},
}


@pytest.fixture(scope="module")
def people(api: Api) -> None:
    api.write({"streamer_id": name, **profile} for name, profile in PEOPLE.items())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"must": [{"field": "tags", "any": ["exmusic"]}]}, "ab"),
        ({"must": [{"field": "tags", "all": ["exmusic", "exguitar"]}]}, "a"),
        (
            {
                "must": [{"field": "tags", "any": ["exmusic", "excook"]}],
                "must_not": [{"field": "language", "any": ["en"]}],
            },
            "bc",
        ),
        ({"must": [{"field": "exfollow", "gt": 10}]}, "b"),
        ({"must": [{"field": "exfollow", "gte": 10, "lt": 20}]}, "a"),
        ({"must": [{"field": "expart", "any": [True]}]}, "b"),
        ({"must": [{"field": "streamer_id", "any": ["ex-d", "ex-a", "ex-z"]}]}, "ad"),
        ({"must": [{"field": "category", "any": ["exfood"]}]}, "c"),
        ({"must": [{"field": "tags", "any": ["nobody-has-this"]}]}, ""),
    ],
)
@pytest.mark.usefixtures("people")
def test_an_export_has_whom_the_filter_of_questions_finds_as_they_were_written(
    api: Api, wanted: dict[str, Any], expected: str
) -> None:
    lines, _ = exported(api, filter=wanted)
    assert lines == [{"streamer_id": f"ex-{i}", **PEOPLE[f"ex-{i}"]} for i in expected]
    question = {"positive": [{"profile": {"tags": ["music"]}}], "filter": wanted, "min_score": -1}
    hits = api.ok("POST", "/v1/similar", question)["hits"]
    assert {hit["streamer_id"] for hit in hits} <= {f"ex-{i}" for i in expected}


@pytest.mark.usefixtures("people")
def test_a_field_that_nobody_has_is_named(api: Api) -> None:
    lines, result = exported(api, filter={"must": [{"field": "exfolow", "gt": 1}]})
    assert lines == []
    assert len(result["warnings"]) == 1
    assert "'exfolow'" in result["warnings"][0]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"filtre": {}}, "/filtre"),
        ({"filter": {"must": [{"field": "tags"}]}}, "/filter/must/0"),
        ({"filter": {"must": [{"field": "tags", "any": []}]}}, "/filter/must/0/any"),
        ([], ""),
    ],
)
def test_a_wrong_field_of_an_export_is_named(api: Api, body: Any, pointer: str) -> None:
    said = api.refused("POST", "/v1/jobs/exports", body, status=422, code="invalid_request")
    assert [error["pointer"] for error in said["errors"]] == [pointer]


def test_an_export_of_many_pages_is_what_an_import_takes(api: Api, later: Later) -> None:
    profiles = [
        {"streamer_id": f"many-{i:03}", "bio": "x" * (2 * i % 300), "language": "ja"}
        for i in range(120)
    ]
    wanted = {"filter": {"must": [{"field": "language", "any": ["ja"]}]}}
    assert imported(api, dumped(profiles))["created"] == len(profiles)
    lines, _ = exported(api, **wanted)
    assert lines == profiles
    other = later.service.api
    assert imported(other, dumped(lines))["created"] == len(profiles)
    assert imported(other, dumped(profiles))["unchanged"] == len(profiles)
    spool = later.service.data_dir / "jobs"
    wait_until(lambda: not list(spool.glob("*.upload")), "no upload is left")
    job = other.finished(other.ok("POST", "/v1/jobs/exports", wanted, status=202))
    path = f"/v1/jobs/{job['job_id']}/result"
    again = other.get(path).content
    assert [json.loads(line) for line in again.splitlines()] == profiles
    for file in spool.glob("*.result"):
        file.unlink()
    other.refused("GET", path, status=409, code="result_not_here")


# What is encoded already


@pytest.fixture(scope="module")
def encoded(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles encoded elsewhere, by the model that is served."""
    return encode(bundle, tmp_path_factory.mktemp("encoded"))


def encode(bundle: Path, folder: Path, *options: object) -> Path:
    source, out = folder / "in.jsonl", folder / "e.parquet"
    source.write_bytes(dumped([shown("enc", i) for i in range(40)]))
    done = run("encode", "--bundle", bundle, "--in", source, "--out", out, *options, "--json")
    assert done.returncode == 0, done.stderr
    return out


def test_what_was_encoded_elsewhere_is_stored_as_if_it_was_encoded_here(
    api: Api, encoded: Path
) -> None:
    api.bulk({**shown("here", i), "streamer_id": f"here-{i:03}"} for i in range(40))
    result = imported(api, encoded.read_bytes(), PARQUET, encoded="true")
    counts = [result[name] for name in ("lines", "created", "refused", "without_content")]
    assert counts == [40, 40, 0, 4]
    api.wait_until_indexed(result["sequence"])
    for i in range(40):
        there, here = [api.ok("GET", f"/v1/streamers/{p}-{i:03}") for p in ("enc", "here")]
        assert there["profile"] == shown("enc", i)
        for own in ("profile", "streamer_id", "version", "updated_at"):
            del there[own], here[own]
        assert there == here
        if i % 10 != 9:
            vectors = [api.embedding(f"{p}-{i:03}") for p in ("enc", "here")]
            assert np.allclose(*vectors, atol=1e-3)
    again = imported(api, encoded.read_bytes(), PARQUET, encoded="true")
    assert (again["unchanged"], again["created"], again["updated"]) == (40, 0, 0)


def test_what_another_model_encoded_is_refused_as_a_whole(
    api: Api, bundle: Path, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_bundle(other, seed=5)
    file = encode(other, tmp_path)
    (folder / "other.parquet").write_bytes(file.read_bytes())
    error = failed(api, {"path": "other.parquet", "encoded": True})
    assert error["code"] == "invalid_request"
    assert error["errors"][0]["pointer"] == "/encoded"
    before = api.get("/v1/streamers/enc-000").status_code
    assert failed(api, file.read_bytes(), PARQUET, encoded="true")["code"] == "invalid_request"
    assert api.get("/v1/streamers/enc-000").status_code == before


def test_profiles_and_encoded_ones_are_not_mistaken_for_each_other(api: Api, encoded: Path) -> None:
    for content, query in (
        (encoded.read_bytes(), {}),
        (packed([shown("plain", 0)]), {"encoded": "true"}),
    ):
        error = failed(api, content, PARQUET, **query)
        assert error["errors"][0]["pointer"] == "/encoded"
    assert api.get("/v1/streamers/plain-000").status_code == 404


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"embedding": b"\0" * 512}, "/embedding"),
        ({"embedding": b"\0" * 8}, "/embedding"),
        ({"content": b"\xff" * 256}, "/content"),
        ({"embedding": None}, "/embedding"),
        ({"streamer_id": "other"}, "/streamer_id"),
        ({"modalities": "{}"}, "/modalities"),
        ({"profile": '{"streamer_id":"enc-000","nmae":1}'}, "/nmae"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_row_whose_vectors_can_not_be_its_own_is_refused(
    api: Api, encoded: Path, tmp_path: Path, changes: dict[str, Any], pointer: str
) -> None:
    table = pq.read_table(encoded).slice(0, 2)
    rows = table.to_pylist()
    rows[0].update(changes)
    schema = pa.schema(
        [pa.field(f.name, pa.binary() if "binary" in str(f.type) else f.type) for f in table.schema]
    )
    about = (pq.read_metadata(encoded).metadata or {})[b"similar_streamer"]
    with pq.ParquetWriter(tmp_path / "wrong.parquet", schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        writer.add_key_value_metadata({"similar_streamer": about.decode()})
    result = imported(api, (tmp_path / "wrong.parquet").read_bytes(), PARQUET, encoded="true")
    assert (result["lines"], result["refused"]) == (2, 1)
    (line,) = result["refused_lines"]
    assert line["error"]["errors"][0]["pointer"] == pointer


def test_a_damaged_page_is_noticed(api: Api, encoded: Path) -> None:
    content = bytearray(encoded.read_bytes())
    column = pq.ParquetFile(encoded).metadata.row_group(0).column(2)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    error = failed(api, bytes(content), PARQUET, encoded="true")
    assert error["code"] == "invalid_request"


def test_vectors_are_taken_from_admins_alone(api: Api, encoded: Path) -> None:
    content = encoded.read_bytes()
    with api.with_key("streamers:write", "streamers:read") as writer:
        refused: dict[str, Any] = {"status": 403, "code": "missing_scope"}
        asked = {"content": content, "headers": PARQUET, "params": {"encoded": "true"}}
        assert "'admin'" in writer.refused("POST", "/v1/jobs/imports", **asked, **refused)["detail"]
        writer.refused("POST", "/v1/jobs/imports", {"path": "x", "encoded": True}, **refused)
        job = begun(api, content, PARQUET, encoded="true")
        for action in ("cancel", "retry"):
            writer.refused("POST", f"/v1/jobs/{job['job_id']}:{action}", **refused)
    api.finished(job)
