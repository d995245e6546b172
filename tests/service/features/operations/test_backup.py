"""`backup` and `restore`, as a person runs them, with services running and not."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from service.files.checksummed import ChecksummedFolder
from service.store.base import Position
from service.store.documents import Put
from service.store.embedded.folder import UNFINISHED_STORE
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import RESTORING, ArchivedStore
from service.store.witness import Witness
from tests.service.conftest import Serve
from tests.service.features.operations.stored import SAVED, fill, inside, readyz
from tests.service.process import Service, error_line, run, wait_until

pytestmark = pytest.mark.slow


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
    told = f"62 streamers of model test-0 are back, as of sequence {sequence}"
    assert f"{told}; the next write is {last + 1}" in done.stdout
    (kept,) = data.glob("store.before-*")
    assert str(kept) in done.stdout
    # The index that was saved is of the other history, and is not used.
    service = serve(**SAVED)
    assert "the store's history is another one: it was restored or emptied" in service.output
    assert readyz(service)["snapshot"]["source"] == "store"
    assert service.streamers() == before
    expected = {f"s{i}" for i in range(60)} | {"last"}
    assert service.similar(tags=["cooking"]) == expected
    # No number comes again: callers wait for those that they know, and expect them as versions.
    assert service.put("new", tags=["cooking"]) == last + 1
    assert service.similar(last + 1, tags=["cooking"]) == expected | {"new"}
    done = run("verify", "--data-dir", data, "--url", service.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.stop() == 0
    # And back again, from what was kept.
    shutil.rmtree(data / "store")
    kept.rename(data / "store")
    service = serve("--accept-data-loss")
    assert "later" in service.streamers()
    assert len(service.similar(last, tags=["cooking"])) == 32
    assert service.put("again", tags=["cooking"]) == last + 2


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


@pytest.mark.anyio
async def test_an_external_store_goes_on_behind_what_was_acknowledged(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    async with EmbeddedStore(tmp_path / "server") as server:
        store = await ArchivedStore(server.url).open()
        async with contextlib.aclosing(store):
            await store.back_up(copy)
        Witness(data, server.url).write(Position("before", 93, "m"))
        restore = ("restore", copy, "--data-dir", data, "--json")
        done = await asyncio.to_thread(run, *restore, REDIS_URL=server.url)
        told = json.loads(done.stdout)
        assert (told["sequence"], told["next_sequence"]) == (0, 94)


@pytest.mark.anyio
async def test_what_an_interrupted_restore_left_goes_with_the_next_one(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path / "server") as server:
        store = await ArchivedStore(server.url).open()
        async with contextlib.aclosing(store):
            copy = tmp_path / "copy"
            await store.back_up(copy)
            # Another copy, of which there was more, was half put back.
            await store.documents.change([Put("webhooks", "of-another", b"{}", 0)])
            await store.client.ask("SET", "another:program", 1)
            await store.set_model_version(RESTORING)
            await store.restore(ChecksummedFolder(copy))
            assert await store.documents.count("webhooks") == 0
            assert await store.client.ask("GET", "another:program") == b"1"


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
    service = serve()
    assert service.streamers() == before
    assert service.stop() == 0
    (data / UNFINISHED_STORE).write_bytes(b"")  # no folder, which is not removed like one
    assert f"{data / UNFINISHED_STORE} can't be removed: a restore " in serve().output


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
        (lose, "has no manifest, so it is no backup: give the folder that `backup --out` wrote"),
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
    assert f"--out {tmp_path}/file/copy can't be used (Not a directory): choose a new" in said
    assert run("backup", "--data-dir", data, "--out", tmp_path / "copy").returncode == 0
    said = error_line(run("restore", tmp_path / "copy", "--data-dir", tmp_path / "file"))
    assert f"--data-dir {tmp_path}/file can't be used (Not a directory): choose a folder" in said
    said = error_line(run("restore", tmp_path / "file", "--data-dir", data))
    assert "has no manifest, so it is no backup" in said
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
    assert {*os.listdir(tmp_path / "copy0")} == {*os.listdir(tmp_path / "copy1")}
