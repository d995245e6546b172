"""`similar`: the streamers nearest to a stored one."""

import argparse
import sys

from service.client.models import HitOut, SameContentOut, SimilarOut
from service.commands.answers import Cell, print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask, tell_incomplete


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom it is about, and how many."""
    parser.add_argument("streamer_id", metavar="ID", help="of a stored streamer")
    parser.add_argument("-k", type=whole_number(1), default=10, help="most hits (10)")
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument(
        "--min-score", type=float, metavar="X", help="only hits with this score or more"
    )
    limits.add_argument(
        "--min-precision",
        type=float,
        metavar="X",
        help="only hits of which this share is right, by the model's calibration",
    )
    parser.add_argument("--explain", action="store_true", help="show what both have in common")
    parser.add_argument("--exact", action="store_true", help="scan every streamer")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and show the hits, best first."""

    def show(answer: SimilarOut) -> None:
        columns = ["rank", "streamer_id", "score", "precision"]
        rows = [list[Cell]([h.rank, h.streamer_id, h.score, h.precision]) for h in answer.hits]
        if args.explain:
            columns.append("shared")
            for row, hit in zip(rows, answer.hits, strict=True):
                row.append(_shared(hit))
        print_rows(columns, rows)
        for warning in answer.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        tell_incomplete(answer.complete, answer.incomplete_because)

    return ask(
        args,
        lambda client: client.similar(
            args.streamer_id,
            k=args.k,
            min_score=args.min_score,
            min_precision=args.min_precision,
            explain=args.explain,
            exact=args.exact,
        ),
        show,
    )


def _shared(hit: HitOut) -> str:
    """What a hit has in common with the streamer, by kind."""
    if hit.reasons is None:
        return ""
    kinds = hit.reasons.shared.items()
    return "; ".join(f"{kind}: {', '.join(map(_told, values))}" for kind, values in kinds)


def _told(shared: str | SameContentOut) -> str:
    """In the words of both; pictures and sounds by their places."""
    if isinstance(shared, str):
        return shared
    if not shared.seed_quote and not shared.hit_quote:
        return f"{shared.seed}={shared.hit}"
    if shared.seed_quote.casefold() == shared.hit_quote.casefold():
        return f'"{shared.seed_quote}"'
    sign = "=" if shared.similarity is None else f"~{shared.similarity:.2f}"
    return f'"{shared.seed_quote}" {sign} "{shared.hit_quote}"'
