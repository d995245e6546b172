"""What is wrong with a data set folder, named so that it can be found and mended."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

MAX_FIELDS_PER_LINE = 10
"""A line with more wrong fields is cut short; a spoilt vector would fill the screen otherwise."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: name of the file in the folder.
        line: its line, counted from 1 (in Parquet and NumPy files: the row); None = the whole file.
        field: the wrong part of the line, as `videos[0].title`; "" = the whole line.
        reason: what is wrong with it.
    """

    file: str
    line: int | None
    field: str
    reason: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.field, self.reason) if part)


def profile_problems(file: str, line: int, error: ValidationError) -> list[Problem]:
    """The wrong fields of one profile."""
    problems = [
        Problem(file, line, _field(found["loc"]), found["msg"].removeprefix("Value error, "))
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    if len(problems) > MAX_FIELDS_PER_LINE:
        more = len(problems) - MAX_FIELDS_PER_LINE
        problems[MAX_FIELDS_PER_LINE:] = [Problem(file, line, "", f"{more} more wrong fields")]
    return problems


def _field(place: Sequence[int | str]) -> str:
    """A pydantic location as people write it: `videos[0].title`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")
