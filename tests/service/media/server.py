"""A TLS server on this machine that answers as it likes, and names that mean what a test says."""

import asyncio
import contextlib
import functools
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeVar

import trustme

from service.media.addresses import IPAddress, is_public
from service.media.fetch import Fetched, Fetcher
from service.media.sniff import Kind
from service.settings import Media

HOST = "media.example.org"
NEVER_S = 600
"""Longer than any test waits."""
LONG_S = 60
"""Within which everything has happened, also on a busy machine."""
PATIENT = {
    f"url_{name}_ms": LONG_S * 1000 for name in ("timeout", "connect_timeout", "idle_timeout")
}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
Result = TypeVar("Result")


@dataclass
class Request:
    """What a client asked."""

    line: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return self.line.split()[1]


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """What happened at a server."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    open: int = 0
    all_gone: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/a", host: str = HOST) -> str:
        return f"https://{host}:{self.port}{path}"


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def whole(body: bytes, **headers: str) -> Answer:
    """Answers every request with the same."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head(Content_Length=len(body), **headers) + body)

    return answer


def sends(*parts: bytes, pause_s: float = 0) -> Answer:
    """Sends these bytes, whatever they mean, and ends."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return answer


def redirects(place: Callable[[str], str], status: str = "302 Found") -> Answer:
    """Answers with the place that follows from the path."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, Location=place(request.path), Content_Length=0))

    return answer


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection without a goodbye."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@contextlib.asynccontextmanager
async def serve(
    answer: Answer, authority: trustme.CA | None, *names: str
) -> AsyncGenerator[Server]:
    """A server with a certificate for these names; without an authority, no TLS and no HTTP."""
    server, tasks = Server(), set[asyncio.Task[None]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.open += 1
        server.all_gone.clear()
        answering = None
        try:
            request = Request("", {})
            if authority is not None:
                request = _parse(await reader.readuntil(b"\r\n\r\n"))
                server.requests.append(request)
            answering = asyncio.create_task(finish(request, writer))
            await reader.read()  # until the client is gone
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            if answering is not None:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
            writer.close()
            server.open -= 1
            if not server.open:
                server.all_gone.set()

    async def finish(request: Request, writer: asyncio.StreamWriter) -> None:
        await answer(request, writer)
        if authority is not None:
            await writer.drain()
            writer.close()

    context = None
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _certificate(authority, *(names or (HOST, "*.example.org"))).configure_cert(context)
        context.sni_callback = lambda _, name, __: server.names.append(name)
    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@functools.cache
def _certificate(authority: trustme.CA, *names: str) -> trustme.LeafCert:
    return authority.issue_cert(*names)


def _parse(text: bytes) -> Request:
    line, *lines = text.decode("latin-1").strip().split("\r\n")
    return Request(line, {k.lower(): v for k, v in (header.split(": ", 1) for header in lines)})


class Names:
    """A resolver: each name has answers, given one after the other, the last for ever."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[IPAddress]:
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        answers = self.answers[host]
        return [ip_address(a) for a in (answers.pop(0) if len(answers) > 1 else answers[0])]


def this_machine() -> Names:
    return Names(media_example_org=[["127.0.0.1"]])


def loopback_too(address: IPAddress) -> bool:
    """The one exception of these tests, without which there would be nobody to ask."""
    return str(address) == "127.0.0.1" or is_public(address)


def fetcher_for(
    server: Server, authority: trustme.CA, names: Names | None = None, **settings: object
) -> Fetcher:
    """A fetcher that may ask this server."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    values = {"url_hosts": (HOST, "*.example.org"), "url_ports": (server.port,)}
    return Fetcher(
        Media.model_validate({**values, **PATIENT, **settings}),
        names or this_machine(),
        is_safe=loopback_too,
        trust=trust,
    )


def fetch(
    authority: trustme.CA,
    answer: Answer,
    path: str = "/a",
    kind: Kind = "image",
    names: Names | None = None,
    **settings: object,
) -> Fetched:
    """Start a server, fetch one URL from it, and stop it."""

    async def scenario() -> Fetched:
        async with serve(answer, authority) as server:
            fetcher = fetcher_for(server, authority, names, **settings)
            try:
                return await fetcher.fetch(server.url(path), kind, "/avatar/url")
            finally:
                if server.open:
                    await asyncio.wait_for(server.all_gone.wait(), LONG_S)

    return run(scenario())


def run(scenario: Coroutine[object, object, Result]) -> Result:
    """Run to the end, within a minute."""

    async def bounded() -> Result:
        async with asyncio.timeout(LONG_S):
            return await scenario

    return asyncio.run(bounded())
