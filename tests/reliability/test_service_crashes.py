"""kill -9 of the running service, of its store and of both, at random moments, under writes.

What the service acknowledged over HTTP is there afterwards, what it acknowledged to have deleted
stays deleted, `similar` finds exactly those who are stored, no store process is left behind, and
the folder can be used again at once.
"""

import random
import time
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from model_export.contract.bundle import Bundle
from model_export.contract.pieces import Piece
from model_export.contract.towers import Payload, payload_key
from service.engine.encoding.onnx_towers import OnnxTowers
from service.engine.encoding.tower_vectors import unpack
from tests.support.bundles import write_bundle
from tests.reliability.service_history import ServiceHistory, under_writes
from tests.support.service import Service, is_free, is_gone, kill, wait_until

pytestmark = pytest.mark.slow

ROUNDS = 4
"""Others are those of test_soak, and hundreds those of `make soak`."""


@pytest.mark.parametrize("victims", ["service", "service and store", "store and service"])
def test_a_service_that_is_killed_again_and_again(
    bundle: Path, tmp_path: Path, victims: str
) -> None:
    told, choices = ServiceHistory(), random.Random(victims)
    for _ in range(ROUNDS):
        with Service(bundle, tmp_path / "data") as service:
            service.wait_until_ready()
            if told.versions:
                told.check_service(service)
            store = service.store
            with under_writes(service, told):
                time.sleep(choices.uniform(0.1, 0.5))
                if victims == "store and service":
                    store.kill()
                    time.sleep(choices.uniform(0, 0.1))
                service.process.kill()
                if victims == "service and store":
                    kill(store)
                service.process.wait()
        wait_until(lambda: is_gone(store), "the store ends with its service")  # noqa: B023
        wait_until(lambda: is_free(tmp_path / "data"), "the folder is free")
    with Service(bundle, tmp_path / "data") as service:
        told.check_service(service.wait_until_ready())
    assert len(told.versions) > 10 * ROUNDS


def test_what_towers_made_is_there_after_a_crash(tmp_path: Path) -> None:
    """Of every streamer that is there, whole and of its own profile."""
    write_bundle(tmp_path / "b", tower=True)
    bundle = Bundle(tmp_path / "b")
    (spec,), towers = bundle.manifest.towers, OnnxTowers(bundle)
    told, choices = ServiceHistory(), random.Random(7)
    for _ in range(ROUNDS):
        with Service(tmp_path / "b", tmp_path / "data") as service:
            service.wait_until_ready()
            if told.versions:
                told.check_service(service)
            store = service.store
            with under_writes(service, told):
                time.sleep(choices.uniform(0.2, 0.6))
                service.process.kill()
                kill(store)
                service.process.wait()
        wait_until(lambda: is_free(tmp_path / "data"), "the folder is free")
    with Service(tmp_path / "b", tmp_path / "data") as service:
        told.check_service(service.wait_until_ready())
        socket = tmp_path / "data" / "store" / "run" / "store.sock"
        with Redis(unix_socket_path=str(socket)) as records:
            streamers = service.streamers()
            for streamer_id, streamer in streamers.items():
                packed = records.hget(f"ss:record:{streamer_id}", "tower_vectors")
                assert isinstance(packed, bytes)
                ((key, vector),) = unpack(packed).vectors.items()
                bio = Piece("bio", "text", "bio", text=streamer["profile"]["bio"])
                assert key == (bytes.fromhex(spec.version), payload_key(bio))
                (expected,) = towers.encode(spec.name, [Payload("bio", text=bio.text)])
                np.testing.assert_allclose(vector, expected, atol=1e-3)
        assert len(streamers) > 10
    assert len(told.versions) > 10 * ROUNDS


def test_a_store_that_is_killed_again_and_again(bundle: Path, tmp_path: Path) -> None:
    told, choices = ServiceHistory(), random.Random(3)
    stores: set[int] = set()
    with Service(bundle, tmp_path / "data") as service:
        service.wait_until_ready()
        for _ in range(ROUNDS):
            with under_writes(service, told):
                time.sleep(choices.uniform(0.05, 0.4))
                store = service.store
                stores.add(store.pid)
                store.kill()
                wait_until(lambda: service.store.pid != store.pid and service.is_ready(), "back")  # noqa: B023
            told.check_service(service)
        last = service.store
        assert service.stop() == 0
    assert is_gone(last)
    assert len(stores) == ROUNDS
    assert len(told.versions) > 10 * ROUNDS
    with Service(bundle, tmp_path / "data") as service:
        told.check_service(service.wait_until_ready())
