"""An identity provider whose keys have an address: it may not answer, or send what are no keys."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service.errors import StartupError
from service.features.keys import tokens as module
from service.features.keys.ring import StoredKeyRing
from service.features.keys.tokens import Tokens
from service.scopes import ROLES
from tests.service.features.keys.memory_keys import MemoryKeys
from tests.service.features.keys.test_tokens import (
    PRIVATE,
    Clock,
    published,
    refused,
    settings,
    token,
)
from tests.service.store.records import until

pytestmark = pytest.mark.anyio


class Provider:
    """Its address, and the status of its next answers."""

    url: str
    status = 200


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Its keys are at `/keys`; whatever else it has is too large."""
    found = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (published(a=PRIVATE) if self.path == "/keys" else " " * (2 << 20)).encode()
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()
        thread.join()


async def test_keys_by_url(provider: Provider) -> None:
    async with Tokens(settings(f"{provider.url}/keys"), Clock()) as tokens:
        assert tokens.caller_of(token()).scopes == ROLES["recommender"]


@pytest.mark.parametrize(("path", "status"), [("large", 200), ("keys", 404), ("keys", 302)])
async def test_an_address_without_keys_refuses_the_start(
    provider: Provider, path: str, status: int
) -> None:
    provider.status = status
    with pytest.raises(StartupError, match="STREAMER_OIDC__JWKS"):
        async with Tokens(settings(f"{provider.url}/{path}")):
            pass


async def test_a_provider_that_does_not_answer_lets_the_service_start() -> None:
    async with Tokens(settings("http://127.0.0.1:1/keys"), Clock()) as tokens:
        ring = StoredKeyRing(MemoryKeys(), "a-secret", tokens=tokens)
        assert ring.caller_of("a-secret").key_id == "STREAMER_API_KEY"
        assert "no token is taken" in refused(tokens, token())
        assert "the identity provider's keys can't be read" in str(ring.trouble())


async def test_tokens_are_taken_once_the_provider_answers(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_MOST_EVERY_S", 0.001)
    provider.status = 503
    async with Tokens(settings(f"{provider.url}/keys"), Clock()) as tokens:
        assert tokens.failure is not None
        provider.status = 200
        await until(lambda: tokens.failure is None)
        assert tokens.caller_of(token()).scopes == ROLES["recommender"]
