"""Wires duplicates: their store, what evaluates the log, and the job that rebuilds."""

import asyncio
from functools import partial
from pathlib import Path

from service.engine.candidates.corpus import Corpus
from service.engine.candidates.kept import KeptCorpus
from service.engine.candidates.look_ups import LookUps
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.serving import Serving
from service.engine.work.lanes import Lanes
from service.features.duplicates.comparing import EvidenceComparer
from service.features.duplicates.evaluation import Evaluation
from service.features.duplicates.following import GroupsFollower
from service.features.duplicates.rebuild import RebuildJobs
from service.store.redis.duplicates.groups import RedisGroups
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.events.feed import RedisEvents
from service.store.redis.store import RedisStore

_LEASE_S = 10.0
_LOOK_S = 0.2


class DuplicateParts:
    """What `open_services` makes features of.

    Attributes:
        events: the feed.
        judgements: of people.
        groups: of duplicates.
        follower: keeps the groups up to date.
        rebuilds: the kind of job.
    """

    def __init__(
        self,
        store: RedisStore,
        serving: Serving,
        evidence: Evidence,
        sides: StoredSides,
        lanes: Lanes,
        folder: Path,
        kept: KeptCorpus,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: of the streamers.
            serving: the bundle that is served, and the index.
            evidence: of its model.
            sides: of stored streamers.
            lanes: where work is done.
            folder: for temporary files.
            kept: is given the corpus of candidates while this process keeps it up to date.
        """
        self.events = RedisEvents(store.client)
        self.judgements = RedisJudgements(store.client)
        self.groups = RedisGroups(store.client, self.judgements, self.events)
        manifest, follower = serving.manifest, serving.follower
        comparer = EvidenceComparer(evidence, sides, lanes, folder)

        def new_evaluation(token: int, look_ups: LookUps | None = None) -> Evaluation:
            corpus = Corpus(manifest.content_dim, manifest.dim)
            parts = (store, self.groups, self.judgements, comparer, corpus)
            return Evaluation(*parts, lanes, token, look_ups)

        async def ready() -> None:
            while not follower.is_ready:  # noqa: ASYNC110 - told to nobody, and once
                await asyncio.sleep(_LOOK_S)

        how = _LEASE_S, comparer.rules
        self.follower = GroupsFollower(
            *(
                store,
                self.groups,
                partial(new_evaluation, look_ups=kept.look_ups),
                kept,
                ready,
                follower.wait_for,
                *how,
            ),
            lanes.give_way.press,
        )
        self.rebuilds = RebuildJobs(
            *(store, self.groups, new_evaluation, ready, *how, serving.model_version)
        )
