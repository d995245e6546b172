"""`python -m service drift`: whether streamers of late show something else than before."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from model_export.contract.bundle import Bundle
from model_export.contract.variants import VARIANTS
from service.commands.answers import Cell, answer, print_rows
from service.commands.arguments import using, whole_number
from service.commands.environment import variable
from service.commands.progress import Progress
from service.commands.stores import add_data_dir, finish, opened_store
from service.errors import ServiceError
from service.features.drift.sample import FEWEST, MOST, draw
from service.features.drift.service import Finding, find_drift

_DAY_S = 86_400


class _NotCompared(ServiceError):
    """The store can't be read by the bundle."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The store, its model, and which streamers are late."""
    add_data_dir(parser)
    parser.add_argument(
        "--bundle",
        type=Path,
        default=variable("STREAMER_BUNDLE"),
        required=variable("STREAMER_BUNDLE") is None,
        help="the model that the store holds vectors of (STREAMER_BUNDLE)",
    )
    parser.add_argument(
        "--dim", type=whole_number(1), help="its width, as served (default: the full one)"
    )
    parser.add_argument("--variant", choices=VARIANTS, help="its variant, as served")
    parser.add_argument(
        "--days",
        type=_days,
        default=7.0,
        help="streamers written in the last so many days are compared with all others (7)",
    )
    parser.add_argument(
        "--sample",
        type=whole_number(FEWEST, most=MOST),
        default=1000,
        help="most streamers of each side (1000)",
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the sample (0)")
    parser.add_argument(
        "--metrics",
        type=Path,
        help="write the outcome to this file too, for the textfile collector of node_exporter",
    )


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError(f"must be a number of days above 0, not {text[:40]!r}")
    return days


def run(args: argparse.Namespace) -> int:
    """Compare; 1 when there is an alarm, or nothing can be compared."""
    return finish(lambda: _drift(args))


async def _drift(args: argparse.Namespace) -> int:
    bundle = Bundle(args.bundle, args.variant)
    manifest = bundle.manifest.at(args.dim)
    now = time.time()
    async with opened_store(args.data_dir) as store:
        model = await store.model_version()
        if model != manifest.model_version:
            raise _NotCompared(
                f"the store holds vectors of model {model or 'none'}, the bundle is "
                f"{manifest.model_version}: give that model's by --bundle, --dim and --variant"
            )
        with Progress("sample", "streamers") as progress:
            since, of_it = now - args.days * _DAY_S, store.of_model(manifest.model_version)
            sample = await draw(of_it, bundle, manifest, since, args.sample, args.seed, progress.to)
    with Progress("compare", "modalities") as progress:
        findings = find_drift(sample, args.seed, progress.to)
    alarms = [each for each in findings if each.is_alarm]
    late = int(sample.is_late.sum())
    if args.metrics is not None:
        with using("--metrics", args.metrics, "choose a file in a folder that can be written"):
            _write_metrics(args.metrics, findings, now)
    whole: dict[str, Any] = {
        "model_version": manifest.model_version,
        "before": len(sample.ids) - late,
        "late": late,
        "alarms": len(alarms),
        "findings": [asdict(each) for each in findings],
    }
    answer(args, whole, lambda: _show(findings))
    for each in alarms:
        print(
            f"{each.modality}: {each.measure} {each.before:.3f} before, {each.late:.3f} of late "
            f"(p = {each.adjusted:.2g}), such as {', '.join(each.examples)}",
            file=sys.stderr,
        )
    return 1 if alarms else 0


def _show(findings: Sequence[Finding]) -> None:
    rows: list[list[Cell]] = [
        [f.modality, f.measure, f.before, f.late, f.adjusted, "ALARM" if f.is_alarm else "-"]
        for f in findings
    ]
    print_rows(["modality", "measure", "before", "late", "p_value", "alarm"], rows)


def _write_metrics(path: Path, findings: Sequence[Finding], now: float) -> None:
    registry = CollectorRegistry()
    labels = ["modality", "measure"]
    alarm = Gauge(
        "streamer_drift_alarm", "Drift that is sure and large.", labels, registry=registry
    )
    p_value = Gauge("streamer_drift_p_value", "Adjusted p-value.", labels, registry=registry)
    change = Gauge("streamer_drift_change", "Late less before.", labels, registry=registry)
    for each in findings:
        alarm.labels(each.modality, each.measure).set(each.is_alarm)
        p_value.labels(each.modality, each.measure).set(each.adjusted)
        change.labels(each.modality, each.measure).set(each.late - each.before)
    at = Gauge("streamer_drift_measured_seconds", "When it was measured.", registry=registry)
    at.set(now)
    write_to_textfile(str(path), registry)
