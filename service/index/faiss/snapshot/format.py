"""All rows as they were at one moment, and how they are written to a folder and read again."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.files.checksummed import Broken, Sealed, sealing
from service.index.faiss.ann.device import OnCpu
from service.index.faiss.ann.pruning import Reach
from service.index.faiss.ann.segment import Base
from service.index.faiss.rows.attributes import Attributes
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.snapshot.blobs import Packer, Unpacker

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

_Scalar = TypeVar("_Scalar", bound=np.generic)
_FORMAT = 2
_BLOCK_ROWS = 8192
_FAISS_BLOCK = 1 << 20
_ROOM = 1.05
"""So many times as many rows have room after loading: the next write copies nothing."""


@dataclass(frozen=True, eq=False)
class Image:
    """Columns by slot; slots that nobody has may hold anything.

    Attributes:
        embeddings: float32 (S or more, D).
        versions: int64 (S or more,).
        modalities: int8 (S or more,).
        ids: of the S slots, empty of those that nobody has.
        taken: slots that somebody has ...
        live: ... and that have a vector.
        covered: slots of the base that are still what they were.
        base: what searches go by, None without one.
        attributes: of the live slots and perhaps others; together one.
        cold: the file of sketches and facets in blocks, by a mask (S,) of wanted slots.
        kept: what is not in that file, by slot.
    """

    embeddings: NDArray[np.float32]
    versions: NDArray[np.int64]
    modalities: NDArray[np.int8]
    ids: Sequence[str]
    taken: BitMap
    live: BitMap
    covered: BitMap
    base: Base | None
    attributes: Sequence[Attributes]
    cold: Callable[[NDArray[np.bool_]], Iterable[bytes]]
    kept: Mapping[int, bytes]


def write(
    path: Path, image: Image, about: Mapping[str, Any], is_stopped: Callable[[], bool]
) -> None:
    """Write an image to a new folder.

    Vectors and facets of slots that nobody has any more are not in it.

    Raises:
        OSError: it could not be written; nothing is there then.
        Stopped: it was told to stop; likewise.
    """
    slots, base, covered = len(image.ids), image.base, image.covered
    if base is None or not isinstance(base.placed, OnCpu):  # FAISS can't write it from where it is
        base, covered = None, BitMap()
    taken, live = _mask(image.taken, slots), _mask(image.live, slots)
    known = None
    if base is not None:
        known = {
            "factory": base.factory,
            "recall": base.recall,
            "effort": base.effort,
            "reach": base.reach,
            "reach_of_few": base.reach_of_few,
        }
    said = {**about, "format": _FORMAT, "slots": slots, "base": known}
    with sealing(path, said, is_stopped) as folder:
        with folder.file("embeddings") as file:
            for start in range(0, slots, _BLOCK_ROWS):
                part = slice(start, min(start + _BLOCK_ROWS, slots))
                block = image.embeddings[part].copy()
                block[~live[part]] = 0
                file.write(block.data)
        folder.write("versions", image.versions[:slots].tobytes())
        folder.write("modalities", image.modalities[:slots].tobytes())
        with folder.file("ids") as file:
            for start in range(0, slots, _BLOCK_ROWS):
                part = image.ids[start : start + _BLOCK_ROWS]
                file.write("".join(name + "\n" for name in part).encode())
        with folder.file("cold") as file:
            for block in image.cold(taken):
                file.write(block)
        for name, bitmap in (("taken", image.taken), ("live", image.live), ("covered", covered)):
            folder.write(name, bitmap.serialize())
        pack = Packer()
        rest = {
            "columns": [c for part in image.attributes for c in part.dump(live, image.live, pack)],
            "kept": {s: pack.add(record) for s, record in image.kept.items() if taken[s]},
        }
        folder.write("rest", json.dumps(rest).encode())
        folder.write("parts", memoryview(pack.data))
        if base is not None and isinstance(base.placed, OnCpu):
            folder.write("base-slots", base.slots.tobytes())
            with folder.file("base") as file:
                # To a function: by itself FAISS does not tell of a disk that is full at the end.
                to = faiss.PyCallbackIOWriter(file.write, _FAISS_BLOCK)
                faiss.write_index(base.placed.index, to)


def read(sealed: Sealed, dim: int, stride: int) -> Image:
    """The image in a folder; its `cold` is checked once all blocks of it were taken.

    Args:
        sealed: the folder.
        dim: of the embeddings.
        stride: bytes of a slot in `cold`.

    Raises:
        Broken: it is not as it was written, or of another form or width.
    """
    try:
        return _read(sealed, dim, stride)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise Broken(f"{sealed.path} does not fit together: {error!r}") from error


def _read(sealed: Sealed, dim: int, stride: int) -> Image:
    about = sealed.about
    if about["format"] != _FORMAT:
        raise Broken(f"{sealed.path} is of format {about['format']}, this release reads {_FORMAT}")
    slots = int(about["slots"])
    if sealed.size("cold") != slots * stride:
        raise Broken(f"{sealed.path / 'cold'} is not of {slots} slots of {stride} bytes")
    ids = sealed.read("ids").decode().split("\n")[:-1]
    taken, live, covered = (_bitmap(sealed, name, slots) for name in ("taken", "live", "covered"))
    if len(ids) != slots or not covered <= live <= taken:
        raise Broken(f"{sealed.path} has {len(ids)} ids of {slots}, or vectors of nobody")
    rest, parts = json.loads(sealed.read("rest")), Unpacker(sealed.read("parts"))
    attributes = Attributes()
    for column in rest["columns"]:
        attributes.load(column, parts, slots)
    return Image(
        embeddings=_array(sealed, "embeddings", np.float32, slots, dim),
        versions=_array(sealed, "versions", np.int64, slots),
        modalities=_array(sealed, "modalities", np.int8, slots),
        ids=ids,
        taken=taken,
        live=live,
        covered=covered,
        base=None if about["base"] is None else _read_base(sealed, about["base"], dim, slots),
        attributes=[attributes],
        cold=lambda _: sealed.blocks("cold"),
        kept={int(slot): bytes(parts.get(place)) for slot, place in rest["kept"].items()},
    )


def _mask(slots: BitMap, count: int) -> NDArray[np.bool_]:
    mask = np.zeros(count, np.bool_)
    mask[slots_of(slots)] = True
    return mask


def _bitmap(sealed: Sealed, name: str, slots: int) -> BitMap:
    found = BitMap.deserialize(sealed.read(name))
    if found and found.max() >= slots:
        raise Broken(f"{sealed.path / name} has slot {found.max()} of {slots}")
    return found


def _array(sealed: Sealed, name: str, kind: type[_Scalar], slots: int, *rest: int) -> Any:
    """An array (room for more than `slots`, ...), which is read into its place."""
    wanted = slots * int(np.prod(rest, dtype=np.int64)) * np.dtype(kind).itemsize
    if sealed.size(name) != wanted:  # before room is made for it
        raise Broken(f"{sealed.path / name} has {sealed.size(name)} bytes, not {wanted}")
    room = -(-max(int(slots * _ROOM), 1024) // 8) * 8
    array: NDArray[Any] = np.zeros((room, *rest), kind)
    sealed.read_into(name, array[:slots].data if slots else memoryview(b""))
    return array


def _read_base(sealed: Sealed, about: Mapping[str, Any], dim: int, slots: int) -> Base:
    places = np.frombuffer(sealed.read("base-slots"), np.int64)
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < slots:
        raise Broken(f"{sealed.path / 'base-slots'} has slots beyond {slots}")
    try:  # FAISS believes every length in a file: it may read it once the file is known to be right
        index = faiss.read_index(str(sealed.checked("base")))
        if index.d != dim or index.ntotal != len(places):
            raise Broken(f"{sealed.path / 'base'} is of {index.ntotal} rows of {index.d}")
        placed = OnCpu(index)
        name, _, value = str(about["effort"]).partition("=")
        if name:
            placed.set_effort(name, int(value))
    except RuntimeError as error:
        raise Broken(f"{sealed.path / 'base'} can't be read: {error}") from error
    return Base(
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
    cells, margin = said
    return Reach(int(cells), float(margin))
