"""`watchlists`: seeds that all that is stored and every write is matched with."""

import argparse
import sys
from typing import Any

from service.client import Client
from service.client.models import (
    DeletedWatchlistOut,
    ListedWatchlistOut,
    WatchlistOut,
    WatchlistPage,
)
from service.commands.answers import Cell, print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask, tell_more

_PROBABILITY = 0.9
_COLUMNS = ["watchlist_id", "name", "mode", "seeds", "least", "sweep", "open", "shadow", "beyond"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to show, make or change."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")

    listing = add("list", "the watchlists, one a line")
    listing.add_argument("--limit", type=whole_number(1, most=100), default=100, help="(100)")
    create = add("create", "make a watchlist of stored streamers or of a case")
    update = add("update", "make a watchlist another one, with seeds as they are now")
    change = add("change", "change a watchlist's name, probability or mode; its seeds stay")
    change.add_argument("--name", help="for people")
    change.add_argument("--min-probability", type=float, help="that a match has at least")
    mode = change.add_mutually_exclusive_group()
    mode.add_argument("--on", action="store_const", const="on", dest="mode", help="deliver alerts")
    mode.add_argument(
        "--shadow",
        action="store_const",
        const="shadow",
        dest="mode",
        help="keep and count alerts, and deliver none",
    )
    show = add("show", "a watchlist with its seeds, one a line")
    delete = add("delete", "delete a watchlist; its alerts stay (alerts dismiss --list LIST)")
    for action in (show, update, change, delete):
        action.add_argument("watchlist_id", metavar="LIST", help="of a watchlist")
    for action in (create, update):
        action.add_argument("seeds", nargs="*", metavar="ID", help="streamers to look for")
        action.add_argument("--name", required=True, help="for people")
        action.add_argument("--case", help="confirmed members of this case are seeds")
        action.add_argument(
            "--not-like", nargs="+", default=[], metavar="ID", help="streamers that cancel a match"
        )
        action.add_argument(
            "--min-probability", type=float, default=_PROBABILITY, help=f"({_PROBABILITY})"
        )
        action.add_argument(
            "--shadow", action="store_true", help="keep and count alerts, and deliver none"
        )
    for action in actions.choices.values():
        add_common(action)


def run(args: argparse.Namespace) -> int:
    """Ask and show it."""
    if args.action == "list":
        return ask(args, lambda c: c.watchlists.page(limit=args.limit), _list)
    if args.action == "show":
        return ask(args, lambda c: c.watchlists.get(args.watchlist_id), _show_seeds)
    if args.action == "delete":
        return ask(args, lambda c: c.watchlists.delete(args.watchlist_id), _show_deleted)
    if args.action == "change":
        given = {n: getattr(args, n) for n in ("name", "min_probability", "mode")}
        wanted = {name: value for name, value in given.items() if value is not None}
        return ask(args, lambda c: c.watchlists.change(args.watchlist_id, wanted), _show)
    return ask(args, lambda c: _put(c, args), _show)


def _put(client: Client, args: argparse.Namespace) -> WatchlistOut:
    positive: list[dict[str, Any]] = [{"streamer_id": seed} for seed in args.seeds]
    if args.case is not None:
        positive.append({"case_id": args.case})
    wanted = {
        "name": args.name,
        "positive": positive,
        "negative": [{"streamer_id": seed} for seed in args.not_like],
        "min_probability": args.min_probability,
        "mode": "shadow" if args.shadow else "on",
    }
    if args.action == "create":
        return client.watchlists.create(wanted)
    return client.watchlists.replace(args.watchlist_id, wanted)


def _row(each: ListedWatchlistOut) -> list[Cell]:
    return [
        each.watchlist_id,
        each.name,
        each.mode,
        each.positive_count,
        each.min_probability,
        each.sweep.state,
        each.alerts.open,
        each.shadow_alerts.open,
        each.beyond or None,
    ]


def _list(page: WatchlistPage) -> None:
    print_rows(_COLUMNS, [_row(each) for each in page.watchlists])
    tell_more(page.next_cursor)


def _show(made: WatchlistOut) -> None:
    print_rows(_COLUMNS, [_row(made)])
    _tell_not_stored(made)


def _show_deleted(deleted: DeletedWatchlistOut) -> None:
    print_rows(["deleted"], [[deleted.watchlist_id]])


def _show_seeds(found: WatchlistOut) -> None:
    rows: list[list[Cell]] = []
    for sign, seeds in (("+", found.positive), ("-", found.negative)):
        for seed in seeds:
            shown = None if seed.profile is None else str(seed.profile.get("name") or "a profile")
            rows.append([sign, seed.streamer_id, seed.case_id, shown])
    print_rows(["sign", "streamer_id", "case_id", "profile"], rows)
    _tell_not_stored(found)


def _tell_not_stored(found: WatchlistOut) -> None:
    if found.not_stored:
        names = ", ".join(found.not_stored)
        print(f"confirmed, but not stored, and so no seeds: {names}", file=sys.stderr)
