"""`python -m service keys create | list | revoke | rotate`: API keys, straight in the store.

A running service on that store knows of a change within a second.
"""

import argparse
import re
import sys
import time
from datetime import UTC, datetime

from service.commands.arguments import whole_number
from service.commands.audited import Note, audited
from service.commands.stores import add_data_dir, finish, opened_store
from service.features.keys.key_text import ID_PATTERN
from service.features.keys.service import Issued, Keys, Listed
from service.scopes import ROLES, SCOPES

_MOST_NAME_CHARS = 100
_MOST_GRACE_S = 30 * 86_400
_PAGE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key; it alone is written to stdout")
    create.add_argument("--name", type=_name, required=True, help="who uses it, and what for")
    what = create.add_mutually_exclusive_group(required=True)
    what.add_argument("--role", choices=sorted(ROLES), help="the scopes that a team needs")
    what.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        choices=sorted(SCOPES),
        metavar="SCOPE",
        help=f"one of {', '.join(sorted(SCOPES))}; may be given several times",
    )
    listing = actions.add_parser("list", help="show all keys, without their texts")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    rotate = actions.add_parser("rotate", help="give a key another text; it alone is on stdout")
    for part in (revoke, rotate):
        part.add_argument("key_id", type=_key_id, metavar="KEY_ID", help="as `list` shows it")
    rotate.add_argument(
        "--grace-s",
        type=whole_number(0, _MOST_GRACE_S),
        default=86_400,
        help="seconds for which the text before can still be used (a day)",
    )
    for part in (create, rotate):
        part.add_argument(
            "--expires-at", type=_time, help="when it is refused, such as 2030-01-31 (UTC)"
        )
    for part in (create, listing, revoke, rotate):
        add_data_dir(part)


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    return finish(lambda: _run(args))


async def _run(args: argparse.Namespace) -> int:
    async with opened_store(args.data_dir) as store:
        keys = Keys(store.keys)
        if args.action == "list":
            await _list(keys)
        else:
            async with audited(store, args.data_dir) as note:
                await _change(args, keys, note)
    return 0


async def _change(args: argparse.Namespace, keys: Keys, note: Note) -> None:
    if args.action == "revoke":
        await keys.revoke(args.key_id)
        await note("keys revoke", [args.key_id])
        print(f"{args.key_id} is revoked: a running service refuses it within a second")
    elif args.action == "rotate":
        issued = await keys.rotate(args.key_id, args.grace_s, args.expires_at)
        await note("keys rotate", [args.key_id])
        _show(issued, f"the text before can be used for {args.grace_s} s")
    else:
        scopes = args.scopes or ()
        issued = await keys.create(args.name, args.role, scopes, args.expires_at)
        await note("keys create", [issued.record.key_id])
        _show(issued, "it is shown this once")


def _show(issued: Issued, note: str) -> None:
    """The key alone on standard output, for `KEY=$(...)`."""
    record = issued.record
    scopes = ", ".join(Listed(record, None).scopes)
    print(f"{record.key_id} ({record.name}): {scopes}; {note}", file=sys.stderr)
    print(issued.key)


async def _list(keys: Keys) -> None:
    after: str | None = ""
    while after is not None:
        listed, after = await keys.page(after, _PAGE)
        for key in listed:
            record = key.record
            what = record.role or " ".join(key.scopes)
            expires = "" if record.expires_at is None else f"; expires {_day(record.expires_at)}"
            used = "not used yet" if key.last_used_at is None else f"used {_day(key.last_used_at)}"
            print(f"{record.key_id}  {record.name}: {what}; {used}{expires}")


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}Z"


def _name(text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= _MOST_NAME_CHARS or not name.isprintable():
        raise argparse.ArgumentTypeError(f"must have 1 to {_MOST_NAME_CHARS} printable characters")
    return name


def _key_id(text: str) -> str:
    if not re.fullmatch(ID_PATTERN, text):
        raise argparse.ArgumentTypeError(f"must be a key id of 12 hex digits, not {text[:40]!r}")
    return text


def _time(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a day or time such as 2030-01-31 or 2030-01-31T12:00Z, not {text[:40]!r}"
        ) from None
    seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if seconds <= time.time():
        raise argparse.ArgumentTypeError(f"has passed already: {text[:40]!r}; give a later time")
    return seconds
