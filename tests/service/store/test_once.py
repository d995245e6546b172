"""A write with a name is done once; what it did is remembered in its own step, for a day."""

from typing import Any

import pytest

from service.store.base import Delete, DoneBefore, Refused, Upsert, Written
from service.store.once import REMEMBERED_S, Once
from service.store.redis.store import RedisStore
from tests.service.store.records import record, upsert

pytestmark = pytest.mark.anyio

ANSWER = b'{"of":"the first",\n"bytes":"\x00\xff"}'
ONCE = Once("0f", "print", ANSWER)
MOST_BYTES = 600
"""Of what the server takes for a key, with an answer as the service gives them."""


async def done(store: RedisStore, operation: Upsert | Delete, once: Once = ONCE) -> DoneBefore:
    with pytest.raises(DoneBefore) as caught:
        await store.write([operation], once=once)
    return caught.value


async def test_the_second_request_is_told_of_the_first(store: RedisStore) -> None:
    assert await store.done_before("0f") is None
    assert await store.write([upsert("a", "first")], once=ONCE) == [Written(1, created=True)]
    for found in (await done(store, upsert("a", "second")), await store.done_before("0f")):
        assert found is not None
        assert (found.outcome, found.fingerprint) == (Written(1, created=True), "print")
        assert found.answer == ANSWER
    (stored,) = await store.get(["a"])
    assert stored is not None
    assert (stored.version, stored.profile) == (1, b"first")
    assert (await store.position()).sequence == 1


async def test_a_delete_is_done_once(store: RedisStore) -> None:
    await store.write([upsert("a")])
    assert await store.write([Delete("a")], once=ONCE) == [Written(2, created=False)]
    await store.write([upsert("a")])
    assert (await done(store, Delete("a"))).outcome == Written(2, created=False)
    assert await store.get(["a"]) != [None]


async def test_what_was_refused_is_not_remembered(store: RedisStore) -> None:
    assert await store.write([Delete("a")], once=ONCE) == [Refused(0)]
    assert await store.done_before("0f") is None
    assert await store.write([upsert("a")], once=ONCE) == [Written(1, created=True)]


async def test_another_models_store_still_knows_what_was_done(store: RedisStore) -> None:
    await store.write([upsert("a")], once=ONCE)
    await store.set_model_version("model-2")
    assert (await done(store, upsert("a"))).outcome == Written(1, created=True)


async def test_a_key_takes_few_bytes_and_expires(store: RedisStore, admin: Any) -> None:
    modalities = (
        b'{"text":"used","tags":"used","picture":"absent","sound":"absent","vector":"absent"}'
    )
    answer = b'{"model_version":"2026-11-26T08:00:00Z-0123456789ab","status":"indexed",'
    answer += b'"coverage":0.9375,"modalities":' + modalities + b"}"
    once = Once("0123456789abcdef" * 2, "0123456789abcdef" * 2, answer)
    await store.write([Upsert(record("a"))], once=once)
    key = f"ss:once:{once.key}"
    assert 0.99 * REMEMBERED_S < await admin.ttl(key) <= REMEMBERED_S
    assert await admin.memory_usage(key) <= MOST_BYTES
    await admin.pexpire(key, 1)
    while await admin.exists(key):
        pass
    assert await store.done_before(once.key) is None
