"""Counts of values, and who a filter lets through, against counting one by one."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from service.index.faiss.index import FaissIndex
from service.index.filters import EVERYONE, Condition, Filter
from tests.service.index.asked import drop, now, put
from tests.service.index.faiss.records import lets_through, row, unit

ROWS, DIM, CONTENT_DIM = 3000, 8, 4
MANY_LEVELS = 300
FILTERS = (
    EVERYONE,
    Filter([Condition("language", any=["zh"])]),
    Filter([Condition("views", gte=500), Condition("live", any=[True])]),
    Filter([], [Condition("tags", any=["t0", "t1"])]),
    Filter([Condition("language", any=["none of them"])]),
)


@pytest.fixture(scope="module")
def world() -> tuple[FaissIndex, dict[str, dict[str, Any]]]:
    """Streamers that were changed and deleted, some without a vector."""
    rng = np.random.default_rng(8)
    index, stored = FaissIndex(DIM, CONTENT_DIM), dict[str, dict[str, Any]]()
    for version, i in enumerate(rng.integers(0, ROWS, 2 * ROWS).tolist(), start=1):
        name = f"s{i}"
        attributes: dict[str, Any] = {
            "views": int(rng.integers(0, 1000)),
            "level": int(rng.integers(0, 5)),
            "score": float(rng.integers(0, MANY_LEVELS)) / 7,
            "live": bool(rng.random() < 0.5),
            "mixed": ("a", 1, True)[i % 3],
            "tags": "an attribute of that name",
            "link": f"unique {i}",
        }
        facets = {
            "language": ("zh", "en", "ja")[int(rng.integers(3))],
            "tags": sorted({f"t{t}" for t in rng.zipf(1.5, 3) % 90}),
            "attributes": attributes,
        }
        vector = None if i % 10 == 9 else unit(rng, DIM)
        put(index, name, version, *row(vector, CONTENT_DIM, facets))
        stored[name] = facets
        if version % 5 == 0:
            drop(index, name, version + 10 * ROWS)
            del stored[name]
    return index, stored


def values_of(facets: dict[str, Any], field: str) -> list[Any]:
    if field in ("language", "category", "tags"):
        value = facets.get(field)
        return value if isinstance(value, list) else [] if value is None else [value]
    name = field.removeprefix("attributes.")
    attributes = facets["attributes"]
    return [attributes[name]] if name in attributes else []


def typed(value: Any) -> tuple[bool, Any]:
    return isinstance(value, bool), value


FIELDS = ("language", "tags", "live", "level", "mixed", "attributes.tags", "link", "absent")


@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "most"), [*itertools.product(FILTERS, (1, 3, 1000))])
def test_counts_are_those_of_counting(
    world: tuple[FaissIndex, dict[str, dict[str, Any]]], wanted: Filter, most: int
) -> None:
    index, stored = world
    allowed = {
        name: facets
        for name, facets in stored.items()
        if int(name[1:]) % 10 != 9 and lets_through(wanted, facets)
    }
    found = now(index.facet_counts(wanted, FIELDS, most))
    assert found.count == len(allowed)
    assert [counts.field for counts in found.fields] == list(FIELDS)
    for counts in found.fields:
        expected = Counter(
            typed(v) for facets in allowed.values() for v in values_of(facets, counts.field)
        )
        told = {typed(each.value): each.count for each in counts.values}
        assert len(told) == len(counts.values) == min(most, len(expected))
        assert told.items() <= expected.items()
        best = sorted(expected.values(), reverse=True)[:most]
        assert [each.count for each in counts.values] == best
        assert counts.more == (len(expected) > most)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", FILTERS)
def test_numbers_have_deciles(
    world: tuple[FaissIndex, dict[str, dict[str, Any]]], wanted: Filter
) -> None:
    index, stored = world
    for field in ("views", "score"):
        numbers = [
            facets["attributes"][field]
            for name, facets in stored.items()
            if int(name[1:]) % 10 != 9 and lets_through(wanted, facets)
        ]
        (counts,) = now(index.facet_counts(wanted, [field], 5)).fields
        if not numbers:
            assert counts.numbers is None
            continue
        assert counts.numbers is not None
        assert counts.numbers.count == len(numbers)
        shares = np.linspace(0, 1, 11)
        expected = np.quantile(numbers, shares, method="inverted_cdf")
        assert counts.numbers.deciles == pytest.approx(expected.tolist())


def test_fields_are_known_as_a_filter_has_them(
    world: tuple[FaissIndex, dict[str, dict[str, Any]]],
) -> None:
    found = now(world[0].facet_counts(EVERYONE, ["absent", "attributes.live", "tags"], 1))
    assert found.unknown_fields == ["absent"]
    known = ["attributes.tags", "language", "level", "link", "live", "mixed", "score", "tags"]
    assert found.known_fields == [*known, "views"]
    for field in found.known_fields:
        (counts,) = now(world[0].facet_counts(EVERYONE, [field], 1)).fields
        assert counts.values


@pytest.mark.parametrize("wanted", FILTERS)
def test_who_is_let_through(
    world: tuple[FaissIndex, dict[str, dict[str, Any]]], wanted: Filter
) -> None:
    index, stored = world
    names = [f"s{i}" for i in range(0, ROWS, 3)] + ["nobody"]
    found = now(index.let_through(names, wanted))
    assert found == [name in stored and lets_through(wanted, stored[name]) for name in names]


@pytest.mark.parametrize("others", [0, 40])
def test_large_numbers_are_counted_as_they_are(others: int) -> None:
    """Float64 can't hold them, and shows them as numbers that nobody has."""
    index, rng = FaissIndex(DIM, CONTENT_DIM), np.random.default_rng(3)
    large = [2**63 - 1, 2**53, 2**53 + 1, 2**53 + 1, -(2**63), 1e300]
    for version, number in enumerate([*large, *range(others)], start=1):
        facets = {"attributes": {"room": number}}
        put(index, f"s{version}", version, *row(unit(rng, DIM), CONTENT_DIM, facets))
    (found,) = now(index.facet_counts(EVERYONE, ["room"], 100)).fields
    counts = {each.value: each.count for each in found.values}
    assert counts == Counter([*large, *range(others)])
    assert all(isinstance(value, int) for value in counts if value != 1e300)
    assert found.numbers is not None
    assert found.numbers.count == len(large) + others
    assert [found.numbers.deciles[0], found.numbers.deciles[-1]] == [-(2.0**63), 1e300]
