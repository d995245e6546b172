"""Wires watchlists: their seeds, what matches the log, and the job that sweeps."""

from service.bootstrap.models.duties import Duties
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.serving import Serving
from service.engine.work.lanes import Lanes
from service.features.cases.keeping import KeptCases
from service.features.jobs.service import Jobs
from service.features.watchlists.alerts.book import AlertBook
from service.features.watchlists.alerts.service import Alerts
from service.features.watchlists.counts import WatchlistCounts
from service.features.watchlists.cursor import LogCursor
from service.features.watchlists.following import AlertFollower, Sweeps
from service.features.watchlists.matching import Matching
from service.features.watchlists.seeds import CaseVerdicts, Judged, SeedReader
from service.features.watchlists.service import Maxima, Watchlists
from service.features.watchlists.sweeping import KIND, SweepJobs
from service.features.watchlists.watched import WatchedLists
from service.settings import Settings
from service.store.redis.backup import ArchivedStore

_LEASE_S = 6.0


class CaseMembers(CaseVerdicts):
    """What people decided in stored cases."""

    def __init__(self, cases: KeptCases) -> None:
        """Read `cases`."""
        self._cases = cases

    async def judged(self, case_id: str) -> Judged:
        """Ids of streamers; see `CaseVerdicts.judged`."""
        await self._cases.get(case_id)
        verdicts = await self._cases.all_verdicts(case_id)
        confirmed, cleared = (
            sorted(name for name, each in verdicts.items() if each.verdict == verdict)
            for verdict in ("confirmed", "cleared")
        )
        return Judged(confirmed, cleared)


class WatchlistParts:
    """What `open_services` makes features of.

    Attributes:
        watchlists, alerts: the use-cases.
        seeds: of lists, by this model.
        sweeps: the kind of job.
        counts: metrics.
    """

    def __init__(
        self,
        store: ArchivedStore,
        serving: Serving,
        evidence: Evidence,
        sides: StoredSides,
        lanes: Lanes,
        settings: Settings,
        replica: str,
        cases: KeptCases,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: of the streamers, and of lists and alerts.
            serving: the bundle that is served.
            evidence: of its model.
            sides: of stored streamers.
            lanes: where work is done.
            settings: of the service.
            replica: name of this one, which outlives its process.
            cases: whose confirmed members may be seeds, and whose cleared ones raise nothing.
        """
        documents, model_version = store.documents, serving.model_version
        known = settings.watchlists
        reader = SeedReader(store, serving.pipeline, evidence, lanes, CaseMembers(cases))
        matching = Matching(store, sides, lanes, model_version)
        book = AlertBook(documents, lanes, model_version, known.max_open_alerts)
        lists = WatchedLists(documents, reader, evidence, lanes)
        cursor = LogCursor(documents, replica, _LEASE_S)
        self._follower = AlertFollower(
            store, documents, cursor, lists, matching, book, model_version
        )
        self._evaluates = known.evaluate
        self.seeds = reader
        self.alerts = Alerts(documents, lanes, known.max_open_alerts)
        maxima = Maxima(known.max_lists, known.max_seeds, known.max_open_alerts)
        self.watchlists = Watchlists(documents, reader, self.alerts, maxima, self._follower.wake)
        self.sweeps = SweepJobs(
            store, documents, reader, matching, book, evidence, lanes, self._follower.ready
        )
        self.counts = WatchlistCounts(self._follower, book, self.alerts)

    def start(self, jobs: Jobs, duties: Duties) -> None:
        """Match the log while the model serves, unless the settings leave that to others."""
        if not self._evaluates:
            return
        self._follower.sweeps = Sweeps(lambda: jobs.start(KIND, {}), jobs.get)
        duties.add(self._follower.start, self._follower.stop)
        duties.add(self.counts.start, self.counts.stop)
