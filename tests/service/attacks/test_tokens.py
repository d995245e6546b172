"""Tokens (JWT) that tell the service how to believe them (RFC 8725)."""

import base64
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from tests.service.attacks.issuer import KEY, claims, coded, published
from tests.service.attacks.raw import Answer, exchange, request
from tests.service.process import Service, wait_until

pytestmark = pytest.mark.slow

OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
Header = dict[str, Any]


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """Where a service would ask that believes addresses in a token."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def ask(service: Service, token: str) -> Answer:
    line = f"Authorization: Bearer {token}"
    (answer,) = exchange(service, request("GET", "/v1/streamers", line, "Connection: close"))
    return answer


def signed(key: Any = KEY, header: Header | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, "RS256", headers={"kid": "a", **(header or {})})


def by_hand(
    header: Any, sign: Callable[[bytes], bytes] = lambda _: b"", payload: Any = None
) -> str:
    text = f"{coded(header)}.{coded(claims() if payload is None else payload)}"
    return f"{text}.{coded(sign(text.encode()))}"


def by_secret(secret: bytes, name: str = "sha256") -> Callable[[bytes], bytes]:
    return lambda text: hmac.digest(secret, text, name)


def test_a_good_one_is_believed(guarded: Service) -> None:
    assert ask(guarded, signed()).status == 200


PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
JWK = json.dumps(json.loads(published())["keys"][0]).encode()
MODULUS = base64.urlsafe_b64decode(json.loads(JWK)["n"] + "==")


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", " none", None, 0, [], {}])
def test_without_a_signature(guarded: Service, name: Any) -> None:
    for header in ({"alg": name}, {"alg": name, "kid": "a"}, {"alg": name, "typ": "JWT"}):
        assert ask(guarded, by_hand(header)).status == 401
        assert ask(guarded, by_hand(header).rstrip(".")).status == 401


@pytest.mark.parametrize(
    "secret", [PEM, PEM.strip(), DER, JWK, MODULUS, b"", b"a", published().encode()]
)
@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret(guarded: Service, secret: bytes, name: str) -> None:
    sign = by_secret(secret, "sha" + name[2:])
    assert ask(guarded, by_hand({"alg": name, "kid": "a"}, sign)).status == 401


@pytest.mark.parametrize(
    "kid",
    [
        *(
            "",
            "b",
            "A",
            " a",
            "a\x00",
            "../../../../dev/null",
            "/dev/null",
            "/etc/passwd",
            "a' OR '1",
        ),
        *(
            "jwks.json",
            "file:///dev/null",
            "http://127.0.0.1/keys",
            "$(id)",
            "a" * 10_000,
            "\ud800",
        ),
        *(None, 0, True, ["a"], {"a": "a"}, 1e400),
    ],
)
def test_a_key_id_leads_nowhere(guarded: Service, kid: Any) -> None:
    header = {"alg": "HS256", "kid": kid}
    for secret in (b"", PEM):
        assert ask(guarded, by_hand(header, by_secret(secret))).status == 401
    assert ask(guarded, by_hand({**header, "alg": "RS256"})).status == 401


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "x5t", "iss", "cty", "zip"])
def test_a_token_does_not_bring_its_own_key(
    guarded: Service, listener: socket.socket, name: str
) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
    own = RSAAlgorithm.to_jwk(OTHER.public_key(), as_dict=True)
    der = OTHER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    values: dict[str, Any] = {"jwk": own, "x5c": [base64.b64encode(der).decode()], "zip": "DEF"}
    header = {name: values.get(name, url)}
    for kid in ("a", "other", url):
        assert ask(guarded, signed(OTHER, {**header, "kid": kid})).status == 401
    with pytest.raises(BlockingIOError):  # and nobody was asked for one
        listener.accept()


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["made-up"], "made-up": 1},
        {"crit": []},
        {"crit": "b64"},
        {"b64": False, "crit": ["b64"]},
    ],
)
def test_what_must_be_understood_is_not_passed_over(guarded: Service, header: Header) -> None:
    text = f"{coded({'alg': 'RS256', 'kid': 'a', **header})}.{coded(claims())}"
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(text.encode(), KEY)
    assert ask(guarded, f"{text}.{coded(signature)}").status == 401


@pytest.mark.parametrize(
    "changes",
    [
        *({"aud": v} for v in (None, "", "other", [], ["other"], "similar-streamer ", {}, 1)),
        *({"iss": v} for v in (None, "", "https://login.example.org", "https://evil.example/", 1)),
        *({"exp": v} for v in (None, 0, -1, "soon", "4000000000x", [], float("nan"), float("inf"))),
        *({"sub": v} for v in (None, 7, [], {})),
        {"nbf": 4e9},
        {"iat": 4e9},
        {"nbf": float("nan")},
        {"exp": 1e308, "iat": -1e308, "nbf": 4e9},
    ],
)
def test_claims_that_do_not_hold(guarded: Service, changes: dict[str, Any]) -> None:
    text = f"{coded({'alg': 'RS256', 'kid': 'a'})}.{coded(claims(**changes))}"
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(text.encode(), KEY)
    assert ask(guarded, f"{text}.{coded(signature)}").status == 401


def test_clocks_may_differ_by_half_a_minute_and_no_more(guarded: Service) -> None:
    now = time.time()
    assert ask(guarded, signed(exp=now - 1)).status == 200
    assert ask(guarded, signed(exp=now - 31)).status == 401
    assert ask(guarded, signed(nbf=now + 25, iat=now + 25)).status == 200
    assert ask(guarded, signed(nbf=now + 3600)).status == 401


def test_a_token_in_a_token(guarded: Service) -> None:
    inner = signed()
    text = f"{coded({'alg': 'RS256', 'kid': 'a', 'cty': 'JWT'})}.{coded(inner.encode())}"
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(text.encode(), KEY)
    for token in (
        f"{text}.{coded(signature)}",
        f"{coded({'alg': 'none'})}.{coded(inner.encode())}.",
        f"{inner}.{inner}",
        f"{inner}..",
        f"{coded({'alg': 'dir', 'enc': 'A256GCM', 'kid': 'a'})}..a.{coded(inner.encode())}.a",
        json.dumps({"payload": inner.split(".")[1], "signatures": [{"signature": "a"}]}),
    ):
        assert ask(guarded, token).status == 401


@pytest.mark.parametrize(
    "part",
    ["[" * 20_000, '{"a":' * 8_000, '{"kid":"a","alg":"RS256"}' + " " * 40_000, "9" * 20_000],
)
def test_a_huge_token(guarded: Service, part: str) -> None:
    good = signed().split(".")
    assert ask(guarded, ".".join([coded(part.encode()), *good[1:]])).status == 401
    assert ask(guarded, ".".join([good[0], coded(part.encode()), good[2]])).status == 401
    assert ask(guarded, ".".join([*good[:2], coded(part.encode())])).status == 401
    assert ask(guarded, "x" * 2000 + "." + "y" * 50_000 + ".z").status == 401


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + "=",
        lambda token: token.replace(".", ".\t", 1),
        lambda token: token[:-1],
        lambda token: token[1:],
        lambda token: token.replace(".", "", 1),
        lambda token: ".".join(reversed(token.split("."))),
        lambda token: token.upper(),
    ],
)
def test_a_changed_token(guarded: Service, change: Callable[[str], str]) -> None:
    assert ask(guarded, change(signed())).status == 401


def test_no_two_subjects_are_one_caller(guarded: Service) -> None:
    """What distinguishes them may be invisible or far behind; the audit log tells them apart."""
    subjects = [
        "a" * 100,
        "a" * 100 + "b",
        "a" * 100 + "c",
        "ann",
        "ann\u200b",
        "an\u0000n",
        "ann ",
    ]
    asked: list[str] = []
    for subject in subjects:
        known = {"Authorization": f"Bearer {signed(sub=subject)}"}
        answer = guarded.client.get("/v1/keys", headers=known)
        assert answer.status_code == 200
        asked.append(answer.headers["x-request-id"])
    wait_until(lambda: callers(guarded).keys() >= set(asked), "all are in the audit log")
    found = callers(guarded)
    ids = {found[request_id] for request_id in asked}
    assert len(ids) == len(subjects)
    assert all(name.startswith("oidc:") and name.isprintable() for name in ids)


def callers(service: Service) -> dict[str, str]:
    """Whom the audit log names, by request."""
    lines = map(json.loads, service.client.get("/v1/audit/export").text.splitlines())
    return {line["request_id"]: line["key_id"] for line in lines if line.get("key_id")}
