"""Near-duplicates of a write are looked for while it is stored, and told of with its version."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from model_export.contract.features import Features
from model_export.contract.streamer import StreamerProfile
from service.engine.candidates.corpus import Entry
from service.engine.candidates.look_ups import LookUp
from service.engine.encoding.onnx_encoder import Encoded
from service.engine.encoding.pipeline import EncodedProfile
from service.features.dedup.answers import Looked, NearDuplicate
from service.features.streamers.near_duplicates import WriteLooks
from service.features.streamers.outcomes import Acknowledged
from service.store.base import Record, Refused

pytestmark = pytest.mark.anyio
NOTHING = np.zeros(0, np.uint32)
FOUND = LookUp(Entry(None, None, NOTHING, NOTHING), frozenset(), 0, {}, {})
NO_TOKENS = np.zeros(0, np.int64)
UNREAD = Features(NO_TOKENS, NO_TOKENS, NO_TOKENS, (), (), {}, 0.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def encoded(name: str) -> EncodedProfile:
    vectors = Encoded(np.zeros(4, np.float32), np.zeros(4, np.float16), None)
    return EncodedProfile(StreamerProfile(streamer_id=name), UNREAD, vectors, b"")


def acknowledged(item: EncodedProfile, profile: bytes = b"{}") -> Acknowledged:
    record = Record(
        streamer_id=item.profile.streamer_id,
        version=0,
        embedding=b"",
        content=b"",
        facets=b"{}",
        model_version="model-1",
        profile=profile,
        digest="",
        status="indexed",
        modalities=b"{}",
        id_embedding=b"",
        updated_at=0.0,
    )
    return Acknowledged(record, 7, True, item.encoded, 1.0, item.profile)


@dataclass
class Near:
    """Finds one near-duplicate of everybody, and notes what happens."""

    log: list[str] = field(default_factory=list[str])
    over_at: list[tuple[str, int | None, bool]] = field(
        default_factory=list[tuple[str, int | None, bool]]
    )

    def expect(self, streamer_ids: Sequence[str]) -> None:
        self.log.append("expected " + " ".join(streamer_ids))

    async def of(
        self, streamer_id: str, encoded: Encoded, tower_vectors: bytes, profile: StreamerProfile
    ) -> Looked:
        self.log.append(f"begun {streamer_id}")
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.log.append(f"cancelled {streamer_id}")
            raise
        return Looked([NearDuplicate(f"like {streamer_id}", 1.0)], FOUND)

    def over(self, streamer_id: str, version: int | None, found: LookUp | None) -> None:
        self.over_at.append((streamer_id, version, found is not None))


@pytest.mark.parametrize(
    ("profile", "keep_bytes", "version"),
    [
        (b"{}", False, 7),
        (b'{"avatar": {"sha256": "00"}}', True, 7),
        (b'{"avatar": {"sha256": "00"}}', False, None),  # it was looked up with the picture
    ],
)
async def test_that_of_a_single_write_begins_before_it_is_stored(
    profile: bytes, keep_bytes: bool, version: int | None
) -> None:
    near = Near()
    looks = WriteLooks(near, keep_bytes=keep_bytes)

    async def store() -> list[Acknowledged]:
        await asyncio.sleep(0)
        near.log.append("stored")
        return [acknowledged(encoded("a"), profile)]

    (done,) = await looks.beside([encoded("a")], store())
    then = await looks.of(done)
    assert near.log == ["expected a", "begun a", "stored"]
    assert [each.streamer_id for each in then.near_duplicates or ()] == ["like a"]
    assert near.over_at == [("a", version, True)]


async def test_those_of_several_begin_when_all_are_stored() -> None:
    near = Near()
    looks = WriteLooks(near, keep_bytes=True)

    async def store() -> list[Acknowledged]:
        await asyncio.sleep(0)
        near.log.append("stored")
        return [acknowledged(encoded(name)) for name in "ab"]

    for done in await looks.beside([encoded("a"), encoded("b")], store()):
        await looks.of(done)
    assert near.log == ["expected a b", "stored", "begun a", "begun b"]
    assert near.over_at == [("a", 7, True), ("b", 7, True)]


async def test_nobody_looks_on_for_what_is_not_stored() -> None:
    near = Near()
    looks = WriteLooks(near, keep_bytes=True)

    async def refuse() -> list[Acknowledged | Refused]:
        while "begun a" not in near.log:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return [Refused(3)]

    assert await looks.beside([encoded("a")], refuse()) == [Refused(3)]
    await asyncio.sleep(0)
    assert near.log == ["expected a", "begun a", "cancelled a"]
