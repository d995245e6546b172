"""Wires comparisons of the next model with the active one, and the gate of promotions."""

from collections.abc import Callable

from service.bootstrap.models.shared import Shared
from service.features.cases.keeping import KeptCases
from service.features.jobs.service import Jobs
from service.features.models.comparing.counts import GateCounts
from service.features.models.comparing.jobs import ComparisonJobs
from service.features.models.comparing.keeping import Comparisons
from service.features.models.comparing.limits import GateLimits
from service.features.models.comparing.open_models import OpenModel
from service.features.models.comparing.replaying import People
from service.features.models.comparing.service import Comparing
from service.features.ratings.service import Ratings
from service.features.watchlists.alerts.service import Alerts
from service.store.base import StreamerStore
from service.store.duplicates import JudgementStore


class ComparingParts:
    """What `open_services` makes the feature of.

    Attributes:
        reports: of comparisons.
        jobs: the kind of job.
        counts: metrics.
    """

    def __init__(
        self,
        shared: Shared,
        store: StreamerStore,
        judgements: JudgementStore,
        cases: KeptCases,
        alerts: Alerts,
        ratings: Ratings,
    ) -> None:
        """Nothing is compared yet.

        Args:
            shared: by all models of the process.
            store: of the streamers.
            judgements: of pairs.
            cases: with verdicts.
            alerts: of watchlists.
            ratings: of people.
        """
        known = shared.settings.models
        self._shared = shared
        self._ratings = ratings
        self._people = People(store, shared.store.documents, judgements, cases, alerts)
        self._limits = GateLimits(
            known.gate_fewest,
            known.gate_fewest_questions,
            known.gate_agreement_loss,
            known.gate_ndcg_loss,
            known.gate_max_age_s,
        )
        self.counts = GateCounts()
        self.reports = Comparisons(shared.store.documents)
        self.jobs = ComparisonJobs(
            self._people,
            ratings,
            shared.kept_models,
            shared.registry,
            lambda: shared.open_models,
            self.reports,
            self._limits,
            shared.lanes,
            self.counts,
            most=known.compare_decisions,
        )

    def open(self, jobs: Jobs) -> Comparing:
        """The feature, whose comparisons are queued in `jobs`."""
        return Comparing(
            self.reports,
            self._shared.kept_models,
            self._people,
            self._ratings,
            self._limits,
            jobs,
            self.counts,
            sample=self._shared.settings.models.compare_sample,
        )


def shown_open(shared: Shared, model: OpenModel) -> Callable[[], None]:
    """Let comparisons ask a model, until what is returned is called."""
    shared.open_models.append(model)
    return lambda: shared.open_models.remove(model)
