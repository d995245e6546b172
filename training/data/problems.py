"""Problems of a data set folder, located by file, line and field."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

MAX_FIELDS_PER_LINE = 10
"""Most fields reported per line; an invalid vector could have thousands."""
MAX_PER_FIELD = 1000
"""Most problems of one field of a file that are kept: all lines may have the same one."""


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        file: file name in the folder.
        line: line from 1, or row in Parquet and NumPy files; None = the whole file.
        field: part of the line, such as `videos[0].title`; "" = the whole line.
        reason: what is wrong.
    """

    file: str
    line: int | None
    field: str
    reason: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.field, self.reason) if part)


class Problems(list[Problem]):
    """Problems of a folder, of each field of a file the first `MAX_PER_FIELD`.

    Attributes:
        total: number of all that were added.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self._by_field: Counter[tuple[str, str]] = Counter()

    def append(self, problem: Problem) -> None:
        """Add a problem, or only count it."""
        place = (problem.file, re.split(r"[.\[]", problem.field, maxsplit=1)[0])
        self._by_field[place] += 1
        self.total += 1
        if self._by_field[place] <= MAX_PER_FIELD:
            super().append(problem)

    def __iadd__(self, problems: Iterable[Problem]) -> "Problems":  # type: ignore[override]
        """Add problems, or only count them."""
        for problem in problems:
            self.append(problem)
        return self


def profile_problems(file: str, line: int, error: ValidationError) -> list[Problem]:
    """Problems of one profile."""
    problems = [
        Problem(file, line, _field(found["loc"]), found["msg"].removeprefix("Value error, "))
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    if len(problems) > MAX_FIELDS_PER_LINE:
        more = len(problems) - MAX_FIELDS_PER_LINE
        problems[MAX_FIELDS_PER_LINE:] = [Problem(file, line, "", f"{more} more wrong fields")]
    return problems


def _field(place: Sequence[int | str]) -> str:
    """Pydantic location in the notation `videos[0].title`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")
