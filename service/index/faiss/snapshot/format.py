"""Index snapshot: all rows as they were at one moment, written to a folder and read again."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.files.checksummed import Broken, ChecksummedFolder, creating
from service.index.faiss.ann.device import OnCpu
from service.index.faiss.ann.pruning import Reach
from service.index.faiss.ann.segment import AnnSegment
from service.index.faiss.rows.attributes import Attributes
from service.index.faiss.rows.columns import Columns
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.snapshot.blobs import BlobReader, BlobWriter

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

_FORMAT = 3
_BLOCK_ROWS = 8192
_FAISS_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class IndexSnapshot:
    """All rows by slot; slots that are not `taken` may hold anything.

    Attributes:
        columns: S or more slots; its `bits` are not part of the snapshot.
        ids: of the S slots, empty of those that are not taken.
        taken: slots that hold a streamer's newest version ...
        live: ... and that have a vector.
        covered: slots of the segment that still hold the row it was built of.
        segment: the ANN segment, None without one.
        attributes: values of the live slots and perhaps others, in parts.
        cold: the file of sketches and facets in blocks, by a mask (S,) of wanted slots.
        kept: records that are not in that file, by slot.
    """

    columns: Columns
    ids: Sequence[str]
    taken: BitMap
    live: BitMap
    covered: BitMap
    segment: AnnSegment | None
    attributes: Sequence[Attributes]
    cold: Callable[[NDArray[np.bool_]], Iterable[bytes]]
    kept: Mapping[int, bytes]


def write(
    path: Path, snapshot: IndexSnapshot, about: Mapping[str, Any], is_stopped: Callable[[], bool]
) -> None:
    """Write a snapshot to a new folder, without vectors and facets of slots that are not taken.

    The segment is cleared of rows that it no longer covers.

    Raises:
        OSError: it could not be written; nothing is there then.
        Stopped: it was told to stop; nothing is there then.
    """
    slots, segment, covered = len(snapshot.ids), snapshot.segment, snapshot.covered
    if segment is None or not isinstance(segment.placed, OnCpu):  # FAISS writes from memory alone
        segment, covered = None, BitMap()
    taken, live = _mask(snapshot.taken, slots), _mask(snapshot.live, slots)
    known = None
    if segment is not None:
        known = {
            "factory": segment.factory,
            "recall": segment.recall,
            "effort": segment.effort,
            "reach": segment.reach,
            "reach_of_few": segment.reach_of_few,
        }
    said = {**about, "format": _FORMAT, "slots": slots, "base": known}
    with creating(path, said, is_stopped) as folder:
        with folder.file("embeddings") as file:
            for start in range(0, slots, _BLOCK_ROWS):
                part = slice(start, min(start + _BLOCK_ROWS, slots))
                block = snapshot.columns.embeddings[part].copy()
                block[~live[part]] = 0
                file.write(block.data)
        folder.write("versions", snapshot.columns.versions[:slots].tobytes())
        folder.write("modalities", snapshot.columns.modalities[:slots].tobytes())
        folder.write("coverages", snapshot.columns.coverages[:slots].tobytes())
        with folder.file("ids") as file:
            for start in range(0, slots, _BLOCK_ROWS):
                part = snapshot.ids[start : start + _BLOCK_ROWS]
                file.write("".join(name + "\n" for name in part).encode())
        with folder.file("cold") as file:
            for block in snapshot.cold(taken):
                file.write(block)
        bitmaps = {"taken": snapshot.taken, "live": snapshot.live, "covered": covered}
        for name, bitmap in bitmaps.items():
            folder.write(name, bitmap.serialize())
        blobs = BlobWriter()
        rest = {
            "columns": [
                column
                for part in snapshot.attributes
                for column in part.dump(live, snapshot.live, blobs)
            ],
            "kept": {s: blobs.add(record) for s, record in snapshot.kept.items() if taken[s]},
        }
        folder.write("rest", json.dumps(rest).encode())
        folder.write("parts", memoryview(blobs.data))
        if segment is not None and isinstance(segment.placed, OnCpu):
            folder.write("base-slots", segment.slots.tobytes())
            segment.blank(_mask(covered, slots))
            with folder.file("base") as file:
                # To a function: FAISS's own writer does not report a full disk.
                to = faiss.PyCallbackIOWriter(file.write, _FAISS_BLOCK)
                faiss.write_index(segment.placed.index, to)


def read(source: ChecksummedFolder, dim: int, stride: int) -> IndexSnapshot:
    """Read a snapshot from a folder; its `cold` is checked once all blocks of it were taken.

    Args:
        source: the folder.
        dim: of the embeddings.
        stride: bytes of a slot in `cold`.

    Raises:
        Broken: it is not as it was written, or of another format or width.
    """
    try:
        return _read(source, dim, stride)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise Broken(f"{source.path} does not fit together: {error!r}") from error


def _read(source: ChecksummedFolder, dim: int, stride: int) -> IndexSnapshot:
    about = source.about
    if about["format"] != _FORMAT:
        raise Broken(f"{source.path} is of format {about['format']}, this release reads {_FORMAT}")
    slots = int(about["slots"])
    if source.size("cold") != slots * stride:
        raise Broken(f"{source.path / 'cold'} is not of {slots} slots of {stride} bytes")
    ids = source.read("ids").decode().split("\n")[:-1]
    taken, live, covered = (_bitmap(source, name, slots) for name in ("taken", "live", "covered"))
    if len(ids) != slots or not covered <= live <= taken:
        raise Broken(f"{source.path} has {len(ids)} ids of {slots}, or vectors without a streamer")
    rest, blobs = json.loads(source.read("rest")), BlobReader(source.read("parts"))
    attributes = Attributes()
    for column in rest["columns"]:
        attributes.load(column, blobs, slots)
    return IndexSnapshot(
        columns=_columns(source, dim, slots),
        ids=ids,
        taken=taken,
        live=live,
        covered=covered,
        segment=None if about["base"] is None else _segment(source, about["base"], dim, slots),
        attributes=[attributes],
        cold=lambda _: source.blocks("cold"),
        kept={int(slot): bytes(blobs.get(place)) for slot, place in rest["kept"].items()},
    )


def _mask(slots: BitMap, count: int) -> NDArray[np.bool_]:
    mask = np.zeros(count, np.bool_)
    mask[slots_of(slots)] = True
    return mask


def _bitmap(source: ChecksummedFolder, name: str, slots: int) -> BitMap:
    found = BitMap.deserialize(source.read(name))
    if found and found.max() >= slots:
        raise Broken(f"{source.path / name} has slot {found.max()} of {slots}")
    return found


def _columns(source: ChecksummedFolder, dim: int, slots: int) -> Columns:
    """Columns with room for many more slots, each file read into its place."""
    sizes = {
        "embeddings": 4 * dim,
        "versions": 8,
        "modalities": 1,
        "coverages": 4,
    }  # bytes of a slot
    for name, size in sizes.items():  # before room is made for it
        if source.size(name) != slots * size:
            raise Broken(f"{source.path / name} has {source.size(name)} bytes, not {slots * size}")
    columns = Columns.reserved(dim, slots)
    for name in sizes:
        array: NDArray[Any] = getattr(columns, name)
        source.read_into(name, array[:slots].data if slots else memoryview(b""))
    return columns


def _segment(
    source: ChecksummedFolder, about: Mapping[str, Any], dim: int, slots: int
) -> AnnSegment:
    places = np.frombuffer(source.read("base-slots"), np.int64)
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < slots:
        raise Broken(f"{source.path / 'base-slots'} has slots beyond {slots}")
    try:  # FAISS trusts every length in a file, so the file is checked first
        index = faiss.read_index(str(source.checked("base")))
        if index.d != dim or index.ntotal != len(places):
            raise Broken(f"{source.path / 'base'} is of {index.ntotal} rows of {index.d}")
        placed = OnCpu(index)
        name, _, value = str(about["effort"]).partition("=")
        if name:
            placed.set_effort(name, int(value))
    except RuntimeError as error:
        raise Broken(f"{source.path / 'base'} can't be read: {error}") from error
    return AnnSegment(
        about["factory"],
        places,
        float(about["recall"]),
        about["effort"],
        placed,
        _reach(about["reach"]),
        _reach(about["reach_of_few"]),
    )


def _reach(said: Sequence[Any] | None) -> Reach | None:
    if said is None:
        return None
    nprobe, margin = said
    return Reach(int(nprobe), float(margin))
