"""Runs of cases: at once or as a job, where the candidates of all streamers are, and kept."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from service.engine.work.lanes import Lane
from service.errors import CaseChanged, InvalidRequest, JobNotFound, NotReady, StoreFull
from service.features.cases.differences import Found, differences
from service.features.cases.expanding import Expanded, Expander, Told
from service.features.cases.keeping import Kept, KeptCases
from service.features.cases.records import (
    RUN,
    Actor,
    Case,
    Decided,
    Difference,
    Differences,
    Event,
    EventKind,
    Query,
    Run,
    VerdictRecord,
)
from service.features.jobs.service import Jobs
from service.store.jobs import ANYWHERE, FINISHED, Job
from service.store.once import Once

Result = TypeVar("Result")
KIND = "cases"
WITH_CORPUS = "corpus"
"""Place of jobs that need the candidates of all streamers: whoever keeps them has it."""
_TRIES = 3
"""Of a job whose case others change meanwhile."""
AT_ONCE_S = 1.0
"""An expansion that takes longer goes on as a job."""
_QUERY = TypeAdapter(Query)
_RETRY_S = 5
Whereabouts = Literal["here", "elsewhere", "nowhere"]
"""Which process keeps the candidates of all streamers: this one, another one, none."""


@dataclass(frozen=True)
class Ran:
    """What a run came to: the case with it, and what it changed."""

    kept: Kept
    differences: Differences


class Runs:
    """Expands cases. One process keeps the candidates of all streamers: others let it do it."""

    def __init__(
        self,
        kept: KeptCases,
        expander: Expander,
        jobs: Jobs,
        corpus_is: Callable[[], Awaitable[Whereabouts]],
    ) -> None:
        """Make runs.

        Args:
            kept: the cases.
            expander: walks.
            jobs: where runs are queued that take long or belong to another process.
            corpus_is: where the candidates of all streamers are.
        """
        self._kept = kept
        self._expander = expander
        self._jobs = jobs
        self._corpus_is = corpus_is

    async def soon(
        self,
        kept: Kept,
        query: Query | None,
        kind: EventKind,
        who: Actor,
        *,
        later: bool,
        once: Once | None = None,
        over_any: bool = False,
    ) -> Ran | Job:
        """Expand a case by a question, None = as before; as a job where that is needed.

        Args:
            kept: the case.
            query: what to look for.
            kind: of the event that tells of it.
            who: asks.
            later: a job is preferred in any case.
            once: names the request, which queues one job however often it is sent.
            over_any: a job takes the place of whatever run the case shows by then, else of the
                one that it shows now alone.

        Raises:
            CaseChanged: it was changed meanwhile.
            InvalidRequest, NotReady: as `_expanded`.
            Unavailable: the store does not answer, or too much work waits.
        """
        _asked_of(kept.case, query)
        corpus_is = await self._corpus_is()
        if corpus_is != "elsewhere" and not later:
            try:
                async with asyncio.timeout(AT_ONCE_S):
                    expanded = await self._expanded(kept, query, Lane.HEAVY)
            except TimeoutError:
                pass
            else:
                request = "" if once is None else once.request
                return await self._keep(kept, expanded, kind, who, "", request)
        case_id, run = kept.case.case_id, kept.case.run
        asked = {"case_id": case_id, "query": query and asdict(query), **who._asdict()}
        if not over_any:
            asked["shown"] = None if run is None else run.run_id
        place = ANYWHERE if corpus_is == "nowhere" else WITH_CORPUS
        job = await self._jobs.start(KIND, asked, place=place, once=once, by=who)
        await self._kept.name_job(case_id, job.job_id)
        return job

    async def asked_before(self, case_id: str, once: Once | None) -> Ran | Job | None:
        """What a request came to that is sent again; None where that is not known any more.

        It is known of a run for as long as the case shows it, of a job for as long as it is kept.

        Raises:
            CaseNotFound: there is no such case.
            IdempotencyKeyReused: another request has the name of this one.
        """
        if once is None:
            return None
        kept = await self._kept.get(case_id)
        run = kept.case.run
        if run is not None and run.request.startswith(once.key):
            once.check(run.request)
            return await self._shown(kept, run)
        return await self._jobs.queued_by(once)

    async def under_way(self, case_id: str) -> str | None:
        """Id of the job that expands a case now, or waits to; of several the one asked for last."""
        job_id = await self._kept.last_job(case_id)
        if job_id is None:
            return None
        try:
            job = await self._jobs.get(job_id)
        except JobNotFound:
            return None
        return None if job.state in FINISHED else job_id

    async def sweep(self) -> None:
        """End and forget all jobs of cases that are no more."""
        async for some in self._jobs.asked(KIND):
            await self.forget_deleted(some)

    async def forget_deleted(self, asked: Mapping[str, bytes]) -> None:
        """End and forget those of some jobs, given with their inputs, whose cases are no more."""
        cases = {job_id: str(json.loads(each)["case_id"]) for job_id, each in asked.items()}
        gone = await self._kept.gone({*cases.values()})
        for job_id in [job_id for job_id, case_id in cases.items() if case_id in gone]:
            await self._jobs.forget(job_id)

    async def of_job(
        self, job_id: str, asked: Mapping[str, Any], place: str, told: Told | None = None
    ) -> Ran:
        """What a job does at its place, where `told` hears of it; it takes the case as it is now.

        A case on which somebody decided meanwhile is expanded once more, as it is then. One that
        shows the run of an earlier attempt at the job stays as it is: that was the job.

        Raises:
            CaseChanged: it shows another run than the one that was to be replaced, or it was
                changed again and again.
            InvalidRequest: its only run was taken back meanwhile.
            NotReady: the place has the candidates of all streamers no more; or as `_expanded`.
        """
        for _ in range(_TRIES - 1):
            with contextlib.suppress(CaseChanged):
                return await self._as_it_is(job_id, asked, place, told)
        return await self._as_it_is(job_id, asked, place, told)

    async def _as_it_is(
        self, job_id: str, asked: Mapping[str, Any], place: str, told: Told | None
    ) -> Ran:
        given = asked["query"]
        query = None if given is None else _QUERY.validate_python(given)
        kind: EventKind = "expanded" if query is not None else "rerun"
        kept = await self._kept.get(str(asked["case_id"]))
        run = kept.case.run
        if run is not None and run.job_id == job_id:
            return await self._shown(kept, run)
        _asked_of(kept.case, query)
        if "shown" in asked and asked["shown"] != (run and run.run_id):
            raise CaseChanged(
                "the case shows another run than when the job was asked for; read it again, and "
                "expand it anew if that is still wanted"
            )
        expanded = await self._expanded(kept, query, Lane.BULK, told)
        if place == WITH_CORPUS:
            _need_all(expanded)
        who = Actor(asked["key_id"], asked["key_name"])
        return await self._keep(kept, expanded, kind, who, job_id)

    async def decided(self, verdicts: Mapping[str, VerdictRecord]) -> dict[str, Decided]:
        """Verdicts, each with whether its profile is another one by now."""
        return await self._expander.decided(verdicts)

    async def in_thread(self, call: Callable[[], Result]) -> Result:
        """What a call comes to, off the event loop."""
        return await self._expander.in_thread(call)

    async def _expanded(
        self, kept: Kept, query: Query | None, lane: Lane, told: Told | None = None
    ) -> Expanded:
        """A run that is not kept yet.

        Raises:
            InvalidRequest: the case is expanded as before, and was not.
            NotReady: the case is expanded as before, and was with the candidates of all.
        """
        case, asked = kept.case, _asked_of(kept.case, query)
        verdicts = await self._kept.all_verdicts(case.case_id)
        expanded = await self._expander.expand(case, verdicts, asked, lane, told)
        # Or it would tell of changes that are none.
        if query is None and case.run is not None and case.run.incomplete_because is None:
            _need_all(expanded)
        return expanded

    async def _keep(
        self,
        kept: Kept,
        expanded: Expanded,
        kind: EventKind,
        who: Actor,
        job_id: str = "",
        request: str = "",
    ) -> Ran:
        """Keep a run, and show it; one that found the same as that which is shown is dropped.

        One that looked farther is no such: what is shown would go on to call itself incomplete.
        One that looked less far and found the same is dropped too.
        """
        case = await self._kept.numbered(kept.case)
        told = await self._differences(case, expanded)
        same = case.run is not None and not _tells_more(expanded.run, case.run)
        if same and not told:
            return await self._ran(kept, told, expanded.verdicts)
        run, members, seen = expanded.run, expanded.members, expanded.looked_at
        run = replace(run, job_id=job_id, request=request)
        copies = self._expander.copies(members)
        claim = await self._kept.write_run(case.case_id, run, members, copies, seen)
        number = case.events + 1
        event = Event(
            kind,
            *who,
            None if case.run is None else RUN.dump_python(case.run, mode="json"),
            RUN.dump_python(run, mode="json"),
            previous=case.undoable,
        )
        after = replace(case, run=run, before=case.run, events=number, undoable=number)
        try:
            now = await self._kept.change(after, kept.revision, event, run=claim)
        except (CaseChanged, StoreFull):  # a store without an answer may show it: `tidy` finds out
            await self._kept.drop(case.case_id, run.run_id)
            raise
        await self._kept.tidy(now.case)
        return await self._ran(now, told, expanded.verdicts)

    async def _ran(
        self, kept: Kept, told: Differences, verdicts: Mapping[str, VerdictRecord]
    ) -> Ran:
        """What a run came to; of the cleared, whom no run looks at, also who changed since then."""
        cleared = {name: each for name, each in verdicts.items() if each.verdict == "cleared"}
        decided = await self._expander.decided(cleared)
        others = [
            Difference(name, "profile_changed", [name])
            for name, each in decided.items()
            if each.profile_changed
        ]
        changed = sorted([*told.changed, *others], key=lambda each: each.streamer_id)
        return Ran(kept, replace(told, changed=changed) if others else told)

    async def _differences(self, case: Case, expanded: Expanded) -> Differences:
        run = expanded.run
        if case.run is None:
            return Differences()
        if run.digest == case.run.digest and _asked(run) == _asked(case.run):
            return Differences()
        members = {member.streamer_id: member for member in expanded.members}
        after = Found(run, members, expanded.looked_at)
        return await self._between(case, case.run, after, expanded.versions)

    async def _shown(self, kept: Kept, run: Run) -> Ran:
        """The run that a case shows, with the causes of differences as the profiles are by now."""
        case = kept.case
        verdicts = await self._kept.all_verdicts(case.case_id)
        if case.before is None:
            return await self._ran(kept, Differences(), verdicts)
        after = await self._kept.found(case.case_id, run)
        versions: dict[str, int] = {}
        async for copies in self._kept.copies(case.case_id, run, [*after.members]):
            versions |= {name: copy.version for name, copy in copies.items()}
        told = await self._between(case, case.before, after, versions)
        return await self._ran(kept, told, verdicts)

    async def _between(
        self, case: Case, then: Run, after: Found, versions: Mapping[str, int]
    ) -> Differences:
        """What changed from a run to what was found later, of members of these versions."""
        before = await self._kept.found(case.case_id, then)
        known = await self._expander.digests(sorted({*before.members, *before.looked_at}))
        now = {**known, **after.looked_at}
        new = {
            name
            for name, version in versions.items()
            if name not in before.looked_at and version > then.index_sequence
        }
        return await self._expander.in_thread(lambda: differences(before, after, now, new))


def _asked_of(case: Case, query: Query | None) -> Query:
    """What a case is expanded by; None = as before.

    Raises:
        InvalidRequest: there is nothing before.
    """
    if query is not None:
        return query
    if case.run is None:
        raise InvalidRequest.of("", "the case was never expanded: POST …:expand first")
    return case.run.query


def _need_all(expanded: Expanded) -> None:
    if expanded.run.incomplete_because is not None:
        raise NotReady(
            "no process has the candidates of all streamers at the moment, as the case had before; "
            "try again, or expand it without them by POST …:expand",
            _RETRY_S,
        )


def _asked(run: Run) -> tuple[object, ...]:
    """What a run was made of."""
    return run.query, run.sources, run.barred, run.model_version


def _tells_more(run: Run, shown: Run) -> bool:
    """Whether a run was made of something else than the one shown, or lacks less or others."""
    lacks = zip(_reasons(run), _reasons(shown), strict=True)
    return _asked(run) != _asked(shown) or any(now != then is not None for now, then in lacks)


def _reasons(run: Run) -> tuple[str | None, str | None]:
    """Why a run lacks something."""
    return run.stopped_because, run.incomplete_because
