"""Pages of other sites that a browser on this machine shows, and names that lead here."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Server, Settings
from tests.service.attacks.raw import exchange, request
from tests.service.http.test_bad_input import problem
from tests.service.process import Service

PROFILE = json.dumps({"tags": ["music"]}).encode()
LINE = json.dumps({"streamer_id": "a", "tags": ["music"]}).encode() + b"\n"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1:1",
        "127.1.2.3",
        "[::1]:8000",
        "[::1]",
        "a.localhost",
    ],
)
def test_names_of_this_machine(client: TestClient, host: str) -> None:
    assert client.get("/v1/streamers", headers={"Host": host}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1", "", "[::2]"),
        *("0", "127.1", "0x7f.0.0.1", "2130706433", "017700000001", "localhost@evil.example"),
        *("[::1].evil.example", "[::1", "::1", "localhost:80:evil.example", "localhost:x"),
        *("localhost:80@evil.example", "localhost/evil.example", "localhost,evil.example", "[]"),
        *("localhost#evil.example", "localhost?evil.example", "localhost evil.example", "."),
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/streamers", "/metrics", "/openapi.json", "/docs", "/console/"]
)
def test_names_that_are_not(client: TestClient, host: str, path: str) -> None:
    answer = client.get(path, headers={"Host": host})
    said = problem(answer, 421, "host_not_allowed")["detail"]
    assert "STREAMER_SERVER__HOSTS" in said
    assert "set STREAMER_API_KEY" in said
    assert client.get("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "https://localhost.evil.example", "http://localhost:3000", "null"),
        *(
            "",
            "localhost",
            "http://localhost, http://evil.example",
            "http://evil.example#localhost",
        ),
        *("http://[::1].evil.example", "http://evil.example@localhost", "file://", "http://"),
    ],
)
def test_pages_from_elsewhere(client: TestClient, origin: str) -> None:
    for method, path, kind, body in (
        ("POST", "/v1/streamers:bulk", "application/x-ndjson", LINE),
        ("PUT", "/v1/streamers/a", "application/json", PROFILE),
        ("DELETE", "/v1/streamers/a", "", b""),
        ("GET", "/v1/streamers", "", b""),
    ):
        headers = {"Origin": origin, "Content-Type": kind}
        answer = client.request(method, path, content=body, headers=headers)
        assert "STREAMER_API_KEY" in problem(answer, 403, "origin_not_allowed")["detail"]
    assert client.get("/v1/streamers").json()["streamers"] == []


def test_a_page_of_the_service_itself(client: TestClient) -> None:
    headers = {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}
    answer = client.put("/v1/streamers/a", json={"tags": ["music"]}, headers=headers)
    assert answer.status_code == 201


def test_names_that_are_set(bundle: Path, tmp_path: Path) -> None:
    server = Server(hosts=("streamers.example.org",))
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", server=server)
    with TestClient(create_app(settings), base_url="http://streamers.example.org") as client:
        assert client.get("/v1/streamers").status_code == 200
        page = {"Origin": "https://streamers.example.org:8443"}
        assert client.get("/v1/streamers", headers=page).status_code == 200
        assert client.get("/v1/streamers", headers={"Host": "localhost"}).status_code == 200
        assert client.get("/v1/streamers", headers={"Host": "example.org"}).status_code == 421


@pytest.mark.parametrize("asks", ["POST", "PUT", "DELETE", "PATCH"])
def test_no_page_is_allowed_what_it_asks_for_before(client: TestClient, asks: str) -> None:
    """A preflight (CORS) is refused, with a key or without, and no answer names an origin."""
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": asks}
    answer = client.options("/v1/streamers/a", headers=preflight)
    problem(answer, 403, "origin_not_allowed")
    own = {"Origin": "http://localhost", "Access-Control-Request-Method": asks}
    for read in (
        answer,
        client.options("/v1/streamers/a", headers=own),
        client.get("/v1/streamers", headers={"Origin": "http://localhost"}),
    ):
        assert not [name for name in read.headers if name.startswith("access-control-")]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["http://evil.example", "http://localhost", "http://a@b", "//e"])
def test_a_target_that_names_a_host(keyless: Service, place: str) -> None:
    """The absolute form is for proxies: the host of the connection counts, as ever."""
    content = request("GET", f"{place}/v1/streamers", "Connection: close")
    for answer in exchange(keyless, content):
        assert answer.status in (200, 400, 404)
    foreign = content.replace(b"Host: localhost", b"Host: evil.example")
    (answer,) = exchange(keyless, foreign)
    assert answer.status in (400, 421)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["TRACE", "TRACK", "OPTIONS", "PROPFIND", "HEAD", "CONNECT"])
def test_methods_that_no_route_has(keyless: Service, method: str) -> None:
    secret = "Cookie: session=made-up-secret"
    content = request(method, "/v1/streamers", secret, "Connection: close")
    (answer,) = exchange(keyless, content)
    assert answer.status in (400, 405)
    assert b"made-up-secret" not in answer.body + str(answer.headers).encode()


@pytest.mark.slow
def test_a_form_of_another_page_writes_nothing(keyless: Service) -> None:
    """What a form can send needs no preflight: three types, and no body at all."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        line = f"Content-Type: {kind}"
        content = request("POST", "/v1/streamers:bulk", line, "Connection: close", body=LINE)
        (answer,) = exchange(keyless, content)
        assert answer.status == 415
    assert keyless.client.get("/v1/streamers").json()["streamers"] == []


@pytest.mark.slow
def test_the_documentation_is_in_no_frame(keyless: Service) -> None:
    """In a frame of another page, its buttons could be pressed unknowingly."""
    answer = keyless.client.get("/docs")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
