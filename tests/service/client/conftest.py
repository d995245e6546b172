"""A service as a process, and clients of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import Client
from tests.service.process import Service


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(bundle, tmp_path_factory.mktemp("client") / "data") as service:
        yield service.wait_until_ready()


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A client of a service without streamers."""
    with Client(service.url) as client:
        yield client
        for streamer in client.streamers(page_size=1000):
            client.delete(streamer.streamer_id)
