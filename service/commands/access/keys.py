"""`python -m service keys create | list | update | revoke | rotate`: API keys in the store.

A running service on that store knows of a change within a second.
"""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from service.commands.answers import Cell, answer, print_rows
from service.commands.arguments import whole_number
from service.commands.audited import Note, audited
from service.commands.stores import add_data_dir, finish, opened_store
from service.features.keys.key_text import ID_PATTERN
from service.features.keys.service import Changes, Issued, Keys, Listed
from service.maxima import MOST_UNITS
from service.scopes import LIMITED_SCOPES, ROLES, SCOPES

_MOST_NAME_CHARS = 100
_MOST_GRACE_S = 30 * 86_400
_MOST_DIGITS = 12
_PAGE = 1000
_NEVER = float("inf")
"""What `--expires-at never` is read as."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key; it alone is written to stdout")
    create.add_argument("--name", type=_name, required=True, help="who uses it, and what for")
    _add_scopes(create.add_mutually_exclusive_group(required=True))
    listing = actions.add_parser("list", help="show all keys, without their texts")
    update = actions.add_parser("update", help="change what a key may; its text stays")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    rotate = actions.add_parser("rotate", help="give a key another text; it alone is on stdout")
    for part in (update, revoke, rotate):
        part.add_argument("key_id", type=_key_id, metavar="KEY_ID", help="as `list` shows it")
    update.add_argument("--name", type=_name, help="who uses it, and what for")
    _add_scopes(update.add_mutually_exclusive_group())
    update.set_defaults(refuse=update.error)
    rotate.add_argument(
        "--grace-s",
        type=whole_number(0, _MOST_GRACE_S),
        default=86_400,
        help="seconds for which the text before can still be used (a day)",
    )
    for part in (create, update):
        part.add_argument(
            "--limit",
            dest="limits",
            action="append",
            type=_limit,
            default=[],
            metavar="SCOPE=UNITS",
            help="units a minute of this key; 0: no limit; default: that of the settings; may be "
            "given several times",
        )
    for part, read, also in (
        (create, _time, ""),
        (rotate, _time, ""),
        (update, _until, ", or never"),
    ):
        part.add_argument(
            "--expires-at",
            type=read,
            metavar="TIME",
            help=f"when it is refused, such as 2030-01-31 (UTC){also}",
        )
    for part in (create, listing, update, revoke, rotate):
        add_data_dir(part)


def _add_scopes(what: "argparse._MutuallyExclusiveGroup") -> None:  # pyright: ignore[reportPrivateUsage]
    what.add_argument("--role", choices=sorted(ROLES), help="the scopes that a team needs")
    what.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        choices=sorted(SCOPES),
        metavar="SCOPE",
        help=f"one of {', '.join(sorted(SCOPES))}; may be given several times",
    )


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    if args.action == "update" and not (
        args.name or args.role or args.scopes or args.limits or args.expires_at is not None
    ):
        args.refuse("names no change: give --name, --role, --scope, --limit or --expires-at")
    return finish(lambda: _run(args))


async def _run(args: argparse.Namespace) -> int:
    async with opened_store(args.data_dir) as store:
        ahead = (await store.keys.look()).at - time.time()  # of this machine's clock, the store's
        # Whoever is on this machine may make another admin: none is the last one.
        keys = Keys(store.keys, now=lambda: time.time() + ahead, has_other_admins=True)
        if args.action == "list":
            await _list(args, keys)
        else:
            async with audited(store, args.data_dir) as note:
                await _change(args, keys, note)
    return 0


async def _change(args: argparse.Namespace, keys: Keys, note: Note) -> None:
    if args.action == "revoke":
        await keys.revoke(args.key_id)
        await note("keys revoke", [args.key_id])
        said = f"{args.key_id} is revoked: a running service refuses it within a second"
        answer(args, {"key_id": args.key_id}, lambda: print(said))
    elif args.action == "update":
        await _update(args, keys, note)
    elif args.action == "rotate":
        issued = await keys.rotate(args.key_id, args.grace_s, args.expires_at)
        await note("keys rotate", [args.key_id])
        _show(args, issued, f"the text before can be used for {args.grace_s} s")
    else:
        limits = {scope: units for scope, units in args.limits if units is not None}
        scopes = args.scopes or ()
        issued = await keys.create(args.name, args.role, scopes, args.expires_at, limits)
        await note("keys create", [issued.record.key_id])
        _show(args, issued, "it is shown this once")


async def _update(args: argparse.Namespace, keys: Keys, note: Note) -> None:
    until = "as before" if args.expires_at is None else args.expires_at
    until = None if until == _NEVER else until
    changes = Changes(args.name, args.role, args.scopes or (), until, dict(args.limits))
    changed = await keys.update(args.key_id, changes)
    await note("keys update", [args.key_id])
    if "admin" not in changed.scopes and not await keys.has_admin_beside(args.key_id):
        print("warning: no key in the store has the scope admin", file=sys.stderr)
    answer(args, _fields(changed), lambda: _print_keys([changed]))


def _show(args: argparse.Namespace, issued: Issued, note: str) -> None:
    """The key alone on standard output, for `KEY=$(...)`."""
    listed = Listed(issued.record, None)
    key_id, scopes = issued.record.key_id, ", ".join(listed.scopes)
    print(f"{key_id} ({issued.record.name}): {scopes}; {note}", file=sys.stderr)
    answer(args, {"key": issued.key, **_fields(listed)}, lambda: print(issued.key))


async def _list(args: argparse.Namespace, keys: Keys) -> None:
    found: list[Listed] = []
    after: str | None = ""
    while after is not None:
        listed, after = await keys.page(after, _PAGE)
        found += listed
    answer(args, {"keys": [_fields(key) for key in found]}, lambda: _print_keys(found))


def _fields(key: Listed) -> dict[str, Any]:
    """Fields of a key, named like those of `GET /v1/keys`."""
    record = key.record
    times = {
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "previous_until": record.previous_until,
        "last_used_at": key.last_used_at,
    }
    return {
        "key_id": record.key_id,
        "name": record.name,
        "role": record.role,
        "scopes": key.scopes,
        "limits": record.limits,
        **{name: None if time is None else _rfc3339(time) for name, time in times.items()},
    }


def _print_keys(found: Sequence[Listed]) -> None:
    columns = ("key_id", "name", "role or scopes", "limits", "last used", "expires")
    print_rows(columns, [_row(key) for key in found])


def _row(key: Listed) -> list[Cell]:
    record = key.record
    limits = " ".join(f"{scope}={units}" for scope, units in sorted(record.limits.items()))
    return [
        record.key_id,
        record.name,
        record.role or " ".join(key.scopes),
        limits or None,
        None if key.last_used_at is None else _day(key.last_used_at),
        None if record.expires_at is None else _expiry(record.expires_at),
    ]


def _expiry(seconds: float) -> str:
    return f"{_day(seconds)} (expired)" if seconds <= time.time() else _day(seconds)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


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


def _limit(text: str) -> tuple[str, int | None]:
    scope, _, units = text.partition("=")
    is_number = units.isascii() and units.isdecimal() and len(units) < _MOST_DIGITS
    if scope not in LIMITED_SCOPES or not (units == "default" or is_number):
        raise argparse.ArgumentTypeError(
            f"must be SCOPE=UNITS with one of {', '.join(sorted(LIMITED_SCOPES))}, and a whole "
            f"number or default, such as search=600, not {text[:40]!r}"
        )
    if is_number and int(units) > MOST_UNITS:
        raise argparse.ArgumentTypeError(f"may be at most {MOST_UNITS}; it is {units}")
    return scope, int(units) if is_number else None


def _until(text: str) -> float:
    return _NEVER if text == "never" else _time(text)


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
