"""`encode` without room, and where other files are in its way; encoded files that are damaged."""

import gc
import gzip
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from service.__main__ import main
from service.errors import MediaUnavailable
from service.features.jobs import runner
from service.features.transfers import encoding
from service.files.part_rows import Part, UnreadableInput, part_rows
from service.media.fetch import Fetched, Fetcher
from tests.machine import files_of_at_most
from tests.media_towers import picture
from tests.service.data_sets import NDJSON, json_line, profile
from tests.service.features.transfers.waiting import ended, submitted

Encode = Callable[..., int]
BAD = "rubbish " * 100 + "\n"


@pytest.fixture
def encode(bundle: Path, tmp_path: Path) -> Encode:
    """Encodes lines to `e.parquet`; the exit status."""

    def run(
        lines: list[str], *options: object, model: Path = bundle, most_bytes: int | None = None
    ) -> int:
        source = tmp_path / "in.jsonl"
        source.write_text("".join(lines), encoding="utf-8")
        given = ["--bundle", model, "--in", source, "--out", tmp_path / "e.parquet", *options]
        with nullcontext() if most_bytes is None else files_of_at_most(most_bytes):
            return main(["encode", *map(str, given)])

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def only_error(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, which is one line and no traceback, also when all is thrown away."""
    gc.collect()
    (line,) = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("encode")]
    assert line.startswith("error: ")
    return line


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 2, 500, 20_000])
def test_a_full_disk_is_said_and_leaves_the_file_before(
    tmp_path: Path, encode: Encode, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    assert encode([json_line(profile(0))]) == 0
    before = (tmp_path / "e.parquet").read_bytes()
    capsys.readouterr()
    assert encode([json_line(profile(i)) for i in range(300)], most_bytes=size) == 1
    said = only_error(capsys)
    assert f"{tmp_path / 'e.parquet'} can't be written (File too large)" in said
    assert "make room in its folder or choose another, then run the command again" in said
    assert names(tmp_path) == ["e.parquet", "in.jsonl"]
    assert (tmp_path / "e.parquet").read_bytes() == before


def test_a_disk_that_is_full_of_rejects(
    tmp_path: Path, encode: Encode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encode([json_line(profile(0)), *[BAD] * 100], most_bytes=20_000) == 1
    rejects = tmp_path / "e.parquet.rejects.ndjson"
    assert f"{rejects} can't be written (File too large)" in only_error(capsys)
    assert names(tmp_path) == ["in.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 20_000])
def test_a_disk_that_is_full_of_texts(
    tmp_path: Path,
    media_bundle: Path,
    encode: Encode,
    capsys: pytest.CaptureFixture[str],
    size: int,
) -> None:
    lines = [json_line({"streamer_id": f"s{i}", "bio": f"I play {i}"}) for i in range(2000)]
    assert encode(lines, "--texts-only", model=media_bundle, most_bytes=size) == 1
    assert f"{tmp_path / 'e.parquet'} can't be written (" in only_error(capsys)
    assert names(tmp_path) == ["in.jsonl"]


@pytest.mark.parametrize("rejected", [0, 1])
def test_rejects_take_no_room_in_the_temporary_folder(
    tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch, rejected: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    count = 2000 * rejected
    assert encode([json_line(profile(0)), *[BAD] * count]) == 0
    found = tmp_path / "e.parquet.rejects.ndjson"
    assert found.exists() == bool(rejected)
    if rejected:
        assert found.stat().st_size > 1 << 20
        rows = [json.loads(line) for line in found.read_text("utf-8").splitlines()]
        assert len(rows) == count
        assert {(row["out"], row["given"]) for row in rows} == {("e.parquet", BAD.rstrip("\n"))}


def test_a_picture_that_comes_later_is_waited_for(
    tmp_path: Path, encode: Encode, media_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = [MediaUnavailable.of("/avatar/url", "its host does not answer; try again")]

    async def fetch(*_: object) -> Fetched:
        if troubles:
            raise troubles.pop()
        return Fetched(picture("red"), "image/png")

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    monkeypatch.setattr(runner, "_PAUSES_S", (0.0,))
    line = json_line({"streamer_id": "a", "avatar": {"url": "https://a.example/a.png"}})
    assert encode([line], model=media_bundle) == 0
    assert names(tmp_path) == ["e.parquet", "in.jsonl"]


@pytest.mark.slow
def test_a_file_that_is_no_rejects_of_this_output_is_left_alone(
    tmp_path: Path, encode: Encode, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, empty, other, pipe = (tmp_path / name for name in ("notes", "empty", "other", "pipe"))
    notes.write_text("of mine")
    empty.touch()
    os.mkfifo(pipe)
    other.write_bytes(b'{"out": "e.parquet.old", "byte": 0, "error": {}, "given": "x"}\n')
    lines = [json_line(profile(0)), BAD]
    for path in (notes, empty, other, tmp_path, pipe):
        for some in (lines, lines[:1]):  # one rejected row, and none
            before = path.read_bytes() if path.is_file() else b""
            assert encode(some, "--rejects", path) == 1
            said = only_error(capsys)
            assert f"{path} has no rejected rows of e.parquet, and would be lost" in said
            assert "give another file by --rejects" in said
            assert path.exists()
            assert not path.is_file() or path.read_bytes() == before
    for option, path in (("--in", tmp_path / "in.jsonl"), ("--out", tmp_path / "e.parquet")):
        assert encode(lines, "--rejects", path) == 1
        assert f"--rejects {path} is the file of {option}" in only_error(capsys)
    assert names(tmp_path) == ["empty", "in.jsonl", "notes", "other"]
    mine = tmp_path / "mine.ndjson"
    for some, is_there in ((lines, True), ([BAD, *lines], True), (lines[:1], False)):
        assert encode(some, "--rejects", mine) == 0
        assert mine.exists() == is_there


def test_of_rows_with_one_id_the_first_is_taken(
    tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json_line(profile(i)) for i in (0, 1, 0)]
    assert encode(lines) == 0
    assert pq.read_table(tmp_path / "e.parquet")["streamer_id"].to_pylist() == ["s00000", "s00001"]
    (row,) = (tmp_path / "e.parquet.rejects.ndjson").read_text("utf-8").splitlines()
    at = len(lines[0]) + len(lines[1])
    assert json.loads(row)["byte"] == at
    assert "'s00000' is already at byte 0; keep one of them" in json.loads(row)["error"]["detail"]
    monkeypatch.setattr(encoding, "REMEMBERED", 2)  # memory is bounded, so one far away is no more
    assert encode([*lines[:2], json_line(profile(2)), lines[0]]) == 0
    assert not (tmp_path / "e.parquet.rejects.ndjson").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(json_line(profile(0)).encode()), "is compressed with gzip: unpack it first"),
        (b"\x28\xb5\x2f\xfd ", "is compressed with Zstandard: unpack it first"),
        (json_line(profile(0)).encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (b"streamer_id,name\na,soup\n", "error: no row of "),
        (f"[{json_line(profile(0))}]".encode(), "error: no row of "),
    ],
    ids=["gzip", "zstd", "utf16", "csv", "array"],
)
def test_an_input_of_another_form_is_an_error(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "e.parquet"
    source.write_bytes(content)
    given = ["encode", "--bundle", str(bundle), "--in", str(source), "--out", str(out)]
    assert main(given) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["in.PARQUET", "in.jsonl"])
def test_parquet_is_known_by_any_name(bundle: Path, tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({"streamer_id": ["a"]}), tmp_path / name)
    out = tmp_path / "e.parquet"
    given = ["encode", "--bundle", bundle, "--in", tmp_path / name, "--out", out]
    assert main([*map(str, given)]) == 0
    assert pq.read_table(out)["streamer_id"].to_pylist() == ["a"]


def test_parquet_that_cannot_be_read_is_named_with_its_row(tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"

    def said(number: int = 1, count: int = 1) -> str:
        with pytest.raises(UnreadableInput) as refused:
            list(part_rows(file, Part(number, count)).rows())
        return str(refused.value)

    ids = pa.array(["a", "b"])
    pq.write_table(pa.Table.from_arrays([ids, ids, ids], ["streamer_id", "bio", "bio"]), file)
    assert said().endswith(
        "in.parquet can't be read as Parquet: has two columns 'bio': keep one of them"
    )
    times = pa.array([0, 2**60], pa.timestamp("ms", "UTC"))
    pq.write_table(pa.table({"streamer_id": ids, "at": times}), file)
    assert "row 2, column 'at': " in said(2, 2)
    far = pa.array([{"at": 0}, {"at": 2**60}], pa.struct([("at", times.type)]))
    pq.write_table(pa.table({"streamer_id": ids, "video": far}), file)
    assert "row 2, column 'video': " in said()

    names = [f"s{i:06}" for i in range(4000)]
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.table({"streamer_id": names}), file, row_group_size=1000, **options)
    damaged = file.read_bytes().replace(b"s001500", b"s001x00", 1)
    file.write_bytes(damaged)
    assert "in.parquet can't be read as Parquet after row 1000: " in said()


@pytest.mark.parametrize(
    "header", ["nope}", "{", '"\\ud800"}', "1} x", "[" * 5000], ids=lambda text: text[:9]
)
def test_a_header_that_is_no_json_is_refused(client: TestClient, header: str) -> None:
    content = f'{{"similar_streamer":{header}\n{json_line(profile(0))}'
    answer = client.post(
        "/v1/jobs/imports", content=content, headers=NDJSON, params={"encoded": "true"}
    )
    job = ended(client, submitted(answer))
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_request")
    (error,) = job["error"]["errors"]
    assert error["pointer"] == "/encoded"
    assert "the first line of the file is damaged, or was cut off" in error["detail"]
