"""The use-cases of comparisons, and the gate of promotions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.errors import ComparisonNotFound, ModelGateFailed, ModelStateConflict
from service.features.jobs.service import Jobs
from service.features.models.comparing.counts import GateCounts
from service.features.models.comparing.jobs import KIND
from service.features.models.comparing.keeping import Comparisons
from service.features.models.comparing.limits import GateLimits
from service.features.models.comparing.records import Comparison, Flip, Kind
from service.features.models.comparing.replaying import People
from service.features.ratings.service import Ratings
from service.store.jobs import Job
from service.store.models.base import ModelPointer, ModelStore
from service.store.once import Once

GateState = Literal["passed", "unclear", "failed", "no_human_work", "not_compared"]
_PAGE = 1000


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a model that is ready.

    Attributes:
        state: `not_compared` also where the comparison is of another moment: too old, of another
            bundle, or beside another active model.
        reasons: why, or what could not be checked.
    """

    state: GateState
    reasons: Sequence[str]

    @property
    def is_open(self) -> bool:
        """Whether the model may be promoted."""
        return self.state in ("passed", "unclear", "no_human_work")


class Comparing:
    """Compares the model that is ready with the active one."""

    def __init__(
        self,
        comparisons: Comparisons,
        models: ModelStore,
        people: People,
        ratings: Ratings,
        limits: GateLimits,
        jobs: Jobs,
        counts: GateCounts,
        *,
        sample: int,
    ) -> None:
        """Keep reports in `comparisons`.

        Args:
            comparisons: reports.
            models: which model serves.
            people: what people decided.
            ratings: of people.
            limits: of the gate.
            jobs: where comparisons are queued.
            counts: told of refusals.
            sample: streamers whose neighbours are compared, by default.
        """
        self._comparisons = comparisons
        self._models = models
        self._people = people
        self._ratings = ratings
        self._limits = limits
        self._jobs = jobs
        self._counts = counts
        self._sample = sample

    async def start(
        self, model_version: str, sample: int | None, once: Once | None, by: tuple[str, str]
    ) -> Job:
        """Queue a job that compares a model with the active one.

        Raises:
            ModelStateConflict: it is not ready.
            TooManyJobs: too many are queued.
        """
        pointer = await self._models.pointer()
        if pointer.target != model_version or pointer.state != "ready":
            is_active = pointer.active == model_version
            what = "is active itself" if is_active else "is not ready: backfill it first"
            raise ModelStateConflict(
                f"model {model_version!r} {what}; one that is ready is compared"
            )
        asked = {
            "model_version": model_version,
            "compared_with": pointer.active,
            "sample": self._sample if sample is None else sample,
        }
        return await self._jobs.start(KIND, asked, once=once, by=by)

    async def report(self, model_version: str) -> Comparison:
        """The last report of a model.

        Raises:
            ComparisonNotFound: there is none.
        """
        found = await self._comparisons.get(model_version)
        if found is None:
            raise ComparisonNotFound(
                f"model {model_version!r} was not compared; once it is ready, POST "
                f"/v1/models/{model_version}:compare does it"
            )
        return found

    async def flips(
        self, report: Comparison, kind: Kind, after: str, limit: int
    ) -> tuple[list[Flip], str | None]:
        """Flips of a report, the lost ones first; and what continues them."""
        return await self._comparisons.flips(report, kind, after, limit)

    async def verdict(self, pointer: ModelPointer, sha256: str) -> Verdict:
        """What the gate says of the model that is ready.

        Args:
            pointer: with that model as its target.
            sha256: of its bundle; "" where it is not registered.
        """
        found = await self._comparisons.get(str(pointer.target))
        stale = "it was not compared" if found is None else self._stale(found, pointer, sha256)
        if found is not None and not stale and found.status != "no_human_work":
            bad = [each for each in found.outcomes if each.status == "failed"]
            open_ = [each for each in found.outcomes if each.status in ("unclear", "too_few")]
            return Verdict(found.status, [f"{e.kind}: {e.reason}" for e in bad or open_])
        if not await self._has_human_work():
            reason = (
                "no verdict, judgement, rating or decided alert is stored: nothing that people "
                "decided could be replayed"
            )
            return Verdict("no_human_work", [reason])
        return Verdict("not_compared", [stale or "what people decided came after it was compared"])

    async def check(self, pointer: ModelPointer, sha256: str, *, is_forced: bool) -> list[str]:
        """Let a promotion through; what it should be warned of.

        Raises:
            ModelGateFailed: the gate says no, and it is not forced.
        """
        found = await self.verdict(pointer, sha256)
        if found.is_open:
            return list(found.reasons)
        target = pointer.target
        said = "; ".join(found.reasons)
        if is_forced:
            self._counts.forced += 1
            return [f"promoted by force: {said}"]
        self._counts.refused += 1
        if found.state == "not_compared":
            raise ModelGateFailed(
                f"model {target!r}: {said}, and decisions of people are stored: POST "
                f"/v1/models/{target}:compare, or promote with force=true"
            )
        raise ModelGateFailed(
            f"model {target!r} answers otherwise than people decided: {said}. GET /v1/models/"
            f"{target}/comparison has thresholds of equal precision and what flips; train and "
            "register another model, or promote with force=true"
        )

    def _stale(self, found: Comparison, pointer: ModelPointer, sha256: str) -> str:
        """Why a report says nothing of the model now; empty if it does."""
        if found.compared_with != pointer.active:
            return f"it was compared with {found.compared_with}, and {pointer.active} is active"
        if sha256 and found.sha256 != sha256:
            return "it was compared as another bundle"
        hours = (time.time() - found.at) / 3600
        if hours * 3600 > self._limits.max_age_s:
            return f"its comparison is {hours:.1f} h old"
        return ""

    async def _has_human_work(self) -> bool:
        """Whether people decided anything that can be replayed."""
        rated, _ = await self._ratings.page(None, "", 1)
        counts = await self._people.alerts.counts()
        if rated or any(each["confirmed"] or each["dismissed"] for each in counts.values()):
            return True
        after: str | None = ""
        while after is not None:
            judged, after = await self._people.judgements.page(after, _PAGE)
            if any(each.verdict != "unsure" for each in judged):
                return True
        after = ""
        while after is not None:
            page, after = await self._people.cases.page(after, _PAGE)
            for kept in page:
                verdicts = await self._people.cases.all_verdicts(kept.case.case_id)
                if any(each.verdict != "unsure" for each in verdicts.values()):
                    return True
        return False
