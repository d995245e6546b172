"""What is at the address that a command is given, where that is no service."""

import http.server
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.service import process


class OtherServer(http.server.BaseHTTPRequestHandler):
    """Answers everything with a page."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<p>Welcome!</p>")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


def end_main_thread() -> None:
    """Send SIGTERM to it, from a thread that serves it."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGTERM)


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers as `handler` does."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks have variables that are read after the fork, as any others that a test gives them."""
    parent = process.parent_for({})
    monkeypatch.setattr(process, "parent_for", lambda _: parent)


@pytest.fixture
def other_server() -> Iterator[str]:
    with serving(OtherServer) as url:
        yield url
