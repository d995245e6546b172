"""Spaces, generations and own vectors as answers show them."""

import time

from service.engine.spaces.active import ServedGeneration
from service.engine.spaces.established import OwnVector
from service.features.spaces.schemas import (
    ActiveOut,
    CheckOut,
    CountsOut,
    GenerationOut,
    OwnVectorOut,
    SpaceOut,
    State,
)
from service.features.spaces.service import ShownSpace
from service.store.spaces import GenerationRecord, SpaceRecord


def generation_out(record: GenerationRecord, space: SpaceRecord) -> GenerationOut:
    """A generation, for an answer."""
    state: State = "checked" if record.may_serve else "refused"
    if record is space.active:
        state = "active"
    elif record is space.previous:
        state = "previous"
    return GenerationOut(
        generation=record.generation,
        state=state,
        created_at=record.created_at,
        promoted_at=record.promoted_at,
        key_id=record.key_id,
        dim=record.dim,
        counts=CountsOut(
            streamers=record.streamers,
            users=record.users,
            with_neighbours=record.neighbours or 0,
            erased_streamers=record.erased_streamers,
            erased_users=record.erased - record.erased_streamers,
        ),
        user_attributes=record.user_attributes,
        has_interactions=record.has_interactions,
        sha256=record.sha256,
        checks=[CheckOut.model_validate(check) for check in record.checks],
    )


def space_out(shown: ShownSpace) -> SpaceOut:
    """A space, for an answer."""
    record = shown.record
    active, previous = record.active, record.previous
    return SpaceOut(
        space=record.space,
        active=None
        if active is None
        else ActiveOut(
            generation=active.generation,
            created_at=active.created_at,
            age_s=_age_s(active.created_at),
        ),
        previous=None if previous is None else previous.generation,
        serving=shown.serving,
        problem=shown.problem,
        generations=[generation_out(g, record) for g in reversed(record.generations)],
    )


def own_out(
    served: ServedGeneration, streamer_id: str, own: OwnVector | None, *, with_vector: bool
) -> OwnVectorOut:
    """What is known of a streamer, for an answer."""
    generation = served.generation
    return OwnVectorOut(
        space=generation.space,
        generation=generation.generation,
        age_s=_age_s(generation.created_at),
        streamer_id=streamer_id,
        is_established=own is not None and own.is_established,
        interactions=None if own is None else own.interactions,
        vector=own.vector.tolist() if own is not None and with_vector else None,
        vector_reason=None
        if own is None or with_vector
        else "vectors are shown to keys with the scope embeddings:read",
    )


def _age_s(created_at: float) -> float:
    return round(max(0.0, time.time() - created_at), 3)
