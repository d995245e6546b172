"""Waits until a store that was started answers."""

import asyncio
import contextlib
import logging
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path

from service.store.embedded.inline_command import ask
from service.store.embedded.patience import Patience

_log = logging.getLogger(__name__)
_TELL_S = 30.0
"""How often it is told that a store reads its log still."""


async def until_it_answers(
    socket: Path | None,
    process: Process,
    patience: Patience,
    now_s: Callable[[], float] = time.monotonic,
) -> bool:
    """Whether a store has come to answer; if not, it has ended.

    A large log takes many minutes to read. A store that reads it says so, which is no silence.

    Args:
        socket: where it is asked.
        process: the store.
        patience: how long it may be silent.
        now_s: the clock.

    Raises:
        TimeoutError: it was silent for `start_s`.
    """
    began = told = heard = now_s()
    while process.returncode is None:
        answer = b""
        with contextlib.suppress(OSError):
            answer = await ask(socket, "PING", patience.answer_s)
        now = now_s()
        if answer == b"+PONG":
            return True
        if answer.startswith(b"-LOADING"):
            heard = now
            if now - told >= _TELL_S:
                told = now
                _log.info("the store has been reading its log for %.0f s", now - began)
        elif now - heard >= patience.start_s:
            raise TimeoutError
        await asyncio.sleep(0.02)
    return False
