"""`completion`: the script by which a shell completes commands and options."""

import argparse
import sys

from service.commands.answers import show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For which shell."""
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(args: argparse.Namespace) -> int:
    """Print the script; `args.every_command` makes the parser of all commands."""
    try:
        import shtab
    except ModuleNotFoundError:
        print("error: shtab is not installed: install the extra completion", file=sys.stderr)
        return 1
    show(lambda: print(shtab.complete(args.every_command(), shell=args.shell)))
    return 0
