"""Large dense matrices in blocks of rows, so that memory doesn't grow with rows times columns."""

from collections.abc import Iterator

_CELLS = 1 << 24
"""Of a block: 64 MB of float32."""
_ROWS = 1024


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a (rows, columns) matrix, small enough to be computed one by one."""
    step = min(max(_CELLS // max(columns, 1), 1), _ROWS)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
