"""Groups after a fail-over of the store that lost what was written last."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.engine.candidates.corpus import Corpus
from service.engine.candidates.kept import KeptCorpus
from service.engine.replica import trailing
from service.errors import StoreUnavailable
from service.features.duplicates import following, rebuild
from service.features.duplicates.counts import DuplicateCounts
from service.features.duplicates.evaluation import Evaluation
from service.features.duplicates.following import GroupsFollower
from service.features.jobs.runner import RunningJob
from service.store.jobs import Job, LeaseLost
from service.store.redis.store import RedisStore
from tests.service.features.duplicates.corpora import WIDTH, Corpora
from tests.service.store.records import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def nothing(*_: object) -> None:
    """Whatever is waited for is there."""


async def kept_by(store: RedisStore) -> dict[bytes, bytes]:
    """All of groups, as a replica has it at this moment."""
    keys = await store.client.ask("KEYS", "ss:duplicates:*")
    return {key: await store.client.ask("DUMP", key) for key in keys}


async def fail_over(store: RedisStore, kept: Mapping[bytes, bytes]) -> None:
    """To a replica that has this."""
    await store.client.ask("DEL", *await store.client.ask("KEYS", "ss:duplicates:*"))
    for key, value in kept.items():
        await store.client.ask("RESTORE", key, 0, value)


async def test_what_a_fail_over_lost_is_evaluated_again(corpora: Corpora) -> None:
    async def followed(names: Sequence[str]) -> None:
        for name in names:
            await corpora.write(name)
        last = await corpora.store.position()
        while await corpora.groups.position() != last:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    comparer = corpora.comparer()
    follower = GroupsFollower(
        *(corpora.store, corpora.groups, lambda token: corpora.evaluation(token, comparer)),
        *(KeptCorpus(), nothing, nothing, 60, comparer.rules, lambda _: None),
    )
    follower.start()
    async with asyncio.timeout(60):
        await followed([f"s{i:02}" for i in range(20)])
        kept = await kept_by(corpora.store)
        await followed([f"t{i:02}" for i in range(20)])
        assert any(await corpora.groups.edges_of([f"t{i:02}" for i in range(20)], 9))
        await fail_over(corpora.store, kept)
        await followed(["u"])
    await follower.stop()
    found = await corpora.partition()
    await corpora.rebuilt("anew")
    assert await corpora.partition() == found


async def test_the_lag_grows_on_while_who_leads_fails_over_and_over(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trailing, "_LOOK_S", 0.01)
    monkeypatch.setattr(following, "_RETRY_S", 0.01)
    tries = 0

    def fails(_: int) -> Evaluation:
        nonlocal tries
        tries += 1
        raise ValueError("a record that can't be read")

    follower = GroupsFollower(
        *(corpora.store, corpora.groups, fails),
        *(KeptCorpus(), nothing, nothing, 60, corpora.comparer().rules, lambda _: None),
    )
    await corpora.write("one")
    follower.start()
    await until(lambda: tries >= 3)
    before, told = follower.lag_s or 0.0, set[bool]()

    def grew() -> bool:
        names = {family.name for family in DuplicateCounts(follower).collect()}
        told.add("streamer_duplicates_lag_seconds" in names)
        return (follower.lag_s or 0.0) > before + 0.1

    await until(grew)
    assert told == {True}
    await follower.stop()
    assert follower.lag_s is None


async def test_an_evaluation_that_the_store_interrupts_is_no_error(
    corpora: Corpora, caplog: pytest.LogCaptureFixture
) -> None:
    comparer = corpora.comparer()
    causes: list[str] = []

    class Interrupted(Evaluation):
        async def evaluate(self, ids: Sequence[str], cause: str, position: Any = None) -> Any:
            if cause.startswith("log "):
                causes.append(cause)
                if len(causes) == 1:
                    raise StoreUnavailable("the store is gone")
            return await super().evaluate(ids, cause, position)

    def evaluation(token: int) -> Evaluation:
        parts = (corpora.store, corpora.groups, corpora.judgements, comparer)
        return Interrupted(*parts, Corpus(WIDTH, WIDTH), corpora.lanes, token)

    async def followed(name: str) -> None:
        await corpora.write(name)
        last = await corpora.store.position()
        while await corpora.groups.position() != last:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    follower = GroupsFollower(
        *(corpora.store, corpora.groups, evaluation),
        *(KeptCorpus(), nothing, nothing, 60, comparer.rules, lambda _: None),
    )
    follower.start()
    async with asyncio.timeout(60):
        await followed("s")
        await followed("t")
    await follower.stop()
    assert len(causes) > 1
    assert {record.levelname for record in caplog.records} == {"WARNING"}


async def test_a_rebuild_that_lost_a_part_begins_anew(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "_AT_ONCE", 10)
    told: list[str] = []

    class Rebuild(RunningJob):
        """Loses what it wrote since its first part, after the second one was told."""

        def __init__(self) -> None:
            self.job = cast(Job, SimpleNamespace(job_id="job", done=0))
            self.checkpoint: dict[str, Any] = {}
            self._kept: dict[bytes, bytes] = {}

        async def advance(
            self, checkpoint: Mapping[str, Any], done: int, total: int | None = None
        ) -> None:
            told.append(checkpoint["after"])
            if len(told) == 2:
                self._kept = await kept_by(corpora.store)
            elif len(told) == 3:
                await fail_over(corpora.store, self._kept)

    for i in range(40):
        await corpora.write(f"s{i:02}")
    comparer = corpora.comparer()
    jobs = rebuild.RebuildJobs(
        *(corpora.store, corpora.groups, lambda token: corpora.evaluation(token, comparer)),
        *(nothing, 60, comparer.rules, "model-1"),
    )
    result = await jobs.run(Rebuild())
    assert told[:4] == ["", "s09", "s19", ""]
    assert told[4:] == ["s09", "s19", "s29", "s39"]
    assert result["streamers"] == 40
    found = (await corpora.groups.load()).edges
    await corpora.rebuilt("anew")
    assert (await corpora.groups.load()).edges == found


async def test_a_rebuild_that_another_model_takes_over_begins_anew(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "_AT_ONCE", 10)

    class Rebuild(RunningJob):
        """Goes on where another one stood when it lost its lease, as this one does after a part."""

        def __init__(self, checkpoint: Mapping[str, Any], lost_after: str) -> None:
            self.job = cast(Job, SimpleNamespace(job_id="job", done=10 if checkpoint else 0))
            self.checkpoint: dict[str, Any] = dict(checkpoint)
            self.lost_after = lost_after
            self.told: list[str] = []

        async def advance(
            self, checkpoint: Mapping[str, Any], done: int, total: int | None = None
        ) -> None:
            self.checkpoint = dict(checkpoint)
            self.told.append(checkpoint["after"])
            if self.told[-1] == self.lost_after:
                raise LeaseLost

    comparer = corpora.comparer()

    def jobs_of(model_version: str) -> rebuild.RebuildJobs:
        return rebuild.RebuildJobs(
            *(corpora.store, corpora.groups, lambda token: corpora.evaluation(token, comparer)),
            *(nothing, 60, comparer.rules, model_version),
        )

    for i in range(20):
        await corpora.write(f"s{i:02}")
    lost = Rebuild({}, "s09")
    with pytest.raises(LeaseLost):
        await jobs_of("model-1").run(lost)
    by_the_same, by_another = (Rebuild(lost.checkpoint, "never") for _ in range(2))
    assert (await jobs_of("model-1").run(by_the_same))["streamers"] == 20
    assert by_the_same.told == ["s09", "s19"]
    assert (await jobs_of("model-2").run(by_another))["streamers"] == 20
    assert by_another.told == ["", "s09", "s19"]
