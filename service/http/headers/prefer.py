"""`Prefer: respond-async` (RFC 7240): a caller that would rather have a job than wait."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

NAME = "prefer"
APPLIED = "Preference-Applied"
RESPOND_ASYNC = "respond-async"
_PREFERENCE = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)((?:"(?:[^"\\]|\\.)*"|[^",])*)(?:,|$)')


async def prefers_async(
    request: Request,
    prefer: Annotated[
        str | None,
        Header(
            description="`respond-async`: the answer is 202 with a job, which does the work. Other "
            "preferences are ignored.",
            examples=[RESPOND_ASYNC],
        ),
    ] = None,
) -> bool:
    """Whether the request prefers a job; what is malformed is no preference (RFC 7240)."""
    if prefer is None:
        return False
    given = ",".join(request.headers.getlist(NAME))
    return any(
        found[1].lower() == RESPOND_ASYNC and not found[2].lstrip().startswith("=")
        for found in _PREFERENCE.finditer(given)
    )


PrefersAsync = Annotated[bool, Depends(prefers_async)]
