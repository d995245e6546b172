"""The watch of a server: how long it has been silent, and whether it takes writes."""

import pytest

from service.store.embedded.patience import Patience
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore
from service.store.redis.watch import ServerWatch
from tests.service.store.records import put, scanned, until

pytestmark = pytest.mark.anyio

NAMED_WITHIN_S = 3
"""Seconds, as docs/operations.md says, until a silent store is named."""


async def test_silence_counts_from_the_question(silent_store: str) -> None:
    watch = ServerWatch(silent_store, answer_s=0.3)
    watch.start()
    await until(lambda: watch.silence() is not None)
    assert watch.silence(0.27) == watch.trouble() == "the store did not answer within 0.3 s"
    await watch.stop()


async def test_a_look_writes_nothing(store: RedisStore, embedded: EmbeddedStore) -> None:
    await put(store, "a")
    before = await store.position()
    watch = ServerWatch(embedded.url)
    await watch.look()
    assert (watch.trouble(), watch.silence()) == (None, None)
    assert (await store.position(), set(await scanned(store))) == (before, {"a"})
    await watch.stop()


def test_silence_is_named_within_seconds() -> None:
    assert Patience().watch_s + Patience().answer_s <= NAMED_WITHIN_S
