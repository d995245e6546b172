"""A write whose reply was lost is done once, and the caller is told so; one that is late is not."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import StoreUnavailable
from service.store.base import Delete, Refused, Written
from service.store.jobs import NewJob
from service.store.redis.client import Limits
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.store import RedisStore
from tests.reliability.fault_proxy import FaultProxy
from tests.service.store.records import put, read_log, scanned, upsert
from tests.service.valkey import Server

pytestmark = pytest.mark.anyio

LIMITS = Limits(answer_timeout_s=3.0, follow_block_s=0.2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("server")
    server = Server(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture(params=["cut_after_commit", "cut_in_mid_reply"])
def cut(proxy: FaultProxy, request: pytest.FixtureRequest):
    return getattr(proxy, request.param)


async def two_stores(server: Server, proxy: FaultProxy) -> tuple[RedisStore, RedisStore]:
    """One that is reached directly, and one through the proxy that has written before."""
    direct = await RedisStore(server.url, prefix=f"{time.monotonic_ns()}:").open()
    flaky = RedisStore(proxy.url, prefix=direct._meta.removesuffix("meta"), limits=LIMITS)
    await (await flaky.open()).write([upsert("a")])
    return direct, flaky


async def test_it_is_done_once(server: Server, proxy: FaultProxy, cut) -> None:
    direct, flaky = await two_stores(server, proxy)
    cut()
    assert await flaky.write([upsert("a", "new", 1)]) == [Written(2, created=False)]
    cut(2)
    outcomes = await flaky.write([upsert("b", "", 0), Delete("a", 1), Delete("a", 2)])
    assert outcomes == [Written(3, created=True), Refused(2), Written(4, created=False)]
    cut()
    assert await flaky.write([Delete("a")]) == [Refused(0)]
    assert proxy.commits_cut == 4
    log = await read_log(direct, 0, 4)
    assert [(e.sequence, e.streamer_id) for e in log] == [(1, "a"), (2, "a"), (3, "b"), (4, "a")]
    assert (await direct.position()).sequence == 4
    await flaky.close()
    await direct.close()


async def test_a_write_of_someone_else_in_between_is_not_undone(
    server: Server, proxy: FaultProxy
) -> None:
    """Between the write and its second try, that is."""
    direct, flaky = await two_stores(server, proxy)
    proxy.delay_s = 0.3
    proxy.cut_after_commit()
    first = asyncio.create_task(flaky.write([upsert("a", "mine")]))
    while (await direct.position()).sequence < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert await put(direct, "a", "theirs") == 3
    assert await first == [Written(2, created=False)]
    (record,) = await direct.get(["a"])
    assert record is not None
    assert (record.version, record.profile) == (3, b"theirs")
    await flaky.close()
    await direct.close()


async def test_replies_that_are_lost_again_and_again(
    server: Server, proxy: FaultProxy, cut
) -> None:
    direct, flaky = await two_stores(server, proxy)
    cut(3)
    with pytest.raises(StoreUnavailable):
        await flaky.write([upsert("a", "new", 1)])
    assert (await direct.position()).sequence == 2  # done once
    assert await flaky.write([upsert("a", "again", 1)]) == [Refused(2)]
    await flaky.close()
    await direct.close()


async def test_what_was_held_back_undoes_nothing(server: Server, proxy: FaultProxy) -> None:
    direct, flaky = await two_stores(server, proxy)
    proxy.swallow()
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await flaky.write([upsert("a", "old"), upsert("gone")])
    assert await put(direct, "a", "newer") == 2
    await asyncio.sleep(0.1)
    proxy.pass_on()
    await asyncio.sleep(0.5)
    assert (await direct.position()).sequence == 2
    (record,) = await direct.get(["a"])
    assert record is not None
    assert record.profile == b"newer"
    assert await put(flaky, "a", "newest") == 3
    await flaky.close()
    await direct.close()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_order_does_not_depend_on_clocks(
    server: Server, proxy: FaultProxy, hours: int
) -> None:
    """The server's clock was set, as the store finds it."""
    direct, flaky = await two_stores(server, proxy)
    for expected in (2, 3, 4):
        flaky._ahead_ms -= hours * 3_600_000
        assert await put(flaky, "a", f"{expected}") == expected
        direct._ahead_ms += hours * 3_600_000
        assert sorted(await scanned(direct)) == ["a"]
    assert await put(direct, "a", "5") == 5
    (record,) = await direct.get(["a"])
    assert record is not None
    assert (record.version, record.profile) == (5, b"5")
    await flaky.close()
    await direct.close()


async def test_a_job_whose_claim_was_not_answered_is_claimed_again(
    server: Server,
) -> None:
    """Else it would be nobody's until its lease ended, and that would count as a crash."""
    with FaultProxy(server.port, writes=rb"\r\nclaim\r\n") as proxy:
        direct, flaky = await two_stores(server, proxy)
        limits, prefix = JobLimits(600, 10, 600, b"{}"), f"{time.monotonic_ns()}:"
        mine, others = (RedisJobs(s.client, limits, prefix=prefix) for s in (flaky, direct))
        await mine.submit(NewJob("a", "import", "here", b"{}"))
        proxy.cut_after_commit()
        with pytest.raises(StoreUnavailable):
            await mine.claim(["here"], ["import"])
        assert proxy.commits_cut == 1
        assert await others.claim(["here"], ["import"]) is None
        job = await mine.claim(["here"], ["import"])
        assert job is not None
        assert (job.state, job.input, job.token, job.attempts) == ("running", b"{}", 1, 1)
        await mine.advance(job.lease, b"1", 1, None)
        assert await mine.claim(["here"], ["import"]) is None
        await flaky.close()
        await direct.close()
