"""A bundle, and services that run as processes of their own."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import write_bundle
from tests.service.process import Service

Serve = Callable[..., Service]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    write_bundle(folder)
    return folder


@pytest.fixture
def free_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def serve(bundle: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts services and waits until they are ready; all of them end with the test."""
    with ExitStack() as running:

        def start(
            *options: object,
            bundle: Path = bundle,
            data_dir: Path = tmp_path / "data",
            port: int = 0,
            **variables: Any,
        ) -> Service:
            service = Service(bundle, data_dir, *options, port=port, **variables)
            return running.enter_context(service).wait_until_ready()

        yield start
