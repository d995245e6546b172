"""Little that becomes much: JSON, queries, ranges, pictures and Parquet."""

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.contract.media.files import png
from tests.service.attacks.raw import exchange, request
from tests.service.features.transfers.waiting import ended, submitted
from tests.service.process import Service

pytestmark = pytest.mark.slow

MIB = 1 << 20
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def seeing(media_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that reads pictures and sounds."""
    with Service(media_bundle, tmp_path_factory.mktemp("seeing") / "data") as running:
        yield running.wait_until_ready()


def peak_mib(service: Service) -> float:
    """The most memory that the process ever had."""
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


# JSON

DEEP = 100_000
LONG = "9" * 1_000_000
SURROGATE = '"\\ud800"'


@pytest.mark.parametrize(
    "body",
    [
        "[" * DEEP,
        "[" * DEEP + "]" * DEEP,
        '{"a":' * DEEP + "1" + "}" * DEEP,
        '{"positive":' + "[" * DEEP + "]" * DEEP + "}",
        '{"k":' + LONG + "}",
        '{"k":-' + LONG + "}",
        '{"k":1e' + LONG + "}",
        '{"k":0.' + LONG + "}",
        '{"k":1e999999}',
        '{"k":NaN}',
        '{"k":Infinity}',
        '{"k":01}',
        '{"k":1_0}',
        '{"positive":[{"vector":[1e400]}]}',
        '{"positive":[{"vector":[' + "1e-400," * 1000 + "NaN]}]}",
        "{" + ",".join(f'"k{i}":1' for i in range(100_000)) + "}",
        "{" + '"a":1,' * 100_000 + '"a":1}',
        "[" + "{}," * 100_000 + "{}]",
        '{"positive":[' + "{}," * 50_000 + "{}]}",
        "{" + SURROGATE + ":1}",
        '{"positive":[{"streamer_id":' + SURROGATE + "}]}",
        '{"positive":[{"profile":{"bio":' + SURROGATE + "}}]}",
        '{"positive":[{"profile":{"attributes":{' + SURROGATE + ":1}}}]}",
        '{"positive":[{"profile":{"attributes":{"a":' + SURROGATE + "}}}]}",
        '{"positive":[{"profile":{' + SURROGATE + ":1}}]}",
        '{"filter":{"must":[{"field":' + SURROGATE + ',"equals":1}]},"positive":[]}',
        '{"a\\u0000b":1}',
        '{"positive":[{"streamer_id":"a\\u0000b"}]}',
        '"' + "\\u0000" * 100_000 + '"',
        '{"' + "x" * 1_000_000 + '":1}',
        '{"k":1}{"k":1}',
        '{"k":1}\x00',
        "\ufeff\ufeff{}",
        '{"__proto__":{"k":1},"constructor":1}',
        '{"positive":[{"streamer_id":"' + "(a+)+$" * 10_000 + '"}]}',
    ],
)
@pytest.mark.parametrize("path", ["/v1/similar", "/v1/streamers/x", "/v1/keys", "/v1/jobs/imports"])
def test_json_that_is_too_much_or_none(keyless: Service, path: str, body: str) -> None:
    method = "PUT" if path.endswith("x") else "POST"
    content = body.encode()
    is_long = path.endswith("imports") and len(content) > 16 << 10
    refusals = (413,) if is_long else (400, 422)
    answer = keyless.client.request(method, path, content=content, headers=JSON)
    assert answer.status_code in refusals, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 100_000
    assert keyless.client.get("/livez").status_code == 200


def test_of_two_fields_of_one_name_the_last_counts_everywhere(keyless: Service) -> None:
    """Whatever the size of the body: what one part checked is what another uses."""
    for filler in ("", " " * 200_000):
        body = '{"bio":"first","tags":["a"],' + filler + '"bio":"last","tags":["b"]}'
        answer = keyless.client.put("/v1/streamers/twice", content=body, headers=JSON)
        assert answer.status_code in (200, 201)
        stored = keyless.client.get("/v1/streamers/twice").json()["profile"]
        assert (stored["bio"], stored["tags"]) == ("last", ["b"])
    line = '{"streamer_id":"other","streamer_id":"twice","bio":"x","bio":"line"}\n'
    kind = {"Content-Type": "application/x-ndjson"}
    result = keyless.client.post("/v1/streamers:bulk", content=line, headers=kind)
    assert json.loads(result.text)["streamer_id"] == "twice"
    assert keyless.client.get("/v1/streamers/twice").json()["profile"]["bio"] == "line"
    keyless.client.delete("/v1/streamers/twice").raise_for_status()
    assert keyless.client.get("/v1/streamers").json()["streamers"] == []


# Queries and ranges


@pytest.mark.parametrize(
    "query",
    [
        "&".join("a" * 1 for _ in range(30_000)),
        "&".join(f"k{i}=1" for i in range(7_000)),
        "limit=" + "9" * 60_000,
        "limit=1" + "&limit=1" * 7_000,
        "cursor=" + "A" * 60_000,
        "%00" * 20_000,
        "cursor=" + "%f0" * 20_000,
        ";" * 60_000,
    ],
)
def test_a_query_as_long_as_a_header_may_be(keyless: Service, query: str) -> None:
    (answer,) = exchange(keyless, request("GET", f"/v1/streamers?{query}", "Connection: close"))
    assert answer.status in (400, 422)
    assert len(answer.body) < 50_000


@pytest.mark.parametrize(
    "ranges",
    [
        "bytes=" + ",".join(f"{i}-{i}" for i in range(5_000)),
        "bytes=" + ",".join(["0-"] * 15_000),
        "bytes=" + ",".join(["-1"] * 15_000),
        "bytes=0-" + "9" * 60_000,
        "bytes=" + "," * 60_000,
        "bytes=-" + "0" * 5_000,
        "bytes=9-1",
    ],
)
def test_ranges_without_number(keyless: Service, ranges: str) -> None:
    """The files of the documentation need no key; each range was once compared with each."""
    path = "/static-offline-docs/swagger-ui.css"
    whole = len(keyless.client.get(path).content)
    before = psutil.Process(keyless.process.pid).cpu_times()
    line = f"Range: {ranges}"
    (answer,) = exchange(keyless, request("GET", path, line, "Connection: close"))
    after = psutil.Process(keyless.process.pid).cpu_times()
    assert answer.status in (200, 206, 400, 416)
    assert len(answer.body) <= 2 * whole + 10_000
    assert after.user + after.system - before.user - before.system < 2


# Pictures and sounds

MOVES = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + b"!\xf9\4\0\0\0\0\0" * 100_000 + b";"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png(50_000, 50_000, b""), "image/png"),
        (png(2**31 - 1, 2**31 - 1, b""), "image/png"),
        (lambda: png(20_000, 20_000, b"\0" * 100_000_000, depth=8), "image/png"),
        (b"\x89PNG\r\n\x1a\n" + zlib.compress(b"\0" * 1_000_000), "image/png"),
        (b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;", "image/gif"),
        (MOVES, "image/gif"),
        (b"RIFF\xff\xff\xff\xffWEBPVP8L\xff\xff\xff\xff\x2f\xff\xff\xff\x0f", "image/webp"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff", "image/png"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><!ENTITY a 'a'></svg>", "image/png"),
    ],
)
def test_a_picture_that_is_a_bomb(
    seeing: Service, data: bytes | Callable[[], bytes], kind: str
) -> None:
    file = data() if callable(data) else data  # what takes long is made by its test alone
    part = {"data": base64.b64encode(file).decode(), "content_type": kind}
    answer = seeing.client.put("/v1/streamers/bomb", json={"avatar": part})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith("/avatar")


@pytest.mark.parametrize(
    "data", ["A" * 13, "====", "A=A=", "A\nAA", "\U0001f600", "A" * 20_000_000]
)
def test_base64_that_is_none_or_too_much(seeing: Service, data: str) -> None:
    part = {"data": data, "content_type": "image/png"}
    answer = seeing.client.put("/v1/streamers/bomb", json={"avatar": part})
    assert answer.status_code in (413, 422)


# Parquet


def packed(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def zeros() -> bytes:
    """One row: a list of forty million zeros."""
    count = 40_000_000
    values = pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(bytes(8 * count))])
    offsets = pa.array([0, len(values)], pa.int32())
    column = pa.ListArray.from_arrays(offsets, values)
    return packed(pa.table({"streamer_id": ["a"], "tags": column}), compression="zstd")


def words() -> bytes:
    """One row: one text of a megabyte, ten thousand times."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int8()), ["x" * MIB])
    offsets = pa.array([0, len(column)], pa.int32())
    return packed(pa.table({"tags": pa.ListArray.from_arrays(offsets, column)}), compression="zstd")


def nested(depth: int) -> bytes:
    """A schema of groups, each in the one before, as its bytes (Thrift's compact protocol)."""

    def element(name: bytes, *, children: int | None, kind: int | None) -> bytes:
        fields, last = b"", 0
        for number, wire, value in (
            (1, 5, kind),
            (3, 5, 1 if kind is None else 0),
            (4, 8, name),
            (5, 5, children),
        ):
            if value is None:
                continue
            fields += bytes([(number - last) << 4 | wire])
            fields += (
                bytes([len(value)]) + value if isinstance(value, bytes) else bytes([2 * value])
            )
            last = number
        return fields + b"\0"

    elements = [element(b"g", children=1, kind=None)] * depth + [
        element(b"v", children=None, kind=1)
    ]
    count = len(elements)
    size = bytes([count & 0x7F | 0x80, count >> 7 & 0x7F | 0x80, count >> 14])
    schema = b"\x19\xfc" + size + b"".join(elements)
    footer = b"\x15\x02" + schema + b"\x16\x00" + b"\x19\x0c" + b"\0"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize("make", [zeros, words, lambda: nested(100_000)])
def test_parquet_that_unpacks_to_gigabytes_or_is_nested(keyless: Service, make: Any) -> None:
    content = make()
    assert len(content) < MIB
    before = peak_mib(keyless)
    answer = keyless.client.post("/v1/jobs/imports", content=content, headers=PARQUET)
    job = ended(keyless.client, submitted(answer))
    assert keyless.is_running
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_request"), job
    assert "Parquet" in job["error"]["detail"]
    assert peak_mib(keyless) - before < 300


@pytest.mark.parametrize(
    "archive", [b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\x93NUMPY\x01\0", b"\x28\xb5\x2f\xfd"]
)
def test_other_archives_are_not_opened(keyless: Service, archive: bytes) -> None:
    """Nothing is unpacked or unpickled: as lines they are refused, as Parquet they are none."""
    kinds = ({"Content-Type": "application/x-ndjson"}, PARQUET)
    for kind in kinds:
        content = archive + b"\x80\x04cos\nsystem\n(S'false'\ntR." * 100
        answer = keyless.client.post("/v1/jobs/imports", content=content, headers=kind)
        job = ended(keyless.client, submitted(answer))
        if kind is PARQUET:
            assert (job["state"], job["error"]["code"]) == ("failed", "invalid_request")
        else:
            assert job["result"]["refused"] == job["result"]["lines"]
