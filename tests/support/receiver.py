"""A receiver of webhooks on this machine, which answers as a test says."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

WAIT_S = 240
"""For messages that arrive within seconds, on a machine that does much else."""


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, whose signature must be of this secret.

        Raises:
            standardwebhooks.WebhookVerificationError: it is not.
        """
        return Webhook(secret).verify(self.body, self.headers)


Answer = Callable[[Received, BaseHTTPRequestHandler], int | None]
"""The status to answer with; None where the answer is written already."""


@dataclass
class Receiver:
    """What came so far; `answer` can be replaced at any time, and `stops` is set at the end."""

    answer: Answer = lambda received, handler: 204
    requests: list[Received] = field(default_factory=list[Received])
    port: int = 0
    stops: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/hooks") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_for(self, count: int) -> list[Received]:
        """The requests, once there are so many."""
        deadline = time.monotonic() + WAIT_S
        while len(self.requests) < count:
            assert time.monotonic() < deadline, [each.body for each in self.requests]
            time.sleep(0.01)
        return list(self.requests)


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


@contextmanager
def receiving(answer: Answer | None = None) -> Iterator[Receiver]:
    """Receive at a port of 127.0.0.1 until the end."""
    receiver = Receiver() if answer is None else Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender was ended meanwhile
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(self.path, headers, body.decode())
            receiver.requests.append(received)
            status = receiver.answer(received, self)
            if status is not None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the sender left
                return

    server = _Server(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stops.set()
        server.shutdown()
        server.server_close()
        thread.join()
