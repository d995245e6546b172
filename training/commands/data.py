"""`python -m training data validate DIR`: check a data set folder."""

import argparse
import sys
from pathlib import Path

from training.data.dataset import Reading, read_folder
from training.data.files import ignored_files
from training.data.problems import MAX_PER_FIELD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `data`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    summary = "list all errors of a data set folder by file and line"
    check = actions.add_parser("validate", help=summary, description=summary)
    check.add_argument("folder", type=Path, metavar="DIR", help="the data set folder")


def run(args: argparse.Namespace) -> int:
    """Check a folder; exit status 1 if it has errors."""
    reading = read_folder(args.folder)
    sys.stdout.writelines(f"{problem}\n" for problem in reading.problems)
    sys.stdout.write(_summary(args.folder, reading) + "\n")
    return 1 if reading.problems else 0


def _summary(folder: Path, reading: Reading) -> str:
    counts = ", ".join(f"{number:,} {name}" for name, number in reading.counts.items())
    lines = []
    if reading.problems:
        total, listed = reading.problems.total, len(reading.problems)
        places = {(problem.file, problem.line) for problem in reading.problems}
        where = f"in {len(places):,} places"
        if total > listed:
            where = f"of which {listed:,} are listed, {MAX_PER_FIELD:,} of a field at most"
        lines.append(f"{folder}: NOT OK: {total:,} problems {where}; read: {counts or 'nothing'}")
    else:
        lines.append(f"{folder}: all lines OK: {counts}")
    if reading.dataset is not None:
        split = reading.dataset.split.tolist()
        shares = ", ".join(f"{split.count(name):,} {name}" for name in ("train", "val", "test"))
        source = "splits" if reading.dataset.split_given else "a hash of the ids"
        lines.append(f"split by {source}: {shares}")
        lines.append(f"digest {reading.dataset.digest}")
        lines += [f"note: {note}" for note in reading.dataset.notes]
    if ignored := ignored_files(folder):
        lines.append(f"ignored files: {', '.join(ignored)}")
    return "\n".join(lines)
