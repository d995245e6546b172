"""What a run told, as the document that is kept of it, and a list again of that.

The document is a line of JSON with what is told of all, and one of each row: each is read by
itself, since the parser keeps every other thread waiting.
"""

import json
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic_core import to_json

from service.features.lists.rows import BuiltList, ListRow, grouped
from service.features.lists.schemas import ListQuestionIn

MOST_BYTES: Final = 2 << 20
"""Of the rows of one run: ten thousand of a few short fields."""
HELD_ALONE = (
    "of this run only whom it held is kept, since an earlier release kept it or its rows were too "
    "large: all columns but rank and streamer_id are empty"
)
_COLUMNS: Final = (
    "rank",
    "streamer_id",
    "score",
    "precision",
    "fields",
    "group",
    "copies",
    "more_copies",
    "why",
    "beyond_stop",
    "is_new",
)
"""Of a row; its full reasons are as large as all the rest, and in no table."""


def packed(
    built: BuiltList, held: Collection[str], previous_run: int | None
) -> Generator[None, None, bytes | None]:
    """The document of what a run told, made a row at a time; None where it would be too large.

    Args:
        built: the list.
        held: ids of those of its rows that are kept.
        previous_run: that it was compared with.
    """
    left, rows = frozenset(held), list[bytes]()
    size = 0
    for row in built.held:
        if row.streamer_id in left:
            cells = [getattr(row, name) for name in _COLUMNS]
            cells[_COLUMNS.index("fields")] = [*row.fields.values()]
            rows.append(to_json(cells))
            size += len(rows[-1])
        if size > MOST_BYTES:
            return None
        yield
    told: dict[str, Any] = {
        "question": built.question.model_dump(mode="json", exclude_unset=True, by_alias=True),
        "previous_run": previous_run,
        "summary": {**built.summary, "groups": []},  # which are counted anew, of whom it holds then
        "fields": list(dict.fromkeys(built.question.fields)),
        "columns": _COLUMNS,
    }
    return b"\n".join([to_json(told), *rows])


def unpacked(
    document: bytes, held: Collection[str]
) -> Generator[None, None, tuple[BuiltList, int | None]]:
    """The list that a run told, made a row at a time, and the run that it was compared with.

    Args:
        document: as `packed` made it.
        held: whom the run holds still; rows of others are left out.
    """
    first, *lines = document.split(b"\n")
    told: Mapping[str, Any] = json.loads(first)
    yield
    left, rows = frozenset(held), list[ListRow]()
    for line in lines:
        given: dict[str, Any] = dict(zip(told["columns"], json.loads(line), strict=True))
        if given["streamer_id"] in left:
            given["fields"] = dict(zip(told["fields"], given["fields"], strict=True))
            rows.append(ListRow(**given))
        yield
    question = ListQuestionIn.model_validate(told["question"])
    summary = {"reached": None, **told["summary"]}  # which an earlier release did not tell
    whole = BuiltList(question, rows, rows, 0, summary)
    return _of_rows(whole, rows), told["previous_run"]


def new_of(built: BuiltList) -> BuiltList:
    """A list that was made again, of those rows alone that the run before did not have."""
    return _of_rows(built, [row for row in built.held if row.is_new])


def bare(
    question: ListQuestionIn, held: Sequence[str], model_version: str, index_sequence: int
) -> BuiltList:
    """The list of a run of which only whom it held is kept.

    Args:
        question: that has the columns; the one that was asked is not known.
        held: by rank.
        model_version: of the run.
        index_sequence: likewise.
    """
    rows = [
        ListRow(rank, one, None, None, {}, beyond_stop=None)
        for rank, one in enumerate(held, start=1)
    ]
    summary: dict[str, Any] = {
        "groups": [],
        "stop": None,
        "reached": None,
        "left_out": None,
        "complete": False,
        "incomplete_because": HELD_ALONE,
        "model_version": model_version,
        "index_sequence": index_sequence,
        "warnings": [],
        "coverage": None,
    }
    return BuiltList(question, rows, rows, 0, summary, is_bare=True)


def _of_rows(built: BuiltList, rows: Sequence[ListRow]) -> BuiltList:
    """A list with these rows, in the order in which they are told, and what is counted of them."""
    summary: dict[str, Any] = {**built.summary, "groups": []}
    told = list(rows)
    if built.question.group_by is not None:
        told, summary["groups"] = grouped(rows)
    stop: Mapping[str, Any] | None = summary["stop"]
    if stop is not None and stop["min_score"] is not None:
        within = sum(not row.beyond_stop for row in rows)
        summary["stop"] = {**stop, "rows_within": within}
    new = sum(bool(row.is_new) for row in rows)
    return replace(built, rows=told, new=new, summary=summary)
