"""Commands to a Valkey or Redis server, and its failures in the service's own terms.

Nothing is retried here (redis-py would, ten times): a script whose reply was lost may have been
applied, so whoever sends it again has to know how it notices that.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import StoreFull, StoreUnavailable, UnsafeConfiguration
from service.telemetry.spans import spanned
from service.telemetry.stages import Stage, StageTimes

Argument = bytes | str | int

_FULL = ("OOM command not allowed", "MISCONF ")
"""How a server refuses to hold or save more. Old servers put it inside the message of a script that
failed, hence `in`."""
_READ_ONLY = "NOREPLICAS "
"""How the embedded store refuses writes while its disk is full."""
_REFUSED = (ReadOnlyError, NoPermissionError)
_NOT_NOW = ("BUSY ", "UNBLOCKED ", "UNKILLABLE ")
_NOT_NOW_CLASSES = (ClusterDownError, MovedError, NoScriptError)


class ConnectionLost(StoreUnavailable):
    """The connection was lost or refused; a command under way may still be carried out."""


class CommandRefused(StoreUnavailable):
    """The server answers and refuses: a replica, one without replicas, missing rights."""


@dataclass(frozen=True)
class Limits:
    """Limits of the traffic with the store.

    Attributes:
        connections: how many commands are under way at most; others wait.
        connect_timeout_s: for a new connection.
        answer_timeout_s: for an answer, and the connection before it; a disk that stalls longer
            counts as gone.
        log_entries: how many entries the log keeps, about; who falls further behind resyncs.
        follow_entries: how many entries a follower gets at once, at most.
        follow_block_s: how long a follower waits for news before it checks that the log it waits
            on is still there.
    """

    connections: int = 64
    connect_timeout_s: float = 2.0
    answer_timeout_s: float = 5.0
    log_entries: int = 20_000
    follow_entries: int = 500
    follow_block_s: float = 2.0


class RedisClient:
    """Sends commands and translates failures.

    Attributes:
        stages: told how long scripts that are a stage of work take, once somebody wants to know.

    Raises from every method that talks to the server:
        StoreFull: it refused, since memory or disk is full; nothing was changed.
        StoreUnavailable: no answer, or it takes no commands at the moment.
    """

    def __init__(
        self, url: str, limits: Limits, trouble: Callable[[], str | None], *, single: bool = False
    ) -> None:
        """Connect at the first command.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            limits: sizes and times.
            trouble: what the supervisor of an embedded store knows to be wrong, if anything.
            single: one connection which, once lost, is not made again silently.

        Raises:
            UnsafeConfiguration: the address can't be understood.
        """
        self.stages: StageTimes | None = None
        self._trouble = trouble
        self._timeout_s = limits.answer_timeout_s + (limits.follow_block_s if single else 0.0)
        try:
            pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
                url,
                max_connections=1 if single else limits.connections,
                timeout=None,
                socket_connect_timeout=limits.connect_timeout_s,
                # See `_command`: redis-py's own would send with `asyncio.wait_for`, which on
                # Python 3.11 swallows a cancellation that comes while it returns.
                socket_timeout=None,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except ValueError as error:
            raise UnsafeConfiguration(f"the store's address can't be used: {error}") from error
        # Any: the answer's type is the command's business, and redis-py declares only some.
        self._redis: Any = Redis(connection_pool=pool, single_connection_client=single)

    async def ask(self, *command: Argument) -> Any:
        """Send one command; its answer."""
        async with self._command(str(command[0])):
            return await self._redis.execute_command(*command)

    async def ask_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Send many commands together; others' commands may run in between."""
        return await self._answers(commands, one_step=False)

    async def ask_together(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run many commands as one transaction."""
        return await self._answers(commands, one_step=True)

    async def _answers(
        self, commands: Sequence[Sequence[Argument]], *, one_step: bool
    ) -> list[Any]:
        if not commands:
            return []
        pipeline = self._redis.pipeline(transaction=one_step)
        for command in commands:
            pipeline.execute_command(*command)
        async with self._command("MULTI" if one_step else "PIPELINE", len(commands)):
            return await pipeline.execute()

    def script(
        self, text: str, stage: Stage | None = None
    ) -> Callable[[Sequence[str], Sequence[Argument]], Awaitable[Any]]:
        """Register a Lua script, maybe a stage of work; a function that runs it with arguments."""
        script = self._redis.register_script(text)

        async def run(keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
            begin = time.perf_counter()
            try:
                async with self._command("EVALSHA", name=stage):
                    return await script(keys, arguments)
            finally:
                if stage is not None and self.stages is not None:
                    self.stages.note(stage, time.perf_counter() - begin)

        return run

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    @asynccontextmanager
    async def _command(
        self, operation: str, count: int = 1, name: str | None = None
    ) -> AsyncGenerator[None]:
        """Limit the time of a command, or of so many, and translate its failures.

        Args:
            operation: what is asked for, as the span tells it.
            count: of commands.
            name: of the span, if it is another one.
        """
        about: dict[str, str | int] = {"db.system.name": "redis", "db.operation.name": operation}
        if count > 1:
            about["db.operation.batch.size"] = count
        try:
            with spanned(name or operation, about, kind="client"):
                async with asyncio.timeout(self._timeout_s):
                    yield
        except TimeoutError as error:
            reason = f"the store did not answer within {self._timeout_s:g} s"
            raise StoreUnavailable(self._trouble() or reason) from error
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            raise ConnectionLost(self._trouble() or f"the store is gone: {error}") from error
        except ResponseError as error:
            text = str(error)
            if isinstance(error, OutOfMemoryError) or any(code in text for code in _FULL):
                raise StoreFull(f"the store takes no more: {text}", retry_after_s=10) from error
            if _READ_ONLY in text and (trouble := self._trouble()):
                raise StoreFull(trouble, retry_after_s=10) from error
            if isinstance(error, _REFUSED) or text.startswith(_READ_ONLY):
                raise CommandRefused(f"the store refuses: {text}") from error
            if isinstance(error, _NOT_NOW_CLASSES) or text.startswith(_NOT_NOW):
                raise StoreUnavailable(f"the store takes no commands: {text}") from error
            raise
