"""A store of one's own, as somebody who runs it would start it."""

import socket
import subprocess
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from service.store.embedded.binary import find_binary
from tests.service.process import wait_until


class Server:
    """A Valkey server on a loopback port; as durable as the service asks for, or not at all.

    Attributes:
        folder: its files.
        port: where it listens.
        url: the same, for a service.
    """

    def __init__(self, folder: Path, *, appendonly: str = "yes") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self._appendonly = appendonly
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": self._appendonly,
            "appendfsync": "always",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [str(find_binary()), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._answers, "the server answers")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
