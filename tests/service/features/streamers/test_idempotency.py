"""`Idempotency-Key`: a write that is sent again is done once, and answered as the first time."""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.work.large_json import LARGE_BYTES
from service.features.streamers.repeats import Repeats
from service.settings import Settings
from service.store.base import DoneBefore
from service.store.once import Once
from service.store.redis.store import RedisStore
from tests.service.conftest import put
from tests.service.valkey import Server

S = "/v1/streamers/s"
Send = Callable[..., Any]


def keyed(key: str, **headers: str) -> dict[str, str]:
    return {"Idempotency-Key": key, **headers}


@pytest.fixture
def send(client: TestClient, request: pytest.FixtureRequest) -> Send:
    """Sends a write with a key of this test's own."""
    name = request.node.name

    def send(method: str, body: Any = None, key: str = "", **headers: str) -> Any:
        made = keyed(f'"{name} {key}"', **headers)
        return client.request(method, S, json=body, headers=made)

    return send


def again(first: Any, second: Any) -> dict[str, Any]:
    """What the second answer says, which is the first one but for near-duplicates."""
    assert first.is_success, first.text
    assert (second.status_code, second.headers.get("etag")) == (
        first.status_code,
        first.headers.get("etag"),
    ), second.text
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    told, repeated = first.json(), second.json()
    if "near_duplicates" in told:
        assert repeated["near_duplicates"] is None
        assert "earlier request" in repeated["near_duplicates_unavailable_because"]
    known = told.keys() - {"near_duplicates", "near_duplicates_unavailable_because"}
    assert {name: repeated[name] for name in known} == {name: told[name] for name in known}
    return told


def test_a_put_that_is_sent_again(client: TestClient, send: Send) -> None:
    body = {"tags": ["cooking"], "language": "zh"}
    created = again(send("PUT", body), send("PUT", body))
    assert created["created"]
    assert again(send("PUT", body, "2"), send("PUT", body, "2"))["version"] > created["version"]
    other = put(client, "s", tags=["music"])
    assert send("PUT", body).json()["version"] == created["version"]  # nobody's write is undone
    assert client.get(S).json()["version"] == other


def test_a_conditional_put_that_is_sent_again(send: Send) -> None:
    """Without the key, the second one meets what the first one wrote: 412."""
    header = {"If-None-Match": "*"}
    again(send("PUT", {"tags": ["music"]}, **header), send("PUT", {"tags": ["music"]}, **header))
    assert send("PUT", {"tags": ["music"]}, "2", **header).status_code == 412


def test_a_patch_that_is_sent_again(client: TestClient, send: Send) -> None:
    put(client, "s", tags=["cooking"], name="old")
    first = send("PATCH", {"name": "new"})
    between = put(client, "s", tags=["cooking"], name="newer")
    again(first, send("PATCH", {"name": "new"}))
    assert client.get(S).json()["version"] == between
    client.delete(S)
    again(first, send("PATCH", {"name": "new"}))
    assert client.get(S).status_code == 404


def test_a_delete_that_is_sent_again(client: TestClient, send: Send) -> None:
    put(client, "s", tags=["cooking"])
    first = send("DELETE")
    again(first, send("DELETE"))
    version = put(client, "s", tags=["cooking"])
    again(first, send("DELETE"))
    assert client.get(S).json()["version"] == version
    assert send("DELETE", key="2").json()["sequence"] > version


def test_a_large_body_that_is_sent_again(send: Send) -> None:
    body = {
        "tags": ["music"],
        "videos": [{"video_id": f"{i}", "title": "歌" * 500} for i in range(100)],
    }
    assert len(json.dumps(body)) > LARGE_BYTES
    again(send("PUT", body), send("PUT", body))


@pytest.mark.parametrize(
    ("method", "body", "headers"),
    [
        ("PUT", {"tags": ["gaming"]}, {}),
        ("PATCH", {"tags": ["music"]}, {}),
        ("DELETE", None, {}),
        ("PUT", {"tags": ["music"]}, {"If-Match": "*"}),
    ],
)
def test_a_key_of_another_request(
    client: TestClient, send: Send, method: str, body: Any, headers: dict[str, str]
) -> None:
    version = send("PUT", {"tags": ["music"]}).json()["version"]
    answer = send(method, body, **headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert client.get(S).json()["version"] == version


def test_a_refused_write_is_tried_anew(client: TestClient, send: Send) -> None:
    """It did nothing, so that there is nothing to do twice."""
    assert send("PATCH", {"name": "n"}).status_code == 404
    put(client, "s", tags=["music"])
    assert send("PATCH", {"name": "n"}).status_code == 200


@pytest.mark.parametrize("quoted", [True, False])
def test_quotes_are_no_part_of_a_key(client: TestClient, quoted: bool) -> None:
    key = f"quotes-{quoted}"
    headers = keyed(f'"{key}"' if quoted else key)
    first = client.put(S, json={"tags": ["music"]}, headers=headers)
    again(first, client.put(S, json={"tags": ["music"]}, headers=keyed(f' "{key}" ')))


@pytest.mark.parametrize(
    "key", ["", '""', '"', "two words", '"a" "b"', '"\\"', f'"{"k" * 256}"', "é".encode("latin-1")]
)
def test_a_key_that_is_none(client: TestClient, key: str | bytes) -> None:
    answer = client.put(S, json={"tags": ["music"]}, headers=[(b"idempotency-key", key)])  # pyright: ignore[reportArgumentType]
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), answer.text
    assert [e["parameter"] for e in answer.json()["errors"]] == ["idempotency-key"]
    assert client.get(S).status_code == 404


def test_two_keys(client: TestClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    answer = client.put(S, json={"tags": ["music"]}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_keys_are_the_callers_own(bundle: Path, tmp_path: Path) -> None:
    known = {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": "first"}
    app = create_app(Settings.model_validate(known))
    with TestClient(app, base_url="http://localhost") as client:
        one = {"Authorization": "Bearer first", **keyed("k")}
        first = client.put(S, json={"tags": ["music"]}, headers=one)
        again(first, client.put(S, json={"tags": ["music"]}, headers=one))
        made = client.post("/v1/keys", json={"name": "second", "role": "admin"}, headers=one)
        other = {"Authorization": f"Bearer {made.json()['key']}", **keyed("k")}
        answer = client.put(S, json={"tags": ["cooking"]}, headers=other)
        assert answer.json()["version"] == first.json()["version"] + 1


@pytest.mark.slow
@pytest.mark.parametrize("then", ["nothing", "delete"])
def test_a_patch_that_another_replica_gets_while_the_first_carries_it_out(
    bundle: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """It was done after the other had looked, and met its own write: 412."""
    look, first = RedisStore.done_before, list[Any]()
    known = {"bundle": bundle, "redis_url": server.url}
    with ExitStack() as running:
        one, other = (
            running.enter_context(
                TestClient(
                    create_app(Settings.model_validate({**known, "data_dir": tmp_path / name})),
                    base_url="http://localhost",
                )
            )
            for name in ("one", "other")
        )
        headers = keyed("k", **{"If-Match": f'"{put(one, "s", tags=["music"])}"'})

        async def overtaken(store: RedisStore, key: str) -> DoneBefore | None:
            found = await look(store, key)
            if not first:
                first.append(None)
                change = partial(one.patch, json={"name": "new"}, headers=headers)
                first[0] = await asyncio.to_thread(change, S)
                if then == "delete":
                    await asyncio.to_thread(one.delete, S)
            return found

        monkeypatch.setattr(RedisStore, "done_before", overtaken)
        second = other.patch(S, json={"name": "new"}, headers=headers)
        again(first[0], second)
        changed = other.patch(S, json={"name": "newer"}, headers=headers)
        assert changed.json()["code"] == "idempotency_key_reused"


class Nothing:
    """A store that remembers nothing."""

    async def done_before(self, key: str) -> DoneBefore | None:
        return None


def test_the_first_request_is_under_way() -> None:
    async def run() -> None:
        repeats = Repeats(Nothing())  # pyright: ignore[reportArgumentType]
        async with repeats.caught(Once("key", "print")):
            async with repeats.caught(Once("other", "print")), repeats.caught(None):
                pass
            for fingerprint, code in (
                ("print", "idempotency_key_in_use"),
                ("another", "idempotency_key_reused"),
            ):
                with pytest.raises(Exception, match="Idempotency-Key") as caught:
                    async with repeats.caught(Once("key", fingerprint)):
                        pytest.fail("it was done")
                assert getattr(caught.value, "code", None) == code
        async with repeats.caught(Once("key", "print")):
            pass

    asyncio.run(run())
