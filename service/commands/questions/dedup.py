"""`dedup`: which of some streamers are near-duplicates of each other."""

import argparse
import sys
from typing import Any

from service.client.models import DedupClustersOut, DedupFeedOut
from service.commands.answers import Cell, print_rows
from service.commands.questions.asking import add_common, ask, tell_incomplete
from service.commands.questions.seeds import ids_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom to compare, and what counts."""
    parser.add_argument(
        "ids", nargs="+", metavar="ID", help="of stored streamers; - reads standard input"
    )
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument(
        "--threshold", type=float, metavar="X", help="lowest content cosine (the model's)"
    )
    limits.add_argument(
        "--min-precision",
        type=float,
        metavar="X",
        help="this share of pairs is right, by the model's calibration",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and show each streamer with its group: a number, or why it is in none."""
    limits = {"threshold": args.threshold, "min_precision": args.min_precision}
    given: dict[str, Any] = {name: x for name, x in limits.items() if x is not None}
    return ask(args, lambda client: client.dedup({"ids": ids_of(args.ids), **given}), _show)


def _show(answer: DedupClustersOut | DedupFeedOut) -> None:
    assert isinstance(answer, DedupClustersOut)  # what was asked for
    rows: list[list[Cell]] = [
        [str(number), member.streamer_id, member.score, member.copies]
        for number, cluster in enumerate(answer.clusters, start=1)
        for member in cluster.members
    ]
    for group, ids in (
        ("unique", answer.unique),
        ("not_comparable", answer.not_comparable),
        ("not_stored", answer.not_stored),
    ):
        for streamer_id in ids:
            rows.append([group, streamer_id, None, None])
    print_rows(["group", "streamer_id", "score", "copies"], rows)
    if answer.not_stored:
        count = len(answer.not_stored)
        print(f"warning: {count} of the ids are not stored: check them", file=sys.stderr)
    tell_incomplete(answer.complete, answer.incomplete_because)
