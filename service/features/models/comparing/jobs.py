"""Jobs that compare the model that is ready with the active one, and change nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from service.engine.work.lanes import Lane, Lanes
from service.errors import ModelStateConflict
from service.features.jobs.runner import Kind as JobKind
from service.features.jobs.runner import RunningJob, persist
from service.features.models.comparing import decisions as made
from service.features.models.comparing.counts import GateCounts
from service.features.models.comparing.keeping import Comparisons
from service.features.models.comparing.limits import GateLimits, outcomes, status_of
from service.features.models.comparing.neighbours import compare_neighbours, drawn_from
from service.features.models.comparing.open_models import Both, OpenModel, found_in
from service.features.models.comparing.rated import DRAWN, replay_ratings
from service.features.models.comparing.records import (
    KINDS,
    Agreement,
    Comparison,
    DecisionKind,
    Flip,
    Kind,
    Neighbours,
    RatedQuestions,
    Recalibrated,
)
from service.features.models.comparing.replaying import People, Replayed, Replaying
from service.features.models.records import Registry
from service.features.ratings.service import Ratings
from service.scopes import Scope
from service.store.models.base import ModelStore

KIND = "model_comparison"
_MOST_QUESTIONS = 1000
_TOLD_EACH = 50
_DECISIONS: Sequence[DecisionKind] = ("judgements", "verdicts", "alerts")


class ComparisonJobs(JobKind):
    """The work of comparisons. One that ends in the middle repeats the step that it was in."""

    is_alone = True
    scope: Scope = "admin"

    def __init__(
        self,
        people: People,
        ratings: Ratings,
        models: ModelStore,
        registry: Registry,
        open_models: Callable[[], Sequence[OpenModel]],
        comparisons: Comparisons,
        limits: GateLimits,
        lanes: Lanes,
        counts: GateCounts,
        *,
        most: int,
    ) -> None:
        """Replay what people decided.

        Args:
            people: where that is.
            ratings: of people.
            models: which model serves.
            registry: of models.
            open_models: of this process, those that were opened last at the end.
            comparisons: where reports are kept.
            limits: of the gate.
            lanes: where work is done.
            counts: told what becomes of it.
            most: decisions of each kind.
        """
        self._people = people
        self._ratings = ratings
        self._models = models
        self._registry = registry
        self._open_models = open_models
        self._comparisons = comparisons
        self._limits = limits
        self._lanes = lanes
        self._counts = counts
        self._most = most

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Compare them; see `service.features.jobs.runner.Kind`."""
        active, target = str(job.input["compared_with"]), str(job.input["model_version"])
        await self._check(active, target)
        both = await persist(lambda: self._both(active, target))
        found: dict[str, Any] = dict(job.checkpoint)
        for kind in _DECISIONS:  # one of an earlier build lacks what the gate needs
            if "confirmed" not in found.get(kind, {}).get("agreement", {}):
                found.pop(kind, None)
        size = int(job.input["sample"])
        total = len(_DECISIONS) + 1 + size
        replaying = Replaying(self._people, self._lanes, self._most)
        for done, kind in enumerate(_DECISIONS, start=1):
            if kind not in found:
                replayed = await self._replayed(replaying, kind, both)
                found[kind] = await self._summary(job, target, kind, replayed)
                await job.advance(found, done, total)
        # Not in the checkpoint: who is erased meanwhile must not be named there.
        drawn = await drawn_from(self._people.store, max(size, DRAWN))
        done = len(_DECISIONS) + 1
        if "ratings" not in found:
            most = min(self._most, _MOST_QUESTIONS)
            rated, flips = await replay_ratings(
                both, self._ratings, self._lanes, most, drawn[:DRAWN]
            )
            await self._comparisons.put_flips(target, job.job.job_id, "ratings", flips)
            found["ratings"] = {"questions": asdict(rated), "flips": len(flips)}
            await job.advance(found, done, total)

        async def tell(asked: int) -> None:
            if asked % _TOLD_EACH == 0:
                await job.advance(found, done + asked)

        neighbours = await compare_neighbours(both, drawn[:size], self._lanes, tell)
        await self._check(active, target)
        report = await self._report(job.job.job_id, active, target, found, neighbours)
        await self._comparisons.put(report)
        await job.advance(found, total)
        self._counts.compared[report.status] += 1
        return {"model_version": target, "compared_with": active, "status": report.status}

    async def _both(self, active: str, target: str) -> Both:
        return found_in(self._open_models(), active, target)

    async def _check(self, active: str, target: str) -> None:
        pointer = await persist(self._models.pointer)
        if (pointer.active, pointer.target, pointer.state) != (active, target, "ready"):
            raise ModelStateConflict(
                f"model {target!r} is not ready beside {active!r} any more: compare again"
            )

    async def _replayed(self, replaying: Replaying, kind: DecisionKind, both: Both) -> Replayed:
        if kind == "judgements":
            return await replaying.judgements(both)
        if kind == "verdicts":
            return await replaying.verdicts(both)
        return await replaying.alerts(both)

    async def _summary(
        self, job: RunningJob, target: str, kind: DecisionKind, replayed: Replayed
    ) -> dict[str, Any]:
        """What becomes of the decisions of a kind, for JSON; flips are kept."""
        stored, found, missing = replayed
        fewest = self._limits.fewest

        def work() -> tuple[Agreement, list[Flip], list[Recalibrated]]:
            return (
                made.agreement(kind, found, stored, missing),
                made.flips(kind, found),
                made.recalibrated(kind, found, fewest),
            )

        agreement, flips, thresholds = await persist(lambda: self._lanes.run(work, Lane.BULK))
        await self._comparisons.put_flips(target, job.job.job_id, kind, flips)
        return {
            "agreement": asdict(agreement),
            "thresholds": [asdict(each) for each in thresholds],
            "flips": len(flips),
        }

    async def _report(
        self,
        job_id: str,
        active: str,
        target: str,
        found: Mapping[str, Any],
        neighbours: Neighbours | None,
    ) -> Comparison:
        agreements = [_AGREEMENT.validate_python(found[kind]["agreement"]) for kind in _DECISIONS]
        ratings = _RATED.validate_python(found["ratings"]["questions"])
        thresholds = [
            _RECALIBRATED.validate_python(each)
            for kind in _DECISIONS
            for each in found[kind]["thresholds"]
        ]
        limits = self._limits
        judged = await persist(
            lambda: self._lanes.run(lambda: outcomes(agreements, ratings, limits), Lane.BULK)
        )
        record = await persist(lambda: self._registry.get(target))
        flips: dict[Kind, int] = {kind: int(found[kind]["flips"]) for kind in KINDS}
        return Comparison(
            target,
            "" if record is None else record.sha256,
            active,
            job_id,
            time.time(),
            status_of(judged),
            judged,
            agreements,
            thresholds,
            ratings,
            neighbours,
            flips,
        )


_AGREEMENT = TypeAdapter(Agreement)
_RATED = TypeAdapter(RatedQuestions)
_RECALIBRATED = TypeAdapter(Recalibrated)
