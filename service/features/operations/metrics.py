"""`/metrics`, as Prometheus scrapes it: how requests went, and how the index answers.

The process counts requests as they pass; everything else is read when it is asked for.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import GC_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.engine.work.lanes import Lanes
from service.features.operations.health import CurrentOperations
from service.features.operations.service import Operations
from service.http.auth.rate_limits import RateLimits
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import ANY, KEYLESS, responses
from service.http.openapi import RUNNING_IT
from service.http.traffic import Traffic
from service.index.base import ClusterState
from service.scopes import LIMITED_SCOPES

_EXAMPLE = """\
# HELP streamer_ready 1 while /readyz says ok.
# TYPE streamer_ready gauge
streamer_ready 1.0
"""


class _Service(Collector):
    """The state of the service at the moment it is asked; what is not known is left out."""

    def __init__(self, operations: Operations, lanes: Lanes, limits: RateLimits) -> None:
        self._operations = operations
        self._lanes = lanes
        self._limits = limits

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        yield from self._about_index()
        yield from self._about_lanes()
        operations, serving = self._operations, self._operations.serving
        yield _gauge(
            "streamer_ready", "1 while /readyz says ok.", int(operations.why_not_ready() is None)
        )
        yield _gauge(
            "streamer_store_up",
            "1 while the store takes writes.",
            int(operations.store_health.trouble() is None),
        )
        yield _gauge(
            "streamer_store_replicas",
            "Replicas that acknowledged the last write that was tried, where some have to.",
            operations.store_health.acknowledged_by,
        )
        yield _gauge(
            "streamer_store_durable",
            "1 while the store keeps all that it acknowledges, by its configuration.",
            operations.store_health.is_durable,
        )
        restarts = operations.store_health.restarts
        yield CounterMetricFamily(
            "streamer_store_restarts", "Ends of the embedded store, which was restarted.", restarts
        )
        yield _gauge("streamer_store_sequence", "Last write in the store.", serving.follower.head)
        yield _gauge(
            "streamer_snapshot_timestamp_seconds",
            "When the last snapshot of the index was written, since 1970.",
            serving.snapshots.state.written_at,
        )
        limited = CounterMetricFamily(
            "streamer_rate_limited",
            "Requests refused since the rate limit of their key was used up.",
            labels=["scope"],
        )
        for scope in sorted(LIMITED_SCOPES):
            limited.add_metric([scope], self._limits.refused.get(scope, 0))
        yield limited
        for done, counts in (
            ("encoded", serving.towers.encoded),
            ("decoded", serving.towers.decoded),
        ):
            family = CounterMetricFamily(
                f"streamer_tower_{done}", f"Pieces {done} since the start.", labels=["tower"]
            )
            for spec in serving.towers.specs:
                family.add_metric([spec.name], counts[spec.name])
            yield family

    def _about_lanes(self) -> Iterator[Metric]:
        label = ["lane"]
        waiting = GaugeMetricFamily(
            "streamer_lane_waiting", "Items that wait for a thread.", labels=label
        )
        running = GaugeMetricFamily("streamer_lane_running", "Batches in threads.", labels=label)
        taken = CounterMetricFamily(
            "streamer_lane_taken", "Items that a thread has begun.", labels=label
        )
        refused = CounterMetricFamily(
            "streamer_lane_refused",
            "Items that were refused, or not done by their deadline.",
            labels=label,
        )
        waited = CounterMetricFamily(
            "streamer_lane_waited_seconds",
            "Time that the items which were begun had waited.",
            labels=label,
        )
        for lane, counts in self._lanes.counts.items():
            name = [lane.name.lower()]
            waiting.add_metric(name, self._lanes.waiting(lane))
            running.add_metric(name, self._lanes.running(lane))
            taken.add_metric(name, counts.taken)
            refused.add_metric(name, counts.refused)
            waited.add_metric(name, counts.waited_s)
        yield from (waiting, running, taken, refused, waited)

    def _about_index(self) -> Iterator[Metric]:
        serving, follower = self._operations.serving, self._operations.serving.follower
        about = {"model_version": serving.model_version, "store": self._operations.store_name}
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
                "Share of the 50 nearest that the ANN segment finds, measured when it was built.",
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
            yield from _about_clusters(index.clusters)
        yield InfoMetricFamily("streamer", "What is served.", about)
        yield _gauge("streamer_index_sequence", "Last write in the index.", follower.sequence)
        yield _gauge(
            "streamer_index_skipped_records",
            "Stored records that are of another model or unreadable, and so not in the index.",
            follower.skipped.count,
        )
        yield _gauge(
            "streamer_index_lag_seconds",
            "Upper bound of the index's lag behind the store, in seconds.",
            follower.lag_s,
        )


def _about_clusters(clusters: Sequence[ClusterState]) -> Iterator[Metric]:
    """Nothing where the index is in this process."""
    label = ["cluster"]
    up = GaugeMetricFamily("streamer_milvus_up", "1 while it can be asked.", labels=label)
    serves = GaugeMetricFamily("streamer_milvus_serves", "1 if it is asked.", labels=label)
    settled = GaugeMetricFamily(
        "streamer_milvus_settled_sequence", "It shows every write up to this one.", labels=label
    )
    overlay = GaugeMetricFamily(
        "streamer_milvus_overlay_rows",
        "Streamers that it lacks, which are searched in memory.",
        labels=label,
    )
    for each in clusters:
        up.add_metric([each.name], int(each.trouble is None))
        serves.add_metric([each.name], int(each.serves))
        overlay.add_metric([each.name], each.overlay_rows)
        if each.settled is not None:
            settled.add_metric([each.name], each.settled)
    if clusters:
        yield from (up, serves, settled, overlay)


def _gauge(name: str, help_text: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text)
    if value is not None:
        family.add_metric([], value)
    return family


def router_of(traffic: Traffic) -> APIRouter:
    """The endpoint; it needs no key, as the probes don't."""
    router = CheckedRouter(tags=[RUNNING_IT])

    @router.get(
        "/metrics",
        operation_id="get_metrics",
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
        responses=responses(*KEYLESS, common=ANY)
        | {200: {"content": {"text/plain": {"example": _EXAMPLE}}}},
    )
    def metrics(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        operations: CurrentOperations,
        lanes: Annotated[Lanes, Depends(service_named("lanes", Lanes))],
        limits: Annotated[RateLimits, Depends(service_named("rate_limits", RateLimits))],
        collectors: Annotated[Sequence[Collector], Depends(service_named("collectors", Sequence))],
    ) -> Response:
        """Requests by route, stages of work, jobs, the audit log, index, store, memory and CPU."""
        registry = CollectorRegistry()
        for collector in (
            *traffic.collectors,
            _Service(operations, lanes, limits),
            *collectors,
            PROCESS_COLLECTOR,
            GC_COLLECTOR,
        ):
            registry.register(collector)
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=media_type)

    return router
