"""Which questions are asked together, without a server."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from service.errors import IndexUnavailable
from service.index.milvus import connection as module
from service.index.milvus.collection import Collection, Found, Shape
from service.index.milvus.connection import Asked, Connection

PLAIN = Asked("c", 10, "", False, False)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of the calls; what is asked for first of the numbers of a vector is the only hit."""
    found: list[int] = []

    def search(self: Any, vectors: np.ndarray, *_: Any, **__: Any) -> list[Found]:
        found.append(len(vectors))
        return [Found([int(vector[0])], ["s"], [1.0]) for vector in vectors]

    monkeypatch.setattr(Collection, "search", search)
    monkeypatch.setattr(Connection, "_connected", lambda _: None)
    return found


def connection() -> Connection:
    return Connection("http://127.0.0.1:1", "", Shape("m", 2, 16, 4), timeout_s=30)


def vector(number: int) -> np.ndarray:
    return np.array([[number, 0]], np.float32)


def test_questions_that_come_at_once_are_asked_together(sizes: list[int]) -> None:
    async def ask() -> None:
        asking = connection()
        answers = await asyncio.gather(
            *(asking.search(PLAIN, vector(i)) for i in range(64)),
            asking.search(PLAIN._replace(limit=11), vector(64)),
        )
        assert [found.versions for (found,) in answers] == [[i] for i in range(65)]
        assert sorted(sizes) == [1, 16, 16, 16, 16]
        await asking.close()

    asyncio.run(ask())


def test_who_asks_again_at_once_is_asked_with_the_others(sizes: list[int]) -> None:
    async def ask() -> None:
        asking = connection()

        async def client(number: int) -> None:
            for _ in range(5):
                (found,) = await asking.search(PLAIN, vector(number))
                assert found.versions == [number]

        await asyncio.gather(*(client(i) for i in range(16)))
        assert sizes == [16] * 5
        await asking.close()

    asyncio.run(ask())


def test_a_question_that_waits_for_too_long_is_a_failure_of_milvus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ask() -> None:
        asking = Connection("http://127.0.0.1:1", "", Shape("m", 2, 16, 4), timeout_s=0.01)
        never = asyncio.Event()

        async def call(*_: Any) -> None:
            await never.wait()

        monkeypatch.setattr(asking, "call", call)
        with pytest.raises(IndexUnavailable, match="waited for too long"):
            await asking.search(PLAIN, vector(0))
        never.set()
        await asking.close()

    asyncio.run(ask())


def test_only_an_answer_is_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    async def ask() -> None:
        asking = connection()
        assert asking.answered_at == -float("inf")

        def fail(self: Any, *_: Any, **__: Any) -> list[Found]:
            raise OSError("connection refused")

        with monkeypatch.context() as failing:
            failing.setattr(Collection, "search", fail)
            with pytest.raises(IndexUnavailable, match="refused"):
                await asking.search(PLAIN, vector(0))
        assert asking.answered_at == -float("inf")
        await asking.call("c", lambda _: None)  # nor is one to whoever writes
        assert asking.answered_at == -float("inf")
        await asking.search(PLAIN, vector(0))
        assert asking.answered_at > 0
        await asking.close()

    asyncio.run(ask())


def test_closing_waits_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's manager may be locked by a thread that connects to a silent cluster."""
    is_unlocked, closed = threading.Event(), list[bool]()

    class Client:
        def __init__(self, *_: Any, **__: Any) -> None:
            """It connects."""

        def get_server_version(self, **_: Any) -> str:
            return "2.6.19"

        def close(self) -> None:
            closed.append(is_unlocked.wait(10))

    monkeypatch.setattr(module, "MilvusClient", Client)

    async def ask() -> None:
        asking = connection()
        await asking.call("c", lambda _: None)
        asyncio.get_running_loop().call_soon(is_unlocked.set)
        await asking.close()
        assert closed == [True]

    asyncio.run(ask())
