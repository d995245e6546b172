"""What tests take of the machine on which they run: time, ports, and files."""

import atexit
import random
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HANGS_S = 600
"""A process that takes longer hangs: slow machines with busy cores need a fraction of that."""
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST, _LAST = 10_000, 65_535


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, for this process until it ends.

    Where it can be, it is none of those that the kernel gives to whoever connects or asks for any
    port, so it stays free until it is used, and while who used it is restarted. Other processes
    that call this don't get it either.
    """
    low, high = map(int, _RANGE.read_text().split())
    every = range(_FIRST, _LAST + 1)
    ports = [port for port in every if not low <= port <= high] or every
    for port in random.Random().sample(ports, len(ports)):
        keeping = socket.socket(socket.AF_UNIX)
        try:
            keeping.bind(f"\0{__name__}.{port}")  # an abstract name, gone with the process
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            keeping.close()
            continue
        atexit.register(keeping.close)
        return port
    raise AssertionError("all ports of this machine are in use")


def opened_in(folder: Path) -> list[str]:
    """The files of a folder that this process has open, also those that are deleted since."""
    found = list[str]()
    for opened in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # what others had is closed meanwhile
            found.append(str(opened.readlink()))
    return sorted(name for name in found if name.startswith(f"{folder}/"))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Longer files can't be written, as with a quota (Python ignores the signal that comes)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
