"""Answers of commands: JSON with `--json`, a table on a terminal, tab-separated lines elsewhere."""

import argparse
import codecs
import contextlib
import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

Cell = str | int | float | None


_ESCAPED = "streamer_escaped"


class NotPrinted(Exception):
    """Standard output is full or closed; the cause says which. No error of a store or a network."""


def prepare_output() -> bool:
    """Have standard output and error take whatever an answer holds; whether there is an output.

    What their encoding has no sign for, such as a nickname in a Latin locale, is printed as in
    JSON, by its number, so that JSON stays valid. In place of an output or error output that is
    closed there is one that nothing is seen of.
    """
    codecs.register_error(_ESCAPED, _escaped)
    is_there = sys.stdout is not None  # pyright: ignore[reportUnnecessaryComparison]
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper) and output.errors in ("strict", "surrogateescape"):
            with contextlib.suppress(OSError):  # a pipe has no position to look at
                output.reconfigure(errors=_ESCAPED)
    return is_there


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that every command with an answer has."""
    parser.add_argument("--json", action="store_true", help="print the whole answer, as JSON")


def answer(
    args: argparse.Namespace, fields: Mapping[str, Any], plainly: Callable[[], None]
) -> None:
    """Print an answer on standard output.

    Args:
        args: of the command.
        fields: for programs; JSON alone, paths as text.
        plainly: prints it for people.

    Raises:
        NotPrinted: standard output does not take it.
    """
    whole = partial(print, json.dumps(fields, ensure_ascii=False, indent=2, default=str))
    show(whole if args.json else plainly)


def show(plainly: Callable[[], None]) -> None:
    """Print on standard output.

    Raises:
        NotPrinted: standard output does not take it.
    """
    try:
        plainly()
        sys.stdout.flush()
    except OSError as error:
        raise NotPrinted from error


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """A table on a terminal; elsewhere tab-separated values with a header, of full precision."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print(line_of(row))
        return
    texts = [list(columns), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
    is_number = [
        not any(isinstance(row[i], str) for row in rows) and any(row[i] is not None for row in rows)
        for i in range(len(columns))
    ]
    for text in texts:
        cells = zip(text, widths, is_number, strict=True)
        line = "  ".join(_padded(t, w, number) for t, w, number in cells)
        print(line.rstrip())


def line_of(row: Sequence[Cell]) -> str:
    """A row as tab-separated values."""
    return "\t".join("" if cell is None else _plain(str(cell)) for cell in row)


def _width(text: str) -> int:
    """Columns of a terminal: two of a Chinese character, none of an accent."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _padded(text: str, width: int, is_number: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if is_number else text + blanks


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.3f}" if isinstance(cell, float) else _plain(str(cell))


def _plain(text: str) -> str:
    """Without tabs, line breaks and control sequences: streamers write some of what is shown."""
    return "".join(c if c.isprintable() else " " for c in text)
