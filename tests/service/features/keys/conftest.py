"""A service that asks for keys, and stores of keys in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings

FIRST_KEY = "the-first-key"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "data"


@pytest.fixture(scope="module")
def guarded(bundle: Path, data_dir: Path) -> Iterator[TestClient]:
    """Asked with the first admin key unless a test gives another."""
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": data_dir, "api_key": FIRST_KEY}
    )
    headers = bearer(FIRST_KEY)
    with TestClient(create_app(settings), base_url="http://localhost", headers=headers) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def create(client: TestClient, **fields: object) -> dict[str, str]:
    """A new key, as the service shows it once."""
    answer = client.post("/v1/keys", json={"name": "a test", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def unused(client: TestClient) -> list[dict[str, Any]]:
    """All keys, without when they were used, which is noted meanwhile."""
    page = client.get("/v1/keys", params={"limit": 1000}).json()
    return [{**key, "last_used_at": None} for key in page["keys"]]
