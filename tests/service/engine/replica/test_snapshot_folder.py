"""Snapshots in their folder: when one is written, what is read ahead, and what a full disk does."""

import fcntl
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine.replica.snapshots import Schedule, Snapshots
from service.files.checksummed import UNFINISHED, ChecksummedFolder
from service.index.faiss.index import FaissIndex
from service.store.base import Position
from tests.machine import files_of_at_most, opened_in
from tests.service.engine.replica.test_follower import DIM, upsert
from tests.service.engine.replica.test_snapshots import MODEL, SOON
from tests.service.index.asked import put


def filled(rows: int = 50, dim: int = DIM) -> FaissIndex:
    index = FaissIndex(dim, DIM)
    for i in range(rows):
        entry = upsert(f"s{i}", i).record
        vector = np.full(dim, i, "<f4").tobytes()
        put(index, entry.streamer_id, i + 1, vector, entry.content, entry.facets)
    return index


def empty() -> FaissIndex:
    return FaissIndex(DIM, DIM)


def no_index() -> FaissIndex:
    raise AssertionError("it was read already")


def test_when_one_is_due(tmp_path: Path) -> None:
    now = Schedule(every_s=1000, changes=5, from_rows=50, reserve_bytes=0)
    snapshots, index = Snapshots(tmp_path, MODEL, now), filled()
    at = Position("e", 50)
    assert not snapshots.is_due(filled(49), at, rebuilt=True)  # as fast from the store
    assert snapshots.is_due(index, at, rebuilt=False)
    assert snapshots.write(index, at)
    assert not snapshots.is_due(index, at, rebuilt=False)
    assert snapshots.is_due(index, at, rebuilt=True)
    assert not snapshots.is_due(index, Position("e", 60), rebuilt=False)  # too soon
    often = Snapshots(tmp_path, MODEL, replace(now, every_s=1e-9))
    assert often.write(index, at)
    assert not often.is_due(index, Position("e", 54), rebuilt=False)
    assert often.is_due(index, Position("e", 55), rebuilt=False)
    assert often.is_due(index, Position("other", 51), rebuilt=False)


def test_the_older_one_goes_when_the_new_one_is_there(tmp_path: Path) -> None:
    snapshots, index = Snapshots(tmp_path, MODEL, SOON), filled()
    (tmp_path / f"{UNFINISHED}000000000001-ab").mkdir()
    for sequence in (50, 60, 70):
        assert snapshots.write(index, Position("e", sequence))
        assert snapshots.state.sequence == sequence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000003", "lock"]
    restored = Snapshots(tmp_path, MODEL, SOON).restore(empty, Position("e", 99))
    assert restored is not None
    index, place = restored
    assert place == Position("e", 70)
    assert index.count == 50


def test_one_that_is_written_while_all_are_discarded_does_not_stay(tmp_path: Path) -> None:
    """As where a streamer is erased meanwhile that it has."""
    snapshots = Snapshots(tmp_path, MODEL, SOON)

    class Meanwhile(FaissIndex):
        def save(
            self, path: Path, about: Mapping[str, Any], is_stopped: Callable[[], bool]
        ) -> None:
            snapshots.discard("it may have a streamer that was erased")
            super().save(path, about, is_stopped)

    index = Meanwhile(DIM, DIM)
    assert not snapshots.write(index, Position("e", 50))
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert snapshots.state.sequence is None
    assert snapshots.write(filled(), Position("e", 51))


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (Position("other", 70), "the store's history is another one"),
        (Position("e", 69), "the store was set back"),
        (Position("e", 70, "x"), "written anew since"),
    ],
)
def test_one_that_was_read_ahead_is_of_this_history_or_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, head: Position, why: str
) -> None:
    assert Snapshots(tmp_path, MODEL, SOON).write(filled(), Position("e", 70, "m"))
    ahead = Snapshots(tmp_path, MODEL, SOON)
    ahead.begin(empty)
    restored = ahead.restore(no_index, Position("e", 75))
    assert restored is not None
    assert restored[0].count == 50
    assert restored[1] == Position("e", 70, "m")
    assert ahead.state.sequence == 70
    ahead.begin(empty)
    assert ahead.restore(no_index, head) is None
    assert why in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_one_that_is_damaged_is_noticed_when_it_is_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Snapshots(tmp_path, MODEL, SOON).write(filled(), Position("e", 70))
    (tmp_path / "000000000001" / "ids").write_bytes(b"")
    ahead = Snapshots(tmp_path, MODEL, SOON)
    ahead.begin(empty)
    assert ahead.restore(no_index, Position("e", 70)) is None
    assert "has 0 bytes" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


class Unreadable(FaissIndex):
    def load(self, source: ChecksummedFolder) -> None:
        raise ValueError("of another form")


@pytest.mark.parametrize("ahead", [True, False])
def test_one_that_fails_in_any_way_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, ahead: bool
) -> None:
    assert Snapshots(tmp_path, MODEL, SOON).write(filled(), Position("e", 70))
    snapshots = Snapshots(tmp_path, MODEL, SOON)
    if ahead:
        snapshots.begin(lambda: Unreadable(DIM, DIM))
    assert snapshots.restore(lambda: Unreadable(DIM, DIM), Position("e", 70)) is None
    assert "ValueError: of another form" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_only_one_process_writes_at_a_time(tmp_path: Path) -> None:
    snapshots, index = Snapshots(tmp_path, MODEL, SOON), filled()
    assert snapshots.write(index, Position("e", 50))
    with (tmp_path / "lock").open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert not snapshots.write(index, Position("e", 60))
        assert snapshots.state.failure is None
    assert snapshots.state.sequence == 50
    assert snapshots.write(index, Position("e", 60))


def test_it_leaves_room_for_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    snapshots = Snapshots(tmp_path, MODEL, replace(SOON, reserve_bytes=1 << 60))
    assert not snapshots.write(filled(), Position("e", 50))
    assert "needs 1099511627776 MiB, only" in str(snapshots.state.failure)
    assert "no snapshot of the index, the one before stays" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


class Unwritable(FaissIndex):
    def save(self, path: Path, about: Mapping[str, Any], is_stopped: Callable[[], bool]) -> None:
        raise IndexError("of no slot")


def test_one_that_can_not_be_made_for_any_reason_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = Snapshots(tmp_path, MODEL, SOON)
    assert not snapshots.write(Unwritable(DIM, DIM), Position("e", 50))
    assert "IndexError('of no slot')" in str(snapshots.state.failure)
    assert "no snapshot of the index, the one before stays" in caplog.text
    assert "Traceback" in caplog.text
    assert snapshots.write(filled(), Position("e", 50))
    assert snapshots.state.failure is None


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    snapshots = Snapshots(tmp_path / "file" / "index", MODEL, SOON)
    snapshots.begin(empty)
    assert snapshots.restore(empty, Position("e", 1)) is None
    assert not snapshots.write(filled(), Position("e", 50))
    assert "Not a directory" in str(snapshots.state.failure)


@pytest.mark.parametrize("size", [0, 10_000, 300_000])
def test_a_full_disk_leaves_the_one_before(tmp_path: Path, size: int) -> None:
    snapshots = Snapshots(tmp_path, MODEL, SOON)
    index = filled(1000)
    assert snapshots.write(index, Position("e", 50))
    with files_of_at_most(size):
        assert not snapshots.write(index, Position("e", 60))
    assert "File too large" in str(snapshots.state.failure)
    assert snapshots.state.sequence == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000001", "lock"]
    assert Snapshots(tmp_path, MODEL, SOON).restore(empty, Position("e", 50))
    assert snapshots.write(index, Position("e", 60))
    assert snapshots.state.failure is None


def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        snapshots = Snapshots(disk, MODEL, replace(SOON, reserve_bytes=-(1 << 30)))
        assert snapshots.write(filled(1000), Position("e", 50))
        assert not snapshots.write(filled(5000), Position("e", 60))
        assert "No space left on device" in str(snapshots.state.failure)
        assert sorted(path.name for path in disk.iterdir()) == ["000000000001", "lock"]
        restored = Snapshots(disk, MODEL, SOON).restore(empty, Position("e", 50))
        assert restored is not None
        assert restored[1] == Position("e", 50)
        assert restored[0].count == 1000
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# In its thread


def test_the_process_holds_no_files_open_afterwards(tmp_path: Path) -> None:
    snapshots, index = Snapshots(tmp_path, MODEL, SOON), filled()
    before = opened_in(tmp_path)
    for i in range(5):
        assert snapshots.write(index, Position("e", 50 + i))
    assert opened_in(tmp_path) == before
