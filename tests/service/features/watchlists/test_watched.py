"""Lists in memory while those who change them leave."""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from model_export.contract.streamer import StreamerProfile
from service.engine.watchlists.matcher import ListSeeds, Matcher
from service.engine.work.lanes import run_to_end
from service.features.watchlists.watched import WatchedLists
from tests.service.features.watchlists.deployment import NOODLES, Deployment
from tests.service.process import WAIT_S

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_lists_match_while_a_change_that_nobody_waits_for_is_made(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    lists = WatchedLists(
        deployment.documents, deployment.reader, deployment.evidence, deployment.lanes
    )
    profile = StreamerProfile(streamer_id="copy", bio=NOODLES + "x")
    side = deployment.evidence.side(profile, None)

    def matched() -> list[str]:
        return sorted(hit.list_id for hit in run_to_end(lists.matcher.match(["copy"], [side])))

    first = (await deployment.create("seed")).watchlist_id
    await lists.refresh()
    assert matched() == [first]
    second = (await deployment.create("seed")).watchlist_id
    begun, may_go, index = threading.Event(), threading.Event(), Matcher._indexed

    def held(self: Matcher, fresh: Sequence[ListSeeds]) -> Any:
        begun.set()
        assert may_go.wait(WAIT_S)
        return index(self, fresh)

    monkeypatch.setattr(Matcher, "_indexed", held)
    leaving = asyncio.create_task(lists.refresh())
    try:
        assert await asyncio.to_thread(begun.wait, WAIT_S)
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving
        assert matched() == [first]
        assert list(lists.matcher.ids) == [first]
    finally:
        may_go.set()
    await lists.refresh()
    assert matched() == sorted([first, second])
