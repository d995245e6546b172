"""What a streamer shows: its embedding, by the index if it is stored, else by the encoder."""

import json
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.encoding.stored_profiles import StoredProfiles
from service.errors import FieldError, StreamerNotFound
from service.index.base import VectorIndex
from service.store.base import Record


@dataclass(frozen=True, eq=False)
class Shown:
    """What a streamer shows.

    Attributes:
        embedding: float32 (D,), None without usable content.
        coverage: share of it that the model knows.
        modalities_used: kinds of content shown.
        category: None where none is shown, or is not known yet.
        modalities: what became of each; empty where the profile was not read.
    """

    embedding: NDArray[np.float32] | None
    coverage: float
    modalities_used: int
    category: str | None = None
    modalities: dict[str, str] = field(default_factory=dict[str, str])


class Placing:
    """Finds or makes embeddings for cold starts."""

    def __init__(self, pipeline: EncodingPipeline, stored: StoredProfiles) -> None:
        """Encode with `pipeline` what `stored` does not have."""
        self._pipeline = pipeline
        self._stored = stored

    async def of_profile(self, profile: StreamerProfile) -> Shown:
        """What a profile shows.

        Raises:
            InvalidRequest: the model can't read a part of it.
            Unavailable: too much waits already, or an address can't be asked at the moment.
        """
        return _shown(await self.encoded(ToRead(profile, "/profile")))

    async def encoded(self, item: ToRead) -> EncodedProfile:
        """Encode; labels that the model does not know are read as text where nothing else shows.

        A tag counts as a whole, so one that training has not seen says nothing, where its words in
        a bio would.
        """
        found = await self._pipeline.encode(item)
        if found.encoded is not None:
            return found
        profile = item.profile
        labels = [*profile.tags, *([profile.category] if profile.category else [])]
        if not labels:
            return found
        spelled = profile.model_copy(update={"bio": "\n".join([profile.bio or "", *labels])})
        again = await self._pipeline.encode(ToRead(spelled, item.pointer, item.tower_vectors))
        if again.encoded is None:
            return found
        status = again.features.status | {"bio": found.features.status["bio"], "tags": "used"}
        features = replace(again.features, status=status)
        return replace(again, profile=profile, features=features)

    async def of_stored(self, index: VectorIndex, streamer_id: str) -> Shown:
        """What a stored streamer shows, as it was encoded when it was written.

        Raises:
            StreamerNotFound: it is not stored, or by another model.
            StoreUnavailable: the index does not have it, and the store does not answer.
        """
        vector = await index.vector(streamer_id)
        if vector is not None and vector.embedding is not None:
            return Shown(vector.embedding, vector.coverage or 0.0, vector.modalities_used or 1)
        record = await self.record(streamer_id)
        facets = json.loads(record.facets)
        embedding = np.frombuffer(record.embedding, "<f4") if record.embedding else None
        if embedding is None:
            profile = StreamerProfile.model_validate_json(record.profile)
            item = ToRead(profile, tower_vectors=record.tower_vectors, stored=record.profile)
            return _shown(await self.encoded(item))
        return Shown(
            embedding.astype(np.float32),
            facets.get("coverage", 0.0),
            facets.get("modalities_used", 1),
            facets.get("category"),
            json.loads(record.modalities),
        )

    async def record(self, streamer_id: str) -> Record:
        """The stored record, of this model.

        Raises:
            StreamerNotFound: it is not stored, or by another model.
            StoreUnavailable: the store does not answer.
        """
        try:
            record = await self._stored.get(streamer_id)
            if record.model_version != self._pipeline.model_version:
                raise StreamerNotFound(f"streamer {streamer_id!r} is not encoded by this model")
        except StreamerNotFound as error:
            field_error = FieldError("/streamer_id", error.detail)
            raise StreamerNotFound(error.detail, [field_error]) from error
        return record


def _shown(found: EncodedProfile) -> Shown:
    return Shown(
        None if found.encoded is None else found.encoded.embedding,
        found.features.coverage,
        found.features.modalities_used,
        found.profile.category,
        dict(found.features.status),
    )
