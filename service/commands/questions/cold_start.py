"""`cold-start`: the established streamers near a new one."""

import argparse
import sys

from service.client.models import ColdStartOut
from service.commands.answers import print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask, tell_incomplete


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom it is about, and how many."""
    parser.add_argument("streamer_id", metavar="ID", help="of a stored streamer")
    parser.add_argument(
        "--neighbours", type=whole_number(1), default=10, metavar="N", help="most neighbours (10)"
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and show the neighbours, the heaviest first; the vector is in the JSON alone."""
    question = {"streamer_id": args.streamer_id, "neighbours": args.neighbours}
    return ask(args, lambda client: client.cold_start(question), _show)


def _show(answer: ColdStartOut) -> None:
    print_rows(
        ["streamer_id", "score", "weight", "via"],
        [[n.streamer_id, n.score, n.weight, ",".join(n.via)] for n in answer.neighbours],
    )
    if answer.fallback.used:
        print(f"fallback: {answer.fallback.reason}", file=sys.stderr)
    tell_incomplete(answer.complete, answer.incomplete_because)
