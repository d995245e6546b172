"""Services whose webhooks may go to this machine, and a receiver there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.features.webhooks.receiver import Receiver, receiving

LOCAL: dict[str, Any] = {"private_networks": ["127.0.0.0/8"], "timeout_ms": 30_000}
"""So that no receiver is too slow that answers at all."""


@pytest.fixture(scope="module")
def sending(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with sender(bundle, tmp_path_factory.mktemp("data"), LOCAL) as client:
        yield client


def sender(bundle: Path, folder: Path, webhooks: dict[str, Any]) -> TestClient:
    """A service with a data folder, and with settings of webhooks."""
    known = {"bundle": bundle, "data_dir": folder, "webhooks": webhooks}
    app = create_app(Settings.model_validate(known))
    return TestClient(app, base_url="http://localhost")


@pytest.fixture
def client(sending: TestClient) -> Iterator[TestClient]:
    """A service without webhooks."""
    yield sending
    for webhook in sending.get("/v1/webhooks").json()["webhooks"]:
        sending.delete(f"/v1/webhooks/{webhook['webhook_id']}").raise_for_status()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def create(client: Any, url: str, *kinds: str) -> dict[str, Any]:
    """A new webhook, with its secret."""
    body = {"url": url, "kinds": list(kinds or ["streamer.*"])}
    answer = client.post("/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()
