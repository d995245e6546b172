"""Services on one store share the limit of a key; without the store each counts alone."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import put, wait_until_visible
from tests.service.features.keys.conftest import FIRST_KEY, bearer, create
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until
from tests.service.valkey import Server

pytestmark = pytest.mark.slow
SIMILAR = "/v1/streamers/a/similar"
MANY = {"search": 10_000}
Start = Callable[[str], TestClient]


@pytest.fixture
def start(bundle: Path, server: Server, tmp_path: Path) -> Iterator[Start]:
    """Starts services on one store."""
    with ExitStack() as running:

        def begin(name: str) -> TestClient:
            fields = {
                "bundle": bundle,
                "data_dir": tmp_path / name,
                "redis_url": server.url,
                "api_key": FIRST_KEY,
                "rate_limits": {"window_s": 86_400, "search": 100},
            }
            app = create_app(Settings.model_validate(fields))
            client = TestClient(app, base_url="http://localhost", headers=bearer(FIRST_KEY))
            return running.enter_context(client)

        yield begin


def test_what_one_answers_the_other_counts(start: Start) -> None:
    one, other = start("one"), start("other")
    sequence = put(one, "a", tags=["cooking"])
    wait_until_visible(other, sequence)
    headers = bearer(create(one, scopes=["search", "streamers:read"], limits=MANY)["key"])
    path = "/v1/streamers/a"  # whose limit is another one
    wait_until(lambda: other.get(path, headers=headers).status_code == 200, "the key is known")
    body = {"positive": [{"streamer_id": "a"}], "min_score": 0.99}  # costs 100 units

    def is_used_up() -> bool:
        answer = one.post("/v1/similar/export", json=body, headers=headers)
        return answer.status_code == 429

    wait_until(is_used_up, "the limit is used up")
    # By itself it would let in as many questions as it is not asked before this fails.
    wait_until(lambda: other.get(SIMILAR, headers=headers).status_code == 429, "the other knows")


def test_without_the_store(start: Start, server: Server) -> None:
    client = start("one")
    wait_until_visible(client, put(client, "a", tags=["cooking"]))
    made = create(client, scopes=["search"])
    headers = bearer(made["key"])
    for _ in range(50):
        assert client.get(SIMILAR, headers=headers).status_code == 200
    server.kill()
    for _ in range(50):
        assert client.get(SIMILAR, headers=headers).status_code == 200
    problem(client.get(SIMILAR, headers=headers), 429, "rate_limited")
    assert client.get(SIMILAR).status_code == 200
    server.start()
    name = f"ss:limit:search:{made['key_id']}"

    def is_told() -> bool:
        with Redis.from_url(server.url) as store:
            full_at: Any = store.get(name)
            return float(full_at or 0) / 1e6 - time.time() > 0.9 * 86_400

    wait_until(is_told, "the store knows what was spent without it")
    problem(client.get(SIMILAR, headers=headers), 429, "rate_limited")
