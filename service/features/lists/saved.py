"""Saved questions for lists, and the last runs of each, with whom they held and what they told."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

from pydantic import BaseModel, TypeAdapter

from service.errors import InvalidRequest, ListConflict, ListNotFound, TooManyRecords
from service.features.lists.removal import run_without, told_without
from service.features.lists.schemas import KEPT_RUNS
from service.http.schemas import has_more_bytes
from service.store.base import ANY_STORED
from service.store.documents import Document, DocumentStore, Put, RevisionConflict, Unchanged

COLLECTION = "lists"
MOST_LISTS = 1000
MOST_BYTES = 256 << 10
"""Of a question that is kept, in a saved list or a job."""
_PAGE_LISTS, _PAGE_BYTES = 20, 256 << 10
"""Of a page, however many are asked for: they are read on the event loop."""
RUNS = "runs"
"""The document that names the runs of a list."""
_TOLD = "told-"


@dataclass(frozen=True)
class SavedList:
    """A saved question.

    Attributes:
        name: of the list.
        list_id: of this list: another one of the same name, saved after it was deleted, has its
            own runs.
        title: for people.
        question: as JSON has it.
        created_at: seconds since 1970.
        updated_at: when the question was saved last.
        key_id: of who saved it last.
        key_name: likewise.
        revision: of the document.
    """

    name: str
    list_id: str
    title: str
    question: Mapping[str, Any]
    created_at: float
    updated_at: float
    key_id: str
    key_name: str
    revision: int = 0


@dataclass(frozen=True)
class Run:
    """A run of a saved list; the fields are those of the API."""

    run: int
    at: float
    key_id: str
    key_name: str
    request_id: str
    rows: int
    new: int
    model_version: str
    index_sequence: int


Change = Callable[[bytes], bytes | None]
"""From the body of a document to the next one; None where it stays."""
_LIST = TypeAdapter(SavedList)
_KEPT = TypeAdapter(list[Run])


def kept_form(question: BaseModel, pointer: str = "") -> dict[str, Any]:
    """A question as it is kept; for a thread.

    Raises:
        InvalidRequest: it is too large to be kept.
    """
    if has_more_bytes(question, MOST_BYTES, compact=False):
        raise InvalidRequest.of(
            f"{pointer}/exclude/ids",
            f"the question has more than {MOST_BYTES} bytes, the most where it is kept, in a saved "
            "list or for a job: record who was written to (POST /v1/outreach), or exclude another "
            "saved list",
        )
    return question.model_dump(mode="json", exclude_unset=True, by_alias=True)


class SavedLists:
    """Keeps lists in the collection `lists`, and the runs of each in one of its own.

    That has a document `runs`, which names them, and for each run one with the ids that it held and
    one with what it told. The latter is missing of runs that an earlier release kept, and of those
    whose rows are too large to be kept.
    """

    def __init__(self, documents: DocumentStore, now: Callable[[], float] = time.time) -> None:
        """Keep them in `documents`."""
        self._documents = documents
        self._now = now

    async def get(self, name: str) -> SavedList:
        """A saved list.

        Raises:
            ListNotFound: there is none of this name.
        """
        (found,) = await self._documents.get(COLLECTION, [name])
        if found is None:
            raise ListNotFound(f"no list {name!r} is saved; GET /v1/lists has the names")
        return _list(found)

    async def page(self, after: str, limit: int) -> tuple[list[SavedList], str | None]:
        """Lists in order of their names, and what continues them."""
        limit = min(limit, _PAGE_LISTS)
        documents = await self._documents.page(COLLECTION, after or None, limit)
        sizes = accumulate(len(one.body) for one in documents)
        fit = max(1, sum(size <= _PAGE_BYTES for size in sizes))
        found = [_list(one) for one in documents[:fit]]
        is_last = fit >= len(documents) < limit
        return found, None if is_last else found[-1].name

    async def put(
        self,
        name: str,
        title: str,
        question: Mapping[str, Any],
        by: tuple[str, str],
        expected: Sequence[int],
    ) -> tuple[SavedList, bool]:
        """Save a question; the list, and whether there was none before.

        Args:
            name: of the list.
            title: for people.
            question: as JSON has it.
            by: id and name of the caller's key.
            expected: revisions of which the saved one must be one; 0 = there is none; () = any.

        Raises:
            ListConflict: it has another revision.
            TooManyRecords: so many lists are saved already.
        """
        while True:
            (found,) = await self._documents.get(COLLECTION, [name])
            before = None if found is None else _list(found)
            revision = 0 if before is None else before.revision
            _check_revision(name, revision, expected)
            if before is None and await self._documents.count(COLLECTION) >= MOST_LISTS:
                raise TooManyRecords(f"{MOST_LISTS} lists are saved already: delete one first")
            now = self._now()
            made = SavedList(
                name,
                secrets.token_hex(12) if before is None else before.list_id,
                title,
                question,
                now if before is None else before.created_at,
                now,
                *by,
            )
            try:
                put = Put(COLLECTION, name, as_json(asdict(made)), revision)
                (revision,) = await self._documents.change([put])
            except RevisionConflict:
                continue  # whoever was quicker is looked at
            return replace(made, revision=revision), before is None

    async def delete(self, name: str, expected: Sequence[int]) -> None:
        """Delete a list and its runs.

        Raises:
            ListNotFound: there is none.
            ListConflict: it has another revision.
        """
        while True:
            found = await self.get(name)
            _check_revision(name, found.revision, expected)
            gone, runs = Put(COLLECTION, name, None, found.revision), runs_of(found.list_id)
            try:
                await self._documents.change([gone], drops=[runs])
            except RevisionConflict:
                continue
            return

    async def runs(self, saved: SavedList) -> list[Run]:
        """The runs of a list that are kept, the newest first."""
        return (await self._kept(saved))[0]

    async def held(
        self, saved: SavedList, run: int | None, before: tuple[str, str] = ("", "")
    ) -> tuple[Run, list[str]] | None:
        """A run, the last one by default, and the ids that it held; None if there was none yet.

        Args:
            saved: the list.
            run: its number.
            before: key and request of a run; if it is kept, the last one means that before it.

        Raises:
            ListNotFound: the run is not kept.
        """
        runs = await self.runs(saved)
        if run is None:
            last = max((one.run for one in runs), default=0)
            made = (one.run for one in runs if (one.key_id, one.request_id) == before)
            run = next(made, last + 1) - 1
            if run == 0:
                return None
            if run < last and all(one.run != run for one in runs):
                raise ListNotFound(
                    f"this request made run {run + 1} of list {saved.name!r} already, and the run "
                    "before that, which it was compared with, is not kept any more: run it anew"
                )
        for one in runs:
            if one.run == run:
                (found,) = await self._documents.get(runs_of(saved.list_id), [_name(run)])
                if found is not None:
                    return one, json.loads(found.body)["ids"]
        kept = ", ".join(str(one.run) for one in runs) or "none"
        raise ListNotFound(f"run {run} of list {saved.name!r} is not kept; kept are: {kept}")

    async def told(self, saved: SavedList, run: int) -> bytes | None:
        """What a run told, as `add` was given it; None where that is not kept."""
        (found,) = await self._documents.get(runs_of(saved.list_id), [_told(run)])
        return None if found is None else found.body

    async def add(
        self, saved: SavedList, run: Run, ids: Sequence[str], told: bytes | None = None
    ) -> Run:
        """Keep a run, by the next number; of one request, by its id, only the first.

        The oldest that is kept makes room for it.

        Args:
            saved: the list.
            run: its number is not looked at.
            ids: that it holds, by rank.
            told: what it told, as `formats.kept` packs it.

        Raises:
            ListNotFound: the list was deleted meanwhile.
        """
        while True:
            now = await self.get(saved.name)
            if now.list_id != saved.list_id:
                raise ListNotFound(f"list {saved.name!r} was deleted while it was run")
            runs, revision = await self._kept(saved)
            for known in runs:
                if (known.key_id, known.request_id) == (run.key_id, run.request_id):
                    return known
            made = replace(run, run=1 + max((one.run for one in runs), default=0))
            kept, gone = [made, *runs][:KEPT_RUNS], runs[KEPT_RUNS - 1 :]
            where = runs_of(saved.list_id)
            puts = [
                # Runs of a list that is not there any more would be found by nobody.
                Unchanged(COLLECTION, saved.name, now.revision),
                Put(where, RUNS, as_json({RUNS: [asdict(one) for one in kept]}), revision),
                Put(where, _name(made.run), as_json({"ids": list(ids)})),
                *([] if told is None else [Put(where, _told(made.run), told)]),
                *(Put(where, name(one.run), None) for one in gone for name in (_name, _told)),
            ]
            try:
                await self._documents.change(puts)
            except RevisionConflict:
                continue
            return made

    async def take_out(self, saved: SavedList, run: Run, ids: Collection[str]) -> None:
        """Take streamers out of a run and of what it told, if that is kept still."""
        where, gone = runs_of(saved.list_id), frozenset(ids)
        stand_in = stand_in_of_erased()
        without = (of_json(partial(run_without, gone)), partial(told_without, gone, stand_in))
        while True:
            documents = await self._documents.get(where, [_name(run.run), _told(run.run)])
            puts: list[Put] = []
            for found, change in zip(documents, without, strict=True):
                if found is not None and (left := await changed(found.body, change)) is not None:
                    puts.append(Put(where, found.document_id, left, found.revision))
            if not puts:
                return
            try:
                await self._documents.change(puts)
            except RevisionConflict:
                continue  # another one was erased
            return

    async def _kept(self, saved: SavedList) -> tuple[list[Run], int]:
        (found,) = await self._documents.get(runs_of(saved.list_id), [RUNS])
        if found is None:
            return [], 0
        return _KEPT.validate_python(json.loads(found.body)[RUNS]), found.revision


def _check_revision(name: str, revision: int, expected: Sequence[int]) -> None:
    if not expected or revision in expected or (revision and ANY_STORED in expected):
        return
    state = f"is at revision {revision}" if revision else "is not saved"
    raise ListConflict(f"list {name!r} {state}; read it again and repeat the change")


def runs_of(list_id: str) -> str:
    """The collection of the runs of a list."""
    return f"{COLLECTION}:{list_id}"


def is_told(document_id: str) -> bool:
    """Whether a document of the runs of a list is what one of them told."""
    return document_id.startswith(_TOLD)


def stand_in_of_erased() -> str:
    """An id that nobody has, for where a question can't be without one."""
    return f"erased-{secrets.token_hex(8)}"


def of_json(change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Change:
    """A change of what the body of a document has as JSON."""

    def make(body: bytes) -> bytes | None:
        before = json.loads(body)
        after = change(before)
        return None if after == before else as_json(after)

    return make


async def changed(body: bytes, change: Change) -> bytes | None:
    """The body of a document after a change, None where that changes nothing.

    It is made in a thread: what a run told may have megabytes.
    """
    return await asyncio.to_thread(change, body)


def _name(run: int) -> str:
    return f"run-{run:010d}"


def _told(run: int) -> str:
    return f"{_TOLD}{run:010d}"


def _list(document: Document) -> SavedList:
    return replace(_LIST.validate_json(document.body), revision=document.revision)


def as_json(fields: Mapping[str, Any]) -> bytes:
    """The body of a document."""
    return json.dumps(fields, ensure_ascii=False).encode()
