"""`/v1/dedup`: near-duplicates of a list, or the list spread out."""

from typing import Annotated

from fastapi import Depends, Response

from service.engine.work.lanes import Lane
from service.errors import InvalidRequest, PrecisionNotPromised, StreamerNotFound
from service.features.dedup.answers import DedupAnswer, FeedAnswer
from service.features.dedup.schemas import (
    ClusterOut,
    DedupClustersOut,
    DedupFeedOut,
    DedupIn,
    MemberOut,
)
from service.features.dedup.service import Dedup
from service.http.auth.audit import CurrentAudit
from service.http.auth.rate_limits import CurrentCharges, inputs_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLanes, CurrentLimits, service_named
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
    response_model=DedupClustersOut | DedupFeedOut,
    responses=responses(*BODY, *INDEX, *STORE, *MEDIA, StreamerNotFound, PrecisionNotPromised),
)
async def deduplicate(
    dedup: CurrentDedup,
    lanes: CurrentLanes,
    charges: CurrentCharges,
    limits: CurrentLimits,
    audit: CurrentAudit,
    body: Checked[DedupIn],
) -> Response:
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
        found = await dedup.clusters(
            ids=body.ids or (),
            profiles=body.profiles or (),
            threshold=body.threshold,
            min_precision=body.min_precision,
            pictures=body.pictures,
            after_sequence=body.after_sequence,
        )
    else:
        found = await dedup.feed(
            ids=body.ids or (),
            profiles=body.profiles or (),
            threshold=body.threshold,
            min_precision=body.min_precision,
            pictures=body.pictures,
            window=body.window,
            max_per_cluster=body.max_per_cluster,
            after_sequence=body.after_sequence,
        )
    made = await lanes.run(lambda: _written(found, dedup.model_version), Lane.HEAVY)
    return Response(made, media_type="application/json")


def _written(found: DedupAnswer | FeedAnswer, model_version: str) -> str:
    """An answer as JSON, made in small steps: others run in between."""
    clusters = [
        ClusterOut(
            representative=cluster.representative,
            members=[MemberOut.model_validate(member) for member in cluster.members],
        )
        for cluster in found.clusters
    ]
    fields = {
        **vars(found),
        "clusters": clusters,
        "complete": found.incomplete_because is None,
        "model_version": model_version,
    }
    kind = DedupClustersOut if isinstance(found, DedupAnswer) else DedupFeedOut
    return kind.model_validate(fields).model_dump_json()
