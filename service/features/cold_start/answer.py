"""Question and answer of a cold start, whatever answers it."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_export.contract.streamer import StreamerProfile
from service.engine.prediction.users import ScoredUser
from service.features.cold_start.neighbours import Neighbour
from service.index.filters import EVERYONE, Filter

Source = Literal["own", "blended", "mapped", "neighbours", "centroid"]
Missing = Literal["id_embedding", "neighbours", "users"]


@dataclass(frozen=True, eq=False)
class ColdStartQuestion:
    """A new streamer: one of `streamer_id` and `profile`.

    Attributes:
        streamer_id: of a stored one, or one that the recommender has a vector of.
        profile: of one that is not stored.
        space: the ID space; None where there is one alone.
        neighbours: how many at most.
        users: how many at most.
        exclude_users: users that are left out.
        min_score: lowest score of a user.
        user_filter: which users may be in the answer.
        min_interactions: of the established; None: as the settings say.
        deadline_ms: until then there is an answer, with what is ready; None: no deadline.
        after_sequence: write that the answer has to know.
    """

    streamer_id: str | None = None
    profile: StreamerProfile | None = None
    space: str | None = None
    neighbours: int = 10
    users: int = 0
    exclude_users: AbstractSet[str] = frozenset()
    min_score: float | None = None
    user_filter: Filter = EVERYONE
    min_interactions: float | None = None
    deadline_ms: int | None = None
    after_sequence: int = 0


@dataclass(frozen=True, eq=False)
class IdEmbedding:
    """A vector in the recommender's ID space.

    Attributes:
        space: the name of that space.
        vector: float32 (E,).
        source: where it comes from; see `IdEmbeddingOut`.
        method: how it was made, in detail.
        confidence: 0..1; None where it is withheld.
        withheld_because: why it is.
        generation: whose vectors it can be compared with; None of a bundle.
        age_s: since when that was handed over.
    """

    space: str
    vector: NDArray[np.float32]
    source: Source
    method: str
    confidence: float | None
    withheld_because: str | None = None
    generation: str | None = None
    age_s: float | None = None


@dataclass(frozen=True, eq=False)
class ColdStartAnswer:
    """Neighbours, a vector, users, and why less than that was possible.

    Attributes:
        neighbours: established streamers, the heaviest first.
        id_embedding: None where nothing is known of the space.
        fallback_reason: why the answer is less than a prediction; None where it is none.
        modalities: what became of each; empty for a stored streamer that was not read again.
        coverage: share of the profile that the model knows.
        index_sequence: last write that the index has applied.
        incomplete_because: why something may be missing; None where nothing is.
        missing: what was not ready by the deadline.
        users: None where none could be asked for.
        no_users_because: why.
        unknown_user_fields: fields of `user_filter` that no user has, such as misspelled ones.
    """

    neighbours: Sequence[Neighbour]
    id_embedding: IdEmbedding | None
    fallback_reason: str | None
    modalities: dict[str, str]
    coverage: float
    index_sequence: int
    incomplete_because: str | None
    missing: Sequence[Missing] = ()
    users: Sequence[ScoredUser] | None = None
    no_users_because: str | None = field(default=None)
    unknown_user_fields: Sequence[str] = ()
