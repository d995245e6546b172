"""Lines of a body that comes in parts."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.ndjson import lines_of

pytestmark = pytest.mark.slow


def read(parts: list[bytes], limit: int) -> list[bytes]:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def lines() -> list[bytes]:
        return [line async for line in lines_of(body(), limit)]

    return asyncio.run(lines())


@given(st.lists(st.binary(max_size=12).map(lambda part: part.replace(b"\x00", b"\n"))), st.just(4))
def test_lines_are_those_of_the_whole_cut_behind_the_limit(parts: list[bytes], limit: int) -> None:
    *lines, last = b"".join(parts).split(b"\n")
    whole = [*lines, last] if last else lines
    assert read(parts, limit) == [line[: limit + 1] for line in whole]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_parts_of_every_size(limit: int) -> None:
    text = b"\n\nab\nabcdef\n\nabc"
    for size in range(1, len(text) + 1):
        parts = [text[start : start + size] for start in range(0, len(text), size)]
        assert read(parts, limit) == [line[: limit + 1] for line in text.split(b"\n")]
