"""`models compare` and `models flips`: what would change if a model were promoted."""

import argparse
from itertools import islice

from service.client import Client
from service.client.models import ComparisonOut, FlipOut
from service.commands.answers import Cell, answer, print_rows
from service.commands.questions.asking import with_client

_KINDS = ("judgements", "verdicts", "alerts", "ratings")
_MOST_SAMPLE = 10_000
_PAGE = 1000
_GATE = ["decisions", "gate", "loss", "limit", "replayed", "reason"]
_THRESHOLDS = [
    "decisions",
    "at",
    "next_at",
    "precision",
    "recall",
    "next_precision",
    "next_recall",
    "equal_at",
    "equal_recall",
]
_ANSWERS = ["model", "median_ms", "p95_ms", "recall", "largest_hub", "hubness", "ndcg", "coverage"]
_FLIPS = ["ids", "context", "said", "before", "after", "at", "next_at", "lost"]


def add_arguments(compare: argparse.ArgumentParser, flips: argparse.ArgumentParser) -> None:
    """How to compare, and what to list."""
    compare.add_argument(
        "--sample",
        type=_sample,
        metavar="N",
        help="streamers drawn at random whose neighbours are compared; by default as the service "
        "is set",
    )
    compare.add_argument(
        "--last", action="store_true", help="show the last report, in place of comparing again"
    )
    flips.add_argument("kind", choices=_KINDS, metavar="KIND", help=", ".join(_KINDS))
    flips.add_argument(
        "--limit", type=_limit, default=100, metavar="N", help="at most so many (100)"
    )


def compare(args: argparse.Namespace) -> int:
    """Compare, wait for it, and show the report; 1 where the gate says no."""
    is_open = True

    def do(client: Client) -> None:
        nonlocal is_open
        if not args.last:
            client.jobs.wait(client.models.compare(args.model, sample=args.sample).job_id)
        found = client.models.comparison(args.model)
        is_open = found.status != "failed"
        answer(args, found.model_dump(mode="json"), lambda: _show(found))

    return with_client(args, do) or int(not is_open)


def flips(args: argparse.Namespace) -> int:
    """Show decisions that flip."""

    def do(client: Client) -> None:
        listed = client.models.flips(args.model, args.kind, limit=min(args.limit, _PAGE))
        found = list(islice(listed, args.limit))
        fields = {"flips": [flip.model_dump(mode="json") for flip in found]}
        answer(args, fields, lambda: print_rows(_FLIPS, [_row(flip) for flip in found]))

    return with_client(args, do)


def _show(found: ComparisonOut) -> None:
    print(f"{found.model_version} beside {found.compared_with}: {found.status}\n")
    outcomes: list[list[Cell]] = [
        [each.kind, each.status, each.measured, each.limit, each.decisions, each.reason]
        for each in found.outcomes
    ]
    print_rows(_GATE, outcomes)
    if found.thresholds:
        print("\nthresholds, and those of equal precision:")
        thresholds: list[list[Cell]] = [
            [
                each.kind,
                each.threshold_before,
                each.threshold_after,
                each.precision_before,
                each.recall_before,
                each.precision_after,
                each.recall_after,
                each.threshold_equal,
                each.recall_equal,
            ]
            for each in found.thresholds
        ]
        print_rows(_THRESHOLDS, thresholds)
    _show_answers(found)


def _show_answers(found: ComparisonOut) -> None:
    near, rated = found.neighbours, found.ratings
    if near is None:
        return
    rows: list[list[Cell]] = []
    for name, answering, ratings in (
        (found.compared_with, near.before, rated.before),
        (found.model_version, near.after, rated.after),
    ):
        of_ratings = (None, None) if ratings is None else (ratings.ndcg.mean, ratings.coverage)
        rows.append(
            [
                name,
                answering.median_ms,
                answering.p95_ms,
                answering.recall,
                answering.largest_hub,
                answering.hubness,
                *of_ratings,
            ]
        )
    print(f"\nanswers, of {near.sample} streamers at random and {rated.compared} rated questions:")
    print_rows(_ANSWERS, rows)
    print(
        f"\nof the {near.k} nearest both find {near.overlap:.0%}; {near.same_first:.0%} keep the "
        f"first; those that both find move by {near.rank_change:.1f} ranks"
    )


def _row(flip: FlipOut) -> list[Cell]:
    return [
        " ".join(flip.ids),
        flip.context,
        flip.said,
        flip.before,
        flip.after,
        flip.threshold_before,
        flip.threshold_after,
        "lost" if flip.is_lost else "gained",
    ]


def _sample(text: str) -> int:
    return _number(text, _MOST_SAMPLE)


def _limit(text: str) -> int:
    return _number(text, 1_000_000)


def _number(text: str, most: int) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= most:
        raise argparse.ArgumentTypeError(f"must be from 1 to {most}; it is {text!r}")
    return number
