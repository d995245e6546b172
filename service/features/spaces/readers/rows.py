"""Rows of a hand-over: vectors in a file, ids packed in memory, each checked as it comes."""

import contextlib
import re
from array import array
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from model_export.contract.streamer import ID_PATTERN
from service.engine.spaces.packed_ids import PackedIds
from service.engine.spaces.user_attributes import MOST_NUMBER, AttributesRead, TooManyValues
from service.errors import InvalidRequest
from service.features.spaces.readers.neighbours import NeighboursRead, Where
from service.files.spool import Spool, no_room
from service.index.filters import Scalar
from service.maxima import MOST_USER_ID_CHARS

_STREAMER_ID = re.compile(ID_PATTERN)
MOST_STREAMER_ID_CHARS = 128
_MOST_NAME_CHARS = 64


class Rows:
    """The streamers, or the users, of one hand-over.

    Attributes:
        count: how many there are.
        dim: width of the vectors; 0 before the first.
        ids: of them; complete after `close`.
        interactions: (n,) of streamers, None where none were given; complete after `close`.
        attributes: of users.
        neighbours: of streamers; complete after `close`.
    """

    def __init__(
        self, path: Path, spool: Spool, what: str, most: int, most_dim: int, *, are_users: bool
    ) -> None:
        """Write vectors to a new file at `path`.

        Args:
            path: of the file.
            spool: has the room for it.
            what: they are, in the plural.
            most: how many there may be.
            most_dim: their largest width.
            are_users: their ids may have any printable characters, but not be `.` or `..`, and they
                have no interactions.
        """
        self.count = 0
        self.dim = 0
        self.ids = PackedIds.of(())
        self.interactions: NDArray[np.float32] | None = None
        self.attributes = AttributesRead()
        self.neighbours = NeighboursRead(path.with_name(f"{path.name}.neighbours"), spool)
        self._what = what
        self._most = most
        self._most_dim = most_dim
        self._are_users = are_users
        self._path = path
        self._spool = spool
        with no_room():
            self._file: BinaryIO = path.open("xb")
        self._text = bytearray()
        self._sizes = array("H")
        self._interactions = array("f")

    def append(
        self,
        ids: Sequence[str],
        vectors: NDArray[np.floating],
        interactions: Sequence[float] | None,
        where: Where,
        attributes: Sequence[Mapping[str, Scalar]] | None = None,
    ) -> None:
        """Take in a block of rows.

        Args:
            ids: of the rows.
            vectors: (b, d) in any floating type.
            interactions: (b,) of streamers, or None.
            where: names a row of the block, for an error.
            attributes: (b,) of users, or None.

        Raises:
            InvalidRequest: a row is not usable; names it.
            SpoolFull: there is no room.
        """
        if not len(ids):
            return
        self.check_width(vectors.shape[1], where)
        self.check_count(self.count + len(ids))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found below
            narrow = np.ascontiguousarray(vectors, np.float32)
            norms = np.einsum("ij,ij->i", narrow, narrow)
        self._check_vectors(narrow, norms, where)
        for row, given in enumerate(ids):
            self._check_id(given, row, where)
            encoded = given.encode()
            self._text += encoded
            self._sizes.append(len(encoded))
        self._take_interactions(interactions, where)
        for row, given in enumerate(attributes or ()):
            if given:
                self._take_attributes(row, given, where)
        self._spool.check_room(narrow.nbytes)
        with no_room():
            self._file.write(narrow.data)
        self.count += len(ids)

    def close(self) -> Generator[None, None, None]:
        """Complete it, in steps.

        Raises:
            InvalidRequest: an id came twice, or a neighbour is not among them.
            SpoolFull: there is no room.
        """
        with no_room():
            self._file.close()
        ends = np.cumsum(np.frombuffer(self._sizes, np.uint16), dtype=np.uint64)
        self.ids = PackedIds(bytes(self._text), ends)
        self._text.clear()
        if self._interactions:
            self.interactions = np.frombuffer(self._interactions, np.float32)
        repeated = self.ids.repeated()
        if repeated is not None:
            raise InvalidRequest(
                f"the id {repeated!r} comes more than once among the {self._what}: send each once"
            )
        yield
        yield from self.neighbours.close(self.ids)

    def discard(self) -> None:
        """Remove its files."""
        self.neighbours.discard()
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def vectors(self) -> NDArray[np.float32]:
        """The vectors (n, d), mapped from the file."""
        if not self.count:
            return np.zeros((0, self.dim), np.float32)
        return np.memmap(self._path, np.float32, "r", shape=(self.count, self.dim))

    def check_count(self, count: int) -> None:
        """Refuse too many rows.

        Raises:
            InvalidRequest: there are more than may be.
        """
        if count > self._most:
            setting = "MAX_USERS" if self._are_users else "MAX_STREAMERS"
            raise InvalidRequest(
                f"there are more than {self._most} {self._what}: hand over fewer, or raise "
                f"STREAMER_SPACES__{setting}"
            )

    def check_width(self, width: int, where: Where) -> None:
        """Refuse another width than that of the rows before.

        Raises:
            InvalidRequest: it is another, or none that may be.
        """
        if self.dim == 0:
            if not 0 < width <= self._most_dim:
                raise InvalidRequest(
                    f"{where(0)}: the vector has {width} numbers; 1 to {self._most_dim} may be "
                    "(STREAMER_SPACES__MAX_DIM)"
                )
            self.dim = width
        elif width != self.dim:
            raise InvalidRequest(
                f"{where(0)}: the vector has {width} numbers, those before have {self.dim}; all "
                "vectors of a generation have one width"
            )

    def _check_vectors(
        self, vectors: NDArray[np.float32], norms: NDArray[np.float32], where: Where
    ) -> None:
        wrong = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(wrong):
            row = int(wrong[0])
            if not np.isfinite(vectors[row]).all():
                what = "has a number that is not finite"
            elif not vectors[row].any():
                what = "is zero, which is like nobody"
            else:
                what = "is too long or too short for 32-bit numbers"
            raise InvalidRequest(f"{where(row)}: the vector {what}; leave the row out, or train on")

    def _check_id(self, given: str, row: int, where: Where) -> None:
        if self._are_users:
            is_text = 0 < len(given) <= MOST_USER_ID_CHARS and given.isprintable()
            if is_text and given not in (".", ".."):  # which would be removed from a URL path
                return
            allowed = f"1 to {MOST_USER_ID_CHARS} printable characters and not `.` or `..`"
        else:
            if len(given) <= MOST_STREAMER_ID_CHARS and _STREAMER_ID.fullmatch(given):
                return
            allowed = f"1 to {MOST_STREAMER_ID_CHARS} of A-Z a-z 0-9 . _ : - and not dots alone"
        raise InvalidRequest(f"{where(row)}: the id {given[:100]!r} is not {allowed}")

    def _take_attributes(self, row: int, given: Mapping[str, Scalar], where: Where) -> None:
        for name, value in given.items():
            if not 0 < len(name) <= _MOST_NAME_CHARS:
                raise InvalidRequest(
                    f"{where(row)}: the name of an attribute has {len(name)} characters; 1 to "
                    f"{_MOST_NAME_CHARS} may be"
                )
            if isinstance(value, int | float) and not -MOST_NUMBER <= value <= MOST_NUMBER:
                raise InvalidRequest(
                    f"{where(row)}: the attribute {name!r} is {value}; a number may be 2^53 at "
                    "most: send an id as text"
                )
        try:
            self.attributes.put(self.count + row, given)
        except TooManyValues as error:
            raise InvalidRequest(f"{where(row)}: {error}") from error

    def _take_interactions(self, interactions: Sequence[float] | None, where: Where) -> None:
        if self.count and (interactions is None) != (not self._interactions):
            raise InvalidRequest(
                f"{where(0)}: some {self._what} have interactions and others do not; give them for "
                "all or for none"
            )
        if interactions is None:
            return
        for row, count in enumerate(interactions):
            if not 0 <= count <= 1e30:  # NaN is not
                raise InvalidRequest(
                    f"{where(row)}: interactions are {count}; they are a number from 0"
                )
        self._interactions.extend(interactions)


class HandOver:
    """A whole hand-over, as it was read.

    Attributes:
        streamers, users: its rows.
    """

    def __init__(self, streamers: Rows, users: Rows) -> None:
        """Of rows that are being filled."""
        self.streamers = streamers
        self.users = users

    def close(self) -> Generator[None, None, None]:
        """Check the whole, in steps.

        Raises:
            InvalidRequest: there are no streamers, ids came twice, widths differ, or a neighbour is
                not among the streamers.
        """
        if not self.streamers.count:
            raise InvalidRequest(
                "there are no streamers in it"
                + (": users are of use beside streamers alone" if self.users.count else "")
                + "; hand over all streamers and users at once"
            )
        if self.users.count and self.users.dim != self.streamers.dim:
            raise InvalidRequest(
                f"vectors of users have {self.users.dim} numbers, those of streamers "
                f"{self.streamers.dim}: a space has one width"
            )
        yield from self.streamers.close()
        yield from self.users.close()
        self.users.dim = self.streamers.dim

    def discard(self) -> None:
        """Remove its files."""
        self.streamers.discard()
        self.users.discard()
