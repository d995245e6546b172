"""`judge`: what you know of a pair, which is stronger than evidence."""

import argparse
import sys

from service.client.models import GivenOut, TakenBackOut
from service.commands.answers import print_rows
from service.commands.questions.asking import add_common, ask

_TAKE_BACK = "take-back"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pair, and what it is."""
    parser.add_argument("a", metavar="A", help="of a stored streamer")
    parser.add_argument("b", metavar="B", help="of another one")
    parser.add_argument(
        "verdict",
        choices=("same", "different", "unsure", _TAKE_BACK),
        help="same: in one group from now on. different: never. unsure: as the evidence says. "
        "take-back: remove what was judged",
    )
    parser.add_argument("--note", help="why, for people")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Judge, and show the judgement; what it replaces and overrules is on standard error."""
    if args.verdict == _TAKE_BACK:
        if args.note is not None:
            print("error: --note goes with a verdict; take-back has none", file=sys.stderr)
            return 2
        return ask(args, lambda client: client.judgements.delete(args.a, args.b), _show)
    return ask(
        args,
        lambda client: client.judgements.put(args.a, args.b, args.verdict, args.note or ""),
        _show_given,
    )


def _show(judgement: GivenOut | TakenBackOut) -> None:
    row = [judgement.a, judgement.b, judgement.verdict, judgement.key_name, judgement.note]
    print_rows(["a", "b", "verdict", "by", "note"], [row])


def _show_given(given: GivenOut) -> None:
    _show(given)
    if given.before is not None:
        was = given.before
        print(f"replaces {was.verdict!r}, judged by {was.key_name!r}", file=sys.stderr)
    for pair in given.overrules:
        print(
            f"overrules the judgement of {pair.a} and {pair.b}, which contradicts it: take back "
            "the one that is wrong",
            file=sys.stderr,
        )
