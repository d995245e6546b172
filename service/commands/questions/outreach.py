"""`outreach`: who was written to, so that lists leave them out."""

import argparse

from service.client import Client
from service.client.models import OutreachOut, OutreachPage
from service.commands.answers import Cell, print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask, tell_more
from service.commands.questions.moments import moment, shown
from service.commands.questions.seeds import ids_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")

    record = add("record", "record who was written to")
    record.add_argument(
        "ids", nargs="+", metavar="ID", help="of stored streamers; - reads standard input"
    )
    record.add_argument(
        "--at", type=moment, metavar="TIME", help="when, such as 2030-01-31 (UTC); default: now"
    )
    record.add_argument("--note", default="", help="for people")
    listing = add("list", "records, one a line")
    listing.add_argument("streamer_id", nargs="?", metavar="ID", help="only those of a streamer")
    listing.add_argument("--since", type=moment, metavar="TIME", help="only those since then")
    listing.add_argument("--limit", type=whole_number(1, most=100), default=20, help="(20)")
    delete = add("delete", "delete a record")
    delete.add_argument("outreach_id", metavar="RECORD", help="of the record, from `list`")
    for action in actions.choices.values():
        add_common(action)


def run(args: argparse.Namespace) -> int:
    """Do it, and show the records."""
    if args.action == "list":
        return ask(
            args,
            lambda client: client.outreach.page(
                args.streamer_id, since=args.since, limit=args.limit
            ),
            _list,
        )
    if args.action == "delete":
        return ask(args, lambda client: client.outreach.delete(args.outreach_id), _show)
    return ask(args, lambda client: _record(client, args), _show)


def _record(client: Client, args: argparse.Namespace) -> OutreachOut:
    return client.outreach.record(ids_of(args.ids), at=args.at, note=args.note)


def _show(record: OutreachOut) -> None:
    print_rows(_COLUMNS, [_row(record)])


def _list(page: OutreachPage) -> None:
    print_rows(_COLUMNS, [_row(record) for record in page.outreach])
    tell_more(page.next_cursor)


_COLUMNS = ["outreach_id", "at", "by", "streamers", "ids", "note"]
_MOST_IDS = 10


def _row(record: OutreachOut) -> list[Cell]:
    ids = ",".join(record.ids[:_MOST_IDS]) + ("…" if len(record.ids) > _MOST_IDS else "")
    return [
        record.outreach_id,
        shown(record.at),
        record.key_name,
        len(record.ids),
        ids,
        record.note or None,
    ]
