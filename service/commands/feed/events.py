"""`events`: what happened, in order."""

import argparse
import sys
import time
from functools import partial
from typing import Any, cast

from service.client import Client, ClientError, Unreachable
from service.client.duplicates.synchronous import Events
from service.client.models import EventOut
from service.commands.answers import Cell, answer, line_of, print_rows, show
from service.commands.questions.asking import add_common, with_client
from service.commands.questions.moments import shown
from service.commands.stopping import interruptible
from service.errors import in_one_line

_COLUMNS = ["at", "kind", "about", "data"]
_ABOUT = ("streamer_id", "group_id", "case_id", "watchlist_id", "webhook_id")
"""Of the first of these an event is."""
_POLL_S = 1.0
_PAGE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to begin, and whether to wait for more."""
    parser.add_argument("--cursor", metavar="C", help="go on behind it (the oldest event kept)")
    parser.add_argument(
        "--kinds", metavar="K,K", default="", help="such as streamer.*,duplicates.merged (all)"
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="wait for new events, until Ctrl-C and through restarts; with --json, an event a line",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Show events; the cursor that continues them is in the JSON and on standard error."""
    return with_client(args, lambda client: (_follow if args.follow else _read)(client, args))


def _read(client: Client, args: argparse.Namespace) -> None:
    feed = client.events(args.cursor, kinds=_kinds(args), page_size=_PAGE)
    events = list(feed)
    fields = {"events": [e.model_dump(mode="json") for e in events], "next_cursor": feed.cursor}
    answer(args, fields, lambda: print_rows(_COLUMNS, [_row(event) for event in events]))
    if not args.json:
        _tell(feed)


def _follow(client: Client, args: argparse.Namespace) -> None:
    feed = client.events(args.cursor, kinds=_kinds(args), page_size=_PAGE, poll_s=_POLL_S)
    if not args.json:
        show(partial(print, line_of(_COLUMNS)))
    try:
        with interruptible():
            _show_all(feed, args)
    finally:
        _tell(feed)


def _show_all(feed: Events, args: argparse.Namespace) -> None:
    """Print events as they come; only an error or a signal ends it."""
    is_told = False
    while True:
        try:
            for event in feed:
                is_told = False
                line = event.model_dump_json() if args.json else line_of(_row(event))
                show(partial(print, line))
        except ClientError as error:
            if not (error.is_passing or isinstance(error, Unreachable)):
                raise
            if not is_told:
                print(f"waiting for the service: {in_one_line(error)}", file=sys.stderr, flush=True)
            is_told = True
            time.sleep(max(_POLL_S, error.retry_after_s or 0))


def _kinds(args: argparse.Namespace) -> list[str]:
    return [kind.strip() for kind in args.kinds.split(",") if kind.strip()]


def _tell(feed: Events) -> None:
    if feed.cursor is not None:
        print(f"go on with --cursor {feed.cursor}", file=sys.stderr)


def _row(event: EventOut) -> list[Cell]:
    when, data = shown(event.at), dict(event.data)
    about = next((data.pop(name) for name in _ABOUT if name in data), None)
    return [when, event.kind, about, " ".join(f"{k}={_cell(v)}" for k, v in data.items())]


def _cell(value: Any) -> str:
    return ",".join(map(str, cast(list[Any], value))) if isinstance(value, list) else str(value)
