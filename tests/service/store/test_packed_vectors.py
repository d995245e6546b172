"""Vectors are packed where nothing is lost, and are what they were when they are read."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.encoding.onnx_encoder import EMBEDDING_BITS, SKETCH_BITS, rounded
from service.store.base import Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.packing.dictionary import MARK
from service.store.redis.packing.vectors import VECTORS, is_packed, unpacked
from tests.service.store.conftest import OpenStore
from tests.service.store.records import read_log, record, scanned
from tests.service.store.test_second_model import NEXT, set_target

WIDTHS = [1, 16, 128, 256]
FIELDS = {
    "embedding": ("<f4", EMBEDDING_BITS, 2),
    "content": ("<f2", SKETCH_BITS, 1),
    "id_embedding": ("<f4", EMBEDDING_BITS, 2),
}


def vectors(width: int, rows: int = 200) -> np.ndarray:
    found = np.random.default_rng(width).standard_normal((rows, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("field", FIELDS)
def test_what_the_encoder_makes_is_packed(field: str, width: int) -> None:
    wide, bits, size = FIELDS[field]
    for vector in rounded(vectors(width), bits).astype(wide):
        packed = VECTORS[field].pack(vector.tobytes())
        assert is_packed(packed)
        assert len(packed) == width * size + 6
        assert unpacked(packed) == vector.tobytes()


@pytest.mark.parametrize("bits", [7, 15])
def test_rounding_twice_is_rounding_once_and_changes_little(bits: int) -> None:
    plain = vectors(128)
    once = rounded(plain, bits)
    assert once.dtype == np.float32
    np.testing.assert_array_equal(rounded(once, bits), once)
    steps = np.abs(plain).max(axis=1, keepdims=True) * 2.0 ** (1 - bits)
    assert (np.abs(once - plain) <= steps / 2 + 1e-7).all()
    assert not np.signbit(once[once == 0]).any()
    assert not rounded(np.zeros((2, 3), np.float32), bits).any()


@given(st.binary(max_size=600))
def test_whatever_the_bytes_are_they_come_back(value: bytes) -> None:
    for kind in VECTORS.values():
        packed = kind.pack(value)
        assert packed == value or unpacked(packed) == value


@pytest.mark.parametrize(
    "numbers",
    [[], [0.0] * 4, [-0.0, 1.0], [np.nan, 1.0], [np.inf, 1.0], [1.0, 1e-30], [1e38, 1e-3]],
)
def test_what_would_lose_something_stays_as_it_is(numbers: list[float]) -> None:
    for field, (wide, _, _) in FIELDS.items():
        with np.errstate(over="ignore"):
            value = np.array(numbers, wide).tobytes()
        packed = VECTORS[field].pack(value)
        assert packed == value or unpacked(packed) == value
        if numbers and not numbers[0] > 0.5:
            assert packed == value


def test_a_damaged_one_is_read_as_it_is() -> None:
    packed = MARK + b"vec2" + b"\x0f" + b"\x01\x02\x03"
    assert unpacked(packed) == packed
    assert unpacked(MARK + b"vec2") == MARK + b"vec2"
    assert unpacked(None) is None


@pytest.mark.anyio
async def test_a_compacted_store_packs_vectors_that_are_written(
    embedded: EmbeddedStore, open_store: OpenStore, admin: Any
) -> None:
    """One that an earlier release compacted does not: its services may not read them."""
    store = await open_store()
    embedding = rounded(vectors(128), 15)[0].astype("<f4").tobytes()
    content = rounded(vectors(256), 7)[0].astype("<f2").tobytes()
    made = replace(record("s"), embedding=embedding, content=content)
    await store.packing.add(b"a dictionary of an earlier release")
    await store.write([Upsert(made)])
    assert await admin.hget("ss:record:s", "embedding") == embedding
    await store.packing.add_vectors()
    await set_target(store, "filling")
    await store.write([Upsert(made, second=replace(made, model_version=NEXT))])
    for name in ("embedding", "next_embedding", "content", "next_content"):
        stored = await admin.hget("ss:record:s", name)
        assert is_packed(stored), name
        assert len(stored) == 262
    for reader in (store, await open_store()):
        (found,) = await reader.get(["s"])
        assert found is not None
        assert (found.embedding, found.content) == (embedding, content)
        (entry,) = await read_log(reader, 1, 2)
        assert entry.entry is not None
        assert (entry.entry.embedding, entry.entry.content) == (embedding, content)
        assert (await scanned(reader))["s"].embedding == embedding
