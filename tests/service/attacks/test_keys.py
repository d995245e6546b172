"""Keys where none belong, that are none, and in numbers."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.features.keys.key_text import new_key
from tests.service.attacks.conftest import ADMIN_KEY
from tests.service.attacks.raw import Answer, exchange, request
from tests.service.process import Service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def known(guarded: Service) -> Iterator[dict[str, Any]]:
    """A key that may do everything."""
    answer = guarded.client.post("/v1/keys", json={"name": "known", "role": "admin"})
    answer.raise_for_status()
    yield answer.json()
    guarded.client.delete(f"/v1/keys/{answer.json()['key_id']}").raise_for_status()


def ask(service: Service, *headers: str, path: str = "/v1/streamers") -> Answer:
    (answer,) = exchange(service, request("GET", path, *headers, "Connection: close"))
    return answer


def assert_unauthorized(answer: Answer, *secrets: str) -> None:
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    told = answer.body.decode() + str(answer.headers)
    assert not [secret for secret in secrets if secret in told]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_a_scheme_in_any_case(guarded: Service, known: dict[str, Any], scheme: str) -> None:
    assert ask(guarded, f"Authorization: {scheme} {known['key']}").status == 200


@pytest.mark.parametrize(
    "value",
    [
        *("{}", "Basic {}", "Digest {}", "Token {}", "Negotiate {}", "Bearer{}", "Bearer:{}"),
        *(
            "Bearer  {}",
            "Bearer\t{}",
            "Bearer {}x",
            "Bearer x{}",
            "Bearer {0} {0}",
            "Bearer {0},{0}",
        ),
        *("Bearer, Bearer {}", "Bearer key={}", 'Bearer "{}"', "Bearer <{}>", "Bearer", "Bearer ."),
        *("Bearer {}\xa0", "Bearer \xa0{}", "Bearer {}\xe9", "Bearer \xff{}", "Bearer %20{}"),
        *(
            "Basic OnRoZS1hZG1pbi1rZXk=",
            "Bearer Bearer {}",
            "Bearer ..",
            "Bearer {}.a.b",
            "Bearer 0",
        ),
    ],
)
def test_what_is_no_key(guarded: Service, known: dict[str, Any], value: str) -> None:
    for key in (known["key"], ADMIN_KEY):
        assert_unauthorized(ask(guarded, "Authorization: " + value.format(key)), key)


def test_a_key_of_other_case_is_another(guarded: Service, known: dict[str, Any]) -> None:
    for key in (known["key"].upper(), known["key"].swapcase(), ADMIN_KEY.upper()):
        assert_unauthorized(ask(guarded, f"Authorization: Bearer {key}"), key)


@pytest.mark.parametrize("end", ["\x00", "\x00x", "\x0b", "\x7f", "\x1b[31m"])
def test_a_key_with_control_characters(guarded: Service, known: dict[str, Any], end: str) -> None:
    for key in (known["key"], ADMIN_KEY):
        assert ask(guarded, f"Authorization: Bearer {key}{end}").status in (400, 401)


@pytest.mark.parametrize(
    "elsewhere",
    [
        *("X-API-Key: {}", "Api-Key: {}", "X-Authorization: Bearer {}", "Cookie: key={}"),
        *("Cookie: Authorization=Bearer {}", "Proxy-Authorization: Bearer {}", "Key: {}"),
        *("X-Original-Authorization: Bearer {}", "X-Forwarded-Authorization: Bearer {}"),
        *("Authorization-: Bearer {}", "Sec-WebSocket-Protocol: Bearer, {}", "X-Auth-Token: {}"),
    ],
)
def test_a_key_in_another_header(guarded: Service, known: dict[str, Any], elsewhere: str) -> None:
    for key in (known["key"], ADMIN_KEY):
        assert_unauthorized(ask(guarded, elsewhere.format(key)), key)


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "authorization", "token"])
def test_a_key_in_the_query(guarded: Service, known: dict[str, Any], name: str) -> None:
    for key in (known["key"], ADMIN_KEY):
        path = f"/v1/streamers?{name}={key}"
        assert_unauthorized(ask(guarded, path=path), key)
        # With a key in its place the parameter is refused, and what it held is not told.
        answer = ask(guarded, f"Authorization: Bearer {ADMIN_KEY}", path=path)
        assert (answer.status, answer.json["code"]) == (422, "invalid_request")
        assert key not in answer.body.decode()


@pytest.mark.parametrize("second", [ADMIN_KEY, "another", ""])
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_two_keys(guarded: Service, second: str, name: str) -> None:
    for lines in (
        (f"Authorization: Bearer {ADMIN_KEY}", f"{name}: Bearer {second}"),
        (f"{name}: Bearer {second}", f"Authorization: Bearer {ADMIN_KEY}"),
    ):
        answer = ask(guarded, *lines)
        assert (answer.status, answer.json["code"]) == (400, "malformed_request")
        assert answer.json["detail"].startswith("the header authorization came more than once")


def test_a_key_of_a_megabyte(guarded: Service) -> None:
    assert ask(guarded, "Authorization: Bearer " + "x" * (1 << 20)).status == 431
    assert_unauthorized(ask(guarded, "Authorization: Bearer " + "x" * 60_000))


@pytest.mark.parametrize("path", ["/v1/streamers", "/v1/keys", "/v1/audit", "/v1/nothing", "/"])
@pytest.mark.parametrize(
    "way",
    [
        *(
            "{}",
            "{}/",
            "/{}",
            "{}%00",
            "{}%0a",
            "{}%0d",
            "{};a",
            "{}%2f",
            "/livez/..{}",
            "{}?",
            "{}#",
        ),
        *("/console/..{}", "/console/%2e%2e{}", "/console/-{}"),
        *("/static-offline-docs/..{}", "/static-offline-docs/%2e%2e{}", "/docs/..{}", "/./{}"),
        *("/metrics{}", "/metrics/..{}", "/%6civez/..{}", "{}/../../livez", "{}%23/livez"),
    ],
)
def test_no_way_leads_around_the_key(guarded: Service, path: str, way: str) -> None:
    (answer,) = exchange(guarded, request("GET", way.format(path), "Connection: close"))
    assert answer.status in (400, 401, 404)
    assert b"streamers" not in answer.body
    assert "items" not in answer.body.decode()


@pytest.mark.parametrize(
    "override", ["X-HTTP-Method-Override: GET", "X-Original-URL: /livez", "X-Rewrite-URL: /livez"]
)
def test_headers_that_proxies_believe(guarded: Service, override: str) -> None:
    assert_unauthorized(ask(guarded, override, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: ::1"))


def test_guesses_find_nobody_and_keep_nobody_waiting(
    guarded: Service, known: dict[str, Any]
) -> None:
    """Guessed keys with right checksums, and the id of one that exists; others go on meanwhile."""
    waited_s: list[float] = []
    good = request("GET", "/v1/streamers", f"Authorization: Bearer {known['key']}")
    for turn in range(10):
        guesses = b"".join(
            request("GET", "/v1/keys", f"Authorization: Bearer {new_key(key_id)}")
            for key_id in [known["key_id"], *(f"{turn:02x}{i:010x}" for i in range(24))]
        )
        answers = exchange(guarded, guesses + request("GET", "/v1/keys", "Connection: close"))
        assert {answer.status for answer in answers} == {401}
        begun = time.monotonic()
        (answer,) = exchange(guarded, good.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        waited_s.append(time.monotonic() - begun)
        assert answer.status == 200
    assert statistics.median(waited_s) < 5
