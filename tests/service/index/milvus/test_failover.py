"""Which of two clusters answers, and that an answer is of one of them with what that one lacks."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from service.bootstrap.milvus.clusters import Cluster, clusters_of
from service.errors import IndexUnavailable, InvalidRequest, NotReady, Overloaded, StartupError
from service.index.milvus import merging
from tests.service.engine.projection.world import happens
from tests.service.index.milvus.without_server import Alone


class Both(Alone):
    """Clusters `a`, which has all of five streamers, and `b`, which lacks what came last."""

    def __init__(self, **bounds: Any) -> None:
        super().__init__(clusters=("a", "b"), **bounds)
        rows = [self.write(f"s{i}") for i in (0, 1, 2, 3)]
        self.memories["b"].insert(rows[:3], ())
        again = self.write("s1")  # and b shows the one that it replaced
        self.memories["a"].insert([*rows, again], ())

    async def begin(self) -> "Both":
        await self.serve(5, "a")
        await self.serve(3, "b")
        return self

    @property
    def serving(self) -> str:
        (name,) = [each.name for each in self.index.state().clusters if each.serves]
        return name

    async def answers(self) -> None:
        assert await self.found(exact=True) == {"s0", "s1", "s2", "s3"}


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_a_cluster_that_fails_is_replaced_and_not_gone_back_to() -> None:
    async def ask() -> None:
        both = await Both().begin()
        await both.answers()
        assert both.serving == "a"
        assert not both.memories["b"].asked
        assert [(c.settled, c.overlay_rows) for c in both.index.state().clusters] == [
            *((5, 0), (3, 2)),
        ]
        both.memories["a"].fails = True
        await both.answers()  # by b, with what b lacks, and without what it shows too much
        assert both.serving == "b"
        both.memories["a"].fails = False
        asked = len(both.memories["a"].asked)
        await both.answers()
        assert both.serving == "b"
        assert len(both.memories["a"].asked) == asked
        both.memories["b"].fails = True
        await both.answers()
        assert both.serving == "a"

    run(ask())


def test_a_cluster_that_is_silent_is_not_waited_for() -> None:
    async def ask() -> None:
        both = await Both(patience_s=0.01).begin()
        both.memories["a"].waits = asyncio.Event()
        async with asyncio.timeout(60):
            await both.answers()
        assert both.serving == "b"

    run(ask())


def test_a_cluster_that_answers_others_is_waited_for() -> None:
    async def ask() -> None:
        both = await Both(patience_s=0.01).begin()
        memory = both.memories["a"]
        memory.waits, memory.answered_at = asyncio.Event(), float("inf")
        question = asyncio.create_task(both.answers())
        await asyncio.sleep(0.05)  # many times the patience
        memory.waits.set()
        await question
        assert memory.asked
        assert not both.memories["b"].asked

    run(ask())


def test_a_late_answer_moves_nobody_back() -> None:
    async def ask() -> None:
        both = await Both(patience_s=0.01).begin()
        a, b = both.memories["a"], both.memories["b"]
        a.waits, b.waits = asyncio.Event(), asyncio.Event()
        late = asyncio.create_task(both.answers())
        await happens(lambda: bool(b.asked))  # so both are, and neither has answered
        b.waits = None
        await both.answers()
        assert both.serving == "b"
        a.waits.set()
        await late
        assert both.serving == "b"

    run(ask())


def test_a_process_that_has_too_much_to_do_blames_no_cluster() -> None:
    async def ask() -> None:
        both = await Both().begin()

        def refuse() -> None:
            raise Overloaded("too many wait")

        both.memories["a"].during = refuse
        with pytest.raises(Overloaded):
            await both.answers()
        assert both.serving == "a"
        assert not both.memories["b"].asked

    run(ask())


def test_a_question_has_one_time_for_all_clusters() -> None:
    async def ask() -> None:
        both = await Both(patience_s=0.01, answer_s=0.1).begin()
        for memory in both.memories.values():
            memory.waits = asyncio.Event()
        async with asyncio.timeout(60):
            with pytest.raises(IndexUnavailable, match=r"not answered for 0\.1 s"):
                await both.answers()
            both.bases["b"].trouble = "b is down"
            with pytest.raises(IndexUnavailable, match=r"not answered for 0\.1 s"):
                await both.answers()

    run(ask())


def test_without_a_cluster_there_is_no_answer() -> None:
    async def ask() -> None:
        both = await Both().begin()
        for memory in both.memories.values():
            memory.fails = True
        with pytest.raises(IndexUnavailable, match=r"a: Milvus does not.*b: Milvus does not"):
            await both.answers()
        for name, base in both.bases.items():
            base.trouble = f"{name} is down"
        assert both.index.trouble == "a: a is down; b: b is down"
        assert not any(each.serves for each in both.index.state().clusters)
        assert both.index.warning is None
        with pytest.raises(NotReady, match="b is down"):
            await both.answers()

    run(ask())


def test_a_cluster_that_lags_too_far_is_left_out_alone() -> None:
    async def ask() -> None:
        both = await Both().begin()
        for i in range(1000):
            row = both.write(f"t{i}")
            both.memories["a"].insert([row], ())
            if i % 100 == 0:
                await both.serve(row.version, "a")
        state = {each.name: each for each in both.index.state().clusters}
        assert both.index.trouble is None
        assert state["a"].trouble is None
        assert "STREAMER_MILVUS__OVERLAY_ROWS" in (state["b"].trouble or "")
        assert state["b"].overlay_rows == 0  # and takes no memory
        assert "cluster b is not asked" in (both.index.warning or "")
        assert len(await both.found(2000, exact=True)) == 1004
        both.memories["b"].insert([*both.stored.newest.values()], ())
        await both.serve(both.version, "b")
        assert both.index.warning is None

    run(ask())


def test_a_question_that_is_wrong_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_BYTES", 1024)  # two hits

    async def ask() -> None:
        both = await Both().begin()
        with pytest.raises(InvalidRequest, match="more than 2 streamers"):
            await both.found(min_score=-2)
        assert not both.memories["b"].asked

    run(ask())


def test_clusters_of_addresses() -> None:
    one, two = clusters_of("http://milvus-a:19530, b=https://u:p@Milvus-B", "root:secret")
    assert one == Cluster("milvus-a:19530", "http://milvus-a:19530", "root:secret")
    assert two == Cluster("b", "https://u:p@Milvus-B", "")
    assert clusters_of("http://a,https://a", "")[1].name == "a:443"
    for wrong in ("http://a,http://a:19530", "a=http://x,a=http://y"):
        with pytest.raises(StartupError, match="twice"):
            clusters_of(wrong, "")
    for wrong in ("", "http://a,", "milvus:19530", "http://u:secret@a:none"):
        with pytest.raises(StartupError, match="address") as caught:
            clusters_of(wrong, "")
        assert "secret" not in str(caught.value)
    with pytest.raises(StartupError, match="at most 8"):
        clusters_of(",".join(f"http://m{i}" for i in range(9)), "")
