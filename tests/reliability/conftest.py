"""A bundle, a store of one's own, and services on it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import bundle as bundle
from tests.support.service import Service
from tests.support.valkey import Server

Replicas = Callable[..., list[Service]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "store").mkdir()
    server = Server(tmp_path / "store")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def replicas(bundle: Path, tmp_path: Path) -> Iterator[Replicas]:
    """Starts a service for each address of a store, all at once; they end with the test."""
    with ExitStack() as running:

        def start(*urls: str, **variables: Any) -> list[Service]:
            data_dir = tmp_path / "unused"
            services = [Service(bundle, data_dir, REDIS_URL=url, **variables) for url in urls]
            for service in services:
                running.enter_context(service)
            return [service.wait_until_ready() for service in services]

        yield start
