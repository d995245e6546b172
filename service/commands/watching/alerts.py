"""`alerts`: who matched a watchlist, and what became of that."""

import argparse
import sys

from service.client import Client, Conflict
from service.client.models import AlertOut, AlertPage
from service.client.watchlists.calls import Mode
from service.commands.answers import Cell, print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask
from service.commands.questions.moments import shown

_DECISIONS = {"confirm": "confirmed", "dismiss": "dismissed", "reopen": "open"}
_MODES: tuple[Mode, ...] = ("shadow", "on")
"""In this order none is passed over that is turned on meanwhile."""
_COLUMNS = ["alert_id", "streamer_id", "like", "probability", "verdict", "state", "list", "raised"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to show or decide."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")

    listing = add("list", "alerts in the order in which they were raised, one a line")
    listing.add_argument("--state", choices=("open", "confirmed", "dismissed"), help="(all)")
    listing.add_argument("--list", metavar="LIST", help="only those of a watchlist")
    listing.add_argument("--shadow", action="store_true", help="those that are not delivered")
    listing.add_argument("--cursor", help="continues an earlier answer")
    listing.add_argument("--limit", type=whole_number(1, most=1000), default=100, help="(100)")
    show = add("show", "the evidence of an alert, a channel a line")
    show.add_argument("alert_id", metavar="ALERT", help="of an alert")
    for name in _DECISIONS:
        decide = add(name, f"{name} an alert")
        if name == "dismiss":
            which = decide.add_mutually_exclusive_group(required=True)
            which.add_argument("alert_id", nargs="?", metavar="ALERT", help="of an alert")
            which.add_argument(
                "--list",
                metavar="LIST",
                help="all that are open of a watchlist, such as one that was deleted",
            )
        else:
            decide.add_argument("alert_id", metavar="ALERT", help="of an alert")
        decide.add_argument("--note", default="", help="why, for people")
        decide.add_argument(
            "--if-revision",
            type=whole_number(1),
            metavar="N",
            help="only at this revision, as `show` tells it: it may show other content since",
        )
    for action in actions.choices.values():
        add_common(action)


def run(args: argparse.Namespace) -> int:
    """Ask and show it."""
    if args.action == "list":
        return ask(args, lambda client: _page(client, args), _list)
    if args.action == "show":
        return ask(args, lambda client: client.alerts.get(args.alert_id), _show_evidence)
    if args.action == "dismiss" and args.list is not None:
        if args.if_revision is not None:
            print("error: --if-revision is of one ALERT, not of --list", file=sys.stderr)
            return 2
        return ask(args, lambda client: _dismiss_all(client, args), _list)
    return ask(args, lambda client: _decide(client, args), _show)


def _page(client: Client, args: argparse.Namespace) -> AlertPage:
    return client.alerts.page(
        state=args.state,
        mode="shadow" if args.shadow else "on",
        watchlist_id=args.list,
        limit=args.limit,
        cursor=args.cursor,
    )


def _decide(client: Client, args: argparse.Namespace) -> AlertOut:
    state = _DECISIONS[args.action]
    assert state in ("confirmed", "dismissed", "open")
    return client.alerts.decide(args.alert_id, state, args.note, if_revision=args.if_revision)


def _dismiss_all(client: Client, args: argparse.Namespace) -> AlertPage:
    """Dismiss the open alerts of a watchlist, delivered or not, unless they change meanwhile."""
    dismissed: list[AlertOut] = []
    left = 0
    is_through = False
    try:
        for mode in _MODES:
            for alert in [*client.alerts.all(state="open", mode=mode, watchlist_id=args.list)]:
                seen = alert.revision
                try:
                    decided = client.alerts.decide(
                        alert.alert_id, "dismissed", args.note, if_revision=seen
                    )
                except Conflict:
                    left += 1
                    continue
                dismissed.append(decided)
        is_through = True
    finally:
        if is_through or dismissed or left:  # the service may be lost in the middle
            others = f"; {left} were changed meanwhile" if left else ""
            print(f"dismissed {len(dismissed)} of list {args.list}{others}", file=sys.stderr)
    return AlertPage(alerts=dismissed, next_cursor=None, has_more=False)


def _row(alert: AlertOut) -> list[Cell]:
    like = alert.seed_id or f"seed {alert.seed}"
    return [
        alert.alert_id,
        alert.streamer_id,
        like,
        alert.probability,
        alert.verdict,
        alert.state,
        alert.watchlist_name,
        shown(alert.at),
    ]


def _list(page: AlertPage) -> None:
    print_rows(_COLUMNS, [_row(alert) for alert in page.alerts])
    if page.next_cursor is not None:
        what = "more" if page.has_more else "newer ones"
        print(f"{what}: --cursor {page.next_cursor}", file=sys.stderr)


def _show(alert: AlertOut) -> None:
    print_rows(_COLUMNS, [_row(alert)])


def _show_evidence(alert: AlertOut) -> None:
    rows: list[list[Cell]] = [[each.channel, each.level, each.weight] for each in alert.evidence]
    print_rows(["channel", "level", "weight"], rows)
    like = alert.seed_id or f"seed {alert.seed}"
    print(
        f"{alert.streamer_id} is like {like} of {alert.watchlist_name!r}: {alert.weight:.1f} bits, "
        f"{alert.verdict}; {alert.state}, revision {alert.revision}",
        file=sys.stderr,
    )
    for decision in alert.decisions:
        print(f"{decision.state} by {decision.key_name}: {decision.note}", file=sys.stderr)
