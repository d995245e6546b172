"""Audit log of commands that change the store past a running service."""

import contextlib
import getpass
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import StartupError
from service.features.audit.trail import AuditTrail
from service.settings import Audit
from service.store.redis.store import RedisStore

Note = Callable[[str, Sequence[str]], Awaitable[None]]


class _Known(BaseSettings):
    """The settings of the audit log alone, as `serve` reads them."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMER_", env_nested_delimiter="__", env_ignore_empty=True, extra="ignore"
    )
    audit: Audit = Audit()


def audit_settings() -> Audit:
    """The settings of the audit log.

    Raises:
        StartupError: one is wrong.
    """
    try:
        return _Known().audit
    except ValidationError as error:
        first = error.errors()[0]
        name = "__".join(str(part) for part in first["loc"]).upper()
        raise StartupError(f"STREAMER_{name}: {first['msg']}") from error


@contextlib.asynccontextmanager
async def audited(store: RedisStore, data_dir: Path) -> AsyncGenerator[Note, None]:
    """A function that writes what a command did, of which ids, before the command tells it.

    Raises:
        StartupError: the log can't be written.
    """
    settings = audit_settings()
    if not settings.enabled:
        yield _nothing
        return
    async with AuditTrail(data_dir, settings, store.anchors) as trail:

        async def note(command: str, ids: Sequence[str]) -> None:
            who = f"command:{_user()}"
            fields: dict[str, object] = {
                "kind": "command",
                "at": time.time(),
                "key_id": who,
                "command": command,
            }
            if command == "erase":  # by which a restore finds whom to erase again
                fields["action"] = "erase"
            await trail.write([fields | {"ids": list(ids)}])

        yield note


async def _nothing(command: str, ids: Sequence[str]) -> None:
    """The `note` where the log is turned off."""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
