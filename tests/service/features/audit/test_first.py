"""Which routes have the log before their answer: each of them, as the OpenAPI document has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from service.http.auth.audit import QUESTIONS, Entry, RequestAudit
from service.http.auth.guarded_answer import GuardedAnswer
from service.http.auth.route_scopes import RouteScope
from tests.bundles import SPACE
from tests.service.features.audit.test_requests import ask, audited, folder, of
from tests.service.features.keys.test_route_scopes import ROUTES, needed

__all__ = ["audited", "folder"]
ASKED = {
    "/v1/similar",
    "/v1/cold-start",
    "/v1/cold-start:batch",
    "/v1/dedup",
    "/v1/compare",
    "/v1/lists:preview",  # but in a file, or as a job
    "/v1/streamers:find",
    "/v1/streamers:facets",
    "/v1/ratings:mine",
    "/v1/layouts/current:select",
}
"""POST that changes nothing. A new route belongs here only if that is true of it."""
READ_FIRST = {
    "/v1/layouts/current/points",
    "/v1/jobs/{job_id}/result",
}
"""GET that comes first, whatever its scope."""
OTHERS = {"streamers:write", "spaces:write", "embeddings:read", "cases", "admin"}


class _Log:
    """A log that can be written."""

    most_ids = 3

    def note(self, entry: Entry) -> None:
        raise AssertionError

    async def write(self, entries: Sequence[Entry | Mapping[str, Any]]) -> None:
        raise AssertionError

    def check(self) -> None:
        return None


class _Noting(_Log):
    def __init__(self) -> None:
        self.noted: list[Entry] = []

    def note(self, entry: Entry) -> None:
        self.noted.append(entry)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_stream_of_events_is_noted_when_it_begins() -> None:
    async def send(message: Message) -> None:
        pass

    log, scope = _Noting(), {"method": "GET", "request_id": "r-1", "state": {}}
    answer = GuardedAnswer(scope, send)
    answer.audit = RequestAudit(log, scope, RouteScope("streamers:read", "/v1/events", ()))
    answer.audit.begin()
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await answer.send({"type": "http.response.start", "status": 200, "headers": headers})
    assert [(entry.route, entry.status) for entry in log.noted] == [("/v1/events", 200)]
    await answer.send({"type": "http.response.body", "body": b"", "more_body": False})
    answer.finish()
    assert len(log.noted) == 1


def _comes_first(method: str, path: str, operation: dict[str, Any]) -> bool:
    route = RouteScope(needed(operation), path, ())  # pyright: ignore[reportArgumentType]
    audit = RequestAudit(_Log(), {"method": method}, route)
    audit.begin()
    return audit.comes_first


def test_whatever_changes_something_comes_first() -> None:
    late = {
        path
        for method, path, op in ROUTES
        if method != "GET" and not _comes_first(method, path, op)
    }
    assert late == ASKED == QUESTIONS


def test_files_come_first() -> None:
    first = {
        path
        for method, path, op in ROUTES
        if method == "GET" and needed(op) not in OTHERS and _comes_first(method, path, op)
    }
    assert first == READ_FIRST


@pytest.mark.slow
def test_lists_in_files_and_jobs_come_first(audited: TestClient, folder: Any) -> None:
    asked = {"positive": [{"streamer_id": "a"}]}
    for form in ("csv", "xlsx", "ndjson"):
        path = f"/v1/lists:preview?format={form}"
        assert ask(audited, "POST", path, f"list-{form}", json=asked).status_code == 200
        (entry,) = of(folder, f"list-{form}")
        assert (entry["ids"], entry["status"]) == (["a"], 200)
    later = {"Prefer": "respond-async"}
    answer = ask(audited, "POST", "/v1/lists:preview", "list-job", json=asked, headers=later)
    assert answer.status_code == 202
    assert len(of(folder, "list-job")) == 1
    audited.put("/v1/lists/first", json={"question": asked}).raise_for_status()
    assert ask(audited, "POST", "/v1/lists/first:run", "run", json={}).status_code == 200
    assert len(of(folder, "run")) == 1
    path = "/v1/lists/first/runs/1?format=csv"
    assert ask(audited, "GET", path, "kept").status_code == 200
    (entry,) = of(folder, "kept")
    assert entry["results"] == 2


@pytest.mark.slow
def test_an_erased_user_is_named_however_long_the_id_is(audited: TestClient, folder: Any) -> None:
    for user in ("u-1", "u" * 256):
        ask(audited, "DELETE", f"/v1/spaces/{SPACE}/users/{user}", f"erase-{len(user)}")
        (entry,) = of(folder, f"erase-{len(user)}")
        assert (entry["ids"], entry["action"]) == ([SPACE, user], "erase")
