"""How far matching is behind the store, as metrics tell it."""

import asyncio

import pytest

from service.engine.replica import trailing
from service.features.watchlists import following as module
from service.features.watchlists.counts import WatchlistCounts
from service.features.watchlists.cursor import LogCursor
from service.features.watchlists.matching import Found
from tests.service.features.watchlists.deployment import CHESS, NOODLES, Deployment
from tests.service.store.records import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trailing, "_LOOK_S", 0.01)


async def test_the_lag_is_by_no_other_clock_and_grows_while_nothing_is_matched(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = deployment.follower("a")
    follower.start()
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
    assert follower.lag_s is None


async def test_the_lag_grows_on_while_who_leads_fails_over_and_over(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    book = deployment.book()
    follower = deployment.follower("a")
    tries, lags = 0, set[bool]()

    async def fails(*_: object, **__: object) -> list[Found]:
        nonlocal tries
        tries += 1
        raise ValueError("a record that can't be read")

    monkeypatch.setattr(follower._matching, "matches", fails)
    follower.start()
    await until(lambda: follower.is_leading)  # it begins at the end of the log
    await deployment.write("one", NOODLES)
    await until(lambda: tries >= 3)
    before = follower.lag_s
    assert before is not None

    def grew() -> bool:
        lags.add(told(WatchlistCounts(follower, book, deployment.alerts)))
        return (follower.lag_s or 0.0) > before + 0.1

    await until(grew)
    assert lags == {True}
    await follower.stop()


def told(counts: WatchlistCounts) -> bool:
    return any(family.name == "streamer_watchlists_lag_seconds" for family in counts.collect())


async def test_who_does_not_lead_knows_the_lag_too(deployment: Deployment) -> None:
    other = LogCursor(deployment.documents, "other", 60)
    assert await other.claim(await deployment.store.position())
    follower = deployment.follower("a")
    follower.start()
    last = await deployment.write("one", NOODLES)
    at = await deployment.store.position()
    assert at.sequence == last
    await until(lambda: (follower.lag_s or 0.0) > 0.1)
    assert not follower.is_leading
    before = follower.lag_s
    assert before is not None
    await other.beat(at)
    await until(lambda: (follower.lag_s or before) < before)
    await follower.stop()
