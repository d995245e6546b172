"""`Prefer: respond-async` (RFC 7240): a caller that would rather have a job than wait."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

NAME = "prefer"
APPLIED = "Preference-Applied"
RESPOND_ASYNC = "respond-async"
_TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
# Each part ends where its letters do, so that what is malformed costs no more than to read it.
_PREFERENCE = re.compile(rf'\s*(?!\s)({_TOKEN}*)(?!{_TOKEN})((?:"(?:[^"\\]|\\.)*"|[^",])*)(?:,|$)')


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
    return _names(",".join(request.headers.getlist(NAME)))


def _names(given: str) -> bool:
    """Whether the preferences name it; those behind a malformed one are not read."""
    place = 0
    while place < len(given) and (found := _PREFERENCE.match(given, place)):
        if found[1].lower() == RESPOND_ASYNC and not found[2].lstrip().startswith("="):
            return True
        place = found.end()
    return False


PrefersAsync = Annotated[bool, Depends(prefers_async)]
