"""The question that is asked most, the k nearest of one streamer, answered past the framework.

Routing, parameters, bodies and the response's model cost more than the search. What is not quite
ordinary (another parameter, an odd id, anything that would be an error or takes a while) is left to
the framework's routes, which are the definition: this one gives the same bytes, only sooner.
"""

import re
import time
from collections.abc import Sequence
from typing import Protocol, cast

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_export.contract.streamer import ID_PATTERN
from service.errors import Overloaded, RateLimited, ServiceError
from service.features.similar.asking import SimilarQuery
from service.features.similar.live import LiveQuestions, body_bytes_of
from service.features.similar.schemas import SimilarIn
from service.features.similar.seeds import Seed
from service.features.similar.service import Similar
from service.http.auth.audit import RequestAudit
from service.http.auth.rate_limits import charges_in, hits_units
from service.http.documents import send_problem
from service.http.traffic import Known
from service.settings import Limits

_GET = re.compile(r"/v1/streamers/([^/]{1,128})/similar")
_POST = "/v1/similar"
_ID = re.compile(ID_PATTERN)
_QUERY = re.compile(rb"k=([1-9][0-9]{0,3})(?:&after_sequence=([0-9]{1,15}))?")
_DEFAULT_K = 10
_JSON = (b"content-type", b"application/json")
_ORDINARY = frozenset({"positive", "k", "after_sequence"})
_BODY_BYTES = 1 << 16
_GET_ROUTE, _POST_ROUTE = Known("/v1/streamers/{streamer_id}/similar"), Known(_POST)
_Asked = tuple[str | Sequence[float], int, int]
"""A streamer's id or a vector, how many are wanted, and the write that the answer has to know."""


class NearestRoute:
    """ASGI middleware; the lifespan's state must be in the scope."""

    def __init__(self, app: ASGIApp) -> None:
        """Leave to `app` what is not ordinary."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it, or let it through."""
        begin = time.perf_counter()
        asked: _Asked | None = None
        if scope["type"] == "http" and scope["method"] == "GET":
            asked = _asked_by_path(scope)
        elif scope["type"] == "http" and _is_body(scope):
            first = await _first_of(receive)
            asked = _asked_by_body(first)
            receive = _again(first, receive)
        body: bytes | Overloaded | RateLimited | None = None
        if asked is not None:
            try:
                body = await _answer(scope, *asked, begin)
            except (Overloaded, RateLimited) as error:
                body = error  # the framework's route would ask the full queue again
        if body is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _GET_ROUTE if scope["method"] == "GET" else _POST_ROUTE
        if isinstance(body, Overloaded | RateLimited):
            await send_problem(send, body)
            return
        length = str(len(body)).encode()
        headers = [(b"content-length", length), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _asked_by_path(scope: Scope) -> _Asked | None:
    """Whose nearest are asked for, and how many; None for any other question."""
    path = _GET.fullmatch(scope["path"])
    if path is None or not _ID.fullmatch(path[1]):
        return None
    query: bytes = scope["query_string"]
    if not query:
        return path[1], _DEFAULT_K, 0
    given = _QUERY.fullmatch(query)
    return None if given is None else (path[1], int(given[1]), int(given[2] or 0))


def _is_body(scope: Scope) -> bool:
    is_post = scope["method"] == "POST" and scope["path"] == _POST
    return is_post and not scope["query_string"] and _JSON in scope["headers"]


async def _first_of(receive: Receive) -> Message | HTTPException:
    """The first part of a body, or what is wrong with it."""
    try:
        return await receive()
    except HTTPException as error:
        return error


def _again(first: Message | HTTPException, receive: Receive) -> Receive:
    """A `receive` that gives the first message again."""
    left = [first]

    async def received() -> Message:
        if not left:
            return await receive()
        message = left.pop()
        if isinstance(message, HTTPException):
            raise message
        return message

    return received


def _asked_by_body(message: Message | HTTPException) -> _Asked | None:
    """By a body that came in one part, and has one seed and nothing else but k and a sequence."""
    if isinstance(message, HTTPException) or message.get("more_body"):
        return None
    content: bytes = message.get("body", b"")
    if len(content) > _BODY_BYTES:
        return None
    try:
        body = SimilarIn.model_validate_json(content)
    except ValidationError:
        return None
    (seed, *more) = body.positive
    is_ordinary = not more and seed.profile is None and body.model_fields_set <= _ORDINARY
    wanted = seed.vector or seed.streamer_id
    return (wanted, body.k, body.after_sequence) if is_ordinary and wanted else None


class _Services(Protocol):
    similar: Similar
    live: LiveQuestions
    limits: Limits


async def _answer(
    scope: Scope, seed: str | Sequence[float], k: int, after_sequence: int, begin: float
) -> bytes | None:
    """The body, as the framework makes it of a `SimilarOut`; None where that has to do it.

    Raises:
        Overloaded: too many searches wait already, or the deadline passed.
        RateLimited: the key has used up its limit.
    """
    known = cast(_Services, scope["state"]["services"])
    if k > known.limits.max_k:
        return None
    charges_in(scope).reach("search", hits_units(k))
    similar = known.similar
    if isinstance(seed, str):
        similar = await known.live.canary_for(scope, similar) or similar
    try:
        answer = await similar.nearest(seed, k, after_sequence)
    except (Overloaded, RateLimited):
        raise
    except ServiceError:  # the framework's route tells it, or has the active model to ask
        return None
    except Exception:
        if similar is known.similar:
            raise
        return None  # likewise
    if answer is None:
        return None
    if known.live.note(similar, len(answer.hits), time.perf_counter() - begin):
        known.live.sample(_query_of(seed, k), body_bytes_of(scope))
    audit: RequestAudit = scope["audit"]
    # The path's is known already.
    audit.about(
        [seed] if isinstance(seed, str) and scope["method"] == "POST" else (), len(answer.hits)
    )
    return to_json(
        {
            "hits": [
                {
                    "streamer_id": hit.streamer_id,
                    "score": hit.score,
                    "precision": hit.precision,
                    "rank": hit.rank,
                    "reasons": None,
                }
                for hit in answer.hits
            ],
            "threshold": None,
            "complete": answer.incomplete_because is None,
            "incomplete_because": answer.incomplete_because,
            "exact": answer.exact,
            "model_version": similar.model_version,
            "index_sequence": answer.index_sequence,
            "reached": None,
            "next_cursor": None,
            "warnings": answer.warnings,
            "coverage": answer.coverage,
            "took_ms": round((time.perf_counter() - begin) * 1000, 3),
        }
    )


def _query_of(seed: str | Sequence[float], k: int) -> SimilarQuery:
    wanted = Seed(streamer_id=seed) if isinstance(seed, str) else Seed(vector=seed)
    return SimilarQuery([wanted], k=k)
