"""`space`: hand over ID-embeddings to a running service, and choose what it serves."""

import argparse
import sys
from pathlib import Path

from pydantic import BaseModel

from service.client import Client
from service.client.models import GenerationOut, SpaceOut, SpacesOut, UserErasedOut
from service.client.spaces.calls import HAND_OVER_S, MEDIA_TYPES, SWITCH_S
from service.commands.answers import Cell, print_rows
from service.commands.questions.asking import TIMEOUT_S, add_common, ask
from service.commands.questions.moments import shown


class _Deleted(BaseModel):
    """What was deleted."""

    space: str
    generation: str
    deleted: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which space and generation."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str, *names: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        for each in names:
            action.add_argument(each.lower(), metavar=each)
        return action

    put = add("put", "hand over all vectors of a space, from a file", "SPACE", "GENERATION")
    put.add_argument(
        "file",
        type=_hand_over,
        metavar="FILE",
        help="of lines (.jsonl), .npz or .parquet",
    )
    put.add_argument("--promote", action="store_true", help="serve it if it passes its checks")
    listing = add("list", "generations and what became of them, one a line")
    listing.add_argument("space", metavar="SPACE", nargs="?", help="only those of a space")
    promote = add("promote", "serve a generation, on all replicas", "SPACE", "GENERATION")
    for action in (put, promote):
        action.add_argument(
            "--force", action="store_true", help="although it fails its checks; needs an admin key"
        )
    add("rollback", "serve the generation that was served before", "SPACE")
    add("delete", "delete a generation: one that is served only as the last", "SPACE", "GENERATION")
    add("erase", "erase a user from all generations of a space", "SPACE", "USER")
    longest = {"put": HAND_OVER_S, "promote": SWITCH_S, "rollback": SWITCH_S, "erase": SWITCH_S}
    for name, action in actions.choices.items():
        add_common(action, longest.get(name, TIMEOUT_S))


def _hand_over(text: str) -> Path:
    file = Path(text)
    if file.suffix not in MEDIA_TYPES:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(MEDIA_TYPES)}")
    return file


def run(args: argparse.Namespace) -> int:
    """Do it, and show what became of it."""
    if args.action == "put":
        return ask(args, lambda client: _put(client, args), _show_checks)
    if args.action == "list":
        return ask(args, lambda client: _list(client, args.space), _show_all)
    if args.action == "promote":
        return ask(args, lambda client: _promote(client, args), _show_served)
    if args.action == "rollback":
        return ask(
            args,
            lambda client: client.spaces.roll_back(args.space, deadline_s=args.timeout),
            _show_served,
        )
    if args.action == "erase":
        return ask(args, lambda client: _erase(client, args), _show_erased)
    return ask(args, lambda client: _delete(client, args), _show_deleted)


def _put(client: Client, args: argparse.Namespace) -> GenerationOut:
    return client.spaces.hand_over(
        *(args.space, args.generation, args.file),
        promote=args.promote,
        force=args.force,
        deadline_s=args.timeout,
    )


def _promote(client: Client, args: argparse.Namespace) -> SpaceOut:
    return client.spaces.promote(
        args.space, args.generation, force=args.force, deadline_s=args.timeout
    )


def _erase(client: Client, args: argparse.Namespace) -> UserErasedOut:
    return client.spaces.erase_user(args.space, args.user, deadline_s=args.timeout)


def _list(client: Client, space: str | None) -> SpacesOut:
    if space is not None:
        return SpacesOut(spaces=[client.spaces.get(space)])
    return SpacesOut(spaces=list(client.spaces.all()))


def _delete(client: Client, args: argparse.Namespace) -> _Deleted:
    client.spaces.delete(args.space, args.generation)
    return _Deleted(space=args.space, generation=args.generation)


def _show_checks(made: GenerationOut) -> None:
    verdicts = {True: "passed", False: "failed", None: "-"}
    rows: list[list[Cell]] = [
        [check.name, verdicts[check.passed], check.detail] for check in made.checks
    ]
    print_rows(["check", "verdict", "detail"], rows)
    counts = made.counts
    print(
        f"{made.generation} is {made.state}: {counts.streamers} streamers "
        f"({counts.with_neighbours} with neighbours), {counts.users} users",
        file=sys.stderr,
    )


def _show_all(found: SpacesOut) -> None:
    rows: list[list[Cell]] = [
        [
            space.space,
            made.generation,
            made.state,
            shown(made.created_at),
            made.counts.streamers,
            made.counts.users,
            ",".join(check.name for check in made.checks if check.passed is False) or None,
        ]
        for space in found.spaces
        for made in space.generations
    ]
    columns = ["space", "generation", "state", "handed_over", "streamers", "users", "failed"]
    print_rows(columns, rows)


def _show_served(space: SpaceOut) -> None:
    active = None if space.active is None else space.active.generation
    print_rows(["space", "active", "previous"], [[space.space, active, space.previous]])


def _show_deleted(deleted: _Deleted) -> None:
    print_rows(["space", "deleted"], [[deleted.space, deleted.generation]])


def _show_erased(erased: UserErasedOut) -> None:
    rows: list[list[Cell]] = [[erased.space, erased.user_id, erased.generations]]
    print_rows(["space", "erased", "generations"], rows)
