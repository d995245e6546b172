"""Encoded elsewhere and imported: what is stored equals what a service stores that encodes."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from model_export.contract.streamer import StreamerProfile
from service.__main__ import main
from service.app import create_app
from service.bootstrap.model import opened_pipeline
from service.commands.stores import opened_store
from service.engine.encoding.profile_reader import ToRead
from service.files.encoded import About, about
from service.settings import Encoding, Jobs, Settings
from service.settings.reading import read_settings
from service.store.base import Record
from tests.bundles import SHORT_DIM, TOPICS, write_bundle
from tests.media_towers import picture, sound
from tests.service.conftest import wait_until_visible
from tests.service.data_sets import NDJSON, json_line
from tests.service.features.transfers.waiting import ended, submitted
from tests.service.http.test_bad_input import problem
from tests.service.towers import Counts, media

Encode = Callable[..., Path]
TYPE = {"Content-Type": "application/vnd.apache.parquet"}
ENCODED = {"encoded": "true"}
SOME = 70
WORDS = " ".join(TOPICS.values()).split()


def shown(i: int) -> dict[str, Any]:
    """Profiles of all lengths, some with nothing."""
    if i % 10 == 9:
        return {"streamer_id": f"s{i:03}"}
    words = [WORDS[(i * 7 + j) % len(WORDS)] for j in range(1 + i % 13)]
    videos = [{"video_id": f"v{j}", "title": f"{words[0]} {j}"} for j in range(i % 4)]
    return {"streamer_id": f"s{i:03}", "bio": " ".join(words), "tags": words, "videos": videos}


def shown_in_pictures(i: int) -> dict[str, Any]:
    profile = shown(i)
    if i % 3 == 0:
        profile["avatar"] = media(picture(("red", "blue", "green")[i % 9 // 3]))
    if i % 5 == 0:
        audio = media(sound(300 + 40 * (i % 4)), "audio/wav")
        profile["lives"] = [{"live_id": "l", "title": "boss", "audio": audio}]
    return profile


@contextmanager
def service(bundle: Path, data_dir: Path, **settings: Any) -> Iterator[TestClient]:
    app = create_app(Settings(bundle=bundle, data_dir=data_dir, **settings))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def stored(data_dir: Path) -> dict[str, dict[str, Any]]:
    """All records, without what each write has of its own."""

    async def read() -> list[Record | None]:
        async with opened_store(data_dir) as store:
            return await store.get(await store.list_ids("", 1000))

    own = ("version", "updated_at")
    return {
        record.streamer_id: {
            name: value for name, value in dataclasses.asdict(record).items() if name not in own
        }
        for record in asyncio.run(read())
        if record is not None
    }


@pytest.fixture
def encode(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Encode:
    """Encodes profiles or lines; the file. `capsys` has the answer."""

    def run(
        profiles: list[Any], *options: object, name: str = "e.parquet", model: Path = bundle
    ) -> Path:
        lines = [p if isinstance(p, str) else json_line(p) for p in profiles]
        source, out = tmp_path / "in.jsonl", tmp_path / name
        source.write_text("".join(lines), encoding="utf-8")
        capsys.readouterr()
        given = ["--bundle", model, "--in", source, "--out", out, *options]
        assert main(["encode", *map(str, given), "--json"]) == 0
        return out

    return run


def upload(client: TestClient, file: Path) -> dict[str, Any]:
    """Import an encoded file; the job at its end."""
    content = file.read_bytes()
    answer = client.post("/v1/jobs/imports", content=content, headers=TYPE, params=ENCODED)
    return ended(client, submitted(answer))


@pytest.mark.slow
@pytest.mark.parametrize("is_bulk", [False, True], ids=["one by one", "bulk"])
def test_records_are_those_that_a_service_makes(
    bundle: Path, tmp_path: Path, encode: Encode, is_bulk: bool
) -> None:
    """One by one in any service, and many at once where none depends on another."""
    profiles = [shown(i) for i in range(SOME)]
    reproducible = Encoding(reproducible=is_bulk)
    with service(bundle, tmp_path / "writes", encoding=reproducible) as client:
        body = "".join(map(json_line, profiles[: SOME * is_bulk]))
        client.post("/v1/streamers:bulk", content=body, headers=NDJSON).raise_for_status()
        for profile in profiles[SOME * is_bulk :]:
            client.put(f"/v1/streamers/{profile['streamer_id']}", json=profile).raise_for_status()
    file = encode(profiles)
    with service(bundle, tmp_path / "imports") as client:
        job = upload(client, file)
        assert job["state"] == "succeeded", job
        result = job["result"]
        counts = {name: result[name] for name in ("lines", "created", "refused", "without_content")}
        assert counts == {
            "lines": SOME,
            "created": SOME,
            "refused": 0,
            "without_content": SOME // 10,
        }
        assert job["progress"]["total"] == SOME
        wait_until_visible(client, result["sequence"])
        hits = client.get("/v1/streamers/s001/similar").json()["hits"]
        assert hits
        again = upload(client, file)["result"]
        assert (again["unchanged"], again["created"], again["updated"]) == (SOME, 0, 0)
    assert stored(tmp_path / "imports") == stored(tmp_path / "writes")


@pytest.mark.slow
def test_pictures_and_sounds_come_with_what_towers_made_of_them(
    media_bundle: Path, tmp_path: Path, encode: Encode
) -> None:
    profiles = [shown_in_pictures(i) for i in range(16)]
    reproducible = Encoding(reproducible=True)
    with service(media_bundle, tmp_path / "writes", encoding=reproducible) as client:
        for profile in profiles:
            client.put(f"/v1/streamers/{profile['streamer_id']}", json=profile).raise_for_status()
    file = encode(profiles, model=media_bundle)
    with service(media_bundle, tmp_path / "imports") as client:
        assert upload(client, file)["result"]["created"] == 16
        assert Counts(client)() == {}
    assert stored(tmp_path / "imports") == stored(tmp_path / "writes")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_parts_are_the_whole(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    source = tmp_path / f"in.{form}"
    profiles = [shown(i) for i in range(53)]
    if form == "jsonl":
        source.write_text("".join(map(json_line, profiles)), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(profiles), source, row_group_size=10)
    rows: list[dict[str, Any]] = []
    for part in range(1, 8):
        out = tmp_path / f"e{part}.parquet"
        given = ["--bundle", bundle, "--in", source, "--out", out, "--part", f"{part}/7"]
        assert main(["encode", *map(str, given)]) == 0
        rows += pq.read_table(out).to_pylist()
    whole = tmp_path / "whole.parquet"
    assert main(["encode", *map(str, ["--bundle", bundle, "--in", source, "--out", whole])]) == 0
    assert rows == pq.read_table(whole).to_pylist()
    assert [row["streamer_id"] for row in rows] == [p["streamer_id"] for p in profiles]


def test_a_complete_file_is_kept_and_another_input_encoded(
    bundle: Path, tmp_path: Path, encode: Encode, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered() -> dict[str, Any]:
        return json.loads(capsys.readouterr().out)

    profiles = [shown(i) for i in range(20)]
    out = encode(profiles)
    assert not answered()["kept"]
    before = out.stat()
    after = encode(profiles).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    found = answered()
    assert (found["kept"], found["rows"], found["without_content"]) == (True, 20, 2)
    encode([*profiles[:-1], shown(21)])
    assert not answered()["kept"]
    other = tmp_path / "other"
    write_bundle(other, seed=5)
    encode([*profiles[:-1], shown(21)], model=other)
    found = answered()
    assert (found["kept"], found["rows"]) == (False, 20)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["e.parquet", "in.jsonl"]


def test_another_file_is_not_replaced(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json_line(shown(1)))
    given = ["--bundle", bundle, "--in", source, "--out", source]
    assert main(["encode", *map(str, given)]) == 1
    assert "was not written by `encode`" in capsys.readouterr().err
    assert source.read_text() == json_line(shown(1))


def test_rejected_rows_are_tried_again(
    encode: Encode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for limit, rejected in (("1024", 1), ("9999", 0)):
        monkeypatch.setenv("STREAMER_LIMITS__BODY_LIMIT_BYTES", limit)
        encode([json_line(shown(0)), json_line({**shown(1), "bio": "music " * 300})])
        assert json.loads(capsys.readouterr().out)["rejected"] == rejected


def test_rejected_rows_are_named_and_written_down(
    tmp_path: Path, encode: Encode, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ['{"streamer_id":"x","nmae":"x"}\n', "rubbish\n"]
    wrong = {"streamer_id": "y", "avatar": {"vector": [1], "space": "nowhere"}}
    lines = [json_line(shown(0)), *bad, json_line(wrong), json_line(shown(1))]
    out = encode(lines)
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert (answer["rows"], answer["rejected"]) == (2, 3)
    assert "3 rows were rejected" in captured.err
    rejects = Path(answer["rejects"])
    found = {r["byte"]: r for r in map(json.loads, rejects.read_text("utf-8").splitlines())}
    offsets = [len("".join(lines[:i]).encode()) for i in (1, 2, 3)]
    assert sorted(found) == offsets
    first, second, third = (found[at] for at in offsets)
    assert first["error"]["errors"][0]["pointer"] == "/nmae"
    assert (first["given"], second["given"]) == (bad[0].strip(), "rubbish")
    assert second["error"]["code"] == "malformed_body"
    assert third["streamer_id"] == "y"
    assert encode([shown(0)]) == out
    assert not rejects.exists()


@pytest.mark.slow
def test_what_another_model_encoded_is_refused(
    bundle: Path, tmp_path: Path, encode: Encode
) -> None:
    other = tmp_path / "other"
    write_bundle(other, seed=5)
    profiles = [shown(i) for i in range(3)]
    with service(bundle, tmp_path / "data", jobs=Jobs(import_dir=tmp_path)) as client:
        for options in ({"model": other}, {"name": "short.parquet"}):
            short = () if "model" in options else ("--dim", SHORT_DIM)
            file = encode(profiles, *short, **options)
            body = {"path": file.name, "encoded": True}
            job = ended(client, submitted(client.post("/v1/jobs/imports", json=body)))
            assert (job["state"], job["error"]["code"]) == ("failed", "invalid_request")
            assert job["error"]["errors"][0]["pointer"] == "/encoded"
            assert "encode it again with that model's bundle" in job["error"]["detail"]
        assert client.get("/v1/streamers").json()["streamers"] == []


def test_profiles_and_encoded_ones_are_not_mistaken_for_each_other(
    client: TestClient, tmp_path: Path, encode: Encode
) -> None:
    file = encode([shown(0)])
    answer = client.post("/v1/jobs/imports", content=file.read_bytes(), headers=TYPE)
    job = ended(client, submitted(answer))
    assert "must be true" in job["error"]["detail"]
    plain = tmp_path / "plain.parquet"
    pq.write_table(pa.Table.from_pylist([shown(0)]), plain)
    job = upload(client, plain)
    assert "without `encoded`" in job["error"]["detail"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"embedding": b"\0" * 512}, "/embedding: is not of unit length"),
        ({"embedding": b"\0" * 8}, "/embedding: has 8 bytes"),
        ({"content": b"\xff" * 256}, "/content: has numbers that are not finite"),
        ({"embedding": None}, "/embedding: is there if and only if"),
        ({"streamer_id": "other"}, "/streamer_id: is not that of the profile"),
        ({"modalities": "{}"}, "/modalities: are not those of this release"),
        ({"profile": '{"streamer_id":"s000","nmae":1}'}, "/nmae"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_row_is_refused_by_its_field(
    client: TestClient, tmp_path: Path, encode: Encode, changes: dict[str, Any], said: str
) -> None:
    table = pq.read_table(encode([shown(0), shown(1)]))
    rows = table.to_pylist()
    rows[0].update(changes)
    schema = pa.schema(
        [pa.field(f.name, pa.binary() if "binary" in str(f.type) else f.type) for f in table.schema]
    )
    writer = pq.ParquetWriter(tmp_path / "wrong.parquet", schema)
    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    found = about(tmp_path / "e.parquet")
    assert found is not None
    writer.add_key_value_metadata({"similar_streamer": found.model_dump_json()})
    writer.close()
    result = upload(client, tmp_path / "wrong.parquet")["result"]
    assert (result["created"], result["refused"]) == (1, 1)
    assert said in json.dumps(result["refused_lines"][0])


def test_a_damaged_page_is_noticed(client: TestClient, encode: Encode) -> None:
    file = encode([shown(i) for i in range(100)])
    content = bytearray(file.read_bytes())
    middle = pq.ParquetFile(file).metadata.row_group(0).column(2)
    content[middle.data_page_offset + middle.total_compressed_size // 2] ^= 1
    file.write_bytes(content)
    job = upload(client, file)
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_request")


def test_vectors_are_taken_from_admins_alone(bundle: Path, tmp_path: Path, encode: Encode) -> None:
    file = encode([shown(0)])
    root = {"Authorization": "Bearer root-key"}
    with service(bundle, tmp_path / "data", api_key="root-key") as client:
        new = {"name": "writer", "scopes": ["streamers:write", "streamers:read"]}
        key = client.post("/v1/keys", json=new, headers=root).json()["key"]
        headers = {"Authorization": f"Bearer {key}", **TYPE}
        content = file.read_bytes()
        answer = client.post("/v1/jobs/imports", content=content, headers=headers, params=ENCODED)
        problem(answer, 403, "missing_scope")
        body = {"path": "x", "encoded": True}
        headers = {"Authorization": f"Bearer {key}"}
        problem(client.post("/v1/jobs/imports", json=body, headers=headers), 403, "missing_scope")
        job = client.post(
            "/v1/jobs/imports", content=content, headers={**root, **TYPE}, params=ENCODED
        ).json()["job_id"]
        for verb in ("cancel", "retry"):
            answer = client.post(f"/v1/jobs/{job}:{verb}", headers=headers)
            problem(answer, 403, "missing_scope")
        large = {"path": "x" * (20 << 10)}
        answer = client.post("/v1/jobs/imports", json=large, headers=headers)
        assert "application/x-ndjson" in problem(answer, 413, "body_too_large")["detail"]


def test_metadata_are_read_without_a_library(tmp_path: Path, encode: Encode) -> None:
    found = about(encode([shown(0), shown(9)], "--part", "1/2"))
    assert isinstance(found, About)
    assert (found.part, found.rows, found.without_content, found.rejected) == ("1/2", 1, 0, 0)
    (tmp_path / "x").write_bytes(b"similar_streamer PAR1")
    assert about(tmp_path / "x") is None


@pytest.mark.slow
def test_each_text_of_the_corpus_is_encoded_once(
    tmp_path: Path, media_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profiles = [shown_in_pictures(i) for i in range(16)]
    source, files = tmp_path / "in.jsonl", [tmp_path / f"t{i}.texts" for i in (1, 2, 3)]
    source.write_text("".join(map(json_line, profiles)) + "no profile\n", encoding="utf-8")
    given = ["encode", "--bundle", media_bundle, "--in", source, "--json"]

    def run(*more: object, status: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*map(str, given), *map(str, more)]) == status
        out = capsys.readouterr()
        return json.loads(out.out) if status == 0 else {"error": out.err}

    once = [
        run("--texts-only", "--part", f"{i}/3", "--out", file)
        for i, file in enumerate(files, start=1)
    ]
    titles = {v["title"] for p in profiles for v in p.get("videos", [])}
    texts = titles | {p["bio"] for p in profiles if "bio" in p}
    assert sum(found["texts"] for found in once) == len(texts)
    assert run("--texts-only", "--part", "1/3", "--out", files[0])["kept"]

    incomplete = run("--texts", *files[1:], "--out", tmp_path / "x.parquet", status=1)
    assert "part 1/3 of the texts is missing" in incomplete["error"]
    run("--texts", *files, "--out", tmp_path / "known.parquet")
    run("--out", tmp_path / "anew.parquet")
    known, anew = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("known", "anew"))
    assert known.to_pylist() == anew.to_pylist()
    assert any(row["tower_vectors"] for row in known.to_pylist())

    async def encoded() -> dict[str, int]:
        """How many pieces the towers encode where the texts are known."""
        settings = read_settings({"bundle": media_bundle})
        async with opened_pipeline(settings, files) as opened:
            items = [ToRead(StreamerProfile.model_validate(p)) for p in profiles]
            await opened.pipeline.encode_many(items)
            return dict(opened.towers.encoded)

    counts = asyncio.run(encoded())
    assert counts.pop("test-text") == 0
    assert all(counts.values())
