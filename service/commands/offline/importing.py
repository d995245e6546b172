"""`python -m service import`: what `encode` wrote into a running service, without encoding again.

Resumable without a state file: what is stored like this already is left alone, so the same command
again continues where it was cut off.
"""

import argparse
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.client import (
    Client,
    ClientError,
    NotAllowed,
    UnexpectedAnswer,
    Unreachable,
)
from service.client.models import ImportResultOut
from service.commands.answers import answer
from service.commands.arguments import (
    UnusableKey,
    UnusablePath,
    add_service,
    add_timeout,
    api_key,
    not_allowed,
    using,
)
from service.commands.progress import Progress
from service.commands.questions.asking import patience_through_restarts
from service.errors import ServiceError, in_one_line
from service.files.encoded import about

_TIMEOUT_S = 120
"""A service that is restarted is waited for."""
_SILENT_S = 30
"""A service gives no sign of a job that waits for up to a third of that."""
_SLOWEST = 100_000
"""Bytes per second of an upload that is not given up."""
_JOBS = "python -m service jobs"
_COUNTS = ("lines", "created", "updated", "unchanged", "refused", "without_content")


class _Failed(ServiceError):
    """A file can't be imported; says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to import, and where to."""
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="Parquet files that `encode` wrote"
    )
    parser.add_argument(
        "--by-path",
        action="store_true",
        help="name the files to the service, which reads them itself (STREAMER_JOBS__IMPORT_DIR), "
        "in place of uploads",
    )
    add_service(parser)
    told = "longest wait for a service that does not answer"
    add_timeout(parser, _TIMEOUT_S, told, least=_SILENT_S)


def run(args: argparse.Namespace) -> int:
    """Import the files one after the other; 1 when one can't be, or a row of it is refused."""
    begin = time.monotonic()
    results: dict[str, ImportResultOut] = {}
    said: str | None = None
    status = 0
    signal.signal(signal.SIGINT, signal.default_int_handler)  # there is something to say then
    try:
        for file in args.files:
            if not args.by_path:
                _check(file)
        _import(args, api_key(), results)
    except (ClientError, UnusableKey, UnusablePath, _Failed) as error:
        status, said = 1, f"error: {in_one_line(error)}"
    except KeyboardInterrupt as stop:
        status, said = 130, f"stopped: {stop or 'run the same command again to continue'}"
    if results:  # those before the one that failed are imported all the same
        _tell(args, results, time.monotonic() - begin)
    if said is not None:
        print(said, file=sys.stderr)
    return status or int(any(result.refused for result in results.values()))


def _tell(args: argparse.Namespace, results: dict[str, ImportResultOut], took_s: float) -> None:
    totals = {name: sum(getattr(r, name) for r in results.values()) for name in _COUNTS}
    files = [{"path": path, **result.model_dump()} for path, result in results.items()]
    for path, result in results.items():
        for bad in result.refused_lines:
            print(f"{path}: row {bad.line}: {bad.error.detail}", file=sys.stderr)
    fields: dict[str, Any] = {**totals, "files": files, "took_s": round(took_s, 3)}
    said = (
        f"{totals['lines']} streamers in {took_s:.1f} s ({totals['lines'] / max(took_s, 1e-9):.0f}"
        f"/s): {totals['created']} new, {totals['updated']} changed, {totals['unchanged']} were "
        f"there already, {totals['refused']} refused"
    )
    answer(args, fields, lambda: print(said))


def _check(file: Path) -> None:
    with using("FILE", file, "give Parquet files that `python -m service encode` wrote"):
        if about(file) is None:
            raise _Failed(
                f"{file} was not written by `python -m service encode`: encode it first, or import "
                "profiles by POST /v1/jobs/imports"
            )


def _import(args: argparse.Namespace, key: str | None, results: dict[str, ImportResultOut]) -> None:
    """Import the files; an interruption says what goes on in the service.

    Without asyncio: there, Ctrl-C would wait for the end of an upload, and lose its job.
    """
    patience = replace(patience_through_restarts(args.timeout), attempt_s=args.timeout)
    with Client(args.url, key, patience=patience) as client:
        for file in args.files:
            job_id: str | None = None
            try:
                job_id = _queued(client, args, file)
                print(f"{file}: job {job_id}", file=sys.stderr, flush=True)
                results[str(file)] = _waited(client, file, job_id)
            except NotAllowed as error:
                raise _Failed(not_allowed(args.url, error.detail, error.status)) from error
            except ClientError as error:
                raise _Failed(f"{file}: {error}{_then(error, job_id, args.url)}") from error
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"{file} {_left(job_id, args.url)}") from None


def _waited(client: Client, file: Path, job_id: str) -> ImportResultOut:
    with Progress(f"import {file.name}", "streamers") as progress:
        return client.imports.wait(
            job_id, on_progress=lambda job: progress.to(job.progress.done, job.progress.total or 0)
        )


def _then(error: ClientError, job_id: str | None, url: str) -> str:
    """What to do where a file failed, as far as the error does not tell it."""
    if job_id is not None:
        is_cut = error.is_passing or isinstance(error, Unreachable)
        return f"; {_goes_on(job_id, url)}" if is_cut else ""
    if isinstance(error, Unreachable) and not error.is_in_doubt:
        return ": start the service, or give its address by --url"
    is_other = isinstance(error, UnexpectedAnswer) and not error.is_passing
    return f"; it {_left(None, url)}" if error.is_in_doubt and not is_other else ""


def _left(job_id: str | None, url: str) -> str:
    """What became of a file whose import was interrupted."""
    if job_id is not None:
        return f"is not imported yet; {_goes_on(job_id, url)}"
    return (
        f"was being sent; if all of it had arrived, `{_JOBS} list --url {url}` shows its job, "
        "which goes on; run the same command again to continue"
    )


def _goes_on(job_id: str, url: str) -> str:
    return (
        f"the job {job_id} goes on in the service: follow it by `{_JOBS} watch {job_id} --url "
        f"{url}`, end it by `{_JOBS} cancel {job_id} --url {url}`; run the same command again to "
        "continue"
    )


def _queued(client: Client, args: argparse.Namespace, file: Path) -> str:
    """The id of the job that imports a file, sent as often as it takes; one job in any case.

    Raises:
        ClientError: it was not queued, or nobody knows.
        UnusablePath: the file can't be read.
    """
    with using("FILE", file, "give files that can be read"):
        if args.by_path:
            return client.imports.start_file(str(file), encoded=True).job_id
        longest_s = args.timeout + file.stat().st_size / _SLOWEST
        return client.imports.start_upload(file, encoded=True, deadline_s=longest_s).job_id
