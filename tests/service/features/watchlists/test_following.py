"""Matching of the log: taken over, with gaps, beside sweeps and changes of lists."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.engine.evidence.stored_sides import StoredSides
from service.engine.watchlists.matcher import Matcher
from service.errors import StoreUnavailable, StreamerNotFound
from service.features.watchlists import sweeping
from service.features.watchlists.cursor import LogCursor, NotTheMatcher, read_matched
from service.features.watchlists.erasing import SeedCopies
from service.features.watchlists.following import Sweeps
from service.features.watchlists.matching import Matching
from service.features.watchlists.records import BEYOND, LISTS, Seeds
from service.features.watchlists.seeds import Given
from service.features.watchlists.service import ShownList
from service.features.watchlists.watched import WatchedLists, due_lists
from service.store.base import Delete, LogGap, Position, StreamerStore
from service.store.documents import Entry
from service.store.jobs import Job
from tests.service.features.watchlists.deployment import (
    CHESS,
    MODEL,
    NOODLES,
    WRITER,
    Deployment,
    Progress,
    wanted_of,
)
from tests.service.store.records import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_another_process_goes_on_where_one_ended(deployment: Deployment) -> None:
    await deployment.write("seed", NOODLES)
    made = await deployment.create("seed")
    first, second = deployment.follower("a"), deployment.follower("b")
    first.start()
    await deployment.reached(first, 1)
    await deployment.reached(first, await deployment.write("copy", NOODLES + "一"))
    second.start()
    await until(lambda: second.cursor._seen[0] > 0)  # it asked for the cursor, and has it not
    assert not second.is_leading
    await first.stop()  # lets others have it at once
    last = await deployment.write("other", NOODLES + "二")
    await deployment.reached(second, last)
    assert await deployment.raised(made.watchlist_id) == ["copy", "other"]
    await second.stop()


async def test_who_lost_the_cursor_raises_nothing(deployment: Deployment) -> None:
    position = await deployment.store.position()
    old, new = (LogCursor(deployment.documents, name, 1e-9) for name in ("old", "new"))
    assert await old.claim(position)
    assert not await new.claim(position)  # it has to see it stand still first
    assert await new.claim(position)
    with pytest.raises(NotTheMatcher):
        await old.beat()
    await new.beat()
    assert not await LogCursor(deployment.documents, "third", 60).claim(position)
    await new.release()
    assert await LogCursor(deployment.documents, "third", 60).claim(position)


async def test_two_of_one_name_do_not_take_the_cursor_from_each_other(
    deployment: Deployment,
) -> None:
    first, second = deployment.follower("a"), deployment.follower("a")
    first.start()
    await until(lambda: first.is_leading)
    second.start()  # as the next process of the first one
    await until(lambda: not first.is_leading)
    await until(lambda: first.cursor._seen[0] > 0)  # it asked for the cursor, and has it not
    last = await deployment.write("somebody", CHESS)
    await deployment.reached(second, last)
    assert second.is_leading
    assert not first.is_leading
    await first.stop()
    await second.stop()


async def test_a_gap_in_the_log_makes_all_lists_due(deployment: Deployment) -> None:
    await deployment.write("seed", NOODLES)
    made = await deployment.create("seed")
    follower = deployment.follower("a")
    follower.start()
    await deployment.reached(follower, 1)
    await deployment.sweeps().run(Progress())
    assert (await due_lists(deployment.documents))[1] == {}
    await follower.stop()
    last = await deployment.write("missed", NOODLES + "一")
    await deployment.store.forget("missed", last + 1)  # its entry is gone
    begun = asyncio.Event()

    async def start() -> Job:
        begun.set()
        return cast(Job, SimpleNamespace(job_id="j"))

    async def get(_: str) -> Job:
        return cast(Job, SimpleNamespace(state="running"))

    again = deployment.follower("b")
    again.sweeps = Sweeps(start, get)
    again.start()
    async with asyncio.timeout(60):
        await begun.wait()
    assert (await due_lists(deployment.documents))[1] == {made.watchlist_id: (1, 0)}
    await deployment.sweeps().run(Progress())
    assert await deployment.raised(made.watchlist_id) == ["missed"]
    assert (await due_lists(deployment.documents))[1] == {}
    await again.stop()


@pytest.mark.slow
async def test_a_list_that_is_changed_while_it_is_swept_is_swept_anew(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "AT_ONCE", 20)
    await deployment.write("seed-a", NOODLES)
    await deployment.write("seed-b", CHESS)
    for i in range(45):  # three parts
        await deployment.write(f"x{i:03}", (NOODLES if i % 2 else CHESS) + chr(0x4E00 + i))
    made = await deployment.create("seed-a")
    steps: list[str] = []

    async def told(checkpoint: dict[str, Any]) -> None:
        steps.append(checkpoint["round"]["after"])
        if len(steps) == 1:
            wanted = wanted_of([Given("seed-b")])
            await deployment.lists.replace(made.watchlist_id, wanted, WRITER, ())

    result = await deployment.sweeps().run(Progress(lambda c: told(c)))
    assert result["lists"] == 1
    found, *_ = await deployment.alerts.page("on", None, made.watchlist_id, "", 1000)
    by_version = {version: set[str]() for version in (1, 2)}
    for each in found:
        by_version[each.alert.watchlist_version].add(each.alert.streamer_id)
    copies = {f"x{i:03}" for i in range(45)}
    assert by_version[2] == {name for name in copies if int(name[1:]) % 2 == 0}
    # Of the older version only what was raised before it was changed.
    assert by_version[1] < copies - by_version[2]
    assert len(by_version[1]) < 20
    (shown,) = (await deployment.lists.page("", 10))[0]
    assert shown.known.version == 2
    assert (await due_lists(deployment.documents))[1] == {}


async def test_changes_of_before_are_not_read_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    await deployment.write("copy", NOODLES + "x")
    made = await deployment.create("seed")
    for _ in range(4):
        await deployment.lists.replace(made.watchlist_id, wanted_of([Given("seed")]), WRITER, ())
    behind: list[int] = []
    entries = deployment.documents.entries

    async def told(collection: str, after: int, limit: int) -> list[Entry]:
        if collection == LISTS:
            behind.append(after)
        return await entries(collection, after, limit)

    monkeypatch.setattr(deployment.documents, "entries", told)
    assert (await deployment.sweeps().run(Progress()))["lists"] == 1
    lists = WatchedLists(
        deployment.documents, deployment.reader, deployment.evidence, deployment.lanes
    )
    await lists.refresh()
    assert lists.last_change is not None
    assert lists.last_change.number == 5
    assert lists.matcher.version(made.watchlist_id) == 5
    await lists.refresh()
    assert behind
    assert set(behind) == {4}  # and whether the last one is still there


@pytest.mark.slow
async def test_an_interrupted_sweep_goes_on_and_raises_nothing_twice(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "AT_ONCE", 20)
    await deployment.write("seed", NOODLES)
    for i in range(45):
        await deployment.write(f"x{i:03}", NOODLES + chr(0x4E00 + i))
    made = await deployment.create("seed")

    def die(checkpoint: dict[str, Any]) -> None:
        raise KeyError(checkpoint["round"]["after"])

    dead = Progress(die)
    with pytest.raises(KeyError):
        await deployment.sweeps().run(dead)
    assert len(await deployment.raised(made.watchlist_id)) == 19  # the seed is among the first 20
    await deployment.sweeps().run(Progress())  # from the beginning: no step was recorded
    assert sorted(await deployment.raised(made.watchlist_id)) == [f"x{i:03}" for i in range(45)]
    await deployment.lists.replace(made.watchlist_id, wanted_of([Given("seed")]), WRITER, ())

    def die_later(checkpoint: dict[str, Any]) -> None:
        if checkpoint["round"]["after"] >= "x030":
            raise KeyError

    dead = Progress(die_later)
    with pytest.raises(KeyError):
        await deployment.sweeps().run(dead)
    going_on = Progress()
    going_on.checkpoint = dead.checkpoint
    assert (await deployment.sweeps().run(going_on))["streamers"] == 46 - 40
    assert len(await deployment.raised(made.watchlist_id)) == 45


@pytest.mark.slow
async def test_a_list_that_comes_while_others_are_swept_joins_them(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "AT_ONCE", 20)
    await deployment.write("seed-a", NOODLES)
    await deployment.write("seed-b", CHESS)
    for i in range(44):
        await deployment.write(f"x{i:03}", (NOODLES if i % 2 else CHESS) + chr(0x4E00 + i))
    first = await deployment.create("seed-a")
    later: list[ShownList] = []
    rounds: list[tuple[str, set[str]]] = []

    async def told(checkpoint: dict[str, Any]) -> None:
        at = checkpoint["round"]
        rounds.append((at["after"], set(at["lists"])))
        if at["after"] == "x017" and not later:
            later.append(await deployment.create("seed-b"))

    result = await deployment.sweeps().run(Progress(lambda c: told(c)))

    assert result["lists"] == 2
    assert result["streamers"] < 2 * 46  # it shares the rest of the first round
    names = {"first": {first.watchlist_id}, "later": {later[0].watchlist_id}}
    assert rounds == [
        ("x017", names["first"]),
        ("x037", names["first"] | names["later"]),
        ("x043", names["first"] | names["later"]),
        ("", names["later"]),
        ("x017", set()),
    ]
    assert len(await deployment.raised(first.watchlist_id)) == 22
    assert len(await deployment.raised(later[0].watchlist_id)) == 22
    assert (await due_lists(deployment.documents))[1] == {}


async def test_a_match_beyond_the_open_alerts_counts_once(deployment: Deployment) -> None:
    await deployment.write("seed", NOODLES)
    made = await deployment.create("seed")
    follower = deployment.follower("a", most_open=2)
    follower.start()
    await deployment.reached(follower, 1)
    written = [await deployment.write(f"x{i}", NOODLES + chr(0x4E00 + i)) for i in range(5)]
    await deployment.reached(follower, written[-1])

    async def beyond() -> int:
        return (await deployment.lists.get(made.watchlist_id)).beyond

    assert await beyond() == 3
    await deployment.sweeps(most_open=2).run(Progress())  # matches the same ones
    assert await beyond() == 3
    await deployment.reached(follower, await deployment.write("x5", NOODLES + "五"))
    assert await beyond() == 4
    assert len(await deployment.raised(made.watchlist_id)) == 2
    await follower.stop()
    await deployment.lists.replace(made.watchlist_id, wanted_of([Given("seed")]), WRITER, ())
    assert await beyond() == 0
    await deployment.sweeps(most_open=2).run(Progress())
    assert await beyond() == 4
    await deployment.lists.delete(made.watchlist_id, ())
    assert await deployment.documents.count(BEYOND) == 0


async def test_an_erased_seed_matches_nobody_and_keeps_its_id(deployment: Deployment) -> None:
    await deployment.write("seed", NOODLES)
    made = await deployment.create("seed")
    await SeedCopies(deployment.documents).erase("seed")
    shown = await deployment.lists.get(made.watchlist_id)
    assert shown.known.version == 2
    assert shown.seeds is not None
    (seed,) = shown.seeds.positive
    assert (seed.streamer_id, seed.profile, seed.embedding) == ("seed", None, "")
    await deployment.write("copy", NOODLES)
    await deployment.sweeps().run(Progress())
    assert await deployment.raised(made.watchlist_id) == []
    await SeedCopies(deployment.documents).erase("seed")  # a second time changes nothing
    assert (await deployment.lists.get(made.watchlist_id)).known.version == 2


async def test_a_seed_that_is_erased_while_its_list_is_replaced_stays_erased(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    made = await deployment.create("seed")
    read = deployment.reader.read

    async def and_erased(*wanted: Any) -> Seeds:
        seeds = await read(*wanted)
        monkeypatch.undo()
        await deployment.store.write([Delete("seed")])
        await SeedCopies(deployment.documents).erase("seed")
        return seeds

    monkeypatch.setattr(deployment.reader, "read", and_erased)
    with pytest.raises(StreamerNotFound):
        await deployment.lists.replace(made.watchlist_id, wanted_of([Given("seed")]), WRITER, ())
    shown = await deployment.lists.get(made.watchlist_id)
    assert shown.seeds is not None
    assert [seed.profile for seed in shown.seeds.positive] == [None]


async def test_the_place_in_the_log_is_kept_without_alerts_too(deployment: Deployment) -> None:
    follower = deployment.follower("a")
    follower.start()
    last = await deployment.write("somebody", CHESS)
    await deployment.reached(follower, last)

    async def stored() -> Position | None:
        _, matched = await read_matched(deployment.documents)
        return None if matched is None else matched.position

    async with asyncio.timeout(60):
        while (place := await stored()) is None or place.sequence < last:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await follower.stop()


async def test_nobody_is_read_where_there_is_no_list(deployment: Deployment) -> None:
    nowhere = cast(StreamerStore, None)
    sides = StoredSides(nowhere, deployment.evidence, deployment.lanes, MODEL)
    matching = Matching(nowhere, sides, deployment.lanes, MODEL)
    assert await matching.matches(["somebody"], Matcher(deployment.evidence)) == []


async def test_a_gap_that_was_not_written_down_is_not_passed(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, place = deployment.follower("one"), await deployment.store.position()
    assert await follower.cursor.claim(place)
    follower._place = place
    await deployment.write("s", NOODLES)

    def has_a_gap(*_: object) -> None:
        raise LogGap("trimmed")

    async def no_answer(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(deployment.store, "follow", has_a_gap)
    monkeypatch.setattr(follower.cursor, "beat", no_answer)
    with pytest.raises(StoreUnavailable):
        await follower._follow()
    assert follower.place == place


async def test_a_seed_that_is_erased_while_its_list_is_made_is_erased_in_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    read = deployment.reader.read

    async def and_erased(*wanted: Any) -> Seeds:
        seeds = await read(*wanted)
        await deployment.store.write([Delete("seed")])
        await SeedCopies(deployment.documents).erase("seed")
        return seeds

    monkeypatch.setattr(deployment.reader, "read", and_erased)
    made = await deployment.lists.create(wanted_of([Given("seed")]), WRITER, None)
    assert made.seeds is not None
    assert [(s.streamer_id, s.profile) for s in made.seeds.positive] == [("seed", None)]
    shown = await deployment.lists.get(made.watchlist_id)
    assert (shown.revision, shown.seeds) == (made.revision, made.seeds)
