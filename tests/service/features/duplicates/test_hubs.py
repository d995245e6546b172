"""A group outlives the few of its members that all others have their edges with."""

import asyncio
import secrets
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.candidates.corpus import Entry
from service.engine.candidates.kept import KeptCorpus
from service.features.duplicates import evaluation as evaluation_module
from service.features.duplicates import rebuild as rebuild_module
from service.features.duplicates.evaluation import Evaluation
from service.features.duplicates.following import GroupsFollower
from service.features.duplicates.groups.edges import Edge, Kind, Pair
from service.store.base import Record
from service.store.duplicates import Commit
from tests.service.features.duplicates.corpora import THRESHOLD, Corpora
from tests.service.features.duplicates.cosines import ContentComparer

pytestmark = pytest.mark.anyio
HUBS = 16


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Died(Exception):
    """A process."""


class Shared(ContentComparer):
    """Whoever shows one picture, or one contact, has an edge with all others that do."""

    def __init__(self, corpora: Corpora, kind: Kind = "same_media") -> None:
        super().__init__(lambda: corpora.index, THRESHOLD, corpora.lanes)
        self.shown: dict[str, int] = {}
        self._kind: Kind = kind
        self._stored = corpora.names

    def entry_of(self, record: Record) -> Entry:
        keys = self.asked(record.streamer_id)
        return Entry(None, None, keys, keys, record.version)

    def asked(self, streamer_id: str) -> NDArray[np.uint32]:
        return np.array([4 * self.shown.get(streamer_id, 0)], np.uint32)

    async def edges(
        self, pairs: Sequence[Pair], version_of: Callable[[str], int | None] | None = None
    ) -> list[Edge]:
        shown = self.shown
        return [
            Edge(a, b, 1.0, self._kind)
            for a, b in pairs
            if {a, b} <= self._stored and shown.get(a, 0) == shown.get(b, 0)
        ]


async def written(corpora: Corpora, count: int) -> list[str]:
    names = [f"s{i:03}" for i in range(count)]
    for name in names:
        await corpora.write(name)
    return names


async def drained(evaluation: Evaluation) -> None:
    """Compare again whoever still has to be."""
    step = 0
    while evaluation.pending:
        await evaluation.evaluate([], f"drained {secrets.token_hex(8)}", None)
        step += 1
        assert step < 100


@pytest.mark.parametrize(("at_once", "count"), [(1, 300), (HUBS, 200), (HUBS, 300)])
async def test_a_group_outlives_its_hubs(corpora: Corpora, at_once: int, count: int) -> None:
    names = await written(corpora, count)
    comparer = Shared(corpora)
    evaluation = await corpora.rebuilt("first", comparer=comparer)
    (group,) = (await corpora.groups.load()).groups
    deleted, edited = names[:HUBS], names[HUBS : 2 * HUBS]
    for start in range(0, HUBS, at_once):
        some = deleted[start : start + at_once]
        for name in some:
            await corpora.delete(name)
        await evaluation.evaluate(some, f"deleted {start}", await corpora.store.position())
    assert bool(evaluation.pending) == ((at_once, count) == (HUBS, 300))
    await drained(evaluation)
    assert await corpora.partition() == {frozenset(names[HUBS:])}
    comparer.shown |= dict.fromkeys(edited, 1)
    for start in range(0, HUBS, at_once):
        some = edited[start : start + at_once]
        for name in some:
            await corpora.write(name)
        await evaluation.evaluate(some, f"edited {start}", await corpora.store.position())
    await drained(evaluation)
    found = await corpora.partition()
    assert found == {frozenset(names[2 * HUBS :]), frozenset(edited)}
    assert await corpora.groups.groups_of(names[-1:]) == [group]
    await corpora.rebuilt("last", comparer=comparer)
    assert await corpora.partition() == found


async def test_a_contact_of_a_crowd_joins_nobody_when_some_of_it_are_gone(corpora: Corpora) -> None:
    names = await written(corpora, 40)
    comparer = Shared(corpora, "same_contact")
    evaluation = await corpora.rebuilt("first", comparer=comparer)
    await corpora.delete(names[0])
    await evaluation.evaluate(names[:1], "deleted", await corpora.store.position())
    assert await corpora.partition() == set()


async def test_a_process_that_dies_at_any_step_loses_nobody(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_module, "_AGAIN_AT_ONCE", 15)
    comparer, commit = Shared(corpora), corpora.groups.commit
    names = await written(corpora, 60)
    hubs, others = names[:HUBS], frozenset(names[HUBS:])
    steps_left, step = 0, 0

    async def dies(token: int, step: int, made: Commit) -> None:
        nonlocal steps_left
        steps_left -= 1
        if steps_left == 0:
            raise Died
        await commit(token, step, made)

    async def followed(evaluation: Evaluation) -> None:
        await evaluation.evaluate(hubs, secrets.token_hex(8), await corpora.store.position())
        await drained(evaluation)

    monkeypatch.setattr(corpora.groups, "commit", dies)
    for step in range(1, 100):
        for name in hubs:
            await corpora.write(name)
        kept, token = await corpora.groups.load(), await corpora.groups.claim("", 60, force=True)
        edges = [(edge.a, edge.b) for edge in kept.edges]
        await commit(token or 0, kept.step + 1, Commit(removed=edges))
        evaluation = await corpora.rebuilt(f"before {step}", comparer=comparer)
        for name in hubs:
            await corpora.delete(name)
        steps_left = step
        try:
            await followed(evaluation)
        except Died:
            evaluation = await corpora.open(f"after {step}", comparer=comparer)
            await evaluation.regroup(f"again {step}", None)
            await followed(evaluation)
        assert await corpora.partition() == {others}
        assert (await corpora.groups.load()).pending == []
        if steps_left > 0:
            break
    assert 10 < step < 99


async def test_who_is_left_is_compared_again_without_another_write(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_module, "_AGAIN_AT_ONCE", 15)
    comparer = Shared(corpora)
    names = await written(corpora, 60)
    evaluation = await corpora.rebuilt("first", comparer=comparer)
    for name in names[:HUBS]:
        await corpora.delete(name)
    await evaluation.evaluate(names[:HUBS], "deleted", await corpora.store.position())
    assert len((await corpora.groups.load()).pending) == 60 - HUBS - 15
    await corpora.delete(names[-1])  # while it waits

    async def nothing(*_: object) -> None:
        """Whatever is waited for is there."""

    follower = GroupsFollower(
        *(corpora.store, corpora.groups, lambda token: corpora.evaluation(token, comparer)),
        *(KeptCorpus(), nothing, nothing, 60, comparer.rules, lambda _: None),
    )
    await corpora.groups.release(await corpora.groups.claim("first", 60) or 0)
    follower.start()
    async with asyncio.timeout(60):
        while (await corpora.groups.load()).pending:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await follower.stop()
    assert await corpora.partition() == {frozenset(names[HUBS:-1])}


@pytest.mark.parametrize("dies_again", [False, True])
async def test_a_group_outlives_hubs_that_go_while_a_rebuild_is_interrupted(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch, dies_again: bool
) -> None:
    monkeypatch.setattr(rebuild_module, "_AT_ONCE", 50)
    names, comparer = await written(corpora, 100), Shared(corpora)
    hubs, others = names[:HUBS], frozenset(names[HUBS:])
    with pytest.raises(KeyboardInterrupt):
        await corpora.rebuilt("killed", upto=1, comparer=comparer)
    for name in hubs:
        await corpora.delete(name)
    if dies_again:
        evaluation = await corpora.open("dies", to_rebuild=True, comparer=comparer)
        await evaluation.compare(hubs)
        assert (await corpora.groups.load()).pending == names[HUBS:50]
    resumed = await corpora.rebuilt("resumed", names[49], comparer=comparer)
    assert await corpora.partition() == {others}
    assert (await corpora.groups.load()).pending == []
    await resumed.evaluate(hubs, "log", await corpora.store.position())
    assert await corpora.partition() == {others}
