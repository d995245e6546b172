"""The watch of a server: how long it has been silent, and whether it takes writes."""

from typing import Any

import pytest
from redis.asyncio import Redis

from service.store.embedded.patience import Patience
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis import watch as watch_module
from service.store.redis.durability import is_durable
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


async def test_a_configuration_that_others_change_is_noticed(
    embedded: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch_module, "_DURABILITY_LOOKS", 1)
    monkeypatch.setattr(watch_module, "_EVERY_S", 0.01)
    admin: Any = Redis.from_url(embedded.url)
    watch = ServerWatch(embedded.url)
    assert watch.is_durable
    await admin.config_set("appendfsync", "everysec")
    try:
        watch.start()
        await until(lambda: watch.is_durable is False)
        (record,) = caplog.records
        assert record.getMessage().startswith("writes may be lost: everysec: appendfsync is not")
    finally:
        await admin.config_set("appendfsync", "always")
        await admin.aclose()
    await until(lambda: watch.is_durable is True)
    await watch.stop()


def test_a_server_that_does_not_show_its_configuration_is_not_judged() -> None:
    assert is_durable("unknown: the server does not show its configuration (NOPERM)") is None


def test_silence_is_named_within_seconds() -> None:
    assert Patience().watch_s + Patience().answer_s <= NAMED_WITHIN_S
