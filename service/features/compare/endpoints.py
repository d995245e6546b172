"""`/v1/compare`: are two accounts the same, and why."""

from typing import Annotated

from fastapi import Depends

from model_export.contract.streamer import StreamerContent, StreamerProfile
from service.errors import StreamerNotFound
from service.features.compare.schemas import CompareIn, CompareOut, SideIn
from service.features.compare.service import Compare
from service.http.auth.audit import CurrentAudit
from service.http.auth.rate_limits import CurrentCharges, inputs_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, MEDIA, STORE, responses
from service.http.json_bodies import JsonRoute
from service.http.openapi import ANTI_FRAUD
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ANTI_FRAUD])
CurrentCompare = Annotated[Compare, Depends(service_named("compare", Compare))]


# The scope is `explain`: the answer quotes what the two profiles say, as explanations do.
@router.post(
    "/compare",
    operation_id="compare_streamers",
    summary="Compare two streamers, with the evidence",
    dependencies=[requires("explain")],
    responses=responses(*BODY, *STORE, *MEDIA, StreamerNotFound),
)
async def compare_two(
    compare: CurrentCompare,
    charges: CurrentCharges,
    audit: CurrentAudit,
    body: Checked[CompareIn],
) -> CompareOut:
    """Whether two accounts are the same, and what each channel adds to that.

    Each side is a stored streamer, read from the store, or a profile.
    """
    ids = [side.streamer_id for side in (body.a, body.b) if side.streamer_id is not None]
    charges.reach("explain", 1 + inputs_units(2, 2 - len(ids)))
    audit.about(ids, 1)
    answer = await compare.compare(_given(body.a), _given(body.b), frozenset(body.without))
    fields = {**vars(answer), "model_version": compare.model_version}
    return CompareOut.model_validate(fields)


def _given(side: SideIn) -> str | StreamerProfile:
    if side.profile is None:
        return side.streamer_id or ""
    fields = {name: getattr(side.profile, name) for name in StreamerContent.model_fields}
    return StreamerProfile.model_construct(streamer_id=" ", **fields)  # as no stored one is called
