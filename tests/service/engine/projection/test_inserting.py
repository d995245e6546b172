"""Rows that Milvus refuses hold up no other."""

import asyncio
from typing import Any

from service.engine.projection.inserting import inserted
from tests.service.index.milvus.without_server import Alone


def test_one_refused_row_is_left_out_and_told() -> None:
    alone = Alone()
    rows = [alone.write(f"s{i}") for i in range(9)]
    alone.memory.refuses = {"s4", "s7"}
    connection: Any = alone.memory
    refused = asyncio.run(inserted(connection, "c", rows, ()))
    assert sorted(refused) == [5, 8]
    assert sorted(alone.memory.rows) == [1, 2, 3, 4, 6, 7, 9]


def test_what_an_audit_could_not_insert_is_answered_from_memory_again() -> None:
    async def ask() -> None:
        alone = Alone()
        await alone.serve(0)
        rows = [alone.write(f"s{i}") for i in range(4)]
        alone.memory.insert([each for each in rows if each.version != 2], ())
        await alone.serve(4)
        assert alone.index.overlay_rows == 0
        await alone.serve(4, refused=frozenset({2}))
        assert alone.index.overlay_rows == 1
        assert await alone.found() == {"s0", "s1", "s2", "s3"}

    asyncio.run(ask())


def test_what_was_refused_is_answered_from_memory() -> None:
    async def ask() -> None:
        alone = Alone()
        await alone.serve(0)
        rows = [alone.write(f"s{i}") for i in range(4)]
        alone.memory.insert([each for each in rows if each.version != 2], ())
        for _ in range(2):  # as it settles, and as another process finds it that starts
            await alone.serve(4, refused=frozenset({2}))
            assert alone.index.overlay_rows == 1
            assert await alone.found() == {"s0", "s1", "s2", "s3"}
            await alone.serve(3, refused=frozenset({2}))
        newer = alone.write("s1")
        alone.memory.insert([newer], ())
        await alone.serve(5, refused=frozenset({2}))
        assert alone.index.overlay_rows == 0
        assert await alone.found() == {"s0", "s1", "s2", "s3"}

    asyncio.run(ask())
