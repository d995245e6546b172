"""`/metrics`, as Prometheus scrapes it: how requests went, and how the index answers.

The process counts requests as they pass; everything else is read when it is asked for.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from prometheus_client import GC_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.features.operations.health import why_not_ready
from service.http.dependencies import CurrentState, State

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_OTHER = "other"
"""The route of what no route is for: paths that somebody made up are no labels."""


class Known(NamedTuple):
    """A route by its template."""

    path_format: str


class Traffic:
    """Counts and times requests, by method, route and status."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.seconds = Histogram(
            "streamer_request_seconds",
            "From a request's head to the end of its answer; status 0: none was begun.",
            ("method", "route", "status"),
            buckets=_BUCKETS_S,
            registry=None,
        )
        self._known: dict[tuple[str, str, int], Histogram] = {}  # found faster than by labels

    def note(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        """Count a request; its scope has the `route` that answered it, if one did."""
        key = (scope["method"], getattr(scope.get("route"), "path_format", _OTHER), status)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self.seconds.labels(*key)
        known.observe(seconds)


class _Service(Collector):
    """The state of the service at the moment it is asked; what is not known is left out."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """See the names."""
        yield from self._about_index()
        state = self._state
        yield _gauge(
            "streamer_ready", "1 while /readyz says ok.", int(why_not_ready(state) is None)
        )
        yield _gauge(
            "streamer_store_up",
            "1 while the store takes writes.",
            int(state.store_problem() is None),
        )
        yield _gauge("streamer_store_sequence", "Last write in the store.", state.follower.head)
        yield _gauge(
            "streamer_snapshot_timestamp_seconds",
            "When the last snapshot of the index was written, since 1970.",
            state.snapshots.state.written_at,
        )
        for done, counts in (("encoded", state.towers.encoded), ("decoded", state.towers.decoded)):
            family = CounterMetricFamily(
                f"streamer_tower_{done}", f"Pieces {done} since the start.", labels=["tower"]
            )
            for spec in state.towers.specs:
                family.add_metric([spec.name], counts[spec.name])
            yield family

    def _about_index(self) -> Iterator[Metric]:
        state, follower = self._state, self._state.follower
        about = {"model_version": state.model_version, "store": state.store_name}
        if follower.is_ready:
            index = follower.index.state()
            about |= {"index": index.kind, "index_device": index.device}
            yield _gauge("streamer_index_rows", "Streamers in the index.", follower.index.count)
            yield _gauge(
                "streamer_index_scanned_rows",
                "Of these, how many each question looks at one by one.",
                index.scanned,
            )
            yield _gauge(
                "streamer_index_built_recall",
                "Share of the 50 nearest that the base finds, measured when it was built.",
                index.recall,
            )
            yield _gauge(
                "streamer_index_served_recall",
                "Share of the nearest that was found on questions lately asked.",
                index.served_recall,
            )
            yield _gauge(
                "streamer_index_refused",
                "1 where a faster kind was tried, and is not used.",
                int(index.refused is not None),
            )
        yield InfoMetricFamily("streamer", "What is served.", about)
        yield _gauge("streamer_index_sequence", "Last write in the index.", follower.sequence)
        yield _gauge(
            "streamer_index_lag_seconds",
            "All that was written so many seconds ago is in the index.",
            follower.lag_s,
        )


def _gauge(name: str, help_text: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text)
    if value is not None:
        family.add_metric([], value)
    return family


def router_of(traffic: Traffic) -> APIRouter:
    """The endpoint; it needs no key, as the probes don't."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    def metrics(request: Request, state: CurrentState) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Requests by route, recall, rows and lag of the index, the store, memory and CPU."""
        registry = CollectorRegistry()
        for collector in (traffic.seconds, _Service(state), PROCESS_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=media_type)

    return router
