"""Makes a dictionary from samples: what many of them share, the most valuable last.

Segments are chosen as in COVER (Liao, Petri, Moffat, Wirth 2016, "Effective construction of
relative Lempel-Ziv dictionaries"): of each part of the samples the window whose 8-byte pieces are
in most of them; what is chosen counts no more. A dictionary outlives those it was made from, so
pieces that few of them show are left out.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from service.store.redis.packing.dictionary import MOST_BYTES

LEAST_SHARED = 20
"""Samples that have a piece of a dictionary, at least."""
_PIECE, _WINDOW = 8, 40
_ROUNDS = 8


def dictionary_of(
    samples: Sequence[bytes], most_bytes: int = MOST_BYTES, least: int = LEAST_SHARED
) -> bytes:
    """The content of a dictionary; empty where samples share nothing.

    Args:
        samples: values of one streamer each, some thousands.
        most_bytes: of the dictionary.
        least: samples have each 8-byte piece of it.
    """
    text = b"".join(samples)
    if len(text) < _WINDOW:
        return b""
    kinds, shared = _pieces(text, [len(sample) for sample in samples])
    weights = np.where(shared >= least, shared, 0)
    chosen: list[tuple[int, bytes]] = []
    size, parts = 0, max(1, 2 * most_bytes // _WINDOW)
    bounds = np.linspace(0, len(kinds), parts + 1).astype(int)
    for _ in range(_ROUNDS):
        before = size
        for start, end in pairwise(bounds.tolist()):
            score, at = _best(weights[kinds[start:end]])
            if score > 0 and size < most_bytes:
                begin = start + at
                window = kinds[begin : min(begin + _WINDOW - _PIECE + 1, len(kinds))]
                for piece in _runs(text, begin, weights[window] > 0):
                    chosen.append((score, piece))
                    size += len(piece)
                weights[window] = 0
        if size == before or size >= most_bytes:
            break
    return b"".join(piece for _, piece in sorted(chosen))[-most_bytes:]


def _pieces(text: bytes, lengths: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each place the kind of the 8 bytes there (n,), and of each kind how many samples have it.

    Places whose bytes are of two samples have kind 0, which none has.
    """
    owners = np.repeat(np.arange(len(lengths)), lengths)
    letters = np.frombuffer(text, np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(letters, _PIECE)
    pieces = np.ascontiguousarray(windows).view("<u8")[:, 0]
    owner = owners[: len(pieces)]
    is_whole = owner == owners[_PIECE - 1 :]
    order = np.lexsort((owner, pieces))
    order = order[is_whole[order]]
    ordered, by = pieces[order], owner[order]
    is_new = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]
    counts = is_new | np.concatenate([[True], by[1:] != by[:-1]])[: len(ordered)]
    number = np.cumsum(is_new)
    kinds = np.zeros(len(pieces), np.int64)
    kinds[order] = number
    shared = np.bincount(number, counts, int(is_new.sum()) + 1).astype(np.int64)
    return kinds, shared


def _best(weights: NDArray[np.int64]) -> tuple[int, int]:
    """The largest sum of a window of pieces, and where it begins."""
    width = min(_WINDOW - _PIECE + 1, len(weights))
    if width == 0:
        return 0, 0
    sums = np.concatenate([[0], np.cumsum(weights)])
    of_windows = sums[width:] - sums[:-width]
    at = int(of_windows.argmax())
    return int(of_windows[at]), at


def _runs(text: bytes, begin: int, is_shared: NDArray[np.bool_]) -> list[bytes]:
    """The parts of a window of which every piece is shared."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_shared, [False]]).astype(np.int8)))
    return [
        text[begin + int(first) : begin + int(end) + _PIECE - 1]
        for first, end in zip(edges[::2], edges[1::2], strict=True)
    ]
