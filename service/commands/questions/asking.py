"""What all questions share: the client, and its errors as a line."""

import argparse
import sys
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from service.client import Client, ClientError, NotAllowed, Patience
from service.commands.answers import answer
from service.commands.arguments import UnusableKey, add_service, api_key, not_allowed
from service.errors import in_one_line

Answer = TypeVar("Answer", bound=BaseModel)
_PATIENCE = Patience(attempts=4)
"""Somebody waits at the terminal: a service that is not there is told after half a second."""


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of every question."""
    add_service(parser)


def ask(
    args: argparse.Namespace,
    question: Callable[[Client], Answer],
    show: Callable[[Answer], None],
) -> int:
    """Ask, and show the answer; 1 and a line on standard error where there is none."""

    def do(client: Client) -> None:
        found = question(client)
        answer(args, found.model_dump(mode="json", by_alias=True), lambda: show(found))

    return with_client(args, do)


def with_client(args: argparse.Namespace, do: Callable[[Client], None]) -> int:
    """Do something with the service; 1 and a line on standard error where it fails."""
    try:
        with Client(args.url, api_key(), patience=_PATIENCE) as client:
            do(client)
    except NotAllowed as error:
        print("error:", not_allowed(args.url, error.detail, error.status), file=sys.stderr)
        return 1
    except (ClientError, UnusableKey) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    return 0


def tell_incomplete(complete: bool, because: str | None) -> None:
    """Say on standard error that something may be missing."""
    if not complete:
        print(f"incomplete: {because}", file=sys.stderr)
