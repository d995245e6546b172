"""Sides of stored streamers are made once, made anew after a write, and bounded in memory.

Those that leave the memory are in a file, where there is one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import Side
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.work.lanes import Lanes
from service.settings import Work
from service.store.base import Record, StreamerStore
from tests.service.engine.evidence.test_packed_sides import assert_same

VECTOR = np.array([0.6, 0.8], "<f4")


class Store:
    """Records, and which of them were read."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.read: list[str] = []

    def write(self, name: str, version: int, bio: str, model: str = "m") -> None:
        profile = f'{{"streamer_id":"{name}","bio":"{bio}"}}'.encode()
        self.records[name] = Record(
            name,
            version,
            VECTOR.tobytes(),
            b"",
            b"{}",
            model,
            profile,
            "",
            "indexed",
            b"{}",
            b"",
            0,
        )

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        self.read += ids
        return [self.records.get(name) for name in ids]


def asked(store: Store, bundle: Path, *questions: Mapping[str, int | None], **options: Any) -> Any:
    """The sides of each question, id -> version, and the memory that they take in the end."""

    async def ask() -> tuple[list[list[Side | None]], int]:
        lanes = Lanes(Work())
        lanes.start()
        evidence = Evidence(Bundle(bundle))
        sides = StoredSides(cast(StreamerStore, store), evidence, lanes, "m", **options)
        try:
            found = [await sides.get(list(each), list(each.values())) for each in questions]
            return found, sides.size_bytes
        finally:
            lanes.stop()

    return asyncio.run(ask())


def test_each_version_is_read_once(bundle: Path) -> None:
    store = Store()
    store.write("a", 5, "handmade noodles every friday")
    store.write("b", 6, "old songs until two", model="another")
    (first, again, newer), size = asked(
        store, bundle, {"a": 5, "b": 6, "gone": 1}, {"a": 5, "b": 4}, {"a": 7}
    )
    a, b, gone = first
    assert gone is None
    assert again == [a, b]
    assert a.embedding.tolist() == VECTOR.tolist()
    assert b.embedding is None  # vectors of two models can't be compared
    assert store.read == ["a", "b", "gone", "a"]
    assert newer[0].of("text").tolist() == a.of("text").tolist()
    assert size > 3000


def many(store: Store) -> dict[str, int | None]:
    for i in range(10):
        store.write(f"s{i}", i, f"number {i} sings old songs until two in the morning")
    return {f"s{i}": i for i in range(10)}


def test_those_that_leave_the_memory_are_read_from_a_file(bundle: Path, tmp_path: Path) -> None:
    store = Store()
    every = many(store)
    store.write("s1", 11, "another bio about noodles")
    (first, again), size = asked(
        store,
        bundle,
        every,
        {"s9": 9, "s0": 0, "s1": 11, "s2": 12},
        max_bytes=5000,
        folder=tmp_path,
    )
    assert size <= 5000
    assert store.read == [*every, "s2"]  # s2 may have another version; of s1 the newest was read
    assert_same(again[1], first[0])
    assert_same(again[2], first[1])
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_for_files_they_are_made_anew(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    every = many(store)
    (tmp_path / "no-folder").touch()
    options = {"max_bytes": 5000, "folder": tmp_path / "no-folder"}
    (first, again), size = asked(store, bundle, every, {"s9": 9, "s0": 0}, **options)
    assert size <= 5000
    assert store.read == [*every, "s0"]
    assert_same(again[1], first[0])
    assert len([one for one in caplog.messages if "made anew" in one]) == 1


def of_two_models(
    bundle: Path, store: Store, rewritten: Record, boilerplate: frozenset[str]
) -> tuple[list[Side], list[Side]]:
    """Sides of two records and of a newer version of the second one, as two models have them.

    The first makes those of the two. Texts that are `boilerplate` are so to the second one alone.
    """
    lanes, one, other = Lanes(Work()), Evidence(Bundle(bundle)), Evidence(Bundle(bundle))
    other.uninformative |= boilerplate
    sides = StoredSides(cast(StreamerStore, store), one, lanes, "m")
    beside = StoredSides(cast(StreamerStore, store), other, lanes, "n", beside=lambda: [sides])
    records = list(store.records.values())
    made = [sides.side_of(record) for record in records]
    for record, side in zip(records, made, strict=True):
        sides.keep(record.streamer_id, record.version, side)
    return made, [beside.side_of(record) for record in [*records, rewritten]]


@pytest.mark.parametrize("is_boilerplate", [False, True])
def test_another_model_takes_over_what_it_would_read_alike(
    bundle: Path, is_boilerplate: bool
) -> None:
    store, newer = Store(), Store()
    store.write("a", 5, "handmade noodles every friday", model="n")
    store.write("b", 6, "old songs until two in the morning", model="n")
    newer.write("b", 7, "a bio that is quite another one", model="n")
    (piece,) = pieces_of(StreamerProfile.model_validate_json(store.records["b"].profile))
    boilerplate = frozenset({piece.cluster_hash} if is_boilerplate else set[str]())
    made, (a, b, after) = of_two_models(bundle, store, newer.records["b"], boilerplate)
    assert all(side.embedding is None for side in made)  # of another model's vectors
    assert a.flat is made[0].flat
    assert a.embedding is not None
    assert a.embedding.tolist() == VECTOR.tolist()
    assert (b.flat is made[1].flat) is not is_boilerplate
    assert bool(len(b.of("text"))) is not is_boilerplate
    assert after.of("text").tolist() != made[1].of("text").tolist()
