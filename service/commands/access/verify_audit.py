"""`python -m service verify-audit`: checks the audit log against its hashes and anchors."""

import argparse
from dataclasses import asdict
from pathlib import Path

from service.commands.answers import answer
from service.commands.stores import add_data_dir, finish, opened_store
from service.errors import StartupError
from service.features.audit.chain import FOLDER
from service.features.audit.verification import Report, verify
from service.store.anchors import Anchor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, and whether against the store."""
    add_data_dir(parser)
    parser.add_argument(
        "--offline",
        action="store_true",
        help="without the store's anchors: chains that were removed, and lines that were cut off "
        "the end, are not noticed",
    )
    parser.add_argument(
        "--elsewhere",
        action="append",
        default=[],
        metavar="NAME",
        help="name of the audit folder of another replica, as its file place and its own "
        "verify-audit tell it: its chains are not missing here; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Check it; 1 = something was changed or is missing, each named on a line."""
    return finish(lambda: _run(args))


async def _run(args: argparse.Namespace) -> int:
    anchors: dict[str, Anchor] | None = None
    if not args.offline:
        async with opened_store(args.data_dir) as store:
            anchors = await store.anchors.all()
    report = _verified(args.data_dir / FOLDER, anchors, args.elsewhere)
    answer(args, asdict(report), lambda: _tell(report))
    return 1 if report.problems else 0


def _verified(folder: Path, anchors: dict[str, Anchor] | None, elsewhere: list[str]) -> Report:
    if not folder.is_dir() and not anchors:
        raise StartupError(
            f"{folder} does not exist: give the data folder of the service by --data-dir"
        )
    return verify(folder, anchors, elsewhere)


def _tell(report: Report) -> None:
    for problem in report.problems:
        print(f"problem: {problem}")
    for gap in report.gaps:
        print(f"gap: {gap}")
    for chain in report.running:
        print(f"being written: {chain}")
    if report.elsewhere:
        print(f"{report.elsewhere} chains have their files in another folder: verify them there")
    if report.place:
        print(f"this folder is {report.place}")
    found = f"{len(report.problems)} problems" if report.problems else "nothing was changed"
    print(f"{report.chains} chains, {report.lines} lines: {found}")
