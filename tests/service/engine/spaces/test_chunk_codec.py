"""Chunks are read as they were written, or not at all."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from service.engine.spaces.chunk_codec import (
    DamagedChunk,
    packed_floats,
    packed_ids,
    rows_per_chunk,
    unpack_floats,
    unpacked_floats,
    unpacked_ids,
)

FLOATS = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(FLOATS)
def test_floats_come_back_bit_by_bit(values: np.ndarray) -> None:
    assert unpacked_floats(packed_floats(values)).tobytes() == values.tobytes()
    whole = np.zeros((len(values) + 2, values.shape[1]), np.float32)
    unpack_floats(packed_floats(values), whole[1:-1])
    assert whole[1:-1].tobytes() == values.tobytes()
    assert not whole[[0, -1]].any()


def test_only_planes_that_compress_are_compressed_in_one_stream_of_zlib() -> None:
    values = np.random.default_rng(0).normal(size=(4096, 16)).astype(np.float32)
    planes = np.ascontiguousarray(values.view(np.uint8).reshape(-1, 4).T).tobytes()
    chunk = packed_floats(values)
    assert zlib.decompress(chunk[8:]) == planes  # as earlier releases read it
    assert len(chunk) < 0.9 * values.nbytes
    half = values.astype(np.float16).astype(np.float32)
    assert len(packed_floats(half)) < 0.6 * values.nbytes
    before = chunk[:8] + zlib.compress(planes, 1)  # as earlier releases wrote it
    assert unpacked_floats(before).tobytes() == values.tobytes()


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1)))
def test_so_do_ids(ids: list[str]) -> None:
    assert unpacked_ids(packed_ids(ids)) == ids


@pytest.mark.parametrize("damage", ["cut", "turned", "shape", "empty"])
def test_damage_is_noticed(damage: str) -> None:
    values = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    chunk, ids = bytearray(packed_floats(values)), bytearray(packed_ids(["a" * 50, "b"]))
    if damage == "cut":
        chunk, ids = chunk[:-9], ids[:-3]
    elif damage == "turned":
        chunk[len(chunk) // 2] ^= 16
        ids[-1] ^= 16
    elif damage == "shape":
        chunk[0] += 1
        ids[0] ^= 255
    else:
        chunk, ids = bytearray(), bytearray()
    with pytest.raises(DamagedChunk):
        unpack_floats(bytes(chunk), np.empty((30, 8), np.float32))
    with pytest.raises(DamagedChunk):
        unpacked_ids(bytes(ids))
    if damage != "empty":
        with pytest.raises(DamagedChunk):
            unpacked_floats(bytes(chunk))


def test_a_chunk_is_a_few_mebibytes_whatever_the_width() -> None:
    for dim in (1, 8, 64, 1024, 4096):
        assert rows_per_chunk(dim) * dim * 4 <= 2 << 20
    assert rows_per_chunk(1 << 30) == 1
