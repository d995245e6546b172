"""Facets and filters for Milvus: typed tokens in one array, and a JSON object of numbers.

Raw JSON comparisons of Milvus mix types (`1` matches `true`), so a value is a token that has its
type, percent-encoded: `tags=s:fps`, `a.level=n:3`, `a.live=b:1`. Numbers are kept once more, as
float64, for ranges. An expression lets through everyone that the filter does; others it may let
through only where float64 can't hold a number, and that is next to a bound. Whoever asks checks
hits by the filter itself.
"""

import hashlib
import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, cast
from urllib.parse import quote

from service.index.base import Facets
from service.index.filters import FIELDS, STREAMER_ID, Condition, Filter, Scalar

TOKENS, NUMBERS, VERSION = "tokens", "numbers", "version"
ESTABLISHED = "established"
"""The token of established streamers."""
IS_ESTABLISHED = f'array_contains({TOKENS}, "{ESTABLISHED}")'
"""Lets through those that tell it."""
MOST_BYTES = 512
"""Of a token. A longer one is told by its hash."""
NOBODY = f"{VERSION} < 0"
_INEXACT = "!"
"""Stands for a number that float64 can't hold, beside its own token."""


def tokens_of(facets: Facets) -> list[str]:
    """The tokens of a streamer's facets, each once."""
    found: dict[str, None] = {}
    for name, value in _values(facets):
        found[_token(name, value)] = None
        if _is_number(value) and not _is_exact(value):
            found[_inexact(name)] = None
    return list(found)


def numbers_of(facets: Facets) -> dict[str, float]:
    """Numbers of a streamer's attributes by their encoded names."""
    attributes = cast(dict[str, Any], facets.get("attributes", {}))
    # Beyond float64's range there is the token alone.
    numbers = {n: v for n, v in attributes.items() if _is_number(v) and _is_finite(v)}
    return {_quoted(name): float(value) for name, value in numbers.items()}


def expression(wanted: Filter) -> str:
    """A boolean expression of Milvus; empty where everyone is let through."""
    parts = list[str]()
    for condition in wanted.must:
        parts += _holding(condition)
    for condition in wanted.must_not:
        held = _holding(condition)
        if held and NOBODY not in held:  # nobody's condition keeps nobody out
            parts.append(_negated(condition, held))
    return " and ".join(f"({part})" for part in parts)


def established(expression: str) -> str:
    """An expression that lets through established streamers alone."""
    return f"{IS_ESTABLISHED} and {expression}" if expression else IS_ESTABLISHED


def without(expression: str, versions: Iterable[int]) -> str:
    """An expression that leaves out some entities too."""
    listed = f"{VERSION} not in {sorted(versions)}"
    return f"{expression} and {listed}" if expression else listed


def quoted_list(texts: Iterable[str]) -> str:
    """A list of strings in an expression."""
    return "[" + ", ".join(json.dumps(text, ensure_ascii=False) for text in texts) + "]"


def _holding(condition: Condition) -> list[str]:
    """Expressions that all hold for everyone who fulfils a condition."""
    if condition.field == STREAMER_ID:
        return _with_ids(condition)
    name, parts = _name(condition.field), list[str]()
    if condition.any is not None:
        listed = _listed(name, condition.any)
        parts.append(f"array_contains_any({TOKENS}, {listed})" if condition.any else NOBODY)
    if condition.all:
        parts.append(f"array_contains_all({TOKENS}, {_listed(name, condition.all)})")
    if condition.is_bounded and condition.field in FIELDS:
        parts.append(NOBODY)
    elif condition.is_bounded:
        inexact = f'array_contains({TOKENS}, "{_inexact(name)}")'
        wide = f"({_range(condition, '=', of_inexact=True)}) or {_absent(condition)}"
        parts.append(f"({_range(condition, '=')}) or ({inexact} and ({wide}))")
    return parts


def _negated(condition: Condition, held: Sequence[str]) -> str:
    """What holds for everyone who does not fulfil a condition: one part of it fails (De Morgan)."""
    if not condition.is_bounded:
        return " or ".join(f"not ({part})" for part in held)
    inexact = f'array_contains({TOKENS}, "{_inexact(_name(condition.field))}")'
    fails = [f"not ({part})" for part in held[:-1]]
    within = f"not ({_range(condition, '')})"
    of_inexact = f"{inexact} and not ({_range(condition, '', of_inexact=True)})"
    # From 2.6.19 on the range of a number that is not there is unknown, and so is its negation.
    return " or ".join([*fails, _absent(condition), within, f"({of_inexact})"])


def _with_ids(condition: Condition) -> list[str]:
    if condition.is_bounded:
        return [NOBODY]
    parts: list[str] = []
    if condition.any is not None:
        ids = [v for v in condition.any if isinstance(v, str)]
        parts.append(f"{STREAMER_ID} in {quoted_list(ids)}" if ids else NOBODY)
    if condition.all is not None:
        only = set(condition.all)
        ids = [v for v in only if isinstance(v, str)]
        are_one = len(only) == len(ids) == 1
        parts.append(f"{STREAMER_ID} in {quoted_list(ids)}" if are_one else NOBODY)
    return parts


def _number(condition: Condition) -> str:
    return f'{NUMBERS}["{_quoted(condition.field.removeprefix("attributes."))}"]'


def _absent(condition: Condition) -> str:
    return f"not (exists {_number(condition)})"


def _range(condition: Condition, edge: str, *, of_inexact: bool = False) -> str:
    """What numbers are within bounds, all of them rounded to float64, which keeps their order.

    Args:
        condition: has the bounds.
        edge: "=" to let through what rounds to the same as a bound, "" not to: with the one all
            that are within are let through, with the other none that is not.
        of_inexact: whether the numbers were rounded; otherwise only some of the bounds may be.
    """
    key, parts = _number(condition), list[str]()
    bounds = {">": condition.gt, ">=": condition.gte, "<": condition.lt, "<=": condition.lte}
    for sign, bound in bounds.items():
        if bound is not None:
            nearest = float(max(-sys.float_info.max, min(bound, sys.float_info.max)))
            is_rounded = of_inexact or nearest != bound
            parts.append(f"{key} {sign[0] + edge if is_rounded else sign} {nearest!r}")
    return " and ".join(parts)


def _values(facets: Facets) -> Iterable[tuple[str, Scalar]]:
    for field in FIELDS:
        value: Any = facets.get(field)
        if value is not None:
            for each in cast(list[Any], value) if isinstance(value, list) else (value,):
                yield field, each
    for name, value in cast(dict[str, Any], facets.get("attributes", {})).items():
        yield f"a.{_quoted(name)}", value


def _name(field: str) -> str:
    return field if field in FIELDS else f"a.{_quoted(field.removeprefix('attributes.'))}"


def _listed(name: str, values: Sequence[Scalar]) -> str:
    return quoted_list(dict.fromkeys(_token(name, value) for value in values))


def _token(name: str, value: Scalar) -> str:
    if isinstance(value, bool):
        text = f"{name}=b:{int(value)}"
    elif isinstance(value, str):
        text = f"{name}=s:{_quoted(value)}"
    else:  # 1 is 1.0
        is_whole = isinstance(value, int) or value.is_integer()
        text = f"{name}=n:{int(value) if is_whole else repr(value)}"
    return _bounded(text)


def _inexact(name: str) -> str:
    return _bounded(f"{name}={_INEXACT}")


def _bounded(token: str) -> str:
    if len(token) <= MOST_BYTES:
        return token
    return f"~{hashlib.sha256(token.encode()).hexdigest()}"


def _quoted(text: str) -> str:
    """A text in ASCII letters, digits, `-._%`."""
    return quote(text, safe="", errors="surrogatepass").replace("~", "%7E")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_exact(value: Any) -> bool:
    return _is_finite(value) and float(value) == value
