"""Atomic creation of a folder."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Temporary folder beside `out`, fsynced and renamed to `out` on success, else removed.

    Raises:
        OSError: `out` exists and is not an empty folder, or can't be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists already; choose another --out or remove it")
    above = next(parent for parent in out.absolute().parents if parent.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"{out} can't be made: {above} is no folder; choose another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise OSError(f"{out} can't be made: {error.strerror}; choose another --out") from error
    try:
        yield partial
        _publish(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _publish(partial: Path, out: Path) -> None:
    for path in partial.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)  # of a folder too
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    partial.chmod(0o755)
    if out.exists():
        out.rmdir()  # only an empty one gets here
    partial.rename(out)
    descriptor = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
