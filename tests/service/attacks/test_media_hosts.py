"""Servers that mean no good: each is cut off, and its connection with it."""

import asyncio
import gzip
import os
import tracemalloc

import pytest
import trustme

from service.errors import MediaNotFetched, MediaUnavailable
from service.media.addresses import IPAddress
from tests.service.media.server import (
    LONG_S,
    NEVER_S,
    PNG,
    Answer,
    Names,
    Request,
    fetch,
    fetcher_for,
    head,
    reset,
    run,
    sends,
    serve,
    this_machine,
    whole,
)

CAP = 4096


def test_a_body_as_large_as_allowed_and_one_byte_more(authority: trustme.CA) -> None:
    body = PNG + bytes(CAP - len(PNG))
    assert fetch(authority, whole(body), url_max_bytes=CAP).data == body
    with pytest.raises(MediaNotFetched, match="more than 4096 bytes"):
        fetch(authority, whole(body + b"\0"), url_max_bytes=CAP)


def test_a_length_over_the_cap_is_not_waited_for(authority: trustme.CA) -> None:
    answer = sends(head(Content_Length=CAP + 1), PNG, pause_s=NEVER_S)
    with pytest.raises(MediaNotFetched, match="more than 4096 bytes"):
        fetch(authority, answer, url_max_bytes=CAP)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_without_end(authority: trustme.CA, chunked: bool) -> None:
    sent = 0

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        part = bytes(1 << 14)
        frame = b"4000\r\n" + part + b"\r\n" if chunked else part
        if chunked:
            writer.write(head(Transfer_Encoding="chunked"))
        else:
            writer.write(head(Content_Length=CAP) + PNG)
        while True:
            writer.write(frame)
            await writer.drain()
            sent += len(frame)

    if chunked:
        with pytest.raises(MediaNotFetched, match="more than 4096 bytes"):
            fetch(authority, answer, url_max_bytes=CAP)
    else:  # what comes after the length is nobody's
        assert len(fetch(authority, answer, url_max_bytes=CAP).data) == CAP
    assert sent < 1 << 24  # what sockets buffer, and no more


def test_a_gzip_bomb_stays_packed(authority: trustme.CA) -> None:
    bomb = gzip.compress(PNG + bytes(1 << 25))
    tracemalloc.start()
    try:
        with pytest.raises(MediaNotFetched, match="is sent compressed"):
            fetch(authority, whole(bomb, Content_Encoding="gzip"))
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["GZIP", "deflate", "br", "zstd", "identity, gzip", "?"])
def test_nothing_is_unpacked(authority: trustme.CA, encoding: str) -> None:
    with pytest.raises(MediaNotFetched, match="is sent compressed"):
        fetch(authority, whole(PNG, Content_Encoding=encoding))
    assert fetch(authority, whole(PNG, Content_Encoding="Identity")).data == PNG


def test_a_gzip_bomb_that_does_not_say_so(authority: trustme.CA) -> None:
    with pytest.raises(MediaNotFetched, match="holds no image"):
        fetch(authority, whole(gzip.compress(PNG)))
    with pytest.raises(MediaUnavailable, match="does not speak HTTP"):
        fetch(authority, sends(head(Transfer_Encoding="gzip, chunked"), gzip.compress(PNG)))


def test_a_server_that_drips(authority: trustme.CA) -> None:
    bytes_of_it = [PNG[i : i + 1] for i in range(len(PNG))]
    answer = sends(head(Content_Length=len(PNG)), *bytes_of_it, pause_s=0.02)
    with pytest.raises(MediaUnavailable, match=r"not there within 0\.3 s"):
        fetch(authority, answer, url_timeout_ms=300)


def test_a_server_that_drips_its_headers(authority: trustme.CA) -> None:
    answer = sends(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 1000, pause_s=0.02)
    with pytest.raises(MediaUnavailable, match=r"not there within 0\.3 s"):
        fetch(authority, answer, url_timeout_ms=300)


def test_redirects_do_not_wind_the_clock_back(authority: trustme.CA) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        writer.write(head("302 Found", Location="/", Content_Length=0))

    with pytest.raises(MediaUnavailable, match=r"not there within 0\.3 s"):
        fetch(authority, answer, url_timeout_ms=300)


@pytest.mark.parametrize(
    "begun", [b"", head(Content_Length=100), head(Content_Length=100) + PNG[:9]]
)
def test_a_server_that_falls_silent(authority: trustme.CA, begun: bytes) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await asyncio.sleep(NEVER_S)

    with pytest.raises(MediaUnavailable, match="does not answer"):
        fetch(authority, answer, url_idle_timeout_ms=100, url_timeout_ms=NEVER_S * 1000)


def test_a_resolver_that_never_answers(authority: trustme.CA) -> None:
    class Silent(Names):
        async def __call__(self, host: str, port: int) -> list[IPAddress]:
            await asyncio.sleep(NEVER_S)
            return []

    with pytest.raises(MediaUnavailable, match=r"not there within 0\.1 s"):
        fetch(authority, whole(PNG), names=Silent(), url_timeout_ms=100)


@pytest.mark.parametrize("length", [len(PNG) + 1, 1 << 20])
def test_a_length_that_promises_too_much(authority: trustme.CA, length: int) -> None:
    with pytest.raises(MediaUnavailable, match="breaks off"):
        fetch(authority, sends(head(Content_Length=length), PNG))


def test_a_length_that_promises_too_little(authority: trustme.CA) -> None:
    assert fetch(authority, sends(head(Content_Length=100), PNG)).data == PNG[:100]


def test_without_a_length_nobody_can_tell_whether_it_is_whole(authority: trustme.CA) -> None:
    with pytest.raises(MediaNotFetched, match="does not say how long it is"):
        fetch(authority, sends(head(), PNG))


def test_a_connection_reset_in_the_middle(authority: trustme.CA) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head(Content_Length=1000) + PNG[:500])
        await writer.drain()
        await asyncio.sleep(0.02)
        reset(writer)

    with pytest.raises(MediaUnavailable, match="breaks off"):
        fetch(authority, answer)


@pytest.mark.parametrize(
    "answer",
    [
        sends(),
        sends(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n"),
        sends(b"SSH-2.0-OpenSSH_9.6\r\n"),
        sends(head(Content_Length="-1"), PNG),
        sends(head(Content_Length="1e3"), PNG),
        sends(head(Content_Length="9" * 30), PNG),
        sends(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n", PNG),
        sends(head(Transfer_Encoding="chunked"), b"zz\r\n", PNG),
        sends(head(Transfer_Encoding="chunked"), b"-1\r\n", PNG),
        sends(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * (1 << 18)),
        sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    ],
)
def test_what_is_not_http(authority: trustme.CA, answer: Answer) -> None:
    with pytest.raises((MediaUnavailable, MediaNotFetched)) as caught:
        fetch(authority, answer)
    assert caught.value.errors[0].pointer == "/avatar/url"


def test_rubbish_below_the_encryption(authority: trustme.CA) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head(Content_Length=1000) + PNG[:500])
        await writer.drain()
        plain = writer.get_extra_info("socket")
        os.write(plain.fileno(), b"no TLS record at all" * 10)

    with pytest.raises(MediaUnavailable, match="breaks off"):
        fetch(authority, answer)


def test_a_server_without_encryption(authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with serve(sends(head(Content_Length=len(PNG)) + PNG), None) as server:
            fetcher = fetcher_for(server, authority)
            with pytest.raises(MediaUnavailable, match="takes no connection"):
                await fetcher.fetch(server.url(), "image", "/avatar/url")

    run(scenario())


def test_a_handshake_that_never_ends(authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with serve(sends(pause_s=NEVER_S), None) as server:
            fetcher = fetcher_for(server, authority, url_connect_timeout_ms=100)
            with pytest.raises(MediaUnavailable, match="does not answer"):
                await fetcher.fetch(server.url(), "image", "/avatar/url")
            await asyncio.wait_for(server.all_gone.wait(), LONG_S)

    run(scenario())


def test_a_port_where_nobody_listens(authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with serve(whole(PNG), authority) as server:
            pass
        with pytest.raises(MediaUnavailable, match="takes no connection"):
            await fetcher_for(server, authority).fetch(server.url(), "image", "/avatar/url")

    run(scenario())


@pytest.mark.parametrize("stage", ["handshake", "headers", "body"])
def test_who_gives_up_closes_the_connection(authority: trustme.CA, stage: str) -> None:
    async def scenario() -> None:
        begun = asyncio.Event()

        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            if stage == "body":
                writer.write(head(Content_Length=1000) + PNG[:500])
                await writer.drain()
            begun.set()
            if stage != "handshake":  # there, the server reads until the client is gone
                await asyncio.sleep(NEVER_S)

        async with serve(answer, None if stage == "handshake" else authority) as server:
            fetcher = fetcher_for(server, authority, url_concurrency=1)
            task = asyncio.create_task(fetcher.fetch(server.url(), "image", ""))
            await begun.wait()
            await asyncio.sleep(0.02)
            assert server.open == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.all_gone.wait(), LONG_S)
        # And its slot is free again.
        async with serve(whole(PNG), authority) as second:
            fetcher._rules = fetcher_for(second, authority)._rules
            assert (await fetcher.fetch(second.url(), "image", "")).data == PNG

    run(scenario())


def test_a_failed_fetch_frees_its_slot(authority: trustme.CA) -> None:
    async def scenario() -> None:
        names = this_machine()
        async with serve(sends(head("404 No", Content_Length=0)), authority) as server:
            fetcher = fetcher_for(server, authority, names, url_concurrency=1)
            for _ in range(3):
                with pytest.raises(MediaNotFetched, match="404"):
                    await fetcher.fetch(server.url(), "image", "")
            assert not fetcher._slots._hosts  # a host that nobody uses is forgotten

    run(scenario())
