"""`Idempotency-Key`: a write is done once, however often its request is sent.

The header is that of the IETF's draft-ietf-httpapi-idempotency-key-header: a quoted string, here
also without quotes. The store remembers the key in the same step as the write.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Annotated, cast

from fastapi import Depends, Header, Request
from pydantic import WithJsonSchema

from service.engine.work.lanes import Lanes
from service.engine.work.large_json import LARGE_BYTES
from service.errors import FieldError, MalformedRequest
from service.store.once import KEY_DIGITS, Once

NAME = "idempotency-key"
REPLAYED = "Idempotency-Replayed"
"""Header of an answer that an earlier request with the same key got already."""
_KEY = re.compile(r'"([ !#-\[\]-~]{1,255})"|([A-Za-z0-9._~:+/=-]{1,255})')
_SCHEMA = {"type": "string", "pattern": f"^({_KEY.pattern})$", "maxLength": 257}


_Key = Annotated[
    Annotated[str, WithJsonSchema(_SCHEMA)] | None,
    Header(
        description="Names this write, for 24 hours (a thing that it makes, for as long as that is "
        "there): sent again with the same key, the request writes nothing and gets the first "
        "answer, or that thing as it is now. Of your choice, unique among your writes; "
        'up to 255 characters in quotes, `"8e03978e-40d5-43dd-bc93-6894a57f9324"`.',
        examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
    ),
]


async def once_by_key(request: Request, idempotency_key: _Key = None) -> Once | None:
    """The write that the request's key names; None without the header.

    A caller's keys are its own: the `key_id` of the scope's `caller` is part of the name.

    Raises:
        MalformedRequest: the header is not one key.
    """
    named = _named(request, idempotency_key)
    if named is None:
        return None
    key, about = named
    body = b"" if request.method == "DELETE" else await request.body()

    def fingerprint() -> str:
        return _digest(about, body)

    lanes = cast(Lanes, request.state.services.lanes)
    made = fingerprint() if len(body) < LARGE_BYTES else await lanes.run(fingerprint)
    return Once(key, made)


OnceByKey = Annotated[Once | None, Depends(once_by_key)]


async def upload_by_key(
    request: Request, idempotency_key: _Key = None
) -> Callable[[str], Once] | None:
    """Like `once_by_key`, where the body goes to a file: what names the write by its SHA-256."""
    named = _named(request, idempotency_key)
    if named is None:
        return None
    key, about = named
    return lambda sha256: Once(key, _digest(about, sha256.encode()))


UploadByKey = Annotated[Callable[[str], Once] | None, Depends(upload_by_key)]


def _named(request: Request, idempotency_key: str | None) -> tuple[str, bytes] | None:
    """The write that a key names, and what it is besides its body."""
    if idempotency_key is None:
        return None
    given = request.headers.getlist(NAME)
    found = _KEY.fullmatch(given[0].strip()) if len(given) == 1 else None
    if found is None:
        detail = "must come once and be 1 to 255 printable ASCII characters in double quotes"
        raise MalformedRequest(f"{NAME} {detail}", [FieldError("", detail, parameter=NAME)])
    about = [request.method, request.scope["path"], request.scope["query_string"].decode("latin-1")]
    about += [request.headers.get(name, "") for name in ("if-match", "if-none-match")]
    caller = request.scope.get("caller")
    named = [str(getattr(caller, "key_id", caller or "")), found[1] or found[2]]
    return _digest(json.dumps(named).encode()), json.dumps(about).encode()


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:KEY_DIGITS]
