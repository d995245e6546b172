"""`python -m service load`: a data set folder's streamers into a running service.

Resumable without a state file: the service skips a profile that it has stored like this already,
so the same command again continues where it was cut off.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from service.commands.arguments import UnusablePath, address, api_key, using, whole_number
from service.errors import in_one_line

CHUNK_LINES = 256
CHUNK_BYTES = 4 << 20
_NDJSON = "application/x-ndjson"
_RETRIES_S = (0.2, 0.5, 1, 2, 4, 8, 16)
_MAX_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to load, and where to."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="a data set folder, or a .jsonl file"
    )
    parser.add_argument(
        "--url", type=address, default="http://127.0.0.1:8000", help="of the service"
    )
    parser.add_argument(
        "--api-key",
        type=api_key,
        default=os.environ.get("STREAMER_API_KEY"),
        help="of the service (STREAMER_API_KEY)",
    )
    parser.add_argument(
        "--concurrency",
        type=whole_number(1, most=1024),
        default=4,
        help="requests under way at once",
    )


def run(args: argparse.Namespace) -> int:
    """Load; 1 when a line was refused or the service could not be reached."""
    path: Path = args.data / "streamers.jsonl" if args.data.is_dir() else args.data
    begin = time.monotonic()
    try:
        with using("DATA", path, "give a data set folder with streamers.jsonl, or a .jsonl file"):
            report = asyncio.run(_load(path, args.url, args.api_key, args.concurrency))
    except (_Unreachable, UnusablePath) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return 130
    seconds = time.monotonic() - begin
    _print_report(path, report, seconds)
    return 1 if report.errors else 0


@dataclass
class _Report:
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    without_content: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def add(self, first_line: int, result: dict[str, Any]) -> None:
        outcome = result["outcome"]
        if outcome == "error":
            where = first_line + result["line"] - 1
            self.errors.append((where, result["error"]["detail"]))
            return
        setattr(self, outcome, getattr(self, outcome) + 1)
        self.without_content += result.get("status") == "insufficient_content"

    @property
    def stored(self) -> int:
        return self.created + self.updated + self.unchanged


class _Unreachable(Exception):
    """The service is not there, or does not take the data; says what to do."""


class _Progress:
    """A bar on a terminal, at most ten lines elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bar = tqdm(total=total, unit="streamer", desc="load", leave=False, disable=None)

    def add(self, lines: int) -> None:
        tenths = 10 * self._done // self._total
        self._done += lines
        self._bar.update(lines)
        if self._bar.disable and 10 * self._done // self._total > tenths:
            print(f"load: {self._done} of {self._total} lines", file=sys.stderr, flush=True)

    def close(self) -> None:
        self._bar.close()


def _chunks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """(number of the first line, lines), each chunk small enough for one request."""
    lines: list[bytes] = []
    size, first = 0, 1
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if lines and (len(lines) == CHUNK_LINES or size + len(line) > CHUNK_BYTES):
                yield first, lines
                lines, size, first = [], 0, number
            lines.append(line if line.endswith(b"\n") else line + b"\n")
            size += len(line)
    if lines:
        yield first, lines


async def _load(path: Path, url: str, api_key: str | None, concurrency: int) -> _Report:
    report, task = _Report(), asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    with path.open("rb") as file:
        total = sum(1 for _ in file)
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        await _check_reachable(client)
        progress = _Progress(total)
        running: set[asyncio.Task[None]] = set()

        async def send(first: int, lines: list[bytes]) -> None:
            for result in await _send(client, lines):
                report.add(first, result)
            progress.add(len(lines))

        try:
            for first, lines in _chunks(path):
                running.add(asyncio.create_task(send(first, lines)))
                if len(running) >= concurrency:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            for task in running:
                await task
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            progress.close()
    return report


async def _check_reachable(client: httpx.AsyncClient) -> None:
    """Tell a wrong address at once; a service that goes away later is waited for.

    Raises:
        _Unreachable: nobody answers there.
    """
    try:
        await client.get("/livez")
    except httpx.TransportError as error:
        raise _Unreachable(
            f"{client.base_url} can't be reached ({str(error) or type(error).__name__}): start the "
            "service, or give its address by --url"
        ) from error


async def _send(client: httpx.AsyncClient, lines: list[bytes]) -> list[dict[str, Any]]:
    """Results of one chunk; lines that met a passing trouble are sent again."""
    results: dict[int, dict[str, Any]] = {}
    waiting: list[int] = list(range(len(lines)))
    reason = ""
    for pause_s in (*_RETRIES_S, None):
        answers, reason = await _post(client, [lines[i] for i in waiting])
        again: list[int] = []
        for answer in answers:
            place = waiting[int(answer["line"]) - 1]
            if answer["outcome"] == "error" and answer["error"]["status"] >= 500:
                reason = answer["error"]["detail"]
                again.append(place)
            else:
                results[place] = {**answer, "line": place + 1}
        answered = {waiting[int(answer["line"]) - 1] for answer in answers}
        blank = {i for i in waiting if not lines[i].strip()}
        again += [i for i in waiting if i not in answered and i not in blank]
        if not again:
            return list(results.values())
        waiting = sorted(again)
        if pause_s is None:
            break
        await asyncio.sleep(pause_s)
    raise _Unreachable(
        f"{client.base_url} does not take the data: {reason}; run the same command again to "
        "continue"
    )


async def _post(client: httpx.AsyncClient, lines: list[bytes]) -> tuple[list[dict[str, Any]], str]:
    """Result lines, fewer than were sent when the answer was cut off, and why.

    Raises:
        _Unreachable: the service refused the request as a whole; again would not help.
    """
    try:
        response = await client.post(
            "/v1/streamers:bulk",
            params={"skip_unchanged": "true"},
            content=b"".join(lines),
            headers={"Content-Type": _NDJSON},
        )
    except httpx.TransportError as error:
        return [], str(error) or type(error).__name__
    if response.status_code >= 500:
        return [], _detail(response)
    if response.status_code == 401:
        raise _Unreachable(
            f"{client.base_url} needs an API key: give its key by --api-key or STREAMER_API_KEY"
        )
    if response.status_code == 403:
        raise _Unreachable(
            f"{client.base_url} refuses the API key ({_detail(response)}): give one with the scope "
            "streamers:write by --api-key or STREAMER_API_KEY"
        )
    if response.headers.get("content-type") != _NDJSON:
        raise _Unreachable(
            f"{client.base_url} answers {response.status_code}: {_detail(response)}; is this the "
            "address of the service?"
        )
    lines = response.content.split(b"\n")  # not splitlines: JSON may hold other line separators
    return [json.loads(line) for line in lines if line], "the answer was cut off"


def _detail(response: httpx.Response) -> str:
    """What a problem document says, or the start of whatever else was answered."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _print_report(path: Path, report: _Report, seconds: float) -> None:
    for number, detail in sorted(report.errors)[:_MAX_SHOWN]:
        print(f"{path}:{number}: {detail}", file=sys.stderr)
    if len(report.errors) > _MAX_SHOWN:
        print(f"... and {len(report.errors) - _MAX_SHOWN} more bad lines", file=sys.stderr)
    print(
        f"{report.stored} streamers stored in {seconds:.1f} s "
        f"({report.stored / max(seconds, 1e-9):.0f}/s): {report.created} new, {report.updated} "
        f"changed, {report.unchanged} were there already; {report.without_content} of the written "
        f"ones show nothing usable; {len(report.errors)} bad lines"
    )
