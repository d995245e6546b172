"""Requests of cases.

Changes are not repeatable: once done, the case has another revision, and the same request is
refused as if somebody else had changed it. The key of an expansion finds its job, or its run for as
long as the case shows that; behind a later one, it is refused too.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from pydantic import TypeAdapter
from pydantic_core import to_json

from service.client.calls import Call, params_of, reader_of
from service.client.models import (
    CaseDetailOut,
    CaseEventPage,
    CaseOut,
    CasePage,
    DecidedOut,
    ExpandIn,
    JobOut,
    RanOut,
    UndoneOut,
    VerdictPage,
)

CaseVerdict = Literal["confirmed", "cleared", "unsure"]
CaseFormat = Literal["csv", "ndjson", "zip"]
_JSON = {"Content-Type": "application/json"}
_RAN: TypeAdapter[RanOut | JobOut] = TypeAdapter(RanOut | JobOut)
_AT_ONCE_OR_LATER = frozenset({200, 202})


def _path(case_id: str, rest: str = "") -> str:
    return f"/v1/cases/{quote(case_id, safe='')}{rest}"


def _if_match(revision: int) -> dict[str, str]:
    return {"If-Match": f'"{revision}"'}


def _once() -> dict[str, str]:
    return {"Idempotency-Key": f'"{uuid.uuid4()}"'}


def create(title: str, seeds: Sequence[str], exclude: Sequence[str]) -> Call[CaseOut]:
    """`POST /v1/cases`: sent again with its key, it begins no other one."""
    content = to_json({"title": title, "seeds": list(seeds), "exclude": list(exclude)})
    read = reader_of(CaseOut)
    return Call("POST", "/v1/cases", read, content=content, headers=_JSON | _once())


def page(limit: int, cursor: str | None) -> Call[CasePage]:
    """`GET /v1/cases`."""
    params = params_of(limit=limit, cursor=cursor)
    return Call("GET", "/v1/cases", reader_of(CasePage), params=params)


def case(case_id: str, limit: int, cursor: str | None) -> Call[CaseDetailOut]:
    """`GET /v1/cases/{case_id}`."""
    params = params_of(limit=limit, cursor=cursor)
    return Call("GET", _path(case_id), reader_of(CaseDetailOut), params=params)


def expand(
    case_id: str, revision: int, query: ExpandIn | Mapping[str, Any] | None
) -> Call[RanOut | JobOut]:
    """`POST /v1/cases/{case_id}:expand`."""
    asked = query.model_dump(exclude_unset=True) if isinstance(query, ExpandIn) else query or {}
    return Call(
        "POST",
        _path(case_id, ":expand"),
        _RAN.validate_json,
        content=to_json(asked),
        headers={**_JSON, **_if_match(revision), **_once()},
        is_repeatable=False,
        statuses=_AT_ONCE_OR_LATER,
    )


def rerun(case_id: str, revision: int) -> Call[RanOut | JobOut]:
    """`POST /v1/cases/{case_id}:rerun`."""
    return Call(
        "POST",
        _path(case_id, ":rerun"),
        _RAN.validate_json,
        headers={**_if_match(revision), **_once()},
        is_repeatable=False,
        statuses=_AT_ONCE_OR_LATER,
    )


def undo(case_id: str, revision: int) -> Call[UndoneOut]:
    """`POST /v1/cases/{case_id}:undo`."""
    path, headers = _path(case_id, ":undo"), _if_match(revision)
    return Call("POST", path, reader_of(UndoneOut), headers=headers, is_repeatable=False)


def decide(
    case_id: str, streamer_id: str, verdict: CaseVerdict, note: str, revision: int
) -> Call[DecidedOut]:
    """`PUT /v1/cases/{case_id}/members/{streamer_id}`."""
    path = _path(case_id, f"/members/{quote(streamer_id, safe=':')}")
    return Call(
        "PUT",
        path,
        reader_of(DecidedOut),
        content=to_json({"verdict": verdict, "note": note}),
        headers={**_JSON, **_if_match(revision)},
        is_repeatable=False,
    )


def verdicts(case_id: str, limit: int, cursor: str | None) -> Call[VerdictPage]:
    """`GET /v1/cases/{case_id}/verdicts`."""
    params = params_of(limit=limit, cursor=cursor)
    return Call("GET", _path(case_id, "/verdicts"), reader_of(VerdictPage), params=params)


def events(case_id: str, limit: int, cursor: str | None) -> Call[CaseEventPage]:
    """`GET /v1/cases/{case_id}/events`."""
    params = params_of(limit=limit, cursor=cursor)
    return Call("GET", _path(case_id, "/events"), reader_of(CaseEventPage), params=params)


def export(case_id: str, file_format: CaseFormat) -> Call[bytes]:
    """`GET /v1/cases/{case_id}/export`."""
    params = params_of(format=file_format)
    return Call("GET", _path(case_id, "/export"), bytes, params=params)


def delete(case_id: str, revision: int) -> Call[None]:
    """`DELETE /v1/cases/{case_id}`."""
    return Call(
        "DELETE",
        _path(case_id),
        lambda _: None,
        headers=_if_match(revision),
        is_repeatable=False,
        statuses=frozenset({204}),
    )
