"""`interleave`: one list of two strategies, for people who must not know which is which."""

import argparse
import json
import random
import secrets
from pathlib import Path

from service.client import Client
from service.commands.answers import print_rows
from service.commands.arguments import using, whole_number
from service.commands.files import tell_written
from service.commands.questions.asking import add_common, with_client
from service.commands.ratings.answering import STRATEGIES, System
from service.commands.ratings.questions import LIKE, add_question, question_of
from service.features.ratings.interleaving import team_draft


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom the list is about, and what is compared."""
    parser.add_argument("like", nargs="+", metavar="ID", help=LIKE)
    add_question(parser)
    parser.add_argument(
        "--strategies",
        nargs=2,
        choices=STRATEGIES,
        default=["average", "best_score"],
        metavar="S",
        help=f"the two that are compared, of {', '.join(STRATEGIES)} (average best_score)",
    )
    parser.add_argument("-k", type=whole_number(1, most=1000), default=10, help="length (10)")
    parser.add_argument("--seed", type=whole_number(0), help="draws the same list again")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the list with the strategy of each streamer is added to it, as a line of JSON",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask both, and show the list without what each streamer is from."""
    return with_client(args, lambda client: _run(client, args))


def _run(client: Client, args: argparse.Namespace) -> None:
    question = question_of(args)
    first, second = (
        System(client, name).hits(question.fields(), args.k) for name in args.strategies
    )
    seed = secrets.randbits(31) if args.seed is None else args.seed
    picks = team_draft(first, second, args.k, random.Random(seed))
    kept = {
        "question_id": question.question_id,
        "question": question.fields(),
        "systems": args.strategies,
        "seed": seed,
        "picks": picks,
    }
    with using("--out", args.out, "choose a file that can be written"), args.out.open("a") as file:
        file.write(json.dumps(kept, ensure_ascii=False) + "\n")
    shown = [[place, pick.streamer_id] for place, pick in enumerate(picks, start=1)]
    fields = {
        "question_id": question.question_id,
        "streamer_ids": [pick.streamer_id for pick in picks],
    }
    tell_written(args, args.out, fields, lambda: print_rows(["rank", "streamer_id"], shown))
