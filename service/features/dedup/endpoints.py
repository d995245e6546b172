"""`/v1/dedup`: near-duplicates of a list, or the list spread out."""

from typing import Annotated

from fastapi import Depends

from service.errors import InvalidRequest, PrecisionNotPromised, StreamerNotFound
from service.features.dedup.answers import DedupAnswer, FeedAnswer
from service.features.dedup.schemas import DedupClustersOut, DedupFeedOut, DedupIn
from service.features.dedup.service import Dedup
from service.http.auth.audit import CurrentAudit
from service.http.auth.rate_limits import CurrentCharges, inputs_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLimits, service_named
from service.http.documents import BODY, INDEX, MEDIA, STORE, responses
from service.http.json_bodies import JsonRoute
from service.http.openapi import ANTI_FRAUD, RECOMMENDER
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ANTI_FRAUD, RECOMMENDER])
CurrentDedup = Annotated[Dedup, Depends(service_named("dedup", Dedup))]


@router.post(
    "/dedup",
    operation_id="find_near_duplicates",
    summary="Find near-duplicates in a list, or keep them apart",
    dependencies=[requires("duplicates")],
    responses=responses(*BODY, *INDEX, *STORE, *MEDIA, StreamerNotFound, PrecisionNotPromised),
)
async def deduplicate(
    dedup: CurrentDedup,
    charges: CurrentCharges,
    limits: CurrentLimits,
    audit: CurrentAudit,
    body: Checked[DedupIn],
) -> DedupClustersOut | DedupFeedOut:
    """`clusters`: groups of near-duplicates. `feed`: the list with near-duplicates apart (打散)."""
    name = "profiles" if body.ids is None else "ids"
    items = body.ids or body.profiles or []
    if len(items) > limits.max_dedup_items:
        raise InvalidRequest.of(
            f"/{name}", f"may have {limits.max_dedup_items} items, it has {len(items)}"
        )
    charges.reach("duplicates", 1 + inputs_units(len(items), len(body.profiles or ())))
    audit.about(body.ids or (), len(items))
    if body.mode == "clusters":
        answer = await dedup.clusters(
            ids=body.ids or (),
            profiles=body.profiles or (),
            threshold=body.threshold,
            min_precision=body.min_precision,
            pictures=body.pictures,
            after_sequence=body.after_sequence,
        )
        return DedupClustersOut.model_validate(_fields(dedup, answer))
    feed = await dedup.feed(
        ids=body.ids or (),
        profiles=body.profiles or (),
        threshold=body.threshold,
        min_precision=body.min_precision,
        pictures=body.pictures,
        window=body.window,
        max_per_cluster=body.max_per_cluster,
        after_sequence=body.after_sequence,
    )
    return DedupFeedOut.model_validate(_fields(dedup, feed))


def _fields(dedup: Dedup, answer: DedupAnswer | FeedAnswer) -> dict[str, object]:
    return {
        **vars(answer),
        "complete": answer.incomplete_because is None,
        "model_version": dedup.model_version,
    }
