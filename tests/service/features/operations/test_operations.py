"""`backup`, `restore` and `verify`, as a person runs them, with services running and not."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from service.files.checksummed import ChecksummedFolder
from service.store.embedded.folder import UNFINISHED_STORE
from service.store.embedded.supervisor import EmbeddedStore
from tests.service.conftest import Serve
from tests.service.process import Service, error_line, run, wait_until

pytestmark = pytest.mark.slow

SAVED: dict[str, Any] = {
    "STREAMER_INDEX__SNAPSHOT_S": "0.01",
    "STREAMER_INDEX__SNAPSHOT_CHANGES": "1",
    "STREAMER_INDEX__SNAPSHOT_FROM_ROWS": "1",
}


def fill(service: Service, count: int = 60) -> int:
    """Cooks, of whom a few show nothing; the last sequence number."""
    profiles: list[dict[str, Any]] = [
        {"streamer_id": f"s{i}", "tags": ["cooking"], "bio": f"kitchen {i}"} for i in range(count)
    ]
    service.bulk([*profiles, {"streamer_id": "thin"}, {"streamer_id": "empty"}])
    service.client.delete("/v1/streamers/empty").raise_for_status()
    return service.put("last", tags=["cooking"])


def readyz(service: Service) -> dict[str, Any]:
    return service.client.get("/readyz").json()


@contextmanager
def inside(data_dir: Path) -> Iterator[Redis]:
    """The records of a running service's store."""
    with Redis(unix_socket_path=str(data_dir / "store" / "run" / "store.sock")) as client:
        yield client


def test_a_copy_of_a_running_service_is_put_back(serve: Serve, tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copies" / "first"
    service = serve(**SAVED)
    sequence = fill(service)
    before = service.streamers()
    done = run("backup", "--data-dir", data, "--out", copy)
    assert done.returncode == 0, done.stderr
    assert f"62 streamers of model test-0, as of sequence {sequence}" in done.stdout
    assert str(copy) in done.stdout
    # It goes another way afterwards.
    for i in range(30):
        service.client.delete(f"/v1/streamers/s{i}").raise_for_status()
    service.put("s40", tags=["guitar"])
    last = service.put("later", tags=["cooking"])
    wait_until(lambda: readyz(service)["snapshot"]["sequence"] == last, "the index is saved")
    said = error_line(run("restore", copy, "--data-dir", data))
    assert f"is in use by service process {service.process.pid}" in said
    assert service.stop() == 0
    done = run("restore", copy, "--data-dir", data)
    assert done.returncode == 0, done.stderr
    assert f"62 streamers of model test-0 are back, as of sequence {sequence}" in done.stdout
    (kept,) = data.glob("store.before-*")
    assert str(kept) in done.stdout
    # The index that was saved is of the other history, and is not used.
    service = serve(**SAVED)
    assert "the store's history is another one: it was restored or emptied" in service.output
    assert readyz(service)["snapshot"]["source"] == "store"
    assert service.streamers() == before
    expected = {f"s{i}" for i in range(60)} | {"last"}
    assert service.similar(tags=["cooking"]) == expected
    assert service.put("new", tags=["cooking"]) == sequence + 1
    assert service.similar(sequence + 1, tags=["cooking"]) == expected | {"new"}
    done = run("verify", "--data-dir", data, "--url", service.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.stop() == 0
    # And back again, from what was kept.
    shutil.rmtree(data / "store")
    kept.rename(data / "store")
    service = serve("--accept-data-loss")
    assert "later" in service.streamers()
    assert len(service.similar(tags=["cooking"])) == 32


def test_a_copy_without_a_running_service_for_another_folder(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    fill(service, 5)
    before = service.streamers()
    assert service.stop() == 0
    copy = tmp_path / "copy"
    assert run("backup", "--data-dir", tmp_path / "data", "--out", copy).returncode == 0
    done = run("restore", copy, STREAMER_DATA_DIR=str(tmp_path / "other"))
    assert done.returncode == 0, done.stderr
    assert "before" not in done.stdout
    assert serve(data_dir=tmp_path / "other").streamers() == before


def test_an_external_store_and_a_service_that_runs_on_it(bundle: Path, tmp_path: Path) -> None:
    """A service that runs while its store is emptied and put back builds its index anew."""

    async def scenario() -> None:
        async with EmbeddedStore(tmp_path / "server") as server:
            await asyncio.to_thread(with_server, server.url)

    def with_server(url: str) -> None:
        copy = tmp_path / "copy"
        with Service(bundle, tmp_path / "data", REDIS_URL=url) as service:
            fill(service.wait_until_ready(), 20)
            assert run("backup", "--out", copy, REDIS_URL=url).returncode == 0
            service.client.delete("/v1/streamers/s3").raise_for_status()
            service.put("later", tags=["cooking"])
            said = error_line(run("restore", copy, REDIS_URL=url))
            assert "the store holds 22 streamers" in said
            with Redis.from_url(url) as admin:
                admin.flushall()
            done = run("restore", copy, STREAMER_REDIS_URL=url)
            assert done.returncode == 0, done.stdout + done.stderr
            expected = {f"s{i}" for i in range(20)} | {"last"}
            wait_until(lambda: service.similar(tags=["cooking"]) == expected, "it noticed")
            wait_until(service.is_ready, "it is ready")
            assert "rebuilding the index: the" in service.output
            done = run("verify", "--url", service.url, REDIS_URL=url)
            assert done.returncode == 0, done.stdout + done.stderr

    asyncio.run(scenario())


def test_an_interrupted_restore_is_noticed_at_the_start(
    bundle: Path, serve: Serve, tmp_path: Path
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    service = serve()
    fill(service, 5)
    before = service.streamers()
    assert run("backup", "--data-dir", data, "--out", copy).returncode == 0
    assert service.stop() == 0
    # Between the two renames: the old one is away, the new one not yet there.
    (data / "store").rename(data / "store.before-x")
    (data / UNFINISHED_STORE).mkdir()
    said = error_line(run("serve", "--bundle", bundle, "--data-dir", data, "--port", 0))
    assert "was interrupted: run `python -m service restore` again" in said
    assert not (data / "store").exists()
    assert run("restore", copy, "--data-dir", data).returncode == 0
    assert not (data / UNFINISHED_STORE).exists()
    assert serve().streamers() == before


def test_a_store_that_is_half_put_back_is_refused(
    bundle: Path, serve: Serve, tmp_path: Path
) -> None:
    service = serve()
    fill(service, 5)
    with inside(tmp_path / "data") as records:
        records.hset("ss:meta", "model_version", "incomplete:restore")
    assert service.stop() == 0
    for options in ((), ("--reencode",)):
        said = error_line(
            run("serve", "--bundle", bundle, "--data-dir", tmp_path / "data", "--port", 0, *options)
        )
        assert "a restore of the store was interrupted" in said


def damage(copy: Path) -> None:
    path = copy / "records.jsonl.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(copy: Path) -> None:
    path = copy / "records.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9])


def lose(copy: Path) -> None:
    (copy / "manifest").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage, "was changed: its SHA-256 is not the manifest's"),
        (cut, "bytes, "),
        (lose, "manifest can't be read: No such file"),
    ],
)
def test_a_damaged_copy_changes_nothing(
    serve: Serve, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    service = serve()
    fill(service, 5)
    assert run("backup", "--data-dir", data, "--out", copy).returncode == 0
    assert service.stop() == 0
    harm(copy)
    before = sorted(path.name for path in data.iterdir())
    assert said in error_line(run("restore", copy, "--data-dir", data))
    assert sorted(path.name for path in data.iterdir()) == before
    assert "last" in serve().streamers()


def test_wrong_input(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    said = error_line(run("backup", "--data-dir", tmp_path / "no", "--out", tmp_path / "o"))
    assert f"{tmp_path}/no/store does not exist: give the data folder" in said
    assert not (tmp_path / "no").exists()
    assert not (tmp_path / "o").exists()
    said = error_line(run("verify", "--data-dir", tmp_path / "no"))
    assert "does not exist" in said
    service = serve(**SAVED)
    sequence = fill(service, 5)
    said = error_line(run("backup", "--data-dir", data, "--out", data))
    assert f"{data} exists already: choose a new folder by --out" in said
    (tmp_path / "file").write_text("in the way")
    said = error_line(run("backup", "--data-dir", data, "--out", tmp_path / "file" / "copy"))
    assert "Not a directory" in said
    said = error_line(run("restore", tmp_path / "file", "--data-dir", data))
    assert "manifest can't be read" in said
    # The index that is saved is no copy of the store.
    wait_until(lambda: readyz(service)["snapshot"]["sequence"] == sequence, "the index is saved")
    (saved,) = (data / "index").glob("0*")
    said = error_line(run("restore", saved, "--data-dir", tmp_path / "new"))
    assert "not 'similar-streamer store' of format 1" in said
    for arguments, what in ((("backup",), "--out"), (("restore",), "BACKUP")):
        done = run(*arguments)
        assert done.returncode == 2
        assert what in done.stderr
    said = error_line(run("verify", REDIS_URL="http://127.0.0.1"))
    assert "the store's address can't be used" in said


# verify


def verify(data: Path, *options: object, **variables: str) -> tuple[int, str]:
    done = run("verify", "--data-dir", data, *options, **variables)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_verify_of_what_is_right(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    service = serve(**SAVED, STREAMER_API_KEY="secret")
    service.client.headers["Authorization"] = "Bearer secret"
    url, sequence = service.url, fill(service)
    wait_until(lambda: readyz(service)["snapshot"]["sequence"] == sequence, "the index is saved")
    status, said = verify(data, "--url", url, "--api-key", "secret")
    assert status == 0, said
    counted = "62 streamers, 61 with a vector: no differences"
    assert f"store     at {sequence}, model test-0: {counted}" in said
    assert f"snapshot  at {sequence}, {data}/index/0" in said
    assert f"served    {url}: {counted}" in said
    assert said.endswith("no differences\n")
    status, said = verify(data, "--url", url)
    assert status == 1
    assert "needs an API key: give it by --api-key" in said
    assert service.stop() == 0
    status, said = verify(data)
    assert status == 0, said
    assert "served" not in said
    status, said = verify(data, "--url", url)
    assert status == 1
    assert f"{url} can't be asked" in said


def tampered(service: Service, data: Path) -> None:
    """A store that is not what the service wrote, eight times."""
    with inside(data) as records:
        other = records.hget("ss:record:s1", "embedding")
        assert isinstance(other, bytes)
        records.hset("ss:record:s0", "embedding", other[::-1])
        records.hset("ss:record:s2", "embedding", other[:-4])
        records.hset("ss:record:s3", "embedding", b"")
        records.hset("ss:record:s4", "model_version", "another")
        records.delete("ss:record:s5")
        records.zrem("ss:ids", "s6")
        records.hset("ss:record:s7", "version", "99999")
        records.hset("ss:record:s9", "profile", '{"streamer_id":"s9","tags":["guitar"]}')


def test_verify_of_what_is_wrong(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    service = serve(**SAVED)
    sequence = fill(service)
    wait_until(lambda: readyz(service)["snapshot"]["sequence"] == sequence, "the index is saved")
    tampered(service, data)
    status, said = verify(data, "--url", service.url)
    assert status == 1
    store, _, rest = said.partition("\nsnapshot")
    snapshot, _, served = rest.partition("\nserved")
    for what in (
        "s0 has a vector of length",
        "s2 has a vector of 508 bytes, others have 512",
        "s3 has no vector and status indexed",
        "s3 has one of vector and content sketch without the other",
        "s4 was made by model another, the store is of test-0",
        "s5 is listed and has no record",
        "s6 has a record and is not listed",
        "s7 is of version 99999, the last write was",
        "s9 has a profile that its digest is not of",
    ):
        assert what in store
    for part in (snapshot, served):
        for what in (
            "s0 has another vector in the index than in the store",
            "s2 has another vector in the index than in the store",
            "s3 has another vector in the index than in the store",
            "s5 is not stored and is in the index",
            "s6 is not stored and is in the index",
            "s7 is stored as 99999 and in the index as",
        ):
            assert what in part
    assert "s8" not in said
    assert said.splitlines()[-1].endswith(" differences")


def test_verify_encodes_a_sample_again(bundle: Path, serve: Serve, tmp_path: Path) -> None:
    data, sample = tmp_path / "data", ("--reencode-sample", 1000)
    service = serve()
    fill(service)
    assert "give it by --bundle" in verify(data, *sample)[1]
    status, said = verify(data, *sample, "--bundle", bundle)
    assert status == 0, said
    assert "encoded   again by test-0: 62 streamers, 61 with a vector: no differences" in said
    with inside(data) as records:  # each is a good record in itself
        for field in ("embedding", "content"):
            other = records.hget("ss:record:last", field)
            assert isinstance(other, bytes)
            records.hset("ss:record:s1", field, np.roll(np.frombuffer(other, "<f2"), 32).tobytes())
        records.hset("ss:record:s2", mapping={"embedding": b"", "content": b""})
        records.hset("ss:record:s2", "status", "insufficient_content")
    status, said = verify(data, *sample, STREAMER_BUNDLE=str(bundle))
    assert status == 1
    encoded = said.partition("\nencoded")[2]
    assert "s1 has not the vector of its profile" in encoded
    assert "s1 has not the content sketch of its profile" in encoded
    assert "s2 gives a vector when it is encoded again" in encoded
    assert said.endswith("3 differences\n")
    with inside(data) as records:
        records.hset("ss:meta", "model_version", "another")
    said = verify(data, *sample, "--bundle", bundle)[1]
    assert "of model another, the bundle is test-0: give that model's by --bundle" in said


def test_verify_names_the_first_of_many(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    fill(service)
    with inside(tmp_path / "data") as records:
        for i in range(50):
            records.hset(f"ss:record:s{i}", "model_version", "another")
    status, said = verify(tmp_path / "data")
    assert status == 1
    assert said.count("was made by model another") == 20
    assert "... and 30 more" in said
    assert said.endswith("50 differences\n")


def test_verify_of_snapshots_that_will_not_be_used(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    service = serve(**SAVED)
    sequence = fill(service)
    wait_until(lambda: readyz(service)["snapshot"]["sequence"] == sequence, "the index is saved")
    assert service.stop() == 0
    service = serve(STREAMER_INDEX__SNAPSHOT_S="1000")
    assert readyz(service)["snapshot"]["source"] == "snapshot"
    service.put("s1", tags=["guitar"])  # in the log, so no difference
    service.client.delete("/v1/streamers/s2").raise_for_status()
    status, said = verify(data)
    assert status == 0, said
    assert f"snapshot  at {sequence}, " in said
    with inside(data) as records:
        records.xtrim("ss:log", maxlen=1, approximate=False)
    status, said = verify(data)
    assert status == 0
    assert "will not be used: the log does not go on where it ends" in said
    with inside(data) as records:
        records.hset("ss:meta", "epoch", "another")
    assert "will not be used: it is of another history of the store" in verify(data)[1]
    (saved,) = (data / "index").glob("0*")
    content = bytearray((saved / "embeddings").read_bytes())
    content[77] ^= 1
    (saved / "embeddings").write_bytes(content)
    status, said = verify(data)
    assert status == 1
    assert "can't be read, and will not be used: " in said
    assert "its SHA-256 is not the manifest's" in said


def test_a_copy_does_not_keep_the_service_waiting(serve: Serve, tmp_path: Path) -> None:
    """It is read part by part, beside writes, and is of one moment."""
    service = serve()
    fill(service, 3000)
    copies = [tmp_path / f"copy{i}" for i in range(2)]
    for copy in copies:
        assert run("backup", "--data-dir", tmp_path / "data", "--out", copy).returncode == 0
        service.put("more", tags=["cooking"], bio=copy.name)
    first, second = (ChecksummedFolder(copy).about for copy in copies)
    assert second["sequence"] == first["sequence"] + 1
    assert second["epoch"] == first["epoch"]
    assert second["streamers"] == first["streamers"] + 1
    assert os.listdir(tmp_path / "copy0") == os.listdir(tmp_path / "copy1")
