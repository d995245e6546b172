"""Tokens that Milvus takes."""

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
