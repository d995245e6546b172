"""What all questions share: the client, and its errors as a line."""

import argparse
import sys
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from service.client import Client, ClientError, DeadlineExceeded, NotAllowed, Patience
from service.commands.answers import answer
from service.commands.arguments import add_service, add_timeout, api_key, not_allowed
from service.errors import ServiceError, in_one_line

Answer = TypeVar("Answer", bound=BaseModel)
_ATTEMPTS = 4
"""Somebody waits at the terminal: a service that is not there is told after half a second."""
TIMEOUT_S = 30
_LONGEST_PAUSE_S = 4.0


def add_common(parser: argparse.ArgumentParser, default_s: int = TIMEOUT_S) -> None:
    """Add the options of every question; `default_s` is that of `--timeout`."""
    add_service(parser)
    add_timeout(parser, default_s, "longest that a request may take, with its download")


def patience_of(args: argparse.Namespace) -> Patience:
    """How long the service is waited for."""
    return Patience(deadline_s=args.timeout, attempts=_ATTEMPTS)


def patience_through_restarts(timeout_s: int) -> Patience:
    """For long work: a service that is away is asked again until the time is over."""
    return Patience(deadline_s=timeout_s, attempts=None, longest_pause_s=_LONGEST_PAUSE_S)


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
        with Client(args.url, api_key(), patience=patience_of(args)) as client:
            do(client)
    except NotAllowed as error:
        print("error:", not_allowed(args.url, error.detail, error.status), file=sys.stderr)
        return 1
    except DeadlineExceeded as error:
        more = "; --timeout S waits longer" if error.is_in_doubt else ""
        print(f"error: {in_one_line(error)}{more}", file=sys.stderr)
        return 1
    except (ClientError, ServiceError) as error:  # of the latter: a key, a file
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    return 0


def tell_incomplete(complete: bool, because: str | None) -> None:
    """Say on standard error that something may be missing."""
    if not complete:
        print(f"incomplete: {because}", file=sys.stderr)


def tell_more(cursor: str | None) -> None:
    """Say on standard error that a listing goes on."""
    if cursor is not None:
        print("there are more: raise --limit, or read all by the client", file=sys.stderr)
