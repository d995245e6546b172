"""Row blocks of large dense matrices, which bound memory."""

from collections.abc import Iterator

_CELLS = 1 << 24
"""Most cells of a block: 64 MB of float32."""
_ROWS = 1024


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Row slices of a (rows, columns) matrix, each small enough to compute at once."""
    step = min(max(_CELLS // max(columns, 1), 1), _ROWS)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
