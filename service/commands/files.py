"""Files that options name: read as text, and written whole or not at all."""

import argparse
import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model_export.contract.beginnings import BEGIN_BYTES, no_lines
from service.commands.answers import answer
from service.commands.arguments import UnusablePath, using
from service.commands.stopping import interruptible

_REMEDY = "choose a file that can be written"


def text_of(option: str, path: Path, remedy: str) -> str:
    """The text of a file in UTF-8, without the byte order mark that some programs begin it with.

    Raises:
        UnusablePath: it can't be read, or is not UTF-8.
    """
    with using(option, path, remedy):
        content = path.read_bytes()
    return _text(content, f"{option} {path}")


def file_of_profiles(option: str, data: Path) -> Path:
    """The file with the profiles of a data set folder, or `data` itself.

    Raises:
        UnusablePath: it is not there, can't be read, or begins as no lines of JSON do.
    """
    path = data / "streamers.jsonl" if data.is_dir() else data
    remedy, begin = "give a data set folder with streamers.jsonl, or a .jsonl file", b""
    if data.is_dir() and not path.exists() and (data / "streamers.parquet").exists():
        remedy = "streamers.parquet is read by `encode`, and by imports (POST /v1/jobs/imports)"
    with using(option, path, remedy):
        if stat.S_ISREG(path.stat().st_mode):  # what is read of a pipe is gone
            with path.open("rb") as file:
                begin = file.read(BEGIN_BYTES)
    of_parquet = (
        "is a Parquet file, which `encode` and imports (POST /v1/jobs/imports) read: give lines "
        "of JSON"
    )
    if wrong := no_lines(begin, of_parquet):
        raise UnusablePath(f"{option} {path} {wrong}")
    return path


def standard_input() -> str:
    """The text of standard input, read like a file whatever the locale is; for `-`, once.

    Raises:
        UnusablePath: it was read before, is closed, can't be read, or is not UTF-8.
    """
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise UnusablePath("- can't be read: standard input is closed, or another - has read it")
    try:
        content = sys.stdin.buffer.read()
    except OSError as error:
        told = f"- can't be read ({error.strerror}): give standard input a pipe or a file"
        raise UnusablePath(told) from error
    sys.stdin = None  # pyright: ignore[reportAttributeAccessIssue]
    return _text(content, "standard input")


def write_whole(option: str, path: Path, make: Callable[[], bytes], remedy: str = _REMEDY) -> int:
    """Write what `make` gives to a file, or leave that as it was; the number of bytes.

    That the file can be written is tried before `make` is called, which may do what is not done
    twice. A pipe or a device is written to in its place, as is what standard output goes to.

    Args:
        option: that names the file.
        path: of the file.
        make: gives the content.
        remedy: for where the content is there and can't be written.

    Raises:
        UnusablePath: the file can't be written. Content that could only not be moved to its place
            stays in a file beside it, which the message names.
    """
    if path.is_dir():
        with using(option, path, _REMEDY):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    is_output = _is_output(path)
    if is_output or (path.exists() and not path.is_file()):
        content = make()
        place = os.dup(sys.stdout.fileno()) if is_output else path
        with using(option, path, remedy), open(place, "wb") as file:
            return file.write(content)
    target = path.resolve()  # of a link; what a pipe resolves to, as /dev/stdout may, is no path
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    is_written = False
    with interruptible():
        try:
            with using(option, path, _REMEDY):
                draft.touch()
                if target.exists():  # who may not read that may not read the draft
                    draft.chmod(stat.S_IMODE(target.stat().st_mode) | stat.S_IWUSR)
            content = make()
            with using(option, path, remedy):
                draft.write_bytes(content)
                if target.exists():
                    shutil.copymode(target, draft)
                is_written = True
            with using(option, path, f"its content is in {draft}"):
                draft.replace(target)
        except BaseException as error:
            if not (is_written and isinstance(error, UnusablePath)):
                with contextlib.suppress(OSError):
                    draft.unlink(missing_ok=True)
            raise
    return len(content)


def tell_written(
    args: argparse.Namespace, path: Path, fields: Mapping[str, Any], plainly: Callable[[], None]
) -> None:
    """Answer what was written to `path`: on standard error where that is standard output.

    Raises:
        NotPrinted: the output does not take it.
    """
    with contextlib.ExitStack() as told:
        if _is_output(path):
            told.enter_context(contextlib.redirect_stdout(sys.stderr))
        answer(args, fields, plainly)


def _is_output(path: Path) -> bool:
    """Whether standard output goes to that file, pipe or device."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


def _text(content: bytes, what: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusablePath(f"{what} is not UTF-8 ({error.reason}): save it as UTF-8") from error
