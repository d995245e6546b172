"""Commands to a Valkey or Redis server, and its failures in the service's own terms.

Nothing is retried here (redis-py would, ten times): a script whose reply was lost may have been
applied, so whoever sends it again has to know how it notices that.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
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
from service.settings.store import LOG_ENTRIES
from service.store.redis.connecting.address import StoreAddress, new_pool
from service.store.redis.connecting.confirming import (
    Argument,
    answers_of,
    check_confirmed,
    confirmation,
    found_something,
    with_confirmation,
    writes,
)
from service.telemetry.spans import spanned
from service.telemetry.stages import Stage, StageTimes

_FULL = ("OOM command not allowed", "MISCONF ")
"""How a server refuses to hold or save more. Old servers put it inside the message of a script that
failed, hence `in`."""
_READ_ONLY = "NOREPLICAS "
"""How the embedded store refuses writes while its disk is full."""
_REFUSED = (ReadOnlyError, NoPermissionError)
_NOT_NOW = ("BUSY ", "UNBLOCKED ", "UNKILLABLE ", "WAIT cannot be used ")
_OF_PIPELINE = re.compile(
    r"Command # .* of pipeline caused error: (?:\(.)?(.*?)(?:.,\))?", re.DOTALL
)
"""What the server said to one of many; redis-py puts the command around it, as callers wrote it."""
_NOT_NOW_CLASSES = (ClusterDownError, MovedError, NoScriptError)


class ConnectionLost(StoreUnavailable):
    """The connection was lost or refused; a command under way may still be carried out."""


class CommandRefused(StoreUnavailable):
    """The server answers and refuses: a replica, one without replicas, missing rights."""


class WithoutReplicas(CommandRefused):
    """A primary that takes no writes until a replica follows it."""


@dataclass(frozen=True)
class Limits:
    """Limits of the traffic with the store.

    Attributes:
        connections: how many commands are under way at most; others wait.
        connect_timeout_s: for a new connection.
        answer_timeout_s: for an answer, and the connection before it; a disk that stalls longer
            counts as gone.
        log_entries: how many entries the log keeps, about, unless `RedisStore.keep_log` set another
            number for the store; who falls further behind resyncs.
        follow_entries: how many entries a follower gets at once, at most.
        follow_block_s: how long a follower waits for news before it checks that the log it waits
            on is still there.
    """

    connections: int = 64
    connect_timeout_s: float = 2.0
    answer_timeout_s: float = 5.0
    log_entries: int = LOG_ENTRIES
    follow_entries: int = 500
    follow_block_s: float = 2.0


class RedisClient:
    """Sends commands and translates failures.

    Attributes:
        stages: told how long scripts that are a stage of work take, once somebody wants to know.
        acknowledged_by: how many replicas acknowledged what was confirmed last; None before.

    Raises from every method that talks to the server:
        StoreFull: it refused, since memory or disk is full; nothing was changed.
        NotReplicated: it did what it was asked for, and too few replicas acknowledged that.
        StoreUnavailable: no answer, or it takes no commands at the moment.
    """

    def __init__(
        self,
        address: StoreAddress | str,
        limits: Limits,
        trouble: Callable[[], str | None],
        *,
        single: bool = False,
    ) -> None:
        """Connect at the first command.

        Args:
            address: of the servers; a URL alone is of one that has no replicas.
            limits: sizes and times.
            trouble: what the supervisor of an embedded store knows to be wrong, if anything.
            single: one connection which, once lost, is not made again silently. It is to read, and
                waits for replicas in `settle` alone.

        Raises:
            UnsafeConfiguration: the address can't be understood.
        """
        self.stages: StageTimes | None = None
        self.acknowledged_by: int | None = None
        self._trouble = trouble
        self._address = StoreAddress(address) if isinstance(address, str) else address
        self._confirms = self._address.replicas > 0 and not single
        # Those that wait for replicas leave connections to those that read.
        self._confirming = asyncio.Semaphore(max(1, limits.connections // 2))
        self._timeout_s = limits.answer_timeout_s + (limits.follow_block_s if single else 0.0)
        connections = 1 if single else limits.connections
        try:
            pool = new_pool(self._address, connections, limits.connect_timeout_s)
        except ValueError as error:
            raise UnsafeConfiguration(f"the store's address can't be used: {error}") from error
        # Any: the answer's type is the command's business, and redis-py declares only some.
        self._redis: Any = Redis(connection_pool=pool, single_connection_client=single)

    async def ask(self, *command: Argument, confirmed: bool = False) -> Any:
        """Send one command; its answer.

        Args:
            command: its name and arguments.
            confirmed: replicas must have what it finds, since that is acknowledged once more.
        """
        if not (self._confirms and writes(command)):
            async with self._command(str(command[0])):
                answer = await self._redis.execute_command(*command)
            if not (self._confirms and confirmed and found_something(answer)):
                return answer
        return (await self._confirmed([command], str(command[0])))[0]

    async def ask_all(
        self, commands: Sequence[Sequence[Argument]], *, confirmed: bool = False
    ) -> list[Any]:
        """Send many commands together; others' commands may run in between."""
        return await self._answers(commands, one_step=False, confirmed=confirmed)

    async def ask_together(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run many commands as one transaction."""
        return await self._answers(commands, one_step=True)

    async def _answers(
        self, commands: Sequence[Sequence[Argument]], *, one_step: bool, confirmed: bool = False
    ) -> list[Any]:
        if not commands:
            return []
        operation = "MULTI" if one_step else "PIPELINE"
        if not (self._confirms and any(map(writes, commands))):
            pipeline = self._redis.pipeline(transaction=one_step)
            for command in commands:
                pipeline.execute_command(*command)
            async with self._command(operation, len(commands)):
                answers = await pipeline.execute()
            if not (self._confirms and confirmed and found_something(answers)):
                return answers
        return await self._confirmed(commands, operation, one_step=one_step)

    def script(
        self, text: str, stage: Stage | None = None, *, reads: bool = False
    ) -> Callable[[Sequence[str], Sequence[Argument]], Awaitable[Any]]:
        """Register a Lua script, maybe a stage of work; a function that runs it with arguments.

        Replicas need not acknowledge one that `reads`.
        """
        script = self._redis.register_script(text)
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

        async def confirmed(keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
            rest = [len(keys), *keys, *arguments]
            try:
                return (await self._confirmed([["EVALSHA", digest, *rest]], "EVALSHA", stage))[0]
            except StoreUnavailable as error:
                if not isinstance(error.__cause__, NoScriptError):
                    raise
            return (await self._confirmed([["EVAL", text, *rest]], "EVAL", stage))[0]

        async def once(keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
            if self._confirms and not reads:
                return await confirmed(keys, arguments)
            async with self._command("EVALSHA", name=stage):
                return await script(keys, arguments)

        async def run(keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
            begin = time.perf_counter()
            try:
                return await once(keys, arguments)
            finally:
                if stage is not None and self.stages is not None:
                    self.stages.note(stage, time.perf_counter() - begin)

        return run

    async def _confirmed(
        self,
        commands: Sequence[Sequence[Argument]],
        operation: str,
        name: str | None = None,
        *,
        one_step: bool = False,
    ) -> list[Any]:
        """Send commands, and have replicas acknowledge all that the server did until then.

        On one connection: on another one, another server might answer for what it lacks.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for line in with_confirmation(commands, self._address, one_step=one_step):
            pipeline.execute_command(*line)
        async with self._command(operation, len(commands), name), self._confirming:
            answers = await pipeline.execute(raise_on_error=False)
            callbacks = self._redis.response_callbacks
            found = answers_of(answers, commands, callbacks, one_step=one_step)
            self.acknowledged_by = int(answers[-1])
            check_confirmed(self.acknowledged_by, self._address)
            return found

    async def settle(self) -> None:
        """Wait until replicas have what was read on this `single` connection, or the time is over.

        So that who follows the log is seldom further than the server that is promoted next.
        """
        if self._address.replicas:
            for command in confirmation(self._address):
                async with self._command("WAIT"):
                    await self._redis.execute_command(*command)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.aclose()

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
            text = _said(error)
            if isinstance(error, OutOfMemoryError) or any(code in text for code in _FULL):
                raise StoreFull(f"the store takes no more: {text}", retry_after_s=10) from error
            if _READ_ONLY in text and (trouble := self._trouble()):
                raise StoreFull(trouble, retry_after_s=10) from error
            if isinstance(error, _REFUSED) or text.startswith(_READ_ONLY):
                refused = WithoutReplicas if text.startswith("NOREPLICAS") else CommandRefused
                raise refused(f"the store refuses: {text}") from error
            if isinstance(error, _NOT_NOW_CLASSES) or text.startswith(_NOT_NOW):
                raise StoreUnavailable(f"the store takes no commands: {text}") from error
            raise


def _said(error: ResponseError) -> str:
    """What the server said."""
    text = str(error)
    of_pipeline = _OF_PIPELINE.fullmatch(text)
    return text if of_pipeline is None else of_pipeline[1]
