"""kill -9 while the index is saved again and again, under writes, and starts that begin with it.

Whatever a start finds of snapshots, the index is what is stored (`check_service`).
"""

import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from service.files.checksummed import UNFINISHED
from tests.reliability.service_history import ServiceHistory, under_writes
from tests.support.service import Service, is_free, is_gone, kill, wait_until

pytestmark = pytest.mark.slow

ROUNDS = 8
ALWAYS: dict[str, Any] = {
    "STREAMER_INDEX__SNAPSHOT_S": "0.001",
    "STREAMER_INDEX__SNAPSHOT_CHANGES": "1",
    "STREAMER_INDEX__SNAPSHOT_FROM_ROWS": "1",
}


def snapshot(service: Service) -> dict:
    return service.client.get("/readyz").json()["snapshot"]


def stop_in_a_save(service: Service, index: Path) -> None:
    """Suspend it while it writes a snapshot."""

    def is_caught() -> bool:
        if not any(index.glob(f"{UNFINISHED}*")):
            return False
        service.stand_still()
        if any(index.glob(f"{UNFINISHED}*")):
            return True
        service.go_on()  # it was just done
        return False

    wait_until(is_caught, "it saves", every_s=0.001)


def test_a_service_that_is_killed_while_it_saves(bundle: Path, tmp_path: Path) -> None:
    told, choices = ServiceHistory(), random.Random(11)
    sources: list[str] = []
    index, caught = tmp_path / "data" / "index", 0
    for attempt in range(ROUNDS):
        with Service(bundle, tmp_path / "data", **ALWAYS) as service:
            service.wait_until_ready()
            sources.append(snapshot(service)["source"])
            if told.versions:
                told.check_service(service)
            store = service.store
            with under_writes(service, told):
                # A look at the index is due every half a second.
                time.sleep(choices.uniform(0.4, 1.3))
                if attempt % 2:
                    stop_in_a_save(service, index)
                else:  # so that the next ones begin with it
                    wait_until(lambda: snapshot(service)["sequence"] is not None, "it is saved")
                service.process.kill()
                kill(store)
                service.process.wait()
        wait_until(lambda: is_gone(store), "the store ends with its service")  # noqa: B023
        wait_until(lambda: is_free(tmp_path / "data"), "the folder is free")
        caught += any(index.glob(f"{UNFINISHED}*"))
    with Service(bundle, tmp_path / "data", **ALWAYS) as service:
        told.check_service(service.wait_until_ready())
        sources.append(snapshot(service)["source"])
        wait_until(lambda: snapshot(service)["sequence"] is not None, "it is saved")
        wait_until(lambda: not any(index.glob(f"{UNFINISHED}*")), "what was left is removed")
        assert service.stop() == 0
    assert caught >= ROUNDS // 2
    assert sources[0] == "store"
    assert sources.count("snapshot") >= ROUNDS // 2
    assert len(told.versions) > 10 * ROUNDS


def test_a_store_that_is_set_back_under_a_snapshot(bundle: Path, tmp_path: Path) -> None:
    """By hand, with the service stopped: the copy of the folder has the same history's name."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    with Service(bundle, data, **ALWAYS) as service:
        service.wait_until_ready()
        service.bulk([{"streamer_id": f"s{i}", "tags": ["cooking"]} for i in range(50)])
        assert service.stop() == 0
    shutil.copytree(data / "store", copy)
    with Service(bundle, data, **ALWAYS) as service:
        service.wait_until_ready()
        for i in range(20):
            service.client.delete(f"/v1/streamers/s{i}").raise_for_status()
        service.put("later", tags=["cooking"])
        wait_until(lambda: snapshot(service)["sequence"] == 71, "all of it is saved")
        assert service.stop() == 0
    shutil.rmtree(data / "store")
    shutil.copytree(copy, data / "store")
    with Service(bundle, data, "--accept-data-loss", **ALWAYS) as service:
        service.wait_until_ready()
        assert "it ends at sequence 50, and 71 was acknowledged" in service.output
        assert "the store's history is another one" in service.output
        assert snapshot(service)["source"] == "store"
        assert service.similar(tags=["cooking"]) == {f"s{i}" for i in range(50)}
        # No number that the old snapshot knew comes again.
        assert service.put("other0", tags=["cooking"]) == 72
        for i in range(1, 30):
            service.put(f"other{i}", tags=["cooking"])
        service.kill()
    wait_until(lambda: is_free(data), "the folder is free")
    with Service(bundle, data, **ALWAYS) as service:
        service.wait_until_ready()
        expected = {f"s{i}" for i in range(50)} | {f"other{i}" for i in range(30)}
        assert service.similar(tags=["cooking"]) == expected
