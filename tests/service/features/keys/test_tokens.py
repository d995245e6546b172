"""Tokens of an identity provider: whose they are, for how long, and what is not believed."""

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import ValidationError

from service.app import create_app
from service.errors import StartupError, Unauthorized
from service.features.keys import tokens as module
from service.features.keys.ring import StoredKeyRing
from service.features.keys.tokens import Tokens
from service.scopes import ROLES
from service.settings import Oidc, Settings
from tests.service.features.keys.conftest import bearer
from tests.service.features.keys.memory_keys import MemoryKeys
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until
from tests.service.store.records import until

pytestmark = pytest.mark.anyio
ISSUER, AUDIENCE = "https://login.example.org/", "similar-streamer"
NOW = 1_800_000_000.0
PRIVATE = ec.generate_private_key(ec.SECP256R1())
ANOTHER = ec.generate_private_key(ec.SECP256R1())
OLD = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SYMMETRIC = '{"alg":"HS256","kid":"a"}'
ODD = '{"alg":"ES256","kid":{}}'
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "nightly-export",
    "exp": NOW + 600,
    "iat": NOW - 60,
    "scope": "openid search team-reco",
}


def published(**keys: Any) -> str:
    """The document with a provider's public keys."""
    found: list[dict[str, Any]] = []
    for kid, key in keys.items():
        if isinstance(key, ec.EllipticCurvePrivateKey):
            name, public = "ES256", ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        else:
            name, public = "RS256", RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        found.append({**public, "kid": kid, "alg": name, "use": "sig"})
    return json.dumps({"keys": found})


def publish(path: Path, text: str) -> None:
    """In one step: whoever reads meanwhile finds what was there, or all of the text."""
    whole = path.with_suffix(".new")
    whole.write_text(text)
    whole.replace(path)


def token(
    key: Any = PRIVATE, algorithm: str = "ES256", kid: str | None = "a", **claims: Any
) -> str:
    wanted = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(wanted, key, algorithm, headers={} if kid is None else {"kid": kid})


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(published(a=PRIVATE, b=OLD))
    return path


def settings(jwks: object, **changes: Any) -> Oidc:
    known = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(jwks)}
    return Oidc.model_validate(
        {**known, "grants": {"search": "search", "team-reco": "recommender"}, **changes}
    )


class Clock:
    def __init__(self) -> None:
        self.seconds = NOW

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def tokens(jwks: Path, clock: Clock) -> Tokens:
    found = Tokens(settings(jwks), clock)
    await found.refresh()
    return found


def refused(tokens: Tokens, text: str) -> str:
    with pytest.raises(Unauthorized) as caught:
        tokens.caller_of(text)
    return caught.value.detail


async def test_a_token_has_what_its_claim_is_granted(
    tokens: Tokens, jwks: Path, clock: Clock
) -> None:
    caller = tokens.caller_of(token())
    assert (caller.key_id, caller.name) == ("oidc:nightly-export", "nightly-export")
    assert caller.scopes == ROLES["recommender"]
    assert tokens.caller_of(token(OLD, "RS256", "b", scope="search")).scopes == {"search"}
    assert tokens.caller_of(token(scope="admin explain")).scopes == frozenset()  # not granted
    assert tokens.caller_of(token(scope=None)).scopes == frozenset()
    assert tokens.caller_of(token(scope={"search": 1})).scopes == frozenset()
    listed = Tokens(settings(jwks, claim="groups"), clock)
    await listed.refresh()
    text = token(groups=["search", 7, None, ["search"]])
    assert listed.caller_of(text).scopes == {"search"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: token(iss="https://evil.example/"),
        lambda: token(iss=None),
        lambda: token(aud="another-service"),
        lambda: token(aud=None),
        lambda: token(exp=None),
        lambda: token(sub=None),
        lambda: token(ANOTHER),  # signed by somebody else
        lambda: token(kid="unknown"),
        lambda: token(kid=None),  # there are two keys
        lambda: token(None, "none"),
        lambda: token("secret" * 10, "HS256"),
        lambda: token(OLD, "RS512", "b"),  # not in the list
        lambda: token(OLD, "RS256", "a"),  # of another kind than the key that it names
        lambda: token(exp="soon"),
        lambda: token(exp=float("inf")),
        lambda: token() + "x",
        lambda: token().replace(".", "..", 1)[:-1],
        lambda: token().rsplit(".", 1)[0] + ".",
        lambda: "a.b.c",
        lambda: "..",
        lambda: f"{_coded('[' * 30_000)}.{_coded('{}')}.x",
        lambda: f"{_coded(ODD)}.{_coded('{}')}.x",
        lambda: "é.é.é",
    ],
)
async def test_what_is_not_believed(tokens: Tokens, make: Callable[[], str]) -> None:
    text = make()
    said = refused(tokens, text)
    assert "not valid here" in said
    assert text not in said
    assert "not valid here" in refused(tokens, text)  # and not the second time


def _coded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_a_public_key_is_no_secret(jwks: Path, clock: Clock) -> None:
    """A token signed with the public key, as if it was a secret (RFC 8725, section 2.1)."""
    public = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{_coded(SYMMETRIC)}.{_coded(json.dumps(CLAIMS))}"
    mac = hmac.digest(public, signed.encode(), "sha256")
    text = f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    found = Tokens(settings(jwks), clock)
    await found.refresh()
    assert "not valid here" in refused(found, text)


async def test_clocks_may_differ_by_the_leeway(tokens: Tokens, clock: Clock) -> None:
    text = token(nbf=NOW + 29)
    tokens.caller_of(text)
    clock.seconds = NOW + 629
    tokens.caller_of(text)
    clock.seconds = NOW + 630
    assert "expired" in refused(tokens, text)
    assert "clocks" in refused(tokens, token(nbf=NOW + 661, exp=NOW + 700))
    assert "clocks" in refused(tokens, token(iat=NOW + 661, exp=NOW + 700))


async def test_keys_of_the_provider_that_change(tokens: Tokens, jwks: Path) -> None:
    before, after = token(), token(ANOTHER, kid="c")
    tokens.caller_of(before)
    refused(tokens, after)
    publish(jwks, published(c=ANOTHER))
    await tokens.refresh()
    assert tokens.caller_of(after).name == "nightly-export"
    assert tokens.caller_of(token(ANOTHER, kid=None)).name == "nightly-export"  # the only key
    refused(tokens, before)


async def test_a_signature_by_an_unknown_key_has_the_keys_read_again(
    jwks: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_MOST_EVERY_S", 0.001)
    publish(jwks, published(a=PRIVATE))
    async with Tokens(settings(jwks), clock) as tokens:
        tokens.caller_of(token(kid=None))
        publish(jwks, published(a=ANOTHER))
        after = token(ANOTHER, kid=None)
        refused(tokens, after)
        clock.seconds += 1
        await until(lambda: tokens.read_at == clock.seconds)
        assert tokens.caller_of(after).name == "nightly-export"


async def test_a_key_that_names_no_algorithm_fits_each_of_its_kind(
    jwks: Path, clock: Clock
) -> None:
    keys = json.loads(published(a=PRIVATE, b=OLD))["keys"]
    publish(jwks, json.dumps({"keys": [{**key, "alg": None} for key in keys]}))
    found = Tokens(settings(jwks, algorithms="PS256,RS512,ES256,ES384"), clock)
    await found.refresh()
    for text in (token(OLD, "PS256", "b"), token(OLD, "RS512", "b"), token()):
        assert found.caller_of(text).name == "nightly-export"
    refused(found, token(OLD, "RS256", "b"))  # not in the list
    publish(jwks, json.dumps({"keys": [keys[1]]}))  # with its algorithm, which is not in the list
    with pytest.raises(StartupError, match="has no key for PS256"):
        async with found:
            pass


async def test_a_key_of_encryptions_signs_nothing(jwks: Path, clock: Clock) -> None:
    signs, encrypts = json.loads(published(a=PRIVATE, b=OLD))["keys"]
    keys = [{**signs, "use": "sig"}, {**encrypts, "alg": None, "use": "enc"}]
    publish(jwks, json.dumps({"keys": keys}))
    found = Tokens(settings(jwks, algorithms="ES256,RS256"), clock)
    await found.refresh()
    assert found.caller_of(token(kid=None)).name == "nightly-export"  # the only one of signatures
    refused(found, token(OLD, "RS256", "b"))


WITHOUT_K = '{"keys": [{"kty": "oct", "kid": "a", "alg": "HS256"}]}'


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"keys": []}', "[" * 30_000, '{"keys": [{}]}', WITHOUT_K]
)
async def test_a_document_without_keys(jwks: Path, text: str) -> None:
    publish(jwks, text)
    with pytest.raises(StartupError, match="STREAMER_OIDC__JWKS"):
        async with Tokens(settings(jwks)):
            pass


async def test_keys_are_read_again_whatever_the_last_reading_met(
    jwks: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_MOST_EVERY_S", 0.001)
    monkeypatch.setattr(module, "_REFRESH_S", 0.001)
    seen, readings = asyncio.Event(), 0

    class Refreshed(Tokens):
        async def refresh(self) -> None:
            nonlocal readings
            readings += 1
            if readings == 2:
                raise ZeroDivisionError
            await super().refresh()
            if readings > 2:
                seen.set()

    async with Refreshed(settings(jwks), clock), asyncio.timeout(60):
        await seen.wait()


async def test_keys_that_can_not_be_read_again_are_told_once(
    jwks: Path, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_MOST_EVERY_S", 0.001)
    monkeypatch.setattr(module, "_REFRESH_S", 0.001)

    class Counted(Tokens):
        readings = 0

        async def refresh(self) -> None:
            self.readings += 1
            await super().refresh()

    async with Counted(settings(jwks), clock) as tokens:
        ring = StoredKeyRing(MemoryKeys(), None, clock, tokens)
        publish(jwks, "{}")
        await until(lambda: tokens.failure is not None)
        clock.seconds += 900
        readings = tokens.readings
        await until(lambda: tokens.readings > readings + 3)
        assert "the identity provider's keys can't be read" in str(ring.trouble())
        assert ring.read_at()["identity_provider"] == NOW
        (record,) = caplog.records
        assert "known ones hold" in record.getMessage()
        publish(jwks, published(a=PRIVATE))
        await until(lambda: ring.trouble() is None)
        assert ring.read_at()["identity_provider"] == NOW + 900


async def test_symmetric_keys_of_a_document_are_not_taken(jwks: Path) -> None:
    publish(jwks, json.dumps({"keys": [{"kty": "oct", "k": _coded("s" * 32), "kid": "a"}]}))
    with pytest.raises(StartupError, match="has no key for RS256, ES256"):
        async with Tokens(settings(jwks)):
            pass


async def test_no_more_tokens_are_remembered_than_fit(tokens: Tokens) -> None:
    first = token(sub="first")
    tokens.caller_of(first)
    for i in range(1100):
        tokens.caller_of(token(sub=f"s{i}"))
    assert len(tokens._known) == 1024
    tokens.caller_of(first)


async def test_keys_and_tokens_beside_each_other(tokens: Tokens) -> None:
    ring = StoredKeyRing(MemoryKeys(), "a-secret", tokens=tokens)
    assert ring.caller_of("a-secret").key_id == "STREAMER_API_KEY"
    assert ring.caller_of(token()).key_id == "oidc:nightly-export"
    alone = StoredKeyRing(MemoryKeys(), None, tokens=tokens)
    assert not alone.is_open


@pytest.mark.parametrize(
    "wrong",
    [
        {"audience": None},
        {"jwks": None},
        {"jwks": "http://login.example.org/keys"},
        {"algorithms": "none"},
        {"algorithms": "HS256"},
        {"algorithms": []},
        {"leeway_s": 121},
        {"grants": {"x": "everything"}},
    ],
)
def test_wrong_settings(jwks: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Oidc.model_validate({**settings(jwks).model_dump(), **wrong})


@pytest.mark.slow
def test_a_service_with_tokens(
    bundle: Path, jwks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_MOST_EVERY_S", 0.01)
    monkeypatch.setattr(module, "_REFRESH_S", 0.01)
    known = {"bundle": bundle, "data_dir": tmp_path / "data"}
    app = create_app(Settings.model_validate({**known, "oidc": settings(jwks).model_dump()}))
    with TestClient(app, base_url="http://localhost") as client:
        problem(client.get("/v1/streamers"), 401, "unauthorized")
        good = bearer(token(exp=4e9, iat=None))
        assert client.get("/v1/streamers", headers=good).status_code == 200
        problem(client.get("/v1/keys", headers=good), 403, "missing_scope")
        expired = bearer(token(exp=NOW - 1e8, iat=None))
        assert "expired" in client.get("/v1/streamers", headers=expired).json()["detail"]
        metrics = client.get("/metrics").text
        for source in ("store", "identity_provider"):
            assert f'\nstreamer_keys_read_timestamp_seconds{{source="{source}"}} 1.' in metrics
        publish(jwks, "{}")

        def degraded() -> str:
            return str(client.get("/readyz").json()["degraded_because"])

        wait_until(lambda: "identity provider's keys" in degraded(), "it is told")
        assert client.get("/v1/streamers", headers=good).status_code == 200
