"""Lines and server-sent events of an answer, and chunks of a bulk write with their results."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from service.client.errors import ApiProblem, UnexpectedAnswer, Unreachable, problem_error
from service.features.streamers.schemas import BulkLineOut

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
_UNFETCHED = "media_unavailable"
_IN_VAIN = 3
"""Requests in a row without any result, after which a line ends as one that can't be fetched."""
UNFETCHED_PAUSE_S = 1.0
"""Before what can't be fetched is asked for again."""
Profile = BaseModel | Mapping[str, Any]
"""A profile, or a part of one: a model, or the fields by name."""


class LineSplitter:
    """Splits what comes in parts into lines, at line feeds alone; JSON may hold other ends."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, part: bytes) -> list[bytes]:
        """The lines that end in this part, without blank ones."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        return [line for line in lines if line.strip()]


class EventSplitter:
    """Splits what comes in parts into server-sent events."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._data: list[bytes] = []

    def feed(self, part: bytes) -> list[tuple[str, bytes]]:
        """Id ("" without one) and data of the events that end in this part; comments are none."""
        found: list[tuple[str, bytes]] = []
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            name, _, value = line.removesuffix(b"\r").partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            elif name == b"id":
                self._id = value.decode(errors="replace").strip()
            elif not name and not value and self._data:
                found.append((self._id, b"\n".join(self._data)))
                self._data = []
        return found


class Chunk:
    """Lines that are written by one request, or by several where results are missing.

    Attributes:
        size: how many lines it has, blank ones included.
        results: by the number of the line in the whole input, in the order in which they came.
    """

    def __init__(self, first: int, lines: list[bytes]) -> None:
        """Of lines of the input.

        Args:
            first: number of the first line in the whole input, from 1.
            lines: each with its end.
        """
        self.size = len(lines)
        self.results: list[BulkLineOut] = []
        self._first = first
        self._lines = lines
        self._waiting = [i for i, line in enumerate(lines) if line.strip()]
        self._in_vain = 0
        self._begin()

    def _begin(self) -> None:
        """Forget the last request."""
        self._sent = self._waiting
        self._had = len(self.results)
        self._troubles: dict[int, ApiProblem] = {}
        self._ids: dict[int, str] = {}
        self._unfetched: list[tuple[int, BulkLineOut]] = []
        self._held: list[tuple[int, BulkLineOut]] = []

    @property
    def is_done(self) -> bool:
        """Whether every line has its result."""
        return not self._waiting

    def body(self) -> bytes:
        """Content of the next request: the lines that have no result."""
        self._begin()
        return b"".join(self._lines[i] for i in self._sent)

    def take(self, url: str, line: bytes) -> None:
        """Note a result line of the answer.

        Raises:
            UnexpectedAnswer: it is none.
        """
        try:
            result = BulkLineOut.model_validate_json(line)
            place = self._sent[result.line - 1]
        except (ValidationError, IndexError) as error:
            wrong = error if isinstance(error, ValidationError) else None
            raise UnexpectedAnswer(url, 200, line, wrong) from error
        if result.error is not None:
            trouble = problem_error(result.error)
            # What came too late, or after more lines than a request may have, may come first.
            is_cut = trouble.status in (408, 413) and result.line > 1
            if trouble.is_passing or is_cut:
                trouble.is_passing = True
                trouble.detail = f"line {self._first + place}: {trouble.detail}"
                self._troubles[place] = trouble
                if trouble.code == _UNFETCHED:
                    trouble.retry_after_s = UNFETCHED_PAUSE_S
                    self._unfetched.append((place, result))
                if result.streamer_id is not None:
                    self._ids[place] = result.streamer_id
                return
        if result.streamer_id in self._ids.values():
            # It is sent again as well if the earlier line is, or that would replace it.
            self._held.append((place, result))
        else:
            self._settle(place, result)

    def check(self, url: str) -> None:
        """Check that the answer had a result for every line.

        A line whose picture or sound can't be fetched is sent again, until three requests in a row
        brought no result of any line; see `settle_unfetched`.

        Raises:
            ClientError: some lines have to be sent again, and why.
        """
        self._in_vain = self._in_vain + 1 if len(self.results) == self._had else 0
        if self._in_vain == _IN_VAIN:
            self.settle_unfetched()
        if self._waiting:
            troubles = [self._troubles[place] for place in self._waiting if place in self._troubles]
            if troubles:  # what can't be fetched hides nothing else
                raise min(troubles, key=lambda trouble: trouble.code == _UNFETCHED)
            first = self._first + self._waiting[0]
            raise Unreachable(f"{url} did not answer (the answer was cut off before line {first})")

    def settle_unfetched(self) -> None:
        """Take for results what the last request said of pictures and sounds.

        A host that is down stops no other line.
        """
        unfetched, held = self._unfetched, self._held
        self._unfetched, self._held, self._in_vain = [], [], 0
        for place, result in unfetched:
            self._settle(place, result)
            self._ids.pop(place, None)
        for place, result in held:
            if result.streamer_id not in self._ids.values():
                self._settle(place, result)

    def _settle(self, place: int, result: BulkLineOut) -> None:
        result.line = self._first + place
        self._waiting = [i for i in self._waiting if i != place]
        self.results.append(result)


def chunks_of(
    profiles: Iterable[Profile | bytes | str], most_lines: int, most_bytes: int
) -> Iterator[Chunk]:
    """Chunks of profiles, read as they are asked for.

    Args:
        profiles: models, fields by name, or lines of NDJSON, such as those of an open file.
        most_lines: of a chunk.
        most_bytes: of a chunk, unless one line is longer.

    Raises:
        ValueError: an element has several lines.
    """
    lines: list[bytes] = []
    size, first = 0, 1
    for number, profile in enumerate(profiles, start=1):
        line = _line_of(number, profile)
        if lines and (len(lines) == most_lines or size + len(line) > most_bytes):
            yield Chunk(first, lines)
            lines, size, first = [], 0, number
        lines.append(line)
        size += len(line)
    if lines:
        yield Chunk(first, lines)


def _line_of(number: int, profile: Profile | bytes | str) -> bytes:
    if isinstance(profile, bytes | str):
        line = profile.encode() if isinstance(profile, str) else profile
        line = line.removesuffix(b"\n")
        if b"\n" in line:
            raise ValueError(
                f"profile {number} has a line break in its JSON: give each on one line"
            )
        return line + b"\n"
    return json_of(profile) + b"\n"


def json_of(value: Profile) -> bytes:
    """JSON of a model, without what was not set, or of a mapping."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude_unset=True, by_alias=True).encode()
    return to_json(value)


def fields_of(value: Profile) -> dict[str, Any]:
    """Fields of a model, without what was not set, or of a mapping."""
    if isinstance(value, BaseModel):
        return json.loads(json_of(value))
    return dict(value)
