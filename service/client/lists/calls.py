"""Requests of lists and of records of outreach."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic_core import to_json

from service.client.calls import Call, params_of, reader_of
from service.client.lines import Profile
from service.client.models import (
    JobOut,
    ListAnswerOut,
    ListDeletedOut,
    ListDetailOut,
    ListOut,
    ListPage,
    OutreachOut,
    OutreachPage,
    RunDetailOut,
)

Answer = TypeVar("Answer")
_JSON = {"Content-Type": "application/json"}
_JOB = b'{"job_id"'
_MADE = frozenset({200, 202})
_INCOMPLETE, _WARNINGS = "X-Incomplete-Because", "X-Warnings"


class ListFile(bytes):
    """A list as the bytes of a file.

    Attributes:
        incomplete_because: what it lacks, which CSV does not say; None where it is complete.
        warnings: what may be a mistake in the question, which CSV does not say either.
    """

    incomplete_because: str | None = None
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Made(Generic[Answer]):
    """A list, or the job that makes it."""

    answer: Answer | None
    job: JobOut | None


@dataclass(frozen=True)
class FileCall(Call[Made[ListFile]]):
    """A request for a file, of which headers tell what it lacks, and its warnings."""

    def answer(
        self, url: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> Made[ListFile]:
        """The answer of a complete response; see `Call.answer`."""
        made = super().answer(url, status, headers, body)
        if made.answer is not None:
            made.answer.incomplete_because = headers.get(_INCOMPLETE)
            if warnings := headers.get(_WARNINGS):
                made.answer.warnings = json.loads(warnings)
        return made


def as_file(call: Call[Made[ListFile]]) -> FileCall:
    """A call whose answer tells what the file lacks."""
    return FileCall(**vars(call))


def read_list(body: bytes) -> ListAnswerOut:
    """A list of JSON."""
    return reader_of(ListAnswerOut)(body)


def _reader(read: Callable[[bytes], Answer]) -> Callable[[bytes], Made[Answer]]:
    def made(body: bytes) -> Made[Answer]:
        if body.startswith(_JOB):
            return Made(None, reader_of(JobOut)(body))
        return Made(read(body), None)

    return made


def _at(name: str, rest: str = "") -> str:
    return f"/v1/lists/{quote(name, safe='')}{rest}"


def _if_revision(if_revision: int | None, only_new: bool = False) -> dict[str, str]:
    headers = {"If-None-Match": "*"} if only_new else {}
    return headers if if_revision is None else {**headers, "If-Match": f'"{if_revision}"'}


def preview(
    question: Profile, after_sequence: int, form: str, read: Callable[[bytes], Answer]
) -> Call[Made[Answer]]:
    """`POST /v1/lists:preview`."""
    fields = {**_by_name(question)}
    given = fields.get("after_sequence", 0)
    # The service tells what is wrong with any other.
    if isinstance(given, int) or (isinstance(given, float) and given.is_integer()):
        fields["after_sequence"] = max(int(given), after_sequence)
    headers = _JSON | {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    return Call(
        "POST",
        "/v1/lists:preview",
        _reader(read),
        params={"format": form},
        content=to_json(fields),
        headers=headers,
        statuses=_MADE,
    )


def run(
    name: str,
    how: Mapping[str, Any],
    after_sequence: int,
    form: str,
    read: Callable[[bytes], Answer],
) -> Call[Made[Answer]]:
    """`POST /v1/lists/{list_name}:run`; by its id, a request that is sent again is the same run."""
    named = uuid.uuid4().hex
    fields = {**how, "after_sequence": after_sequence or None}
    headers = _JSON | {"X-Request-Id": named, "Idempotency-Key": f'"{named}"'}
    return Call(
        "POST",
        _at(name, ":run"),
        _reader(read),
        params={"format": form},
        content=to_json({k: v for k, v in fields.items() if v is not None}),
        headers=headers,
        statuses=_MADE,
    )


def save(
    name: str, question: Profile, title: str, if_revision: int | None, only_new: bool
) -> Call[ListOut]:
    """`PUT /v1/lists/{list_name}`."""
    return Call(
        "PUT",
        _at(name),
        reader_of(ListOut),
        content=to_json({"title": title, "question": _by_name(question)}),
        headers=_JSON | _if_revision(if_revision, only_new),
        is_repeatable=if_revision is None and not only_new,
    )


def get(name: str) -> Call[ListDetailOut]:
    """`GET /v1/lists/{list_name}`."""
    return Call("GET", _at(name), reader_of(ListDetailOut))


def delete(name: str, if_revision: int | None) -> Call[ListDeletedOut]:
    """`DELETE /v1/lists/{list_name}`; sent again, it would delete a list saved anew meanwhile."""
    return Call(
        "DELETE",
        _at(name),
        reader_of(ListDeletedOut),
        headers=_if_revision(if_revision),
        is_repeatable=False,
    )


def page_of_lists(limit: int, cursor: str | None) -> Call[ListPage]:
    """`GET /v1/lists`."""
    params = params_of(limit=limit, cursor=cursor)
    return Call("GET", "/v1/lists", reader_of(ListPage), params=params)


def held(name: str, number: int, new_only: bool) -> Call[RunDetailOut]:
    """`GET /v1/lists/{list_name}/runs/{run}`."""
    params = params_of(new_only=new_only)
    return Call("GET", _at(name, f"/runs/{number}"), reader_of(RunDetailOut), params=params)


def held_as_file(name: str, number: int, form: str, new_only: bool) -> Call[Made[ListFile]]:
    """`GET /v1/lists/{list_name}/runs/{run}` in a format that is a file; no job makes it."""
    params = params_of(format=form, new_only=new_only)
    return Call("GET", _at(name, f"/runs/{number}"), _reader(ListFile), params=params)


def record_outreach(ids: Sequence[str], at: float | None, note: str) -> Call[OutreachOut]:
    """`POST /v1/outreach`: sent again with its key, it records nothing else."""
    fields: dict[str, Any] = {"ids": list(ids), "note": note}
    content = to_json(fields if at is None else {**fields, "at": at})
    headers = _JSON | {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    return Call("POST", "/v1/outreach", reader_of(OutreachOut), content=content, headers=headers)


def page_of_outreach(
    streamer_id: str | None, since: float | None, limit: int, cursor: str | None
) -> Call[OutreachPage]:
    """`GET /v1/outreach`."""
    params = params_of(streamer_id=streamer_id, since=since, limit=limit, cursor=cursor)
    return Call("GET", "/v1/outreach", reader_of(OutreachPage), params=params)


def delete_outreach(outreach_id: str) -> Call[OutreachOut]:
    """`DELETE /v1/outreach/{outreach_id}`."""
    path = f"/v1/outreach/{quote(outreach_id, safe='')}"
    return Call("DELETE", path, reader_of(OutreachOut), is_repeatable=False)


def _by_name(question: Profile) -> dict[str, Any]:
    """The fields of a question, as the API calls them."""
    if isinstance(question, Mapping):
        return dict(question)
    return question.model_dump(mode="json", exclude_unset=True, by_alias=True)
