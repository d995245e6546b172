"""Cases in the store of documents.

cases                 one document a case
cases:CASE            a document for each verdict, by streamer; its log is that of the case
cases:CASE:RUN        what a run found: members in parts, copies of profiles, what was looked at
case_jobs             a document a case: the job that was queued last to expand it
case_requests         a document a named request: the case that it began
case_runs             names each run that is kept, from before it is written: whoever erases a
                      profile finds those of processes that died, too
"""

import contextlib
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from service.engine.work.lanes import Lane, Lanes
from service.errors import CaseChanged, CaseNotFound, CursorExpired
from service.features.cases.differences import Found
from service.features.cases.pages import Pages
from service.features.cases.records import (
    CASE,
    COPY,
    EVENT,
    MEMBERS,
    MOST_EVENTS,
    VERDICT,
    Case,
    Copy,
    Event,
    Member,
    Run,
    VerdictRecord,
    read_members,
)
from service.store.documents import Append, DocumentStore, Entry, Put, RevisionConflict, Unchanged
from service.store.once import Requests

CASES, RUNS, JOBS, REQUESTS = "cases", "case_runs", "case_jobs", "case_requests"
MEMBERS_IN_A_PART = 50
_LOOKED_AT_IN_A_PART = 2000
_COPIES_AT_ONCE, _RUNS_AT_ONCE, _PARTS_AT_ONCE = 100, 100, 20
_FEW, _MANY = 20, 200
"""Are read at a time for a page: of what may be large, and of what is small."""
_MOST_BYTES = 1 << 20
"""Of one change, about: the store does nothing else meanwhile."""
_MEMBERS, _COPY, _LOOKED_AT = "m", "p:", "v"


class Kept(NamedTuple):
    """A case as it is stored, and the revision that its ETag names."""

    case: Case
    revision: int


def new_id() -> str:
    """An id for a case."""
    return f"case-{secrets.token_hex(8)}"


def of_case(case_id: str) -> str:
    """The collection of a case's verdicts and events."""
    return f"{CASES}:{case_id}"


def of_run(case_id: str, run_id: str) -> str:
    """The collection of what a run found."""
    return f"{CASES}:{case_id}:{run_id}"


class KeptCases:
    """Reads and writes cases. All methods raise StoreUnavailable when there is no answer.

    Attributes:
        requests: that began cases.
    """

    def __init__(self, documents: DocumentStore, lanes: Lanes) -> None:
        """Keep them in `documents`; what takes time to read or write is done in `lanes`."""
        self.requests = Requests(documents, REQUESTS)
        self._documents = documents
        self._lanes = lanes
        self._pages = Pages(documents, lanes)

    async def get(self, case_id: str) -> Kept:
        """A case.

        Raises:
            CaseNotFound: there is none.
        """
        (found,) = await self._documents.get(CASES, [case_id])
        if found is None:
            raise CaseNotFound(f"there is no case {case_id!r}; GET /v1/cases lists those there are")
        return Kept(CASE.validate_json(found.body), found.revision)

    async def gone(self, case_ids: Collection[str]) -> set[str]:
        """Which of these cases are no more."""
        names = list(case_ids)
        found = await self._documents.get(CASES, names)
        return {name for name, each in zip(names, found, strict=True) if each is None}

    async def page(self, after: str, limit: int) -> tuple[list[Kept], str | None]:
        """Cases in order of their ids, and what continues them."""
        found, following = await self._pages.documents(CASES, after, limit, _FEW, CASE)
        return [Kept(case, each.revision) for each, case in found], following

    async def change(
        self,
        case: Case,
        expected: int,
        event: Event,
        verdicts: Mapping[str, VerdictRecord | None] | None = None,
        run: Put | None = None,
        more: Sequence[Put] = (),
    ) -> Kept:
        """Write a case, its event, and verdicts (None = there is none any more) in one step.

        Args:
            case: as it is from now on.
            expected: revision that it has.
            event: that changes it.
            verdicts: that change.
            run: what `write_run` returned, of a run that the case shows from now on.
            more: changes of other documents.

        Raises:
            CaseChanged: it is not at the revision `expected`, or somebody took the run for
                forgotten; nothing was written.
        """
        collection = of_case(case.case_id)
        puts = [Put(CASES, case.case_id, CASE.dump_json(case), expected), *more]
        for name, verdict in (verdicts or {}).items():
            puts.append(Put(collection, name, verdict and VERDICT.dump_json(verdict)))
        if run is not None:
            puts.append(run)
        entry = Append(collection, EVENT.dump_json(event), MOST_EVENTS)
        try:
            revision, *_ = await self._documents.change(puts, [entry])
        except RevisionConflict as conflict:
            if conflict.document_id != case.case_id:
                raise CaseChanged("the case changed meanwhile; read it again") from conflict
            raise changed(conflict.found) from conflict
        return Kept(case, revision)

    async def last_job(self, case_id: str) -> str | None:
        """Id of the job that was queued last to expand a case; it may be over, or forgotten."""
        (found,) = await self._documents.get(JOBS, [case_id])
        return None if found is None else json.loads(found.body)

    async def name_job(self, case_id: str, job_id: str) -> None:
        """Remember a job that expands a case; nothing of one that was deleted meanwhile."""
        note = Put(JOBS, case_id, json.dumps(job_id).encode())
        with contextlib.suppress(RevisionConflict):
            await self._documents.change([Unchanged(CASES, case_id), note])

    async def delete(self, case: Case, expected: int) -> None:
        """Delete a case with all that it has.

        Raises:
            CaseChanged: it is not at the revision `expected`.
        """
        name, noted = case.case_id, self.requests.forgetting(case.request)
        while True:
            runs = await self.runs(name)
            gone = [Put(CASES, name, None, expected), Put(JOBS, name, None)]
            gone += [Put(RUNS, f"{name}/{run}", None, revision) for run, revision in runs.items()]
            drops = [of_case(name), *(of_run(name, run) for run in runs)]
            try:
                await self._documents.change([*gone, *noted], drops=drops)
                break
            except RevisionConflict as conflict:  # or else a run was marked meanwhile
                if conflict.document_id == name:
                    raise changed(conflict.found) from conflict
        await self.tidy(replace(case, run=None, before=None))  # what began meanwhile

    async def verdicts(self, case_id: str, names: Sequence[str]) -> dict[str, VerdictRecord]:
        """Verdicts of some streamers."""
        found = await self._documents.get(of_case(case_id), names) if names else []
        return {
            each.document_id: VERDICT.validate_json(each.body) for each in found if each is not None
        }

    async def page_of_verdicts(
        self, case_id: str, after: str, limit: int
    ) -> tuple[list[tuple[str, VerdictRecord]], str | None]:
        """Verdicts in order of the streamers' ids, and what continues them."""
        where = of_case(case_id)
        found, following = await self._pages.documents(where, after, limit, _MANY, VERDICT)
        return [(each.document_id, verdict) for each, verdict in found], following

    async def all_verdicts(self, case_id: str) -> dict[str, VerdictRecord]:
        """All verdicts of a case."""
        found: dict[str, VerdictRecord] = {}
        after: str | None = ""
        while after is not None:
            part, after = await self.page_of_verdicts(case_id, after, 1000)
            found.update(part)
        return found

    async def events(
        self, case_id: str, after: int, limit: int
    ) -> tuple[list[tuple[Entry, Event]], int | None]:
        """Events of a case behind a number, oldest first, and the number that continues them."""
        return await self._pages.entries(of_case(case_id), after, limit, _FEW, EVENT)

    async def numbered(self, case: Case) -> Case:
        """A case by its log, which lacks its last events in a copy that was made meanwhile."""
        last = await self._documents.last_entry(of_case(case.case_id))
        return replace(case, events=last, undoable=case.undoable * (case.undoable <= last))

    async def write_run(
        self,
        case_id: str,
        run: Run,
        members: Sequence[Member],
        copies: AsyncIterator[Mapping[str, Copy]],
        looked_at: Mapping[str, str],
    ) -> Put:
        """Write what a run found; nobody sees it before the case names the run.

        Returns:
            What has to be written together with the case: it fails where `tidy` came first.

        Raises:
            CaseChanged: it was deleted meanwhile, or `tidy` came first; nothing is left behind.
        """
        collection, name = of_run(case_id, run.run_id), f"{case_id}/{run.run_id}"
        begun = [Unchanged(CASES, case_id), Put(RUNS, name, b"{}")]
        try:
            _, revision = await self._documents.change(begun)
        except RevisionConflict as conflict:
            raise changed(conflict.found) from conflict
        claim = Unchanged(RUNS, name, revision)

        def parts() -> Generator[None, None, list[Put]]:
            puts: list[Put] = []
            for start in range(0, len(members), MEMBERS_IN_A_PART):
                some = list(members[start : start + MEMBERS_IN_A_PART])
                body = b'{"members":' + MEMBERS.dump_json(some) + b"}"
                puts.append(Put(collection, f"{_MEMBERS}{start:08d}", body))
                yield
            names = sorted(looked_at)
            for start in range(0, len(names), _LOOKED_AT_IN_A_PART):
                some_seen = {n: looked_at[n] for n in names[start : start + _LOOKED_AT_IN_A_PART]}
                body = json.dumps(some_seen).encode()
                puts.append(Put(collection, f"{_LOOKED_AT}{start:08d}", body))
                yield
            return puts

        await self._write(await self._lanes.run_in_slices(parts(), Lane.HEAVY), claim)
        async for some_copies in copies:
            await self._write(
                [
                    Put(collection, f"{_COPY}{name}", COPY.dump_json(copy))
                    for name, copy in some_copies.items()
                ],
                claim,
            )
        return Put(RUNS, name, b"{}", revision)

    async def drop(self, case_id: str, run_id: str) -> None:
        """Forget what a run found."""
        gone = Put(RUNS, f"{case_id}/{run_id}", None)
        await self._documents.change([gone], drops=[of_run(case_id, run_id)])

    async def runs(self, case_id: str) -> dict[str, int]:
        """Runs of a case that are kept, those of processes that died among them; revisions."""
        found: dict[str, int] = {}
        begin = after = f"{case_id}/"
        while part := await self._documents.page(RUNS, after, _RUNS_AT_ONCE):
            own = [each for each in part if each.document_id.startswith(begin)]
            found |= {each.document_id.removeprefix(begin): each.revision for each in own}
            if len(own) < len(part):
                break
            after = own[-1].document_id
        return found

    async def tidy(self, case: Case) -> None:
        """Forget the runs of a case that it does not show any more.

        Another process may write one at this moment, or show one that `case` does not have yet: a
        run is marked first, so that either the mark fails or whoever wanted to show the run.
        """
        shown = {run.run_id for run in (case.run, case.before) if run is not None}
        for run_id, revision in (await self.runs(case.case_id)).items():
            if run_id in shown:
                continue
            mark = Put(RUNS, f"{case.case_id}/{run_id}", b'{"forgotten":true}', revision)
            with contextlib.suppress(RevisionConflict):
                await self._documents.change([mark])
                await self.drop(case.case_id, run_id)

    async def members(self, case_id: str, run: Run, start: int, limit: int) -> list[Member]:
        """Up to `limit` members from a place on, the surest first.

        Raises:
            CursorExpired: the run is no longer kept.
        """
        first = start - start % MEMBERS_IN_A_PART
        most = min(start + limit, run.members)
        ids = [f"{_MEMBERS}{at:08d}" for at in range(first, most, MEMBERS_IN_A_PART)]
        found: list[Member] = []
        for at in range(0, len(ids), _PARTS_AT_ONCE):
            some = ids[at : at + _PARTS_AT_ONCE]
            parts = await self._documents.get(of_run(case_id, run.run_id), some)
            bodies = [part.body for part in parts if part is not None]
            if len(bodies) < len(some):
                raise CursorExpired("the case was expanded again meanwhile; read it anew")
            found += await self._lanes.run_in_slices(read_members(bodies), Lane.HEAVY)
        return found[start - first : start - first + limit]

    async def found(self, case_id: str, run: Run) -> Found:
        """All that a run found."""
        members = await self.members(case_id, run, 0, run.members)
        looked_at: dict[str, str] = {}
        collection, after = of_run(case_id, run.run_id), _LOOKED_AT
        while part := await self._documents.page(collection, after, _PARTS_AT_ONCE):
            after = part[-1].document_id
            for each in part:
                looked_at.update(json.loads(each.body))
        return Found(run, {member.streamer_id: member for member in members}, looked_at)

    async def copies(
        self, case_id: str, run: Run, names: Sequence[str]
    ) -> AsyncGenerator[dict[str, Copy], None]:
        """Copies of the profiles of some members, in parts.

        Raises:
            CursorExpired: the run is no longer kept.
        """
        collection = of_run(case_id, run.run_id)
        for start in range(0, len(names), _COPIES_AT_ONCE):
            some = [f"{_COPY}{name}" for name in names[start : start + _COPIES_AT_ONCE]]
            found = await self._documents.get(collection, some)
            kept = [each for each in found if each is not None]
            if len(kept) < len(found):
                raise CursorExpired("the case was expanded again, or deleted, meanwhile")
            yield {
                each.document_id.removeprefix(_COPY): COPY.validate_json(each.body) for each in kept
            }

    async def seen(self, case: Case, streamer_id: str) -> str | None:
        """Digest of the profile of a member of the run that is shown; None of others."""
        if case.run is None:
            return None
        collection = of_run(case.case_id, case.run.run_id)
        (found,) = await self._documents.get(collection, [f"{_COPY}{streamer_id}"])
        return None if found is None else COPY.validate_json(found.body).digest

    async def erase(self, streamer_id: str) -> int:
        """Remove the copies of a streamer's profile from all cases; how many there were.

        Its id and what was decided of it stay.
        """
        erased, after = 0, ""
        while part := await self._documents.page(RUNS, after, _RUNS_AT_ONCE):
            for each in part:
                after = each.document_id
                erased += await self._erase_in(of_run(*after.split("/")), streamer_id)
        return erased

    async def _erase_in(self, collection: str, streamer_id: str) -> int:
        document_id = f"{_COPY}{streamer_id}"
        while True:
            (found,) = await self._documents.get(collection, [document_id])
            if found is None:
                return 0
            copy = COPY.validate_json(found.body)
            if copy.profile is None:
                return 0
            blank = COPY.dump_json(Copy(copy.digest, copy.version, None))
            with contextlib.suppress(RevisionConflict):  # the run was forgotten meanwhile
                await self._documents.change([Put(collection, document_id, blank, found.revision)])
                return 1

    async def _write(self, puts: Sequence[Put], claim: Unchanged) -> None:
        """Write parts of a run, while its claim stands."""
        some: list[Put] = []
        size = 0
        try:
            for place, put in enumerate(puts, 1):
                some.append(put)
                size += len(put.body or b"")
                if size > _MOST_BYTES or place == len(puts):
                    await self._documents.change([claim, *some])
                    some, size = [], 0
        except RevisionConflict as conflict:
            raise CaseChanged("the case changed meanwhile; read it again") from conflict


def changed(found: int) -> CaseChanged:
    """The error where a case is at another revision than was expected."""
    if not found:
        return CaseChanged("the case was deleted meanwhile")
    return CaseChanged(f'the case is at "{found}"; read it again, and send its ETag in If-Match')
