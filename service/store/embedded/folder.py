"""The store's folder on disk: who owns it, and where its socket lies."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path

from service.errors import FolderInUse, StoreStartFailed

MAX_SOCKET_PATH_BYTES = 107
"""`sun_path` of <sys/un.h> has 108 bytes, one of them the final NUL."""

UNFINISHED_STORE = "store.unfinished"
"""Beside the store's folder, while a backup is restored."""
_SOCKET = "store.sock"
_POLL_S = 0.05
_OWNERS_BYTES = 64


def unusable(folder: Path, error: OSError) -> StoreStartFailed:
    """The error for a folder that the system refuses."""
    reason = error.strerror or error
    return StoreStartFailed(
        f"{folder} can't be used ({reason}): choose another data folder by --data-dir"
    )


class FolderLock:
    """An exclusive lock on a folder, shared by a service and the store process that it starts.

    `flock` belongs to the open file, so handing the descriptor to the store process keeps the
    folder locked until both are gone: a store that outlives its service for a moment still owns
    its files. The kernel lets go of it however the processes end.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The descriptor to pass on; only while locked."""
        if self._fd is None:
            raise RuntimeError(f"{self._path} is not locked")
        return self._fd

    async def acquire(self, wait_s: float) -> None:
        """Lock, waiting up to `wait_s` seconds for a predecessor that is about to end.

        Raises:
            FolderInUse: another service, or a store that it left behind, still owns the folder.
        """
        deadline = time.monotonic() + wait_s
        while self._fd is None:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not try_lock(fd):
                    if time.monotonic() >= deadline:
                        raise FolderInUse(
                            _in_use(self._path.parent, os.pread(fd, _OWNERS_BYTES, 0).decode())
                        )
                    await asyncio.sleep(_POLL_S)
                if self._is_there(fd):
                    self._fd = fd
            finally:
                if self._fd is None:
                    os.close(fd)
        self.sign(None)

    def _is_there(self, fd: int) -> bool:
        """Whether an open file is the lock's still; a restore moves the folder away with it."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(fd), self._path.stat())
        return False

    def sign(self, store_pid: int | None) -> None:
        """Write down who owns the folder, for whoever finds it locked."""
        owners = f"service {os.getpid()}\n" + (f"store {store_pid}\n" if store_pid else "")
        # Of one length, so that signing again takes no space; a full disk may leave it unsigned.
        with contextlib.suppress(OSError):
            os.pwrite(self.fd, owners.ljust(_OWNERS_BYTES).encode(), 0)

    def release(self) -> None:
        """Let go; the folder stays locked while a store process still holds the descriptor."""
        if self._fd is not None:
            os.close(self._fd)  # LOCK_UN would take the lock from the store process too
            self._fd = None


def in_use_because(folder: Path) -> str | None:
    """Who owns a folder, and what to do about it; None while nobody does."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if try_lock(fd) else _in_use(folder, os.pread(fd, _OWNERS_BYTES, 0).decode())
    finally:
        os.close(fd)


def try_lock(fd: int) -> bool:
    """Whether nobody else had the lock of an open file, which is ours then."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(folder: Path, owners: str) -> str:
    lines = [line.split() for line in owners.splitlines() if line.strip()]
    alive = [(who, pid) for who, pid in lines if Path("/proc", pid).exists()]
    if not alive:
        return f"{folder} is in use by a process that left no name: choose another data folder"
    names = " and ".join(f"{who} process {pid}" for who, pid in alive)
    return (
        f"{folder} is in use by {names}: stop it (kill {alive[0][1]}) or choose another data folder"
    )


def prepare_socket(folder: Path) -> Path:
    """A path for the store's socket inside a folder that only this user can enter.

    It lies in `folder`, or in the system's temporary folder when that path would be too long for
    a socket. Call it with the folder locked: what is left there is then stale, and is removed.

    Raises:
        StoreStartFailed: someone else owns the place in the temporary folder.
    """
    socket = socket_in(folder)
    socket.parent.mkdir(mode=0o700, exist_ok=True)
    status = socket.parent.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise StoreStartFailed(
            f"{socket.parent} belongs to someone else: set TMPDIR to a folder of your own, "
            f"or choose a data folder with a shorter path than {folder}"
        )
    socket.parent.chmod(0o700)
    socket.unlink(missing_ok=True)
    return socket


def socket_in(folder: Path) -> Path:
    """Where the socket of a store in `folder`, an absolute path, is while it runs."""
    socket = folder / "run" / _SOCKET
    if len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        socket = Path(tempfile.gettempdir(), f"streamer-{os.getuid()}-{name}", _SOCKET)
    return socket


def remove_socket(socket: Path) -> None:
    """Undo `prepare_socket`; what someone else put beside the socket stays."""
    socket.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        socket.parent.rmdir()
