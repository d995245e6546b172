"""A store with replicas: what is acknowledged is on one of them, and a promoted one is noticed."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

import service
from service.errors import NotReplicated, UnsafeConfiguration
from service.settings.store import Store as StoreSettings
from service.store.base import Delete, DoneBefore, LogGap
from service.store.documents import Put
from service.store.jobs import NewJob
from service.store.once import Once, Requests
from service.store.opening import address_of
from service.store.redis.backup import ArchivedStore
from service.store.redis.client import Limits
from service.store.redis.connecting.address import StoreAddress, new_pool
from service.store.redis.connecting.confirming import writes
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.watch import ServerWatch
from service.store.witness import Witness, WitnessKeeper
from tests.service import valkey
from tests.service.store.records import put, read_log, upsert
from tests.service.valkey import Replicated, Server

pytestmark = pytest.mark.anyio

_COMMAND = re.compile(r'"([A-Z]{3,})"')
ONCE = Once(key="a" * 32, fingerprint="b")


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[Replicated]:
    with Replicated(tmp_path, replicas=1) as servers:
        yield servers


@pytest.fixture
def address(replicated: Replicated) -> StoreAddress:
    return StoreAddress(replicated.servers[0].url, replicas=1, replica_timeout_ms=4000)


@pytest.fixture
async def store(address: StoreAddress) -> AsyncIterator[ArchivedStore]:
    """For what is to be acknowledged, however slow the replica's disk is."""
    store = await ArchivedStore(address).open()
    yield store
    await store.close()


@pytest.fixture
async def hasty(address: StoreAddress) -> AsyncIterator[ArchivedStore]:
    """The same store, for what no replica acknowledges."""
    store = await ArchivedStore(replace(address, replica_timeout_ms=200)).open()
    yield store
    await store.close()


@pytest.fixture
def replica(replicated: Replicated) -> Server:
    return replicated.servers[1]


async def test_a_write_that_no_replica_has_is_not_acknowledged(
    store: ArchivedStore, hasty: ArchivedStore, replica: Server
) -> None:
    await put(store, "a")
    with replica.suspended():
        with pytest.raises(NotReplicated, match=r"^0 of 1 replicas .*repeat the request") as told:
            await hasty.write([upsert("b")], once=ONCE)
        assert (told.value.status, told.value.code) == (503, "not_replicated")
        assert await store.get(["b"]) != [None]  # the primary has it, as the error says
        # What repeats or rests on it is no more acknowledged than it was itself.
        with pytest.raises(NotReplicated):
            await hasty.done_before(ONCE.key)
        with pytest.raises(NotReplicated):
            await hasty.write([upsert("b")], once=ONCE)
        with pytest.raises(NotReplicated):
            await hasty.digests(["b"], confirmed=True)
        with pytest.raises(NotReplicated):
            await hasty.write([Delete("nobody")])
        assert await store.digests(["b"]) != [None]
    done = await store.done_before(ONCE.key)
    assert isinstance(done, DoneBefore)
    with pytest.raises(DoneBefore):
        await store.write([upsert("b")], once=ONCE)
    assert (await store.position()).sequence == 2
    await put(store, "c")
    assert [e.sequence for e in await read_log(store, 0, 3)] == [1, 2, 3]


async def test_everything_that_changes_waits(
    store: ArchivedStore, hasty: ArchivedStore, replica: Server
) -> None:
    await store.documents.change([Put("cases", "made", b"{}")])
    requests = Requests(store.documents, "requests")
    made = requests.making(ONCE, "made", await requests.made(ONCE))
    await store.documents.change(made)
    await store.set_model_version("model-1")
    with replica.suspended():
        for change in (
            lambda: hasty.documents.change([Put("cases", "x", b"{}")]),
            lambda: Requests(hasty.documents, "requests").made(ONCE),
            lambda: hasty.documents.drop("cases"),
            lambda: hasty.set_model_version("model-2"),
            lambda: hasty.keys.replace("key", b"", b"{}"),
            lambda: hasty.client.ask_together([("SET", "x", 1), ("HGETALL", "ss:meta")]),
            lambda: hasty.position(confirmed=True),
        ):
            with pytest.raises(NotReplicated):
                await change()
        # What may be lost.
        assert await hasty.limits.settle({"minute": 1.0}) == [1.0]
        await hasty.keys.note_used({"key": 1.0})
    found = await store.client.ask_together([("HGETALL", "ss:meta"), ("SET", "x", 2)])
    assert found[0][b"model_version"] == b"model-2"
    assert found[1] is True
    assert (await requests.made(ONCE)).made_id == "made"


async def test_what_reads_goes_on_without_replicas(
    store: ArchivedStore, hasty: ArchivedStore, replica: Server
) -> None:
    await store.packing.add(b"some content")
    await put(store, "a")
    limits = JobLimits(lease_s=60, most_active=10, keep_s=60, given_up=b"{}")
    jobs = RedisJobs(store.client, limits)
    await jobs.submit(NewJob("job", "import", "", b"{}"))
    with replica.suspended():
        (shown,) = await RedisJobs(hasty.client, limits).page("", 10)
        assert shown.job_id == "job"
        assert await hasty.client.ask("ZRANDMEMBER", "ss:ids", 2) == [b"a"]
        assert await hasty.packing.active() is not None
        assert await hasty.packing.active(now=True) is not None


@pytest.mark.slow
async def test_two_runners_of_a_process_keep_a_claim_that_no_replica_has(
    store: ArchivedStore, hasty: ArchivedStore, replica: Server
) -> None:
    limits = JobLimits(lease_s=600, most_active=10, keep_s=60, given_up=b"{}")
    jobs = RedisJobs(hasty.client, limits)
    await RedisJobs(store.client, limits).submit(NewJob("job", "import", "", b"{}"))
    with replica.suspended():
        claims = (jobs.claim([""], ["import"]) for _ in range(2))
        failed = await asyncio.gather(*claims, return_exceptions=True)
        assert [type(error) for error in failed] == [NotReplicated, NotReplicated]
    job = None
    while job is None:
        with contextlib.suppress(NotReplicated):  # its disk may be slow
            job = await jobs.claim([""], ["import"])
            assert job is not None
    assert (job.token, job.attempts) == (1, 1)


def test_no_command_that_reads_waits_for_replicas(replicated: Replicated) -> None:
    sources = Path(service.__file__).parent.rglob("*.py")
    named = set[str]().union(*(_COMMAND.findall(s.read_text("utf-8")) for s in sources))
    known = replicated.servers[0].command("COMMAND")
    flags = {name.upper(): about["flags"] for name, about in known.items() if name.upper() in named}
    reads = {name for name, has in flags.items() if "readonly" in has}
    assert reads >= {"HMGET", "ZREVRANGEBYLEX"}
    assert {name for name in reads if writes([name])} == set()
    assert {n for n, has in flags.items() if "write" in has and not writes([n])} == set()


async def test_a_server_that_lost_its_scripts(store: ArchivedStore, replicated: Replicated) -> None:
    await put(store, "a")
    replicated.servers[0].command("SCRIPT", "FLUSH")  # as one that was promoted has none
    assert await put(store, "b") == 2
    assert await put(store, "c") == 3


async def test_the_watch_tells_that_a_replica_is_missing(
    address: StoreAddress, replica: Server
) -> None:
    watch = ServerWatch(replace(address, replica_timeout_ms=300))

    async def look_until_all_is_well() -> None:
        async with asyncio.timeout(60):
            while watch.acknowledged_by != 1:
                await watch.look()

    await look_until_all_is_well()
    assert watch.trouble() is None
    with replica.suspended():
        await watch.look()
        assert "0 of 1 replicas acknowledged" in (watch.trouble() or "")
        assert (watch.silence(), watch.acknowledged_by) == (None, 0)
    await look_until_all_is_well()
    assert watch.trouble() is None
    await watch.stop()


async def test_the_witness_knows_only_what_replicas_have(
    store: ArchivedStore, hasty: ArchivedStore, replica: Server, tmp_path: Path
) -> None:
    witness = Witness(tmp_path / "data", "redis://somewhere")
    await put(store, "a")
    with replica.suspended():
        with pytest.raises(NotReplicated):
            await put(hasty, "b")
        await WitnessKeeper(hasty, witness).stop()
        assert witness.read() is None
    await WitnessKeeper(store, witness).stop()
    known = witness.read()
    assert known is not None
    assert known.sequence == 2


async def test_who_has_read_further_than_a_promoted_replica_notices(
    store: ArchivedStore, hasty: ArchivedStore, replicated: Replicated
) -> None:
    primary, replica = replicated.servers
    await put(store, "a")
    replica.command("REPLICAOF", "NO", "ONE")  # promoted while the primary takes writes still
    for name in ("b", "c"):
        with pytest.raises(NotReplicated):
            await put(hasty, name)
    place = await store.position()
    # A reader of the log waits for replicas, and goes on without them after the time.
    assert [e.sequence for e in await read_log(hasty, 1, 3)] == [2, 3]
    primary.kill()
    promoted = await ArchivedStore(replica.url).open()
    try:
        assert (await promoted.position()).sequence == 1  # what was acknowledged
        with pytest.raises(LogGap, match="ends at 1, before 3"):
            await anext(promoted.follow(place.sequence, place.epoch, place.mark))
        for name in ("d", "e", "f"):  # counts on, past the reader
            await put(promoted, name)
        with pytest.raises(LogGap, match="went back"):
            await anext(promoted.follow(place.sequence, place.epoch, place.mark))
        assert [e.sequence for e in await read_log(promoted, 0, 4)] == [1, 2, 3, 4]
    finally:
        await promoted.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://streamers:6379/0",
        "unix:///tmp/socket",
        "redis://:s3cret@/0",
        "redis://:s3cret/of-all@streamers/0",
        "http://streamers/0",
    ],
)
def test_addresses_that_sentinels_do_not_understand(url: str) -> None:
    with pytest.raises(UnsafeConfiguration, match=r"redis://mymaster/0|scheme") as told:
        ArchivedStore(StoreAddress(url, sentinels=(("127.0.0.1", 26379),)), limits=Limits())
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1/0"])
def test_an_account_without_sentinels_is_refused(url: str | None) -> None:
    known = StoreSettings(sentinel_password=SecretStr("s3cret"))
    with pytest.raises(UnsafeConfiguration, match="SENTINEL_PASSWORD is for sentinels") as told:
        address_of(url, known)
    assert "s3cret" not in str(told.value)


def test_options_of_the_address_win() -> None:
    url = "redis://mymaster/0?socket_connect_timeout=3"
    pool = new_pool(StoreAddress(url, sentinels=(("127.0.0.1", 26379),)), 2, 1.0)
    assert pool.connection_kwargs["socket_connect_timeout"] == 3


def test_sentinels_of_tests_leave_a_port_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, free = Server(tmp_path), valkey.free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = iter([other.getsockname()[1], free])
        monkeypatch.setattr(valkey, "free_port", lambda: next(ports))
        with valkey.Sentinels(tmp_path, primary, 1, down_after_ms=1000) as watching:
            assert watching.addresses == [("127.0.0.1", free)]
            assert watching.primary() == primary.port
