"""A Milvus server of one's own, from the package `milvus`; only loopback reaches it."""

import contextlib
import fcntl
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import yaml

from tests.support.service import wait_until

RELAY = Path(__file__).with_name("milvus_relay.py")
START_S = 180
_UNPACKED = Path(tempfile.gettempdir()) / f"milvus-2.3.5-{os.getuid()}"
"""Where the package's binaries are unpacked, once for all tests of a user: 20 s, 300 MB."""


class MilvusServer:
    """A standalone server whose files are in a folder, in a network namespace of its own.

    Attributes:
        uri: where it is reached.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing runs before `start`; a test that can't have a server is skipped."""
        milvus = pytest.importorskip("milvus", reason="there is no package for this platform")
        _skip_without_namespaces()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        _UNPACKED.mkdir(exist_ok=True)
        with (_UNPACKED / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            milvus._initialize_data_files(str(_UNPACKED))
        config = milvus.MilvusServerConfig(data_dir=str(folder))
        config.resolve()
        path = folder / "configs" / "milvus.yaml"
        known: dict[str, Any] = yaml.safe_load(path.read_text())
        self._inner_port: int = known["proxy"]["port"]
        known["proxy"]["timeTickInterval"] = 20
        known["queryNode"]["segcore"]["interimIndex"]["enableIndex"] = False
        known["common"]["session"]["ttl"] = 5
        known["common"]["gracefulStopTimeout"] = 1
        path.write_text(yaml.safe_dump(known))

    def start(self) -> Self:
        """Start it; `wait` tells when it can be searched."""
        binaries = _UNPACKED / "bin"
        with (
            socket.socket() as listening,
            (self._folder / "logs" / "output.log").open("ab") as output,
        ):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", self._port))
            listening.listen()
            relay = [sys.executable, RELAY, str(listening.fileno()), str(self._inner_port)]
            server = [binaries / "milvus", "run", "standalone"]
            self._process = subprocess.Popen(
                ["unshare", "--map-root-user", "--net", *relay, *server],
                cwd=self._folder,
                env=os.environ
                | {
                    "DEPLOY_MODE": "STANDALONE",
                    "MILVUS_RUN_DIR": str(self._folder / "run"),
                    "LD_LIBRARY_PATH": str(binaries),
                    "MILVUSCONF": str(self._folder / "configs"),
                },
                stdout=output,
                stderr=output,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )
        return self

    def wait(self) -> Self:
        """Return once its collections, or a new one where there are none, can be searched."""
        wait_until(self._is_searchable, "Milvus can be searched", START_S)
        return self

    def client(self) -> Any:
        """A client; its methods are typed as coroutines or not, whichever they are."""
        return importlib.import_module("pymilvus").MilvusClient(self.uri, timeout=5)

    def _is_searchable(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError((self._folder / "logs" / "output.log").read_text()[-4000:])
        exceptions = importlib.import_module("pymilvus.exceptions")
        with contextlib.suppress(exceptions.MilvusException, OSError, ValueError):
            client = self.client()
            try:
                for name in client.list_collections(timeout=5):
                    dim = client.describe_collection(name)["fields"][2]["params"]["dim"]
                    probe = np.ones((1, dim), np.float32)
                    client.search(name, [*probe], limit=1, consistency_level="Strong", timeout=5)
                return True
            finally:
                client.close()
        return False

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def _skip_without_namespaces() -> None:
    namespace = ("unshare", "--map-root-user", "--net", "ip", "link", "set", "lo", "up")
    try:
        done = subprocess.run(namespace, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `unshare`, which keeps Milvus in a network of its own")
    if done.returncode:
        pytest.skip(f"Milvus can't be kept in a network of its own: {done.stderr.strip()}")
