"""`python -m service …` as a process of its own, forked from one that has imported it already.

Importing the service takes most of a start, and hundreds of processes are started in the tests.
What is forked has the arguments, environment, output, session and exit status that a new process
would have; the hash seed is that of all of them.
"""

import atexit
import contextlib
import gc
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
_REQUEST_BYTES = 1 << 17
_IMPORTED = ("service.app", "service.commands.serve")
_SIDES, _PROFILES = "model_export.contract.evidence.sides", "model_export.contract.streamer"
_CERTIFICATES = "service.media.pinned"
_WORKERS = "service.engine.work.workers"
_FOLLOWER = "service.engine.replica.follower"
_STARTS_THREADS = "onnxruntime"
"""Which a fork would lose; so each process loads it by itself."""
_NUMBER = struct.Struct("i")


class Forked:
    """What `subprocess.Popen` has of a process, for one whose parent is another process.

    Any thread may use it.

    Attributes:
        pid: its number.
        returncode: its exit status, or minus the signal that ended it; None: it was running when
            it was last looked at.
    """

    def __init__(self, status: int) -> None:
        """Wait until it began; its parent tells its number and its end by a pipe."""
        self._status = status
        weakref.finalize(self, os.close, status)  # not before: another thread may wait for it
        self._one = threading.Lock()
        self.pid = self._told()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Look whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends; its exit status.

        Raises:
            TimeoutExpired: it has not ended within so many seconds.
        """
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("service", timeout or 0)
            with self._one:
                if self.returncode is None:
                    self.returncode = self._told()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _told(self) -> int:
        told = os.read(self._status, _NUMBER.size)
        assert told, "the parent of the service is gone"
        return _NUMBER.unpack(told)[0]


class Parent:
    """The process that has imported the service and forks others; it ends with this one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it; what libraries read when they are imported is read from this environment."""
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.service.forking", str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: int, errors: int
    ) -> Forked:
        """Start `python -m service` with arguments, and with descriptors for what it prints."""
        request = json.dumps([list(arguments), dict(environment)]).encode()
        ours, theirs = os.pipe()
        try:
            socket.send_fds(self._requests, [request], [output, errors, theirs])
        finally:
            os.close(theirs)
        return Forked(ours)

    def close(self) -> None:
        """End it; those that it forked go on."""
        self._requests.close()
        self._process.wait()


def _serve_requests(requests: socket.socket, added: Mapping[str, str]) -> None:
    """Fork for each request; returns in what is forked, with its arguments, and ends elsewhere.

    Args:
        requests: arguments, environments and descriptors.
        added: variables that imports set where there are none.
    """
    while True:
        request, files, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 3)
        if not request:  # who asks is gone
            os._exit(0)
        if os.fork() == 0:
            break
        for number in files:
            os.close(number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    requests.close()
    output, errors, told = files
    pid = os.fork()
    if pid:
        os.close(output)
        os.close(errors)
        with contextlib.suppress(BrokenPipeError):
            os.write(told, _NUMBER.pack(pid))
            status = os.waitpid(pid, 0)[1]
            os.write(told, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    os.setsid()
    os.dup2(output, 1)
    os.dup2(errors, 2)
    for number in files:
        os.close(number)
    arguments, environment = json.loads(request)
    sys.argv[1:] = arguments
    os.environ.clear()
    os.environ.update({**added, **environment})


def put_off(name: str) -> Any:
    """A module that is loaded when something of it is asked for."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def fill_caches() -> None:
    """Compute what every process would compute of constants: tables, patterns and certificates."""
    profile: Any = import_module(_PROFILES).StreamerProfile(streamer_id="s", bio="美食 wx: cook")
    import_module(_SIDES).side_of(profile, frozenset())
    import_module(_CERTIFICATES).public_trust()


def run_to_its_end(main: Callable[[], object]) -> NoReturn:
    """Run what this process is for, and end it as Python would, with its exit status.

    Only what was imported is not freed, piece by piece, which takes as long as importing it.
    """
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001  # whatever it is, it is the end
        traceback.print_exc()
        status = 1
    with contextlib.suppress(BaseException):
        getattr(threading, "_shutdown")()  # noqa: B009  # waits for threads, as at any end
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    given = set(os.environ)
    gc.disable()
    loaded_later = put_off(_STARTS_THREADS)
    for name in _IMPORTED:
        import_module(name)
    fill_caches()
    workers: Any = import_module(_WORKERS)
    workers.NICENESS = 0  # with a low priority they would starve beside the tests
    follower: Any = import_module(_FOLLOWER)
    follower._SHOW_MS = 5000  # or a busy machine would answer writes before the index has them
    gc.freeze()
    gc.enable()
    tasks = os.listdir("/proc/self/task")
    assert len(tasks) == 1, "a process with threads can't be forked"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    _serve_requests(requests, {k: v for k, v in os.environ.items() if k not in given})
    assert loaded_later.__version__  # loads it, before there are threads that would both do so
    run_to_its_end(lambda: runpy.run_module("service", run_name="__main__", alter_sys=True))


if __name__ == "__main__":
    _main()
