"""Who is established in a space: the recommender knows a vector of theirs, learned from enough."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.active import ServedGeneration
from service.engine.spaces.generation import Generation, row_of


@dataclass(frozen=True, eq=False)
class OwnVector:
    """What a generation has of a streamer.

    Attributes:
        row: of the generation.
        vector: (d,) as it was handed over.
        interactions: how much it was learned from; None if that was not told.
        is_established: whether that is enough.
    """

    row: int
    vector: NDArray[np.float32]
    interactions: float | None
    is_established: bool


def own_vector(
    served: ServedGeneration, streamer_id: str, min_interactions: float
) -> OwnVector | None:
    """What a generation has of a streamer; None if it has nothing, or it was erased.

    Where interactions were not handed over, whoever has a vector is established.
    """
    generation = served.generation
    row = row_of(generation, streamer_id)
    if row is None or streamer_id in served.erased_streamers:
        return None
    counts = generation.interactions
    count = None if counts is None else float(counts[row])
    enough = count is None or count >= min_interactions
    return OwnVector(row, generation.vectors[row], count, enough)


def established_rows(generation: Generation, min_interactions: float) -> NDArray[np.bool_]:
    """Which rows (n,) of a generation are established."""
    if generation.interactions is None:
        return np.ones(len(generation.streamer_ids), np.bool_)
    return generation.interactions >= min_interactions
