"""The store's interface for a change of the model: the pointer, and vectors of the next model.

One model is `active`: it answers. Another may be its `target`: every write is encoded for both, and
the script that stores writes refuses one that lacks either. Promotion and rollback swap the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from service.store.base import Record
from service.store.jobs import JobStep
from service.store.once import Once

TargetState = Literal["preparing", "backfilling", "ready"]
"""Of the target: replicas load it and begin to encode for it; stored streamers are encoded for it
and all writes are; all streamers have its vectors."""
SEEN_S = 5.0
"""A replica that has not told for so long what it holds is not waited for."""


@dataclass(frozen=True)
class ModelPointer:
    """Which model serves.

    Attributes:
        revision: grows with each change.
        active: the model that serves; None for an empty store.
        target: the other model that writes are encoded for; None without one.
        state: of the target.
    """

    revision: int
    active: str | None
    target: str | None = None
    state: TargetState | None = None


@dataclass(frozen=True)
class SecondVectors:
    """What the target made of one version of a stored streamer; other versions are left alone."""

    record: Record
    version: int


class NotTheTarget(Exception):
    """The vectors are of a model that is no target any more; nothing was stored."""


class ModelStore(Protocol):
    """All methods raise StoreUnavailable when the store does not answer."""

    async def pointer(self) -> ModelPointer:
        """Which model serves at the moment."""
        ...

    async def was_done(self, once: Once) -> bool:
        """Whether an earlier request with this name changed the pointer.

        Raises:
            IdempotencyKeyReused: it was another request.
        """
        ...

    async def move(
        self, before: ModelPointer, after: ModelPointer, once: Once | None = None
    ) -> ModelPointer | None:
        """Change the pointer, if it is `before` still; how it is then, None if it was not.

        `once` names the request, which `was_done` knows from then on, for a day.
        """
        ...

    async def add(self, vectors: Sequence[SecondVectors], step: JobStep) -> int:
        """Store vectors of the target and the progress of a job, in one step.

        Returns:
            How many were stored; the others were written or deleted since, and have them already.

        Raises:
            NotTheTarget: their model is no target any more.
            LeaseLost: the job is run by somebody else, or further.
            StoreFull: disk or memory is full.
        """
        ...

    async def note_replica(self, replica: str, held: Mapping[str, Any]) -> None:
        """Tell what a replica holds."""
        ...

    async def forget_replica(self, replica: str) -> None:
        """Forget a replica, which stops."""
        ...

    async def replicas(self, seen_within_s: float = SEEN_S) -> dict[str, Mapping[str, Any]]:
        """What replicas hold, of those that told it lately."""
        ...
