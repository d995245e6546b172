"""`python -m service import`: what `encode` wrote into a running service, without encoding again.

Resumable without a state file: what is stored like this already is left alone, so the same command
again continues where it was cut off.
"""

import argparse
import json
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from service.client import Client, ClientError, Patience
from service.client.models import ImportResultOut
from service.commands.answers import answer
from service.commands.arguments import (
    UnusableKey,
    UnusablePath,
    add_service,
    api_key,
    not_allowed,
    using,
)
from service.commands.progress import Progress
from service.errors import ServiceError, in_one_line
from service.files.encoded import about

_PARQUET = "application/vnd.apache.parquet"
_BLOCK_BYTES = 1 << 20
_READ_S = 120
"""For the answer to an upload, which comes once it is on disk."""
_PATIENCE = Patience(deadline_s=120, attempts=12, longest_pause_s=16)
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


def run(args: argparse.Namespace) -> int:
    """Import the files one after the other; 1 when one can't be, or a row of it is refused."""
    begin = time.monotonic()
    results: dict[str, ImportResultOut] = {}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # there is something to say then
    try:
        for file in args.files:
            if not args.by_path:
                _check(file)
        _import(args, api_key(), results)
    except (ClientError, UnusableKey, UnusablePath, _Failed) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"stopped: {stop or 'run the same command again to continue'}", file=sys.stderr)
        return 130
    took_s = time.monotonic() - begin
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
    return 1 if totals["refused"] else 0


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
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with Client(args.url, key, patience=_PATIENCE) as client:
        for file in args.files:
            job_id: str | None = None
            try:
                job_id = (_named if args.by_path else _uploaded)(file, args.url, headers)
                print(f"{file}: job {job_id}", file=sys.stderr, flush=True)
                results[str(file)] = _waited(client, file, job_id)
            except ClientError as error:
                more = f"; {_goes_on(job_id, args.url)}" if job_id and error.is_passing else ""
                raise _Failed(f"{file}: {error}{more}") from error
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"{file} {_left(job_id, args.url)}") from None


def _waited(client: Client, file: Path, job_id: str) -> ImportResultOut:
    with Progress(f"import {file.name}", "streamers") as progress:
        return client.imports.wait(
            job_id, on_progress=lambda job: progress.to(job.progress.done, job.progress.total or 0)
        )


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


def _uploaded(file: Path, url: str, headers: dict[str, str]) -> str:
    """The job that imports an upload of the file."""
    with using("FILE", file, "give files that can be read"), file.open("rb") as opened:
        blocks: Iterator[bytes] = iter(lambda: opened.read(_BLOCK_BYTES), b"")
        return _queued(url, headers, params={"encoded": "true"}, content=blocks, kind=_PARQUET)


def _named(file: Path, url: str, headers: dict[str, str]) -> str:
    body = json.dumps({"path": str(file), "encoded": True}).encode()
    return _queued(url, headers, params={}, content=iter([body]), kind="application/json")


def _queued(
    url: str,
    headers: dict[str, str],
    *,
    params: dict[str, str],
    content: Iterator[bytes],
    kind: str,
) -> str:
    """The id of a job that was accepted.

    Raises:
        _Failed: it was not, or the service can't be reached.
    """
    more = {"Content-Type": kind, "Idempotency-Key": secrets.token_hex(16)}
    try:
        response = httpx.post(
            f"{url.rstrip('/')}/v1/jobs/imports",
            params=params,
            content=content,
            headers={**headers, **more},
            timeout=_READ_S,
        )
    except httpx.TransportError as error:
        raise _Failed(
            f"{url} can't be reached ({str(error) or type(error).__name__}): start the service, or "
            "give its address by --url"
        ) from error
    try:
        found: dict[str, Any] = response.json()
        if response.is_success:
            return str(found["job_id"])
        detail = str(found["detail"])
    except (ValueError, KeyError, TypeError):
        raise _Failed(
            f"{url} answers {response.status_code}: is this the address of the service?"
        ) from None
    if response.status_code in (401, 403):
        raise _Failed(not_allowed(url, detail, response.status_code))
    raise _Failed(detail)
