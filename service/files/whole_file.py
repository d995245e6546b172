"""Files that are there as a whole or not at all, and errors that say why one can't be written."""

import os
import secrets
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from service.errors import ServiceError
from service.files.spool import sync_folder


class Unwritable(ServiceError):
    """A file can't be written; says why, and what to do."""


@contextmanager
def writing(path: Path) -> Generator[None, None, None]:
    """Name the file when the system or SQLite refuses to write it, or its draft.

    Raises:
        Unwritable: in place of an OSError or an error of SQLite.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = " ".join(str(error).split()) if number is None else os.strerror(number)
        raise Unwritable(
            f"{path} can't be written ({reason}), and nothing of it is kept: make room in its "
            "folder or choose another, then run the command again"
        ) from error


@contextmanager
def whole_file(path: Path) -> Generator[Path, None, None]:
    """A path to write to; what was written is at `path` afterwards, on disk, whole or not at all.

    Two writers of one path do not disturb each other: the last one's file stays.

    Raises:
        Unwritable: it can't be written there.
    """
    draft = draft_of(path)
    try:
        yield draft
        put_in_place(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """A new path beside a file, in its folder, which is made where there is none.

    Raises:
        Unwritable: the folder can't be made.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def put_in_place(draft: Path, path: Path) -> None:
    """Make a complete draft the file, on disk when this returns.

    Raises:
        Unwritable: it can't be; the file that was there stays.
    """
    with writing(path):
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
