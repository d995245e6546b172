"""One server of Milvus for all tests here."""

from collections.abc import Iterator

import pytest

from tests.service.milvus_server import MilvusServer


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    server = MilvusServer(tmp_path_factory.mktemp("milvus")).start()
    try:
        yield server.wait()
    finally:
        server.kill()
