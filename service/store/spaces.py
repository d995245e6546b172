"""The store's interface for spaces: generations of ID-embeddings, and which of them are served.

A generation's vectors are written in chunks first, where they expire unless more comes; one atomic
step then keeps them and tells of the generation. What is served is one field of the space's record.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol, Self

from pydantic import TypeAdapter

from service.store.events import NewEvent
from service.store.once import Once

UPLOAD_LEASE_S = 30.0
"""A hand-over of which nothing is heard for so long is over, and others may begin."""
ERASED_KEPT_S = 600.0
"""So long replicas can read who was erased; one that was away longer reads all anew."""
ERASURES_KEPT_S = 3600.0
"""So long hand-overs that are being received can read who was erased meanwhile; while there are no
such hand-overs, no one's id is kept."""
Kind = Literal["streamer", "user"]


class ErasedRow(NamedTuple):
    """Who was erased from a generation: a streamer or a user, and its id."""

    kind: Kind
    row_id: str


@dataclass(frozen=True)
class Erasures:
    """Erasures of all spaces.

    Attributes:
        count: how many there were.
        rows: the latest, while hand-overs are received, by number; each with its space, which is
            empty where it is all of them.
    """

    count: int
    rows: Mapping[int, tuple[str, ErasedRow]]


@dataclass(frozen=True)
class GenerationRecord:
    """What the store says of a generation, beside its vectors.

    Attributes:
        generation: its name.
        chunks_id: names its chunks; drawn at random.
        created_at: seconds since 1970, like all times here.
        passed: whether it passed its checks.
        forced: whether an admin had it served all the same.
        checks: what was checked, for JSON.
        dim: width of its vectors.
        streamers, users: how many it has.
        has_interactions: whether it tells how much each vector was learned from.
        streamer_chunks, user_chunks: in how many parts they are stored.
        stored_bytes: of its chunks.
        sha256: of the hand-over as it was received.
        key_id: who handed it over.
        promoted_at: when it was promoted last; None = never.
        erased: how many streamers and users were erased from it since.
        erased_streamers: how many of these were streamers.
        user_attributes: names of the attributes that its users have.
        neighbours: how many streamers came with neighbours; None where none did, and there are no
            chunks of them.
    """

    generation: str
    chunks_id: str
    created_at: float
    passed: bool
    forced: bool
    checks: list[dict[str, Any]]
    dim: int
    streamers: int
    users: int
    has_interactions: bool
    streamer_chunks: int
    user_chunks: int
    stored_bytes: int
    sha256: str
    key_id: str
    promoted_at: float | None = None
    erased: int = 0
    erased_streamers: int = 0
    user_attributes: list[str] = field(default_factory=list[str])
    neighbours: int | None = None

    @property
    def may_serve(self) -> bool:
        """Whether it passed its checks, or was let through."""
        return self.passed or self.forced


@dataclass(frozen=True)
class SpaceRecord:
    """A space.

    Attributes:
        space: its name.
        generations: the oldest first.
        served: names of those that were promoted, in that order; the last one is served.
        preparing: what replicas shall have in memory, since it is about to be promoted.
        preparing_until: until then.
    """

    space: str
    generations: list[GenerationRecord] = field(default_factory=list[GenerationRecord])
    served: list[str] = field(default_factory=list[str])
    preparing: str | None = None
    preparing_until: float = 0.0

    @classmethod
    def of_json(cls, text: bytes) -> Self:
        """Read a stored record; fields of later releases are ignored.

        Raises:
            ValueError: it can't be read.
        """
        return _RECORD.validate_json(text)  # type: ignore[return-value]

    def to_json(self) -> bytes:
        """The record as it is stored."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @property
    def active(self) -> GenerationRecord | None:
        """What is served."""
        return self.get(self.served[-1]) if self.served else None

    @property
    def previous(self) -> GenerationRecord | None:
        """What was served before it."""
        return self.get(self.served[-2]) if len(self.served) > 1 else None

    def get(self, generation: str) -> GenerationRecord | None:
        """A generation; None if there is none of this name."""
        return next((g for g in self.generations if g.generation == generation), None)

    def with_generation(self, changed: GenerationRecord) -> Self:
        """The space with a generation in place of the one of its name."""
        return replace(
            self,
            generations=[
                changed if g.generation == changed.generation else g for g in self.generations
            ],
        )


_RECORD = TypeAdapter(SpaceRecord)


@dataclass(frozen=True)
class SpaceChange:
    """A change of a space's record, which is made if nobody else changed it meanwhile.

    Attributes:
        space: its name.
        before: as it was read; empty = there was none.
        after: as it shall be; empty = none.
        keep: `chunks_id` of chunks that stay from now on, and how many there are.
        drop: `chunks_id` of chunks that go.
        events: told in the same step.
        once: names the request, which `SpaceStore.was_done` knows from then on, for a day.
        erasures: nothing is changed if their count is another one by now; None: it may be.
    """

    space: str
    before: bytes
    after: bytes
    keep: tuple[str, int] | None = None
    drop: Sequence[str] = ()
    events: Sequence[NewEvent] = ()
    once: Once | None = None
    erasures: int | None = None


@dataclass(frozen=True)
class RowErasure:
    """Removes one streamer or user from one generation, in one step.

    Attributes:
        space, before, after: of the record, as in `SpaceChange`.
        chunks_id: of the generation.
        chunks: the parts that held the row, as they are without.
        row: who is told to replicas.
        number: how many were erased from it then.
    """

    space: str
    before: bytes
    after: bytes
    chunks_id: str
    chunks: Mapping[str, bytes]
    row: ErasedRow
    number: int


class ChunksLost(Exception):
    """The chunks of a hand-over are not all there any more: it took too long, or was replaced."""


class SpaceStore(Protocol):
    """Where spaces are kept. All methods raise StoreUnavailable when it does not answer."""

    async def mark(self) -> str:
        """Another text after each change; empty as long as there was none."""
        ...

    async def all(self) -> dict[str, bytes]:
        """Every record as it is stored, by space."""
        ...

    async def get(self, space: str) -> bytes:
        """A record as it is stored; empty if there is none."""
        ...

    async def was_done(self, once: Once) -> bool:
        """Whether an earlier request with this name changed a space.

        Raises:
            IdempotencyKeyReused: it was another request.
        """
        ...

    async def change(self, change: SpaceChange) -> bool:
        """Make a change; on disk when this returns.

        Returns:
            False if the record was changed meanwhile, or somebody was erased, or the request was
            carried out before; nothing was changed.

        Raises:
            ChunksLost: what shall be kept is not all there; nothing was changed.
            StoreFull: nothing was changed, since disk or memory is full.
        """
        ...

    async def note_erasure(self, space: str, row: ErasedRow) -> None:
        """Tell hand-overs that are being received of an erasure, before it begins.

        Args:
            space: of which; empty: of all.
            row: who is erased.
        """
        ...

    async def erasures(self) -> Erasures:
        """Which erasures there were, as of one moment."""
        ...

    async def erase(self, erasure: RowErasure) -> bool:
        """Remove a row; False if the record was changed meanwhile, and nothing was done."""
        ...

    async def clear_replaced(self, chunks_id: str) -> None:
        """Remove what an erasure that was cut short left of a generation's chunks."""
        ...

    async def erased(self, chunks_id: str) -> dict[int, ErasedRow]:
        """Who was erased from a generation lately, by number."""
        ...

    async def put_chunk(self, chunks_id: str, name: str, data: bytes) -> None:
        """Write a chunk, which expires unless another follows or it is kept.

        Raises:
            StoreFull: disk or memory is full.
        """
        ...

    async def chunks(self, chunks_id: str, names: Sequence[str]) -> list[bytes | None]:
        """Chunks as of one moment; None of those that are not there."""
        ...

    async def chunk_names(self, chunks_id: str) -> list[str]:
        """Names of a generation's chunks."""
        ...

    async def drop_chunks(self, chunks_id: str) -> None:
        """Remove chunks of a hand-over that was given up."""
        ...

    async def begin_upload(self, space: str, token: str) -> bool:
        """Take the right to hand over, or keep it with the same token; False if others have it."""
        ...

    async def end_upload(self, space: str, token: str) -> None:
        """Give it back."""
        ...

    async def note_replica(self, replica: str, held: Mapping[str, Sequence[str]]) -> None:
        """Tell which generations a replica has in memory, by space."""
        ...

    async def forget_replica(self, replica: str) -> None:
        """Forget a replica, which stops."""
        ...

    async def replicas(self, seen_within_s: float) -> dict[str, Mapping[str, Sequence[str]]]:
        """What replicas have in memory, of those that told it so lately."""
        ...
