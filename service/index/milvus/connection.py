"""Milvus from coroutines: blocking calls in threads of their own, few at a time.

Plain questions that wait are asked together: sixteen vectors in one call cost a quarter of what
they do one by one.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import grpc
import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient  # pyright: ignore[reportMissingTypeStubs]
from pymilvus.exceptions import (  # pyright: ignore[reportMissingTypeStubs]
    DataNotMatchException,
    MilvusException,
    ParamError,
)

from service.errors import IndexUnavailable, Overloaded
from service.index.milvus.collection import Collection, Found, Shape, check_version

Result = TypeVar("Result")
_AT_ONCE = 4
"""Searches that are under way; what comes meanwhile waits and is asked together."""
_TOGETHER = 16
_WAITING = 1024
_NOT_FOUND = 100
"""Code of Milvus: there is no such collection."""
_WRONG_INPUT = range(1100, 1200)
"""Codes of Milvus: a parameter is invalid, missing or too large."""


class CollectionLost(IndexUnavailable):
    """The collection is not there, or not as it was made: it has to be built anew."""


class Refused(IndexUnavailable):
    """Milvus would refuse the same again: what it was given does not fit."""


class Asked(NamedTuple):
    """What questions must have in common to be asked together."""

    collection: str
    limit: int
    expression: str
    exact: bool
    with_embeddings: bool


@dataclass(frozen=True, eq=False)
class _Waiting:
    vectors: NDArray[np.float32]
    found: "asyncio.Future[list[Found]]"


class Connection:
    """A server of Milvus. Its coroutines run on one event loop.

    Attributes:
        answered_at: when it answered a question last, by the monotonic clock; whoever inserts
            gets answers too while no search does.
    """

    def __init__(self, uri: str, token: str, shape: Shape, timeout_s: float) -> None:
        """Nothing is connected before the first call.

        Args:
            uri: of the server, `http://host:19530`.
            token: `user:password`, or an API key; empty for none.
            shape: of the model's collections.
            timeout_s: for one call, and for the time that a question waits before.
        """
        # It logs each failed call with a traceback; whoever calls decides what is told.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.answered_at = -math.inf
        self._uri, self._token = uri, token
        self._shape = shape
        self._timeout_s = timeout_s
        self._client: MilvusClient | None = None
        self._connecting = threading.Lock()
        self._threads = ThreadPoolExecutor(_AT_ONCE + 4, thread_name_prefix="milvus")
        self._waiting: dict[Asked, list[_Waiting]] = {}
        self._running = 0
        self._is_asking = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Call no more.

        The client is closed in a thread: its manager is locked while any client of the process
        connects, for as long as `timeout_s` where a cluster is silent.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)

    async def call(self, name: str, ask: Callable[[Collection], Result]) -> Result:
        """Ask a collection something, in a thread.

        Raises:
            CollectionLost: there is no such collection.
            IndexUnavailable: Milvus does not answer, or answers with another error.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._called, name, ask)

    def search_now(self, asked: Asked, vectors: NDArray[np.float32]) -> list[Found]:
        """The nearest of vectors (Q, D), from any thread, which waits; raises as `call`."""
        return self._called(asked.collection, lambda c: _searched(c, asked, vectors))

    async def search(self, asked: Asked, vectors: NDArray[np.float32]) -> list[Found]:
        """The nearest of vectors (Q, D), together with others that wait for the same.

        Raises:
            CollectionLost, IndexUnavailable: as `call`, or the deadline passed.
            Overloaded: too many wait already.
        """
        if sum(map(len, self._waiting.values())) >= _WAITING:
            raise Overloaded(f"{_WAITING} questions to Milvus are waiting already")
        waiting = _Waiting(vectors, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(asked, []).append(waiting)
        self._ask_soon()
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                return await waiting.found
        except TimeoutError:
            raise IndexUnavailable("a question to Milvus waited for too long") from None

    def _ask_soon(self) -> None:
        """Ask once everybody who is about to wait does: they would be just too late otherwise."""
        if not self._is_asking:
            self._is_asking = True
            asyncio.get_running_loop().call_soon(self._ask)

    def _ask(self) -> None:
        self._is_asking = False
        while self._waiting and self._running < _AT_ONCE:
            asked = next(iter(self._waiting))
            several = self._waiting.pop(asked)
            now, later = several[:_TOGETHER], several[_TOGETHER:]
            if later:
                self._waiting[asked] = later  # behind the others
            now = [each for each in now if not each.found.done()]  # who has gone needs none
            if now:
                self._running += 1
                task = asyncio.create_task(self._answer(asked, now), name="search in Milvus")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, asked: Asked, several: list[_Waiting]) -> None:
        vectors = np.concatenate([each.vectors for each in several])  # (Q, D)

        try:
            found = await self.call(asked.collection, lambda c: _searched(c, asked, vectors))
            self.answered_at = time.monotonic()
            if len(found) != len(vectors):
                raise IndexUnavailable("Milvus answered fewer questions than it was asked")
            for each in several:
                mine, found = found[: len(each.vectors)], found[len(each.vectors) :]
                if not each.found.done():
                    each.found.set_result(mine)
        except Exception as error:  # noqa: BLE001 - belongs to those who asked
            for each in several:
                if not each.found.done():
                    each.found.set_exception(error)
        finally:
            self._running -= 1
            self._ask_soon()

    def _called(self, name: str, ask: Callable[[Collection], Result]) -> Result:
        try:
            return ask(Collection(self._connected(), name, self._shape, self._timeout_s))
        except MilvusException as error:
            if error.code == _NOT_FOUND:
                raise CollectionLost(f"Milvus has no collection {name}") from error
            kind = Refused if _is_refusal(error) else IndexUnavailable
            raise kind(f"Milvus: {_told(error)}") from error
        except (grpc.RpcError, OSError, ValueError) as error:
            raise IndexUnavailable(f"Milvus does not answer: {_told(error)}") from error

    def _connected(self) -> MilvusClient:
        with self._connecting:
            if self._client is None:
                client = MilvusClient(self._uri, token=self._token, timeout=self._timeout_s)
                try:
                    check_version(cast(Any, client).get_server_version(timeout=self._timeout_s))
                except BaseException:
                    client.close()
                    raise
                self._client = client
            return self._client


def _searched(collection: Collection, asked: Asked, vectors: NDArray[np.float32]) -> list[Found]:
    return collection.search(
        vectors,
        asked.limit,
        asked.expression,
        exact=asked.exact,
        with_embeddings=asked.with_embeddings,
    )


def _is_refusal(error: MilvusException) -> bool:
    """Whether what was given is wrong, as the server or its client tells."""
    return error.code in _WRONG_INPUT or isinstance(error, (ParamError, DataNotMatchException))


def _told(error: Exception) -> str:
    """An error in one short line."""
    text = error.message if isinstance(error, MilvusException) else str(error)
    return " ".join(str(text).split())[:200] or type(error).__name__
