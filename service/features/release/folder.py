"""A data set folder, read and checked as training does: where one refuses, so does the other.

What was taken for granted here, and read otherwise there, would be asked of streamers that the
model has learned from.
"""

import codecs
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from model_export.contract.errors import first_problem
from model_export.contract.splits import SPLITS, hashed_split
from model_export.contract.streamer import StreamerProfile
from service.errors import ServiceError
from service.files.tables import Row, rows_of

MOST_WEIGHT = 1e30
"""Of an interaction or a relation, as in training."""
_IDS = ("streamer_id", "related_id")


class UnusableData(ServiceError):
    """The folder has nothing to test a model on, or says something that can't be."""


class DataFolder:
    """A data set folder.

    Attributes:
        profiles: by id, in the order of the file.
    """

    def __init__(self, folder: Path) -> None:
        """Read the profiles.

        Raises:
            UnusableData: a profile can't be read, or an id is there twice.
            OSError: the file can't be read.
        """
        self._folder = folder
        self._path = folder / "streamers.jsonl"
        self._lines: dict[str, int] = {}
        self.profiles: dict[str, StreamerProfile] = {}
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    self._add(number, line)

    def _add(self, number: int, line: bytes) -> None:
        where = f"{self._path}:{number}"
        try:
            profile = StreamerProfile.model_validate_json(line.removeprefix(codecs.BOM_UTF8))
        except ValidationError as error:
            raise UnusableData(f"{where}: {first_problem(error)}") from error
        name = profile.streamer_id
        if (first := self._lines.setdefault(name, number)) != number:
            raise UnusableData(f"{where}: {name!r} is already on line {first}; keep one of them")
        self.profiles[name] = profile

    def splits(self, known: Mapping[str, tuple[str, str]]) -> dict[str, str]:
        """The split of every streamer: that of `splits`, else by a hash of the id, as in training.

        Args:
            known: `copies`, which a hash leaves together.

        Raises:
            UnusableData: a streamer is not listed, a split is none of `SPLITS`, or copies of each
                other are of several.
            UnreadableTable: the table can't be read.
        """
        given = self._of_each("splits", "split")
        if given is None:
            ids, groups = list(self.profiles), dict[str, int]()
            numbers = [
                groups.setdefault(known[i][0] if i in known else f"\0{i}", len(groups)) for i in ids
            ]
            return dict(zip(ids, hashed_split(ids, np.array(numbers, np.int64)), strict=True))
        for row in given.values():
            if row.cells[1] not in SPLITS:
                raise UnusableData(
                    f"{row.where}: split: needs one of {', '.join(SPLITS)}, is {row.cells[1]!r:.80}"
                )
        for name, line in self._lines.items():
            if name not in given:
                raise UnusableData(f"{self._path}:{line}: {name!r} is not listed in splits")
        first: dict[str, str] = {}
        for name, (group, _) in known.items():
            other = first.setdefault(group, name)
            one, two = given[name], given[other]
            if one.cells[1] != two.cells[1]:
                raise UnusableData(
                    f"{one.where}: {name!r} is in {one.cells[1]}, its duplicate {other!r} in "
                    f"{two.cells[1]} ({two.where})"
                )
        return {name: row.cells[1] for name, row in given.items()}

    def copies(self) -> dict[str, tuple[str, str]]:
        """Group and disguise of known copies, by id; raises like `splits`."""
        rows = self._of_each("duplicates", "group", ("disguise",)) or {}
        return {name: (row.cells[1], row.cells[2]) for name, row in rows.items()}

    def labels(self) -> dict[str, str]:
        """Labels by id; raises like `splits`."""
        return {
            name: row.cells[1] for name, row in (self._of_each("labels", "label") or {}).items()
        }

    def look_alikes(self) -> Iterator[tuple[str, str]]:
        """Ids of this folder and their sets; raises like `splits`.

        Others are left out: training does not read the table, which may be that of a larger folder.
        """
        for row in rows_of(self._folder, "look_alikes", ("streamer_id", "set")) or ():
            if row.cells[0] in self.profiles:
                yield row.cells[0], row.cells[1]

    def relations(self) -> Iterator[tuple[str, str]]:
        """Related streamers, each pair in both directions; raises like `splits`."""
        for row in self._rows("relations", ("streamer_id", "related_id", "weight")) or ():
            one, other, weight = row.cells
            if one == other:
                raise UnusableData(f"{row.where}: {one!r} is related to itself")
            if _weight(row.where, weight):
                yield one, other
                yield other, one

    def interactions(self) -> Iterator[tuple[str, str]]:
        """Streamers and their users; raises like `splits`."""
        for row in self._rows("interactions", ("streamer_id", "user_id", "weight")) or ():
            if _weight(row.where, row.cells[2]):
                yield row.cells[0], row.cells[1]

    def _of_each(
        self, table: str, column: str, optional: Sequence[str] = ()
    ) -> dict[str, Row] | None:
        """Rows of a table that has at most one for each streamer; None if there is no table."""
        rows = self._rows(table, ("streamer_id", column), optional)
        if rows is None:
            return None
        found: dict[str, Row] = {}
        for row in rows:
            name = row.cells[0]
            if (first := found.setdefault(name, row)) is not row:
                raise UnusableData(f"{row.where}: {name!r} is already at {first.where}")
        return found

    def _rows(
        self, table: str, columns: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[Row] | None:
        rows = rows_of(self._folder, table, columns, optional)
        return None if rows is None else (self._checked(row, columns) for row in rows)

    def _checked(self, row: Row, columns: Sequence[str]) -> Row:
        for column, cell in zip(columns, row.cells, strict=False):
            if not cell.strip():
                raise UnusableData(f"{row.where}: {column}: needs a text, is {cell!r:.80}")
            if column in _IDS and cell not in self.profiles:
                raise UnusableData(
                    f"{row.where}: {column}: {cell!r:.140} is not a streamer of this folder"
                )
        return row


def _weight(where: str, cell: str) -> float:
    value = math.nan
    with suppress(ValueError):
        value = math.nan if "_" in cell else float(cell)
    if not 0 <= value <= MOST_WEIGHT:
        raise UnusableData(
            f"{where}: weight: needs a number from 0 to {MOST_WEIGHT:g}, is {cell!r:.80}"
        )
    return value
