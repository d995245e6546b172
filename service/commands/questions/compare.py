"""`compare`: whether two streamers are the same, and what says so."""

import argparse
import sys
from itertools import accumulate
from typing import get_args

from service.client.models import ChannelName, ChannelOut, CompareOut
from service.commands.answers import Cell, print_rows
from service.commands.questions.asking import add_common, ask

_SHOWN = 36
"""Characters of a quote on a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which two, and what is left out."""
    parser.add_argument("a", metavar="A", help="of a stored streamer")
    parser.add_argument("b", metavar="B", help="of another one")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=get_args(ChannelName),
        help="leave a channel out; more than once for several",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and show the waterfall: the channels by weight, and the total so far."""
    return ask(args, lambda client: client.compare(args.a, args.b, without=args.without), _show)


def _show(answer: CompareOut) -> None:
    channels = sorted(answer.channels, key=lambda c: (c.state == "absent", -c.weight))
    totals = accumulate(channel.weight for channel in channels)
    rows: list[list[Cell]] = [
        [channel.channel, channel.state, channel.level, channel.weight, total, *_quote(channel)]
        for channel, total in zip(channels, totals, strict=True)
    ]
    print_rows(["channel", "state", "level", "weight", "total", "a", "b", "disguises"], rows)
    likely = f"{answer.probability:.4f}" if answer.probability < 0.9999 else "above 0.9999"
    print(
        f"{answer.verdict}: {answer.weight:.1f} bits, {answer.threshold:.1f} are needed; "
        f"probability {likely}",
        file=sys.stderr,
    )
    for warning in answer.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _quote(channel: ChannelOut) -> list[Cell]:
    """What both say, and the disguises that were undone."""
    disguises = ",".join(channel.disguises) or None
    if not channel.quotes:
        return [None, None, disguises]
    first = channel.quotes[0]
    return [_short(first.a or first.a_source), _short(first.b or first.b_source), disguises]


def _short(text: str) -> str:
    if not sys.stdout.isatty() or len(text) <= _SHOWN:
        return text
    return text[: _SHOWN - 1] + "…"
