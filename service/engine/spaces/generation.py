"""A whole hand-over of a recommender: the vectors of its streamers and users, of one moment."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.array_file import Keep
from service.engine.spaces.packed_ids import PackedIds
from service.engine.spaces.row_vectors import RowVectors
from service.engine.spaces.streamer_neighbours import StreamerNeighbours
from service.engine.spaces.user_attributes import UserAttributes


@dataclass(frozen=True, eq=False)
class Generation:
    """ID-embeddings of one space that belong together; immutable.

    Attributes:
        space: whose vectors they are; only those of one generation of it can be compared.
        generation: its name, as the recommender gave it.
        created_at: when it was handed over, in seconds since 1970.
        streamer_ids: of the rows of `vectors`, all different; `PackedIds` where it is served.
        vectors: (n, d) of streamers, with the norms that were handed over.
        interactions: (n,) how much each vector was learned from; None if that was not told.
        user_ids: of the rows of `user_vectors`, all different.
        user_vectors: (m, d) of users, with their norms; m may be 0.
        user_attributes: of users; None where none were handed over.
    """

    space: str
    generation: str
    created_at: float
    streamer_ids: Sequence[str]
    vectors: NDArray[np.float32]
    interactions: NDArray[np.float32] | None
    user_ids: Sequence[str]
    user_vectors: RowVectors
    user_attributes: UserAttributes | None = None

    def kept(self, keep: Keep) -> Self:
        """A copy with its large arrays elsewhere."""
        counts, attributes = self.interactions, self.user_attributes
        return replace(
            self,
            streamer_ids=_kept_ids(self.streamer_ids, keep),
            vectors=keep(self.vectors),
            interactions=None if counts is None else keep(counts),
            user_ids=_kept_ids(self.user_ids, keep),
            user_vectors=self.user_vectors.kept(keep),
            user_attributes=None if attributes is None else attributes.kept(keep),
        )


def row_of(generation: Generation, streamer_id: str) -> int | None:
    """The row of a streamer; None if the generation does not have it."""
    ids = generation.streamer_ids
    if isinstance(ids, PackedIds):
        return ids.find(streamer_id)
    return ids.index(streamer_id) if streamer_id in ids else None


def _kept_ids(ids: Sequence[str], keep: Keep) -> Sequence[str]:
    return ids.kept(keep) if isinstance(ids, PackedIds) else ids


class Fitted(Protocol):
    """What answers need of a generation besides its vectors."""

    def kept(self, generation: Generation, keep: Keep) -> "Fitted":
        """A copy with its large arrays elsewhere, as those of `generation` are already."""
        ...


FitGeneration = Callable[[Generation, StreamerNeighbours | None], Awaitable[Fitted]]
"""Makes of a generation what answers need besides its vectors.

The neighbours that its streamers came with are read by it, and not kept as such.

It is awaited on the event loop before the generation serves and does its work in lanes or threads;
a generation for which it fails does not serve. It may be asked for a generation that then does not
serve, since another one was promoted meanwhile.
"""
