"""`python -m service serve | load | jobs | embed | doctor | backup | restore | verify`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from service.errors import in_one_line


class _Parser(argparse.ArgumentParser):
    """Argument parser with one-line errors."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


COMMANDS = {
    "serve": "answer over REST",
    "load": "write a data set folder's streamers to a running service",
    "jobs": "list, show, watch, cancel and retry imports and exports of a running service",
    "embed": "encode a data set folder offline, through the served path",
    "doctor": "check this installation, a bundle and a data folder",
    "backup": "copy everything that is stored to a folder",
    "restore": "replace everything that is stored with a backup",
    "verify": "check that vectors, index and what is served are those of the stored profiles",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = fine, 1 = failed with a line that says why, 2 = wrong usage."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy reads it once: threads have a core
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _Parser(prog="python -m service", description="Similar streamers, encoded on write.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        sub = subparsers.add_parser(name, help=summary, description=summary.capitalize() + ".")
        # Only the command that runs is imported: `load` on a laptop needs neither ONNX Runtime nor
        # FAISS, and `doctor` must run where anything is missing.
        if given[:1] == [name]:
            module = import_module(f"service.commands.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    args = parser.parse_args(given)
    try:
        return int(args.run(args))
    except OSError as error:
        if error.filename is None:
            raise
        print("error:", in_one_line(error), file=sys.stderr)
        return 1


if __name__ == "__main__":
    # Ctrl-C ends it at once, unless a command has something to put in order and says so. As an
    # exception it could come in the middle of an import, and be lost there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; `python -m service doctor` tells which extra to install")
