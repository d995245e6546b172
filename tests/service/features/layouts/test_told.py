"""What `/metrics` tells of a map that is not served."""

from dataclasses import replace

import pytest

from service.engine.layouts.anchors import Frame
from service.engine.work.lanes import Lanes
from service.features.layouts.counts import LayoutCounts
from service.features.layouts.following import LayoutFollower
from service.features.layouts.storing import COLLECTION, CURRENT, LayoutRecord, StoredLayouts
from service.store.documents import Put
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.store import RedisStore
from tests.service.store.records import until

pytestmark = pytest.mark.anyio
RECORD = LayoutRecord("one", 1.0, "model-before", 40, 1.0, Frame(0, 0, 1), [])


def told(follower: LayoutFollower) -> dict[str, float]:
    families = LayoutCounts(follower).collect()
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_a_layout_of_the_model_before_is_told_as_one_that_is_not_served(
    store: RedisStore, lanes: Lanes
) -> None:
    documents = RedisDocuments(store.client)
    follower = LayoutFollower(StoredLayouts(documents, lanes), None, "model", lanes)  # type: ignore[arg-type]
    follower.start()
    await until(lambda: follower.problem is None)
    assert told(follower) == {}  # nobody has fitted one
    await documents.change([Put(COLLECTION, CURRENT, RECORD.to_json())])
    follower.wake()
    await until(lambda: "streamer_layout_waiting" in told(follower))
    assert told(follower)["streamer_layout_served"] == 0
    assert "is of model model-before" in (follower.problem or "")
    await follower.stop()


async def test_a_layout_that_can_not_be_read_is_told_too(store: RedisStore, lanes: Lanes) -> None:
    documents = RedisDocuments(store.client)
    await documents.change([Put(COLLECTION, CURRENT, b"{")])
    follower = LayoutFollower(StoredLayouts(documents, lanes), None, "model", lanes)  # type: ignore[arg-type]
    follower.start()
    await until(lambda: "can't be kept up to date" in (follower.problem or ""))
    assert told(follower) == {"streamer_layout_served": 0}
    await documents.change([Put(COLLECTION, CURRENT, replace(RECORD, layout_id="two").to_json())])
    follower.wake()
    await until(lambda: follower.record is not None)
    assert told(follower)["streamer_layout_served"] == 0
    await follower.stop()
