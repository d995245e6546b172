"""The examples that a question starts from, as vectors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.scoring.precision import Shown
from service.errors import FieldError, InvalidRequest, StreamerNotFound
from service.features.similar.explain import Side
from service.index.base import Row, VectorIndex


@dataclass(frozen=True, eq=False)
class Seed:
    """One example: exactly one of `streamer_id`, `profile`, `vector` (D,); `weight` > 0."""

    streamer_id: str | None = None
    profile: StreamerProfile | None = None
    vector: Sequence[float] | None = None
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class ResolvedSeed:
    """A seed with its vector, and how much it shows."""

    side: Side
    weight: float
    shown: Shown

    @property
    def embedding(self) -> NDArray[np.float32]:
        """The vector (D,), of unit length."""
        return self.side.embedding


class Seeds:
    """Looks seeds up, encodes them, or takes their vectors."""

    def __init__(self, pipeline: EncodingPipeline, dim: int) -> None:
        """Embeddings have `dim` numbers."""
        self._pipeline = pipeline
        self._dim = dim

    async def resolve(
        self, index: VectorIndex, positive: Sequence[Seed], negative: Sequence[Seed]
    ) -> tuple[list[ResolvedSeed], list[ResolvedSeed]]:
        """Wanted and unwanted seeds with their vectors.

        Raises:
            StreamerNotFound: names every seed that is not stored.
            InvalidRequest: a seed has no vector, or a vector of the wrong width or length zero; or
                a streamer is wanted and unwanted.
        """
        wanted = {seed.streamer_id for seed in positive if seed.streamer_id is not None}
        for place, seed in enumerate(negative):
            if seed.streamer_id in wanted:
                raise InvalidRequest.of(
                    f"/negative/{place}/streamer_id",
                    f"streamer {seed.streamer_id!r} is in positive too: take it out of one of them",
                )
        seeds = [(f"/positive/{i}", seed) for i, seed in enumerate(positive)]
        seeds += [(f"/negative/{i}", seed) for i, seed in enumerate(negative)]
        rows = await index.get([seed.streamer_id or "" for _, seed in seeds])
        missing = [
            FieldError(f"{where}/streamer_id", f"streamer {seed.streamer_id!r} is not stored")
            for (where, seed), row in zip(seeds, rows, strict=True)
            if seed.streamer_id is not None and row is None
        ]
        if missing:
            raise StreamerNotFound("; ".join(e.detail for e in missing), missing)
        resolved = [
            await self._resolve_one(seed, row, where)
            for (where, seed), row in zip(seeds, rows, strict=True)
        ]
        return resolved[: len(positive)], resolved[len(positive) :]

    async def _resolve_one(self, seed: Seed, row: Row | None, pointer: str) -> ResolvedSeed:
        if seed.vector is not None:
            vector = Side(pointer, self.unit(seed.vector, pointer), None, {})
            return ResolvedSeed(vector, seed.weight, Shown())
        if seed.profile is not None:
            item = await self._pipeline.encode(ToRead(seed.profile, f"{pointer}/profile"))
            if item.encoded is None:
                raise InvalidRequest.of(
                    f"{pointer}/profile", "shows nothing that the model can use (no vector)"
                )
            facets = {
                "tags": item.profile.tags,
                "category": item.profile.category,
                "language": item.profile.language,
            }
            encoded = item.encoded
            side = Side(pointer, encoded.embedding, encoded.content, facets, profile=item)
            shown = Shown(item.features.modalities_used, item.features.coverage)
            return ResolvedSeed(side, seed.weight, shown)
        stored = None if row is None else Side.of(row)
        if stored is None:
            raise InvalidRequest.of(
                f"{pointer}/streamer_id",
                f"streamer {seed.streamer_id!r} shows nothing that the model can use, so nothing "
                "is similar to it (status insufficient_content)",
            )
        return ResolvedSeed(stored, seed.weight, _shown(stored.facets))

    def unit(self, vector: Sequence[float], pointer: str) -> NDArray[np.float32]:
        """A seed's vector (D,), of unit length; raises as `resolve`."""
        if len(vector) != self._dim:
            raise InvalidRequest.of(
                f"{pointer}/vector", f"has {len(vector)} numbers, the model has {self._dim}"
            )
        length = math.hypot(*vector)
        if length < 1e-30:
            raise InvalidRequest.of(f"{pointer}/vector", "has length zero, so it has no direction")
        if math.isinf(length):  # of finite numbers
            return self.unit([number / 2**64 for number in vector], pointer)
        return (np.asarray(vector, np.float64) / length).astype(np.float32)


def _shown(facets: Mapping[str, object]) -> Shown:
    """How much a stored streamer shows; unknown of those that an old release wrote."""
    used, coverage = facets.get("modalities_used"), facets.get("coverage")
    return Shown(
        used if isinstance(used, int) else None,
        coverage if isinstance(coverage, int | float) and 0 <= coverage <= 1 else None,
    )
