"""The edge of HTTP, without keys: framing, hosts and origins, methods, bodies, ids and problems."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_keys import DOCUMENT, FILLED
from tests.support import raw
from tests.support.api import NDJSON, Api
from tests.support.bundles import DIM
from tests.support.service import ROOT, Service

JSON = {"Content-Type": "application/json"}
JSON_LINE = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
INNER = raw.request("DELETE", "/v1/streamers/kept")
BEHIND = raw.request("GET", "/v1/streamers/behind", "Connection: close")
LENGTH = f"Content-Length: {len(INNER)}"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Without a key, so that it has to know pages of other sites from others who ask."""
    folder = tmp_path_factory.mktemp("keyless") / "data"
    variables: dict[str, Any] = {
        "STREAMER_SERVER__HOSTS": "streamers.example.org",
        "STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "10",
    }
    with Service(bundle, folder, **variables) as running:
        yield running.wait_until_ready()


@pytest.fixture
def kept(api: Api) -> Iterator[None]:
    """A streamer that must survive, and be the only one."""
    api.ok("PUT", "/v1/streamers/kept", {"tags": ["music"]}, status=201)
    yield
    api.ok("DELETE", "/v1/streamers/kept")
    assert api.get("/v1/streamers/behind").status_code == 404


# Framing


def assert_refused(service: Service, content: bytes) -> None:
    """The first request is refused, and nothing behind it is read."""
    (answer,) = raw.exchange(service.url, content)
    assert answer.status == 400, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.json["code"] == "malformed_request"


def post(*headers: str) -> bytes:
    return raw.request("POST", "/v1/similar", JSON_LINE, *headers)


LENGTHS = (
    *("", "+5", "-1", "5 5", "0x5", "5_0", "1e1", "5;", "5.0", "\xb2", "five", "\x0b5"),
    *("99999999999999999999999", "18446744073709551616", f"0, {len(INNER)}"),
)
CODINGS = (
    *("chunked, identity", "identity", "xchunked", "chunked, chunked", "gzip", '"chunked"'),
    *("chunked;q=1", "\x0bchunked", "chunked\x0b", "chunked,", "ch\x00"),
)


@pytest.mark.usefixtures("kept")
def test_headers_that_others_may_read_differently_are_refused(service: Service) -> None:
    """Each may end the request before, for one of two, and smuggle another one in."""
    for headers in (
        ("Content-Length: 5", CHUNKED),
        (CHUNKED, LENGTH),
        ("Content-Length: 0", LENGTH),
        (LENGTH, LENGTH),
        *((f"Content-Length: {value}",) for value in LENGTHS),
        *((f"Transfer-Encoding: {value}",) for value in CODINGS),
        (CHUNKED, "Transfer-Encoding: identity"),
        *((f"Transfer-Encoding{end}: chunked",) for end in (" ", "\t", "\x00")),
        ("Transfer-Encoding:\r\n chunked",),
        ("Content-Length:\r\n 5",),
        ("Content-Length : 5",),
        ("X: a\r\n Content-Length: 5",),
        (" Content-Length: 5",),
        *((f"X: a{end}Content-Length: 5",) for end in ("\n", "\r")),
        *((line,) for line in ("X: a\x00b", "X\x00: a", "X", ": a", "X Y: a", "X(: a")),
    ):
        assert_refused(service, post(*headers) + b"0\r\n\r\n" + INNER + BEHIND)


@pytest.mark.usefixtures("kept")
def test_chunks_that_others_may_read_differently_are_refused(service: Service) -> None:
    sizes = (b"-2", b"+2", b"0x2", b"2_0", b" 2", b"g", b"", b"2 2", b"\x002", b"2\x00")
    for chunks in (
        *(size + b"\r\n{}\r\n0\r\n\r\n" for size in sizes),
        b"ffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
        b"10000000000000002\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}0\r\n\r\n",
        b"2\r\n{}}\r\n0\r\n\r\n",
        b"2\n{}\r\n0\r\n\r\n",
        b"2\r{}\r\n0\r\n\r\n",
        b"2\r\n{}\n0\r\n\r\n",
        b"2;a\nb\r\n{}\r\n0\r\n\r\n",
        b"2;a=\x00\r\n{}\r\n0\r\n\r\n",
    ):
        assert_refused(service, post(CHUNKED) + chunks + INNER + BEHIND)


@pytest.mark.usefixtures("kept")
def test_what_is_no_request_of_http_1_1_is_refused(service: Service) -> None:
    host = b"\r\nHost: localhost\r\n\r\n"
    for line in (
        b"GET /v1/streamers",
        b"GET /v1/streamers HTTP/1.1 ",
        b"GET\t/v1/streamers\tHTTP/1.1",
        b"GET /v1/streamers HTTP/1.2",
        b"GET /v1/streamers http/1.1",
        b"GET /v1/streamers HTTP/2.0",
        b"GET /v1/\xff HTTP/1.1",
        b"GET /v1/\x00 HTTP/1.1",
        b"GET v1/streamers HTTP/1.1",
        b"get /v1/streamers HTTP/1.1",
        b"GARBAGE /v1/streamers HTTP/1.1",
        b"CONNECT localhost:80 HTTP/1.1",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"*1\r\n$4\r\nPING",  # Redis
    ):
        assert_refused(service, line + host + INNER)
    with raw.connect(service.url) as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")  # without Host
        answer = raw.answer(client)
    assert (answer.status, answer.json["code"]) == (400, "malformed_request")


@pytest.mark.usefixtures("kept")
def test_an_upgrade_with_a_body_is_no_second_request(service: Service) -> None:
    """Java's client sends it so, and others would read what follows as a request."""
    headers = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x", LENGTH)
    assert_refused(service, post(*headers) + INNER)


@pytest.mark.parametrize(
    "content",
    [
        raw.request("GET", "/v1/streamers", LENGTH, "Connection: close") + INNER,
        b"GET /v1/streamers HTTP/1.0\r\n\r\n" + INNER,
        raw.request("GET", "/v1/streamers", "Connection: Upgrade", "Upgrade: websocket") + BEHIND,
    ],
    ids=["a body of a GET", "HTTP/1.0", "a websocket"],
)
@pytest.mark.usefixtures("kept")
def test_what_follows_an_answer_is_read_as_it_should_be(service: Service, content: bytes) -> None:
    first, *others = raw.exchange(service.url, content)
    assert (first.status, len(first.json["streamers"])) == (200, 1)
    assert [answer.status for answer in others] in ([], [404])


@pytest.mark.parametrize("name", ["Host", "Content-Type", "Origin", "Authorization"])
def test_a_header_that_counts_comes_once(service: Service, name: str) -> None:
    values = {"Host": "localhost", "Content-Type": "application/json"}
    line = f"{name}: {values.get(name, 'http://localhost')}"
    content = raw.request("PUT", "/v1/streamers/behind", JSON_LINE, line, line, body=b"{}")
    refused, behind = raw.exchange(service.url, content + BEHIND)
    assert (refused.status, refused.json["code"]) == (400, "malformed_request")
    assert name.lower() in refused.json["detail"]
    assert behind.status == 404


def test_chunk_extensions_and_trailers_mean_nothing(service: Service, api: Api) -> None:
    head = raw.request("PUT", "/v1/streamers/behind", JSON_LINE, CHUNKED)
    trailers = b"Host: evil.example\r\nContent-Type: a/b\r\nAuthorization: Bearer x\r\n"
    chunks = b'2;a="b;c"\r\n{}\r\n0;d\r\n' + trailers + b"\r\n"
    written, read = raw.exchange(service.url, head + chunks + BEHIND)
    assert (written.status, read.status) == (201, 200)
    api.ok("DELETE", "/v1/streamers/behind")


def test_requests_may_be_sent_before_answers_are_read(service: Service) -> None:
    names = [f"ahead-{i}" for i in range(20)]
    ahead = b"".join(
        raw.request("GET", "/v1/streamers/nobody", f"X-Request-Id: {name}") for name in names
    )
    answers = raw.exchange(service.url, ahead + BEHIND)
    assert [answer.headers["x-request-id"] for answer in answers[:-1]] == names


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
def test_compressed_bodies_are_refused(api: Api, encoding: str) -> None:
    for method, path, kind in (
        ("PUT", "/v1/streamers/zipped", JSON),
        ("POST", "/v1/streamers:bulk", NDJSON),
        ("POST", "/v1/jobs/imports", NDJSON),
    ):
        asked = {"content": b"\x1f\x8b\n", "headers": {**kind, "Content-Encoding": encoding}}
        said = api.refused(method, path, status=415, code="unsupported_media_type", **asked)
        assert "Content-Encoding" in said["detail"]


# Hosts and origins: without a key, pages in a browser of this machine are kept out


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((h, 200) for h in ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.1.2.3", "[::1]")),
        *((h, 200) for h in ("[::1]:8000", "a.localhost", "streamers.example.org:8443")),
        *((h, 421) for h in ("evil.example", "localhost.evil.example", "10.0.0.1", "", "[::2]")),
        *(
            (h, 421)
            for h in ("example.org", "x.streamers.example.org", "0", "127.1", "localhost:x")
        ),
        *((h, 421) for h in ("0x7f.0.0.1", "2130706433", "localhost@evil.example", "[::1", "::1")),
        *(
            (h, 421)
            for h in ("[::1].evil.example", "localhost:80:evil.example", "localhost/e", ".")
        ),
        *((h, 421) for h in ("localhost,evil.example", "localhost#e", "localhost?e", "[]")),
    ],
)
def test_a_name_is_one_of_this_machine_or_of_the_settings(api: Api, host: str, status: int) -> None:
    for path in ("/v1/streamers", "/metrics", "/docs", "/console/"):
        answer = api.get(path, headers={"Host": host})
        assert (answer.status_code == 421) == (status == 421), path
        assert status == 200 or answer.json()["code"] == "host_not_allowed"
    assert api.get("/livez", headers={"Host": host}).status_code == 200


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
def test_pages_from_elsewhere_are_refused(api: Api, origin: str) -> None:
    asked = {"status": 403, "code": "origin_not_allowed"}
    line = b'{"streamer_id":"page"}\n'
    headers = {"Origin": origin}
    api.refused("GET", "/v1/streamers", headers=headers, **asked)
    api.refused("DELETE", "/v1/streamers/page", headers=headers, **asked)
    api.refused("PUT", "/v1/streamers/page", {}, headers=headers, **asked)
    api.refused("POST", "/v1/streamers:bulk", content=line, headers=headers | NDJSON, **asked)
    preflight = {**headers, "Access-Control-Request-Method": "PUT"}
    api.refused("OPTIONS", "/v1/streamers/page", headers=preflight, **asked)
    assert api.get("/v1/streamers/page").status_code == 404


def test_a_page_of_the_service_itself_may_ask_and_no_other_is_told_that_it_may(api: Api) -> None:
    own = {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}
    named = {"Host": "streamers.example.org", "Origin": "https://streamers.example.org:8443"}
    answers = [api.get("/v1/streamers", headers=headers) for headers in (own, named)]
    assert [answer.status_code for answer in answers] == [200, 200]
    answers.append(api.options("/v1/streamers", headers=own))
    assert answers[-1].status_code == 405
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "frame-ancestors 'none'" in api.get("/docs").headers["content-security-policy"]


def test_a_target_that_names_another_host_counts_as_the_host_of_the_connection(
    service: Service,
) -> None:
    for place in ("http://evil.example", "http://a@b", "//e"):
        content = raw.request("GET", f"{place}/v1/streamers", "Connection: close")
        (answer,) = raw.exchange(service.url, content)
        assert answer.status in (200, 400, 404)
        (answer,) = raw.exchange(service.url, content.replace(b": localhost", b": evil.example"))
        assert answer.status in (400, 421)


# Methods, paths and parameters


def test_paths_and_methods_that_are_not_there(api: Api, service: Service) -> None:
    api.refused("GET", "/v1/nothing", status=404, code="no_such_path")
    for path, allowed in (
        ("/v1/similar", "GET, POST"),
        ("/v1/streamers", "GET"),
        ("/v1/streamers/a", "DELETE, GET, PATCH, PUT"),
        ("/v1/streamers:bulk", "POST"),
        ("/v1/jobs/imports", "POST"),
    ):
        for method in ("OPTIONS", "TRACE", "PROPFIND"):
            content = raw.request(method, path, "Cookie: a=made-up-secret", "Connection: close")
            (answer,) = raw.exchange(service.url, content)
            if answer.status != 400:  # a method that no parser knows
                assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
                assert answer.headers["allow"] == allowed
            assert b"made-up-secret" not in answer.body + str(answer.headers).encode()
    # Of a wrong method the body does not matter.
    for kind in (JSON, NDJSON, {"Content-Type": "text/plain"}):
        asked = {"content": b"{}", "headers": kind}
        api.refused("PATCH", "/v1/similar", status=405, code="method_not_allowed", **asked)


def test_an_unknown_parameter_is_refused_by_name_on_every_route(api: Api) -> None:
    for path, methods in DOCUMENT["paths"].items():
        url = re.sub(r"\{(\w+)\}", lambda name: FILLED[name[1]], path)
        for method in methods:
            said = api.refused(
                method.upper(),
                url,
                params={"langauge": "zh"},
                status=422,
                code="invalid_request",
            )
            assert [error["parameter"] for error in said["errors"]] == ["langauge"], path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/streamers?limit=1&limit=2", "limit"),
        ("/v1/streamers?limit=1&limit=1", "limit"),
        ("/v1/streamers/s/similar?k=1&explain=false&k=2", "k"),
        ("/v1/streamers/s/similar?k=many", "k"),
        ("/v1/streamers/s/similar?exact=so", "exact"),
        ("/v1/streamers?cursor=%C3%A4", "cursor"),
        ("/v1/streamers?cursor=" + "A" * 60_000, "cursor"),
        ("/v1/streamers?limit=" + "9" * 60_000, "limit"),
    ],
    ids=lambda value: value[:50],
)
def test_a_wrong_parameter_is_named(api: Api, path: str, name: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [error["parameter"] for error in answer.json()["errors"]] == [name]
    assert len(answer.content) < 10_000


# Bodies


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json"])
@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("POST", "/v1/streamers:bulk", "application/x-ndjson"),
        ("POST", "/v1/jobs/imports", "application/vnd.apache.parquet"),
        ("PUT", "/v1/streamers/typed", "application/json"),
        ("PATCH", "/v1/streamers/typed", "application/json"),
        ("POST", "/v1/similar", "application/json"),
    ],
)
def test_a_body_says_what_it_is(
    api: Api, method: str, path: str, wanted: str, kind: str | None
) -> None:
    """What a form of another page can send needs no leave of the service, so it is refused."""
    headers = {} if kind is None else {"Content-Type": kind}
    for content in (b'{"streamer_id":"typed"}', iter([b'{"streamer_id":"typed"}'])):
        said = api.refused(
            method,
            path,
            content=content,
            headers=headers,
            status=415,
            code="unsupported_media_type",
        )
        assert wanted in said["detail"]
    assert api.get("/v1/streamers/typed").status_code == 404


def test_content_types_that_are_taken(api: Api) -> None:
    def ask(method: str, path: str, kind: str, body: bytes = b"{}") -> int:
        headers = {"Content-Type": kind}
        return api.request(method, path, content=body, headers=headers).status_code

    path, bulk, line = "/v1/streamers/kinds", "/v1/streamers:bulk", b'{"streamer_id":"kinds"}'
    assert ask("PUT", path, "Application/JSON; charset=utf-8") == 201
    assert ask("PATCH", path, "application/merge-patch+json") == 200
    assert ask("POST", bulk, "application/x-ndjson; charset=utf-8", line) == 200
    assert ask("POST", bulk, "application/json", line) == 415
    assert ask("PUT", path, "application/x-ndjson") == 415
    assert api.put(path).status_code == 422  # there is no body to be described


DEEP, LONG, SURROGATE = 100_000, "9" * 1_000_000, '"\\ud800"'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((body, 400) for body in (b'{"bio":', b"rubbish", b'{"k":01}', b'{"k":1}{"k":1}')),
        *((body, 400) for body in (b'{"k":1_0}', b'{"k":1}\x00', b'{"bio":"\xff\xfe"}')),
        *(('{"bio":"x"}'.encode(e), 400) for e in ("utf-16", "utf-16-le", "utf-32", "utf-32-be")),
        ("\ufeff\ufeff{}", 400),
        ("[" * DEEP, 400),
        ('{"a":' * DEEP + "1" + "}" * DEEP, 400),
        ('{"k":' + LONG + "}", 400),
        ('{"k":0.' + LONG + "}", 422),
        ('{"k":1e999999}', 422),
        ('{"k":NaN}', 422),
        ('{"k":-Infinity}', 422),
        ("[]", 422),
        ("null", 422),
        ("{" + ",".join(f'"k{i}":1' for i in range(20_000)) + "}", 422),
        ("[" + "{}," * 20_000 + "{}]", 422),
        ('{"positive":[' + "{}," * 20_000 + "{}]}", 422),
        ("{" + SURROGATE + ":1}", 422),
        ('{"bio":' + SURROGATE + "}", 422),
        ('{"attributes":{' + SURROGATE + ":1}}", 422),
        ('{"a\\u0000b":1}', 422),
        ('{"' + "x" * 1_000_000 + '":1}', 422),
        ('{"__proto__":{"k":1},"constructor":1}', 422),
    ],
    ids=lambda value: str(value)[:25],
)
def test_json_that_is_too_much_or_none(api: Api, body: str | bytes, status: int) -> None:
    content = body.encode() if isinstance(body, str) else body
    api.put("/v1/streamers/patched", json={"tags": ["music"]})
    for method, path in (
        ("POST", "/v1/similar"),
        ("PUT", "/v1/streamers/rubbish"),
        ("PATCH", "/v1/streamers/patched"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/cases"),
    ):
        answer = api.request(method, path, content=content, headers=JSON)
        code = "malformed_body" if status == 400 else "invalid_request"
        assert (answer.status_code, answer.json()["code"]) == (status, code), (path, answer.text)
        assert len(answer.content) < 100_000
        assert len(answer.json().get("errors", [])) <= 20
    assert api.get("/v1/streamers/rubbish").status_code == 404
    assert api.ok("GET", "/v1/streamers/patched")["profile"]["tags"] == ["music"]


def test_of_two_fields_of_one_name_the_last_counts_everywhere(api: Api) -> None:
    """Whatever the size of the body: what one part checked is what another uses."""
    for filler in ("", " " * 200_000):
        body = '{"bio":"first","tags":["a"],' + filler + '"bio":"last","tags":["b"]}'
        answer = api.put("/v1/streamers/twice", content=body, headers=JSON)
        assert answer.status_code in (200, 201)
        stored = api.ok("GET", "/v1/streamers/twice")["profile"]
        assert (stored["bio"], stored["tags"]) == ("last", ["b"])
    line = '{"streamer_id":"another","streamer_id":"twice","bio":"x","bio":"line"}\n'
    result = api.post("/v1/streamers:bulk", content=line, headers=NDJSON).json()
    assert (result["streamer_id"], result["outcome"]) == ("twice", "updated")
    assert api.ok("GET", "/v1/streamers/twice")["profile"]["bio"] == "line"
    assert api.get("/v1/streamers/another").status_code == 404


VECTOR = {"vector": [1.0] * DIM}


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("PUT", "/v1/streamers/wrong", {"nmae": "x"}, "/nmae"),
        ("PUT", "/v1/streamers/wrong", {"tags": "cooking"}, "/tags"),
        (
            "PUT",
            "/v1/streamers/wrong",
            {"videos": [{"video_id": "v", "titel": "x"}]},
            "/videos/0/titel",
        ),
        ("PUT", "/v1/streamers/wrong", {"attributes": {"a/b~c": [1]}}, "/attributes/a~1b~0c"),
        ("POST", "/v1/similar", {"positive": [VECTOR], "k": True}, "/k"),
        ("POST", "/v1/similar", {"positive": [VECTOR], "min_score": False}, "/min_score"),
        ("POST", "/v1/similar", {"positive": [{}]}, "/positive/0"),
        ("POST", "/v1/dedup", {"ids": ["a", "b", "a"]}, "/ids/2"),
        ("POST", "/v1/dedup", {}, ""),
        *(("POST", "/v1/jobs/exports", {n: 1}, f"/{n}") for n in ("path", "query", "header")),
        *(("PUT", "/v1/streamers/wrong", {n: 1}, f"/{n}") for n in ("path", "query", "body")),
    ],
)
def test_a_wrong_field_is_named_by_its_pointer(
    api: Api, method: str, path: str, body: dict[str, Any], pointer: str
) -> None:
    said = api.refused(method, path, body, status=422, code="invalid_request")
    assert [(e["pointer"], e.get("parameter")) for e in said["errors"]] == [(pointer, None)]
    assert api.get("/v1/streamers/wrong").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/similar", '{"positive":[%s]}'),
        ("POST", "/v1/dedup", '{"ids":[%s]}'),
        ("POST", "/v1/cases", '{"title":"t","seeds":[%s]}'),
        ("POST", "/v1/outreach", '{"ids":[%s]}'),
        ("POST", "/v1/webhooks", '{"url":"https://example.org/a","kinds":[%s]}'),
        ("POST", "/v1/watchlists", '{"name":"l","min_probability":0.9,"positive":[%s]}'),
        ("PATCH", "/v1/streamers/stored", '{"tags":[%s]}'),
    ],
)
def test_errors_by_the_hundred_thousand_are_told_shortly(
    api: Api, method: str, path: str, body: str
) -> None:
    api.put("/v1/streamers/stored", json={"tags": ["cooking"]})
    content = (body % ",".join(["0"] * 200_000)).encode()
    answer = api.request(method, path, content=content, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert 1 <= len(answer.json()["errors"]) <= 20
    assert len(answer.content) < 10_000


def test_the_first_twenty_errors_are_named(api: Api) -> None:
    body = {"positive": [VECTOR] + [{}] * 99}
    said = api.refused("POST", "/v1/similar", body, status=422, code="invalid_request")
    assert [e["pointer"] for e in said["errors"]] == [f"/positive/{i}" for i in range(1, 21)]


# Ids and problems


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/docs", "/errors", "/v1/streamers", "/x"])
def test_every_answer_has_the_id_that_was_asked_for_or_one_of_its_own(api: Api, path: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", api.get(path).headers["X-Request-Id"])
    answer = api.get(path, headers={"X-Request-Id": "asked-for"})
    assert answer.headers.get_list("X-Request-Id") == ["asked-for"]
    for given in ("", "two words", "x" * 129, "<script>", "a,b", "%0d%0aX: 1"):
        answer = api.get(path, headers={"X-Request-Id": given})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_no_header_of_an_answer_is_split(service: Service) -> None:
    for given in ("a\r\nX-Injected: 1", "a\x0b", "\xe9", "a%0d%0aX-Injected: 1"):
        headers = (f"X-Request-Id: {given}", f"traceparent: {given}", "Connection: close")
        for method in ("GET", "PUT"):
            for answer in raw.exchange(
                service.url, raw.request(method, "/v1/streamers/nobody", *headers)
            ):
                assert answer.headers["x-injected"] is None


@pytest.mark.parametrize(
    ("traceparents", "is_continued"),
    [
        *(([value], True) for value in (TRACEPARENT, f"00-{TRACE}-{PARENT}-00")),
        ([f"cc-{TRACE}-{PARENT}-01-later"], True),
        *(([value], False) for value in ("", "rubbish", f"ff-{TRACE}-{PARENT}-01")),
        *(([f"00-{TRACE}-{PARENT}{end}"], False) for end in ("", "-01-later")),
        ([f"00-{'0' * 32}-{PARENT}-01"], False),
        ([f"00-{TRACE}-{'0' * 16}-01"], False),
        ([f"00-{TRACE.upper()}-{PARENT}-01"], False),
        ([TRACEPARENT, TRACEPARENT], False),
    ],
)
def test_a_trace_is_continued_where_it_is_one(
    api: Api, traceparents: list[str], is_continued: bool
) -> None:
    headers = [("traceparent", value) for value in traceparents]
    said = api.get("/v1/streamers/nobody", headers=headers).json()
    assert said.get("trace_id") == (TRACE if is_continued else None)
    line = api.post("/v1/streamers:bulk", content=b"x\n", headers=[*headers, *NDJSON.items()])
    assert line.json()["error"].get("trace_id") == (TRACE if is_continued else None)
    assert line.json()["error"]["request_id"] == line.headers["x-request-id"]


def test_the_type_of_a_problem_leads_to_its_explanation(api: Api) -> None:
    said = api.refused("GET", "/v1/streamers/nobody", status=404, code="streamer_not_found")
    assert set(said) == {"type", "title", "status", "code", "detail", "errors", "request_id"}
    path, _, anchor = said["type"].partition("#")
    page = api.get(path)
    assert page.headers["content-type"].startswith("text/html")
    explained = set(re.findall(r'<section id="(\w+)">', page.text))
    assert anchor in explained
    documented = set(re.findall(r'"/errors#(\w+)"', json.dumps(DOCUMENT)))
    assert documented <= explained
    pages = (ROOT / "docs" / "api-errors.md").read_text(encoding="utf-8")
    assert explained <= set(re.findall(r"\w+", pages))


def test_a_question_that_waits_in_vain_says_when_to_come_again(api: Api) -> None:
    sequence = api.put_streamer("seen", tags=["cooking"])
    answer = api.get("/v1/streamers/seen/similar", params={"after_sequence": sequence + 10**6})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_yet_visible")
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["store_sequence"] == sequence


def test_errors_tell_nothing_of_the_inside(api: Api) -> None:
    for path in ("/v1/streamers/%00", "/v1/audit?cursor=%00", "/v1/jobs?cursor=a", "/docs/x"):
        answer = api.get(path)
        assert answer.status_code in (400, 404, 422)
        for inside in ("Traceback", str(ROOT), "site-packages", ".py", "redis", "pydantic"):
            assert inside not in answer.text
        assert "server" not in answer.headers


def test_ranges_without_number_cost_no_more_than_one(service: Service, api: Api) -> None:
    """Of the files of the documentation, which need no key."""
    path = "/static-offline-docs/swagger-ui.css"
    whole = api.get(path).content
    for ranges in (
        "bytes=" + ",".join(f"{i}-{i}" for i in range(5_000)),
        "bytes=" + ",".join(["0-"] * 15_000),
        "bytes=0-" + "9" * 60_000,
        "bytes=9-1",
    ):
        content = raw.request("GET", path, f"Range: {ranges}", "Connection: close")
        (answer,) = raw.exchange(service.url, content)
        assert answer.status in (200, 206, 400, 416)
        assert len(answer.body) <= 2 * len(whole) + 10_000


@pytest.mark.parametrize("name", ["..", "%2e%2e/%2e%2e/__init__.py", "..%2f..%2f..%2fetc%2fpasswd"])
def test_files_of_the_documentation_are_these(service: Service, name: str) -> None:
    for folder in ("static-offline-docs", "console"):
        content = raw.request("GET", f"/{folder}/{name}", "Connection: close")
        (answer,) = raw.exchange(service.url, content)
        assert answer.status in (404, 405), answer.body


def test_the_page_of_the_documentation_needs_no_internet(api: Api) -> None:
    page = api.get("/docs").text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page) + re.findall(r"url: '([^']+)'", page)
    assert "/openapi.json" in parts
    for part in parts:
        assert part.startswith("/")
        assert part == "/openapi.json" or api.get(part).status_code == 200, part


def test_what_is_no_http_fills_no_log(service: Service) -> None:
    before = len(service.output)
    for _ in range(20):
        raw.exchange(service.url, b"rubbish\r\n\r\n")
    assert len(service.output) == before
