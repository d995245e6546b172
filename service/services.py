"""The typed state of the lifespan: one service per feature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Receive, Scope, Send

from service.engine.work.lanes import Lanes
from service.features.audit.service import AuditPages
from service.features.cases.exports.exporting import Exports
from service.features.cases.service import Cases
from service.features.cold_start.service import ColdStart
from service.features.compare.service import Compare
from service.features.dedup.service import Dedup
from service.features.duplicates.judgements import Judgements
from service.features.duplicates.service import Duplicates
from service.features.events.service import Events
from service.features.find.service import Find
from service.features.jobs.service import Jobs
from service.features.keys.service import Keys
from service.features.layouts.service import Layouts
from service.features.lists.service import Lists
from service.features.models.live.routing import LiveModels
from service.features.models.service import Models
from service.features.operations.rebuild import IndexRebuilds
from service.features.operations.service import Operations
from service.features.outreach.service import Outreach
from service.features.ratings.service import Ratings
from service.features.similar.service import Similar
from service.features.spaces.service import Spaces
from service.features.streamers.erasure import Erasure
from service.features.streamers.service import Streamers
from service.features.streamers.write_pipeline import WritePipeline
from service.features.transfers.service import Transfers
from service.features.watchlists.alerts.service import Alerts
from service.features.watchlists.service import Watchlists
from service.features.webhooks.service import Webhooks
from service.http.auth.audit import AuditLog
from service.http.auth.callers import KeyRing
from service.http.auth.rate_limits import RateLimits
from service.settings import Limits


class Switch:
    """Holds the services of the model that serves: one assignment changes it for later requests.

    Attributes:
        current: what a request takes when it begins, and keeps until it ends.
    """

    current: "Services"


@dataclass(frozen=True, eq=False)
class Services:
    """What endpoints get by name; see `service.http.dependencies.service_named`."""

    streamers: Streamers
    writes: WritePipeline
    similar: Similar
    lists: Lists
    outreach: Outreach
    cold_start: ColdStart
    dedup: Dedup
    compare: Compare
    duplicates: Duplicates
    judgements: Judgements
    watchlists: Watchlists
    alerts: Alerts
    cases: Cases
    case_exports: Exports
    events: Events
    webhooks: Webhooks
    find: Find
    layouts: Layouts
    ratings: Ratings
    spaces: Spaces
    models: Models
    live: LiveModels
    switch: Switch
    operations: Operations
    rebuilds: IndexRebuilds
    jobs: Jobs
    transfers: Transfers
    keys: Keys
    key_ring: KeyRing
    rate_limits: RateLimits
    audit: AuditLog
    audit_pages: AuditPages
    erasure: Erasure
    limits: Limits
    lanes: Lanes
    collectors: Sequence[Collector]


class OneModel:
    """ASGI middleware: a request has the services of one model from its beginning to its end."""

    def __init__(self, app: ASGIApp) -> None:
        """Let `app` answer."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the services that are current now."""
        if scope["type"] == "http":
            opened = cast(Services, scope["state"]["services"])
            scope["state"]["services"] = opened.switch.current
        await self._app(scope, receive, send)
