"""Filters on facets."""

import pytest

from service.retrieval.filters import Condition, Filter

FACETS = {
    "language": "zh",
    "tags": ["a", "b"],
    "attributes": {"views": 10, "ratio": 0.5, "partner": True, "level": 1, "language": "other"},
}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition("language", any=["zh", "en"]), True),
        (Condition("language", any=["en"]), False),
        (Condition("attributes.language", any=["other"]), True),
        (Condition("tags", any=["b", "c"]), True),
        (Condition("tags", all=["a", "b"]), True),
        (Condition("tags", all=["a", "c"]), False),
        (Condition("views", any=[10.0]), True),
        (Condition("partner", any=[True]), True),
        (Condition("partner", any=[1]), False),
        (Condition("level", any=[True]), False),
        (Condition("partner", gte=0), False),
        (Condition("language", gte=0), False),
        (Condition("views", gt=10), False),
        (Condition("views", gte=10, lte=10), True),
        (Condition("ratio", lt=0.5), False),
        (Condition("ratio", any=[0.5], gt=0.1), True),
        (Condition("category", any=["x"]), False),
        (Condition("nothing", lt=1), False),
    ],
)
def test_a_condition(condition: Condition, holds: bool) -> None:
    must = Filter(must=[condition]).predicate()
    must_not = Filter(must_not=[condition]).predicate()
    assert must is not None
    assert must_not is not None
    assert must("s", FACETS) is holds
    assert must_not("s", FACETS) is not holds


def test_no_condition_is_no_filter() -> None:
    assert Filter().predicate() is None
