"""The service as a process of its own, as a person starts it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from tests.support.api import Api

ROOT = Path(__file__).parents[2]
STOP_S = 120
RUN_S = 240
"""For one command, on a machine that does much else."""
WAIT_S = 240
"""For a state that takes seconds to reach, on such a machine."""
_LISTENS = re.compile(r'listening on (http://[^\s"]+)')
_FOREIGN = re.compile(r"^STREAMER_|^OTEL_|REDIS_URL$|_PROXY$", re.IGNORECASE)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what would configure the service, and `variables`."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.search(name)}
    return {**kept, "OMP_NUM_THREADS": "1", "STREAMER_SERVER__DRAIN_S": "0", **variables}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "service", *map(str, arguments)]


def run(*arguments: object, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the service to its end; `given` is its standard input."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(**variables),
        input=given,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Poll until a condition holds.

    Raises:
        AssertionError: it did not hold within the deadline; `what` says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.03)


class Service:
    """`python -m service serve`; ended, and with it its store, on leaving.

    Attributes:
        data_dir: its data folder; its log is a file beside it.
        process: the process.
        key: what its first admin key is, and None where it has no keys.
    """

    def __init__(
        self, bundle: Path, data_dir: Path, *options: object, port: int = 0, **variables: str
    ) -> None:
        """Start; `options` are of the command line, `variables` of the environment."""
        self.data_dir = data_dir
        self.key = variables.get("STREAMER_API_KEY")
        descriptor, name = tempfile.mkstemp(dir=data_dir.parent, prefix="serve-", suffix=".log")
        self._log = Path(name)
        self._api: Api | None = None
        arguments = ("serve", "--bundle", bundle, "--data-dir", data_dir, "--port", port, *options)
        with open(descriptor, "wb") as output:
            # In a session of its own, a Ctrl-C at the tests does not reach it.
            self.process = subprocess.Popen(
                command(*arguments),
                cwd=ROOT,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._api is not None:
            self._api.close()
        self.stop()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def url(self) -> str:
        """Where it listens; waits until it does."""

        def listens() -> bool:
            assert self.is_running, self.output
            return _LISTENS.search(self.output) is not None

        wait_until(listens, "the service listens")
        found = _LISTENS.search(self.output)
        assert found is not None
        return found[1].replace("//0.0.0.0:", "//127.0.0.1:")

    @property
    def api(self) -> Api:
        """A client of the service, with its admin key."""
        if self._api is None:
            self._api = Api(self.url, self.key)
        return self._api

    @property
    def store(self) -> psutil.Process:
        """The process of the embedded store."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if child.status() != psutil.STATUS_ZOMBIE and child.name().endswith("-server"):
                    return child
        raise AssertionError("the service has no store of its own that runs")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def is_ready(self) -> bool:
        """Whether it is ready, and nothing is wrong that it tolerates for a while."""
        assert self.is_running, self.output
        with suppress(httpx.TransportError):
            answer = self.api.get("/readyz")
            return answer.status_code == 200 and answer.json()["degraded_because"] is None
        return False

    def wait_until_ready(self) -> Self:
        wait_until(self.is_ready, "the service is ready")
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the service alone."""
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it in order; its exit status. A service that does not obey is killed."""
        if self.is_running:
            self.send(number)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """kill -9 of the service alone; its store ends by itself."""
        self.process.kill()
        self.process.wait()


def write_data(folder: Path, profiles: list[dict[str, Any]]) -> Path:
    """A data set folder with just what `load` and `embed` read."""
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(profile, ensure_ascii=False) + "\n" for profile in profiles)
    (folder / "streamers.jsonl").write_text(text, encoding="utf-8")
    return folder
