"""Composition root: chooses the concrete parts and wires them; no other module names them."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable
from functools import partial

from service.bootstrap.cases import CaseParts
from service.bootstrap.cold_start import cold_start_of, fitter_of
from service.bootstrap.duplicates import DuplicateParts
from service.bootstrap.erasure import erasure_of, forget_copies
from service.bootstrap.find import FindParts
from service.bootstrap.jobs import MoreKinds, open_jobs
from service.bootstrap.layouts import LayoutParts
from service.bootstrap.lists import lists_of
from service.bootstrap.models.comparing import ComparingParts, shown_open
from service.bootstrap.models.duties import Duties
from service.bootstrap.models.loading import LoadedModel
from service.bootstrap.models.shared import Shared, open_shared
from service.bootstrap.models.switching import ModelHost
from service.bootstrap.similar import similar_of
from service.bootstrap.spaces import open_spaces
from service.bootstrap.stored_model import settle_model
from service.bootstrap.watchlists import WatchlistParts
from service.bootstrap.webhooks import opened_feed
from service.engine.candidates.kept import KeptCorpus
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.audience import SharedAudience
from service.engine.evidence.engine import Evidence
from service.engine.evidence.shared_content import SharedContent
from service.engine.evidence.stored_sides import StoredSides
from service.engine.replica.follower import Follower
from service.engine.replica.maintenance import IndexMaintenance
from service.engine.replica.snapshots import newest_place
from service.engine.scoring.precision import Precision
from service.engine.serving import Serving
from service.engine.spaces.active import ActiveSpaces
from service.engine.work.lanes import Lanes
from service.engine.work.turns import Turns
from service.errors import UnsafeConfiguration
from service.features.audit.chain import FOLDER
from service.features.audit.counts import AuditCounts
from service.features.audit.service import AuditPages
from service.features.cases.running import KIND as CASES
from service.features.cold_start.neighbours import Recommender
from service.features.compare.service import Compare
from service.features.dedup.near_duplicates import NearDuplicates
from service.features.dedup.service import Dedup
from service.features.duplicates.counts import DuplicateCounts
from service.features.duplicates.judgements import Judgements
from service.features.duplicates.rebuild import KIND as DUPLICATES
from service.features.duplicates.service import Duplicates
from service.features.jobs.counts import JobCounts
from service.features.keys.counts import KeyCounts
from service.features.keys.service import Keys
from service.features.layouts.jobs import KIND as LAYOUT
from service.features.lists import jobs as list_jobs
from service.features.models.backfill import KIND as MODELS
from service.features.models.bundles import BundleFolder
from service.features.models.comparing.jobs import KIND as COMPARISONS
from service.features.models.comparing.open_models import OpenModel
from service.features.models.following import ModelFollower
from service.features.models.records import Registry
from service.features.models.service import Models
from service.features.operations import rebuild
from service.features.operations.installation import twin_packages
from service.features.operations.service import Operations
from service.features.ratings.service import Ratings
from service.features.similar import exporting
from service.features.streamers.erasure import Known
from service.features.streamers.service import Streamers
from service.features.streamers.write_pipeline import WritePipeline
from service.features.watchlists.sweeping import KIND as WATCHLISTS
from service.files.spool import name_of
from service.services import Services
from service.settings import Settings
from service.settings.reading import refuse_open
from service.store.embedded.supervisor import EmbeddedStore
from service.store.opening import check_data, open_store
from service.store.redis.models.store import RedisModels
from service.store.witness import WitnessKeeper
from service.telemetry.spans import Tracer

_HEAVY_AT_ONCE, _HEAVY_WAITING = 2, 16
"""Explanations, and lists whose duplicates are looked for, that are made and that wait."""


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings,
    embedded: EmbeddedStore | None = None,
    tell: Callable[[str], None] = lambda _: None,
    tracer: Tracer | None = None,
) -> AsyncGenerator[Services, None]:
    """Open everything that the endpoints work with; it is closed in reverse order.

    The index is built in the background: `/readyz` tells when it is complete.

    Args:
        settings: of the service.
        embedded: the embedded store, if it has begun to start already.
        tell: called with what is being started, whenever that changes.
        tracer: begins the traces of jobs; None: there are none.

    Raises:
        StartupError: with what to do about it.
        BundleError: the bundle can't be trusted.
    """
    check_configuration(settings)
    tell("the model is being loaded")
    lanes = Lanes(settings.work)
    host = ModelHost(settings, lanes, _opened_graph)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(host.stop)
        await host.open_first()  # meanwhile the store reads its log
        tell("the store is being opened")
        opened = await open_store(settings, embedded, stack, tell)
        opened.store.client.stages = lanes.stages
        snapshot = newest_place(settings.snapshots_folder)
        witness = await check_data(opened.store, snapshot, settings, counts_on=True)
        if witness is not None:
            keeper = WitnessKeeper(opened.store, witness)
            keeper.start()
            stack.push_async_callback(keeper.stop)
        models = ModelFollower(
            RedisModels(opened.store.client),
            Registry(opened.store.documents),
            BundleFolder(settings.models.folder, settings.variant, settings.dim),
            host,
            f"{await asyncio.to_thread(name_of, settings.data_dir)}-{secrets.token_hex(4)}",
        )
        shared = await open_shared(settings, opened, lanes, models, stack, tracer)
        stack.push_async_callback(host.stop)
        yield await host.start(shared, tell)


@contextlib.asynccontextmanager
async def _opened_graph(
    shared: Shared, loaded: LoadedModel, duties: Duties, tell: Callable[[str], None] | None
) -> AsyncGenerator[Services, None]:
    """Open what belongs to one model; `duties` is told what only the one that serves does.

    `tell` is None for a model that takes another one's place: the stored vectors are its own.
    """
    settings, lanes, audit, tracer = loaded.settings, shared.lanes, shared.audit, shared.tracer
    manifest, evidence, established = loaded.manifest, loaded.evidence, loaded.established
    bundle, pipeline, work, snapshots = (
        loaded.bundle,
        loaded.pipeline,
        loaded.towers,
        loaded.snapshots,
    )
    searches, known_ids, key_ring = loaded.searches, loaded.known_ids, shared.key_ring
    store, rate_limits = shared.store.of_model(manifest.model_version), shared.rate_limits
    async with contextlib.AsyncExitStack() as stack:
        stored = StoredProfiles(store, pipeline, lanes)
        follower = Follower(
            store, loaded.empty, snapshots.model, snapshots, settings.limits.max_lag_s
        )
        serving = Serving(manifest, loaded.device, pipeline, stored, work, follower, snapshots)
        version = manifest.model_version
        sides = StoredSides(
            *(store, evidence, lanes, version),
            folder=settings.data_dir,
            beside=lambda: [model.sides for model in shared.open_models],
        )
        dedup = _dedup(serving, evidence, sides, lanes, settings)
        threshold = manifest.duplicate_threshold.value
        kept = KeptCorpus()
        near = NearDuplicates(follower, stored, evidence, sides, lanes, threshold, kept)
        writes = WritePipeline(
            store,
            pipeline,
            stored,
            near,
            follower.show,
            lanes,
            keep_bytes=settings.media.keep_bytes,
        )
        writes.other_model = shared.models.other_than(manifest.model_version)
        if tell is not None:
            await settle_model(store, manifest.model_version, writes, settings, tell)
        follower.start()
        stack.push_async_callback(follower.stop)
        if milvus := loaded.milvus:
            milvus.start(store, store.documents, snapshots.model, follower, settings, stack)
        maintenance = IndexMaintenance(follower, snapshots)
        maintenance.start()
        stack.push_async_callback(maintenance.stop)
        duplicates = DuplicateParts(store, serving, evidence, sides, lanes, settings.data_dir, kept)
        if settings.duplicates.evaluate:
            duties.add(duplicates.follower.start, duplicates.follower.stop)
        finding = FindParts(store, lanes, follower, settings)
        finding.names.start()
        stack.push_async_callback(finding.names.stop)
        copies = partial(forget_copies, finding.names, snapshots)
        shared.copies.append(copies)
        stack.callback(shared.copies.remove, copies)
        beside = partial(shared.models.index_beside, manifest.model_version)
        mapped = LayoutParts(store, duplicates.groups, serving, lanes, settings, beside)
        await asyncio.to_thread(mapped.folders.sweep)
        mapped.follower.start()
        stack.push_async_callback(mapped.follower.stop)
        ratings = Ratings(store.documents, store)
        cases = CaseParts(
            store, store.documents, duplicates.groups, serving, evidence, sides, lanes, kept
        )
        replica = await asyncio.to_thread(name_of, shared.settings.data_dir)
        watch = WatchlistParts(
            store, serving, evidence, sides, lanes, settings, replica, cases.kept
        )
        comparing = ComparingParts(
            shared, store, duplicates.judgements, cases.kept, watch.alerts, ratings
        )
        recommender = Recommender(established) if established else None
        audience = SharedAudience(established, recommender.row_of if recommender else {})
        content, turns = (
            SharedContent(bundle.featurizer.vocabulary),
            _turns("explanations", settings),
        )
        similar = similar_of(serving, lanes, content, audience, turns, settings, shared.pages)
        open_model = OpenModel(version, evidence, sides, follower, watch.seeds, similar)
        stack.callback(shown_open(shared, open_model))
        lists, outreach = lists_of(store, similar, duplicates.groups, lanes, settings)
        more = MoreKinds(
            kinds={
                rebuild.KIND: rebuild.IndexRebuildJobs(store, serving, maintenance),
                DUPLICATES: duplicates.rebuilds,
                CASES: cases.jobs,
                WATCHLISTS: watch.sweeps,
                MODELS: shared.backfills(store),
                COMPARISONS: comparing.jobs,
                LAYOUT: mapped.jobs,
            },
            answers={
                exporting.KIND: exporting.answering(similar, settings.limits),
                list_jobs.KIND: list_jobs.answering(lists, lanes),
            },
            places=cases.places,
        )
        feed = opened_feed(store, duplicates.events, settings.webhooks, stack, duties)
        counts = JobCounts()
        long = await open_jobs(
            *(store, writes, serving, lanes, settings, more, audit, duties, counts),
            replica,
            tracer,
        )
        watch.start(long.jobs, duties)
        active, fitter = ActiveSpaces(), fitter_of(serving, store, established, lanes)
        spaces, space_counts = await open_spaces(
            store, serving, lanes, settings, established, stack, active, fitter
        )
        stack.callback(fitter.stop)
        kept_for = settings.paging.keep_s, settings.audit.keep_days
        with_milvus = settings.index.backend == "milvus"
        known = Known(
            *(frozenset(known_ids).__contains__, *kept_for),
            has_files=True,
            may_have_milvus=with_milvus,
        )
        yield Services(
            streamers=Streamers(store, stored, settings.limits.page_bytes),
            writes=writes,
            similar=similar,
            lists=lists,
            outreach=outreach,
            cold_start=cold_start_of(serving, searches, recommender, active, settings),
            dedup=dedup,
            compare=Compare(store, pipeline, evidence, lanes),
            duplicates=Duplicates(
                *(store, duplicates.groups, duplicates.judgements, lanes, long.jobs)
            ),
            judgements=Judgements(store, duplicates.judgements, duplicates.follower.wake),
            events=feed.events,
            webhooks=feed.webhooks,
            cases=cases.open(long.jobs),
            case_exports=cases.exports,
            watchlists=watch.watchlists,
            alerts=watch.alerts,
            find=finding.find,
            layouts=mapped.open(long.jobs),
            ratings=ratings,
            spaces=spaces,
            models=Models(
                *(shared.registry, shared.kept_models, shared.models, long.jobs),
                *(comparing.open(long.jobs), shared.live_service()),
            ),
            live=shared.live,
            switch=shared.switch,
            operations=Operations(
                *(serving, shared.store_name, shared.health, settings.limits.store_grace_s),
                audit.trouble,
                lambda: milvus and milvus.trouble(serving.follower),
                lambda: milvus and milvus.warning(serving.follower),
                key_ring.trouble,
            ),
            rebuilds=rebuild.IndexRebuilds(long.jobs, long.replica),
            jobs=long.jobs,
            transfers=long.transfers,
            keys=Keys(
                *(store.keys, key_ring.refresh, key_ring.now),
                has_other_admins=key_ring.has_standing_admins,
            ),
            key_ring=key_ring,
            rate_limits=rate_limits,
            audit=audit,
            audit_pages=AuditPages(shared.settings.data_dir / FOLDER, lanes),
            erasure=erasure_of(
                *(store, lanes, writes.delete, known, spaces.erase_streamer, shared.copies)
            ),
            limits=settings.limits,
            lanes=lanes,
            collectors=(
                lanes.stages.seconds,
                counts,
                AuditCounts(audit),
                KeyCounts(key_ring),
                DuplicateCounts(duplicates.follower),
                comparing.counts,
                shared.live.counts,
                feed.counts,
                finding.counts,
                mapped.counts,
                watch.counts,
                space_counts,
            ),
        )


def _turns(what: str, settings: Settings) -> Turns:
    return Turns(
        what,
        at_once=_HEAVY_AT_ONCE,
        max_queue=_HEAVY_WAITING,
        deadline_s=settings.work.deadline_ms / 1000,
    )


def _dedup(
    serving: Serving, evidence: Evidence, sides: StoredSides, lanes: Lanes, settings: Settings
) -> Dedup:
    manifest = serving.manifest
    return Dedup(
        serving.follower,
        serving.pipeline,
        serving.stored,
        evidence,
        sides,
        lanes,
        _turns("lists", settings),
        manifest.content_dim,
        manifest.duplicate_threshold.value,
        Precision(manifest.calibration and manifest.calibration.content, "threshold"),
        settings.limits.visible_timeout_ms,
    )


def check_configuration(settings: Settings) -> None:
    """Refuse what would be unsafe, or would silently do something else.

    Raises:
        UnsafeConfiguration: open to the network without a key, or twin packages installed.
    """
    refuse_open(settings)
    twins = twin_packages()
    if twins:
        raise UnsafeConfiguration(twins)
