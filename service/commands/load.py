"""`python -m service load`: a data set folder's streamers into a running service.

Resumable without a state file: the service skips a profile that it has stored like this already,
so the same command again continues where it was cut off.
"""

import argparse
import asyncio
import os
import stat
import sys
import time
from contextlib import aclosing, closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from service.client import AsyncClient, ClientError, NotAllowed, Unreachable
from service.client.models import BulkLineOut
from service.commands.answers import answer
from service.commands.arguments import (
    UnusableKey,
    UnusablePath,
    add_service,
    add_timeout,
    api_key,
    not_allowed,
    using,
    whole_number,
)
from service.commands.files import file_of_profiles
from service.commands.progress import Progress
from service.commands.questions.asking import patience_through_restarts
from service.commands.stopping import Interrupted, interruptible
from service.errors import in_one_line

_TIMEOUT_S = 120
"""A service that is restarted is waited for."""
_MAX_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to load, and where to."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="a data set folder, a .jsonl file, or a pipe"
    )
    add_service(parser)
    parser.add_argument(
        "--concurrency",
        type=whole_number(1, most=1024),
        default=4,
        help="requests under way at once (4); of several lines with one id, the last one stays for "
        "sure with 1 alone",
    )
    add_timeout(parser, _TIMEOUT_S, "longest wait for a service that does not answer")


def run(args: argparse.Namespace) -> int:
    """Load; 1 when a line was refused or the service could not be reached."""
    path: Path = args.data
    begin = time.monotonic()
    try:
        key, path = api_key(), file_of_profiles("DATA", path)
        is_missing = asyncio.run(_is_missing(args, key))
        # The signals raise, as asyncio would not look at them while a pipe is waited for; also
        # before the loading begins, hence `closing`.
        with (
            using("DATA", path, "give a file that can be read"),
            interruptible(),
            path.open("rb") as file,
            closing(_load(file, args, key, is_missing)) as loading,
        ):
            report = asyncio.run(loading)
    except Unreachable as error:
        said = "start the service, or give its address by --url"
        print(f"error: {in_one_line(error)}: {said}", file=sys.stderr)
        return 1
    except NotAllowed as error:
        print("error:", not_allowed(args.url, error.detail, error.status), file=sys.stderr)
        return 1
    except (ClientError, UnusableKey, UnusablePath) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    except Interrupted as stop:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return stop.status
    took_s = time.monotonic() - begin
    _print_errors(path, report)
    fields = {"stored": report.stored, **asdict(report), "took_s": round(took_s, 3)}
    answer(args, fields, lambda: _print_report(report, took_s))
    return 1 if report.errors else 0


@dataclass(frozen=True)
class _BadLine:
    line: int
    detail: str


@dataclass
class _Report:
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    without_content: int = 0
    errors: list[_BadLine] = field(default_factory=list[_BadLine])

    def add(self, result: BulkLineOut) -> None:
        if result.outcome == "error":
            detail = "refused" if result.error is None else result.error.detail
            self.errors.append(_BadLine(result.line, detail))
            return
        setattr(self, result.outcome, getattr(self, result.outcome) + 1)
        self.without_content += result.status == "insufficient_content"

    @property
    def stored(self) -> int:
        return self.created + self.updated + self.unchanged


async def _is_missing(args: argparse.Namespace, key: str | None) -> bool:
    """Whether the service has to be waited for; a wrong address is told before a line is read.

    It also imports what requests need, of which a signal that raises would make an error.
    """
    async with _client(args, key) as client:
        try:
            await client.health()
        except ClientError as error:
            if not error.is_passing:
                raise
            print(f"waiting for the service: {in_one_line(error)}", file=sys.stderr, flush=True)
            return True
    return False


def _client(args: argparse.Namespace, key: str | None) -> AsyncClient:
    return AsyncClient(args.url, key, patience=patience_through_restarts(args.timeout))


async def _load(
    file: BinaryIO, args: argparse.Namespace, key: str | None, is_missing: bool
) -> _Report:
    report, total = _Report(), _lines_of(file)
    async with _client(args, key) as client:
        with Progress("load", "lines") as progress:
            tell = partial(progress.to, total=total)
            results = client.load(file, at_once=args.concurrency, progress=tell)
            async with aclosing(results):
                async for result in results:
                    report.add(result)
        if is_missing and report == _Report():
            await client.health()  # nothing was sent that would have told
    return report


def _lines_of(file: BinaryIO) -> int:
    """How many lines a file has that can be read again; 0 of a pipe."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return 0
    total = sum(1 for _ in file)
    file.seek(0)
    return total


def _print_errors(path: Path, report: _Report) -> None:
    for bad in sorted(report.errors, key=lambda bad: bad.line)[:_MAX_SHOWN]:
        print(f"{path}:{bad.line}: {bad.detail}", file=sys.stderr)
    if len(report.errors) > _MAX_SHOWN:
        print(f"... and {len(report.errors) - _MAX_SHOWN} more bad lines", file=sys.stderr)


def _print_report(report: _Report, seconds: float) -> None:
    print(
        f"{report.stored} streamers stored in {seconds:.1f} s "
        f"({report.stored / max(seconds, 1e-9):.0f}/s): {report.created} new, {report.updated} "
        f"changed, {report.unchanged} were there already; {report.without_content} of the written "
        f"ones show nothing usable; {len(report.errors)} bad lines"
    )
