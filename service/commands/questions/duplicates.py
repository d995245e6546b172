"""`duplicates`: groups of duplicates over all streamers, and judgements of pairs."""

import argparse
import sys

from service.client import Client
from service.client.models import (
    EdgeOut,
    GroupDetailOut,
    GroupPage,
    JobOut,
    JudgementPage,
    StreamerDuplicatesOut,
)
from service.commands.answers import Cell, print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask, tell_more
from service.commands.questions.moments import shown

_INCOMPLETE = "the streamers are being compared for the first time; ask again in a while"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to show, and of which group or streamer."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")

    listing = add("list", "the groups, one a line")
    listing.add_argument("--order", choices=("size", "newest"), default="size", help="(size)")
    show = add("show", "members of a group, each with its strongest edge")
    show.add_argument("group_id", type=_group_id, metavar="GROUP", help="of a group, live or not")
    show.add_argument("--edges", action="store_true", help="show all edges in place of members")
    of = add("of", "the group of a streamer, and who is taken for a duplicate of it")
    of.add_argument("streamer_id", metavar="ID", help="of a stored streamer")
    judgements = add("judgements", "what was judged, one pair a line")
    judgements.add_argument("streamer_id", metavar="ID", nargs="?", help="only those of a streamer")
    for action, most in ((listing, 20), (show, 1000), (of, 100), (judgements, 100)):
        action.add_argument(
            "--limit", type=whole_number(1, most=1000), default=most, help=f"most lines ({most})"
        )
    add("rebuild", "compare all streamers anew, as a job; prints the job")
    for action in actions.choices.values():
        add_common(action)


def _group_id(text: str) -> str:
    if not text.startswith("dup-"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the id of a group, which begins with dup-; for the group of a "
            "streamer: duplicates of ID"
        )
    return text


def run(args: argparse.Namespace) -> int:
    """Ask and show it."""
    if args.action == "list":
        return ask(args, lambda c: c.duplicates.page(order=args.order, limit=args.limit), _list)
    if args.action == "show":
        show = _show_edges if args.edges else _show_members
        return ask(args, lambda c: c.duplicates.get(args.group_id, limit=args.limit), show)
    if args.action == "of":
        return ask(args, lambda c: c.duplicates.of(args.streamer_id, limit=args.limit), _show_of)
    if args.action == "judgements":
        return ask(args, lambda c: _judgements(c, args), _show_judgements)
    return ask(args, lambda client: client.duplicates.rebuild(), _show_job)


def _judgements(client: Client, args: argparse.Namespace) -> JudgementPage:
    return client.judgements.page(args.streamer_id, limit=args.limit)


def _list(page: GroupPage) -> None:
    rows: list[list[Cell]] = [
        [g.group_id, g.size, g.representative, shown(g.updated_at)] for g in page.groups
    ]
    print_rows(["group_id", "size", "representative", "changed"], rows)
    if page.evaluated_sequence is None:
        print(f"incomplete: {_INCOMPLETE}", file=sys.stderr)
    tell_more(page.next_cursor)


def _show_members(group: GroupDetailOut) -> None:
    edges: dict[str, list[tuple[float, str, EdgeOut]]] = {name: [] for name in group.members}
    for edge in group.edges:
        for name, other in ((edge.a, edge.b), (edge.b, edge.a)):
            edges.setdefault(name, []).append((edge.weight, other, edge))
    rows: list[list[Cell]] = []
    for name in group.members:
        weight, other, strongest = max(edges[name], default=(None, None, None))
        kind = None if strongest is None else strongest.kind
        bridges = [end for _, end, edge in edges[name] if edge.bridge]
        role = "representative" if name == group.representative else None
        rows.append([name, len(edges[name]), other, weight, kind, ",".join(bridges) or None, role])
    columns = ["streamer_id", "edges", "strongest_with", "weight", "kind", "bridges_to", "role"]
    print_rows(columns, rows)
    _tell_fate(group)


def _show_edges(group: GroupDetailOut) -> None:
    rows: list[list[Cell]] = [
        [e.a, e.b, e.weight, e.kind, {True: "bridge", False: None, None: "unknown"}[e.bridge]]
        for e in sorted(group.edges, key=lambda e: -e.weight)
    ]
    print_rows(["a", "b", "weight", "kind", "bridge"], rows)
    _tell_fate(group)


def _tell_fate(group: GroupDetailOut) -> None:
    if group.state != "live":
        where = ", ".join(group.successors)
        then = f"its members are in {where}" if where else "no group has its members"
        print(f"{group.group_id} is {group.state}: {then}", file=sys.stderr)
    tell_more(group.next_cursor)


def _show_of(found: StreamerDuplicatesOut) -> None:
    group_id = None if found.group is None else found.group.group_id
    rows: list[list[Cell]] = [
        [tie.streamer_id, tie.weight, tie.kind, group_id if tie.in_group else None]
        for tie in found.duplicates
    ]
    print_rows(["streamer_id", "weight", "kind", "group_id"], rows)
    if found.group is not None:
        print(f"in {group_id}, a group of {found.group.size}", file=sys.stderr)
    elif found.evaluated_sequence is None:
        print(f"incomplete: {_INCOMPLETE}", file=sys.stderr)
    else:
        print(f"in no group, as of write {found.evaluated_sequence}", file=sys.stderr)


def _show_judgements(page: JudgementPage) -> None:
    rows: list[list[Cell]] = []
    for one in page.judgements:
        by = " ".join(f"{pair.a}/{pair.b}" for pair in one.overruled_by)
        rows.append([one.a, one.b, one.verdict, one.key_name, shown(one.at), one.note, by or None])
    print_rows(["a", "b", "verdict", "by", "at", "note", "overruled_by"], rows)
    tell_more(page.next_cursor)


def _show_job(job: JobOut) -> None:
    print(f"{job.job_id} {job.state}")
