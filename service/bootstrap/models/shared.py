"""What all models of a process share: the store, threads, keys, the audit log."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.engine.work.lanes import Lanes
from service.features.audit.trail import AuditTrail, NoAuditLog, opened_audit
from service.features.keys.ring import StoredKeyRing
from service.features.keys.tokens import Tokens
from service.features.limits.limiter import SettledRateLimits
from service.features.models.backfill import BackfillJobs
from service.features.models.comparing.open_models import OpenModel
from service.features.models.following import ModelFollower
from service.features.models.live.keeping import ShadowReports
from service.features.models.live.routing import LiveModels
from service.features.models.live.service import LiveService
from service.features.models.records import Registry
from service.features.similar.pages import Pages
from service.services import Switch
from service.settings import Settings
from service.store.base import StreamerStore
from service.store.opening import OpenedStore
from service.store.redis.backup import ArchivedStore
from service.store.redis.models.store import RedisModels
from service.store.trouble import StoreHealth
from service.telemetry.spans import Tracer


@dataclass(frozen=True, eq=False)
class Shared:
    """What all models of a process share.

    Attributes:
        settings: of the service, with the bundle that it was started with.
        store, store_name, health: the store, what it is, and what is wrong with it.
        lanes: where work is done.
        audit, key_ring, rate_limits, tracer: of requests.
        pages: answers that are handed out page by page, and name their model.
        registry: of models.
        kept_models: which of them serves.
        models: what this process holds of them.
        switch: the services of the model that serves.
        copies: forget what files of a model may have of streamers, for each that is open.
        open_models: with their indexes, those that were opened last at the end.
        live: which of them answers live questions, and hears of them.
    """

    settings: Settings
    store: ArchivedStore
    store_name: str
    health: StoreHealth
    lanes: Lanes
    audit: AuditTrail | NoAuditLog
    key_ring: StoredKeyRing
    rate_limits: SettledRateLimits
    tracer: Tracer | None
    pages: Pages
    registry: Registry
    kept_models: RedisModels
    models: ModelFollower
    switch: Switch
    copies: list[Callable[[], Awaitable[None]]]
    open_models: list[OpenModel]
    live: LiveModels

    def backfills(self, store: StreamerStore) -> BackfillJobs:
        """The kind of job that encodes what `store` holds for the next model."""
        return BackfillJobs(
            store,
            self.kept_models,
            self.models,
            self.lanes,
            keep_bytes=self.settings.media.keep_bytes,
            timeout_s=self.settings.models.switch_timeout_s,
        )

    def live_service(self) -> LiveService:
        """Shadows and canaries."""
        return LiveService(
            self.registry, self.kept_models, self.models, self.live.reports, self.live.flush
        )


async def open_shared(
    settings: Settings,
    opened: OpenedStore,
    lanes: Lanes,
    models: ModelFollower,
    stack: contextlib.AsyncExitStack,
    tracer: Tracer | None,
) -> Shared:
    """Open what all models share; `stack` closes it.

    Raises:
        StartupError: something can't be used.
    """
    store, store_name, health = opened
    audit = await stack.enter_async_context(
        opened_audit(settings.data_dir, settings.audit, store.anchors)
    )
    lanes.start()
    stack.callback(lanes.stop)
    admin_key = settings.api_key.get_secret_value() if settings.api_key else None
    has_tokens = settings.oidc.issuer is not None
    tokens = await stack.enter_async_context(Tokens(settings.oidc)) if has_tokens else None
    key_ring = await stack.enter_async_context(StoredKeyRing(store.keys, admin_key, tokens=tokens))
    rate_limits = await stack.enter_async_context(
        SettledRateLimits(store.limits, settings.rate_limits)
    )
    open_models: list[OpenModel] = []
    return Shared(
        *(settings, store, store_name, health, lanes, audit, key_ring, rate_limits, tracer),
        Pages(settings.paging),
        models.registry,
        RedisModels(store.client),
        models,
        Switch(),
        [],
        open_models,
        LiveModels(models, open_models, ShadowReports(store.documents), store, lanes),
    )
