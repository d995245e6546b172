"""Keys in memory: who is known, for how long, and what becomes of it without a store."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from service.errors import InvalidRequest, KeyNotFound, StoreUnavailable, Unauthorized
from service.features.keys import ring as ring_module
from service.features.keys.counts import KeyCounts
from service.features.keys.key_text import new_key
from service.features.keys.ring import ADMIN, POLL_S, StoredKeyRing
from service.features.keys.service import Keys
from service.scopes import ROLES, SCOPES
from service.store.keys import READ_AT_ONCE, Look
from tests.service.features.keys.memory_keys import MemoryKeys
from tests.service.store.records import until

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryKeys:
    return MemoryKeys(clock)


@pytest.fixture
def ring(store: MemoryKeys, clock: Clock) -> StoredKeyRing:
    return StoredKeyRing(store, None, clock)


@pytest.fixture
def keys(store: MemoryKeys, ring: StoredKeyRing, clock: Clock) -> Keys:
    return Keys(store, ring.refresh, clock)


def refused(ring: StoredKeyRing, key: str) -> str:
    with pytest.raises(Unauthorized) as caught:
        ring.caller_of(key)
    return caught.value.detail


async def test_a_key_is_known_by_its_scopes_or_its_role(ring: StoredKeyRing, keys: Keys) -> None:
    one = await keys.create("export", scopes=["search", "explain", "search"])
    caller = ring.caller_of(one.key)
    assert (caller.key_id, caller.name) == (one.record.key_id, "export")
    assert caller.scopes == {"search", "explain"}
    for role, scopes in ROLES.items():
        assert ring.caller_of((await keys.create(role, role)).key).scopes == scopes
    assert ROLES["admin"] == SCOPES


async def test_the_store_never_has_a_key(store: MemoryKeys, keys: Keys) -> None:
    issued = await keys.create("export", "recommender")
    rotated = await keys.rotate(issued.record.key_id, 60)
    stored = b"".join(store.records.values()).decode()
    for key in (issued.key, rotated.key):
        assert key not in stored
        assert key[-72:-8] not in stored


async def test_without_any_key_everybody_may_ask_until_there_is_one(
    store: MemoryKeys, ring: StoredKeyRing, keys: Keys
) -> None:
    await ring.refresh()
    assert ring.is_open
    issued = await keys.create("first", "admin")
    assert not ring.is_open
    await keys.revoke(issued.record.key_id)
    assert store.records == {}
    assert not ring.is_open  # the last one is gone, and nothing is open again
    again = StoredKeyRing(store, None)
    await again.refresh()
    assert not again.is_open
    store.changes = 0  # another store, without keys
    await ring.refresh()
    assert not ring.is_open


async def test_the_key_of_the_settings(store: MemoryKeys, clock: Clock) -> None:
    ring = StoredKeyRing(store, "a-secret", clock)
    assert not ring.is_open
    assert ring.caller_of("a-secret") is ADMIN
    assert ADMIN.scopes == SCOPES
    for key in ("", "a-secre", "a-secret ", "A-secret", "schlüssel"):
        assert "not known" in refused(ring, key)
    shaped = new_key("0123456789ab")  # a text like that of a stored key is fine too
    assert StoredKeyRing(store, shaped).caller_of(shaped) is ADMIN


@pytest.mark.parametrize("wrong_by", [-7200.0, 7200.0])
async def test_a_key_expires_by_the_clock_of_the_store(
    store: MemoryKeys, clock: Clock, wrong_by: float
) -> None:
    """Two hours after a rotation, a replica whose clock was slow still took the text before."""
    ring = StoredKeyRing(store, None, lambda: clock() + wrong_by)
    await ring.refresh()
    keys = Keys(store, ring.refresh, ring.now)
    issued = await keys.create("short", "operations", expires_at=clock() + 100)
    rotated = await keys.rotate(issued.record.key_id, 10)
    assert rotated.record.previous_until == clock() + 10
    for key in (issued.key, rotated.key):
        ring.caller_of(key)
    clock.seconds += 10
    assert "rotated" in refused(ring, issued.key)
    ring.caller_of(rotated.key)
    clock.seconds += 90
    assert "has expired" in refused(ring, rotated.key)


async def test_a_look_that_stalls_does_not_set_the_clock(
    store: MemoryKeys, ring: StoredKeyRing, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.now = lambda: clock() + 60
    look = store.look

    async def stalled() -> Look:
        found = await look()
        clock.seconds += 8
        return found

    await ring.refresh()
    with monkeypatch.context() as patched:
        patched.setattr(store, "look", stalled)
        await ring.refresh()
        assert ring.now() == store.now()
        first = StoredKeyRing(store, None, clock)
        await first.refresh()
        assert first.now() == store.now() - 4  # better than this machine's own time
    await first.refresh()
    assert first.now() == store.now()


async def test_an_expired_key(ring: StoredKeyRing, keys: Keys, clock: Clock) -> None:
    issued = await keys.create("short", "operations", expires_at=clock() + 10)
    clock.seconds += 9.5
    ring.caller_of(issued.key)
    clock.seconds += 0.5
    assert f"{issued.record.key_id} has expired" in refused(ring, issued.key)
    wrong = new_key(issued.record.key_id)
    assert "is not known" in refused(ring, wrong)  # who has not the key is told no more
    renewed = await keys.rotate(issued.record.key_id, 0, clock() + 10)
    ring.caller_of(renewed.key)
    with pytest.raises(InvalidRequest, match="expires_at"):
        await keys.rotate(issued.record.key_id, 0, 0.0)
    ring.caller_of(renewed.key)


async def test_rotation_leaves_the_key_before_for_a_while(
    ring: StoredKeyRing, keys: Keys, clock: Clock
) -> None:
    first = await keys.create("export", "recommender")
    key_id = first.record.key_id
    second = await keys.rotate(key_id, 60)
    assert ring.caller_of(second.key).scopes == ROLES["recommender"]
    clock.seconds += 59
    assert ring.caller_of(first.key) == ring.caller_of(second.key)
    third = await keys.rotate(key_id, 60)
    assert "rotated or revoked" in refused(ring, first.key)  # the second text before ends at once
    ring.caller_of(second.key)
    clock.seconds += 60
    assert "rotated or revoked" in refused(ring, second.key)
    last = await keys.rotate(key_id, 0)
    assert "rotated or revoked" in refused(ring, third.key)
    assert ring.caller_of(last.key).key_id == key_id


async def test_a_revoked_key_is_gone(ring: StoredKeyRing, keys: Keys) -> None:
    issued = await keys.create("export", "recommender")
    rotated = await keys.rotate(issued.record.key_id, 3600)
    await keys.revoke(issued.record.key_id)
    for key in (issued.key, rotated.key):
        assert "revoked" in refused(ring, key)
    for change in (keys.revoke(issued.record.key_id), keys.rotate(issued.record.key_id, 0)):
        with pytest.raises(KeyNotFound):
            await change


async def test_a_mistyped_key_is_refused_without_a_look_up(ring: StoredKeyRing, keys: Keys) -> None:
    issued = await keys.create("export", "recommender")
    assert "checksum" in refused(ring, issued.key[:-1])
    assert "checksum" in refused(ring, issued.key[:-1] + ("0" if issued.key[-1] != "0" else "1"))


async def test_other_replicas_follow(store: MemoryKeys, ring: StoredKeyRing, keys: Keys) -> None:
    other = StoredKeyRing(store, None)
    issued = await keys.create("export", "recommender")
    assert "not known" in refused(other, issued.key)
    await other.refresh()
    caller = other.caller_of(issued.key)
    second = await keys.create("console", "operations")
    await other.refresh()
    assert other.caller_of(issued.key) is caller  # what has not changed is not read again
    assert other.caller_of(second.key).name == "console"
    await keys.revoke(issued.record.key_id)
    await other.refresh()
    assert "revoked" in refused(other, issued.key)
    asked = store.asked
    await other.refresh()
    assert store.asked == asked + 1  # no change: one short question
    assert POLL_S <= 0.5  # a second for the poll and its answer


async def test_without_a_store_what_is_known_holds(
    store: MemoryKeys, ring: StoredKeyRing, keys: Keys, clock: Clock
) -> None:
    issued = await keys.create("export", "recommender", expires_at=clock() + 100)
    store.is_down = True
    asked = store.asked
    ring.caller_of(issued.key)
    assert store.asked == asked  # no request waits for the store
    with pytest.raises(StoreUnavailable):
        await ring.refresh()
    with pytest.raises(StoreUnavailable):
        await ring.note_used()
    ring.caller_of(issued.key)
    clock.seconds += 100
    assert "expired" in refused(ring, issued.key)
    store.is_down = False
    await ring.note_used()
    assert store.used == {issued.record.key_id: 1_000_000.0}


async def test_keys_that_can_not_be_read_are_told_once(
    store: MemoryKeys,
    ring: StoredKeyRing,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_module, "POLL_S", 0.001)
    async with ring:
        read_at = clock()
        store.is_down = True
        clock.seconds += 90
        asked = store.asked
        await until(lambda: store.asked > asked + 5)
        assert "the API keys can't be read" in str(ring.trouble())
        assert ring.read_at() == {"store": read_at}
        store.is_down = False
        await until(lambda: ring.trouble() is None)
        (family,) = KeyCounts(ring).collect()
        (sample,) = family.samples
        assert (sample.labels, sample.value) == ({"source": "store"}, clock())
    assert [r.getMessage() for r in caplog.records] == [
        "the keys can't be read, known ones hold: the store is gone"
    ]


async def test_a_change_is_stored_though_this_process_can_not_read_it_back(
    store: MemoryKeys, clock: Clock
) -> None:
    async def refresh() -> None:
        raise StoreUnavailable("the store is gone")

    issued = await Keys(store, refresh, clock).create("export", "recommender")
    ring = StoredKeyRing(store, None, clock)
    await ring.refresh()
    ring.caller_of(issued.key)


async def test_use_is_noted_now_and_then(
    store: MemoryKeys, ring: StoredKeyRing, keys: Keys, clock: Clock
) -> None:
    issued = await keys.create("export", "recommender")
    unused = await keys.create("console", "operations")
    for _ in range(1000):
        ring.caller_of(issued.key)
    assert store.used == {}
    async with ring:
        pass  # what was not noted yet is noted at the end
    assert store.used == {issued.record.key_id: clock()}
    listed, _ = await keys.page("", 10)
    used = {key.record.key_id: key.last_used_at for key in listed}
    assert used == {issued.record.key_id: clock(), unused.record.key_id: None}


async def test_others_have_their_turns_while_ten_thousand_keys_are_read(
    store: MemoryKeys, ring: StoredKeyRing, keys: Keys
) -> None:
    one = await keys.create("export", "recommender")
    for number in range(10_000):
        record = replace(one.record, key_id=f"{number:012x}", role="operations")
        store.records[record.key_id] = record.to_json()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    running = asyncio.ensure_future(others())
    store.changes += 1  # past this class, so that all are read
    await ring.refresh()
    read = turns
    assert not await keys.has_admin_beside(one.record.key_id)
    running.cancel()
    assert read > 10_000 // READ_AT_ONCE - 2
    assert turns - read > 10_000 // READ_AT_ONCE - 2
    assert ring.caller_of(one.key).key_id == one.record.key_id


@pytest.mark.parametrize("stored", [b"", b"{}", b"rubbish", b'{"key_id": 7}'])
async def test_a_record_that_can_not_be_read_opens_nothing(
    store: MemoryKeys, ring: StoredKeyRing, keys: Keys, stored: bytes
) -> None:
    issued = await keys.create("export", "recommender")
    other = await keys.create("console", "operations")
    store.records[issued.record.key_id] = stored
    store.changes += 1
    await ring.refresh()
    assert "not known" in refused(ring, issued.key)
    ring.caller_of(other.key)


async def test_a_role_of_a_later_release_has_no_scopes_here(
    store: MemoryKeys, ring: StoredKeyRing, keys: Keys
) -> None:
    issued = await keys.create("export", "auditor")
    assert ring.caller_of(issued.key).scopes == frozenset()


async def test_two_changes_at_once_lose_none(store: MemoryKeys, keys: Keys) -> None:
    """A rotation that meets a revocation must not bring the key back."""
    issued = await keys.create("export", "recommender")
    key_id = issued.record.key_id

    class Raced(MemoryKeys):
        async def get(self, key_id: str) -> bytes:
            found = await super().get(key_id)
            await keys.revoke(key_id) if key_id in store.records else None
            return found

    raced = Raced()
    raced.records = store.records
    with pytest.raises(KeyNotFound):
        await Keys(raced).rotate(key_id, 60)
    assert store.records == {}


def _calls(work: Callable[[], object]) -> int:
    """How many functions a piece of work calls at least: what collects garbage calls others."""
    counts = []

    def note(*_: object) -> None:
        counts[-1] += 1

    for _ in range(5):
        counts.append(0)
        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
    return min(counts)


@pytest.mark.slow
async def test_ten_thousand_keys_cost_as_much_as_one(
    store: MemoryKeys, ring: StoredKeyRing, keys: Keys
) -> None:
    first = await keys.create("first", "recommender")
    ring.caller_of(first.key)
    alone = _calls(lambda: ring.caller_of(first.key))
    others = Keys(store)  # which are read at once, below
    issued = [await others.create(f"key {i}", scopes=["search"]) for i in range(9_999)]
    await ring.refresh()
    assert _calls(lambda: ring.caller_of(first.key)) == alone
    assert _calls(lambda: ring.caller_of(issued[5_000].key)) == alone
    for one in issued[::100]:
        assert ring.caller_of(one.key).name == one.record.name
