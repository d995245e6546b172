"""Lines of NDJSON that hold a profile each, as `:bulk` and imports read them."""

import codecs
import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from model_export.contract.streamer import StreamerProfile
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import LARGE_BYTES
from service.errors import BodyTooLarge, ServiceError
from service.http.documents import cut, problem_of
from service.http.json_bodies import loads_bounded
from service.http.problems import invalid
from service.settings import Limits

CHUNK_LINES = 16
"""Lines that are encoded and written together, in one script of the store."""
CHUNK_BYTES = 1 << 20
"""Long lines fill a chunk earlier: a chunk and all that is made of it are in memory."""
_MOST_ERRORS, _MOST_CHARS = 3, 300


class LineReader:
    """Reads and checks profiles; others have their turn on the event loop meanwhile."""

    def __init__(self, limits: Limits, lanes: Lanes) -> None:
        """Read lines within `limits`, the long ones in a thread of `lanes`."""
        self._limits = limits
        self._lanes = lanes

    async def read(
        self, chunk: Sequence[tuple[int, bytes]]
    ) -> tuple[dict[int, StreamerProfile], dict[int, ServiceError]]:
        """Profiles, and what is wrong with other lines, by number; blank lines are in neither."""
        profiles: dict[int, StreamerProfile] = {}
        refused: dict[int, ServiceError] = {}
        begin = time.perf_counter()
        for number, line in chunk:
            begin = await self._lanes.give_way.after(begin)
            if not line.strip():
                continue
            try:
                profiles[number] = await self._profile(line)
            except ValidationError as error:
                refused[number] = invalid(error)
            except ServiceError as error:
                refused[number] = error
        return profiles, refused

    async def _profile(self, line: bytes) -> StreamerProfile:
        if len(line) < LARGE_BYTES:
            return profile_of(line, self._limits)
        return await self._lanes.run(lambda: profile_of(line, self._limits), Lane.BULK)


def profile_of(line: bytes, limits: Limits) -> StreamerProfile:
    """The profile of a line; a long one takes its time, which others have in a thread.

    Raises:
        ValidationError: it is not valid.
        InvalidRequest: it has too many values.
        MalformedBody: it can't be read.
        BodyTooLarge: it is too long.
    """
    if len(line) > limits.body_limit_bytes:
        raise BodyTooLarge(f"a line may have {limits.body_limit_bytes} bytes")
    if len(line) < LARGE_BYTES:
        return StreamerProfile.model_validate_json(line.removeprefix(codecs.BOM_UTF8))
    return StreamerProfile.model_validate(loads_bounded(line, limits.body_values))


def short_problem(refused: ServiceError) -> dict[str, Any]:
    """A problem document for one line of many: its first few errors, no long words."""
    error = problem_of(refused)
    short = {**error, "detail": cut(error["detail"], _MOST_CHARS)}
    if "errors" in error:
        first = error["errors"][:_MOST_ERRORS]
        short["errors"] = [{k: cut(text, _MOST_CHARS) for k, text in one.items()} for one in first]
    return short
