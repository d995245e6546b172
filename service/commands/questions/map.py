"""`map`: the map of all streamers; who is near to whom on it."""

import argparse
import sys
from typing import Any

from service.client.models import JobOut, LayoutsOut, SelectedOut
from service.commands.answers import Cell, print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask

_STEPS, _MOST = 65_534, 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and around whom."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")

    add("show", "how old the map is, and how many are on it")
    add("fit", "lay all streamers out anew, as a job; prints the job")
    near = add("near", "who is near to a streamer on the map, the nearest first")
    near.add_argument("streamer_id", metavar="ID", help="of a streamer on the map")
    near.add_argument(
        "--radius",
        type=whole_number(0, most=2 * _STEPS),
        default=500,
        help=f"how near, in steps; the map is {_STEPS} steps wide (500)",
    )
    near.add_argument(
        "--limit", type=whole_number(1, most=_MOST), default=20, help="most lines (20)"
    )
    for action in actions.choices.values():
        add_common(action)


def run(args: argparse.Namespace) -> int:
    """Ask and show it."""
    if args.action == "show":
        return ask(args, lambda client: client.layouts.state(), _show_state)
    if args.action == "fit":
        return ask(args, lambda client: client.layouts.fit(), _show_job)
    part: dict[str, Any] = {"streamer_id": args.streamer_id, "radius": args.radius}
    return ask(args, lambda c: c.layouts.select({**part, "limit": args.limit}), _show_near)


def _show_state(state: LayoutsOut) -> None:
    layout = state.current
    if layout is None:
        print("no layout was fitted yet: similar-streamer map fit", file=sys.stderr)
    else:
        cells: list[Cell] = [layout.layout_id, layout.fitted, layout.age_s, layout.residual]
        print_rows(
            ["layout_id", "fitted", "age_s", "residual", "placed", "waiting"],
            [[*cells, state.placed, state.waiting]],
        )
    if state.problem is not None:
        print(f"incomplete: {state.problem}", file=sys.stderr)


def _show_job(job: JobOut) -> None:
    print(job.job_id, job.state)


def _show_near(found: SelectedOut) -> None:
    rows: list[list[Cell]] = [
        [one.streamer_id, one.name, one.category, one.x, one.y] for one in found.streamers
    ]
    print_rows(["streamer_id", "name", "category", "x", "y"], rows)
    if found.count > len(found.streamers):
        print(f"{found.count} are so near; --limit shows more", file=sys.stderr)
