"""Groups, judgements and events in a real store."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.files.checksummed import ChecksummedFolder
from service.store.base import Position
from service.store.duplicates import (
    Commit,
    EdgeRecord,
    GroupChange,
    GroupRecord,
    JudgementRecord,
    NotTheEvaluator,
    StepsLost,
)
from service.store.embedded.supervisor import EmbeddedStore
from service.store.events import FeedGap, FeedPlace, NewEvent
from service.store.redis.backup import JUDGEMENTS, ArchivedStore
from service.store.redis.duplicates.groups import RedisGroups
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.events.feed import RedisEvents
from service.store.redis.store import RedisStore
from tests.service.store.conftest import FAST
from tests.service.store.records import put

pytestmark = pytest.mark.anyio
PLACE = Position("epoch", 7, "mark")


def live(name: str, size: int, updated_at: float = 1.0) -> GroupRecord:
    return GroupRecord(name, "live", size, "m0", 1.0, updated_at)


def judgement(a: str, b: str, verdict: Any = "same") -> JudgementRecord:
    return JudgementRecord(a, b, verdict, "seen", "3f9c1a2b7d04", "desk", 5.0)


def event(number: int) -> NewEvent:
    return NewEvent(f"evt-{number}", "duplicates.grew", b"{}")


@pytest.fixture
def judgements(store: RedisStore) -> RedisJudgements:
    return RedisJudgements(store.client)


@pytest.fixture
def events(store: RedisStore) -> RedisEvents:
    return RedisEvents(store.client)


@pytest.fixture
def groups(store: RedisStore, judgements: RedisJudgements, events: RedisEvents) -> RedisGroups:
    return RedisGroups(store.client, judgements, events)


async def claimed(groups: RedisGroups, owner: str = "one", *, force: bool = False) -> int:
    token = await groups.claim(owner, 60, force=force)
    assert token is not None
    return token


async def test_one_evaluates_until_another_takes_over(groups: RedisGroups) -> None:
    token = await claimed(groups)
    assert await groups.claim("two", 60) is None
    assert await groups.claim("one", 60) == token
    newer = await claimed(groups, "two", force=True)
    for write in (groups.commit(token, 1, Commit(position=PLACE)), groups.renew(token, 60)):
        with pytest.raises(NotTheEvaluator):
            await write
    assert await groups.position() is None
    await groups.renew(newer, 60)
    await groups.release(token)
    assert await groups.claim("three", 60) is None
    await groups.release(newer)
    assert await groups.claim("three", 60) == newer + 1
    await groups.renew(newer + 1, 0.001)
    while (last := await groups.claim("four", 60)) is None:
        pass
    assert last == newer + 2


async def test_a_commit_is_carried_out_once(groups: RedisGroups, events: RedisEvents) -> None:
    token = await claimed(groups)
    edge = EdgeRecord("m0", "m1", 0.1 + 0.2, "near_duplicate")
    change = GroupChange(None, live("dup-a", 2), joined=["m0", "m1"])
    commit = Commit([edge], [], [change], [event(1)], PLACE)
    for _ in range(2):
        await groups.commit(token, 1, commit)
    kept = await groups.load()
    assert (kept.position, kept.step, kept.edges) == (PLACE, 1, [edge])
    assert kept.groups == {"dup-a": live("dup-a", 2)}
    assert {name: sorted(ms) for name, ms in kept.members.items()} == {"dup-a": ["m0", "m1"]}
    page = await events.page(None, 10)
    assert [e.event_id for e in page.events] == ["evt-1"]
    assert await groups.edges_of(["m0", "m1", "m"], 5) == [[edge], [edge], []]


@pytest.mark.parametrize(("most", "parts"), [(10, 1), (500, 1), (1234, 3), (10_000, 4)])
async def test_edges_of_a_hub_are_read_in_parts(
    groups: RedisGroups, store: RedisStore, most: int, parts: int
) -> None:
    token = await claimed(groups)
    edges = [EdgeRecord("hub", f"m{i:04}", float(i % 7), "same_media") for i in range(1700)]
    for step, start in enumerate(range(0, len(edges), 500), 1):
        await groups.commit(token, step, Commit(edges[start : start + 500]))
    await store.client.ask("CONFIG", "RESETSTAT")
    assert await groups.edges_of(["hub", "m0003"], most) == [edges[:most], [edges[3]]]
    calls = (await store.client.ask("INFO", "commandstats"))["cmdstat_zrangebylex"]["calls"]
    assert calls == parts + 1


async def test_who_has_to_be_compared_again_is_kept_until_it_is(groups: RedisGroups) -> None:
    token = await claimed(groups)
    names = [f"m{i:04}" for i in range(3000)]
    await groups.commit(token, 1, Commit(pending=names))
    await groups.commit(token, 2, Commit(compared=[*names[1:], "other"], position=PLACE))
    assert (await groups.load()).pending == names[:1]


async def test_a_commit_behind_one_that_was_lost_is_refused(groups: RedisGroups) -> None:
    token = await claimed(groups)
    edge = EdgeRecord("m0", "m1", 1.0, "near_duplicate")
    with pytest.raises(StepsLost):
        await groups.commit(token, 2, Commit([edge], position=PLACE))
    assert (await groups.load()).edges == []
    await groups.commit(token, 1, Commit(position=PLACE))
    await groups.commit(token, 2, Commit([edge]))
    with pytest.raises(StepsLost):
        await groups.commit(token, 4, Commit(removed=[("m0", "m1")]))
    with pytest.raises(NotTheEvaluator):
        await groups.commit(token + 1, 3, Commit(removed=[("m0", "m1")]))
    assert (await groups.load()).edges == [edge]


async def test_a_merge_moves_members_and_the_old_id_resolves(groups: RedisGroups) -> None:
    token = await claimed(groups)
    first = [
        GroupChange(None, live("dup-a", 2), joined=["a0", "a1"]),
        GroupChange(None, live("dup-b", 3), joined=["b0", "b1", "b2"]),
    ]
    await groups.commit(token, 1, Commit(groups=first))
    gone = GroupRecord("dup-a", "merged", 0, "", 1.0, 2.0, ("dup-b",))
    merge = [
        GroupChange(first[1].after, live("dup-b", 5, 2.0), joined=["a0", "a1"]),
        GroupChange(first[0].after, gone, left=["a0", "a1"]),
    ]
    await groups.commit(token, 2, Commit(groups=merge))
    assert await groups.get("dup-a") == gone
    assert await groups.groups_of(["a0", "b2", "nobody"]) == ["dup-b", "dup-b", None]
    assert await groups.members("dup-a", "", 9) == []
    assert await groups.members("dup-b", "a1", 2) == ["b0", "b1"]
    assert [g.group_id for g in (await groups.page("size", "", 9))[0]] == ["dup-b"]


async def test_who_is_erased_is_in_no_group_that_is_no_more(
    groups: RedisGroups, store: RedisStore
) -> None:
    token = await claimed(groups)
    gone = GroupRecord("dup-a", "merged", 0, "", 1.0, 2.0, ("dup-b",), ("a0", "a1", "a10"))
    await groups.commit(token, 1, Commit(groups=[GroupChange(None, gone)]))
    await groups.forget("a1")
    assert await groups.get("dup-a") == replace(gone, members=("a0", "a10"))
    older = '{"group_id": "dup-b", "state": "split", "size": 0, "representative": "", '
    older += '"created_at": 1.0, "updated_at": 2.0, "successors": ["dup-c"]}'
    await store.client.ask("HSET", "ss:duplicates:groups", "dup-b", older)
    await groups.forget("a1")
    assert await groups.get("dup-b") == GroupRecord("dup-b", "split", 0, "", 1.0, 2.0, ("dup-c",))


async def test_records_that_name_many_are_read_a_few_at_a_time(
    groups: RedisGroups, store: RedisStore
) -> None:
    """Two thousand of a hundred members each keep the event loop for 40 ms."""
    token = await claimed(groups)
    ended = [GroupRecord(f"dup-{i}", "split", 0, "", 1.0, 2.0, (), ("a", "b")) for i in range(1000)]
    await groups.commit(token, 1, Commit(groups=[GroupChange(None, each) for each in ended]))
    await store.client.ask("CONFIG", "RESETSTAT")
    await groups.forget_others({"a", "b"})
    assert (await store.client.ask("INFO", "commandstats"))["cmdstat_hscan"]["calls"] >= 4
    assert await groups.get("dup-7") == ended[7]


async def test_pages_of_groups_are_in_order_and_have_each_once(groups: RedisGroups) -> None:
    token = await claimed(groups)
    records = [live(f"dup-{i}", 2 + i % 3, float(i)) for i in range(7)]
    await groups.commit(token, 1, Commit(groups=[GroupChange(None, r) for r in records]))
    for order, key in (
        ("size", lambda r: (-r.size, r.group_id)),
        ("newest", lambda r: (-r.updated_at, r.group_id)),
    ):
        found: list[GroupRecord] = []
        after: str | None = ""
        while after is not None:
            part, after = await groups.page(order, after, 3)  # type: ignore[arg-type]
            found += part
        assert found == sorted(records, key=key)


async def test_a_group_of_20_000_is_written_and_read_in_pages(groups: RedisGroups) -> None:
    token = await claimed(groups)
    members = [f"m{i:05}" for i in range(20_000)]
    change = GroupChange(None, live("dup-a", 20_000), joined=members)
    await groups.commit(token, 1, Commit(groups=[change]))
    assert await groups.members("dup-a", "m19997", 100) == members[-2:]
    assert sorted((await groups.load()).members["dup-a"]) == members


async def test_members_of_a_large_group_are_packed_beside_the_event_loop(
    groups: RedisGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client packs on the loop, argument by argument, so that it is given few."""
    threads, told, send = set[int](), list[int](), groups._commit

    class Watched(list[str]):
        def __iter__(self) -> Iterator[str]:
            threads.add(threading.get_ident())
            return super().__iter__()

    async def noted(keys: list[str], arguments: list[Any]) -> int:
        told.append(len(keys) + len(arguments))
        return await send(keys, arguments)

    monkeypatch.setattr(groups, "_commit", noted)
    members = Watched(f"m{i:05}" for i in range(10_000))
    change = GroupChange(None, live("dup-a", len(members)), joined=members)
    token = await claimed(groups)
    await groups.commit(token, 1, Commit(groups=[change]))
    assert await groups.members("dup-a", "m09997", 9) == members[-2:]
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert told == [len(groups._shared) + 5 + 8]


async def test_a_judgement_is_one_of_a_pair_that_is_stored(
    store: RedisStore, judgements: RedisJudgements
) -> None:
    await put(store, "a")
    assert await judgements.put(judgement("a", "b")) == (None, ["b"])
    assert await judgements.get("a", "b") is None
    await put(store, "b")
    assert await judgements.put(judgement("a", "b")) == (None, [])
    before, missing = await judgements.put(judgement("a", "b", "different"))
    assert before is not None
    assert missing == []
    assert (before.verdict, before.order) == ("same", 1)
    stored = await judgements.get("a", "b")
    assert stored == replace(judgement("a", "b", "different"), order=2)
    assert await judgements.remove("a", "b") == stored
    assert await judgements.remove("a", "b") is None
    assert await judgements.page("", 9) == ([], None)


async def test_judgements_are_listed_of_all_and_of_one(
    store: RedisStore, judgements: RedisJudgements
) -> None:
    for name in "abcd":
        await put(store, name)
    pairs = [("a", "b"), ("a", "d"), ("b", "c"), ("c", "d")]
    for a, b in pairs:
        await judgements.put(judgement(a, b))
    found: list[tuple[str, str]] = []
    after: str | None = ""
    while after is not None:
        part, after = await judgements.page(after, 1)
        found += [(r.a, r.b) for r in part]
    assert found == pairs
    of_one, _ = await judgements.page("", 9, "c")
    assert [(r.a, r.b) for r in of_one] == [("b", "c"), ("c", "d")]


async def test_a_judgement_given_meanwhile_stays_news(
    store: RedisStore, judgements: RedisJudgements, groups: RedisGroups
) -> None:
    for name in "abc":
        await put(store, name)
    await judgements.put(judgement("a", "b"))
    await judgements.put(judgement("a", "c"))
    news = await judgements.news()
    assert (len(news.judged), news.upto) == (2, 2)
    await judgements.remove("a", "b")
    token = await claimed(groups)
    await groups.commit(token, 1, Commit(judged=news.upto))
    later = await judgements.news()
    assert (later.judged, later.unjudged, later.upto) == ([], [("a", "b")], 3)


async def test_the_feed_is_read_by_a_place_and_tells_of_gaps(
    groups: RedisGroups, events: RedisEvents, admin: Any
) -> None:
    empty = await events.page(None, 5)
    assert empty.events == []
    token = await claimed(groups)
    await groups.commit(token, 1, Commit(events=[event(i) for i in range(5)]))
    first = await events.page(empty.after, 2)
    rest = await events.page(first.after, 9)
    numbers = [e.number for e in (*first.events, *rest.events)]
    assert numbers == [1, 2, 3, 4, 5]
    assert (await events.page(rest.after, 9)).events == []
    await admin.xtrim("ss:events:duplicates", maxlen=2, approximate=False)
    epoch = rest.after.epoch
    third = FeedPlace(epoch, {"duplicates": 3})
    assert [e.number for e in (await events.page(third, 9)).events] == [4, 5]
    ahead = FeedPlace(epoch, {"duplicates": 6})
    for place in (first.after, FeedPlace("00000000", third.numbers), ahead):
        with pytest.raises(FeedGap):
            await events.page(place, 9)


async def test_a_backup_has_judgements_and_no_groups(
    embedded: EmbeddedStore, admin: Any, tmp_path: Path
) -> None:
    store = await ArchivedStore(embedded.url, limits=FAST).open()
    await put(store, "a")
    await put(store, "b")
    await store.back_up(tmp_path / "without")
    assert JUDGEMENTS not in ChecksummedFolder(tmp_path / "without").files
    await store.judgements.put(judgement("a", "b"))
    stored = await store.judgements.get("a", "b")
    await store.back_up(tmp_path / "with")
    await admin.flushall()
    await store.restore(ChecksummedFolder(tmp_path / "with"))
    assert await store.judgements.page("", 9) == ([stored], None)
    await store.judgements.put(judgement("a", "b", "different"))
    newer = await store.judgements.get("a", "b")
    assert newer is not None
    assert stored is not None
    assert newer.order > stored.order
    await store.close()
