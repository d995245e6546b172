"""Arrays outside memory: pages of a file that has no name."""

import mmap
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Keep = Callable[[NDArray[Any]], NDArray[Any]]
"""Puts an array elsewhere; what it returns is equal, and is not to be changed."""


class ArrayFile:
    """A file that arrays are written to, each once.

    Nobody else can read or change it, and it goes with the last of its arrays, or with the process.
    """

    def __init__(self, folder: Path) -> None:
        """A new file on the disk of a folder.

        Raises:
            OSError: the folder can't be written to.
        """
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `__exit__`
        self._end = 0

    def keep(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array as pages of the file, which the system reads when they are used.

        Raises:
            OSError: there is no room.
        """
        if not array.nbytes:
            return array
        begin = -(-self._end // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        self._file.seek(begin)
        self._file.write(np.ascontiguousarray(array).data)
        self._file.flush()
        self._end = begin + array.nbytes
        pages = mmap.mmap(self._file.fileno(), array.nbytes, access=mmap.ACCESS_READ, offset=begin)
        return np.frombuffer(pages, array.dtype).reshape(array.shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()  # its pages stay
