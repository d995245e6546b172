"""`models shadow` and `models canary`: a model and live questions before its promotion."""

import argparse

from service.client import Client
from service.client.models import ShadowOut, ShadowSideOut
from service.commands.answers import Cell, answer, print_rows
from service.commands.questions.asking import with_client

_SIDES = ["model", "answered", "empty", "failed", "p50_ms", "p99_ms", "recall", "largest_hub"]
_CHANGES = ["seeds", "overlap", "active", "shadow"]


def add_arguments(shadow: argparse.ArgumentParser, canary: argparse.ArgumentParser) -> None:
    """How many questions, and how many callers."""
    what = shadow.add_mutually_exclusive_group()
    what.add_argument(
        "--sample",
        type=_share,
        metavar="SHARE",
        help="begin, or change the share of the questions, such as 0.05 or 5%%; by default the "
        "report is shown",
    )
    what.add_argument(
        "--stop", dest="sample", action="store_const", const=0.0, help="end it; the report stays"
    )
    canary.add_argument(
        "share", type=_share, metavar="SHARE", help="of the callers, such as 0.1 or 10%%; 0 ends it"
    )


def report(args: argparse.Namespace) -> int:
    """Show what a shadow has found."""

    def do(client: Client) -> None:
        found = client.models.shadow_report(args.model)
        answer(args, found.model_dump(mode="json"), lambda: _show(found))

    return with_client(args, do)


def _show(found: ShadowOut) -> None:
    dropped = ", ".join(f"{count} {why}" for why, count in sorted(found.dropped.items()))
    print(
        f"{found.model_version} beside {found.compared_with}: {found.compared} of {found.sampled} "
        f"questions compared on {found.replicas} replicas; dropped: {dropped or 'none'}"
    )
    if found.overlap is not None:
        mean = found.overlap
        print(
            f"overlap@{found.k} {mean.mean:.4f} ({mean.low:.4f} to {mean.high:.4f}), same first "
            f"hit {found.same_first}, mean change of rank {found.rank_change}"
        )
    print()
    print_rows(
        _SIDES, [_row(found.compared_with, found.active), _row(found.model_version, found.shadow)]
    )
    if found.changes:
        print("\nlargest changes:")
        changes: list[list[Cell]] = [
            [" ".join(e.seeds), e.overlap, " ".join(e.active), " ".join(e.shadow)]
            for e in found.changes
        ]
        print_rows(_CHANGES, changes)


def _row(model: str, side: ShadowSideOut) -> list[Cell]:
    recall = None if side.recall is None else side.recall.mean
    counts = [side.answered, side.empty, side.failed]
    return [model, *counts, side.p50_ms, side.p99_ms, recall, side.largest_hub]


def _share(text: str) -> float:
    number, is_percent = text.removesuffix("%"), text.endswith("%")
    try:
        share = float(number) / (100 if is_percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, or from 0% to 100%; it is {text!r}")
    return share
