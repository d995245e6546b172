"""Ids packed in one text are found as in a dictionary."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.spaces import packed_ids
from service.engine.spaces.packed_ids import PackedIds

IDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))


@pytest.mark.slow
@given(IDS, IDS)
def test_it_is_a_list_that_finds(ids: list[str], others: list[str]) -> None:
    packed = PackedIds.of(ids)
    assert list(packed) == ids
    assert packed[1:] == ids[1:]
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        rows.setdefault(name, []).append(row)
    for name in {*ids, *others}:
        assert packed.find(name) in rows.get(name, [None])
        assert (name in packed) == (name in rows)
    sought = [*others, *ids]
    encoded = [name.encode() for name in sought]
    ends = np.cumsum([len(each) for each in encoded], dtype=np.uint64)
    found = packed.rows_of(b"".join(encoded), ends).tolist()
    assert all(row in rows.get(name, [-1]) for name, row in zip(sought, found, strict=True))
    repeated = packed.repeated()
    if len(rows) == len(ids):
        assert repeated is None
    else:
        assert len(rows[repeated or ""]) > 1


def test_blocks_are_hashed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"观众-{i}" for i in range(1000)]
    monkeypatch.setattr(packed_ids, "_BLOCK", 7)
    packed = PackedIds.of(ids)
    assert [packed.find(name) for name in ids] == list(range(1000))
    again = packed.kept(np.copy)
    assert again[999] == ids[999]
    assert again.find("观众-998") == 998
    assert packed.find("观众-1000") is None


def test_equal_hashes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_ids, "_hash", lambda _: 7 << 32)
    hashes = np.uint64(7 << 32)
    monkeypatch.setattr(packed_ids, "_hashes", lambda _, ends: np.full(len(ends), hashes))
    packed = PackedIds.of(["a", "b", "c"])
    assert [packed.find(name) for name in "abcd"] == [0, 1, 2, None]
    assert packed.rows_of(b"cadb", np.arange(1, 5, dtype=np.uint64)).tolist() == [2, 0, -1, 1]
    assert packed.repeated() is None
    assert PackedIds.of(["a", "b", "c", "b"]).repeated() == "b"
    with pytest.raises(IndexError):
        packed[3]
