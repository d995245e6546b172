"""A receiver of webhooks on this machine that answers as a test says."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.service.process import WAIT_S


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def message(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, if its signature is right."""
        return Webhook(secret).verify(self.body, self.headers)


Answer = Callable[[Received, BaseHTTPRequestHandler], int | None]
"""A status, or None: the answer was written already."""


@dataclass
class Receiver:
    """What came, and how it is answered."""

    answer: Answer = lambda received, handler: 204
    requests: list[Received] = field(default_factory=list)
    port: int = 0
    stops: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/hooks", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def wait_for(self, count: int, timeout_s: float = WAIT_S) -> list[Received]:
        """The requests, once there are so many."""
        return self.until(lambda found: len(found) >= count, timeout_s)

    def until(
        self, is_enough: Callable[[list[Received]], bool], timeout_s: float = WAIT_S
    ) -> list[Received]:
        ends = time.monotonic() + timeout_s
        while not is_enough(found := list(self.requests)):
            assert time.monotonic() < ends, [r.body for r in found][-5:]
            time.sleep(0.01)
        return found


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


@contextmanager
def receiving(answer: Answer | None = None, port: int = 0) -> Iterator[Receiver]:
    """Receive at a port until the end."""
    receiver = Receiver() if answer is None else Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            if len(body) < length:  # who sent it was killed meanwhile: no request came
                self.close_connection = True
                return
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
            except ConnectionError:  # whoever asked has left, as tests want it
                return

    server = _Server(("127.0.0.1", port), Handler)
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
