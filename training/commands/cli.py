"""The command line: `python -m training COMMAND ...`.

A command is a module with `add_arguments(parser)` and `run(args) -> int | None` (exit status, None
= 0), listed in `COMMANDS`. Only the module of the requested command is imported, so `--help` and
`world` don't load torch.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from training.errors import TrainingError

COMMANDS = {
    "cold-start-report": (
        "training.commands.cold_start_report",
        "report how well the users of newcomers are foretold",
    ),
    "compare": ("training.commands.compare", "compare recipes and baselines, with a report"),
    "data": ("training.commands.data", "check a data set folder"),
    "evaluate": ("training.commands.evaluate", "evaluate a checkpoint or a baseline"),
    "fit": ("training.commands.fit", "train an encoder on a data set folder"),
    "release-data": (
        "training.commands.release_data",
        "write held-out streamers with disguised copies, for `service release-check`",
    ),
    "tune-tower": ("training.commands.tune_tower", "fine-tune a pretrained tower"),
    "world": ("training.commands.world", "write a simulated data set folder with ground truth"),
}
"""Command -> module and help."""


_PATHS = ("checkpoint", "config", "data", "init_from", "out", "tower_cache", "vectors")
"""Options that take a path, by attribute."""


class _Parser(argparse.ArgumentParser):
    """Argument parser with one-line errors."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (try --help)\n")


def build_parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """Parser with the arguments of the requested command only."""
    parser = _Parser(prog="python -m training", description="Train streamer encoders.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == wanted:
            implementation = importlib.import_module(module)
            implementation.add_arguments(command)
            command.set_defaults(run=implementation.run)
    return parser


def _with_option(args: argparse.Namespace, message: str) -> str:
    """The message, after the option whose path (or what is beside it) it begins with, if any."""
    found: dict[str, str] = {}
    for name in _PATHS:
        given = getattr(args, name, None)
        for path in given if isinstance(given, list) else [given]:
            if path is not None and message.startswith(str(path).removesuffix(path.suffix)):
                found[str(path)] = f"--{name.replace('_', '-')} {message}"
    return found[max(found, key=len)] if found else message


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command of `COMMANDS`.

    Returns:
        Exit status: 0, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Spinning OpenMP threads are 20 times slower when other processes use the cores. The variable
    # is read when a library with OpenMP is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("training").setLevel(logging.INFO)
    args = build_parser(next(iter(arguments), None)).parse_args(arguments)
    try:
        return int(args.run(args) or 0)
    except TrainingError as error:
        sys.stderr.write(f"python -m training {args.command}: {_with_option(args, str(error))}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    except BrokenPipeError:  # the reader is gone (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        reason = f"{error.filename} can't be used: {error.strerror}"
        message = _with_option(args, f"{reason}; check the path and its permissions")
        sys.stderr.write(f"python -m training {args.command}: {message}\n")
        return 1
