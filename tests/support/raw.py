"""HTTP as bytes: requests that no client library would send, and all that is answered."""

import contextlib
import http.client
import io
import json
import socket
from email.message import Message
from typing import Any, NamedTuple

HANGS_S = 240
"""Nothing on a connection takes longer."""


class Answer(NamedTuple):
    """One answer on a connection."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(url: str) -> socket.socket:
    """A connection to the service at a URL."""
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=HANGS_S)


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A request of HTTP/1.1 to this machine, with headers as they are given."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunk(part: bytes) -> bytes:
    """A part of a body whose length is not told beforehand."""
    return b"%x\r\n%s\r\n" % (len(part), part)


def send(client: socket.socket, content: bytes) -> None:
    """Send as much as is taken: the service may refuse it before all of it came."""
    with contextlib.suppress(ConnectionError):
        client.sendall(content)


def exchange(url: str, content: bytes) -> list[Answer]:
    """All answers to these bytes; the service has to close the connection after them."""
    with connect(url) as client:
        send(client, content)
        return parsed(received(client))


def received(client: socket.socket) -> bytes:
    """All that comes until the connection is closed."""
    content = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            content += part
    return bytes(content)


def parsed(content: bytes) -> list[Answer]:
    """Answers one after the other, each with one request id; those to HEAD have to come last."""
    file, found = io.BytesIO(content), list[Answer]()
    while line := file.readline():
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", content[:2000]
        headers = http.client.parse_headers(file)
        assert len(headers.get_all("x-request-id", [])) == 1, content[:2000]
        found.append(Answer(int(status), headers, file.read(int(headers.get("content-length", 0)))))
    return found


def answer(client: socket.socket) -> Answer:
    """The next answer on a connection that stays open; its body may be of chunks."""
    response = http.client.HTTPResponse(client)
    with response:
        response.begin()
        return Answer(response.status, response.headers, response.read())


def is_closed(client: socket.socket) -> bool:
    """Whether the service ends the connection without another byte."""
    with contextlib.suppress(ConnectionResetError):
        return client.recv(1) == b""
    return True
