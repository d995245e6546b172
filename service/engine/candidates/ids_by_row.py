"""Ids by row in little more than their length: one text, and where each begins in it.

A list of strings takes some 50 bytes more for each.
"""

from array import array

_SIZE_BYTES = 2
"""Before each id: how many bytes it has."""
_NOBODY = 0
"""Place of no id: the text begins with a byte that belongs to none."""
_FEWEST_BYTES = 1 << 16


class IdsByRow:
    """Ids by row, from 0. One thread changes them, any may look one up."""

    def __init__(self) -> None:
        """None yet."""
        self._columns = bytearray(1), array("Q")  # replaced together
        self._void_bytes = 0

    def __len__(self) -> int:
        """How many rows there are, those that were removed too."""
        return len(self._columns[1])

    def get(self, row: int) -> str | None:
        """The id of a row; None of one that was removed."""
        text, starts = self._columns
        start = starts[row]
        if start == _NOBODY:
            return None
        written = _written(text, start)[_SIZE_BYTES:]
        # The bytes are those of the id as long as the row has it: they are overwritten after that.
        return written.decode() if starts[row] == start else None

    def append(self, streamer_id: str) -> int:
        """A new row, with this id."""
        text, starts = self._columns
        starts.append(_write(text, streamer_id))
        return len(starts) - 1

    def put(self, row: int, streamer_id: str) -> None:
        """Give an id to a row that was removed."""
        text, starts = self._columns
        starts[row] = _write(text, streamer_id)

    def remove(self, row: int) -> None:
        """A row has no id any more, nor memory its letters."""
        text, starts = self._columns
        start = starts[row]
        size = len(_written(text, start))
        starts[row] = _NOBODY
        text[start + _SIZE_BYTES : start + size] = bytes(size - _SIZE_BYTES)
        self._void_bytes += size
        if self._void_bytes > max(len(text) // 2, _FEWEST_BYTES):
            packed, at = bytearray(1), array("Q")
            for start in starts:
                at.append(_NOBODY if start == _NOBODY else len(packed))
                packed += _written(text, start) if start != _NOBODY else b""
            self._columns, self._void_bytes = (packed, at), 0


def _write(text: bytearray, streamer_id: str) -> int:
    """Append an id; where it begins."""
    start, encoded = len(text), streamer_id.encode()
    text += len(encoded).to_bytes(_SIZE_BYTES, "little") + encoded
    return start


def _written(text: bytearray, start: int) -> bytearray:
    """What was appended there."""
    size = int.from_bytes(text[start : start + _SIZE_BYTES], "little")
    return text[start : start + _SIZE_BYTES + size]
