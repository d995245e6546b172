"""The command line: `python -m training COMMAND ...`.

A command is a module with `add_arguments(parser)` and `run(args) -> int | None` (the exit status,
None = 0). To add one, write the module and list it in `COMMANDS`. Only the module of the command
that was asked for is imported, so `--help` and `world` never wait for torch.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from training.errors import TrainingError

COMMANDS = {
    "compare": ("training.commands.compare", "measure recipes and baselines side by side"),
    "data": ("training.commands.data", "check a data set folder"),
    "evaluate": ("training.commands.evaluate", "measure a checkpoint or a baseline"),
    "fit": ("training.commands.fit", "train an encoder on a data set folder"),
    "tune-tower": ("training.commands.tune_tower", "go on training a pretrained tower"),
    "world": ("training.commands.world", "write a simulated data set folder with known truth"),
}
"""Command -> its module and one line of help."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (try --help)\n")


def build_parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """The parser, with the arguments of the wanted command only."""
    parser = _Parser(prog="python -m training", description="Train streamer encoders.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == wanted:
            implementation = importlib.import_module(module)
            implementation.add_arguments(command)
            command.set_defaults(run=implementation.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see `COMMANDS`.

    Returns:
        The exit status: 0, 1 for a failure, 2 for a wrong call, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Threads that spin while they wait for each other stand still when the cores are busy
    # elsewhere: measured 20 times slower. Read once, when a library with OpenMP is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    args = build_parser(next(iter(arguments), None)).parse_args(arguments)
    try:
        return int(args.run(args) or 0)
    except TrainingError as error:
        sys.stderr.write(f"python -m training {args.command}: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    except BrokenPipeError:  # the reader went away (`| head`): nothing is left to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
