"""The audit log's counts, for Prometheus."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.features.audit.trail import AuditTrail, NoAuditLog


class AuditCounts(Collector):
    """Nothing, where the log is turned off."""

    def __init__(self, log: AuditTrail | NoAuditLog) -> None:
        """Tell of one log."""
        self._log = log

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        log = self._log
        if isinstance(log, NoAuditLog):
            return
        for name, about, count in (
            ("entries", "Entries in the files of the audit log.", log.written),
            ("failures", "Writings of the audit log that failed.", log.failures),
            ("lost", "Entries that the audit log lost, since too many waited.", log.lost),
            (
                "refusals_counted",
                "Refused requests that the audit log counts, and does not list.",
                log.refusals.counted,
            ),
        ):
            yield CounterMetricFamily(f"streamer_audit_{name}", about, count)
        yield GaugeMetricFamily(
            "streamer_audit_up",
            "1 while the audit log can be written.",
            int(log.trouble() is None),
        )
        yield GaugeMetricFamily(
            "streamer_audit_waiting", "Entries that are not in the files yet.", log.waiting
        )
