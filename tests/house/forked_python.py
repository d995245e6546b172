"""`python -m MODULE …` and `python FILE …`, forked from a process that has imported what they use.

Importing takes nine tenths of a short command, and the pages have a hundred of them. What is forked
has the arguments, environment, folder, input and output of whoever asked, and its exit status goes
back; the hash seed is that of all of them. How a new process starts is tested elsewhere.
"""

import contextlib
import gc
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from ast import literal_eval
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tests.service.forking import put_off, run_to_its_end
from tests.support.service import environment

ROOT = Path(__file__).parents[2]
ASKS = Path(__file__).with_name("asks_for_a_fork.py")
_IMPORTED = (
    "service.app",
    "service.client",
    "service.commands.load",
    "training.api",
    "training.commands.fit",
    "model_export.export",
)
_STARTS_THREADS = "onnxruntime"
"""Which a fork would lose; so each process loads it by itself."""
_STARTS_NONE = "background_thread:false"
"""For the memory of pyarrow, which else has a thread that gives pages back."""
_REQUEST_BYTES = 1 << 17


@contextlib.contextmanager
def forking_python() -> Iterator[list[str]]:
    """The words that stand for `python` in commands, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(place))
            listener.listen(64)
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.house.forked_python", str(listener.fileno())],
                cwd=ROOT,
                env=environment(JE_ARROW_MALLOC_CONF=_STARTS_NONE),
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        try:
            yield [sys.executable, "-I", "-S", str(ASKS), str(place)]
        finally:
            process.terminate()
            process.wait()


def _serve_requests(listener: socket.socket) -> list[str]:
    """Fork for each request; returns in what is forked, with the words after `python`."""
    while True:
        asked = listener.accept()[0]
        if os.fork() == 0:
            break
        asked.close()
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    request, files, _, _ = socket.recv_fds(asked, _REQUEST_BYTES, 3)
    pid = os.fork()
    if pid:
        for number in files:
            os.close(number)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(BrokenPipeError):
            asked.send(str(status).encode())
        os._exit(0)
    asked.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    folder, variables, words = literal_eval(request.decode())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    return words


def _run(words: list[str]) -> None:
    """Do what Python does when it is called with these words."""
    if words[0] == "-m":
        sys.path.insert(0, str(Path.cwd()))
        sys.argv[:] = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        sys.argv[:] = words
        runpy.run_path(words[0], run_name="__main__")


def _main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()
    loaded_later = put_off(_STARTS_THREADS)
    for name in _IMPORTED:
        import_module(name)
    gc.freeze()
    gc.enable()
    tasks = os.listdir("/proc/self/task")
    assert len(tasks) == 1, "a process with threads can't be forked"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    words = _serve_requests(listener)
    assert loaded_later.__version__  # loads it, before there are threads that would both do so
    run_to_its_end(lambda: _run(words))


if __name__ == "__main__":
    _main()
