"""Folders for the files of models beside the first one: nothing is left of a killed process."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from service.bootstrap.models import switching
from service.engine.folders import OwnFolders
from tests.bundles import TOPICS
from tests.service.conftest import Serve, put
from tests.service.features.models.test_life_cycle import FIRST, NEXT, backfilled, opened
from tests.service.features.models.test_life_cycle import folder as folder
from tests.service.process import Service, error_line, is_free, run, wait_until
from tests.service.valkey import Server

SECRET = "qxqxzz"
"""The name of a streamer who is found nowhere else."""


def test_what_is_in_use_stays_and_what_was_left_goes(tmp_path: Path) -> None:
    folders, others = OwnFolders(tmp_path / "all"), OwnFolders(tmp_path / "all")
    folders.sweep()  # none was made yet
    used, ended = folders.new("m-1"), others.new("m-1")
    assert used.path != ended.path
    for each in (used, ended):
        each.make()
        (each.path / "names").write_text(SECRET)
    (tmp_path / "all" / "no-folder").write_text("is let alone")
    others.sweep()
    assert used.path.is_dir()
    assert ended.path.is_dir()
    ended.remove()
    assert not ended.path.exists()
    ended.path.mkdir()  # as a killed process leaves it: without a lock
    (ended.path / "names").write_text(SECRET)
    others.sweep()
    left = {path.name for path in (tmp_path / "all").iterdir()}
    assert left == {used.path.name, "no-folder"}
    assert (used.path / "names").read_text() == SECRET


def test_a_sweep_that_was_killed_is_ended_by_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "left-0123" / "names").mkdir(parents=True)
    OwnFolders(tmp_path).sweep()
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_removed_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts takes a folder whose lock nobody has yet for one that was left."""
    folders = OwnFolders(tmp_path)
    made, flock, sweeps = folders.new("m-1"), fcntl.flock, [1]

    def late(fd: int, operation: int) -> None:
        if sweeps:
            sweeps.pop()
            folders.sweep()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    made.make()
    folders.sweep()
    assert [path.name for path in tmp_path.iterdir()] == [made.path.name]
    made.make()  # it is there
    made.remove()
    made.make()  # its model is gone
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_has_them_and_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    folders = OwnFolders(tmp_path)
    made = folders.new("m-1")
    made.make()
    folders.sweep()  # whose they are is not known
    made.make()
    assert list(tmp_path.iterdir()) == [made.path]
    assert f"{made.path} can't be removed: " in caplog.text
    made.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_removed_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    OwnFolders(tmp_path / "file").sweep()
    assert "can't be read" in caplog.text
    with pytest.raises(OSError, match="file"):
        OwnFolders(tmp_path / "file").new("m-1").make()
    (tmp_path / "all" / "left").mkdir(parents=True)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    OwnFolders(tmp_path / "all").sweep()
    assert "can't be removed: " in caplog.text


def fill(service: Service) -> None:
    profiles: list[dict[str, Any]] = [
        {"streamer_id": f"s{i}", "name": f"{SECRET}{i}", "bio": TOPICS["cooking"]} for i in range(5)
    ]
    assert {line["outcome"] for line in service.bulk(profiles)} == {"created"}


def backfill(service: Service) -> None:
    """Have the next model's index, and the names beside it, in all replicas."""
    service.client.post("/v1/models", json={"folder": "next"}).raise_for_status()

    def has(what: str) -> bool:
        model = service.client.get(f"/v1/models/{NEXT}").json()
        return all(replica[what] for replica in model["replicas"])

    wait_until(lambda: has("has_bundle"), "every replica has the bundle")
    service.client.post(f"/v1/models/{NEXT}:backfill").raise_for_status()
    wait_until(lambda: has("is_indexed"), "every replica has its index")


def second_folders(data_dir: Path) -> set[Path]:
    """Folders of second models that have names in them, by now or before long."""
    return set((data_dir / "second-models").glob(f"{NEXT}-*"))


def has_names(path: Path) -> bool:
    found = False
    for file in path.glob("names/*.sqlite*"):
        with contextlib.suppress(FileNotFoundError):
            found |= SECRET.encode()[:3] in file.read_bytes()
    return found


@pytest.mark.slow
def test_a_killed_service_leaves_no_names_behind(serve: Serve, folder: Path) -> None:
    variables = {"STREAMER_MODELS__FOLDER": str(folder)}
    killed = serve(**variables)
    fill(killed)
    backfill(killed)
    (left,) = second_folders(killed.data_dir)
    wait_until(lambda: has_names(left), "names of the second model are on the disk")
    # Who finds the data folder in use removes nothing in it.
    start = ("serve", "--bundle", folder / "first", "--data-dir", killed.data_dir, "--port", 0)
    assert "is in use by" in error_line(run(*start, **variables))
    assert has_names(left)
    killed.kill()
    wait_until(lambda: is_free(killed.data_dir), "its store ends")
    assert left.is_dir()
    serve(**variables)
    assert not left.exists()


def test_names_of_a_retired_model_are_not_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would remove from them who is erased."""
    monkeypatch.setattr(switching, "_LEAVE_S", 0.0)
    with opened(folder, tmp_path / "data") as client:
        put(client, "s", name=f"{SECRET}0", bio=TOPICS["cooking"])
        wait_until(lambda: has_names(tmp_path / "data"), "names are on the disk")
        backfilled(client)
        client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
        (second,) = second_folders(tmp_path / "data")
        wait_until(lambda: has_names(second), "those of the next one too")
        client.post(f"/v1/models/{FIRST}:retire").raise_for_status()
        wait_until(lambda: not has_names(tmp_path / "data"), "the first one's are removed")
        found = client.get("/v1/streamers", params={"q": SECRET})
        assert [each["streamer_id"] for each in found.json()["streamers"]] == ["s"]


@pytest.mark.slow
def test_services_that_share_a_data_folder_keep_theirs(
    bundle: Path, tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    variables: dict[str, Any] = {"REDIS_URL": server.url, "STREAMER_MODELS__FOLDER": str(folder)}

    def started() -> Service:
        return Service(bundle, tmp_path / "data", **variables)

    try:
        with started() as one, started() as killed:
            fill(one.wait_until_ready())
            killed.wait_until_ready()
            backfill(one)
            both = second_folders(one.data_dir)
            assert len(both) == 2
            wait_until(lambda: all(map(has_names, both)), "names are on the disk")
            killed.kill()
            assert second_folders(one.data_dir) == both
            with started() as again:
                again.wait_until_ready()
                (kept,) = both & second_folders(one.data_dir)
                assert has_names(kept)
                one.stop()
                assert not kept.exists()
    finally:
        server.kill()
