"""Pages go on in the file of names that the first one is of, and in no other."""

import asyncio
from pathlib import Path

import pytest

from service.engine.names.finder import Finder, Place
from service.engine.names.follower import Names
from service.errors import CursorExpired
from tests.service.engine.names.test_follower import Parts, parts, upsert, write


def test_a_page_goes_on_in_the_file_of_the_one_before_also_after_a_restart(tmp_path: Path) -> None:
    async def page(made: Parts, names: Names, after: Place) -> tuple[list[str], Place | None]:
        found = await Finder(names, made.lanes).find("luna", after, 1)
        assert found is not None
        return [hit.streamer_id for hit in found.hits], found.after

    async def scenario() -> None:
        async with parts(tmp_path) as made:
            last = await write(made.store, [upsert("one", "luna")])
            async with made.names() as first:
                assert await made.found(first, "luna", last) == ["one"]
                last = await write(made.store, [upsert("two", "luna")])
                last = await write(made.store, [upsert("one", "luna", bio="comes last here")])
                async with made.names() as second:
                    for names in (first, second):
                        assert await made.found(names, "luna", last) == ["one", "two"]
                    (shown,), after = await page(made, first, Place())
                    assert after is not None
                    with pytest.raises(CursorExpired, match="ask for the first page again"):
                        await page(made, second, after)
            async with made.names() as again:
                assert await made.found(again, "luna", last) == ["one", "two"]
                assert {shown, *(await page(made, again, after))[0]} == {"one", "two"}
                assert again.file is not None
                await asyncio.to_thread(again.file.clear)
                with pytest.raises(CursorExpired):
                    await page(made, again, after)

    asyncio.run(scenario())
