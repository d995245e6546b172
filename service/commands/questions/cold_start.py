"""`cold-start`: the established streamers near a new one, or the users to show it to."""

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
    parser.add_argument(
        "--users",
        type=whole_number(1),
        default=0,
        metavar="N",
        help="list this many users that are likely interested, in place of the neighbours",
    )
    parser.add_argument("--space", metavar="NAME", help="ID space, where there are several")
    parser.add_argument(
        "--deadline-ms",
        type=whole_number(1),
        metavar="MS",
        help="answer by then with what is ready",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and show neighbours or users, the first ones first; the vector is in the JSON alone."""
    question = {
        "streamer_id": args.streamer_id,
        "neighbours": args.neighbours,
        "users": args.users,
        "space": args.space,
        "deadline_ms": args.deadline_ms,
    }
    show = _show_users if args.users else _show
    return ask(args, lambda client: client.cold_start(question), show)


def _show_users(answer: ColdStartOut) -> None:
    print_rows(["user_id", "score"], [[u.user_id, u.score] for u in answer.users or ()])
    if answer.users_unavailable_because:
        print(f"no users: {answer.users_unavailable_because}", file=sys.stderr)
    _tell(answer)


def _show(answer: ColdStartOut) -> None:
    print_rows(
        ["streamer_id", "score", "weight", "via"],
        [[n.streamer_id, n.score, n.weight, ",".join(n.via)] for n in answer.neighbours],
    )
    _tell(answer)


def _tell(answer: ColdStartOut) -> None:
    if answer.fallback.used:
        print(f"fallback: {answer.fallback.reason}", file=sys.stderr)
    tell_incomplete(answer.complete, answer.incomplete_because)
