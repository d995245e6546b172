"""Keys that several services share: revoked on one, refused by all; and a store that is gone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import put
from tests.service.features.keys.conftest import bearer, create
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until
from tests.service.valkey import Server

pytestmark = pytest.mark.slow
Start = Callable[..., TestClient]


@pytest.fixture
def start(bundle: Path, server: Server, tmp_path: Path) -> Iterator[Start]:
    """Starts services on one store."""
    with ExitStack() as running:

        def begin(name: str, **settings: object) -> TestClient:
            known = {"bundle": bundle, "data_dir": tmp_path / name, "redis_url": server.url}
            app = create_app(Settings.model_validate({**known, **settings}))
            return running.enter_context(TestClient(app, base_url="http://localhost"))

        yield begin


def test_a_change_on_one_replica_reaches_the_other(start: Start) -> None:
    one, other = start("one", api_key="first"), start("other", api_key="second")
    one.headers.update(bearer("first"))
    made = create(one, role="operations")
    asked = bearer(made["key"])

    def status() -> int:
        return other.get("/v1/streamers", headers=asked).status_code

    wait_until(lambda: status() == 200, "the other replica knows the key")
    rotated = one.post(f"/v1/keys/{made['key_id']}:rotate", json={"grace_s": 0}).json()
    wait_until(lambda: status() == 401, "the other replica refuses the text before")
    asked = bearer(rotated["key"])
    wait_until(lambda: status() == 200, "the other replica knows the new text")
    path = f"/v1/keys/{made['key_id']}"
    one.patch(path, json={"scopes": ["search"]}).raise_for_status()
    wait_until(lambda: status() == 403, "the other replica knows the new scopes")
    one.patch(path, json={"role": "operations", "limits": {"streamers:read": 1}})
    wait_until(lambda: status() == 429, "the other replica knows the new limit")
    one.patch(path, json={"limits": {"streamers:read": 0}}).raise_for_status()
    wait_until(lambda: status() == 200, "the other replica knows that there is none")
    one.delete(f"/v1/keys/{made['key_id']}").raise_for_status()
    wait_until(lambda: status() == 401, "the other replica refuses the key")


def test_a_named_request_makes_one_key_however_many_replicas_get_it(start: Start) -> None:
    replicas = [start(name, api_key="first") for name in ("one", "other")]
    body, headers = {"name": "x", "role": "operations"}, bearer("first")

    def ask(i: int) -> Any:
        named = {**headers, "Idempotency-Key": f'"{i // 4}"'}
        return replicas[i % 2].post("/v1/keys", json=body, headers=named)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(20)))
    made = [answer.json()["key_id"] for answer in answers if answer.status_code == 201]
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [409] * 15
    page = replicas[0].get("/v1/keys", headers=headers).json()
    assert sorted(made) == [key["key_id"] for key in page["keys"]]
    path = f"/v1/keys/{made[0]}:rotate"
    headers["Idempotency-Key"] = '"turn"'
    with ThreadPoolExecutor(4) as pool:
        turned = list(pool.map(lambda i: replicas[i % 2].post(path, headers=headers), range(8)))
    assert sorted(answer.status_code for answer in turned) == [200] + [409] * 7


def test_the_first_key_closes_all_replicas(start: Start) -> None:
    one, other = start("one"), start("other")
    assert other.get("/v1/streamers").status_code == 200
    create(one, role="admin")
    wait_until(lambda: other.get("/v1/streamers").status_code == 401, "the other is closed too")


def test_without_the_store_keys_are_known_as_before(start: Start, server: Server) -> None:
    client = start("one", api_key="first")
    made = create_with(client, "search")
    sequence = put(client, "a", tags=["cooking"])
    put(client, "b", tags=["cooking"])
    url, search = f"/v1/streamers/a/similar?after_sequence={sequence + 1}", bearer(made["key"])
    assert client.get(url, headers=search).status_code == 200
    server.kill()
    for _ in range(3):
        assert client.get("/v1/streamers/a/similar", headers=search).status_code == 200
    problem(client.get("/v1/streamers/a/similar", headers=bearer("x")), 401, "unauthorized")
    problem(client.get("/v1/streamers", headers=search), 403, "missing_scope")
    for answer in (
        client.get("/v1/keys"),
        client.delete(f"/v1/keys/{made['key_id']}"),
        client.post("/v1/keys", json={"name": "x", "role": "admin"}),
    ):
        problem(answer, 503, "store_unavailable")
    server.start()
    revoke = f"/v1/keys/{made['key_id']}"
    wait_until(lambda: client.delete(revoke).status_code in (200, 404), "the store answers again")
    problem(client.get("/v1/streamers/a/similar", headers=search), 401, "unauthorized")


def create_with(client: TestClient, scope: str) -> dict[str, str]:
    client.headers.update(bearer("first"))
    return create(client, scopes=[scope])
