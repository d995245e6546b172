"""Sides of versions that are read from files are those that were put, and files are bounded."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.contract.evidence import Side
from service.engine.evidence import spilled_sides
from service.engine.evidence.packed_sides import pack
from service.engine.evidence.spilled_sides import SpilledSides
from tests.service.engine.evidence.test_packed_sides import assert_same, sides


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("abcd"), sides), min_size=1, max_size=8))
def test_the_last_version_is_read(puts: list[tuple[str, Side]]) -> None:
    spilled, last = SpilledSides(), dict[str, tuple[int, Side]]()
    for version, (name, side) in enumerate(puts):
        spilled.put(name, version, pack(side))
        last[name] = version, side
    for name in "abcd":
        assert (name in spilled) == spilled.has(name, 0) == (name in last)
        if name not in last:
            assert spilled.get(name, 0) is None
            continue
        version, side = last[name]
        for asked in (0, version):
            found = spilled.get(name, asked)
            assert found is not None
            assert found.version == version
            assert_same(found.side, side)
        assert not spilled.has(name, version + 1)
        assert spilled.get(name, version + 1) is None


def test_what_was_put_longest_ago_makes_room() -> None:
    side = Side({"text": np.arange(100, dtype=np.uint32)})
    spilled = SpilledSides(max_bytes=20 * pack(side).nbytes)
    for i in range(100):
        spilled.put(f"s{i}", i, pack(side))
        assert spilled.has(f"s{max(0, i - 8)}", 0)
    kept = [i for i in range(100) if spilled.has(f"s{i}", i)]
    assert len(kept) <= 20
    assert kept == list(range(kept[0], 100))
    found = spilled.get("s99", 0)
    assert found is not None
    assert_same(found.side, side)


def test_a_side_that_is_longer_than_one_read_is_whole() -> None:
    spilled = SpilledSides()
    sides = [Side({"text": np.arange(count, dtype=np.uint32)}) for count in (3, 5000, 4)]
    for i, side in enumerate(sides):
        spilled.put(f"{i}" * 300, i, pack(side))
    for i, side in enumerate(sides):
        found = spilled.get(f"{i}" * 300, i)
        assert found is not None
        assert_same(found.side, side)
        assert spilled.get(f"{i}" * 300, i + 1) is None
        assert spilled.get(f"{i}" * 299, i) is None


def test_a_full_disk_ends_it_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [0.0]
    spilled = SpilledSides(tmp_path, now=lambda: clock[0])
    packed = pack(Side({"text": np.array([1], np.uint32)}))
    spilled.put("a", 1, packed)
    assert spilled.has("a", 1)

    def half(descriptor: int, data: bytes, place: int) -> int:
        return len(data) // 2

    monkeypatch.setattr(spilled_sides.os, "pwrite", half)
    spilled.put("b", 2, packed)
    monkeypatch.undo()
    spilled.put("c", 3, packed)
    assert not any(name in spilled for name in "abc")
    assert os.strerror(28) in caplog.text
    assert list(tmp_path.iterdir()) == []
    clock[0] = 600.0
    spilled.put("d", 4, packed)
    assert spilled.has("d", 4)
    assert "a" not in spilled


def test_the_last_of_a_disk_is_left_to_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = os.statvfs(tmp_path)
    spilled = SpilledSides(tmp_path, least_free_bytes=2 * disk.f_blocks * disk.f_frsize)
    spilled.put("a", 1, pack(Side({"text": np.array([1], np.uint32)})))
    assert "a" not in spilled
    assert "made anew for a while" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_made(tmp_path: Path) -> None:
    spilled = SpilledSides(tmp_path / "later" / "data")
    spilled.put("a", 1, pack(Side({"text": np.array([1], np.uint32)})))
    assert spilled.has("a", 1)
