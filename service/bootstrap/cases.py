"""Wires cases: candidates and edges, filters, up to where they are known, and the job."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from service.engine.candidates.kept import KeptCorpus
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.expansion.evidence_edges import EvidenceEdges
from service.engine.serving import Serving
from service.engine.work.lanes import Lane, Lanes
from service.features.cases.expanding import Expander
from service.features.cases.exports.exporting import Exports
from service.features.cases.jobs import CaseJobs
from service.features.cases.keeping import KeptCases
from service.features.cases.running import WITH_CORPUS, Runs, Whereabouts
from service.features.cases.service import Cases
from service.features.jobs.service import Jobs
from service.http.schemas import FilterIn
from service.index.faiss.rows.attributes import let_through
from service.index.query import Query, ScoringSpec
from service.store.documents import DocumentStore
from service.store.duplicates import GroupStore
from service.store.redis.store import RedisStore

_NEAREST = 20
"""By embedding, where this process does not keep the candidates of all streamers."""
_EVALUATED_S = 2.0
_LOOK_S = 0.05


class CaseParts:
    """What `open_services` makes features of.

    Attributes:
        kept: the cases.
        jobs: the kind of job.
        exports: of cases.
    """

    def __init__(
        self,
        store: RedisStore,
        documents: DocumentStore,
        groups: GroupStore,
        serving: Serving,
        evidence: Evidence,
        sides: StoredSides,
        lanes: Lanes,
        kept: KeptCorpus,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: of the streamers.
            documents: where cases are kept.
            groups: of duplicates, whose edges are candidates too.
            serving: the bundle that is served, and the index.
            evidence: of its model.
            sides: of stored streamers.
            lanes: where work is done.
            kept: the corpus of candidates, while this process keeps it up to date.
        """
        self._store = store
        self._groups = groups
        self._serving = serving
        self._lanes = lanes
        self._corpus = kept
        self.kept = KeptCases(documents, lanes)
        self.jobs = CaseJobs()
        edges = EvidenceEdges(evidence, sides, kept, self._near, lanes)
        version = serving.manifest.model_version
        self._expander = Expander(store, edges, self._allowed, self._evaluated, lanes, version)
        self.exports = Exports(self.kept, self._expander, lanes)

    def open(self, jobs: Jobs) -> Cases:
        """The feature, whose long expansions are queued in `jobs`."""
        runs = Runs(self.kept, self._expander, jobs, self._corpus_is)
        self.jobs.connect(runs)
        return Cases(self._store, self.kept, runs)

    def places(self) -> list[str]:
        """Places of jobs that this process has at the moment."""
        return [] if self._corpus.corpus is None else [WITH_CORPUS]

    async def _corpus_is(self) -> Whereabouts:
        if self._corpus.corpus is not None:
            return "here"
        return "elsewhere" if await self._groups.is_evaluated() else "nowhere"

    async def _near(self, names: Sequence[str]) -> list[list[str]]:
        """Candidates without a corpus: the nearest by embedding, and ends of stored edges."""
        index = self._serving.follower.index
        found: list[list[str]] = []
        edges = await self._groups.edges_of(names, _NEAREST)
        for name, own in zip(names, edges, strict=True):
            others = dict.fromkeys(edge.b if edge.a == name else edge.a for edge in own)
            stored = await index.vector(name)
            if stored is not None and stored.embedding is not None:
                query = Query(ScoringSpec.nearest(stored.embedding), _NEAREST, exclude={name})
                hits = (await index.search(query)).hits
                others |= dict.fromkeys(hit.streamer_id for hit in hits)
            found.append(list(others))
        return found

    async def _allowed(self, wanted: Mapping[str, object], names: Sequence[str]) -> list[bool]:
        rows = await self._serving.follower.index.get(names)
        facets = [(n, row.facets) for n, row in zip(names, rows, strict=True) if row is not None]
        asked = FilterIn.model_validate(wanted).domain()
        allowed, _ = await self._lanes.run(lambda: let_through(asked, facets), Lane.HEAVY)
        kept = {name for (name, _), is_let in zip(facets, allowed, strict=True) if is_let}
        return [name in kept for name in names]

    async def _evaluated(self) -> int:
        """Waits a while until candidates have all that was written before."""
        target = (await self._store.position()).sequence
        if self._corpus.corpus is None:
            return target
        until = time.monotonic() + _EVALUATED_S
        while True:
            position = await self._groups.position()
            reached = 0 if position is None else position.sequence
            if reached >= target or time.monotonic() > until:
                return reached
            await asyncio.sleep(_LOOK_S)
