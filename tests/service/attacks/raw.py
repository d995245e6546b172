"""HTTP as bytes: requests that no client library would send, and all that is answered."""

import contextlib
import http.client
import io
import json
import socket
from email.message import Message
from typing import Any, NamedTuple

from tests.service.process import START_S, Service


class Answer(NamedTuple):
    """One answer on a connection."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(service: Service) -> socket.socket:
    """A connection, on which nothing takes longer than a start may."""
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=START_S)


def exchange(service: Service, content: bytes) -> list[Answer]:
    """All answers to these bytes; the service has to close the connection after them."""
    with connect(service) as client:
        with contextlib.suppress(ConnectionError):  # refused before all of it was sent
            client.sendall(content)
        return parsed(received(client))


def received(client: socket.socket) -> bytes:
    """All that comes until the connection is closed."""
    content = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            content += part
    return bytes(content)


def parsed(content: bytes) -> list[Answer]:
    """Answers one after the other; those to HEAD have to come last."""
    file, found = io.BytesIO(content), list[Answer]()
    while line := file.readline():
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", content[:2000]
        headers = http.client.parse_headers(file)
        assert len(headers.get_all("x-request-id", [])) == 1, content[:2000]
        found.append(Answer(int(status), headers, file.read(int(headers.get("content-length", 0)))))
    return found


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A request of HTTP/1.1 to this machine, with headers as they are given."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
