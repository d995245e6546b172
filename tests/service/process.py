"""The service as a process of its own, as a person starts it."""

import atexit
import fcntl
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from tests.service.data_sets import NDJSON, json_line
from tests.service.forking import ROOT, Forked, Parent

START_S = 60
STOP_S = 120
RUN_S = 240
"""For a command that loads thousands, on a machine that does much else."""
WAIT_S = 240
"""For what takes seconds, on such a machine."""
UNGROUPED: dict[str, Any] = {"STREAMER_DUPLICATES__EVALUATE": "false"}
"""For tests that write thousands and ask for no groups of duplicates, which would cost more than
all else that they do."""
NOT_VISIBLE = "not_yet_visible"
_TEST = "PYTEST_CURRENT_TEST"
_LISTENS = re.compile(r'listening on (http://[^\s"]+)')
_FOREIGN = re.compile(r"^STREAMER_|^OTEL_|REDIS_URL$|_PROXY$", re.IGNORECASE)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what would configure the service, and `variables`."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.search(name)}
    return {**kept, "OMP_NUM_THREADS": "1", "STREAMER_SERVER__DRAIN_S": "0", **variables}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "service", *map(str, arguments)]


class _Parents:
    """The process whose forks have the environment of this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._environment: dict[str, str] = {}
        self._parent: Parent | None = None
        atexit.register(self.close)

    def get(self) -> Parent:
        """It; another one when the environment is another one, as libraries and tests change it."""
        known = {k: v for k, v in environment().items() if k != _TEST}
        with self._lock:
            if self._parent is None or known != self._environment:
                self.close()
                self._environment, self._parent = known, Parent(known)
            return self._parent

    def close(self) -> None:
        if self._parent is not None:
            self._parent.close()


_parents = _Parents()


def parent_for(variables: Mapping[str, str]) -> Parent | None:
    """Who forks a process with these variables; None: it has to import everything anew.

    A fork has read what libraries read when they are imported, so others than the service's are for
    new processes. Benchmarks measure those as well: a person starts no others.
    """
    are_settings = all(name.startswith("STREAMER_") or name == "REDIS_URL" for name in variables)
    return _parents.get() if are_settings and _TEST in os.environ else None


def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the service to its end."""
    argv = command(*arguments)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = _start(argv, variables, output.fileno(), errors.fileno())
        try:
            status = process.wait(RUN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(argv, status, output.read(), errors.read())


def _start(
    argv: list[str], variables: dict[str, str], output: int, errors: int
) -> subprocess.Popen[bytes] | Forked:
    """Start a command in a session of its own, so that a Ctrl-C at the tests does not reach it."""
    environ = environment(**variables)
    if argv[0] == sys.executable and (parent := parent_for(variables)):
        return parent.start(argv[3:], environ, output, errors)
    return subprocess.Popen(
        argv,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )


def load(
    data: Path, url: str, *options: object, **variables: str
) -> subprocess.CompletedProcess[str]:
    return run("load", data, "--url", url, *options, **variables)


def hide(folder: Path, *modules: str) -> dict[str, str]:
    """Environment in which modules are not there."""
    for name in modules:
        text = f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n"
        (folder / f"{name}.py").write_text(text)
    return {"PYTHONPATH": str(folder)}


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command failed."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    *before, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert not any(line.startswith("error: ") for line in before)
    return last


def wait_until(
    condition: Callable[[], bool],
    what: str,
    timeout_s: float = WAIT_S,
    every_s: float | None = None,
) -> None:
    """Wait for something that tells nobody when it happens.

    Looking takes a processor from what is waited for, hence each 0.02 s at first, and up to ten
    times more seldom in a long wait; whoever has to catch a moment says `every_s`.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(min(max(0.02, waited / 40), 0.2) if every_s is None else every_s)


def when_visible(ask: Callable[[], Any]) -> Any:
    """The answer to a question about a write, of httpx or the test client.

    A service waits two seconds for the write and then refuses, whatever keeps the machine busy.
    """
    answers: list[Any] = []

    def is_answered() -> bool:
        answers[:] = [ask()]
        return not (answers[0].status_code == 503 and answers[0].json()["code"] == NOT_VISIBLE)

    wait_until(is_answered, "the write is in the index")
    return answers[0].raise_for_status()


def median_s(ask: Callable[[], object], times: int = 5) -> float:
    """How long it takes, as a rule: a busy machine makes a single one late."""
    took: list[float] = []
    for _ in range(times):
        began = time.monotonic()
        ask()
        took.append(time.monotonic() - began)
    return statistics.median(took)


def kill(process: psutil.Process) -> None:
    """kill -9 of a store, which may have ended with its service by now."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def is_gone(process: psutil.Process) -> bool:
    """Whether a process ended; nobody may be there to wait for an orphan, hence the zombies."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_free(data_dir: Path) -> bool:
    """Whether no service and no store owns the folder."""
    with (data_dir / "store" / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _is_store(process: psutil.Process) -> bool:
    """Whether it is a store that runs; one that is killed is nobody's child at any moment."""
    try:
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return is_alive and process.name().endswith("-server")
    except psutil.NoSuchProcess:
        return False


def _is_suspended(task: Path) -> bool:
    """Whether a thread, by its folder below /proc, is stopped by a signal, or has ended."""
    try:
        return (task / "stat").read_text().rpartition(") ")[2].startswith("T")
    except (FileNotFoundError, ProcessLookupError):
        return True


class Service:
    """`python -m service serve`; ended, and with it its store, on leaving.

    Attributes:
        data_dir: its data folder; its output goes to a file beside it.
        process: the process.
    """

    def __init__(
        self,
        bundle: Path,
        data_dir: Path,
        *options: object,
        port: int = 0,
        open_files: int | None = None,
        **variables: str,
    ) -> None:
        """Start; `variables` are of the environment, `open_files` is how many it may have."""
        self.data_dir = data_dir
        fd, name = tempfile.mkstemp(dir=data_dir.parent, prefix="serve-", suffix=".log")
        self._log = Path(name)
        self._client: httpx.Client | None = None
        self._store: psutil.Process | None = None
        arguments = ("serve", "--bundle", bundle, "--data-dir", data_dir, "--port", port, *options)
        limited = () if open_files is None else ("prlimit", f"--nofile={open_files}")
        with open(fd, "wb") as output:
            self.process = _start(
                [*limited, *command(*arguments)],
                variables,
                output.fileno(),
                output.fileno(),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()
        self.stop()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def url(self) -> str:
        """Where it listens; waits until it does."""

        def listens() -> bool:
            assert self.process.poll() is None, self.output
            return _LISTENS.search(self.output) is not None

        wait_until(listens, "the service listens")
        found = _LISTENS.search(self.output)
        assert found is not None
        return found[1].replace("//0.0.0.0:", "//127.0.0.1:")

    @property
    def client(self) -> httpx.Client:
        """A client of the service."""
        if self._client is None:
            self._client = httpx.Client(base_url=self.url, timeout=STOP_S, trust_env=False)
        return self._client

    @property
    def store(self) -> psutil.Process:
        """The process of the embedded store that runs now, or that ran last."""
        children = psutil.Process(self.process.pid).children() if self.is_running else []
        stores = [child for child in children if _is_store(child)]
        if stores:
            (self._store,) = stores
        assert self._store is not None
        return self._store

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def is_ready(self) -> bool:
        """Whether it is ready, and nothing is wrong that it tolerates for a while."""
        answer = self.client.get("/readyz")
        return answer.status_code == 200 and answer.json()["degraded_because"] is None

    def wait_until_ready(self) -> Self:
        wait_until(self.is_ready, "the service is ready", every_s=0.05)
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the service alone."""
        self.process.send_signal(number)

    def stand_still(self) -> None:
        """Suspend the service alone; returns when none of its threads runs any more."""
        self.send(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        wait_until(
            lambda: all(_is_suspended(task) for task in tasks.iterdir()),
            "the service stands still",
            every_s=0.001,
        )

    def go_on(self) -> None:
        """Let it run again."""
        self.send(signal.SIGCONT)

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
        """kill -9."""
        self.process.kill()
        self.process.wait()

    # Requests that tests make again and again

    def put(self, streamer_id: str, **profile: Any) -> int:
        """Write a streamer; its sequence number."""
        answer = self.client.put(f"/v1/streamers/{streamer_id}", json=profile)
        answer.raise_for_status()
        return answer.json()["sequence"]

    def bulk(self, profiles: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write many; the result lines."""
        content = "".join(json_line(profile) for profile in profiles)
        answer = self.client.post("/v1/streamers:bulk", content=content, headers=NDJSON)
        answer.raise_for_status()
        return [json.loads(line) for line in answer.content.split(b"\n") if line]

    def streamers(self) -> dict[str, dict[str, Any]]:
        """All that is stored, by id."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.client.get("/v1/streamers", params={"limit": "1000", **cursor})
            answer.raise_for_status()
            found += answer.json()["streamers"]
            if answer.json()["next_cursor"] is None:
                break
            cursor = {"cursor": answer.json()["next_cursor"]}
        assert len({s["streamer_id"] for s in found}) == len(found)
        return {s["streamer_id"]: s for s in found}

    def similar(self, after_sequence: int = 0, k: int = 1000, **profile: Any) -> set[str]:
        """Everybody whom the index knows (up to k), found by a profile, once it has a write."""
        query = {"positive": [{"profile": profile}], "k": k, "after_sequence": after_sequence}
        answer = when_visible(lambda: self.client.post("/v1/similar", json=query))
        return {hit["streamer_id"] for hit in answer.json()["hits"]}
