"""`python -m service jobs`: list, show, watch, cancel and retry jobs of a running service."""

import argparse
import importlib.util
import json
import re
import sys
from typing import Any, cast

import httpx

from service.client import Client
from service.client.connections import headers_of, http_of
from service.client.errors import ClientError, UnexpectedAnswer, Unreachable, connection_errors
from service.client.models import JobOut
from service.commands.answers import Cell, answer, print_rows, show
from service.commands.arguments import (
    UnusableKey,
    add_service,
    add_timeout,
    api_key,
    not_allowed,
    whole_number,
)
from service.commands.questions.asking import TIMEOUT_S, with_client
from service.commands.questions.moments import shown
from service.errors import in_one_line

_READ_S = 60


class _Failed(Exception):
    """The service refuses; says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which job of which service."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the newest jobs, one a line")
    listing.add_argument("--limit", type=whole_number(1, most=1000), default=20, help="most jobs")
    for name, summary in (
        ("show", "one job, as JSON"),
        ("watch", "follow a job to its end; the status is 0 if it succeeded"),
        ("cancel", "cancel a job that is queued or running"),
        ("retry", "queue a failed or cancelled job again"),
    ):
        action = actions.add_parser(name, help=summary, description=summary.capitalize() + ".")
        action.add_argument("job_id", type=_job_id, metavar="ID", help="of the job")
    summary = "rebuild the index of the replica that answers, from the store; prints the job"
    actions.add_parser("rebuild-index", help=summary, description=summary.capitalize() + ".")
    for action in actions.choices.values():
        add_service(action)
    told = "longest wait for a service that does not answer, 30 s at least"
    add_timeout(actions.choices["watch"], TIMEOUT_S, told)


def _job_id(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{28}", text):
        raise argparse.ArgumentTypeError(
            f"must be the id of a job, 28 hex digits, not {text[:40]!r}; `jobs list` shows them"
        )
    return text


def run(args: argparse.Namespace) -> int:
    """Do it; 1 when the service refuses, can't be reached, or the watched job did not succeed."""
    if args.action == "watch":
        return _watch(args)
    try:
        key = api_key()
        given = {"base_url": args.url, "headers": headers_of(key), "timeout": _READ_S}
        with http_of(args.url, **given) as client:
            if args.action == "list":
                page = _ask(client, "GET", "/v1/jobs", params={"limit": args.limit})
                answer(args, page, lambda: _show(page["jobs"]))
                return 0
            if args.action == "rebuild-index":
                job = _ask(client, "POST", "/v1/index:rebuild")
                answer(args, job, lambda: print(f"{job['job_id']} {_state(job)}"))
                return 0
            path = f"/v1/jobs/{args.job_id}"
            if args.action != "show":
                job = _ask(client, "POST", f"{path}:{args.action}")
                answer(args, job, lambda: print(f"{job['job_id']} {_state(job)}"))
                return 0
            job = _ask(client, "GET", path)
            show(lambda: print(json.dumps(job, indent=2, ensure_ascii=False)))
            return 0
    except Unreachable as error:
        said = "start the service, or give its address by --url"
        print(f"error: {in_one_line(error)}: {said}", file=sys.stderr)
        return 1
    except (_Failed, ClientError, UnusableKey) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _ask(client: httpx.Client, method: str, path: str, **options: Any) -> dict[str, Any]:
    """The JSON that the service answers.

    Raises:
        ClientError: it can't be reached.
        _Failed: it refuses.
    """
    with connection_errors(str(client.base_url)):
        response = client.request(method, path, **options)
    if not response.is_success:
        raise _refused(client, response)
    try:
        found: Any = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"jobs", "job_id"} & found.keys():
        raise _not_the_service(client, response)
    return cast("dict[str, Any]", found)


def _not_the_service(client: httpx.Client, response: httpx.Response) -> _Failed:
    said = UnexpectedAnswer(str(client.base_url), response.status_code, response.content)
    return _Failed(str(said))


def _refused(client: httpx.Client, response: httpx.Response) -> _Failed:
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return _not_the_service(client, response)
    if response.status_code in (401, 403):
        return _Failed(not_allowed(str(client.base_url), detail, response.status_code))
    return _Failed(detail)


def _show(jobs: list[dict[str, Any]]) -> None:
    rows: list[list[Cell]] = []
    for job in jobs:
        done, total = job["progress"]["done"], job["progress"]["total"]
        created = shown(job["created_at"])
        key = job.get("key_name")  # an earlier release tells none
        rows.append([job["job_id"], job["kind"], _state(job), done, total, created, key])
    print_rows(["job", "kind", "state", "done", "total", "created", "key"], rows)


def _state(job: dict[str, Any]) -> str:
    return "cancelling" if job["cancelling"] else job["state"]


def _now(job: JobOut) -> str:
    return "cancelling" if job.cancelling else job.state


def _watch(args: argparse.Namespace) -> int:
    """Show a job's progress to its end: a bar on a terminal, lines elsewhere.

    It goes on through restarts of the service, until nothing is heard of it for `--timeout`.
    """
    progress = _Progress()

    def do(client: Client) -> None:
        try:
            job = client.jobs.wait(args.job_id, on_progress=progress.show)
        finally:
            progress.close()
        show(lambda: print(json.dumps(job.result, indent=2, ensure_ascii=False)))

    return with_client(args, do)


class _Progress:
    """A bar on a terminal; elsewhere a line for each change of state and each tenth.

    Lines also where tqdm is not installed: the extra `client` does not bring it.
    """

    def __init__(self) -> None:
        self._draws = sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
        self._bar: Any = None
        self._said: tuple[str, int] | None = None

    def show(self, job: JobOut) -> None:
        done, total = job.progress.done, job.progress.total
        if self._draws:
            self._draw(job, done, total)
            return
        said = (_now(job), 10 * done // total if total else 0)
        if said != self._said:
            self._said = said
            of = "" if total is None else f" of {total}"
            print(f"{job.kind}: {said[0]}, {done}{of}", file=sys.stderr, flush=True)

    def _draw(self, job: JobOut, done: int, total: int | None) -> None:
        what = f"{job.kind} {_now(job)}"
        if self._bar is None:
            from tqdm import tqdm

            unit = "line" if job.kind == "import" else "streamer"
            self._bar = tqdm(total=total, initial=done, unit=unit, desc=what, leave=False)
        self._bar.total = total
        self._bar.set_description(what, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
