"""Changes of lists that are cut off half-way."""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from model_export.contract.streamer import StreamerProfile
from service.engine.watchlists.matcher import ListSeeds, Matcher
from service.engine.work.lanes import run_to_end
from service.errors import StoreUnavailable
from service.features.watchlists import service
from service.features.watchlists.records import Seeds
from service.features.watchlists.seeds import Given
from service.features.watchlists.watched import WatchedLists
from service.store.once import Once
from tests.service.features.watchlists.deployment import NOODLES, WRITER, Deployment, wanted_of
from tests.service.process import WAIT_S
from tests.service.store.records import remove

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


async def test_a_repeat_looks_for_erased_seeds_where_the_first_request_was_cut_off(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    wanted, once = wanted_of([Given("seed")]), Once("a" * 32, "b" * 32)
    not_stored = deployment.reader.not_stored

    async def cut_off(seeds: Seeds) -> list[str]:
        monkeypatch.setattr(deployment.reader, "not_stored", not_stored)
        await remove(deployment.store, "seed")
        raise StoreUnavailable("it does not answer")

    monkeypatch.setattr(deployment.reader, "not_stored", cut_off)
    with pytest.raises(StoreUnavailable):
        await deployment.lists.create(wanted, WRITER, once)
    for _ in range(2):
        shown = await deployment.lists.create(wanted, WRITER, once)
        assert shown.seeds is not None
        assert [(s.streamer_id, s.profile) for s in shown.seeds.positive] == [("seed", None)]
        assert shown.known.version == 2


async def test_a_list_of_before_keeps_the_copies_of_who_was_deleted(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    wanted, once = wanted_of([Given("seed")]), Once("a" * 32, "b" * 32)
    monkeypatch.setattr(service, "_CUT_S", -86_400.0)
    await deployment.lists.create(wanted, WRITER, once)
    await remove(deployment.store, "seed")
    shown = await deployment.lists.create(wanted, WRITER, once)
    assert shown.seeds is not None
    assert [seed.profile is None for seed in shown.seeds.positive] == [False]
