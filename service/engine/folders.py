"""Folders for files of one process: of models beside the first one, of a layout that is fitted.

They hold copies of what streamers show, such as their names. A process locks each that it uses:
whatever ends it, the next one that starts on the data folder finds it without an owner.
"""

import errno
import logging
import os
import secrets
import shutil
import threading
from pathlib import Path

from service.store.embedded.folder import try_lock

_log = logging.getLogger(__name__)
_LOCK = "lock"
_LEFT = "left-"
_ATTEMPTS = 3
_WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})
"""What a file system says that has no locks."""


class OwnFolder:
    """A folder of this process; it is made when it is needed, and goes with what needs it.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is made yet."""
        self.path = path
        self._lock: int | None = None
        self._guard, self._is_over = threading.Lock(), False

    def make(self) -> None:
        """Make it, unless it is there; call it in a thread.

        Where the file system has no locks, it has none, and `sweep` can't remove it.

        Raises:
            OSError: that can't be, such as on a full disk.
        """
        with self._guard:
            for _ in range(_ATTEMPTS):
                if self._lock is not None or self._is_over:
                    return
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                # Whoever starts meanwhile may take it for one that was left, and remove it.
                try:
                    self._lock = _locked(self.path)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno not in _WITHOUT_LOCKS:
                        raise
                    return
            if self._lock is None:
                raise OSError(f"{self.path} is removed by others")

    def remove(self) -> None:
        """Remove it with all that is in it; call it in a thread."""
        with self._guard:
            self._is_over = True
            shutil.rmtree(self.path, ignore_errors=True)
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


class OwnFolders:
    """The folders for one purpose of all processes that share a data folder."""

    def __init__(self, root: Path) -> None:
        """They lie below `root`."""
        self._root = root

    def new(self, name: str) -> OwnFolder:
        """One whose name begins so, which is not made yet."""
        return OwnFolder(self._root / f"{name}-{secrets.token_hex(4)}")

    def sweep(self) -> None:
        """Remove those that ended processes left; call it in a thread, with the store open.

        Before, it is not known whether another process serves on this data folder.
        """
        found: list[Path] = []
        try:
            found += (each for each in self._root.iterdir() if each.is_dir())
        except FileNotFoundError:
            pass  # no process has made one yet
        except OSError as error:
            _log.warning("%s can't be read: %s", self._root, error)
        for folder in found:
            try:
                self._sweep(folder)
            except OSError as error:
                _log.warning("%s can't be removed: %s", folder, error)

    def _sweep(self, folder: Path) -> None:
        lock = _locked(folder)
        if lock is None:
            return
        try:
            left = folder
            if not folder.name.startswith(_LEFT):  # nobody makes it again while it is removed
                left = folder.rename(folder.with_name(_LEFT + secrets.token_hex(4)))
            shutil.rmtree(left)
        finally:
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """The lock of a folder that is there; None while others have it.

    Raises:
        OSError: it can't be opened, or the folder is gone.
    """
    path = folder / _LOCK
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if try_lock(fd) and os.path.samestat(os.fstat(fd), path.stat()):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None
