"""Preconditions: `If-Match` and `If-None-Match` as the version that a writer expects."""

import re
from typing import Annotated

from fastapi import Depends, Header

from service.errors import FieldError, InvalidRequest

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
