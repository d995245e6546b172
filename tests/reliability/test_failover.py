"""The primary of the store is killed under writes, and sentinels promote a replica."""

import asyncio
from pathlib import Path

import pytest

from tests.reliability.conftest import Replicas
from tests.reliability.failover import fail_over
from tests.reliability.service_history import ServiceHistory, under_writes
from tests.support.service import wait_until
from tests.support.valkey import SERVICE, Replicated, Sentinels

pytestmark = pytest.mark.slow


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    found = asyncio.run(fail_over(tmp_path, rounds=1, acknowledging=1, sentinels=1))
    assert found.acknowledged > 200
    assert found.lost == 0
    assert found.refused  # for as long as there was no primary


def test_a_service_goes_on_with_the_replica(tmp_path: Path, replicas: Replicas) -> None:
    with (
        Replicated(tmp_path, replicas=2) as servers,
        Sentinels(tmp_path, servers.servers[0], 1, down_after_ms=1000) as watching,
    ):
        watching.wait_until_they_know(2)
        known = {
            "STREAMER_STORE__SENTINELS": ",".join(f"{h}:{p}" for h, p in watching.addresses),
            "STREAMER_STORE__REPLICAS": "1",
        }
        (service,) = replicas(f"redis://{SERVICE}/0", **known)
        told = ServiceHistory()
        with under_writes(service, told):
            wait_until(lambda: len(told.versions) > 50, "it is written to")
            servers.servers[0].kill()
            before = len(told.versions)
            wait_until(lambda: len(told.versions) > before + 50, "writes are acknowledged again")
        service.wait_until_ready()
        told.check_service(service)
        told_of_one = "streamer_store_replicas 1.0"  # the store is looked at once a second
        wait_until(lambda: told_of_one in service.client.get("/metrics").text, "it is told")
