"""Cells of CSV: no spreadsheet, whatever separates its cells, takes one for a formula."""

import csv
import io

import pytest

from service.files.cells import safe

_SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1", "\uff20SUM", " =1"]
)
def test_cells_that_begin_like_formulas_are_text(cell: str) -> None:
    spaces = cell[: len(cell) - len(cell.lstrip())]
    assert safe(cell) == f"{spaces}'{cell.lstrip()}"


@pytest.mark.parametrize(
    "cell", ["x;=1+1;y", "x\t@SUM(A1)", "x; \uff1d1", 'x;"=1+1"', "x\r\n-1", ";=1", "=1;=1"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_separator_makes_a_formula_of_a_part(cell: str, separator: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["rank", "name"], [1, safe(cell)], [2, "z"]])
    text.seek(0)
    for line in text.read().splitlines():
        # A quote in the middle of a field quotes nothing.
        for field in line.split(separator):
            assert not field.strip(' "').startswith(_SIGNS)


@pytest.mark.parametrize("cell", ["a;b", "cats; dogs", "x=1", "a-b; c+d", "\t", "", "  "])
def test_what_is_no_formula_stays(cell: str) -> None:
    assert safe(cell) == cell


def test_each_break_of_a_long_run_is_read_once() -> None:
    assert safe("\n" * 200_000 + "=1" + "\n;" * 200_000) == "\n" * 200_000 + "'=1" + "\n;" * 200_000


@pytest.mark.parametrize("number", [-0.5, -3, 0.25, None, True])
def test_a_number_is_no_formula(number: float | None) -> None:
    assert safe(number) == number
