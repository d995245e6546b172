"""Saved and loaded again, an index is the same; anything else is noticed before it is used."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import faiss as untyped_faiss
import numpy as np
import pytest

from service.files.checksummed import MANIFEST, Broken, ChecksummedFolder, Stopped, creating
from service.index.faiss.ann.device import Device, OnCpu
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from service.index.faiss.snapshot import format as image
from tests.service.index.asked import drop, put, rows_of, search
from tests.service.index.faiss.owned import OwnedDevice
from tests.service.index.faiss.records import FILTERS, facets, lets_through, row, unit

faiss = cast(Any, untyped_faiss)
DIM, CONTENT_DIM = 16, 4
ESTABLISHED = [f"s{i}" for i in range(0, 900, 3)]
QUERIES = unit(np.random.default_rng(99), 6, DIM)


def flat() -> FaissIndex:
    return FaissIndex(DIM, CONTENT_DIM, ESTABLISHED)


def segmented(kind: str = "IVF16,SQfp16", device: Device | None = None, **plan: Any) -> FaissIndex:
    wanted = Plan(kind, **{"from_rows": 100, "recall": 0.8, "fresh_rows": 500, **plan})
    return FaissIndex(DIM, CONTENT_DIM, ESTABLISHED, wanted, device=device)


def fill(index: FaissIndex) -> dict[str, tuple[np.ndarray | None, dict]]:
    """Streamers with a history: changed ones, removed ones, and some without a vector."""
    vectors = unit(np.random.default_rng(0), 900, DIM)
    model: dict[str, tuple[np.ndarray | None, dict]] = {}

    def upsert(name: str, version: int, vector: np.ndarray | None, i: int) -> None:
        put(index, name, version, *row(vector, CONTENT_DIM, facets(i)))
        model[name] = vector, facets(i)

    for i, vector in enumerate(vectors):
        upsert(f"s{i}", i + 1, None if i % 11 == 0 else vector, i)
    index.rebuild(lambda: False)
    for i in range(0, 100, 2):
        upsert(f"s{i}", 1000 + i, -vectors[i], i + 1)
    for i in range(100, 150):
        drop(index, f"s{i}", 2000)
        del model[f"s{i}"]
    for i in range(20):
        upsert(f"n{i}", 3000 + i, unit(np.random.default_rng(i), DIM), i)
    return model


def same(a: FaissIndex, b: FaissIndex, model: dict) -> None:
    """Both are the model, by all that can be asked."""
    assert a.count == b.count == sum(vector is not None for vector, _ in model.values())
    assert a.state() == b.state()
    names = [*model, "s100", "nobody"]
    for found, expected in zip(rows_of(a, names), rows_of(b, names), strict=True):
        assert repr(found) == repr(expected)
    for query in QUERIES:
        every: list[dict[str, Any]] = [{}, {"established_only": True}, {"exact": True}]
        for options in every:
            found = search(a, query, 10, **options)
            assert found == search(b, query, 10, **options)
            if found.exact:
                best = sorted(
                    (
                        float(query @ vector)
                        for name, (vector, _) in model.items()
                        if vector is not None
                        if name in ESTABLISHED or not options.get("established_only")
                    ),
                    reverse=True,
                )
                np.testing.assert_allclose([h.score for h in found.hits], best[:10], atol=1e-6)
    for wanted in FILTERS:
        found = search(a, QUERIES[0], 1000, filter=wanted)
        assert {h.streamer_id for h in found.hits} == {
            name for name, (v, f) in model.items() if v is not None and lets_through(wanted, f)
        }


def saved(index: FaissIndex, path: Path) -> ChecksummedFolder:
    index.save(path, {"said": "by the caller"}, lambda: False)
    return ChecksummedFolder(path)


@dataclass(frozen=True)
class Kept:
    """An index that no test changes, what it holds, and its files."""

    index: FaissIndex
    model: dict[str, tuple[np.ndarray | None, dict]]
    path: Path


def kept_in(folder: Path, index: FaissIndex) -> Kept:
    kept = Kept(index, fill(index), folder / "s")
    saved(index, kept.path)
    return kept


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return kept_in(tmp_path_factory.mktemp("kept"), segmented())


@pytest.fixture(scope="module")
def kept_by_half(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """With a recall of one half."""
    return kept_in(tmp_path_factory.mktemp("half"), segmented(recall=0.5))


@pytest.mark.slow
@pytest.mark.parametrize("new", [flat, segmented, lambda: segmented("HNSW8")])
def test_a_round_trip(tmp_path: Path, new: Callable[[], FaissIndex]) -> None:
    index = new()
    model = fill(index)
    source = saved(index, tmp_path / "s")
    assert source.about["said"] == "by the caller"
    loaded = new()
    loaded.load(source)
    same(loaded, index, model)
    # It goes on as the other: versions count, slots are free or not, a second trip is the same.
    for each in (index, loaded):
        put(each, "s5", 3, *row(QUERIES[0], CONTENT_DIM, {}))  # an old one
        drop(each, "s6", 5000)
        put(each, "s7", 5001, *row(QUERIES[1], CONTENT_DIM, facets(3)))
        for i in range(200):
            put(each, f"m{i}", 6000 + i, *row(QUERIES[i % 6], CONTENT_DIM, facets(i)))
    del model["s6"]
    model["s7"] = QUERIES[1], facets(3)
    model |= {f"m{i}": (QUERIES[i % 6], facets(i)) for i in range(200)}
    same(loaded, index, model)
    again = new()
    again.load(saved(loaded, tmp_path / "t"))
    same(again, index, model)


def test_an_empty_one(tmp_path: Path) -> None:
    loaded = flat()
    loaded.load(saved(flat(), tmp_path / "s"))
    assert loaded.count == 0
    put(loaded, "a", 1, *row(QUERIES[0], CONTENT_DIM, {}))
    assert search(loaded, QUERIES[0], 5).hits[0].streamer_id == "a"


def test_what_was_removed_is_not_on_disk(tmp_path: Path) -> None:
    index = flat()
    secret = unit(np.random.default_rng(5), DIM)
    put(index, "gone-streamer", 1, *row(secret, CONTENT_DIM, {"name": "gone-name"}))
    long = {"name": "gone-name", "attributes": {"text": "gone-text" * 100}}
    put(index, "gone-too", 2, *row(secret, CONTENT_DIM, long))
    put(index, "here", 3, *row(QUERIES[0], CONTENT_DIM, {"name": "here"}))
    drop(index, "gone-streamer", 4)
    drop(index, "gone-too", 5)
    saved(index, tmp_path / "s")
    content = b"".join(path.read_bytes() for path in (tmp_path / "s").iterdir())
    assert b"here" in content
    assert b"gone-" not in content
    assert secret.tobytes() not in content


def test_codes_of_what_was_removed_or_changed_are_cleared(kept: Kept) -> None:
    source = ChecksummedFolder(kept.path)
    slots = np.frombuffer(source.read("base-slots"), np.int64)  # by when they were first written
    base = faiss.read_index(str(kept.path / "base"))
    cleared: set[int] = set()
    for each in range(base.nlist):
        size = base.invlists.list_size(each)
        codes = faiss.rev_swig_ptr(base.invlists.get_codes(each), size * base.code_size)
        empty = ~codes.reshape(size, -1).any(1)
        ids = faiss.rev_swig_ptr(base.invlists.get_ids(each), size)
        cleared |= set(slots[ids[empty]].tolist())
    assert cleared == {i for i in [*range(0, 100, 2), *range(100, 150)] if i % 11}
    assert len(slots) == sum(1 for i in range(900) if i % 11)


@pytest.mark.slow
def test_every_damaged_file_is_noticed(kept: Kept, tmp_path: Path) -> None:
    path = Path(shutil.copytree(kept.path, tmp_path / "s"))
    files = [*ChecksummedFolder(path).files, MANIFEST]
    assert len(files) == 14
    for name in files:
        good = (path / name).read_bytes()
        places = [0, len(good) // 3, len(good) - 1]
        damaged = [good[:-1], good[: len(good) // 2], good + b"\0", b""]
        for place in places:
            flipped = bytearray(good)
            flipped[place] ^= 1 << place % 8
            damaged.append(bytes(flipped))
        for bad in damaged:
            (path / name).write_bytes(bad)
            loaded = segmented()
            with pytest.raises(Broken):
                loaded.load(ChecksummedFolder(path))
            assert loaded.count == 0
            assert rows_of(loaded, ["s1"]) == [None]
        (path / name).unlink()
        with pytest.raises(Broken, match="No such file"):
            segmented().load(ChecksummedFolder(path))
        (path / name).write_bytes(good)
    loaded = segmented()
    loaded.load(ChecksummedFolder(path))
    same(loaded, kept.index, kept.model)


def resealed(path: Path, to: Path, changes: dict[str, bytes], **about: object) -> ChecksummedFolder:
    """The same with other files, and a manifest that vouches for them."""
    before = ChecksummedFolder(path)
    shutil.rmtree(to, ignore_errors=True)
    with creating(to, {**before.about, **about}) as folder:
        for name in before.files:
            folder.write(name, changes.get(name, before.read(name)))
    return ChecksummedFolder(to)


@pytest.mark.slow
def test_files_that_do_not_fit_together(kept: Kept, tmp_path: Path) -> None:
    """With the right checksums: of a faulty writer, or of another release."""
    path, to = kept.path, tmp_path / "t"
    before = ChecksummedFolder(path)
    rest = json.loads(before.read("rest"))
    beyond = {**rest, "columns": [{**rest["columns"][0], "slots": [0, 1 << 40]}]}
    cases = [
        (resealed, {"embeddings": before.read("embeddings")[:-4]}, {}, "bytes, not"),
        (resealed, {}, {"slots": 1 << 40}, "slots of"),
        (resealed, {}, {"slots": -1}, "slots of"),
        (resealed, {}, {"slots": "many"}, "does not fit together"),
        (resealed, {}, {"format": 1}, "format 1, this release reads 3"),
        (resealed, {"ids": before.read("ids") + b"one more\n"}, {}, "ids of"),
        (resealed, {"ids": b"\xff" + before.read("ids")[1:]}, {}, "does not fit together"),
        (resealed, {"live": before.read("taken")}, {}, None),
        (resealed, {"covered": b"nonsense"}, {}, "does not fit together"),
        (resealed, {"rest": b"{}"}, {}, "does not fit together"),
        (resealed, {"rest": json.dumps(beyond).encode()}, {}, "does not fit together"),
        (resealed, {"base": b"nonsense"}, {}, "base can't be read"),
        (resealed, {"base-slots": (1 << 40).to_bytes(8, "little") * 5}, {}, "slots beyond"),
        (resealed, {"base-slots": bytes(8)}, {}, "base is of"),
    ]
    for make, changes, about, said in cases:
        source = make(path, to, changes, **about)
        loaded = segmented()
        if said is None:
            loaded.load(source)  # whoever has no vector has one of zeros: nothing tells
        else:
            with pytest.raises(Broken, match=said):
                loaded.load(source)
            assert loaded.count == 0


@pytest.mark.parametrize(("dim", "content_dim"), [(DIM * 2, CONTENT_DIM), (DIM, CONTENT_DIM * 2)])
def test_another_width(tmp_path: Path, dim: int, content_dim: int) -> None:
    index = flat()
    fill(index)
    source = saved(index, tmp_path / "s")
    with pytest.raises(Broken):
        FaissIndex(dim, content_dim).load(source)


@pytest.mark.slow
@pytest.mark.parametrize(
    "new",
    [
        flat,
        lambda: segmented("HNSW8"),
        lambda: segmented(from_rows=10_000),
        lambda: segmented(recall=0.999),
        lambda: segmented(device=OwnedDevice()),
    ],
)
def test_a_base_that_is_not_wanted_any_more(
    kept_by_half: Kept, new: Callable[[], FaissIndex]
) -> None:
    assert kept_by_half.index.segment is not None
    loaded = new()
    loaded.load(ChecksummedFolder(kept_by_half.path))
    assert loaded.state().kind == "exact"
    query = QUERIES[0]
    best = max(float(query @ v) for v, _ in kept_by_half.model.values() if v is not None)
    assert search(loaded, query, 1).hits[0].score == pytest.approx(best, abs=1e-6)


def test_what_a_gpu_holds_is_not_saved(tmp_path: Path) -> None:
    index = segmented("Flat", OwnedDevice())
    model = fill(index)
    assert index.segment is not None
    source = saved(index, tmp_path / "s")
    assert "base" not in source.files
    for loaded in (segmented("Flat", OwnedDevice()), segmented("Flat"), flat()):
        loaded.load(source)
        assert loaded.state().kind == "exact"
        assert loaded.count == sum(vector is not None for vector, _ in model.values())


def test_the_effort_is_that_of_the_base(tmp_path: Path) -> None:
    index = segmented(recall=0.75)
    fill(index)
    loaded = segmented(recall=0.75)
    loaded.load(saved(index, tmp_path / "s"))
    assert index.segment is not None
    assert loaded.segment is not None
    assert loaded.segment.effort == index.segment.effort
    assert loaded.segment.reach == index.segment.reach is not None
    assert loaded.segment.reach_of_few == index.segment.reach_of_few is not None
    assert isinstance(index.segment.placed, OnCpu)
    assert isinstance(loaded.segment.placed, OnCpu)
    assert loaded.segment.placed.index.nprobe == index.segment.placed.index.nprobe > 1


def test_it_ends_early_when_it_is_told_to(tmp_path: Path) -> None:
    index = FaissIndex(2048, 8)
    vectors = unit(np.random.default_rng(0), 2500, 2048)
    for i, vector in enumerate(vectors):
        put(index, f"s{i}", 1, *row(vector, 8, {}))
    with pytest.raises(Stopped):
        index.save(tmp_path / "s", {}, lambda: True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_saved_beside_writes_and_replayed_it_is_the_same(tmp_path: Path) -> None:
    """Whatever changes while it is saved is in the log from the place that was noted before."""
    index = segmented()
    log: list[tuple[str, int, tuple | None]] = []
    stop = threading.Event()

    def write() -> None:
        rng = np.random.default_rng(1)
        while not stop.is_set():
            version, name = len(log) + 1, f"s{rng.integers(400)}"
            kind = rng.integers(10)
            entry = (
                None
                if kind == 0
                else row(
                    None if kind == 1 else unit(rng, DIM),
                    CONTENT_DIM,
                    facets(int(rng.integers(900))),
                )
            )
            apply(index, (name, version, entry))
            log.append((name, version, entry))
            time.sleep(0.0005)

    writer = threading.Thread(target=write)
    writer.start()
    snapshots: list[tuple[int, Path]] = []
    while len(log) < 600:
        time.sleep(0.01)
    for i in range(8):
        if i % 4 == 1:
            index.rebuild()
        place = len(log)
        index.save(tmp_path / f"{i}", {}, lambda: False)
        snapshots.append((place, tmp_path / f"{i}"))
    stop.set()
    writer.join()
    assert len({place for place, _ in snapshots}) > 4
    model: dict[str, tuple | None] = {}
    for name, _, entry in log:
        model[name] = entry
    alive = {name: entry for name, entry in model.items() if entry is not None}
    for place, path in snapshots:
        loaded = segmented()
        loaded.load(ChecksummedFolder(path))
        for entry in log[place:]:
            apply(loaded, entry)
        assert loaded.count == sum(bool(entry[0]) for entry in alive.values())
        for a, b in zip(rows_of(loaded, list(model)), rows_of(index, list(model)), strict=True):
            assert repr(a) == repr(b)
        for wanted in FILTERS:
            found = search(loaded, QUERIES[0], 1000, filter=wanted)
            assert {h.streamer_id for h in found.hits} == {
                name
                for name, (vector, _, text) in alive.items()
                if vector and lets_through(wanted, json.loads(text))
            }


def apply(index: FaissIndex, logged: tuple[str, int, tuple | None]) -> None:
    name, version, entry = logged
    if entry is None:
        drop(index, name, version)
    else:
        put(index, name, version, *entry)


def test_the_format_is_that_of_this_release(tmp_path: Path) -> None:
    assert saved(flat(), tmp_path / "s").about["format"] == image._FORMAT
