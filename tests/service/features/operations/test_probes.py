"""Probes answer HEAD as they answer GET."""

import pytest
from fastapi.testclient import TestClient

from tests.service.conftest import Serve


@pytest.mark.parametrize("path", ["/livez", "/startupz", "/readyz"])
def test_a_probe_answers_a_monitor_that_asks_for_headers(client: TestClient, path: str) -> None:
    asked, told = client.head(path), client.get(path)
    assert asked.status_code == told.status_code == 200
    assert asked.headers["content-type"] == told.headers["content-type"]


@pytest.mark.slow
def test_no_body_comes_behind_the_headers(serve: Serve) -> None:
    client = serve().client
    for _ in range(2):  # on one connection
        assert client.head("/readyz").content == b""
        assert client.get("/livez").json() == {"status": "ok"}
