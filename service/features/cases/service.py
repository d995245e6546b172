"""The use-cases behind `/v1/cases`: begin, expand, decide, run again, take back."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from service.errors import (
    CaseChanged,
    CaseNotFound,
    CursorExpired,
    FieldError,
    IfMatchNeeded,
    InvalidRequest,
    NothingToUndo,
    NotInCase,
    StreamerNotFound,
)
from service.features.cases.keeping import Kept, KeptCases, changed, new_id
from service.features.cases.records import (
    RUN,
    VERDICT,
    Actor,
    Case,
    Decided,
    Event,
    EventKind,
    Member,
    Query,
    Verdict,
    VerdictRecord,
)
from service.features.cases.running import Ran, Runs
from service.store.base import ANY_STORED, StreamerStore
from service.store.documents import Entry
from service.store.jobs import Job
from service.store.once import Made, Once

Result = TypeVar("Result")


@dataclass(frozen=True)
class Shown:
    """A page of a case.

    Attributes:
        kept: the case.
        members: the surest first.
        verdicts: of these members.
        is_outdated: whether other verdicts hold than those of the run; None of a page that is not
            the first, as all verdicts would be read for it.
        next_place: of the member after them; None on the last page.
        job_id: of the expansion that is queued or running; None if there is none.
    """

    kept: Kept
    members: Sequence[Member] = ()
    verdicts: Mapping[str, Decided] | None = None
    is_outdated: bool | None = False
    next_place: int | None = None
    job_id: str | None = None


class Cases:
    """Cases as their callers see them."""

    def __init__(self, store: StreamerStore, kept: KeptCases, runs: Runs) -> None:
        """Keep cases of the streamers of `store` in `kept`, and expand them by `runs`."""
        self._store = store
        self._runs = runs
        self.kept = kept

    async def create(
        self,
        title: str,
        seeds: Sequence[str],
        exclude: Sequence[str],
        who: Actor,
        once: Once | None = None,
    ) -> Kept:
        """Begin a case; the one that was begun already, where the same request comes again.

        Raises:
            IdempotencyKeyReused: another request has the name of this one.
            InvalidRequest: a seed comes twice, or is excluded.
            StreamerNotFound: names the seeds that are not stored.
        """
        made = await self.kept.requests.made(once)
        if once is not None and (before := await self._begun(once, made)) is not None:
            return before
        wrong = [
            FieldError(f"/seeds/{i}", f"{name!r} is excluded as well: leave it out of one of both")
            for i, name in enumerate(seeds)
            if name in exclude
        ] + [
            FieldError(f"/seeds/{i}", f"{name!r} comes before: name each seed once")
            for i, name in enumerate(seeds)
            if name in seeds[:i]
        ]
        if wrong:
            raise InvalidRequest("; ".join(f"{e.pointer}: {e.detail}" for e in wrong[:3]), wrong)
        known = await self._store.digests(seeds)
        missing = [
            FieldError(f"/seeds/{i}", f"streamer {name!r} is not stored")
            for i, (name, stored) in enumerate(zip(seeds, known, strict=True))
            if stored is None
        ]
        if missing:
            raise StreamerNotFound("; ".join(error.detail for error in missing[:20]), missing)
        case = Case(
            new_id(), title, tuple(seeds), tuple(dict.fromkeys(exclude)), time.time(), *who,
            events=1, request="" if once is None else once.request,
        )  # fmt: skip
        new = {"title": title, "seeds": list(seeds), "exclude": list(case.exclude)}
        noted = self.kept.requests.making(once, case.case_id, made)
        try:
            return await self.kept.change(case, 0, Event("created", *who, None, new), more=noted)
        except CaseChanged:  # the same request came twice at once
            made = await self.kept.requests.made(once)
            if once is None or (before := await self._begun(once, made)) is None:
                raise
            return before

    async def page(self, after: str, limit: int) -> tuple[list[Kept], str | None]:
        """Cases, and what continues them."""
        return await self.kept.page(after, limit)

    async def show(self, case_id: str, run_id: str | None, start: int, limit: int) -> Shown:
        """A case and some of its members, with what was decided of them.

        Args:
            case_id: of the case.
            run_id: of the run whose members are continued; None = that of the case.
            start: place of the first member.
            limit: most members.

        Raises:
            CaseNotFound: there is none.
            CursorExpired: the case shows another run by now.
        """
        # Before the case: a job that ends in between is told as running, and looked at once more.
        job_id = await self._runs.under_way(case_id)
        kept = await self.kept.get(case_id)
        run = kept.case.run
        if run_id is not None and (run is None or run.run_id != run_id):
            raise CursorExpired("the case was expanded again meanwhile; read it anew")
        if run is None:
            return Shown(kept, (), {}, job_id=job_id)
        members = await self.kept.members(case_id, run, start, limit)
        names = [each.streamer_id for each in members]
        is_outdated: bool | None = None
        if start:
            found = await self.kept.verdicts(case_id, names)
        else:
            every = await self.kept.all_verdicts(case_id)
            found = {name: every[name] for name in names if name in every}
            is_outdated = await self._runs.in_thread(lambda: kept.case.is_outdated_by(every))
        verdicts = await self._runs.decided(found)
        following = start + len(members)
        next_place = following if following < run.members else None
        return Shown(kept, members, verdicts, is_outdated, next_place, job_id)

    async def expand(
        self,
        case_id: str,
        query: Query,
        expected: Sequence[int],
        who: Actor,
        *,
        later: bool = False,
        once: Once | None = None,
    ) -> Ran | Job:
        """Expand a case anew; what takes longer than a second, or is for `later`, is a job's.

        Raises:
            CaseNotFound: there is none.
            IfMatchNeeded, CaseChanged: it is at another revision than the caller knows.
            IdempotencyKeyReused: another request has the name of this one.
            Unavailable: the store does not answer, or too much work waits.
        """
        return await self._run(case_id, query, "expanded", expected, who, later, once)

    async def rerun(
        self,
        case_id: str,
        expected: Sequence[int],
        who: Actor,
        *,
        later: bool = False,
        once: Once | None = None,
    ) -> Ran | Job:
        """Expand a case as before; where nothing changed, nothing is written.

        Raises:
            InvalidRequest: it was never expanded.
            NotReady: it was expanded with the candidates of all streamers, and none has them now.
            CaseNotFound, IfMatchNeeded, CaseChanged, IdempotencyKeyReused, Unavailable: as
                `expand`.
        """
        return await self._run(case_id, None, "rerun", expected, who, later, once)

    async def decide(
        self,
        case_id: str,
        streamer_id: str,
        verdict: Verdict,
        note: str,
        expected: Sequence[int],
        who: Actor,
    ) -> tuple[Kept, Decided]:
        """Decide on somebody in a case; the next run respects it.

        It is about the profile that the case shows, or else the stored one. Where the same key
        decided the same of it, nothing is written.

        Raises:
            CaseNotFound: there is no such case.
            NotInCase: it is neither seed nor member, and was not decided on before.
            IfMatchNeeded, CaseChanged: it is at another revision than the caller knows.
        """
        kept = await self._expected(case_id, expected)
        before = (await self.kept.verdicts(case_id, [streamer_id])).get(streamer_id)
        seen = await self.kept.seen(kept.case, streamer_id)
        if before is None and seen is None and streamer_id not in kept.case.seeds:
            raise NotInCase(
                f"streamer {streamer_id!r} is not in the case; expand it until it is, or begin one "
                "with it"
            )
        (found,) = await self._store.digests([streamer_id])
        now = None if found is None else found[1]
        record = VerdictRecord(verdict, note, *who, time.time(), seen or now or "")
        if before is not None and record == replace(before, key_name=who.key_name, at=record.at):
            return kept, before.decided(now)
        old = None if before is None else asdict(before)
        before_it = await self.kept.numbered(kept.case)
        event = Event(
            "verdict", *who, old, asdict(record), streamer_id, previous=before_it.undoable
        )
        number = before_it.events + 1
        case = replace(before_it, events=number, undoable=number)
        after = await self.kept.change(case, kept.revision, event, {streamer_id: record})
        return after, record.decided(now)

    async def undo(
        self, case_id: str, expected: Sequence[int], who: Actor
    ) -> tuple[Kept, tuple[Entry, Event]]:
        """Take the last change back that was not taken back; what that was.

        Raises:
            CaseNotFound: there is none.
            NothingToUndo: there is no such change, or it or the run before is no longer kept.
            IfMatchNeeded, CaseChanged: it is at another revision than the caller knows.
        """
        kept = await self._expected(case_id, expected)
        case = await self.kept.numbered(kept.case)
        last = case.undoable
        if not last:
            raise NothingToUndo("the case has no change that can be taken back")
        ((entry, done),), _ = await self.kept.events(case_id, last - 1, 1)
        if entry.number != last:
            raise NothingToUndo(f"event {last}, which would be taken back, is no longer kept")
        case = replace(case, events=case.events + 1, undoable=done.previous)
        verdicts: dict[str, VerdictRecord | None] = {}
        if done.kind == "verdict":
            assert done.streamer_id is not None
            old = done.old
            verdicts[done.streamer_id] = VERDICT.validate_python(old) if old else None
        else:
            case = self._without_run(case, done, last)
        event = Event("undone", *who, done.new, done.old, done.streamer_id, last, case.undoable)
        now = await self.kept.change(case, kept.revision, event, verdicts)
        await self.kept.tidy(now.case)
        return now, (entry, done)

    async def events(
        self, case_id: str, after: int, limit: int
    ) -> tuple[list[tuple[Entry, Event]], int | None]:
        """Events of a case behind a number, and the number that continues them.

        Raises:
            CaseNotFound: there is none.
        """
        await self.kept.get(case_id)
        return await self.kept.events(case_id, after, limit)

    async def verdicts(
        self, case_id: str, after: str, limit: int
    ) -> tuple[list[tuple[str, Decided]], str | None]:
        """What was decided in a case, of members and others.

        Raises:
            CaseNotFound: there is none.
        """
        await self.kept.get(case_id)
        found, following = await self.kept.page_of_verdicts(case_id, after, limit)
        return [*(await self._runs.decided(dict(found))).items()], following

    async def delete(self, case_id: str, expected: Sequence[int]) -> None:
        """Delete a case with its events and jobs.

        Raises:
            CaseNotFound: there is none.
            IfMatchNeeded, CaseChanged: it is at another revision than the caller knows.
        """
        kept = await self._expected(case_id, expected)
        await self.kept.delete(kept.case, kept.revision)
        await self._runs.sweep()

    async def in_thread(self, call: Callable[[], Result]) -> Result:
        """What a call comes to, off the event loop."""
        return await self._runs.in_thread(call)

    async def _begun(self, once: Once, made: Made) -> Kept | None:
        """What an earlier request with this name began; None if there is none."""
        if not made.made_id:
            return None
        try:
            kept = await self.kept.get(made.made_id)
        except CaseNotFound:
            return None
        once.check(kept.case.request)
        return kept

    async def _expected(self, case_id: str, expected: Sequence[int]) -> Kept:
        kept = await self.kept.get(case_id)
        if not expected:
            raise IfMatchNeeded(
                f'send If-Match: "{kept.revision}", the ETag of the case as you read it, so that '
                "no change is lost"
            )
        if kept.revision not in expected and expected != (ANY_STORED,):
            raise changed(kept.revision)
        return kept

    async def _run(
        self,
        case_id: str,
        query: Query | None,
        kind: EventKind,
        expected: Sequence[int],
        who: Actor,
        later: bool,
        once: Once | None,
    ) -> Ran | Job:
        if (before := await self._runs.asked_before(case_id, once)) is not None:
            return before
        over_any = expected == (ANY_STORED,)
        try:
            kept = await self._expected(case_id, expected)
            return await self._runs.soon(
                kept, query, kind, who, later=later, once=once, over_any=over_any
            )
        except CaseChanged:  # the same request came twice at once
            if (before := await self._runs.asked_before(case_id, once)) is None:
                raise
            return before

    @staticmethod
    def _without_run(case: Case, done: Event, number: int) -> Case:
        """The case as before a run, of which the event with this number tells."""
        if done.old is None:
            return replace(case, run=None, before=None)
        old = RUN.validate_python(done.old)
        if case.before is None or case.before.run_id != old.run_id:
            raise NothingToUndo(
                f"the run before that of event {number} is no longer kept, so that neither "
                "that event nor those before it can be taken back: expand by the query that `old` "
                "of the event has, and decide anew (`unsure` changes nothing)"
            )
        return replace(case, run=case.before, before=None)
