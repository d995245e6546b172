"""The first reading of all names ends, however much is written meanwhile."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.engine.names import follower
from service.store.base import Delete, ProfilePage, Upsert
from tests.service.engine.names.test_follower import parts, upsert, write


def test_a_log_that_is_shorter_than_what_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_PAGE", 10)
    monkeypatch.setattr(follower, "_RETRY_S", 0.0)

    async def scenario() -> None:
        async with parts(tmp_path) as made, Redis.from_url(made.embedded.url) as admin:
            page, pages = made.store.page, list[str]()
            stored = {f"s{i:02}": "luna" for i in range(40)}
            await write(made.store, [upsert(*one) for one in stored.items()])

            async def slow(after: str, limit: int, max_bytes: int) -> ProfilePage:
                """Everybody is written after each page, or deleted, and the log keeps no more."""
                found = await page(after, limit, max_bytes)
                pages.append(after)
                if len(pages) <= 20:
                    gone = f"s{len(pages):02}"
                    stored.pop(gone, None)
                    stored.update(dict.fromkeys(stored, f"stella {len(pages)}"))
                    changes: list[Upsert | Delete] = [Delete(gone)]
                    changes += [upsert(*one) for one in stored.items()]
                    await write(made.store, changes)
                    await admin.xtrim("ss:log", maxlen=45, approximate=False)
                return found

            monkeypatch.setattr(made.store, "page", slow)
            async with made.names() as names:
                await names.wait_for(1, 60_000)
                last = await write(made.store, [upsert("new", "stella new")])
                assert await made.found(names, "stella", last) == ["new", *sorted(stored)]
                newest = f"stella {len(pages)}"
                assert await made.found(names, newest, last) == sorted(stored)
            assert pages == sorted(set(pages))  # each of them was read once

    asyncio.run(scenario())
