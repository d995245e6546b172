"""`python -m service jobs`: list, show, watch, cancel and retry jobs of a running service."""

import argparse
import importlib.util
import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

import httpx

from service.client.lines import EVENTS
from service.commands.answers import Cell, answer, print_rows, show
from service.commands.arguments import UnusableKey, add_service, api_key, not_allowed, whole_number
from service.commands.questions.moments import shown
from service.errors import in_one_line

_PAUSES_S = (0.2, 0.5, 1, 2, 4, 8, 16)
_FINISHED = ("succeeded", "failed", "cancelled")
_READ_S = 60
"""Several times the service's heartbeat: a stream that is silent for longer is broken."""


class _Failed(Exception):
    """The service is not there, or refuses; says why."""


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


def _job_id(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{28}", text):
        raise argparse.ArgumentTypeError(
            f"must be the id of a job, 28 hex digits, not {text[:40]!r}; `jobs list` shows them"
        )
    return text


def run(args: argparse.Namespace) -> int:
    """Do it; 1 when the service refuses, can't be reached, or the watched job did not succeed."""
    try:
        key = api_key()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=args.url, headers=headers, timeout=_READ_S) as client:
            if args.action == "list":
                page = _ask(client, "GET", "/v1/jobs", params={"limit": args.limit})
                answer(args, page, lambda: _show(page["jobs"]))
                return 0
            if args.action == "rebuild-index":
                job = _ask(client, "POST", "/v1/index:rebuild")
                answer(args, job, lambda: print(f"{job['job_id']} {_state(job)}"))
                return 0
            path = f"/v1/jobs/{args.job_id}"
            if args.action == "watch":
                return _watch(client, path)
            if args.action != "show":
                job = _ask(client, "POST", f"{path}:{args.action}")
                answer(args, job, lambda: print(f"{job['job_id']} {_state(job)}"))
                return 0
            job = _ask(client, "GET", path)
            show(lambda: print(json.dumps(job, indent=2, ensure_ascii=False)))
            return 0
    except (_Failed, UnusableKey) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _ask(client: httpx.Client, method: str, path: str, **options: Any) -> dict[str, Any]:
    """The JSON that the service answers.

    Raises:
        _Failed: it refuses, or can't be reached.
    """
    try:
        response = client.request(method, path, **options)
    except httpx.TransportError as error:
        raise _unreachable(client, error) from error
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
    return _Failed(
        f"{client.base_url} answers {response.status_code}: is this the address of the service?"
    )


def _unreachable(client: httpx.Client, error: Exception) -> _Failed:
    return _Failed(
        f"{client.base_url} can't be reached ({str(error) or type(error).__name__}): start the "
        "service, or give its address by --url"
    )


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
        rows.append([job["job_id"], job["kind"], _state(job), done, total, created])
    print_rows(["job", "kind", "state", "done", "total", "created"], rows)


def _state(job: dict[str, Any]) -> str:
    return "cancelling" if job["cancelling"] else job["state"]


def _watch(client: httpx.Client, path: str) -> int:
    """Show a job's progress to its end: a bar on a terminal, lines elsewhere."""
    progress = _Progress()
    job: dict[str, Any] = {}
    try:
        for job in _events(client, path):
            progress.show(job)
    finally:
        progress.close()
    if job["state"] == "succeeded":
        show(lambda: print(json.dumps(job["result"], indent=2, ensure_ascii=False)))
        return 0
    if job["state"] == "cancelled":
        print(f"error: the job {job['job_id']} was cancelled", file=sys.stderr)
    else:
        why = "" if job["error"] is None else f": {job['error']['detail']}"
        print(f"error: the job {job['job_id']} has failed{why}", file=sys.stderr)
    return 1


def _events(client: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    """The job at every change, the finished one last; through restarts of the service.

    Raises:
        _Failed: it refuses, or can't be reached for about 30 s.
    """
    last: str | None = None
    pauses = iter(_PAUSES_S)
    while True:
        headers = {} if last is None else {"Last-Event-ID": last}
        trouble: _Failed
        try:
            with client.stream("GET", f"{path}/events", headers=headers) as response:
                if response.status_code not in (200, 503):
                    response.read()
                    raise _refused(client, response)
                if response.is_success and EVENTS not in response.headers.get("content-type", ""):
                    raise _not_the_service(client, response)
                trouble = _Failed(f"{client.base_url} does not show the job at the moment")
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        last = value
                    elif name == "data" and response.status_code == 200:
                        job: dict[str, Any] = json.loads(value)
                        pauses = iter(_PAUSES_S)
                        yield job
                        if job["state"] in _FINISHED:
                            return
        except httpx.TransportError as error:
            trouble = _unreachable(client, error)
        pause_s = next(pauses, None)
        if pause_s is None:
            raise trouble
        time.sleep(pause_s)


class _Progress:
    """A bar on a terminal; elsewhere a line for each change of state and each tenth.

    Lines also where tqdm is not installed: the extra `client` does not bring it.
    """

    def __init__(self) -> None:
        self._draws = sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
        self._bar: Any = None
        self._said: tuple[str, int] | None = None

    def show(self, job: dict[str, Any]) -> None:
        done, total = job["progress"]["done"], job["progress"]["total"]
        if self._draws:
            self._draw(job, done, total)
            return
        said = (_state(job), 10 * done // total if total else 0)
        if said != self._said:
            self._said = said
            of = "" if total is None else f" of {total}"
            print(f"{job['kind']}: {said[0]}, {done}{of}", file=sys.stderr, flush=True)

    def _draw(self, job: dict[str, Any], done: int, total: int | None) -> None:
        if self._bar is None:
            from tqdm import tqdm

            unit = "line" if job["kind"] == "import" else "streamer"
            self._bar = tqdm(total=total, initial=done, unit=unit, leave=False)
        self._bar.total = total
        self._bar.set_description(f"{job['kind']} {_state(job)}", refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
