"""Sides of stored streamers are made once, made anew after a write, and bounded in memory."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import Side
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.work.lanes import Lanes
from service.settings import Work
from service.store.base import Record, StreamerStore

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


def test_the_ones_used_last_are_kept(bundle: Path) -> None:
    store = Store()
    for i in range(10):
        store.write(f"s{i}", i, f"number {i} sings old songs until two in the morning")
    every = {f"s{i}": i for i in range(10)}
    _, size = asked(store, bundle, every, {"s9": 9, "s0": 0}, max_bytes=5000)
    assert size <= 5000
    assert store.read == [*every, "s0"]
