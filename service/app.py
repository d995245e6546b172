"""The ASGI application: routers and middleware, and nothing else."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from service.bootstrap import open_services
from service.features.cold_start import endpoints as cold_start
from service.features.dedup import endpoints as dedup
from service.features.jobs import endpoints as jobs
from service.features.jobs import events as job_events
from service.features.operations import error_page, health, index_listing, metrics
from service.features.similar import endpoints as similar
from service.features.similar.fast_path import NearestRoute
from service.features.streamers import endpoints as streamers
from service.features.transfers import endpoints as transfers
from service.http import problems
from service.http.admission import Admission
from service.http.dependencies import check_parameters, documented_key
from service.http.disconnect import CancelOnDisconnect
from service.http.lifecycle import Lifecycle
from service.http.request_guard import RequestGuard
from service.services import Services
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
            limiter.lanes = opened.lanes
            yield {"services": opened}

    @contextlib.asynccontextmanager
    async def opened_elsewhere(_: FastAPI) -> AsyncGenerator[Mapping[str, Any], None]:
        yield {"services": services}

    if services is not None:
        limiter.lanes = services.lanes
    app = FastAPIOffline(
        title="similar-streamer",
        summary="Similar streamers, cold start and dedup, from what streamers show.",
        version=version("similar-streamer"),
        description="Every error is a problem document (RFC 9457); its `type` links to an "
        "explanation. Unknown fields, unknown parameters and repeated ones are refused by name.",
        lifespan=lifespan if services is None else opened_elsewhere,
        dependencies=[Depends(check_parameters)],
        redoc_url=None,
        redirect_slashes=False,
        # No exporter is configured, and asking for one takes some 5 us of every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for feature in (similar, cold_start, dedup, streamers, transfers, jobs, index_listing):
        app.include_router(feature.router, dependencies=[documented_key])
    app.include_router(job_events.router_of(lifecycle), dependencies=[documented_key])
    app.include_router(health.router)
    app.include_router(error_page.router)
    app.include_router(metrics.router_of(traffic))
    problems.install(app)
    app.add_middleware(CancelOnDisconnect)
    app.add_middleware(NearestRoute)
    app.add_middleware(
        RequestGuard,
        traffic=traffic,
        lifecycle=lifecycle,
        hosts=settings.server.hosts,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        body_limit=settings.limits.body_limit_bytes,
        bulk_body_limit=settings.limits.bulk_body_limit_bytes,
        upload_limit=settings.jobs.upload_limit_bytes,
        body_timeout_s=settings.limits.body_timeout_s,
        bulk_min_bytes=settings.limits.bulk_min_bytes,
        bodies_bytes=settings.limits.bodies_bytes,
    )
    # The last one is the first to see a request.
    app.add_middleware(Admission, limiter=limiter, traffic=traffic)
    return app
