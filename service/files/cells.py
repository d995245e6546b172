"""Cells of CSV for spreadsheets, none of which is taken for a formula."""

import re
from typing import TypeVar

AnyCell = TypeVar("AnyCell")
_FORMULA = re.compile(r"""((?:^|[;\t\r\n])[\s"]*+)([-=+@\uff1d\uff0b\uff0d\uff20]?)""")
"""What begins like one, at the beginning of a text, and where a spreadsheet whose separator is not
the comma takes a cell to begin (runs of blanks there are read once): it does not see quotes in the
middle of what it takes for one. East Asian spreadsheets take full-width signs as well."""


def safe(cell: AnyCell) -> AnyCell:
    """A cell that no spreadsheet takes for a formula: `'` before each sign that may begin one."""
    return _FORMULA.sub(_marked, cell) if isinstance(cell, str) else cell


def _marked(found: re.Match[str]) -> str:
    before, sign = found.groups()
    return f"{before}'{sign}" if sign else before
