"""What the endpoints work with: built once by `service.app`, read through `Depends`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Header, Path, Request, Security
from fastapi.security import HTTPBearer

from model_export.contract.streamer import ID_PATTERN
from service.engine.encoding.tower_pool import TowerWork
from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Snapshots
from service.errors import FieldError, InvalidRequest
from service.features.cold_start.service import ColdStart
from service.features.dedup.service import Dedup
from service.features.similar.service import Similar
from service.features.streamers.service import Profiles
from service.settings import Limits


@dataclass(frozen=True, eq=False)
class State:
    """The use-cases, and what health checks report.

    Attributes:
        store_problem: what is wrong with the store at the moment; None when nothing is.
        store_name: what stands behind the store, for people.
    """

    profiles: Profiles
    similar: Similar
    cold_start: ColdStart
    dedup: Dedup
    follower: Follower
    snapshots: Snapshots
    towers: TowerWork
    limits: Limits
    model_version: str
    device: str
    store_name: str
    store_problem: Callable[[], str | None]


async def state_of(request: Request) -> State:
    """The state that the lifespan yielded."""
    return cast(State, request.state.service)


CurrentState = Annotated[State, Depends(state_of)]

# The gate checks the key before the body is read; this only tells the OpenAPI document of it.
documented_key = Security(HTTPBearer(auto_error=False, description="The service's API key."))

StreamerIdPath = Annotated[str, Path(pattern=ID_PATTERN, min_length=1, max_length=128)]

# ASCII digits only: `"\u00b2".isdigit()`, and `int` refuses what is thousands of digits long.
_VERSION = re.compile(r"0*[1-9][0-9]{0,18}")


def _version(value: str, header: str) -> int:
    tag = value.strip().removeprefix("W/").strip('"')
    if not _VERSION.fullmatch(tag):
        detail = f'must be a version as an ETag gave it, like "17"; it is {value!r}'
        raise InvalidRequest(
            f"{header} {detail}", [FieldError("", detail, parameter=header.lower())]
        )
    return int(tag)


async def expected_version(
    if_match: Annotated[str | None, Header(description="Write only over this version.")] = None,
    if_none_match: Annotated[
        str | None, Header(description="`*`: write only if the streamer is not stored yet.")
    ] = None,
) -> int | None:
    """What the caller expects to be stored: None = anything, 0 = nothing, else that version."""
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            detail = "must be * and not come with If-Match"
            raise InvalidRequest(
                f"If-None-Match {detail}", [FieldError("", detail, parameter="if-none-match")]
            )
        return 0
    return None if if_match is None else _version(if_match, "If-Match")


ExpectedVersion = Annotated[int | None, Depends(expected_version)]
