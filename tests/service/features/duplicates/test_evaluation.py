"""Groups kept up to date write by write are those of a rebuild, whoever dies meanwhile."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.engine.candidates.corpus import Corpus, Entry
from service.engine.candidates.kept import KeptCorpus
from service.errors import StoreUnavailable
from service.features.duplicates.following import GroupsFollower
from service.features.duplicates.groups.edges import Edge, Pair, pair_of
from service.store.base import LogEntry, Position, Record
from service.store.duplicates import (
    Commit,
    GroupChange,
    GroupRecord,
    JudgementRecord,
    NotTheEvaluator,
)
from tests.service.features.duplicates.corpora import THRESHOLD, WIDTH, Corpora
from tests.service.features.duplicates.cosines import NOTHING, ContentComparer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def random_step(corpora: Corpora, step: int) -> list[str]:
    """Write, delete or judge; who was written or deleted."""
    kind = corpora.random.random()
    if kind < 0.7 or len(corpora.names) < 5:
        name = f"s{corpora.random.randrange(120):03}"
        await corpora.write(name)
        return [name]
    if kind < 0.85:
        name = corpora.random.choice(sorted(corpora.names))
        await corpora.delete(name)
        return [name]
    await corpora.judge(corpora.random.choice(["same", "different", "different", "unsure"]))
    return []


@pytest.mark.slow
async def test_random_writes_deletes_and_judgements_make_the_groups_of_a_rebuild(
    corpora: Corpora,
) -> None:
    # So few of each style that all of them are near each other: who finds is found.
    corpora.styles = corpora.rng.standard_normal((24, WIDTH))
    evaluation = await corpora.rebuilt("first")
    for step in range(300):
        changed = await random_step(corpora, step)
        await evaluation.judge()
        if changed:
            place = await corpora.store.position()
            await evaluation.evaluate(changed, f"step {step}", place)
        if step % 100 == 99:  # the process dies, and another one goes on
            evaluation = await corpora.open(f"after {step}")
            await evaluation.regroup(f"again {step}", None)
            assert evaluation.position == await corpora.store.position()
    kept = await corpora.groups.load()
    found = await corpora.partition()
    assert len(found) > 3
    await corpora.rebuilt("last")
    assert await corpora.partition() == found
    assert (await corpora.groups.load()).groups.keys() == kept.groups.keys()
    for one in (await corpora.judgements.page("", 1000))[0]:
        groups = await corpora.groups.groups_of([one.a, one.b])
        if one.verdict == "different" and {one.a, one.b} <= corpora.names:
            assert groups[0] is None or groups[0] != groups[1]


class OneWay(ContentComparer):
    """Each finds those after it and nobody before it: all are alike, the far ones most."""

    def entry_of(self, record: Record) -> Entry:
        place = int(record.streamer_id[1:])
        keys = np.array([4 * place], np.uint32)
        asked = np.arange(4 * place + 4, 4 * SEVERAL_PARTS, 4).astype(np.uint32)
        return Entry(None, None, keys, asked if place < ASKING else NOTHING, record.version)

    async def edges(
        self, pairs: Sequence[Pair], version_of: Callable[[str], int | None] | None = None
    ) -> list[Edge]:
        return [Edge(a, b, float(int(b[1:]) - int(a[1:])), "near_duplicate") for a, b in pairs]


SEVERAL_PARTS, ASKING = 70, 3
"""Streamers, and how many of them find others."""


async def test_no_edge_is_lost_between_those_who_are_evaluated_together(corpora: Corpora) -> None:
    """Who finds others and who is found may be in different parts of one evaluation."""
    names = [f"s{i:03}" for i in range(SEVERAL_PARTS)]
    comparer = OneWay(lambda: corpora.index, THRESHOLD, corpora.lanes)

    async def edges_after(parts: Sequence[Sequence[str]]) -> set[Pair]:
        token = await corpora.groups.claim(f"by {len(parts[0])}", 60, force=True)
        assert token is not None
        evaluation = corpora.evaluation(token, comparer)
        await evaluation.open()
        assert not (await corpora.groups.load()).edges
        for part in parts:
            await evaluation.evaluate(part, f"{len(parts)} {part[0]}", None)
        kept = await corpora.groups.load()
        found = {(edge.a, edge.b) for edge in kept.edges}
        await corpora.groups.commit(token, kept.step + 1, Commit(removed=sorted(found)))
        return found

    for name in names:
        await corpora.write(name)
    together = await edges_after([names])
    # The first one finds the others, and the 16 that it is most like are its edges.
    assert {pair_of(names[0], other) for other in names[-16:]} <= together
    one_by_one = await edges_after([[name] for name in names])
    assert one_by_one <= together
    assert await edges_after([[name] for name in reversed(names)]) == one_by_one


@pytest.mark.slow
async def test_a_rebuild_that_is_killed_goes_on_and_loses_no_write(corpora: Corpora) -> None:
    for i in range(600):
        await corpora.write(f"s{i:04}")
    with pytest.raises(KeyboardInterrupt):
        await corpora.rebuilt("killed", upto=1)
    begin = await corpora.store.position()
    await corpora.write("late")
    await corpora.delete("s0001")
    resumed = await corpora.rebuilt("resumed", "s0499")
    assert resumed.position is not None
    await resumed.evaluate(["late", "s0001"], "log", await corpora.store.position())
    assert resumed.position.sequence > begin.sequence
    found = await corpora.partition()
    told = (await corpora.events.page(None, 1000)).events
    assert len({event.event_id for event in told}) == len(told) >= len(found)
    await corpora.rebuilt("anew")
    assert await corpora.partition() == found
    again = (await corpora.events.page(None, 1000)).events
    assert len(again) == len(told)


async def test_who_lost_the_lease_writes_nothing(corpora: Corpora) -> None:
    for i in range(30):
        await corpora.write(f"s{i:02}")
    old = await corpora.rebuilt("old")
    await corpora.open("new")
    before = await corpora.groups.load()
    await corpora.write("later")
    with pytest.raises(NotTheEvaluator):
        await old.evaluate(["later"], "late", Position("epoch", 1))
    assert await corpora.groups.load() == before


async def test_who_was_erased_under_one_leader_is_in_no_ended_group_under_the_next(
    corpora: Corpora,
) -> None:
    corpora.styles = corpora.rng.standard_normal((24, WIDTH))
    for name in "abcde":
        await corpora.write(name)
    first = await corpora.rebuilt("first")

    async def judged(a: str, b: str) -> None:
        await corpora.judgements.put(JudgementRecord(a, b, "same", "", "", "", 0.0))
        await first.judge()

    async def members() -> tuple[str, ...] | None:
        record = await corpora.groups.get(ended)
        return record.members if record else None

    for a, b in ("ab", "cd", "de"):
        await judged(a, b)
    ended = (await corpora.groups.groups_of(["a"]))[0] or ""
    await corpora.delete("a")
    await corpora.groups.forget("a")
    await judged("b", "c")  # its erasure could not find this record
    assert await members() == ("a", "b")
    await corpora.open("next")
    assert await members() == ("b",)


async def test_records_of_ended_groups_are_read_once_when_it_opens(corpora: Corpora) -> None:
    """They stay for ever, so that there are ever more of them."""
    token = await corpora.groups.claim("first", 60)
    assert token is not None
    ended = GroupRecord("dup-a", "merged", 0, "", 1.0, 2.0, ("dup-b",), ("a",))
    live = GroupRecord("dup-b", "live", 2, "c", 1.0, 2.0)
    changes = [GroupChange(None, ended), GroupChange(None, live, joined=["b", "c"])]
    await corpora.groups.commit(token, 1, Commit(groups=changes))
    await corpora.store.client.ask("CONFIG", "RESETSTAT")
    evaluation = await corpora.open("next")
    told = await corpora.store.client.ask("INFO", "commandstats")
    assert told["cmdstat_hscan"]["calls"] == 2  # the records, and who is in which group
    assert evaluation.count == 1
    assert await corpora.groups.get("dup-a") == replace(ended, members=())


async def test_nobody_waits_while_those_who_are_gone_leave_the_corpus(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To merge what is left of a large one takes long."""
    evaluation = await corpora.rebuilt("first")
    remove, threads = Corpus.remove, list[int]()

    def noted(corpus: Corpus, name: str) -> None:
        threads.append(threading.get_ident())
        remove(corpus, name)

    monkeypatch.setattr(Corpus, "remove", noted)
    for name in "ab":
        await corpora.write(name)
    await evaluation.evaluate(["a", "b"], "written", None)
    await corpora.delete("a")
    await evaluation.evaluate(["a", "b"], "deleted", None)
    assert ("a" in evaluation.corpus, "b" in evaluation.corpus) == (False, True)
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_groups_are_made_anew_when_the_rules_are_others(corpora: Corpora) -> None:
    """As those of another folding are."""

    pressed: list[bool] = []

    async def followed(threshold: float) -> list[bool]:
        """Who follows the log by a threshold: whether all were compared when it began."""
        compared: list[bool] = []

        class Noted(ContentComparer):
            def of_all(self, streamers: int, *, to_compare: bool) -> ContentComparer:
                compared.append(to_compare)
                return super().of_all(streamers, to_compare=to_compare)

        async def ready() -> None:
            """It is."""

        async def shown(sequence: int, wait_ms: int) -> None:
            """The index has all."""

        comparer = Noted(lambda: corpora.index, threshold, corpora.lanes)
        kept = KeptCorpus()
        follower = GroupsFollower(
            *(corpora.store, corpora.groups, lambda token: corpora.evaluation(token, comparer)),
            *(kept, ready, shown, 60, comparer.rules, pressed.append),
        )
        follower.start()
        async with asyncio.timeout(60):
            while not compared or await corpora.groups.rules() != comparer.rules:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await follower.stop()
        return compared

    for i in range(60):
        await corpora.write(f"s{i:02}")
    before = await corpora.store.position()
    assert await corpora.groups.rules() is None
    assert await followed(THRESHOLD) == [True]
    wide = await corpora.partition()
    assert await followed(THRESHOLD) == [False]
    assert await corpora.partition() == wide
    assert await followed(0.9) == [True]
    narrow = await corpora.partition()
    assert narrow != wide
    assert await followed(THRESHOLD) == [True]
    assert await corpora.partition() == wide
    assert await corpora.store.position() == before  # nobody was written
    assert not any(pressed)


async def test_a_judgement_is_carried_out_where_the_log_is_lost_meanwhile(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(60):
        await corpora.write(f"s{i:02}")
    await (await corpora.rebuilt("first")).regroup("first again", None)
    largest = max(await corpora.partition(), key=len)
    a, b = sorted(largest)[:2]
    is_followed, is_lost, is_writing = asyncio.Event(), asyncio.Event(), asyncio.Event()
    follow, commit = corpora.store.follow, corpora.groups.commit

    async def lost_once(*place: Any) -> AsyncGenerator[list[LogEntry]]:
        if not is_lost.is_set():
            is_followed.set()
            await is_lost.wait()
            raise StoreUnavailable("gone")
        async with contextlib.aclosing(follow(*place)) as feed:
            async for entries in feed:
                yield entries

    async def silent_once(token: int, step: int, written: Commit) -> None:
        if written.groups and not is_writing.is_set():
            is_writing.set()
            await asyncio.Event().wait()
        await commit(token, step, written)

    async def nothing(*_: object) -> None:
        """Whatever is waited for is there."""

    monkeypatch.setattr(corpora.store, "follow", lost_once)
    monkeypatch.setattr(corpora.groups, "commit", silent_once)
    comparer = corpora.comparer()
    follower = GroupsFollower(
        *(corpora.store, corpora.groups, lambda token: corpora.evaluation(token, comparer)),
        *(KeptCorpus(), nothing, nothing, 60, comparer.rules, lambda _: None),
    )
    await corpora.groups.release(await corpora.groups.claim("first", 60) or 0)
    follower.start()
    async with asyncio.timeout(60):
        await is_followed.wait()
        await corpora.judgements.put(JudgementRecord(a, b, "different", "", "", "", 0.0))
        await is_writing.wait()
        is_lost.set()
        while (await corpora.judgements.news()).upto:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await follower.stop()
    one, other = await corpora.groups.groups_of([a, b])
    assert one is None or one != other
