"""A whole hand-over of a recommender: the vectors of its streamers and users, of one moment."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
    """

    space: str
    generation: str
    created_at: float
    streamer_ids: Sequence[str]
    vectors: NDArray[np.float32]
    interactions: NDArray[np.float32] | None
    user_ids: Sequence[str]
    user_vectors: NDArray[np.float32]


FitGeneration = Callable[[Generation], Awaitable[object]]
"""Makes of a generation what answers need besides its vectors.

It is awaited on the event loop before the generation serves and does its work in lanes or threads;
a generation for which it fails does not serve. It may be asked for a generation that then does not
serve, since another one was promoted meanwhile.
"""


async def fit_nothing(_: Generation) -> object:
    """Fit nothing: the vectors are all that is served."""
    return None
