"""Matching after a fail-over of the store that lost what was written last."""

from typing import Any

import pytest

from service.errors import CursorExpired, InvalidRequest
from service.features.watchlists.cursor import COLLECTION, DOCUMENT, LogCursor, NotTheMatcher
from service.features.watchlists.records import LISTS, SEEDS, SWEPT, TALLIES
from service.features.watchlists.seeds import Given
from service.features.watchlists.watched import WatchedLists, changes_of_lists, due_lists
from service.store.documents import Append, Put
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


async def test_who_lost_its_last_steps_to_a_fail_over_goes_on_at_once(
    deployment: Deployment,
) -> None:
    documents, position = deployment.documents, await deployment.store.position()
    cursor, other = LogCursor(documents, "a", 60), LogCursor(documents, "a", 60)
    assert await cursor.claim(position)
    (before,) = await documents.get(COLLECTION, [DOCUMENT])
    assert before is not None
    await cursor.beat()
    await documents.change([Put(COLLECTION, DOCUMENT, before.body)])
    with pytest.raises(NotTheMatcher):
        await cursor.beat()
    cursor.lose(was_taken=True)
    assert await cursor.claim(position)
    assert await other.claim(position)  # of the next process with its name
    cursor.lose(was_taken=True)
    assert not await cursor.claim(position)


@pytest.mark.parametrize("later", [0, 1, 2, 3])
async def test_a_log_of_lists_whose_end_was_lost_is_read_anew(
    deployment: Deployment, later: int
) -> None:
    """A store that failed over may lose the last entries, and give their numbers again."""
    await deployment.write("seed", NOODLES)
    lists = WatchedLists(
        deployment.documents, deployment.reader, deployment.evidence, deployment.lanes
    )
    for _ in range(2):
        await deployment.create("seed")
    await lists.refresh()
    assert lists.matcher.lists == 2
    await deployment.documents.drop(LISTS)
    made = {(await deployment.create("seed")).watchlist_id for _ in range(later)}
    await lists.refresh()
    assert set(lists.matcher.ids) == made
    made.add((await deployment.create("seed")).watchlist_id)
    await lists.refresh()
    assert set(lists.matcher.ids) == made
    made |= {(await deployment.create("seed")).watchlist_id for _ in range(2)}
    log = f"ss:document_log:{LISTS}"  # older entries are not kept for ever
    await deployment.store.client.ask("XTRIM", log, "MAXLEN", 1)
    assert (await changes_of_lists(deployment.documents, None)).ids is None
    await lists.refresh()
    assert set(lists.matcher.ids) == made


async def test_a_version_that_was_lost_and_given_again_is_swept_anew(
    deployment: Deployment,
) -> None:
    for name, bio in (("seed-a", NOODLES), ("seed-b", CHESS), ("copy", NOODLES + "一")):
        await deployment.write(name, bio)
    documents, steps = deployment.documents, list[int]()
    list_id = (await deployment.create("seed-a")).watchlist_id
    news = await documents.entries(LISTS, 0, 1)
    kept = [(each, *await documents.get(each, [list_id])) for each in (LISTS, SEEDS)]
    await deployment.lists.replace(list_id, wanted_of([Given("seed-b")]), WRITER, ())

    async def fail_over(_: dict[str, Any]) -> None:
        steps.append(1)
        if len(steps) == 1:  # to a replica that has the first version alone
            await documents.drop(LISTS)
            puts = [Put(each, list_id, found.body) for each, found in kept if found is not None]
            await documents.change(puts, [Append(LISTS, news[0].body)])
            await deployment.lists.replace(list_id, wanted_of([Given("seed-a")]), WRITER, ())

    await deployment.sweeps().run(Progress(fail_over))
    assert (await deployment.lists.get(list_id)).known.version == 2
    assert await deployment.raised(list_id) == ["copy"]
    assert (await due_lists(documents))[1] == {}


async def test_a_cursor_of_alerts_that_the_store_lost_is_expired(deployment: Deployment) -> None:
    documents, alerts = deployment.documents, deployment.alerts
    await deployment.write("seed", NOODLES)
    made = await deployment.create("seed")

    async def raised(*names: str) -> None:
        for name in names:
            await deployment.write(name, NOODLES + name)
            await deployment.sweeps().run(Progress())
            await documents.change([Put(SWEPT, made.watchlist_id, None)])

    async def after(place: str | None) -> list[str]:
        found, *_ = await alerts.page("on", None, None, place or "", 9)
        return [each.alert.streamer_id for each in found]

    await raised("a")
    _, first, _ = await alerts.page("on", None, None, "", 9)
    assert first is not None
    collections = await documents.collections("alerts")
    kept = {c: await documents.page(c, None, 9) for c in collections}
    await raised("b")
    _, second, _ = await alerts.page("on", None, None, first, 9)
    assert second is not None
    assert await after(first) == ["b"]
    earlier = [place.split(".")[0] for place in (first, second)]  # as releases before gave them
    assert await after(earlier[0]) == ["b"]
    for collection in await documents.collections("alerts"):  # a copy from before `b` is restored
        await documents.drop(collection)
    puts = [Put(c, each.document_id, each.body) for c, found in kept.items() for each in found]
    await documents.change(puts)
    for lost in (second, earlier[1]):
        with pytest.raises(CursorExpired):
            await after(lost)
    await raised("c")
    assert await after(first) == ["b", "c"]
    with pytest.raises(CursorExpired):  # `b` was raised again, by the number that it had
        await after(second)
    for made_up in ("1", f"{first}.1", f"{earlier[0]}.al-1"):
        with pytest.raises(InvalidRequest):
            await after(made_up)


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (LISTS, "settings of version 1 and seeds of version 2"),
        (SEEDS, "settings of version 2 and seeds of version 1"),
        (TALLIES, "settings of version 2 and seeds of version 2"),
    ],
)
async def test_a_list_in_parts_of_two_versions_is_made_whole_and_swept(
    deployment: Deployment, caplog: pytest.LogCaptureFixture, lost: str, told: str
) -> None:
    """So a backup has it that was made while it was changed."""
    for name, bio in (("seed-a", NOODLES), ("seed-b", NOODLES), ("copy", NOODLES + "一")):
        await deployment.write(name, bio)
    documents = deployment.documents
    list_id = (await deployment.create("seed-a")).watchlist_id
    (before,) = await documents.get(lost, [list_id])
    assert before is not None
    await deployment.lists.replace(list_id, wanted_of([Given("seed-b")]), WRITER, ())
    await documents.change([Put(lost, list_id, before.body)])
    await deployment.sweeps().run(Progress())
    assert (await due_lists(documents))[1] == {}
    assert (await deployment.lists.get(list_id)).known.version == 3
    assert "copy" in await deployment.raised(list_id)
    assert told in caplog.text


async def test_a_list_without_seeds_is_deleted_and_holds_nothing_up(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    documents = deployment.documents
    await deployment.write("seed", NOODLES)
    made, other = [(await deployment.create("seed")).watchlist_id for _ in range(2)]
    await documents.change([Put(each, made, None) for each in (SEEDS, TALLIES)])
    await deployment.sweeps().run(Progress())
    assert (await due_lists(documents))[1] == {}
    assert [each.document_id for each in await documents.page(LISTS, None, 9)] == [other]
    assert f"{made} (l) had no seeds" in caplog.text
