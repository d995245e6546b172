"""`ratings`: how well streamers fit questions: given, listed, taken back."""

import argparse
import sys

from service.client import Client
from service.client.models import RatedOut, RatingOut, RatingPage
from service.commands.answers import Cell, print_rows, show
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask, with_client
from service.commands.questions.moments import shown
from service.commands.ratings.questions import LIKE, add_question, question_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")

    put = add("put", "rate a streamer for a question")
    put.add_argument("streamer_id", metavar="ID", help="of the streamer that is rated")
    put.add_argument(
        "rating",
        type=whole_number(0, most=3),
        metavar="RATING",
        help="0 does not fit, 1 somewhat, 2 fits, 3 just what was wanted",
    )
    put.add_argument("--like", nargs="+", required=True, metavar="ID", help=LIKE)
    add_question(put)
    put.add_argument("--note", help="for people; without it that of before stays")
    listing = add("list", "the ratings, one a line")
    listing.add_argument("--question", metavar="Q", help="only those of this question")
    listing.add_argument(
        "--limit", type=whole_number(1, most=1000), default=100, help="most lines (100)"
    )
    add("export", "all ratings as NDJSON, for evaluate-ratings --ratings")
    back = add("take-back", "remove what this key said of a streamer")
    back.add_argument("question_id", metavar="QUESTION", help="as `ratings list` shows it")
    back.add_argument("streamer_id", metavar="ID", help="of the streamer that was rated")
    for action in actions.choices.values():
        add_common(action)


def run(args: argparse.Namespace) -> int:
    """Do it and show what came of it."""
    if args.action == "put":
        rating = {
            "question": question_of(args).fields(),
            "streamer_id": args.streamer_id,
            "rating": args.rating,
            "note": args.note,
        }
        return ask(args, lambda client: client.ratings.put(rating), _show_given)
    if args.action == "list":
        return ask(args, lambda client: _page(client, args), _list)
    if args.action == "export":
        return with_client(args, _export)
    return ask(
        args, lambda client: client.ratings.delete(args.question_id, args.streamer_id), _show_back
    )


def _page(client: Client, args: argparse.Namespace) -> RatingPage:
    return client.ratings.page(args.question, limit=args.limit)


def _export(client: Client) -> None:
    lines = [rating.model_dump_json() for rating in client.ratings.all(page_size=1000)]
    show(lambda: print(*lines, sep="\n", end="\n" if lines else ""))  # all of them or none


def _list(page: RatingPage) -> None:
    rows: list[list[Cell]] = [
        [
            one.question_id,
            " ".join([*one.question.positive, *(f"-{name}" for name in one.question.negative)]),
            one.streamer_id,
            one.rating,
            one.key_name,
            shown(one.at),
            one.note or None,
        ]
        for one in page.ratings
    ]
    print_rows(["question_id", "question", "streamer_id", "rating", "by", "at", "note"], rows)
    if page.next_cursor is not None:
        print("there are more: raise --limit, or use export", file=sys.stderr)


def _show_given(given: RatedOut) -> None:
    before = "" if given.before is None else f" in place of {given.before}"
    print(f"{given.streamer_id}: {given.rating}{before}, for question {given.question_id}")


def _show_back(back: RatingOut) -> None:
    print(f"{back.streamer_id}: {back.rating} taken back, for question {back.question_id}")
