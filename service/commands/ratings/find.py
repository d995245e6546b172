"""`find`: streamers by nickname, tag or bio."""

import argparse

from service.client.models import FindOut
from service.commands.answers import Cell, print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask, tell_incomplete, tell_more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is remembered of them, and who may be in the answer."""
    parser.add_argument("q", metavar="TEXT", help="of a name, tag or bio, or an id")
    for field in ("category", "language", "tag"):
        parser.add_argument(f"--{field}", metavar="X", help=f"only those with this {field}")
    parser.add_argument(
        "--limit", type=whole_number(1, most=1000), default=20, help="most streamers (20)"
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and show who was found, the best first."""
    given = {"category": args.category, "language": args.language, "tags": args.tag}
    must = [{"field": name, "any": [value]} for name, value in given.items() if value is not None]
    return ask(
        args,
        lambda client: client.find.page(args.q, filter={"must": must}, limit=args.limit),
        _show,
    )


def _show(page: FindOut) -> None:
    rows: list[list[Cell]] = [
        [s.streamer_id, s.name, s.matched, s.category, s.language] for s in page.streamers
    ]
    print_rows(["streamer_id", "name", "matched", "category", "language"], rows)
    tell_more(page.next_cursor)
    tell_incomplete(page.complete, page.incomplete_because)
