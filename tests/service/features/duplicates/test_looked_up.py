"""What the answer to a write found holds for its group only as far as nothing changed since."""

import numpy as np

from service.engine.candidates.corpus import Corpus, Entry
from service.engine.candidates.look_ups import LookUp, LookUps
from service.features.duplicates.groups.edges import Edge
from service.features.duplicates.looked_up import LookedUp
from service.store.base import Record

NOTHING = np.zeros(0, np.uint32)
WIDTH = 64


def entry(version: int) -> Entry:
    return Entry(None, None, NOTHING, NOTHING, version)


def record(name: str, version: int) -> Record:
    return Record(
        streamer_id=name,
        version=version,
        embedding=b"",
        content=b"",
        facets=b"{}",
        model_version="model-1",
        profile=b"{}",
        digest="",
        status="indexed",
        modalities=b"{}",
        id_embedding=b"",
        updated_at=0.0,
    )


def test_what_changed_since_is_a_candidate_and_compared_again() -> None:
    corpus, look_ups = Corpus(WIDTH, WIDTH), LookUps(lambda: 0.0)
    for name in ("b", "c", "d"):
        corpus.put(name, entry(1))
    changes = corpus.ranked("a", entry(5)).changes
    found = LookUp(
        entry(5),
        frozenset("bcd"),
        changes,
        {"b": 1, "c": 1, "e": 1},
        {"b": (12.5, "same_contact")},
    )
    look_ups.expect(["a"])
    look_ups.end("a", found)
    looked = LookedUp(corpus)
    looked.take([record("a", 5), record("b", 1)], look_ups)
    assert looked.entry("a") is found.entry
    corpus.put("a", found.entry)
    assert looked.candidates("a") == {"b", "c", "d"}
    expected = {("a", "b"): Edge("a", "b", 12.5, "same_contact"), ("a", "c"): None}
    assert looked.compared("a") == expected  # e is not there
    corpus.put("c", entry(6))
    corpus.put("f", entry(7))
    corpus.remove("d")
    assert looked.candidates("a") == {"b", "c", "d", "f"}  # of those gone nothing is compared
    assert looked.compared("a") == {("a", "b"): Edge("a", "b", 12.5, "same_contact")}
    for version in range(8, 100):
        corpus.put("f", entry(version))
    assert looked.candidates("a") is None
    assert looked.entry("b") is None
    assert looked.candidates("b") is None
    assert looked.compared("b") == {}


def test_another_version_was_not_looked_up() -> None:
    corpus, look_ups = Corpus(WIDTH, WIDTH), LookUps(lambda: 0.0)
    look_ups.expect(["a"])
    look_ups.end("a", LookUp(entry(5), frozenset(), 0, {}, {}))
    looked = LookedUp(corpus)
    looked.take([record("a", 6)], look_ups)
    assert looked.entry("a") is None
    assert looked.candidates("a") is None
