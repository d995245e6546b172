"""`similar`: the streamers nearest to stored ones, or to profiles."""

import argparse
import sys
from typing import Any

from service.client import Client
from service.client.models import ExportSummaryOut, HitOut, SameContentOut, SimilarOut
from service.commands.answers import Cell, answer, print_rows
from service.commands.arguments import UnusablePath, whole_number
from service.commands.questions.asking import add_common, ask, tell_incomplete, with_client
from service.commands.questions.seeds import add_seeds, question_of
from service.errors import in_one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom it is about, and how many."""
    add_seeds(parser)
    parser.add_argument("-k", type=whole_number(1), default=10, help="most hits (10)")
    parser.add_argument("--explain", action="store_true", help="show what both have in common")
    parser.add_argument("--exact", action="store_true", help="scan every streamer")
    parser.add_argument(
        "--all",
        action="store_true",
        help="everybody who reaches --min-score or --min-precision, whatever -k is",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and show the hits, best first."""
    try:
        question = question_of(args)
    except UnusablePath as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    wrong = _wrong(args, question)
    if wrong is not None:
        print(f"error: {wrong}", file=sys.stderr)
        return 2
    if args.all:
        return with_client(args, lambda client: _show_all(args, client, question))
    return ask(args, lambda client: _asked(args, client, question), lambda a: _show(args, a))


def _wrong(args: argparse.Namespace, question: dict[str, Any]) -> str | None:
    """What is wrong with the arguments together."""
    if not question["positive"]:
        return "give the ID of a streamer, or a --profile; see --help"
    if args.all and args.min_score is None and args.min_precision is None:
        return "--all needs --min-score or --min-precision"
    if args.all and args.explain:
        return "--all has no --explain: give -k, or take `lists preview`"
    return None


def _asked(args: argparse.Namespace, client: Client, question: dict[str, Any]) -> SimilarOut:
    is_one = len(question["positive"]) == 1 and "streamer_id" in question["positive"][0]
    if is_one and not question.keys() - {"positive", "min_score", "min_precision"}:
        return client.similar(
            question["positive"][0]["streamer_id"],
            k=args.k,
            min_score=args.min_score,
            min_precision=args.min_precision,
            explain=args.explain,
            exact=args.exact,
        )
    more = {"k": args.k, "explain": args.explain, "exact": args.exact}
    return client.search({**question, **more})


def _show(args: argparse.Namespace, found: SimilarOut) -> None:
    columns = ["rank", "streamer_id", "score", "precision"]
    rows = [list[Cell]([h.rank, h.streamer_id, h.score, h.precision]) for h in found.hits]
    if args.explain:
        columns.append("shared")
        for row, hit in zip(rows, found.hits, strict=True):
            row.append(_shared(hit))
    print_rows(columns, rows)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    tell_incomplete(found.complete, found.incomplete_because)


def _show_all(args: argparse.Namespace, client: Client, question: dict[str, Any]) -> None:
    """The lines of an export, once its last line is there."""
    *hits, last = client.export(question)
    assert isinstance(last, ExportSummaryOut)  # the client has made sure of it
    fields = [hit.model_dump(mode="json") for hit in hits]

    def plainly() -> None:
        columns = ["rank", "streamer_id", "score", "precision"]
        print_rows(columns, [[row[name] for name in columns] for row in fields])
        for warning in last.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        tell_incomplete(last.complete, last.incomplete_because)

    answer(args, {"hits": fields, **last.model_dump(mode="json")}, plainly)


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
