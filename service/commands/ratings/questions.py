"""The question of a command: whom streamers should be like, and unlike."""

import argparse

from service.features.ratings.questions import Question

LIKE = "of stored streamers that wanted ones are like"
"""Help of the argument `like`."""


def add_question(parser: argparse.ArgumentParser) -> None:
    """Add what a question has beside those that streamers should be like (`like`)."""
    parser.add_argument(
        "--unlike", nargs="+", default=[], metavar="ID", help="of stored streamers they are unlike"
    )


def question_of(args: argparse.Namespace) -> Question:
    """The question of the arguments."""
    return Question(args.like, args.unlike, {})
