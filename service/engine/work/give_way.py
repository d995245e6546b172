"""Long work on the event loop lets whoever waits for an answer go first."""

import asyncio
from collections.abc import Callable

_STEP_S, _STEPS = 0.001, 2


class GiveWay:
    """Called between two pieces of long work on the event loop.

    A question goes through the event loop several times, and each time would wait for the piece
    that has just begun.

    Attributes:
        is_asked: whether somebody waits for an answer.
    """

    def __init__(self) -> None:
        """Nobody asks, as far as is known."""
        self.is_asked: Callable[[], bool] = lambda: False

    async def __call__(self) -> None:
        """Let others have their turn; while somebody waits for an answer, for two milliseconds."""
        await asyncio.sleep(0)
        for _ in range(_STEPS):
            if not self.is_asked():
                return
            await asyncio.sleep(_STEP_S)
