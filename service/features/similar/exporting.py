"""Exports of everyone who reaches a score: questions of requests and jobs, and lines of answers."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

from model_export.contract.streamer import StreamerContent, StreamerProfile
from service.errors import InvalidRequest
from service.features.jobs.told import Told
from service.features.similar.asking import SimilarQuery
from service.features.similar.schemas import ExportIn, SeedIn, SeedsIn
from service.features.similar.seeds import Seed
from service.features.similar.service import Similar, SimilarAnswer
from service.http.ndjson import line_of
from service.settings import Limits

KIND = "similar_export"
EXPORTED_AT_ONCE = 1000


def answering(
    similar: Similar, limits: Limits
) -> Callable[[Mapping[str, Any], Told], AsyncIterator[bytes]]:
    """What jobs of exports write: lines of the answer to a question as JSON has it."""

    async def answer(given: Mapping[str, Any], told: Told) -> AsyncGenerator[bytes, None]:
        def count(hits: int) -> None:
            told.streamers += hits

        body = ExportIn.model_validate(given["question"])
        query = replace(query_of(limits, body), k=EXPORTED_AT_ONCE)
        async for part in lines_of(similar, await similar.export(query), count):
            yield part

    return answer


def check_seeds(limits: Limits, body: SeedsIn, pointer: str = "") -> None:
    """Refuse a question of too many seeds.

    Raises:
        InvalidRequest: it has too many.
    """
    for name, seeds in (("positive", body.positive), ("negative", body.negative)):
        if len(seeds) > limits.max_seeds:
            detail = f"may have at most {limits.max_seeds} seeds; it has {len(seeds)}"
            raise InvalidRequest.of(f"{pointer}/{name}", detail)


def query_of(limits: Limits, body: SeedsIn) -> SimilarQuery:
    """The question of a body; raises as `check_seeds`."""
    check_seeds(limits, body)
    return SimilarQuery(
        positive=[seed_of(seed) for seed in body.positive],
        negative=[seed_of(seed) for seed in body.negative],
        strategy=body.strategy,
        min_score=body.min_score,
        min_precision=body.min_precision,
        filter=body.filter.domain(),
        after_sequence=body.after_sequence,
    )


def seed_of(seed: SeedIn) -> Seed:
    """A seed as the feature knows it."""
    profile = None
    if seed.profile is not None:
        fields = {n: getattr(seed.profile, n) for n in StreamerContent.model_fields}
        profile = StreamerProfile.model_construct(streamer_id="seed", **fields)
    return Seed(seed.streamer_id, profile, seed.vector, seed.weight)


async def lines_of(
    similar: Similar, parts: AsyncIterator[SimilarAnswer], note: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    """Lines of the parts of an answer and its summary; `note` is told how many hits a part has."""
    last: SimilarAnswer | None = None
    async for last in parts:
        note(len(last.hits))
        yield b"".join(
            line_of(
                {
                    "streamer_id": hit.streamer_id,
                    "score": hit.score,
                    "precision": hit.precision,
                    "rank": hit.rank,
                }
            )
            for hit in last.hits
        )
    if last is not None:
        yield line_of(
            {
                "reached": last.reached,
                "threshold": last.threshold,
                "complete": last.incomplete_because is None,
                "incomplete_because": last.incomplete_because,
                "model_version": similar.model_version,
                "index_sequence": last.index_sequence,
                "warnings": last.warnings,
                "coverage": last.coverage,
            }
        )
