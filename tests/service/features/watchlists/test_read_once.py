"""Profiles and stored alerts are read once, and off the event loop."""

import threading
from typing import Any

import pytest

from model_export.contract.streamer import StreamerProfile
from service.features.watchlists import matching, seeds
from service.features.watchlists.records import LISTS, SEEDS, SEEDS_OF, WATCHLIST, Alert
from service.features.watchlists.seeds import Given
from service.features.watchlists.watched import WatchedLists
from tests.service.features.watchlists.deployment import (
    CHESS,
    NOODLES,
    WRITER,
    Deployment,
    Progress,
    wanted_of,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_streamer_that_matches_many_lists_is_read_once(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    for i in range(2):
        await deployment.write(f"x{i}", NOODLES + str(i))
    made = [await deployment.create("seed") for _ in range(3)]
    content_of, read = matching.content_of, list[str]()

    def counted(profile: StreamerProfile) -> str:
        read.append(profile.streamer_id)
        return content_of(profile)

    monkeypatch.setattr(matching, "content_of", counted)
    await deployment.sweeps().run(Progress())
    assert sorted(read) == ["x0", "x1"]
    for each in made:
        assert await deployment.raised(each.watchlist_id) == ["x0", "x1"]


async def test_a_seed_is_read_once_to_be_matched(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("a", NOODLES)
    await deployment.write("b", CHESS)
    wanted = wanted_of([Given("a")], negative=[Given("b")])
    list_id = (await deployment.lists.create(wanted, WRITER, None)).watchlist_id
    (known,) = await deployment.documents.get(LISTS, [list_id])
    (stored,) = await deployment.documents.get(SEEDS, [list_id])
    assert known is not None
    assert stored is not None
    validate, read = StreamerProfile.model_validate, list[str]()

    def counted(profile: dict[str, Any]) -> StreamerProfile:
        read.append(profile["streamer_id"])
        return validate(profile)

    monkeypatch.setattr(seeds.StreamerProfile, "model_validate", counted)
    ready = await deployment.reader.ready(
        list_id, WATCHLIST.validate_json(known.body), SEEDS_OF.validate_json(stored.body)
    )
    assert read == ["a", "b"]
    assert set(ready.exempt) == {"a", "b"}


async def test_stored_alerts_are_read_off_the_event_loop(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    await deployment.write("x", NOODLES + "0")
    list_id = (await deployment.create("seed")).watchlist_id
    await deployment.sweeps().run(Progress())
    await deployment.write("x", NOODLES)
    lists = WatchedLists(
        deployment.documents, deployment.reader, deployment.evidence, deployment.lanes
    )
    await lists.refresh()
    found = await deployment.matching.matches(["x"], lists.matcher)
    assert len(found) == 1
    load, threads = Alert.load, list[threading.Thread]()

    def noted(body: bytes) -> Alert:
        threads.append(threading.current_thread())
        return load(body)

    monkeypatch.setattr(Alert, "load", noted)
    assert await deployment.book().raise_alerts(found) == 0
    assert threads
    assert threading.current_thread() not in threads
    assert await deployment.raised(list_id) == ["x"]
