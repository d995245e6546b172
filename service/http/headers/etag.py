"""Preconditions: `If-Match` and `If-None-Match` as the version that a writer expects."""

import re
from typing import Annotated, Any

from fastapi import Depends, Header

from service.errors import InvalidRequest, VersionConflict
from service.http.documents import cut
from service.store.base import ANY_STORED

# ASCII digits only: `"\u00b2".isdigit()`, and `int` refuses what is thousands of digits long.
_TAG = re.compile(r'\s*(W/)?("?)(0*[1-9][0-9]{0,18})\2\s*')
_MOST_TAGS = 20
ETAG: dict[str, Any] = {
    "ETag": {"description": "The revision; send it as If-Match.", "schema": {"type": "string"}}
}
"""What the OpenAPI document says of the header, in the `headers` of an answer."""


def _versions(value: str) -> tuple[int, ...]:
    if value.strip() == "*":
        return (ANY_STORED,)
    parts = value.split(",", _MOST_TAGS)
    tags = [_TAG.fullmatch(part) for part in parts if part.strip()]
    if not tags or None in tags or len(parts) > _MOST_TAGS:
        raise InvalidRequest.of_parameter(
            "if-match",
            f'must be *, or up to {_MOST_TAGS} versions that an ETag gave, like "17"; it is '
            f"{cut(value, 100)!r}",
        )
    strong = tuple(int(tag[3]) for tag in tags if tag and not tag[1])
    if not strong:
        raise VersionConflict(
            f'If-Match compares strongly, so that {cut(value, 100)} matches nothing; send "17" '
            'in place of W/"17"'
        )
    return strong


async def expected_versions(
    if_match: Annotated[
        str | None,
        Header(
            description='Write only over this version, one of these (`"17", "18"`), or any (`*`).',
            examples=['"17"'],
            json_schema_extra={
                "pattern": r'^(\*|(W/)?"[1-9]\d{0,18}"(, (W/)?"[1-9]\d{0,18}"){0,19})$'
            },
        ),
    ] = None,
    if_none_match: Annotated[
        str | None,
        Header(
            description="`*`: write only if the streamer is not stored yet. "
            "No other value is accepted.",
            examples=["*"],
            json_schema_extra={"pattern": r"^\*$"},
        ),
    ] = None,
) -> tuple[int, ...]:
    """Versions of which the stored one must be one; 0 = not stored; none at all = whatever is."""
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise InvalidRequest.of_parameter(
                "if-none-match", "must be * and not come with If-Match"
            )
        return (0,)
    return () if if_match is None else _versions(if_match)


ExpectedVersions = Annotated[tuple[int, ...], Depends(expected_versions)]
