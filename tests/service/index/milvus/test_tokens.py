"""Tokens that Milvus takes, and what its expressions let through."""

import ast
import operator
import re
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from service.index.base import Facets
from service.index.filters import Condition, Filter
from service.index.milvus.tokens import MOST_BYTES, expression, numbers_of, tokens_of


def test_tokens_of_long_names_are_told_by_their_hashes() -> None:
    name = "名" * 57  # 513 bytes, percent-encoded
    tokens = tokens_of({"attributes": {name: 2**53 + 1}})
    assert len(tokens) == 2
    assert all(len(token) <= MOST_BYTES for token in tokens)
    (inexact,) = [token for token in tokens if token in expression(bounded(name, gt=3))]
    assert inexact in expression(Filter(must_not=[Condition(f"attributes.{name}", gt=3)]))
    (short,) = [t for t in tokens_of({"attributes": {"x": 2**53 + 1}}) if t.endswith("!")]
    assert f'"{short}"' in expression(bounded("x", gt=3))


def bounded(name: str, gt: float) -> Filter:
    return Filter([Condition(f"attributes.{name}", gt=gt)])


def test_a_number_beyond_float64_is_a_token_alone() -> None:
    facets = {"attributes": {"huge": 10**400, "x": 2}}
    assert numbers_of(facets) == {"x": 2.0}
    assert "a.huge=!" in tokens_of(facets)


SIGNS: Any = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}


class Evaluated(ast.NodeVisitor):
    """An expression, which reads as Python does, for one row; None is unknown.

    Comparisons of a number that is not there are unknown from Milvus 2.6.19 on (three-valued logic
    of Kleene), and false before.
    """

    def __init__(self, facets: Facets, absent: bool | None) -> None:
        self._tokens, self._numbers = set(tokens_of(facets)), numbers_of(facets)
        self._absent = absent

    def visit_Expression(self, node: ast.Expression) -> bool | None:
        return self.visit(node.body)

    def visit_BoolOp(self, node: ast.BoolOp) -> bool | None:
        values: Sequence[bool | None] = [self.visit(value) for value in node.values]
        decides = isinstance(node.op, ast.Or)
        if decides in values:
            return decides
        return None if None in values else not decides

    def visit_UnaryOp(self, node: ast.UnaryOp) -> bool | None:
        assert isinstance(node.op, ast.Not)
        value = self.visit(node.operand)
        return None if value is None else not value

    def visit_Compare(self, node: ast.Compare) -> bool | None:
        number = self._numbers.get(self._name(node.left))
        if number is None:
            return self._absent
        return SIGNS[type(node.ops[0])](number, ast.literal_eval(node.comparators[0]))

    def visit_Call(self, node: ast.Call) -> bool:
        assert isinstance(node.func, ast.Name)
        if node.func.id == "exists":
            return self._name(node.args[0]) in self._numbers
        given: Any = ast.literal_eval(node.args[1])
        if node.func.id == "array_contains":
            return given in self._tokens
        assert node.func.id == "array_contains_any"
        return bool(self._tokens & set(given))

    @staticmethod
    def _name(node: ast.expr) -> str:
        assert isinstance(node, ast.Subscript)
        return ast.literal_eval(node.slice)


HUGE = 2**53 + 1
OVER = Condition("x", gt=100, lte=300)


@pytest.mark.parametrize("absent", [None, False])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter([OVER]), [150, 300]),
        (Filter(must_not=[OVER]), [50, 400, HUGE, None, "text", True]),
        (
            Filter(must_not=[Condition("x", any=[150], gt=100)]),
            [50, 300, 400, HUGE, None, "text", True],
        ),
        (Filter([Condition("x", lt=100)], [OVER]), [50]),
    ],
)
def test_who_lacks_a_number_has_it_in_no_range(
    absent: bool | None, wanted: Filter, expected: list[object]
) -> None:
    assert let_through(wanted, [50, 150, 300, 400, HUGE, None, "text", True], absent) == expected


def let_through(wanted: Filter, values: Sequence[Any], absent: bool | None) -> list[Any]:
    python = re.sub(r"exists (\S+?\])", r"exists(\1)", expression(wanted))
    parsed = ast.parse(python, mode="eval")
    rows = [{"attributes": {} if value is None else {"x": value}} for value in values]
    found = [Evaluated(facets, absent).visit(parsed) for facets in rows]
    return [v for v, is_found in zip(values, found, strict=True) if is_found]


LARGE = [2**60 + i for i in range(-2048, 2049, 32)]
NUMBERS = [-(10**400), *(-v for v in LARGE), 0, 1.5, 2**53, HUGE, *LARGE, 10**300 + 7, 10**400]


@pytest.mark.parametrize("sign", ["gt", "gte", "lt", "lte"])
@pytest.mark.parametrize("bound", [2**60, 2**60 + 1, 2**60 - 1, -(2**60) - 1, 2**53 + 1, 10**400])
def test_ranges_of_numbers_that_float64_can_not_hold(sign: str, bound: int) -> None:
    bounds: Any = {sign: bound}
    condition = Condition("x", **bounds)
    holds = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}[sign]
    fulfil = {v for v in NUMBERS if holds(v, bound)}
    rounded = float(min(bound, 2**1000))
    near = {v for v in NUMBERS if abs(v) > sys.float_info.max or float(v) == rounded}
    for absent in (None, False):
        within = {*let_through(Filter([condition]), NUMBERS, absent)}
        beyond = {*let_through(Filter(must_not=[condition]), NUMBERS, absent)}
        assert fulfil <= within <= fulfil | near
        assert {*NUMBERS} - fulfil <= beyond <= ({*NUMBERS} - fulfil) | near
