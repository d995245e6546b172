"""`/v1/spaces`: ID-embeddings that the recommender hands over, by generation."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import ClientDisconnect

from service.errors import (
    GenerationExists,
    GenerationInUse,
    GenerationNotFound,
    GenerationRefused,
    HandOverUnderWay,
    IdempotencyKeyReused,
    MalformedBody,
    NothingBefore,
    NotReady,
    SpaceNotFound,
    SpoolFull,
    StoreFull,
    UnsupportedMediaType,
)
from service.features.spaces.receiving import Form
from service.features.spaces.schemas import (
    GenerationOut,
    OwnVectorOut,
    SpaceOut,
    SpacesOut,
    UserErasedOut,
)
from service.features.spaces.service import Spaces
from service.features.spaces.shown import generation_out, own_out, space_out
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import Caller, CurrentCaller, parts_while, still_allowed
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, StreamerIdPath, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.idempotency import OnceByKey
from service.http.json_bodies import JsonRoute
from service.http.ndjson import NDJSON, NPZ, PARQUET, line_of
from service.http.openapi import RECOMMENDER
from service.maxima import MOST_USER_ID_CHARS

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[RECOMMENDER])
CurrentSpaces = Annotated[Spaces, Depends(service_named("spaces", Spaces))]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_ALLOWED = "1 to 64 of A-Z a-z 0-9 _ . - and begins with a letter or digit"
_FORMS: dict[str, Form] = {NDJSON: "lines", NPZ: "npz", PARQUET: "parquet"}
_LINES = (
    {
        "kind": "streamer",
        "id": "w0087",
        "vector": [0.1, -0.3],
        "interactions": 420,
        "neighbours": [{"streamer_id": "w0056", "weight": 0.8}],
    },
    {"kind": "streamer", "id": "w0056", "vector": [0.2, -0.3], "interactions": 99},
    {"kind": "user", "id": "u-1", "vector": [0.4, 0.2]},
)


def _name(description: str, example: str) -> object:
    return Path(
        pattern=_NAME,
        min_length=1,
        max_length=64,
        description=f"{description}: {_ALLOWED}",
        openapi_examples={"demo": {"value": example}},
    )


class _Handed(StringConvertor):
    """Any name of a generation, but for the action that ends a path: with PUT that is a 405."""

    regex = ".+(?<!:promote)"


register_url_convertor("handed", _Handed())

SpacePath = Annotated[str, _name("Name of the space", "als-64")]
GenerationPath = Annotated[str, _name("Name of the generation", "2026-11-26")]
Force = Annotated[bool, Query(description="Although it failed its checks; needs the scope admin.")]


def _check_force(caller: Caller, *, force: bool) -> None:
    if force:
        caller.require("admin")


@router.get(
    "/spaces",
    operation_id="list_spaces",
    summary="List spaces and their generations",
    dependencies=[requires("coldstart")],
    responses=responses(*STORE),
)
async def list_spaces(spaces: CurrentSpaces) -> SpacesOut:
    """All that was handed over and is kept, by name."""
    return SpacesOut(spaces=[space_out(shown) for shown in await spaces.all()])


@router.get(
    "/spaces/{space:name}",
    operation_id="get_space",
    summary="Show a space: what is served, and what was handed over",
    dependencies=[requires("coldstart")],
    responses=responses(*STORE, SpaceNotFound),
)
async def get_space(spaces: CurrentSpaces, space: SpacePath) -> SpaceOut:
    """`active` is the same for all replicas, `serving` what the one that answers has in memory."""
    return space_out(await spaces.get(space))


@router.put(
    # Whatever the names are: who sends a wrong one is told so.
    "/spaces/{space:path}/generations/{generation:handed}",
    operation_id="hand_over_generation",
    status_code=201,
    summary="Hand over the vectors of all streamers and users",
    dependencies=[requires("spaces:write")],
    responses=responses(
        *BODY,
        *STORE,
        StoreFull,
        SpoolFull,
        NotReady,
        SpaceNotFound,
        GenerationExists,
        HandOverUnderWay,
        GenerationRefused,
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "Streamers and users with their vectors: as lines, as a NumPy archive "
            "(`numpy.savez(file, ids=, vectors=[, interactions=, neighbour_rows=, "
            "neighbour_weights=, user_ids=, user_vectors=])`), or as Parquet with the fields of "
            "the lines as columns.",
            "content": {
                NDJSON: {
                    "schema": {"type": "object"},
                    "examples": {"three lines": {"value": b"".join(map(line_of, _LINES)).decode()}},
                },
                NPZ: {"schema": {"type": "string", "format": "binary"}},
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def hand_over(
    spaces: CurrentSpaces,
    charges: CurrentCharges,
    caller: CurrentCaller,
    audit: CurrentAudit,
    request: Request,
    space: SpacePath,
    generation: GenerationPath,
    promote: Annotated[
        bool, Query(description="Serve it at once, if it passes its checks.")
    ] = False,
    force: Force = False,
) -> GenerationOut:
    """A generation is stored whole or not at all, and never changes.

    Streamers may come with up to 64 neighbours, such as those that share an audience: the
    established then vote for the 20 that weigh most, and else for the nearest by vector. In an
    archive they are rows of `ids`, -1 for none.

    Rows that can't be used (another width, NaN, zero vectors, an id twice, a neighbour that is not
    among the streamers) are refused with the line. A generation that fails its checks is stored as
    `refused` and can't be promoted; with `promote` the answer is 409 then.
    """
    _check_force(caller, force=force)
    charges.reach("spaces:write", ALL_UNITS)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = _FORMS.get(kind)
    if form is None:  # the request guard lets anything pass with an empty body
        raise UnsupportedMediaType(f"send a hand-over as {', '.join(_FORMS)}")
    allowed = still_allowed(request, ["spaces:write", "admin"] if force else ["spaces:write"])
    try:
        parts = parts_while(allowed, request)
        record = await spaces.hand_over(space, generation, parts, form, caller.key_id)
    except ClientDisconnect:
        raise MalformedBody("the client left before the body was complete") from None
    audit.about(results=record.streamers, action="hand over")
    if promote:
        allowed()  # checking the generation takes a while
        await spaces.promote(space, generation, force=force)
    known = (await spaces.get(space)).record
    return generation_out(known.get(generation) or record, known)


@router.post(
    "/spaces/{space:name}/generations/{generation:name}:promote",
    operation_id="promote_generation",
    summary="Serve a generation",
    dependencies=[requires("spaces:write")],
    responses=responses(
        *STORE,
        StoreFull,
        NotReady,
        SpaceNotFound,
        GenerationNotFound,
        GenerationRefused,
        HandOverUnderWay,
        IdempotencyKeyReused,
    ),
)
async def promote_generation(
    spaces: CurrentSpaces,
    caller: CurrentCaller,
    audit: CurrentAudit,
    space: SpacePath,
    generation: GenerationPath,
    once: OnceByKey,
    force: Force = False,
) -> SpaceOut:
    """Once every replica has it in memory, all of them serve it within a second.

    Sent again after another one was promoted or rolled back, it takes that back, but with the same
    Idempotency-Key. Another promotion of the space that is under way is given up, also for the one
    that is served already.

    They are waited for at most `STREAMER_SPACES__PROMOTE_TIMEOUT_S`; then those that have it serve
    it, and the others follow.
    """
    _check_force(caller, force=force)
    audit.about(action="force promotion" if force else "promote")
    return space_out(await spaces.promote(space, generation, force=force, once=once))


@router.post(
    "/spaces/{space:name}:rollback",
    operation_id="roll_back_space",
    summary="Serve the generation that was served before",
    dependencies=[requires("spaces:write")],
    responses=responses(
        *STORE,
        StoreFull,
        NotReady,
        SpaceNotFound,
        NothingBefore,
        HandOverUnderWay,
        IdempotencyKeyReused,
    ),
)
async def roll_back_space(
    spaces: CurrentSpaces, audit: CurrentAudit, space: SpacePath, once: OnceByKey
) -> SpaceOut:
    """The one that was served stays, and may be promoted again.

    Sent again it goes back one more, but with the same Idempotency-Key.
    """
    audit.about(action="roll back")
    return space_out(await spaces.roll_back(space, once))


@router.delete(
    "/spaces/{space:name}/users/{user_id:path}",  # ids may have slashes, hence before the next
    operation_id="erase_user",
    summary="Erase a user from all generations of a space",
    dependencies=[requires("spaces:write")],
    responses=responses(*STORE, StoreFull, SpaceNotFound),
)
async def erase_user(
    spaces: CurrentSpaces,
    audit: CurrentAudit,
    space: SpacePath,
    user_id: Annotated[
        str,
        Path(
            min_length=1,
            max_length=MOST_USER_ID_CHARS,
            description="As it was handed over.",
            openapi_examples={"demo": {"value": "u-1"}},
        ),
    ],
) -> UserErasedOut:
    """No answer names the user from now on; other replicas follow within a second."""
    audit.about(action="erase")
    count = await spaces.erase_user(space, user_id)
    return UserErasedOut(space=space, user_id=user_id, generations=count)


@router.delete(
    "/spaces/{space:path}/generations/{generation:handed}",  # as with PUT
    operation_id="delete_generation",
    status_code=204,
    summary="Delete a generation",
    dependencies=[requires("spaces:write")],
    responses=responses(*STORE, StoreFull, SpaceNotFound, GenerationNotFound, GenerationInUse),
)
async def delete_generation(
    spaces: CurrentSpaces, space: SpacePath, generation: GenerationPath
) -> Response:
    """Of one that is served only if it is the last: the space goes with it."""
    await spaces.delete(space, generation)
    return Response(status_code=204)


@router.get(
    "/spaces/{space:name}/streamers/{streamer_id}",
    operation_id="get_own_vector",
    summary="Show whether a streamer is established, and its own vector",
    dependencies=[requires("coldstart")],
    responses=responses(*STORE, SpaceNotFound),
)
async def get_own_vector(
    spaces: CurrentSpaces,
    caller: CurrentCaller,
    audit: CurrentAudit,
    space: SpacePath,
    streamer_id: StreamerIdPath,
) -> OwnVectorOut:
    """What the generation that this replica serves says; the vector needs `embeddings:read`."""
    served, own = spaces.own(space, streamer_id)
    may_see = "embeddings:read" in caller.scopes
    audit.about(has_vectors=may_see and own is not None)
    return own_out(served, streamer_id, own, with_vector=may_see)
