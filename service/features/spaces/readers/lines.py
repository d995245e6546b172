"""Hand-overs as lines of JSON.

{"kind": "streamer", "id", "vector", "interactions"?, "neighbours"?: [{"streamer_id", "weight"}]}
{"kind": "user", "id", "vector", "attributes"?}
"""

import codecs
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_export.contract.streamer import AttributeValue
from service.errors import InvalidRequest
from service.features.spaces.readers.neighbours import HandedNeighbour, too_many
from service.features.spaces.readers.rows import HandOver, Rows

_LINE_BYTES = 1 << 18
_BLOCK_ROWS = 256
_MOST_NUMBERS = 4096


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["streamer", "user"]
    id: Annotated[str, Field(max_length=256)]
    vector: Annotated[list[float], Field(max_length=_MOST_NUMBERS)]
    interactions: float | None = None
    neighbours: list[HandedNeighbour] | None = None
    attributes: dict[str, AttributeValue] | None = None


class _Block:
    """Rows of one kind that wait to be taken in together."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._lines: list[_Line] = []
        self._numbers: list[int] = []

    def add(self, line: _Line, number: int) -> None:
        """One more; those that wait are taken in when they are many, or of another width."""
        if self._lines and (
            len(self._lines) == _BLOCK_ROWS
            or len(line.vector) != len(self._lines[0].vector)
            or (line.interactions is None) != (self._lines[0].interactions is None)
        ):
            self.flush()
        self._lines.append(line)
        self._numbers.append(number)

    def flush(self) -> None:
        """Take in what waits."""
        lines, numbers = self._lines, self._numbers
        self._lines, self._numbers = [], []
        if not lines:
            return
        counts: Sequence[float] | None = None
        if lines[0].interactions is not None:
            counts = [line.interactions or 0.0 for line in lines]
        vectors = np.array([line.vector for line in lines], np.float64)  # (b, d)
        ids = [line.id for line in lines]
        attributes = [line.attributes or {} for line in lines]

        def where(row: int) -> str:
            return f"line {numbers[row]}"

        self._rows.append(ids, vectors, counts, where, attributes)
        neighbours = [line.neighbours or () for line in lines]
        self._rows.neighbours.put(self._rows.count - len(ids), ids, neighbours, where)


def read_lines(path: Path, into: HandOver) -> Generator[None, None, None]:
    """Read lines, in steps.

    Raises:
        InvalidRequest: a line is not usable; names it.
        SpoolFull: there is no room for the vectors.
    """
    blocks = {"streamer": _Block(into.streamers), "user": _Block(into.users)}
    number = 0
    with path.open("rb") as file:
        while text := file.readline(_LINE_BYTES + 1):
            number += 1
            if len(text) > _LINE_BYTES:
                raise InvalidRequest(f"line {number}: is longer than {_LINE_BYTES} bytes")
            text = text.removeprefix(codecs.BOM_UTF8) if number == 1 else text
            if not text.strip():
                continue
            try:
                line = _Line.model_validate_json(text)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                place = "/".join(str(part) for part in first["loc"])
                raise InvalidRequest(
                    f"line {number}: {place + ': ' if place else ''}{first['msg']}; a line is "
                    '{"kind": "streamer" or "user", "id": text, "vector": [numbers], '
                    '"interactions": a number, for streamers, if known, '
                    '"neighbours": [{"streamer_id", "weight"}], for streamers, if known, '
                    '"attributes": {name: text, number or truth}, for users}'
                ) from error
            for name in ("interactions", "neighbours"):
                if line.kind == "user" and getattr(line, name) is not None:
                    raise InvalidRequest(
                        f"line {number}: {name} are told of streamers alone; leave them out"
                    )
            if line.neighbours and (wrong := too_many(len(line.neighbours))):  # before many wait
                raise InvalidRequest(f"line {number}: neighbours: {wrong}")
            if line.kind == "streamer" and line.attributes:
                raise InvalidRequest(
                    f"line {number}: attributes are told of users alone; those of streamers are "
                    "in their profiles"
                )
            blocks[line.kind].add(line, number)
            if number % 64 == 0:
                yield
    for block in blocks.values():
        block.flush()
