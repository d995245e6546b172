"""`cases`: begin, expand, decide, run again, take back, export."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from service.client import Client
from service.client.cases.calls import CaseFormat, CaseVerdict
from service.client.models import (
    CaseDetailOut,
    CaseEventPage,
    CaseMemberOut,
    CaseOut,
    CasePage,
    DecidedOut,
    JobOut,
    RanOut,
    UndoneOut,
)
from service.commands.answers import Cell, print_rows
from service.commands.arguments import whole_number
from service.commands.files import tell_written, write_whole
from service.commands.questions.asking import (
    TIMEOUT_S,
    add_common,
    ask,
    tell_incomplete,
    tell_more,
    with_client,
)
from service.commands.questions.moments import shown

_EXPORT_S = 3600
_KINDS = ("text", "contacts", "media", "tags", "titles", "embedding")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which case."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str, *, with_case: bool = True) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if with_case:
            action.add_argument("case_id", metavar="CASE", help="id of the case")
        return action

    create = add("create", "begin a case; prints its id", with_case=False)
    create.add_argument("seeds", nargs="+", metavar="SEED", help="stored streamers")
    create.add_argument("--title", required=True, help="for people")
    create.add_argument("--exclude", nargs="*", default=[], metavar="ID", help="who is not of it")
    listing = add("list", "the cases, one a line", with_case=False)
    show = add("show", "the members, each with its weakest link")
    expand = add("expand", "look for members; prints who joined and left")
    expand.add_argument("--hops", type=whole_number(1, most=5), help="most hops (3)")
    expand.add_argument("--kind", action="append", choices=_KINDS, help="evidence; all by default")
    expand.add_argument("--min-probability", type=float, help="of a member's path (0.35)")
    expand.add_argument("--budget", type=whole_number(1, most=20_000), help="profiles (1000)")
    rerun = add("rerun", "look again as before; prints who joined and left, and why")
    decide = add("decide", "decide on a member")
    decide.add_argument("streamer_id", metavar="ID", help="of the member")
    decide.add_argument("verdict", choices=get_args(CaseVerdict), help="what you found")
    decide.add_argument("--note", default="", help="for people")
    undo = add("undo", "take the last change back")
    for action in (expand, rerun, decide, undo):
        action.add_argument(
            "--if-revision",
            type=whole_number(1),
            metavar="N",
            help="only at this revision, as `show` tells it: others may have changed it since",
        )
    events = add("events", "who changed what, the oldest first")
    for action in (listing, show, events):
        action.add_argument(
            "--limit", type=whole_number(1, most=200), default=100, help="most lines (100)"
        )
    export = add("export", "write the case to a file")
    export.add_argument("--format", choices=get_args(CaseFormat), default="zip", help="(zip)")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    for name, action in actions.choices.items():
        add_common(action, _EXPORT_S if name == "export" else TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """Ask and show it."""
    if args.action == "create":
        return ask(args, lambda c: c.cases.create(args.title, args.seeds, args.exclude), _created)
    if args.action == "list":
        return ask(args, lambda c: c.cases.page(limit=args.limit), _list)
    if args.action == "show":
        return ask(args, lambda c: c.cases.get(args.case_id, limit=args.limit), _show)
    if args.action in ("expand", "rerun"):
        return ask(args, lambda c: _ran(c, args), _show_ran)
    if args.action == "decide":
        return ask(args, lambda c: _decide(c, args), _show_decided)
    if args.action == "undo":
        return ask(args, lambda c: c.cases.undo(args.case_id, _revision(c, args)), _show_undone)
    if args.action == "events":
        return ask(args, lambda c: c.cases.events(args.case_id, limit=args.limit), _show_events)
    return with_client(args, lambda client: _export(client, args))


def _revision(client: Client, args: argparse.Namespace) -> int:
    """The revision a change is made at: as asked for, else the present one."""
    if args.if_revision is not None:
        return args.if_revision
    return client.cases.get(args.case_id, limit=1).revision


def _ran(client: Client, args: argparse.Namespace) -> RanOut | JobOut:
    revision = _revision(client, args)
    if args.action == "rerun":
        return client.cases.rerun(args.case_id, revision)
    given = {
        "hops": args.hops,
        "kinds": args.kind,
        "min_probability": args.min_probability,
        "budget": args.budget,
    }
    query = {name: value for name, value in given.items() if value is not None}
    return client.cases.expand(args.case_id, revision, query)


def _decide(client: Client, args: argparse.Namespace) -> DecidedOut:
    revision = _revision(client, args)
    return client.cases.decide(args.case_id, args.streamer_id, args.verdict, revision, args.note)


def _export(client: Client, args: argparse.Namespace) -> None:
    count = write_whole("--out", args.out, lambda: client.cases.export(args.case_id, args.format))
    fields = {"file": str(args.out), "bytes": count}
    tell_written(args, args.out, fields, lambda: print(f"{args.out}: {count} bytes"))


def _created(case: CaseOut) -> None:
    print(case.case_id)


def _list(page: CasePage) -> None:
    rows: list[list[Cell]] = [
        [c.case_id, c.title, None if c.run is None else c.run.members, shown(c.created_at)]
        for c in page.cases
    ]
    print_rows(["case_id", "title", "members", "begun"], rows)
    tell_more(page.next_cursor)


def _show(case: CaseDetailOut) -> None:
    rows: list[list[Cell]] = [
        [
            m.streamer_id,
            m.hop,
            m.probability,
            " ".join(m.path),
            " ".join(m.weakest_link or ()) or None,
            _verdict(m),
            None if m.state == "stored" else m.state,
        ]
        for m in case.members
    ]
    columns = ["streamer_id", "hop", "probability", "path", "weakest_link", "verdict", "state"]
    print_rows(columns, rows)
    print(f"revision {case.revision}", file=sys.stderr)
    if case.run is None:
        print(f"not expanded yet: cases expand {case.case_id}", file=sys.stderr)
    else:
        tell_incomplete(case.run.complete, case.run.incomplete_because)
    if case.outdated:
        print(f"other verdicts hold by now: cases rerun {case.case_id}", file=sys.stderr)
    tell_more(case.next_cursor)


def _verdict(member: CaseMemberOut) -> str | None:
    if member.verdict is None:
        return None
    return member.verdict.verdict + " (profile changed)" * bool(member.verdict.profile_changed)


def _show_ran(ran: RanOut | JobOut) -> None:
    if isinstance(ran, JobOut):
        print(f"{ran.job_id} {ran.state}")
        return
    found = ran.differences
    rows: list[list[Cell]] = [
        [what, each.streamer_id, each.cause, " ".join(each.because) or None]
        for what, some in (
            ("joined", found.joined),
            ("left", found.left),
            ("changed", found.changed),
        )
        for each in some
    ]
    print_rows(["what", "streamer_id", "cause", "because"], rows)
    if ran.run is not None:
        because = ran.run.stopped_because
        print(f"{ran.run.members} members; stopped because: {because}", file=sys.stderr)
        tell_incomplete(ran.run.complete, ran.run.incomplete_because)


def _show_decided(decided: DecidedOut) -> None:
    print(f"{decided.streamer_id} {decided.verdict}")


def _show_undone(undone: UndoneOut) -> None:
    what = undone.undone
    whose = "" if what.streamer_id is None else f" {what.streamer_id}"
    print(f"event {what.number} taken back: {what.kind}{whose} by {what.key_name}")


def _show_events(page: CaseEventPage) -> None:
    rows: list[list[Cell]] = []
    for e in page.events:
        new = None if e.new is None else e.new.get("verdict") or e.new.get("members")
        rows.append([e.number, shown(e.at), e.key_name, e.kind, e.streamer_id, new, e.undoes])
    print_rows(["number", "at", "by", "kind", "streamer_id", "new", "undoes"], rows)
    tell_more(page.next_cursor)
