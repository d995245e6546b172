"""Which replicas a promotion or a roll-back waits for, before the change and after it."""

import asyncio
import logging
import time

from service.features.models.backfill import missing_on
from service.features.models.following import ModelFollower

_log = logging.getLogger(__name__)
_LOOK_S = 0.05
_SWITCH_S = 5.0
"""Longest wait of a change for replicas to answer by the model; one that does not follows."""


async def check_indexed(follower: ModelFollower, model: str, *, is_back: bool) -> None:
    """Check that replicas can answer by a model at once.

    On the way back (`is_back`) those that start are not asked: where the active model kills them
    as it is opened, one is always starting, and the way back would be shut.

    Raises:
        ModelNotEverywhere: a replica has not its index yet, or misses its bundle.
    """
    replicas = await follower.replicas()
    missing = [
        name
        for name, held in replicas.items()
        if model not in held["indexed"] and (held["serves"] or not is_back)
    ]
    if missing:
        raise missing_on(model, missing, replicas)


async def followed(follower: ModelFollower, model: str, *, is_back: bool) -> list[str]:
    """Wait until replicas answer by a model; warnings of those that do not yet.

    On the way back (`is_back`) those that start are named at once: they may never be open.
    """
    deadline = time.monotonic() + _SWITCH_S
    while True:
        replicas = await follower.replicas()
        late = sorted(name for name, held in replicas.items() if held["serves"] != model)
        starting = [name for name in late if is_back and not replicas[name]["serves"]]
        slow = [name for name in late if name not in starting]
        if not slow or time.monotonic() > deadline:
            break
        await asyncio.sleep(_LOOK_S)
    said: list[str] = []
    if slow:
        said.append(f"{', '.join(slow)} did not answer by {model!r} yet after {_SWITCH_S:g} s")
    if starting:
        said.append(f"{', '.join(starting)} did not serve yet: once open, by {model!r}")
    for each in said:
        _log.warning("%s", each)
    return said
