"""What all questions share: the client, its errors as a line, and answers as rows or as JSON."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from service.client import Client, ClientError, NotAllowed, Patience
from service.commands.arguments import UnusableKey, add_service, api_key
from service.errors import in_one_line

Answer = TypeVar("Answer", bound=BaseModel)
Cell = str | int | float | None
_PATIENCE = Patience(attempts=4)
"""Somebody waits at the terminal: a service that is not there is told after half a second."""


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of every question."""
    add_service(parser)
    parser.add_argument(
        "--json", action="store_true", help="print the service's whole answer, as JSON"
    )


def ask(
    args: argparse.Namespace,
    question: Callable[[Client], Answer],
    show: Callable[[Answer], None],
) -> int:
    """Ask, and show the answer; 1 and a line on standard error where there is none."""
    try:
        with Client(args.url, api_key(), patience=_PATIENCE) as client:
            answer = question(client)
    except NotAllowed as error:
        print(
            f"error: {args.url}: {error.detail}; the key is set by STREAMER_API_KEY",
            file=sys.stderr,
        )
        return 1
    except (ClientError, UnusableKey) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    if args.json:
        print(answer.model_dump_json(by_alias=True, indent=2))
    else:
        show(answer)
    sys.stdout.flush()
    return 0


def tell_incomplete(complete: bool, because: str | None) -> None:
    """Say on standard error that something may be missing."""
    if not complete:
        print(f"incomplete: {because}", file=sys.stderr)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """A table on a terminal; elsewhere tab-separated values with a header, of full precision."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join("" if cell is None else _plain(str(cell)) for cell in row))
        return
    texts = [list(columns), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    is_number = [all(not isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    for text in texts:
        cells = zip(text, widths, is_number, strict=True)
        line = "  ".join(t.rjust(w) if number else t.ljust(w) for t, w, number in cells)
        print(line.rstrip())


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.3f}" if isinstance(cell, float) else _plain(str(cell))


def _plain(text: str) -> str:
    """Without tabs, line breaks and control sequences: streamers write some of what is shown."""
    return "".join(c if c.isprintable() else " " for c in text)
