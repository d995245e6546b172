"""What is told where no connection can be made: of keys, addresses and proxies."""

import socket
import traceback

import httpx
import pytest

from service.client import AsyncClient, Client, ClientError
from service.client.connections import http_of
from tests.service.client.scripted import Script
from tests.service.commands.conftest import OtherServer, serving

CLIENTS = pytest.mark.parametrize("kind", [Client, AsyncClient])


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
@pytest.mark.parametrize("url", ["http://service:port", "http://a\x01b"])
def test_what_is_no_address(kind: type[Client | AsyncClient], url: str) -> None:
    with pytest.raises(ClientError, match="can't be asked like this"):
        kind(url)


def test_an_address_without_a_scheme() -> None:
    with pytest.raises(ClientError, match="can't be asked like this"), Client("service") as client:
        client.health()


def test_an_answer_of_no_address_is_an_error_of_the_client() -> None:
    with pytest.raises(ClientError, match="can't be asked like this"):
        Script(httpx.Response(200), httpx.InvalidURL("no")).client().get("a" * 100_000)


@CLIENTS
@pytest.mark.parametrize("proxy", ["socks://user:pass@proxy", "socks5://proxy:port", "ftp://proxy"])
def test_a_proxy_that_can_not_be_used_is_named(
    kind: type[Client | AsyncClient], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ClientError, match=r"proxy of the environment \(.*ALL_PROXY.*\)") as raised:
        kind("http://service.example.org")
    assert "pass" not in str(raised.value)
    kind("http://127.0.0.1:8000")


def test_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "http://service.example.org"
    with serving(OtherServer) as url, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for name in ("NO_PROXY", "no_proxy", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", url)
        with http_of(other) as http:
            assert "Welcome!" in http.get(other).text
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
        for here in (url, url.replace("127.0.0.1", "localhost")):
            with http_of(here) as http:
                assert "Welcome!" in http.get(here).text
