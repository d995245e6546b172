"""Attributes of users by typed columns: which users a filter lets through, in little memory.

A text or a truth takes one byte of a user where an attribute has fewer than 256 different ones, two
beyond; a number takes eight. A million users with a country, a level and a flag take 10 MB.
"""

import json
import struct
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.array_file import Keep
from service.engine.spaces.chunk_codec import DamagedChunk, unpacked
from service.index.filters import Condition, Filter, Scalar, within

MOST_NAMES = 16
"""Attributes of all users of a generation."""
MOST_TEXTS = 65_535
"""Different texts and truths of one attribute: filters are for what many users share."""
MOST_TEXT_BYTES = 16 << 20
"""Of the different texts of all attributes of a generation, in UTF-8: a chunk may hold them all."""
MOST_NUMBER = 1 << 53
"""Larger whole numbers could not be told apart."""
_LEVEL = 1
_HEAD = struct.Struct("<I")
_PREFIX = "attributes."


class TooManyValues(ValueError):
    """There are more attributes, or texts, than are kept; the message names the attribute."""


class _Column:
    """Values of one attribute of users that come one after the other."""

    def __init__(self) -> None:
        self.values: dict[str | bool, int] = {}  # by code, from 1 on; 0: none
        self.codes = array("H")
        self.numbers = array("d")

    def put(self, name: str, row: int, value: Scalar) -> int:
        """Take in a value; how many bytes a text has that nobody before had."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.numbers.extend([np.nan] * (row - len(self.numbers)))
            self.numbers.append(value)
            return 0
        known = len(self.values)
        code = self.values.setdefault(value, known + 1)
        if code > MOST_TEXTS:
            raise TooManyValues(
                f"the attribute {name!r} has more than {MOST_TEXTS} different texts: filters are "
                "for what many users share, leave it out"
            )
        self.codes.extend([0] * (row - len(self.codes)))
        self.codes.append(code)
        return len(value.encode()) if code > known and isinstance(value, str) else 0

    def part(self, begin: int, end: int) -> dict[str, Any]:
        codes = np.zeros(end - begin, np.uint16)
        held = self.codes[begin:end]
        codes[: len(held)] = np.frombuffer(held, np.uint16)
        numbers = np.full(end - begin, np.nan)
        known = self.numbers[begin:end]
        numbers[: len(known)] = np.frombuffer(known, np.float64)
        return {"values": list(self.values), "codes": codes, "numbers": numbers}


class AttributesRead:
    """Attributes of users in the order in which they are handed over.

    Attributes:
        names: of all that some user has, in the order in which they came.
    """

    def __init__(self) -> None:
        """Of nobody."""
        self._columns: dict[str, _Column] = {}
        self._text_bytes = 0

    @property
    def names(self) -> list[str]:
        """Attributes that some user has, in the order in which they came."""
        return list(self._columns)

    def put(self, row: int, attributes: Mapping[str, Scalar]) -> None:
        """Attributes of one user; later rows follow.

        Raises:
            TooManyValues: there are more than are kept.
        """
        for name, value in attributes.items():
            column = self._columns.get(name)
            if column is None:
                if len(self._columns) == MOST_NAMES:
                    raise TooManyValues(
                        f"users have more than {MOST_NAMES} different attributes, {name!r} beside "
                        f"{', '.join(self._columns)}: leave out what nobody filters by"
                    )
                column = self._columns[name] = _Column()
            self._text_bytes += column.put(name, row, value)
            if self._text_bytes > MOST_TEXT_BYTES:
                raise TooManyValues(
                    f"the attribute {name!r} brings the different texts of all attributes to more "
                    f"than {MOST_TEXT_BYTES >> 20} MiB: filters are for what many users share, "
                    "leave it out or shorten its texts"
                )

    def packed(self, begin: int, end: int) -> bytes:
        """Attributes of some users as one chunk."""
        return _packed({n: column.part(begin, end) for n, column in self._columns.items()})


class UserAttributes:
    """Attributes of users in memory."""

    def __init__(self, count: int) -> None:
        """Of so many users, who have none before `put`."""
        self._count = count
        self._values: dict[str, dict[str | bool, int]] = {}
        self._codes: dict[str, NDArray[np.unsignedinteger]] = {}
        self._numbers: dict[str, NDArray[np.float64]] = {}

    def kept(self, keep: Keep) -> "UserAttributes":
        """A copy with its arrays elsewhere."""
        made = UserAttributes(self._count)
        made._values = self._values
        made._codes = {name: keep(codes) for name, codes in self._codes.items()}
        made._numbers = {name: keep(numbers) for name, numbers in self._numbers.items()}
        return made

    @property
    def names(self) -> Sequence[str]:
        """Attributes that some user has, by name."""
        return sorted({*self._codes, *self._numbers})

    def put(self, begin: int, chunk: bytes) -> int:
        """Take in the users of a chunk, from a row on; how many they are.

        Raises:
            DamagedChunk: it is not as it was written.
        """
        count = 0
        for name, part in _unpacked(chunk).items():
            count = len(part["codes"])
            rows = slice(begin, begin + count)
            if rows.stop > self._count:
                raise DamagedChunk(f"it has attributes of more users than {self._count}")
            values = self._values.setdefault(name, {})
            code_of = [0, *(values.setdefault(v, len(values) + 1) for v in part["values"])]
            if len(code_of) > 1:
                self._wide_codes(name, len(values))[rows] = np.array(code_of)[part["codes"]]
            if not np.isnan(part["numbers"]).all():
                if name not in self._numbers:
                    self._numbers[name] = np.full(self._count, np.nan)
                self._numbers[name][rows] = part["numbers"]
        return count

    def unknown(self, wanted: Filter) -> list[str]:
        """Fields of a filter that no user has a value of, each once, in the filter's order."""
        fields = dict.fromkeys(c.field for c in (*wanted.must, *wanted.must_not))
        known = set(self.names)
        return [field for field in fields if field.removeprefix(_PREFIX) not in known]

    def mask(self, wanted: Filter) -> NDArray[np.bool_]:
        """Whether a filter lets each user (m,) through."""
        allowed = np.ones(self._count, np.bool_)
        for condition in wanted.must:
            allowed &= self._holding(condition)
        for condition in wanted.must_not:
            allowed &= ~self._holding(condition)
        return allowed

    def _holding(self, condition: Condition) -> NDArray[np.bool_]:
        name = condition.field.removeprefix(_PREFIX)
        if name not in self._codes and name not in self._numbers:
            return np.zeros(self._count, np.bool_)  # who lacks a field fulfils no condition on it
        holding = np.ones(self._count, np.bool_)
        if condition.any is not None:
            holding &= self._one_of(name, condition.any)
        for value in condition.all or ():
            holding &= self._one_of(name, (value,))
        if condition.is_bounded:
            holding &= self._within(name, condition)
        return holding

    def _one_of(self, name: str, wanted: Iterable[Scalar]) -> NDArray[np.bool_]:
        found = np.zeros(self._count, np.bool_)
        known, numbers = self._values.get(name, {}), list[float]()
        is_code = np.zeros(len(known) + 1, np.bool_)
        for value in wanted:
            if isinstance(value, bool | str):
                is_code[known.get(value, 0)] = True
            elif abs(value) <= MOST_NUMBER:
                numbers.append(value)
        is_code[0] = False
        if is_code.any():
            found |= is_code[self._codes[name]]
        if numbers and name in self._numbers:
            found |= np.isin(self._numbers[name], numbers)
        return found

    def _within(self, name: str, bounds: Condition) -> NDArray[np.bool_]:
        values = self._numbers.get(name)
        if values is None:
            return np.zeros(self._count, np.bool_)
        return within(values, bounds)

    def _wide_codes(self, name: str, most: int) -> NDArray[np.unsignedinteger]:
        """Codes of an attribute, in a type that holds as many."""
        kind = np.uint8 if most < 256 else np.uint16
        codes = self._codes.get(name)
        if codes is None:
            codes = self._codes[name] = np.zeros(self._count, kind)
        elif codes.dtype.itemsize < np.dtype(kind).itemsize:
            codes = self._codes[name] = codes.astype(kind)
        return codes


def without_row(chunk: bytes, row: int) -> bytes:
    """A chunk without one of its users.

    Raises:
        DamagedChunk: it is not as it was written.
    """
    parts = _unpacked(chunk)
    for part in parts.values():
        part["codes"] = np.delete(part["codes"], row)
        part["numbers"] = np.delete(part["numbers"], row)
    return _packed(parts)


def _packed(parts: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Columns as one chunk: which values each has, then codes and numbers, where it has some."""
    head: list[dict[str, Any]] = []
    arrays: list[bytes] = []
    for name, part in parts.items():
        used, codes = np.unique(part["codes"], return_inverse=True)
        if not len(used) or used[0] != 0:  # 0 is none, whether somebody has none or not
            used, codes = np.concatenate([[0], used]), codes + 1
        has_numbers = not bool(np.isnan(part["numbers"]).all())
        values = [part["values"][code - 1] for code in used[1:].tolist()]
        about = {"name": name, "values": values, "has_numbers": has_numbers, "count": len(codes)}
        head.append(about)
        arrays.append(codes.astype("<u2").tobytes())
        if has_numbers:
            arrays.append(part["numbers"].astype("<f8").tobytes())
    text = json.dumps(head, ensure_ascii=False).encode()
    return zlib.compress(b"".join([_HEAD.pack(len(text)), text, *arrays]), _LEVEL)


def _unpacked(chunk: bytes) -> dict[str, dict[str, Any]]:
    data = unpacked(chunk)
    try:
        (size,) = _HEAD.unpack_from(data)
        head: list[dict[str, Any]] = json.loads(data[_HEAD.size : _HEAD.size + size])
        found: dict[str, dict[str, Any]] = {}
        at = _HEAD.size + size
        for about in head:
            count, values = about["count"], about["values"]
            codes = np.frombuffer(data, "<u2", count, at)
            at += codes.nbytes
            numbers = np.full(count, np.nan)
            if about["has_numbers"]:
                numbers = np.frombuffer(data, "<f8", count, at)
                at += numbers.nbytes
            if codes.size and int(codes.max()) > len(values):
                raise ValueError("a value is missing")
            found[about["name"]] = {"values": values, "codes": codes, "numbers": numbers}
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise DamagedChunk(f"its attributes can't be read: {error}") from error
    return found
