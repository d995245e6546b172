"""`/v1/keys`: API keys are created, listed, rotated and revoked."""

from typing import Annotated

from fastapi import Depends, Path, Query, Response

from service.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    KeyNotFound,
    KeyTextNotKept,
    LastAdminKey,
    StoreFull,
)
from service.features.keys.key_text import ID_PATTERN
from service.features.keys.schemas import (
    IssuedKeyOut,
    KeyChangesIn,
    KeyIn,
    KeyOut,
    KeyPage,
    RevokedOut,
    RotateIn,
)
from service.features.keys.service import Changes, Issued, Keys, Listed
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import KEYLESS, CurrentCaller
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.headers.idempotency import OnceByKey
from service.http.json_bodies import JsonRoute
from service.http.openapi import RUNNING_IT
from service.http.problems import Checked
from service.scopes import scopes_of

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[RUNNING_IT])
CurrentKeys = Annotated[Keys, Depends(service_named("keys", Keys))]
KeyIdPath = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        description="12 hex digits, as GET /v1/keys lists them.",
    ),
]
_LISTING = "keys"
_WRITE = (*STORE, StoreFull)
_SHOWN = (KeyTextNotKept, IdempotencyKeyReused)
_BY_DEFAULT = RotateIn()


def _fields(listed: Listed) -> dict[str, object]:
    return {**vars(listed.record), "scopes": listed.scopes, "last_used_at": listed.last_used_at}


def _issued(issued: Issued, response: Response) -> IssuedKeyOut:
    response.headers["Cache-Control"] = "no-store"
    fields = _fields(Listed(issued.record, None))
    return IssuedKeyOut.model_validate({**fields, "key": issued.key})


@router.post(
    "/keys",
    operation_id="create_key",
    summary="Create a key",
    dependencies=[requires("admin")],
    status_code=201,
    responses=responses(*BODY, *_WRITE, *_SHOWN),
)
async def create_key(
    keys: CurrentKeys,
    caller: CurrentCaller,
    audit: CurrentAudit,
    body: Checked[KeyIn],
    once: OnceByKey,
    response: Response,
) -> IssuedKeyOut:
    """The key is shown this once; the store keeps its SHA-256.

    Sent again with the same `Idempotency-Key` it makes no other one: the answer is then 409, and
    names the key.

    The first key of a service that had none ends its answering without a key, so it has to be one
    that can make others.
    """
    scopes = scopes_of(body.role, tuple(body.scopes or ()))
    if caller is KEYLESS and "admin" not in scopes:
        raise InvalidRequest.of(
            "/scopes" if body.role is None else "/role",
            "must have the scope admin for the first key: with it the service stops answering "
            "without a key, and nobody could make another",
        )
    expires_at = None if body.expires_at is None else body.expires_at.timestamp()
    own = body.scopes or ()
    issued = await keys.create(body.name, body.role, own, expires_at, body.limits, once)
    audit.about([issued.record.key_id])
    return _issued(issued, response)


@router.get(
    "/keys",
    operation_id="list_keys",
    summary="List keys, in pages",
    dependencies=[requires("admin")],
    responses=responses(*STORE),
)
async def list_keys(
    keys: CurrentKeys,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most keys on a page.")] = 100,
) -> KeyPage:
    """Without the keys themselves, of which only a SHA-256 is stored."""
    listed, last = await keys.page(place_of(cursor, _LISTING), limit)
    return KeyPage(
        keys=[KeyOut.model_validate(_fields(key)) for key in listed],
        next_cursor=cursor_of(last, _LISTING),
    )


@router.patch(
    "/keys/{key_id:name}",
    operation_id="change_key",
    summary="Change what a key may, its limits, name or expiry (JSON merge patch)",
    dependencies=[requires("admin")],
    responses=responses(*BODY, *_WRITE, KeyNotFound, LastAdminKey),
)
async def change_key(
    keys: CurrentKeys, audit: CurrentAudit, key_id: KeyIdPath, body: Checked[KeyChangesIn]
) -> KeyOut:
    """Its text stays as it was. Other replicas know of it within a second.

    The last key with the scope admin keeps it, unless the settings let another admin in.
    """
    given = body.model_fields_set
    audit.about(action=f"change {', '.join(sorted(given))}")
    expires_at = None if body.expires_at is None else body.expires_at.timestamp()
    changes = Changes(
        body.name,
        body.role,
        body.scopes or (),
        expires_at if "expires_at" in given else "as before",
        body.limits or {},
        keeps_limits="limits" not in given or body.limits is not None,
    )
    return KeyOut.model_validate(_fields(await keys.update(key_id, changes)))


@router.delete(
    "/keys/{key_id:name}",
    operation_id="revoke_key",
    summary="Revoke a key",
    dependencies=[requires("admin")],
    responses=responses(*_WRITE, KeyNotFound),
)
async def revoke_key(keys: CurrentKeys, key_id: KeyIdPath) -> RevokedOut:
    """It is refused from now on, by other replicas within a second."""
    await keys.revoke(key_id)
    return RevokedOut(key_id=key_id)


@router.post(
    "/keys/{key_id}:rotate",
    operation_id="rotate_key",
    summary="Give a key another text",
    dependencies=[requires("admin")],
    responses=responses(*BODY, *_WRITE, KeyNotFound, *_SHOWN),
)
async def rotate_key(
    keys: CurrentKeys,
    key_id: KeyIdPath,
    once: OnceByKey,
    response: Response,
    body: Checked[RotateIn] = _BY_DEFAULT,
) -> IssuedKeyOut:
    """The new text is shown this once; the one before can be used for the time of grace.

    Sent again with the same `Idempotency-Key` it changes nothing, and the answer is 409: a second
    rotation would end the text that is in use.
    """
    expires_at = None if body.expires_at is None else body.expires_at.timestamp()
    return _issued(await keys.rotate(key_id, body.grace_s, expires_at, once), response)
