"""Bodies that are still being received when their key is revoked."""

import asyncio
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from tests.service.features.keys.conftest import create

LINES = b'{"streamer_id": "late-1"}\n', b'{"streamer_id": "late-2"}\n'
ROWS = (
    b'{"kind": "streamer", "id": "late-1", "vector": [0.1, -0.3]}\n',
    b'{"kind": "user", "id": "u-1", "vector": [0.4, 0.2]}\n',
)


def upload(client: TestClient, key: dict[str, str], method: str, url: str, parts: Any) -> Any:
    """Status and body of an answer to two parts, between which the key is revoked."""
    path, _, query = url.partition("?")
    headers = {"authorization": f"Bearer {key['key']}", "content-type": "application/x-ndjson"}
    headers |= {"host": "localhost", "transfer-encoding": "chunked"}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("localhost", 80),
        "state": client.app_state.copy(),
    }
    left, sent = list(parts), list[Message]()

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()  # the client stays
        if len(left) == 1:
            revoked = await asyncio.to_thread(client.delete, f"/v1/keys/{key['key_id']}")
            revoked.raise_for_status()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    assert client.portal is not None
    client.portal.call(client.app, scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent))


@pytest.mark.parametrize(
    ("method", "url", "parts", "status", "made"),
    [
        ("POST", "/v1/streamers:bulk", LINES, 200, "/v1/streamers/late-1"),
        ("POST", "/v1/jobs/imports", LINES, 401, None),
        ("PUT", "/v1/spaces/late/generations/g-1?promote=true", ROWS, 401, "/v1/spaces/late"),
    ],
)
def test_nothing_is_written_of_what_comes_after_the_key_was_revoked(
    guarded: TestClient, method: str, url: str, parts: Any, status: int, made: str | None
) -> None:
    key = create(guarded, scopes=["streamers:write", "spaces:write"])
    answered, said = upload(guarded, key, method, url, parts)
    assert answered == status, said
    assert (said.get("error") or said)["code"] == "unauthorized"
    if made is None:
        assert guarded.get("/v1/jobs").json()["jobs"] == []
    else:
        assert guarded.get(made).status_code == 404
