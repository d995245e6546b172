"""Hand-overs as NumPy archives: ids, vectors, and maybe interactions, user_ids, user_vectors.

Neighbours of streamers are two more arrays, `neighbour_rows` and `neighbour_weights`: places in
`ids`, with -1 for none, as libraries of recommenders and of nearest neighbours give them.
Attributes of users are arrays as well, `user_attributes.NAME`, in which an empty text and NaN stand
for none.

Nothing of the archive is believed: names, sizes and types are checked before anything is unpacked,
parts are unpacked a block at a time, and pickled arrays are never loaded.
"""

import ast
import struct
import zipfile
import zlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.streamer_neighbours import MOST_NEIGHBOURS
from service.errors import InvalidRequest
from service.features.spaces.readers.rows import MOST_STREAMER_ID_CHARS, HandOver, Rows
from service.index.filters import Scalar
from service.maxima import MOST_USER_ID_CHARS

_NEIGHBOURS = "neighbour_rows", "neighbour_weights"
_ARRAYS = ("ids", "vectors", "interactions", *_NEIGHBOURS, "user_ids", "user_vectors")
_TYPES = {"vectors": "np.float32", "weights": "np.float32", "rows": "np.int32"}
"""Of arrays, by how their names end."""
_ATTRIBUTE = "user_attributes."
_KNOWN = (
    f"the archive has the arrays {', '.join(_ARRAYS[:2])} and maybe {', '.join(_ARRAYS[2:])}, "
    f"{_ATTRIBUTE}NAME"
)
_MOST_TEXT_CHARS = 500
_MOST_CODE = 0x10FFFF
_SURROGATES = 0xD800, 0xDFFF
_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_PACKED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
"""Others raise other errors of what is damaged, and may ask for gigabytes to unpack a byte."""
_MOST_DIRECTORY_BYTES = 16 << 10
_MOST_HEADER_BYTES = 4 << 10
_MOST_SIZE = 1 << 63
"""A header may tell of any; these can be counted, and told in an error."""
_MOST_UNPACKED = 250
"""A part may unpack to so many times its size; ids in UTF-32 reach 100, bombs 1000."""
_ROWS = 1024


def read_npz(path: Path, into: HandOver) -> Generator[None, None, None]:
    """Read an archive, in steps.

    Raises:
        InvalidRequest: it is none, has other parts, or rows that are not usable.
        SpoolFull: there is no room for the vectors.
    """
    try:
        with path.open("rb") as file:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                arrays = _open(archive)
                yield from _read(arrays, "", into.streamers)
                if any(name.startswith("user_") for name in arrays):
                    yield from _read(arrays, "user_", into.users)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,  # a way of packing
        RuntimeError,  # encrypted
        struct.error,
        UnicodeDecodeError,
    ) as error:
        raise InvalidRequest(
            f"the archive can't be read ({error}): it is damaged or was cut off; write it by "
            "numpy.savez and send it whole"
        ) from error


def _check_directory(file: BinaryIO) -> None:
    """Refuse an archive whose list of parts is long, before it is read into memory.

    Raises:
        InvalidRequest: it is, or there is none.
    """
    size = file.seek(0, 2)
    cut_off = InvalidRequest(
        "this is no archive of numpy.savez, or it was cut off: send the whole file"
    )
    if size < _END.size:
        raise cut_off
    file.seek(size - _END.size)
    signature, *_, directory_bytes, place, comment = _END.unpack(file.read(_END.size))
    if signature != b"PK\5\6" or comment:
        raise cut_off
    if 0xFFFFFFFF in (directory_bytes, place):
        file.seek(max(0, size - _END.size - _END64_PLACE.size))
        _, _, place, _ = _END64_PLACE.unpack(file.read(_END64_PLACE.size))
        if place > size - _END64.size:
            raise cut_off
        file.seek(place)
        directory_bytes = _END64.unpack(file.read(_END64.size))[8]
    if directory_bytes > _MOST_DIRECTORY_BYTES:
        raise InvalidRequest(f"the archive lists too many parts: {_KNOWN}")
    file.seek(0)


class _Array:
    """An array of the archive, read from its first row to its last."""

    def __init__(self, name: str, stream: IO[bytes], packed: zipfile.ZipInfo) -> None:
        self.name = name
        self._stream = stream
        dtype, self.shape, header_bytes = _header(name, stream)
        self.dtype = dtype
        size = header_bytes + dtype.itemsize * int(np.prod(self.shape, dtype=object))
        if packed.file_size != size:
            raise InvalidRequest(f"{name}: has {packed.file_size} bytes, its header tells {size}")
        if packed.file_size > _MOST_UNPACKED * max(packed.compress_size, 1 << 16):
            raise InvalidRequest(
                f"{name}: unpacks to {packed.file_size} bytes from {packed.compress_size}; real "
                "vectors do not: send it by numpy.savez, which does not pack"
            )

    def rows(self, count: int) -> NDArray[Any]:
        """The next rows."""
        of_row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=object))
        parts: list[bytes] = []
        missing = of_row * count
        while missing:
            part = self._stream.read(missing)
            if not part:
                raise EOFError(f"{self.name} ends early")
            parts.append(part)
            missing -= len(part)
        found = np.frombuffer(b"".join(parts), self.dtype)
        return found.reshape(count, *self.shape[1:])


def _open(archive: zipfile.ZipFile) -> dict[str, _Array]:
    found: dict[str, _Array] = {}
    for packed in archive.infolist():
        name = packed.filename.removesuffix(".npy")
        is_known = name in _ARRAYS or name.startswith(_ATTRIBUTE)
        if not is_known or name in found:
            again = "is there twice" if name in found else "is not known"
            raise InvalidRequest(f"{packed.filename[:100]!r} {again}: {_KNOWN}")
        if not 0 <= packed.header_offset < _MOST_SIZE:
            raise zipfile.BadZipFile(f"{name} begins outside of the file")
        if packed.compress_type not in _PACKED:
            raise InvalidRequest(
                f"{name}: is packed in a way that NumPy does not use; write it by numpy.savez or "
                "numpy.savez_compressed"
            )
        found[name] = _Array(name, archive.open(packed), packed)
    return found


def _header(name: str, stream: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Type, shape and size of the header of an array (numpy.lib.format).

    Raises:
        InvalidRequest: it can't be read here.
    """
    magic = stream.read(8)
    wide = magic[6:8] == b"\2\0"
    if magic[:6] != b"\x93NUMPY" or not (wide or magic[6:8] == b"\1\0"):
        raise InvalidRequest(f"{name}: is no array of numpy's format 1.0 or 2.0")
    length_bytes = stream.read(4 if wide else 2)
    length = int.from_bytes(length_bytes, "little")
    if length > _MOST_HEADER_BYTES:
        raise InvalidRequest(f"{name}: its header has {length} bytes")
    try:
        told = ast.literal_eval(stream.read(length).decode("latin-1"))
        descr, shape, is_fortran = told["descr"], told["shape"], told["fortran_order"]
        if not isinstance(descr, str):
            raise ValueError("its rows are records")
        dtype = np.dtype(descr)
        sizes = tuple(shape)
        if not all(type(size) is int and 0 <= size < _MOST_SIZE for size in sizes):
            raise ValueError("its shape is no tuple of sizes")
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise InvalidRequest(f"{name}: its header can't be read: {error}") from error
    if dtype.hasobject:
        raise InvalidRequest(
            f"{name}: is pickled, which is never loaded: write it with a type of its own, "
            f"{name}.astype({_TYPES.get(name.rpartition('_')[2], 'str')})"
        )
    if is_fortran and len(sizes) > 1:
        raise InvalidRequest(f"{name}: lies by columns; write np.ascontiguousarray({name})")
    if not 1 <= len(sizes) <= 2:
        raise InvalidRequest(f"{name}: has the shape {sizes}")
    return dtype, sizes, 8 + len(length_bytes) + length


def _read(arrays: dict[str, _Array], prefix: str, rows: Rows) -> Generator[None, None, None]:
    """Read ids and vectors of streamers (no prefix) or users side by side."""
    ids, vectors = _one(arrays, f"{prefix}ids"), _one(arrays, f"{prefix}vectors")
    counts = None if prefix else arrays.get("interactions")
    if ids.dtype.kind not in "US" or not ids.dtype.itemsize:
        raise InvalidRequest(
            f"{ids.name}: is of type {ids.dtype}; ids are text: write {ids.name}.astype(str)"
        )
    if ids.dtype.itemsize > 4 * MOST_USER_ID_CHARS:
        most = MOST_USER_ID_CHARS if prefix else MOST_STREAMER_ID_CHARS
        raise InvalidRequest(
            f"{ids.name}: the type {ids.dtype} is of longer ids than the {most} characters that "
            "one may have: leave longer ones out, and write the array anew"
        )
    if vectors.dtype.kind != "f" or vectors.dtype.itemsize > 8:
        raise InvalidRequest(f"{vectors.name}: is of type {vectors.dtype}; write float32")
    if len(ids.shape) != 1 or len(vectors.shape) != 2 or ids.shape[0] != vectors.shape[0]:
        raise InvalidRequest(
            f"{ids.name} of shape {ids.shape} and {vectors.name} of shape {vectors.shape} do not "
            "belong together: they are (n,) and (n, d)"
        )
    if counts is not None and (counts.shape != ids.shape or counts.dtype.kind not in "iuf"):
        raise InvalidRequest(
            f"interactions: are of shape {counts.shape} and type {counts.dtype}; they are one "
            "number for each of ids"
        )
    told = _attributes(arrays, ids) if prefix else {}
    near = None if prefix else _neighbours(arrays, ids)
    rows.check_count(ids.shape[0])
    rows.check_width(vectors.shape[1], lambda _: vectors.name)
    for start in range(0, ids.shape[0], _ROWS):
        count = min(_ROWS, ids.shape[0] - start)
        texts = _texts(ids, start, count)
        given: Sequence[float] | None = None
        if counts is not None:
            given = counts.rows(count).astype(np.float64).tolist()

        def where(row: int, start: int = start) -> str:
            return f"{vectors.name}[{start + row}]"

        rows.append(texts, vectors.rows(count), given, where, _facts(told, start, count))
        if near is not None:
            places, weights = (array.rows(count) for array in near)
            rows.neighbours.put_rows(start, places, weights, ids.shape[0])
        yield


def _facts(told: dict[str, _Array], start: int, count: int) -> list[dict[str, Scalar]]:
    """Attributes of the next users."""
    facts: list[dict[str, Scalar]] = [{} for _ in range(count)]
    for name, values in told.items():
        given: list[Scalar] = (
            [*_texts(values, start, count)]
            if values.dtype.kind in "US"
            else values.rows(count).tolist()
        )
        for row, (fact, value) in enumerate(zip(facts, given, strict=True), start):
            if isinstance(value, str) and len(value) > _MOST_TEXT_CHARS:
                raise InvalidRequest(
                    f"{values.name}[{row}]: the text has {len(value)} characters; 1 to "
                    f"{_MOST_TEXT_CHARS} may be: shorten it"
                )
            if value != "" and value == value:  # not NaN
                fact[name] = value
    return facts


def _neighbours(arrays: dict[str, _Array], ids: _Array) -> tuple[_Array, _Array] | None:
    """Places and weights of neighbours (n, m); None where there are none."""
    there = [name for name in _NEIGHBOURS if name in arrays]
    if not there:
        return None
    if len(there) == 1:
        raise InvalidRequest(f"{there[0]}: is without the other one of {' and '.join(_NEIGHBOURS)}")
    places, weights = (arrays[name] for name in _NEIGHBOURS)
    if len(places.shape) != 2 or places.shape[0] != ids.shape[0] or places.shape != weights.shape:
        raise InvalidRequest(
            f"{places.name} of shape {places.shape} and {weights.name} of shape {weights.shape} do "
            f"not belong together: they are (n, m), with n of ids, {ids.shape[0]}"
        )
    if places.dtype.kind not in "iu":
        raise InvalidRequest(
            f"{places.name}: is of type {places.dtype}; it has rows of ids, and -1 for none: write "
            "int32"
        )
    if weights.dtype.kind not in "iuf" or weights.dtype.itemsize > 8:
        raise InvalidRequest(f"{weights.name}: is of type {weights.dtype}; write float32")
    if places.shape[1] > MOST_NEIGHBOURS:
        raise InvalidRequest(
            f"{places.name}: has {places.shape[1]} neighbours of each; {MOST_NEIGHBOURS} may be: "
            "send those that weigh most"
        )
    return places, weights


def _attributes(arrays: dict[str, _Array], ids: _Array) -> dict[str, _Array]:
    found: dict[str, _Array] = {}
    for name, values in arrays.items():
        if not name.startswith(_ATTRIBUTE):
            continue
        if values.shape != ids.shape or values.dtype.kind not in "USbiuf":
            raise InvalidRequest(
                f"{name}: is of shape {values.shape} and type {values.dtype}; it is one text, "
                "number or truth for each of user_ids"
            )
        if values.dtype.kind == "f" and values.dtype.itemsize > 8:
            raise InvalidRequest(f"{name}: is of type {values.dtype}; write float64")
        if values.dtype.kind in "US" and not 0 < values.dtype.itemsize <= 4 * _MOST_TEXT_CHARS:
            raise InvalidRequest(f"{name}: a text may have 1 to 500 characters")
        found[name.removeprefix(_ATTRIBUTE)] = values
    return found


def _one(arrays: dict[str, _Array], name: str) -> _Array:
    if name not in arrays:
        raise InvalidRequest(f"{name}: is missing; {_KNOWN}")
    return arrays[name]


def _texts(array: _Array, start: int, count: int) -> list[str]:
    """The next texts of an array, whose first is in row `start`.

    Raises:
        InvalidRequest: one is no text; names its row.
    """
    rows = array.rows(count)
    if rows.dtype.kind == "S":
        texts: list[str] = []
        for row, value in enumerate(rows.tolist(), start):
            try:
                texts.append(value.decode())
            except UnicodeDecodeError as error:
                raise InvalidRequest(
                    f"{array.name}[{row}]: the text is not in UTF-8 ({error.reason}): write "
                    f"{array.name} as str"
                ) from error
        return texts
    codes = rows.view(np.dtype("u4").newbyteorder(rows.dtype.byteorder)).reshape(count, -1)
    least, most = _SURROGATES
    wrong = (codes > _MOST_CODE) | ((codes >= least) & (codes <= most))
    if wrong.any():
        row, place = (int(found[0]) for found in np.nonzero(wrong))
        raise InvalidRequest(
            f"{array.name}[{start + row}]: the text has the code {int(codes[row, place]):#x}, "
            "which is no character: leave it out, or write the array anew"
        )
    return rows.tolist()
