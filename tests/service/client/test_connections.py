"""What is told where no connection can be made: of keys, addresses and proxies."""

import os
import socket
import traceback

import httpx
import pytest

from service.client import AsyncClient, Client, ClientError
from service.client.connections import http_of
from tests.service.commands.conftest import OtherServer, serving

CLIENTS = pytest.mark.parametrize("kind", [Client, AsyncClient])


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@CLIENTS
@pytest.mark.parametrize("key", ["sk_secret ", "sk_secret\n", "\tsk_secret", "sk_s\u00e9cret", ""])
def test_a_key_that_no_header_may_have_is_not_told(
    kind: type[Client | AsyncClient], key: str
) -> None:
    with pytest.raises(ClientError, match="give the key alone, without blanks") as raised:
        kind("http://service", key)
    assert "cret" not in str(raised.value)


def test_a_header_that_can_not_be_sent_is_not_told() -> None:
    with serving(OtherServer) as url, httpx.Client(headers={"X-Key": "sk_secret\n"}) as http:
        client = Client(url, http=http)
        with pytest.raises(ClientError, match="a header can't be sent") as raised:
            client.health()
    assert "sk_secret" not in "".join(traceback.format_exception(raised.value))


@CLIENTS
@pytest.mark.parametrize("url", ["http://service:port", "http://a\x01b", "http://xn--a"])
def test_what_is_no_address(kind: type[Client | AsyncClient], url: str) -> None:
    with pytest.raises(ClientError, match="can't be asked like this"):
        kind(url)


def test_an_address_without_a_scheme() -> None:
    with pytest.raises(ClientError, match="can't be asked like this"), Client("service") as client:
        client.health()


def test_an_id_that_no_address_may_have() -> None:
    client = Client("http://service")
    with client, pytest.raises(ClientError, match="can't be asked like this"):
        client.get("a" * 100_000)


@CLIENTS
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks://user:pass@proxy"),
        ("ALL_PROXY", "socks5://proxy:port"),
        ("https_proxy", "ftp://proxy"),
        ("NO_PROXY", "[::1"),
    ],
)
def test_a_proxy_that_can_not_be_used_is_named(
    kind: type[Client | AsyncClient], name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ClientError, match=rf"environment says of proxies \({name}\)") as raised:
        kind("http://service.example.org")
    assert "pass" not in str(raised.value)
    kind("http://127.0.0.1:8000")


def test_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "http://service.example.org"
    with serving(OtherServer) as url, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", url)
        with http_of(other) as http:
            assert "Welcome!" in http.get(other).text
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
        for here in (url, url.replace("127.0.0.1", "localhost")):
            with http_of(here) as http:
                assert "Welcome!" in http.get(here).text
