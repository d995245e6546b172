"""A damaged log: refused with both remedies, and read as far as it can be when that is accepted."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import StoreStartFailed
from service.settings import Settings
from service.store.opening import open_store
from service.store.redis.backup import ArchivedStore
from tests.service.store.records import put, until

pytestmark = pytest.mark.anyio

OLDER = {f"s{i}" for i in range(10)}
NEWER = {"s0", *(f"s{i}" for i in range(10, 20))}
"""Written after the log was rewritten; s0 for the second time."""


@contextlib.asynccontextmanager
async def opened(data: Path, *, accept: bool = False):
    settings = Settings(bundle=data, data_dir=data, accept_data_loss=accept)
    async with contextlib.AsyncExitStack() as stack:
        yield (await open_store(settings, None, stack)).store


async def filled(data: Path) -> None:
    """A store whose log has a base and commands behind it."""
    async with opened(data) as store:
        for streamer_id in sorted(OLDER):
            await put(store, streamer_id)
        await store._client.ask("BGREWRITEAOF")
        await until(lambda: bool(list(data.glob("store/appendonlydir/*.2.base.rdb"))))
        for streamer_id in sorted(NEWER):
            await put(store, streamer_id)


def base(log: Path) -> Path:
    return log / "appendonly.aof.2.base.rdb"


def commands(log: Path) -> Path:
    return log / "appendonly.aof.2.incr.aof"


def change(path: Path, new: Callable[[bytes], bytes]) -> None:
    path.write_bytes(new(path.read_bytes()))


def zeros_behind(log: Path) -> None:
    change(commands(log), lambda whole: whole + bytes(4096))


def zeros_in_the_middle(log: Path) -> None:
    def spoil(whole: bytes) -> bytes:
        at = whole.index(b"*1\r\n$5\r\nMULTI", len(whole) // 2)
        return whole[:at] + bytes(64) + whole[at + 64 :]

    change(commands(log), spoil)


def unknown_command(log: Path) -> None:
    change(commands(log), lambda whole: whole.replace(b"XADD", b"XADE", 1))


def cut_base(log: Path) -> None:
    change(base(log), lambda whole: whole[: len(whole) // 2])


def no_base(log: Path) -> None:
    base(log).unlink()


def spoilt_head_of_base(log: Path) -> None:
    change(base(log), lambda whole: b"?" + whole[1:])


def spoilt_checksum(log: Path) -> None:
    change(base(log), lambda whole: whole[:-1] + bytes([whole[-1] ^ 0xFF]))


def spoilt_manifest(log: Path) -> None:
    (log / "appendonly.aof.manifest").write_text("nothing of the kind\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "least", "most"),
    [
        (zeros_behind, OLDER | NEWER, OLDER | NEWER),
        (zeros_in_the_middle, OLDER | {"s0", "s10"}, (OLDER | NEWER) - {"s19"}),
        (unknown_command, OLDER, OLDER),
        (cut_base, NEWER, NEWER),
        (no_base, NEWER, NEWER),
        (spoilt_head_of_base, NEWER, NEWER),
        (spoilt_checksum, OLDER | NEWER, OLDER | NEWER),
        (spoilt_manifest, set(), set()),
    ],
)
async def test_what_can_be_read_is_kept(
    tmp_path: Path, damage: Callable[[Path], None], least: set[str], most: set[str]
) -> None:
    await filled(tmp_path)
    log = tmp_path / "store" / "appendonlydir"
    damage(log)
    before = {path.name: path.read_bytes() for path in log.iterdir()}
    with pytest.raises(StoreStartFailed) as refusal:
        async with opened(tmp_path):
            pass
    assert "`python -m service restore BACKUP`" in refusal.value.detail
    assert "--accept-data-loss" in refusal.value.detail
    assert {path.name: path.read_bytes() for path in log.iterdir()} == before
    async with opened(tmp_path, accept=True) as store:
        left = set(await store.list_ids("", 100))
        assert least <= left <= most
        assert all(await store.get(sorted(left)))
        await put(store, "new")
    (kept,) = (tmp_path / "store").glob("appendonlydir.damaged-*")
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    async with opened(tmp_path) as store:  # accepted once is enough
        assert set(await store.list_ids("", 100)) == left | {"new"}
        assert isinstance(store, ArchivedStore)
        assert [orphan async for orphan in store.orphans()] == []
