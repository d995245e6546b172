"""The ASGI application: routers and middleware, and nothing else."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.bootstrap import open_services
from service.console import serving
from service.features.audit import endpoints as audit
from service.features.cases import endpoints as cases
from service.features.cases import reads as case_reads
from service.features.cold_start import endpoints as cold_start
from service.features.compare import endpoints as compare
from service.features.dedup import endpoints as dedup
from service.features.duplicates import endpoints as duplicates
from service.features.duplicates import judgement_endpoints as judgements
from service.features.events import endpoints as events
from service.features.find import endpoints as find
from service.features.jobs import endpoints as jobs
from service.features.jobs import events as job_events
from service.features.keys import endpoints as keys
from service.features.layouts import endpoints as layouts
from service.features.lists import endpoints as lists
from service.features.models import endpoints as models
from service.features.models.comparing import endpoints as comparisons
from service.features.models.live import endpoints as live_models
from service.features.operations import error_page, health, index_listing, metrics, model_card
from service.features.outreach import endpoints as outreach
from service.features.ratings import endpoints as ratings
from service.features.similar import endpoints as similar
from service.features.similar.fast_path import NearestRoute
from service.features.spaces import endpoints as spaces
from service.features.streamers import endpoints as streamers
from service.features.streamers import reads
from service.features.transfers import endpoints as transfers
from service.features.watchlists import endpoints as watchlists
from service.features.watchlists.alerts import endpoints as alerts
from service.features.webhooks import endpoints as webhooks
from service.http import openapi, problems
from service.http.admission import Admission, Limiter
from service.http.auth.route_scopes import RouteScopes
from service.http.disconnect import CancelOnDisconnect
from service.http.documentation import page
from service.http.lifecycle import Lifecycle
from service.http.request_guard import RequestGuard
from service.release import release
from service.services import OneModel, Services
from service.settings import Settings


def create_app(
    settings: Settings, services: Services | None = None, lifecycle: Lifecycle | None = None
) -> FastAPI:
    """The application; its lifespan opens the services unless opened ones are given.

    Args:
        settings: of the service.
        services: what the endpoints work with.
        lifecycle: tells when the process stops; by default it never does.
    """
    lifecycle = lifecycle or Lifecycle()
    limiter, traffic = lifecycle.limiter, lifecycle.traffic

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[Mapping[str, Any], None]:
        async with open_services(settings) as opened:
            _connect(limiter, opened)
            yield {"services": opened}

    @contextlib.asynccontextmanager
    async def opened_elsewhere(_: FastAPI) -> AsyncGenerator[Mapping[str, Any], None]:
        yield {"services": services}

    if services is not None:
        _connect(limiter, services)
    app = FastAPIOffline(
        title="similar-streamer",
        summary="Similar streamers, cold start and dedup, from what streamers show.",
        version=release(),
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=lifespan if services is None else opened_elsewhere,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # The guard traces requests, also those that do not come so far, and without their paths.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    parts = (similar, cold_start, dedup, streamers, reads, transfers, jobs, index_listing, keys)
    more = (
        cases,
        case_reads,
        lists,
        outreach,
        compare,
        duplicates,
        judgements,
        webhooks,
        find,
        ratings,
        spaces,
        models,
        comparisons,
        live_models,
        audit,
        health,
        model_card,
        error_page,
    )
    routers = [part.router for part in (*parts, *more, watchlists, alerts, layouts)]
    routers += [job_events.router_of(lifecycle), events.router_of(lifecycle)]
    routers += [metrics.router_of(traffic), serving.router_of()]
    for router in routers:
        app.router.routes.extend(router.routes)
    problems.install(app)
    openapi.install(app)
    page.install(app)
    app.add_middleware(CancelOnDisconnect)
    app.add_middleware(NearestRoute)
    app.add_middleware(
        RequestGuard,
        traffic=traffic,
        lifecycle=lifecycle,
        hosts=settings.server.hosts,
        scopes=RouteScopes(app.routes),
        body_limit=settings.limits.body_limit_bytes,
        bulk_body_limit=settings.limits.bulk_body_limit_bytes,
        upload_limit=settings.jobs.upload_limit_bytes,
        hand_over_limit=settings.spaces.upload_limit_bytes,
        body_timeout_s=settings.limits.body_timeout_s,
        bulk_min_bytes=settings.limits.bulk_min_bytes,
        bodies_bytes=settings.limits.bodies_bytes,
        tracer=lifecycle.tracer,
    )
    app.add_middleware(OneModel)
    # The last one is the first to see a request.
    app.add_middleware(Admission, limiter=limiter, traffic=traffic)
    return app


def _connect(limiter: Limiter, services: Services) -> None:
    limiter.lanes = services.lanes
    services.lanes.give_way.is_asked = limiter.is_asked
