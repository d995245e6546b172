"""How far matching is behind the store, as metrics tell it."""

import asyncio

import pytest

from service.features.watchlists import following as module
from service.features.watchlists.cursor import LogCursor
from service.features.watchlists.matching import Found
from tests.service.features.watchlists.deployment import CHESS, NOODLES, Deployment
from tests.service.store.records import WAIT_S, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_lag_is_by_no_other_clock_and_grows_while_nothing_is_matched(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEAT_S", 0.01)
    follower = deployment.follower("a")
    follower.start()
    await until(lambda: follower.lag_s is not None)
    last = await deployment.write("somebody", NOODLES)  # whose clock says 1970
    await deployment.reached(follower, last)
    lag_s = follower.lag_s
    assert lag_s is not None
    assert lag_s < 3600
    matching = asyncio.Event()

    async def stuck(*_: object, **__: object) -> list[Found]:
        matching.set()
        return await asyncio.Future()

    monkeypatch.setattr(follower._matching, "matches", stuck)
    await deployment.write("later", CHESS)
    await matching.wait()
    before = follower.lag_s
    assert before is not None
    await until(lambda: (follower.lag_s or 0.0) > before + 0.1)
    await follower.stop()


async def test_who_leads_again_knows_no_lag_before_a_look(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEAT_S", 0.01)
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    follower, other = deployment.follower("a"), LogCursor(deployment.documents, "a", 60)
    follower.start()
    await until(lambda: follower.lag_s is not None)
    async with asyncio.timeout(WAIT_S):
        # A beat may come between its look and its write.
        while not await other.claim(await deployment.store.position()):  # noqa: ASYNC110
            await asyncio.sleep(0)
    await until(lambda: follower.place is None)
    monkeypatch.setattr(module, "_BEAT_S", 3600)
    await other.release()
    await until(lambda: follower.place is not None)
    assert follower.lag_s is None
    await follower.stop()
