"""`/v1/watchlists`: seeds that all that is stored and every write is matched with."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response

from model_export.contract.streamer import StreamerContent, StreamerProfile
from service.errors import (
    CaseNotFound,
    IdempotencyKeyReused,
    StoreFull,
    StreamerNotFound,
    TooManyWatchlists,
    VersionConflict,
    WatchlistNotFound,
)
from service.features.watchlists.records import StoredSeed
from service.features.watchlists.schemas import (
    WATCHLIST_PATTERN,
    AlertCounts,
    DeletedWatchlistOut,
    ListedWatchlistOut,
    SeedOut,
    SweepOut,
    WatchedSeedIn,
    WatchlistChangeIn,
    WatchlistIn,
    WatchlistOut,
    WatchlistPage,
)
from service.features.watchlists.seeds import Given
from service.features.watchlists.service import (
    Changed,
    ShownList,
    Wanted,
    Watchlists,
    Writer,
)
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import CurrentCharges, hits_units, inputs_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, MEDIA, STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.headers.etag import ExpectedVersions
from service.http.headers.idempotency import OnceByKey
from service.http.json_bodies import JsonRoute
from service.http.openapi import ANTI_FRAUD
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ANTI_FRAUD])
CurrentWatchlists = Annotated[Watchlists, Depends(service_named("watchlists", Watchlists))]
WatchlistIdPath = Annotated[
    str,
    Path(
        pattern=WATCHLIST_PATTERN,
        description="Of a watchlist, as GET /v1/watchlists lists it.",
    ),
]
ETAG: dict[str, Any] = {
    "ETag": {"description": "The revision; send it as If-Match.", "schema": {"type": "string"}}
}
_LISTING = "watchlists"
_UNNAMED = "seed"
_WRITE = (*BODY, *MEDIA, *STORE, StoreFull, StreamerNotFound, CaseNotFound, TooManyWatchlists)


def _given(seed: WatchedSeedIn) -> Given:
    profile = None
    if seed.profile is not None:
        fields = {name: getattr(seed.profile, name) for name in StreamerContent.model_fields}
        profile = StreamerProfile.model_construct(streamer_id=_UNNAMED, **fields)
    return Given(seed.streamer_id, profile, seed.case_id)


def _wanted(body: WatchlistIn) -> Wanted:
    positive, negative = ([_given(s) for s in sign] for sign in (body.positive, body.negative))
    return Wanted(body.name, body.mode, body.min_probability, positive, negative)


def _units(body: WatchlistIn) -> int:
    seeds = [*body.positive, *body.negative]
    return 1 + inputs_units(len(seeds), sum(seed.profile is not None for seed in seeds))


def _ids(body: WatchlistIn) -> list[str]:
    seeds = (*body.positive, *body.negative)
    return [seed.streamer_id for seed in seeds if seed.streamer_id is not None]


def _fields(shown: ShownList) -> dict[str, Any]:
    known, swept = shown.known, shown.swept
    return {
        **vars(known),
        "watchlist_id": shown.watchlist_id,
        "revision": shown.revision,
        "positive_count": known.positive,
        "negative_count": known.negative,
        "sweep": SweepOut(
            state="due" if swept is None else "done",
            at=None if swept is None else swept.at,
            streamers=None if swept is None else swept.streamers,
        ),
        "alerts": AlertCounts.model_validate(dict(shown.alerts["on"])),
        "shadow_alerts": AlertCounts.model_validate(dict(shown.alerts["shadow"])),
        "beyond": shown.beyond,
        "full": shown.is_full,
    }


def _seed(seed: StoredSeed) -> SeedOut:
    profile = None
    if not seed.streamer_id and seed.profile is not None:
        profile = {name: value for name, value in seed.profile.items() if name != "streamer_id"}
    return SeedOut(
        streamer_id=seed.streamer_id or None, case_id=seed.case_id or None, profile=profile
    )


def _answer(shown: ShownList, response: Response) -> WatchlistOut:
    response.headers["ETag"] = f'"{shown.revision}"'
    seeds = shown.seeds
    fields = _fields(shown) | {
        "positive": [_seed(seed) for seed in (seeds.positive if seeds else ())],
        "negative": [_seed(seed) for seed in (seeds.negative if seeds else ())],
        "not_stored": list(seeds.left_out) if seeds else [],
        "cleared": list(seeds.cleared) if seeds else [],
    }
    return WatchlistOut.model_validate(fields)


@router.post(
    "/watchlists",
    operation_id="create_watchlist",
    summary="Create a watchlist",
    dependencies=[requires("cases")],
    status_code=201,
    responses={
        **responses(*_WRITE, IdempotencyKeyReused),
        201: {"headers": ETAG, "description": "The list is kept; a sweep begins soon."},
    },
)
async def create_watchlist(
    watchlists: CurrentWatchlists,
    caller: CurrentCaller,
    charges: CurrentCharges,
    audit: CurrentAudit,
    body: Checked[WatchlistIn],
    once: OnceByKey,
    response: Response,
) -> WatchlistOut:
    """All that is stored is matched with it (`sweep`), and every write from now on.

    Who matches raises an alert, once for each content that it shows, and none while one of it is
    open, which is brought up to date.
    Seeds themselves raise none, as long as they are what they were or are nearest to that.
    """
    charges.reach("cases", _units(body))
    audit.about(_ids(body))
    writer = Writer(caller.key_id, caller.name)
    return _answer(await watchlists.create(_wanted(body), writer, once), response)


@router.get(
    "/watchlists",
    operation_id="list_watchlists",
    summary="List watchlists, in pages",
    dependencies=[requires("cases")],
    responses=responses(*STORE),
)
async def list_watchlists(
    watchlists: CurrentWatchlists,
    charges: CurrentCharges,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Most watchlists on a page.")] = 100,
) -> WatchlistPage:
    """In order of their ids, without their seeds."""
    charges.reach("cases", hits_units(limit))
    found, following = await watchlists.page(place_of(cursor, _LISTING), limit)
    return WatchlistPage(
        watchlists=[ListedWatchlistOut.model_validate(_fields(shown)) for shown in found],
        next_cursor=cursor_of(following, _LISTING),
    )


@router.get(
    "/watchlists/{watchlist_id}",
    operation_id="get_watchlist",
    summary="Get a watchlist with its seeds",
    dependencies=[requires("cases")],
    responses={
        **responses(*STORE, WatchlistNotFound),
        200: {"headers": ETAG, "description": "The list."},
    },
)
async def get_watchlist(
    watchlists: CurrentWatchlists, watchlist_id: WatchlistIdPath, response: Response
) -> WatchlistOut:
    """Its seeds, whether it was swept, and how many alerts it raised."""
    return _answer(await watchlists.get(watchlist_id), response)


@router.put(
    "/watchlists/{watchlist_id}",
    operation_id="change_watchlist",
    summary="Replace a watchlist",
    dependencies=[requires("cases")],
    responses={
        **responses(*_WRITE, WatchlistNotFound, VersionConflict),
        200: {"headers": ETAG, "description": "The list is another one, and is swept again."},
    },
)
async def change_watchlist(
    watchlists: CurrentWatchlists,
    caller: CurrentCaller,
    charges: CurrentCharges,
    audit: CurrentAudit,
    watchlist_id: WatchlistIdPath,
    body: Checked[WatchlistIn],
    expected: ExpectedVersions,
    response: Response,
) -> WatchlistOut:
    """Begins its sweep anew. No alert of its older version comes after the answer.

    What it raised before stays, and who was dismissed is not raised again with the same content.
    """
    charges.reach("cases", _units(body))
    audit.about(_ids(body))
    writer = Writer(caller.key_id, caller.name)
    shown = await watchlists.replace(watchlist_id, _wanted(body), writer, expected)
    return _answer(shown, response)


@router.patch(
    "/watchlists/{watchlist_id}",
    operation_id="edit_watchlist",
    summary="Change a watchlist's name, probability or mode",
    dependencies=[requires("cases")],
    responses={
        **responses(*BODY, *STORE, StoreFull, WatchlistNotFound, VersionConflict),
        200: {"headers": ETAG, "description": "The list is changed, and is swept again."},
    },
)
async def edit_watchlist(
    watchlists: CurrentWatchlists,
    caller: CurrentCaller,
    watchlist_id: WatchlistIdPath,
    body: Checked[WatchlistChangeIn],
    expected: ExpectedVersions,
    response: Response,
) -> WatchlistOut:
    """Its seeds stay as they were read, also those of streamers that were deleted since.

    Begins its sweep anew, as `PUT` does.
    """
    wanted = Changed(body.name, body.mode, body.min_probability)
    writer = Writer(caller.key_id, caller.name)
    return _answer(await watchlists.change(watchlist_id, wanted, writer, expected), response)


@router.delete(
    "/watchlists/{watchlist_id}",
    operation_id="delete_watchlist",
    summary="Delete a watchlist",
    dependencies=[requires("cases")],
    responses=responses(*STORE, StoreFull, WatchlistNotFound, VersionConflict),
)
async def delete_watchlist(
    watchlists: CurrentWatchlists, watchlist_id: WatchlistIdPath, expected: ExpectedVersions
) -> DeletedWatchlistOut:
    """It raises no more alerts. Those that it raised stay."""
    await watchlists.delete(watchlist_id, expected)
    return DeletedWatchlistOut(watchlist_id=watchlist_id)
