"""Options of commands that ask by seeds: who is wanted, who is not, and who may be answered."""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from service.commands.arguments import UnusablePath
from service.commands.files import standard_input, text_of

STDIN = "-"
_CONDITION = re.compile(r"([^<>=]+)(>=|<=|>|<|=)(.+)", re.DOTALL)
_LINE_END = re.compile(r"\r\n?|\n")
_OF_TEXTS = ("streamer_id", "language", "category", "tags")
_BOUNDS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add seeds, how they are combined, a filter and the lowest score."""
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="streamers like these; - reads ids from standard input"
    )
    parser.add_argument(
        "--unlike", action="append", default=[], metavar="ID", help="and unlike this one"
    )
    parser.add_argument(
        "--profile",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="like the profile in this file, JSON as it would be written",
    )
    parser.add_argument(
        "--strategy",
        choices=("average", "best_score", "sum"),
        help="how several seeds are combined (average)",
    )
    for option, told in (("--must", "holds"), ("--must-not", "does not hold")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            type=condition,
            metavar="COND",
            help=f"only streamers of whom it {told}: language=en,zh or 'followers>=100'",
        )
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument(
        "--min-score", type=float, metavar="X", help="only hits with this score or more"
    )
    limits.add_argument(
        "--min-precision",
        type=float,
        metavar="X",
        help="only hits of which this share is right, by the model's calibration",
    )


def question_of(args: argparse.Namespace) -> dict[str, Any]:
    """The part of a question that these options are.

    Raises:
        UnusablePath: a profile or standard input can't be read.
    """
    positive = [{"streamer_id": one} for one in ids_of(args.ids)]
    positive += [{"profile": _profile(path)} for path in args.profile]
    question: dict[str, Any] = {"positive": positive}
    if args.unlike:
        question["negative"] = [{"streamer_id": one} for one in args.unlike]
    for name in ("strategy", "min_score", "min_precision"):
        if getattr(args, name) is not None:
            question[name] = getattr(args, name)
    wanted = {"must": args.must, "must_not": args.must_not}
    if any(wanted.values()):
        question["filter"] = wanted
    return question


def ids_of(given: Sequence[str]) -> list[str]:
    """Ids as they are given; for `-`, the first word of each line of standard input.

    Raises:
        UnusablePath: that can't be read, or is not UTF-8.
    """
    found: list[str] = []
    for one in given:
        if one == STDIN:
            lines = _LINE_END.split(standard_input())
            # Files that were saved by a spreadsheet, and put together since.
            found += [words[0] for line in lines if (words := line.strip("\ufeff").split())]
        else:
            found.append(one)
    return list(dict.fromkeys(found))


def condition(text: str) -> dict[str, Any]:
    """Type of an option that takes a condition, such as `language=en,zh` or `followers>=100`."""
    parts = _CONDITION.fullmatch(text)
    if parts is None:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no condition: FIELD=VALUE,VALUE or FIELD>=NUMBER (also > < <=)"
        )
    field, sign, value = parts[1].strip(), parts[2], parts[3].strip()
    if sign == "=":
        values = [_scalar(one) for one in value.split(",")]
        if field in _OF_TEXTS:  # an id or a category of digits is a text, too
            values = [one.strip('"') for one in value.split(",")]
        return {"field": field, "any": values}
    try:
        return {"field": field, _BOUNDS[sign]: _number(value)}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: {value!r} is not a number") from None


def _number(text: str) -> int | float:
    """A number; float64 can't hold every whole one.

    Raises:
        ValueError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        return float(text)


def _scalar(text: str) -> str | int | float | bool:
    """A number, true or false, or the text; in double quotes it is a text in any case."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return cast("str | int | float | bool", value) if isinstance(value, str | int | float) else text


def _profile(path: Path) -> dict[str, Any]:
    text = text_of("--profile", path, "give a file with a profile as JSON")
    return json_object(text, "--profile", path)


def json_object(text: str, option: str, path: Path) -> dict[str, Any]:
    """The JSON object of a file that an option names.

    Raises:
        UnusablePath: it is none.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnusablePath(f"{option} {path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnusablePath(f"{option} {path} is not a JSON object")
    fields = cast("dict[str, Any]", found)
    return {name: value for name, value in fields.items() if name != "streamer_id"}
