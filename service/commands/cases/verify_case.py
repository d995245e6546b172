"""`python -m service verify-case FILE`: checks the archive of a case, without a service."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from service.commands.answers import answer
from service.features.cases.exports.archive import Checked, Damaged, verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which file."""
    parser.add_argument("file", type=Path, metavar="FILE", help="as `cases export` wrote it")


def run(args: argparse.Namespace) -> int:
    """Check it; 1 = it is not as it was written, and a line says what differs."""
    try:
        checked = verify(args.file)
    except Damaged as damage:
        print(f"error: {args.file}: {damage}", file=sys.stderr)
        return 1
    answer(args, asdict(checked), lambda: _tell(checked))
    return 0


def _tell(checked: Checked) -> None:
    print(
        f"{checked.case_id}: {checked.members} members, {checked.edges} edges, "
        f"{checked.profiles} profiles, {checked.events} events: as they were written"
    )
    if checked.changed:
        print(f"{checked.changed} profiles were written since the expansion saw them")
