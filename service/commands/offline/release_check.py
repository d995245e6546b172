"""`python -m service release-check`: whether a bundle may be served, by tests on held-out data."""

import argparse
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from model_export.contract.bundle import Bundle
from model_export.contract.errors import ContractError
from model_export.contract.variants import VARIANTS
from service.commands.answers import Cell, answer, print_rows
from service.commands.arguments import using, whole_number
from service.errors import ServiceError, in_one_line
from service.features.release.gates import Gate, Thresholds
from service.features.release.service import MOST_STREAMERS, Release, check_release


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bundle, the data, and what is asked of it."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the exported model")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="a data set folder that the model has not learned from, but for the training split",
    )
    parser.add_argument(
        "--dim", type=whole_number(1), help="one of the model's widths (default: the full one)"
    )
    parser.add_argument(
        "--variant", choices=VARIANTS, help="smaller graphs of the model (default: the full ones)"
    )
    parser.add_argument(
        "--streamers",
        type=whole_number(50, most=100_000),
        default=MOST_STREAMERS,
        help=f"most streamers that are drawn from the folder ({MOST_STREAMERS})",
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the draw (0)")
    parser.add_argument(
        "--require-all", action="store_true", help="refuse what a gate could not be measured of"
    )
    for field in fields(Thresholds):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=_share,
            default=field.default,
            metavar="X",
            help=f"a threshold ({field.default})",
        )


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text[:40]!r}")
    return number


def run(args: argparse.Namespace) -> int:
    """Test; 1 when a gate fails, or the bundle or the folder can't be read."""
    limits = Thresholds(**{field.name: getattr(args, field.name) for field in fields(Thresholds)})
    try:
        bundle = Bundle(args.bundle, args.variant)
        with using("--data", args.data, "give a data set folder with streamers.jsonl"):
            found = check_release(
                bundle,
                args.data,
                dim=args.dim,
                most=args.streamers,
                seed=args.seed,
                limits=limits,
            )
    except (ContractError, ServiceError, OSError) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    wrong = found.failed + (found.not_run if args.require_all else [])
    whole: dict[str, Any] = {
        "model_version": found.model_version,
        "released": not wrong,
        "gates": [asdict(gate) for gate in found.gates],
    }
    answer(args, whole, lambda: _show(found))
    for gate in wrong:
        print(f"{gate.name}: {gate.reason} (limit {gate.limit:g})", file=sys.stderr)
    if wrong:
        names = ", ".join(gate.name for gate in wrong)
        print(f"error: {found.model_version} must not be served: {names}", file=sys.stderr)
    return 1 if wrong else 0


def _show(found: Release) -> None:
    def row(gate: Gate) -> list[Cell]:
        return [gate.status, gate.name, gate.measured, gate.limit, gate.cases, gate.reason]

    print_rows(
        ["status", "gate", "measured", "limit", "cases", "found"], list(map(row, found.gates))
    )
