"""Who may ask, and with which content type, before anything of a body is read."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import Field

from service.app import create_app
from service.errors import StoreUnavailable
from service.http.dependencies import check_parameters
from service.http.lifecycle import Lifecycle
from service.http.ndjson import NdjsonResponse
from service.http.schemas import Response
from service.settings import Settings
from tests.service.data_sets import NDJSON
from tests.service.http.test_bad_input import problem

PROFILE = json.dumps({"tags": ["music"]}).encode()
LINE = json.dumps({"streamer_id": "a", "tags": ["music"]}).encode() + b"\n"


@pytest.fixture(scope="module")
def with_key(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": tmp_path_factory.mktemp("data"), "api_key": "a-secret"}
    )
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json"])
@pytest.mark.parametrize(
    ("method", "path", "body", "wanted"),
    [
        ("POST", "/v1/streamers:bulk", LINE, "application/x-ndjson"),
        (
            *("POST", "/v1/jobs/imports", LINE),
            "application/x-ndjson, application/vnd.apache.parquet, or a path as application/json",
        ),
        ("PUT", "/v1/streamers/a", PROFILE, "application/json"),
        ("PATCH", "/v1/streamers/a", PROFILE, "application/json"),
        ("POST", "/v1/similar", PROFILE, "application/json"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_says_what_it_is(
    client: TestClient,
    kind: str | None,
    method: str,
    path: str,
    body: bytes,
    wanted: str,
    chunked: bool,
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    content = iter([body]) if chunked else body
    answer = client.request(method, path, content=content, headers=headers)
    said = problem(answer, 415, "unsupported_media_type")["detail"]
    assert f"Content-Type: {wanted}" in said
    assert client.get("/v1/streamers").json()["streamers"] == []


def test_content_types_that_are_taken(client: TestClient) -> None:
    def ask(method: str, path: str, kind: str, body: bytes) -> int:
        headers = {"Content-Type": kind}
        return client.request(method, path, content=body, headers=headers).status_code

    assert ask("PUT", "/v1/streamers/a", "Application/JSON; charset=utf-8", PROFILE) == 201
    assert ask("PATCH", "/v1/streamers/a", "application/merge-patch+json", PROFILE) == 200
    assert ask("POST", "/v1/streamers:bulk", "application/x-ndjson; charset=utf-8", LINE) == 200
    assert ask("POST", "/v1/streamers:bulk", "application/json", LINE) == 415
    assert ask("PUT", "/v1/streamers/a", "application/x-ndjson", PROFILE) == 415
    assert client.put("/v1/streamers/a").status_code == 422  # there is no body to be described


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v1/spaces/als/generations/g1", "application/x-ndjson"),
        ("PUT", "/v1/spaces/als/generations/g1:promote", "application/x-ndjson"),
        ("PUT", "/v1/spaces/als/generations/g1:promote", "application/json"),
        ("PUT", "/v1/streamers:bulk", "application/x-ndjson"),
        ("PATCH", "/v1/similar", "text/plain"),
    ],
)
def test_of_a_wrong_method_the_body_does_not_matter(
    client: TestClient, method: str, path: str, kind: str
) -> None:
    answer = client.request(method, path, content=PROFILE, headers={"Content-Type": kind})
    problem(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/streamers:facets", {"after_sequence": False}, "/after_sequence"),
        ("/v1/similar", {"positive": [{"streamer_id": "a"}], "k": True}, "/k"),
        ("/v1/similar", {"positive": [{"streamer_id": "a"}], "min_score": True}, "/min_score"),
    ],
)
def test_true_and_false_are_no_numbers(
    client: TestClient, path: str, body: dict[str, Any], pointer: str
) -> None:
    (error,) = problem(client.post(path, json=body), 422, "invalid_request")["errors"]
    assert error == {"detail": "must be a number, not true or false", "pointer": pointer}


def test_with_a_key_the_name_does_not_matter(with_key: TestClient) -> None:
    known = {"Authorization": "Bearer a-secret"}
    elsewhere = {"Host": "api.example.org", "Origin": "https://console.example.org", **known}
    assert with_key.get("/v1/streamers", headers=elsewhere).status_code == 200
    assert with_key.get("/v1/streamers", headers=known | {"Authorization": "x"}).status_code == 401
    plain = {**known, "Content-Type": "text/plain"}
    answer = with_key.post("/v1/streamers:bulk", content=LINE, headers=plain)
    problem(answer, 415, "unsupported_media_type")
    assert with_key.post("/v1/streamers:bulk", content=LINE, headers=plain | NDJSON).is_success


def test_an_unexpected_error_is_answered_and_counted(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(bundle=bundle, data_dir=tmp_path / "data"))

    @app.get("/broken")
    def broken() -> None:  # pyright: ignore[reportUnusedFunction]
        raise ZeroDivisionError

    with TestClient(app, base_url="http://localhost") as client:
        assert "\nstreamer_unexpected_errors_total 0.0" in client.get("/metrics").text
        answer = client.get("/broken", headers={"X-Request-Id": "asked-for"})
        problem(answer, 500, "internal")
        assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == "asked-for"
        metrics = client.get("/metrics").text
        assert 'route="/broken",status="500"' in metrics
        assert "\nstreamer_unexpected_errors_total 1.0" in metrics
    (record,) = [r for r in caplog.records if r.exc_info]
    assert record.getMessage() == "unexpected error"


@pytest.mark.parametrize(
    ("error", "defects"), [(ZeroDivisionError(), "1.0"), (StoreUnavailable("it is gone"), "0.0")]
)
def test_an_answer_that_breaks_off_is_counted_unless_the_reason_is_known(
    bundle: Path, tmp_path: Path, error: Exception, defects: str
) -> None:
    app = create_app(Settings(bundle=bundle, data_dir=tmp_path / "data"))

    async def lines() -> AsyncIterator[bytes]:
        yield b"{}\n"
        raise error

    @app.get("/broken")
    def broken() -> NdjsonResponse:  # pyright: ignore[reportUnusedFunction]
        return NdjsonResponse(lines())

    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        assert client.get("/broken").status_code == 200
        metrics = client.get("/metrics").text
    assert 'route="/broken",status="200"' in metrics
    assert f"\nstreamer_unexpected_errors_total {defects}" in metrics


class _Answer(Response):
    bio: Annotated[str, Field(max_length=3)]


@pytest.mark.parametrize("is_made", [False, True])
def test_of_an_answer_that_does_not_fit_the_log_has_no_text(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, is_made: bool
) -> None:
    app = create_app(Settings(bundle=bundle, data_dir=tmp_path / "data"))

    @app.get("/unfit", response_model=_Answer)
    def unfit() -> Any:  # pyright: ignore[reportUnusedFunction]
        said = {"bio": "about a person"}
        return _Answer.model_validate(said) if is_made else said

    with TestClient(app, base_url="http://localhost") as client:
        problem(client.get("/unfit"), 500, "internal")
        assert "\nstreamer_unexpected_errors_total 1.0" in client.get("/metrics").text
    assert "about a person" not in caplog.text
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    place = "bio" if is_made else "response.bio"
    assert (
        f"unexpected error: an answer does not fit its schema (1 errors): {place}: string_too_long"
        in (record.getMessage())
    )
    assert (f"in {unfit.__name__}" in record.getMessage()) == is_made


@pytest.mark.slow
def test_bodies_take_bounded_memory_together(bundle: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": tmp_path / "data", "limits": {"bodies_bytes": 1024}}
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        for _ in range(20):  # each gives back what it took
            assert client.put("/v1/streamers/a", json={"bio": "x" * 500}).is_success
        answer = client.put("/v1/streamers/a", json={"bio": "x" * 1100})
        problem(answer, 503, "overloaded")
        assert answer.headers["Retry-After"] == "1"
        assert client.put("/v1/streamers/a", json={"bio": "y" * 500}).is_success
        lines = b'{"streamer_id":"a"}\n' * 60
        answer = client.post("/v1/cold-start:batch", content=lines, headers=NDJSON)
        problem(answer, 503, "overloaded")  # whose lines are all kept
        assert client.post("/v1/streamers:bulk", content=lines, headers=NDJSON).is_success


def test_a_body_that_nobody_reads_takes_no_memory_of_others(bundle: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": tmp_path / "data", "limits": {"bodies_bytes": 1024}}
    )
    app = create_app(settings)
    came, may_end = threading.Event(), threading.Event()

    @app.get("/held")
    async def held() -> None:  # pyright: ignore[reportUnusedFunction]
        came.set()
        await asyncio.to_thread(may_end.wait)

    with (
        TestClient(app, base_url="http://localhost") as client,
        ThreadPoolExecutor(1) as elsewhere,
    ):
        question = elsewhere.submit(client.request, "GET", "/held", content=b"x" * 1000)
        came.wait()
        try:
            assert client.put("/v1/streamers/a", json={"bio": "x" * 500}).status_code == 201
        finally:
            may_end.set()
        assert question.result().status_code == 200


def test_bodies_are_given_up_while_one_is_late_already() -> None:
    async def scenario() -> None:
        lifecycle, late = Lifecycle(), asyncio.timeout(0)

        async def wait() -> None:
            async with late:
                lifecycle.waits.add(late)
                await asyncio.Event().wait()

        waiting = asyncio.create_task(wait())
        while not late.expired():  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not waiting.done()
        lifecycle.end_bodies(1)
        with pytest.raises(TimeoutError):
            await waiting

    asyncio.run(scenario())


def test_every_route_refuses_parameters_that_it_does_not_know(bundle: Path) -> None:
    app = create_app(Settings(bundle=bundle))
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    assert len(routes) > 100
    for route in routes:
        calls = [part.call for part in route.dependant.dependencies]
        assert check_parameters in calls, f"{route.path} is of no CheckedRouter"
