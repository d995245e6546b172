"""A running service, asked over HTTP and ended cleanly."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.errors import DemoError

HOST = "127.0.0.1"
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
ASK_TIMEOUT_S = 30
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The service is on this machine, where no proxy asks it."""


def require_free_port(port: int) -> None:
    """Find out before the long steps.

    Raises:
        DemoError: something listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            reason = f"port {port} can't be used ({why})"
            raise DemoError(f"{reason}; say another one: make demo PORT=8001") from error


@dataclass(frozen=True)
class Service:
    """A service that answers at `url`."""

    url: str
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, body: object | None = None) -> Any:
        """The JSON answer to a request.

        Raises:
            DemoError: the service refused, with what it said, or did not answer.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=ASK_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise DemoError(f"{method} {path}: {error.code} {said}") from error
        except OSError as error:
            raise DemoError(f"{method} {path}: the service did not answer ({error})") from error

    def is_ready(self) -> bool:
        """Whether /readyz says yes."""
        try:
            with _OPENER.open(self.url + "/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


def own_environment() -> dict[str, str]:
    """The environment without settings of another service, whose store must not be written."""
    return {k: v for k, v in os.environ.items() if k != "REDIS_URL" and k[:9] != "STREAMER_"}


@contextmanager
def serving(bundle: Path, state: Path, port: int, log: Path) -> Iterator[Service]:
    """A running service, ready; ended by SIGTERM and waited for, so that its store ends as well.

    Raises:
        DemoError: it did not come up; with the end of its log.
    """
    command = [sys.executable, "-m", "service", "serve", "--bundle", str(bundle)]
    command += ["--data-dir", str(state), "--host", HOST, "--port", str(port)]
    with log.open("wb") as output:
        # In a session of its own, Ctrl-C reaches this process alone, which then ends the service.
        process = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, env=own_environment()
        )
    service = Service(f"http://{HOST}:{port}", process)
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not service.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
                raise DemoError(f"the service did not become ready; {log} ends with:\n{tail}")
            time.sleep(0.1)
        yield service
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL if that is not obeyed; a second Ctrl-C doesn't cut it short."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
