"""kill -9 of the running service, of its store and of both, at random moments, under writes.

What the service acknowledged over HTTP is there afterwards, what it acknowledged to have deleted
stays deleted, `similar` finds exactly those who are stored, no store process is left behind, and
the folder can be used again at once.
"""

import random
import time
from pathlib import Path

import pytest

from tests.bundles import write_bundle
from tests.reliability.service_history import ServiceHistory, under_writes
from tests.service.process import Service, is_free, is_gone, wait_until

pytestmark = pytest.mark.slow

ROUNDS = 8


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    write_bundle(folder)
    return folder


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
                    store.kill()
                service.process.wait()
        wait_until(lambda: is_gone(store), "the store ends with its service")  # noqa: B023
        wait_until(lambda: is_free(tmp_path / "data"), "the folder is free")
    with Service(bundle, tmp_path / "data") as service:
        told.check_service(service.wait_until_ready())
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
