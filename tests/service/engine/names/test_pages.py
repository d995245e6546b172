"""Pages of what is found go on in any process, whatever the history of its file is."""

import asyncio
from pathlib import Path

from service.engine.names.finder import Finder, Place
from service.engine.names.follower import Names
from tests.service.engine.names.test_follower import Parts, parts, upsert, write

NAMES = [f"one-{i}" for i in range(6)]


def test_another_process_goes_on_where_one_ended(tmp_path: Path) -> None:
    async def page(made: Parts, names: Names, after: Place) -> tuple[list[str], Place | None]:
        found = await Finder(names, made.lanes).find("luna", after, 2)
        assert found is not None
        return [hit.streamer_id for hit in found.hits], found.after

    async def scenario() -> None:
        async with parts(tmp_path) as made:
            last = await write(made.store, [upsert(name, "luna") for name in NAMES])
            async with made.names() as first:
                assert sorted(await made.found(first, "luna", last)) == NAMES
                for name in NAMES[::2]:
                    last = await write(made.store, [upsert(name, "luna", bio="written anew")])
                    await made.found(first, "luna", last)
                async with made.names() as second:
                    order = await made.found(second, "luna", last)
                    assert order == await made.found(first, "luna", last)
                    seen: list[str] = []
                    after: Place | None = Place()
                    for names in (first, second, first):
                        assert after is not None
                        shown, after = await page(made, names, after)
                        seen += shown
                    assert sorted(seen) == NAMES

    asyncio.run(scenario())
