"""Re-encoding while towers or the store are unavailable for a moment."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.engine.encoding.profile_reader import ToRead
from service.errors import Overloaded, ServiceError, Unavailable
from service.features.models.reencode import reencode_all
from service.features.streamers.outcomes import Acknowledged
from service.store.base import Record, Refused
from tests.service.features.streamers.test_write_pipeline import never, parts
from tests.service.store.records import record, upsert

NEXT = "test-0"
BUSY = Overloaded("too many wait")


@pytest.mark.parametrize("raises", [True, False], ids=["of all", "of one"])
def test_it_is_tried_again(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, raises: bool
) -> None:
    async def scenario() -> None:
        async with parts(bundle, tmp_path, never) as (store, writes):
            ids = [f"s{i}" for i in range(3)]
            await store.write([upsert(i, f'{{"streamer_id": "{i}", "bio": "boss"}}') for i in ids])
            rewrite, asked = writes.rewrite, list[int]()

            async def busy(
                items: Sequence[ToRead], stored: Sequence[Record]
            ) -> list[Acknowledged | Refused | ServiceError]:
                asked.append(len(items))
                if len(asked) > 2:
                    return await rewrite(items, stored)
                if raises:
                    raise BUSY
                return [BUSY, *(await rewrite(items[1:], stored[1:]))]

            monkeypatch.setattr(writes, "rewrite", busy)
            assert record("s0").model_version != NEXT
            with pytest.raises(Unavailable, match="too many wait"):
                await reencode_all(store, writes, NEXT, pauses_s=[0.0])
            assert await reencode_all(store, writes, NEXT, pauses_s=[]) == (3 if raises else 1)
            assert asked == ([3, 3, 3] if raises else [3, 1, 1])
            assert await store.model_versions([*ids, "nobody"]) == [NEXT] * 3 + [None]
            # Who has the new model's vectors is not even fetched again.
            assert await reencode_all(store, writes, NEXT, pauses_s=[]) == 0
            assert len(asked) == 3

    asyncio.run(scenario())
