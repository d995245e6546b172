"""A store that lost acknowledged data is not served as if it were whole."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.store.base import Position
from service.store.witness import Witness
from tests.reliability.conftest import Replicas
from tests.support.service import Service, error_line, is_free, kill, run, wait_until
from tests.support.valkey import Server

pytestmark = pytest.mark.slow

SAVED: dict[str, Any] = {
    "STREAMER_INDEX__SNAPSHOT_S": "0.001",
    "STREAMER_INDEX__SNAPSHOT_CHANGES": "1",
    "STREAMER_INDEX__SNAPSHOT_FROM_ROWS": "1",
}
ROWS = 300


@pytest.fixture(scope="module", params=["witness", "snapshot"])
def filled(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """A data folder of a service that wrote and stopped in order: one of both knows how far."""
    data, saved = tmp_path_factory.mktemp("filled") / "data", request.param == "snapshot"
    with Service(bundle, data, **SAVED if saved else {}) as service:
        service.wait_until_ready()
        service.bulk([{"streamer_id": f"s{i}", "tags": ["cooking"]} for i in range(ROWS)])
        service.put("last", tags=["cooking"])
        if saved:
            wait_until(lambda: saved_at(service) == ROWS + 1, "the index is saved")
        assert service.stop() == 0
    if saved:
        Witness(data).path.unlink()
    assert any((data / "index").glob("[0-9]*")) == saved
    return data


def saved_at(service: Service) -> int | None:
    return service.client.get("/readyz").json()["snapshot"]["sequence"]


def remove_the_manifest(store: Path) -> None:
    (manifest,) = (store / "appendonlydir").glob("*.manifest")
    manifest.unlink()


def cut_the_log_in_half(store: Path) -> None:
    (log,) = (store / "appendonlydir").glob("*.incr.aof")
    with log.open("rb+") as file:
        file.truncate(log.stat().st_size // 2)


def refused(bundle: Path, data: Path, **variables: str) -> str:
    return error_line(
        run("serve", "--bundle", bundle, "--data-dir", data, "--port", 0, **variables)
    )


@pytest.mark.parametrize(
    ("damage", "why", "rows"),
    [
        (remove_the_manifest, "has files of the store's log and no manifest", 0),
        (shutil.rmtree, "it is empty, and sequence 301 was acknowledged", 0),
        (cut_the_log_in_half, "it ends at sequence {}, and 301 was acknowledged", None),
    ],
)
def test_it_is_refused_until_the_loss_is_accepted(
    bundle: Path,
    tmp_path: Path,
    filled: Path,
    damage: Callable[[Path], object],
    why: str,
    rows: int | None,
) -> None:
    data = tmp_path / "data"
    shutil.copytree(filled, data)
    saved = sorted((data / "index").glob("[0-9]*"))
    damage(data / "store")
    for _ in range(2):  # the first refusal leaves nothing behind that the second one accepts
        said = refused(bundle, data, **SAVED)
        before, _, after = why.partition("{}")
        assert before in said
        assert after in said
        assert "`python -m service restore BACKUP`" in said
        assert "--accept-data-loss" in said
    assert sorted((data / "index").glob("[0-9]*")) == saved  # what knew better is still there
    with Service(bundle, data, "--accept-data-loss", **SAVED) as service:
        left = set(service.wait_until_ready().streamers())
        assert service.similar(tags=["cooking"], k=1000) == left
        assert len(left) == rows if rows is not None else 0 < len(left) < ROWS
        assert service.put("new", tags=["cooking"]) == ROWS + 2  # no number comes again
        service.kill()
    wait_until(lambda: is_free(data), "the folder is free")
    with Service(bundle, data, **SAVED) as service:  # accepted once is enough
        assert set(service.wait_until_ready().streamers()) == left | {"new"}


def test_an_older_backup_may_be_put_back(bundle: Path, tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    with Service(bundle, data) as service:
        service.wait_until_ready().put("old", tags=["cooking"])
        done = run("backup", "--data-dir", data, "--out", copy)
        assert done.returncode == 0, done.stderr
        service.put("new", tags=["cooking"])
        assert service.stop() == 0
    shutil.rmtree(data / "store")
    assert "it is empty, and sequence 2 was acknowledged" in refused(bundle, data)
    done = run("restore", copy, "--data-dir", data)
    assert done.returncode == 0, done.stderr
    with Service(bundle, data) as service:
        assert set(service.wait_until_ready().streamers()) == {"old"}
        assert service.put("next", tags=["cooking"]) == 3
        assert service.stop() == 0
    shutil.rmtree(data / "store")  # of the restored one, everything counts again
    assert "it is empty, and sequence 3 was acknowledged" in refused(bundle, data)


def test_a_kill_right_after_a_write_is_no_loss(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for i in range(6):
        with Service(bundle, data) as service:
            service.wait_until_ready()
            store = service.store
            service.put(f"s{i}", tags=["cooking"])
            service.process.kill()
            kill(store)
            service.process.wait()
        wait_until(lambda: is_free(data), "the folder is free")
        known = Witness(data).read()
        assert known is None or known.sequence <= i + 1
    with (data / "store" / "appendonlydir").joinpath("appendonly.aof.1.incr.aof").open("ab") as log:
        log.write(b"*3\r\n$7\r\nEVALSHA\r\n$40\r\nhalf of a write that was nev")
    with Service(bundle, data) as service:
        assert set(service.wait_until_ready().streamers()) == {f"s{i}" for i in range(6)}


def test_an_external_store_that_was_emptied(
    bundle: Path, server: Server, replicas: Replicas
) -> None:
    (service,) = replicas(server.url)
    service.put("a", tags=["cooking"])
    assert service.stop() == 0
    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    server.start()
    with Service(bundle, service.data_dir, REDIS_URL=server.url) as empty:
        assert empty.process.wait(60) == 1
        assert "it is empty, and sequence 1 was acknowledged" in empty.output
    (service,) = replicas(server.url, STREAMER_ACCEPT_DATA_LOSS="true")
    assert service.put("b", tags=["cooking"]) == 2


def test_a_damaged_witness_is_no_witness(tmp_path: Path) -> None:
    witness, place = Witness(tmp_path), Position("epoch", 7, "mark")
    witness.write(place)
    assert witness.read() == place
    witness.path.write_bytes(witness.path.read_bytes().replace(b"7", b"8"))
    assert witness.read() is None
    assert list(tmp_path.iterdir()) == [witness.path]
