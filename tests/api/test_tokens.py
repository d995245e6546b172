"""Access tokens of an identity provider: whose they are, what they grant, what is not believed."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.support import raw
from tests.support.api import Api
from tests.support.service import Service, run, wait_until

ISSUER, AUDIENCE = "https://login.example.org/", "similar-streamer"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
GRANTS = {"team-reco": "recommender", "may-search": "search", "root": "admin"}
Header = dict[str, Any]


def jwk(key: Any, kid: str) -> dict[str, Any]:
    """The public part of a key, as a provider publishes it."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**public, "kid": kid, "alg": "ES256", "use": "sig"}
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "alg": "RS256", "use": "sig"}


class Issuer:
    """Publishes its keys on loopback, at any path.

    Attributes:
        keys: what it publishes now.
        status: with which it answers.
        asked: the paths that were asked for.
    """

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [jwk(KEY, "a"), jwk(CURVE, "b")]
        self.status = 200
        self.asked: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = json.dumps({"keys": issuer.keys}).encode()
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "STREAMER_OIDC__ISSUER": ISSUER,
            "STREAMER_OIDC__AUDIENCE": AUDIENCE,
            "STREAMER_OIDC__JWKS": f"{self.url}/keys",
            "STREAMER_OIDC__GRANTS": json.dumps(GRANTS),
        }


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def settings(issuer: Issuer) -> dict[str, str]:
    return issuer.settings


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of who may search; what is None is left out."""
    now = time.time()
    known = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "scope": "openid may-search"}
    wanted = {**known, "iat": now - 60, "exp": now + 600, **changes}
    return {name: value for name, value in wanted.items() if value is not None}


def signed(
    key: Any = KEY, algorithm: str = "RS256", header: Header | None = None, **changes: Any
) -> str:
    kid = "b" if key is CURVE else "a"
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": kid, **(header or {})})


def coded(value: Any) -> str:
    """A part of a token: bytes, or what becomes JSON."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def by_hand(
    header: Any, sign: Callable[[bytes], bytes] = lambda _: b"", payload: Any = None
) -> str:
    """A token that no library would write."""
    text = f"{coded(header)}.{coded(claims() if payload is None else payload)}"
    return f"{text}.{coded(sign(text.encode()))}"


def by_key(text: bytes) -> bytes:
    """A good signature."""
    return RSAAlgorithm(RSAAlgorithm.SHA256).sign(text, KEY)


def ask(api: Api, token: str, path: str = "/v1/model") -> int:
    """Who may search may ask for the model's card."""
    line = f"Authorization: Bearer {token}"
    content = raw.request("GET", path, line, "Connection: close")
    (answer,) = raw.exchange(str(api.base_url).rstrip("/"), content)
    if answer.status == 401:
        assert answer.json["code"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert token.encode() not in answer.body
    return answer.status


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("openid may-search", {"search"}),
        (["may-search", 7, None, ["root"]], {"search"}),
        ("team-reco", {"search", "streamers:read"}),
        ("may-search root", {"search", "streamers:read", "admin"}),
        ("admin search", set()),  # scopes and roles by themselves are not granted
        ("", set()),
        (None, set()),
        ({"root": 1}, set()),
    ],
)
def test_a_token_has_what_its_claim_is_granted(api: Api, scope: Any, allowed: set[str]) -> None:
    for key, algorithm in ((KEY, "RS256"), (CURVE, "ES256")):
        token = signed(key, algorithm, scope=scope)
        for path, needed in (
            ("/v1/model", "search"),
            ("/v1/streamers", "streamers:read"),
            ("/v1/keys", "admin"),
        ):
            assert ask(api, token, path) == (200 if needed in allowed else 403), path


def test_keys_are_taken_beside_tokens_and_each_is_named_in_the_audit_log(api: Api) -> None:
    """What distinguishes two subjects may be invisible or far behind."""
    subjects = ["a" * 100, "a" * 100 + "b", "ann", "ann\u200b", "an\u0000n", "ann "]
    asked = list[str]()
    for subject in subjects:
        headers = {"Authorization": f"Bearer {signed(sub=subject, scope='root')}"}
        answer = api.get("/v1/keys", headers=headers)
        assert answer.status_code == 200
        asked.append(answer.headers["x-request-id"])
    entries = api.all("/v1/audit", "entries", limit=1000)
    callers = {entry["request_id"]: entry["key_id"] for entry in entries if "request_id" in entry}
    named = [callers[request_id] for request_id in asked]
    assert len(set(named)) == len(subjects)
    assert named[2] == "oidc:ann"
    assert all(name.startswith("oidc:") and name.isprintable() for name in named)
    assert api.get("/v1/keys").status_code == 200


def test_clocks_may_differ_by_half_a_minute(api: Api) -> None:
    now = time.time()
    assert ask(api, signed(exp=now - 1)) == 200
    assert ask(api, signed(exp=now - 31)) == 401
    assert ask(api, signed(nbf=now + 25, iat=now + 25)) == 200
    assert ask(api, signed(nbf=now + 3600)) == 401


@pytest.mark.parametrize(
    "changes",
    [
        *({"aud": v} for v in (None, "", "other", [], ["other"], f"{AUDIENCE} ", {}, 1)),
        *({"iss": v} for v in (None, "", ISSUER.rstrip("/"), "https://evil.example/", 1)),
        *({"exp": v} for v in (None, 0, -1, "soon", "4000000000x", [], float("inf"))),
        *({"sub": v} for v in (None, 7, [], {})),
        {"exp": float("nan")},
        {"iat": 4e9},
        {"nbf": float("nan")},
    ],
    ids=str,
)
def test_claims_that_do_not_hold(api: Api, changes: dict[str, Any]) -> None:
    payload = claims(**changes)
    token = by_hand({"alg": "RS256", "kid": "a"}, by_key, payload)
    assert [ask(api, token) for _ in range(2)] == [401, 401]  # nor is it remembered as good


@pytest.mark.parametrize("name", ["none", "None", "nOnE", "", None, 0, [], {}], ids=str)
def test_a_token_without_a_signature(api: Api, name: Any) -> None:
    for header in ({"alg": name}, {"alg": name, "kid": "a"}):
        assert ask(api, by_hand(header)) == 401
        assert ask(api, by_hand(header).rstrip(".")) == 401


PUBLIC = KEY.public_key()
PEM = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("secret", [PEM, PEM.strip(), DER, b"", json.dumps(jwk(KEY, "a")).encode()])
def test_a_public_key_is_no_secret(api: Api, secret: bytes) -> None:
    """RFC 8725, section 2.1."""
    for size in ("256", "512"):
        header = {"alg": f"HS{size}", "kid": "a"}
        token = by_hand(header, lambda text, size=size: hmac.digest(secret, text, f"sha{size}"))
        assert ask(api, token) == 401


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "iss", "cty", "zip"])
def test_a_token_does_not_bring_its_own_key(api: Api, issuer: Issuer, name: str) -> None:
    own = {"jwk": jwk(OTHER, "other"), "zip": "DEF", "x5c": [coded(DER)]}
    header = {name: own.get(name, f"{issuer.url}/of-the-token")}
    for kid in ("a", "other"):
        assert ask(api, signed(OTHER, header={**header, "kid": kid})) == 401
    assert set(issuer.asked) == {"/keys"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: signed(OTHER),
        lambda: by_hand({"alg": "RS256"}, by_key),  # there are two keys
        lambda: signed(header={"kid": "unknown"}),
        lambda: signed(header={"kid": "b"}),  # of another kind than its algorithm
        lambda: signed(KEY, "RS512"),  # not in the list
        lambda: by_hand({"alg": "RS256", "kid": "a", "crit": ["exp"]}, by_key),
        lambda: by_hand({"alg": "RS256", "kid": "a", "crit": []}, by_key),
        lambda: by_hand({"alg": "RS256", "kid": "a", "b64": False, "crit": ["b64"]}, by_key),
        lambda: by_hand({"alg": "HS256", "kid": "/dev/null"}, lambda t: hmac.digest(b"", t, "md5")),
        lambda: by_hand({"alg": "RS256", "kid": ["a"]}, by_key),
        lambda: by_hand({"alg": "RS256", "kid": "\ud800"}, by_key),
        lambda: by_hand({"alg": "RS256", "kid": "a", "cty": "JWT"}, by_key, signed().encode()),
        lambda: by_hand(b"[" * 20_000, by_key),
        lambda: by_hand({"alg": "RS256", "kid": "a"}, by_key, b'{"a":' * 8_000),
        lambda: signed() + "=",
        lambda: signed() + "x",
        lambda: signed()[:-1],
        lambda: signed()[1:],
        lambda: signed().replace(".", ".\t", 1),
        lambda: signed().replace(".", "", 1),
        lambda: signed().rsplit(".", 1)[0] + ".",
        lambda: ".".join(reversed(signed().split("."))),
        lambda: signed().upper(),
        lambda: "a.b.c",
        lambda: "..",
        lambda: "x" * 2000 + "." + "y" * 50_000 + ".z",
    ],
)
def test_what_is_not_believed(api: Api, make: Callable[[], str]) -> None:
    assert ask(api, make()) == 401
    assert ask(api, signed()) == 200


def test_a_key_that_the_provider_adds_is_taken_soon(api: Api, issuer: Issuer) -> None:
    token = signed(OTHER, header={"kid": "added"})
    assert ask(api, token) == 401
    issuer.keys.append(jwk(OTHER, "added"))
    wait_until(lambda: ask(api, token) == 200, "the provider is asked again")
    assert ask(api, signed()) == 200
    read = [
        line.partition(" ")[2]
        for line in api.get("/metrics").text.splitlines()
        if line.startswith('streamer_keys_read_timestamp_seconds{source="identity_provider"}')
    ]
    assert float(read[0]) == pytest.approx(time.time(), abs=3600)


def test_a_provider_that_is_silent_at_the_start_keeps_no_key_out(
    issuer: Issuer, bundle: Path, tmp_path: Path
) -> None:
    issuer.status = 503
    variables: dict[str, Any] = {**issuer.settings, "STREAMER_API_KEY": "the-first-key"}
    with Service(bundle, tmp_path / "data", **variables) as service:
        try:
            with Api(service.url, "the-first-key") as admin:
                wait_until(lambda: admin.get("/readyz").status_code == 200, "it is ready")
                assert "identity provider" in admin.ok("GET", "/readyz")["degraded_because"]
                assert admin.ok("GET", "/v1/keys")["keys"] == []
                assert ask(admin, signed()) == 401
                issuer.status = 200
                wait_until(lambda: ask(admin, signed()) == 200, "the provider is asked again")
                assert admin.ok("GET", "/readyz")["degraded_because"] is None
            # With a provider set, nobody is let in without a key or a token.
            with Api(service.url) as nobody:
                nobody.refused("GET", "/v1/streamers", status=401, code="unauthorized")
        finally:
            issuer.status = 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUDIENCE", ""),
        ("JWKS", "http://login.example.org/keys"),
        ("ALGORITHMS", "HS256"),
        ("GRANTS", '{"x": "everything"}'),
    ],
)
def test_settings_that_let_the_wrong_in_are_refused_at_the_start(
    bundle: Path, issuer: Issuer, tmp_path: Path, name: str, value: str
) -> None:
    variables = {**issuer.settings, f"STREAMER_OIDC__{name}": value}
    done = run("serve", "--bundle", bundle, "--data-dir", tmp_path, "--port", 0, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert name.lower() in done.stderr.lower()
