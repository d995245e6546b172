"""Answers of lists over HTTP: at once in the wanted format, or by a job."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from service.engine.work.lanes import Lane, Lanes
from service.features.jobs.accepting import DEFERRED, LongRequests, deferred
from service.features.lists.answers import (
    EXAMPLE_ROW,
    EXAMPLE_SUMMARY,
    ListAnswerOut,
    RunDetailOut,
)
from service.features.lists.formats.tables import plain
from service.features.lists.formats.writing import CSV, XLSX, written
from service.features.lists.jobs import KIND, asked_by_job
from service.features.lists.rows import BuiltList, Provenance
from service.features.lists.saved import SavedList
from service.features.lists.schemas import Format, ListQuestionIn, RunIn
from service.features.lists.service import Asker, Lists
from service.http.auth.callers import Caller, CurrentCaller
from service.http.auth.rate_limits import Charges, hits_units, inputs_units
from service.http.dependencies import service_named
from service.http.ndjson import NDJSON, line_of
from service.scopes import Scope
from service.settings import Limits
from service.store.once import Once

INCOMPLETE = "X-Incomplete-Because"
"""CSV has no place for it that every reader would pass over."""
WARNINGS = "X-Warnings"
_WARNINGS_CHARS, _WARNING_CHARS = 4000, 300
"""Of that header, and of each one in it: some proxies take 8,000 bytes of all headers."""
_EXACT_UNITS = 10
"""Of a rate limit, for looking at every streamer."""
FormatParameter = Annotated[
    Format,
    Query(
        alias="format",
        description="ndjson: a row per line, then the rest. csv: the rows alone, for spreadsheets. "
        "xlsx: an Excel workbook, with the question and where it comes from on a second sheet.",
    ),
]
CurrentLists = Annotated[Lists, Depends(service_named("lists", Lists))]
_FORMATS: dict[str, Any] = {
    "headers": {
        INCOMPLETE: {
            "description": "What the list lacks, in any format; missing where it is complete.",
            "schema": {"type": "string"},
        },
        WARNINGS: {
            "description": "The warnings of the list, in any format: a JSON array of texts, in "
            "ASCII, 4,000 characters at most; missing where there are none.",
            "schema": {"type": "string"},
        },
    },
    "content": {
        NDJSON: {
            "schema": {"type": "object"},
            "examples": {
                "lines": {"value": b"".join(map(line_of, (EXAMPLE_ROW, EXAMPLE_SUMMARY))).decode()}
            },
        },
        CSV: {
            "schema": {"type": "string"},
            "example": "rank,streamer_id,name,score\r\n1,w2522,Cat tree radio,0.96\r\n",
        },
        XLSX: {
            "schema": {"type": "string", "format": "binary"},
            "example": "PK: the bytes of a workbook",
        },
    },
}
ANSWERS: dict[int | str, dict[str, Any]] = DEFERRED | {
    200: {
        "model": ListAnswerOut,
        "description": "The list, in the format that was asked for.",
        **_FORMATS,
    }
}
KEPT: dict[int | str, dict[str, Any]] = {
    200: {
        "model": RunDetailOut,
        "description": "Whom it held, or in another format the list that it told.",
        **_FORMATS,
    }
}


async def current_asker(request: Request, caller: CurrentCaller) -> Asker:
    """Who asks, by what request."""
    return Asker(caller.key_id, caller.name, request.scope["request_id"])


CurrentAsker = Annotated[Asker, Depends(current_asker)]


def is_long(limits: Limits, question: ListQuestionIn) -> bool:
    """Whether a list is made by a job."""
    is_explained = question.explain == "full" and question.k > limits.max_explained
    return question.k > limits.max_k or is_explained


def charge(charges: Charges, caller: Caller, question: ListQuestionIn) -> None:
    """Charge what a list costs.

    Raises:
        MissingScope: reasons are asked for, and the caller may not have them.
        RateLimited: nothing is left of a limit.
    """
    if question.explain is not None:
        caller.require("explain")
    seeds = [*question.positive, *question.negative]
    profiles = sum(seed.profile is not None for seed in seeds)
    inputs = inputs_units(len(seeds), profiles)
    charges.reach("search", hits_units(question.k) + _EXACT_UNITS + inputs)
    if question.explain is not None:
        share = question.k if question.explain == "full" else hits_units(question.k)
        charges.reach("explain", share)


async def answer_now(
    make: Callable[[], Awaitable[tuple[BuiltList, Provenance]]],
    form: Format,
    lanes: Lanes,
    name: str,
) -> tuple[Response, BuiltList]:
    """A list as a response.

    Args:
        make: makes it.
        form: of the response.
        lanes: where it is written.
        name: of the file that a browser saves.
    """
    begin = time.perf_counter()
    built, by = await make()
    took_ms = (time.perf_counter() - begin) * 1000
    return await _as_response(built, by, form, lanes, name, took_ms), built


async def answer_kept(
    kept: tuple[BuiltList, Provenance], form: Format, lanes: Lanes, begin: float, lane: Lane
) -> Response:
    """A list that a run told as a response.

    Args:
        kept: the list, and whose run it was.
        form: of the response.
        lanes: where it is written.
        begin: of the request, by `time.perf_counter`.
        lane: of the work.
    """
    built, by = kept
    took_ms = (time.perf_counter() - begin) * 1000
    name = f"{by.list_name}-run-{by.run}"
    return await _as_response(built, by, form, lanes, name, took_ms, lane)


async def _as_response(
    built: BuiltList,
    by: Provenance,
    form: Format,
    lanes: Lanes,
    name: str,
    took_ms: float,
    lane: Lane = Lane.HEAVY,
) -> Response:
    made = await lanes.run_in_slices(written(built, by, form, took_ms), lane)
    headers: dict[str, str] = {}
    if form in ("csv", "xlsx"):
        headers["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    if (because := built.summary["incomplete_because"]) is not None:
        headers[INCOMPLETE] = plain(because).encode("ascii", "backslashreplace").decode()
    if warnings := built.summary["warnings"]:
        headers[WARNINGS] = in_header(warnings)
    return Response(made.content, media_type=made.media_type, headers=headers)


def in_header(warnings: Sequence[str]) -> str:
    """Warnings as JSON in ASCII: the first ones, and how many more there are."""
    told, more = [warning[:_WARNING_CHARS] for warning in warnings], list[str]()
    while len(text := json.dumps([*told, *more])) > _WARNINGS_CHARS:
        told.pop()
        more = [f"{len(warnings) - len(told)} more"]
    return text


async def answer_later(
    later: LongRequests,
    caller: Caller,
    by: Asker,
    form: Format,
    once: Once | None,
    question: ListQuestionIn,
    saved: SavedList | None = None,
    how: RunIn = RunIn(),  # noqa: B008 (immutable)
) -> Response:
    """A job in place of a list: of a question, or of the saved list that has it.

    Raises:
        MissingScope: the caller could not read what the job makes.
        TooManyJobs: too many are queued or kept.
    """
    caller.require("streamers:read")
    asked = asked_by_job(by, form, question, saved, how)
    scopes: list[Scope] = ["search"] if question.explain is None else ["search", "explain"]
    return deferred(await later.answer_later(KIND, asked, caller.key, once, scopes))
