"""Choice of rows: bounds by value, and copies."""

import pytest

from service.features.lists.selecting import Copies, choose, group_of, told, values_of
from service.index.base import Hit

HITS = [Hit(f"s{i}", 1 - i / 100) for i in range(12)]


def ids(hits: list[Hit]) -> list[str]:
    return [hit.streamer_id for hit in hits]


def test_a_value_has_no_more_rows_than_its_bound() -> None:
    values = {f"s{i}": ["a", "b"] if i % 4 == 0 else ["ab"[i % 2]] for i in range(10)}
    chosen = choose(HITS, 12, None, values, 3)
    # The last two lack it.
    assert ids(chosen.rows) == ["s0", "s1", "s2", "s3", "s6", "s10", "s11"]
    assert chosen.over_cap == 5


def test_of_a_group_the_best_alone_is_a_row() -> None:
    groups = {"s0": "g", "s3": "g", "s4": "h", "s5": "h", "s6": "seed"}
    chosen = choose(HITS, 5, Copies(groups, {"seed"}), None, 0)
    assert ids(chosen.rows) == ["s0", "s1", "s2", "s4", "s7"]
    assert chosen.copies == 3


def test_who_is_over_the_bound_does_not_take_the_place_of_its_copies() -> None:
    values = {"s0": ["a"], "s1": ["a"], "s2": ["b"]}
    groups = {"s1": "g", "s2": "g"}
    assert ids(choose(HITS[:3], 3, Copies(groups, set()), values, 1).rows) == ["s0", "s2"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("name", ["n"]),
        ("tags", ["a", "b"]),
        ("followers", [3]),
        ("attributes.name", ["x"]),
        ("attributes.followers", [3]),
        ("regions", ["eu", "us"]),
        ("modalities_used", []),
        ("category", []),
        ("nested", []),
    ],
)
def test_fields_and_attributes_are_found_by_name(name: str, found: list[object]) -> None:
    attributes = {"followers": 3, "name": "x", "regions": ["eu", "us"], "nested": {"a": 1}}
    facets = {"name": "n", "tags": ["a", "b"], "modalities_used": 4, "attributes": attributes}
    assert values_of(facets, name) == found


@pytest.mark.parametrize("tags", [["a"], ["a", "b"], ["b", "a", "b"]])
def test_a_list_is_told_as_a_list_of_whatever_length(tags: list[str]) -> None:
    assert told({"tags": tags}, "tags") == tags
    assert told({"tags": []}, "tags") is None
    assert told({"name": "a"}, "name") == "a"


def test_rows_with_the_same_values_are_of_one_group_and_others_are_not() -> None:
    def group(*tags: str) -> str | None:
        return group_of({"tags": list(tags)}, "tags")

    assert group("a", "b") == group("b", "a") == group("a", "b", "a") == "a, b"
    assert group() is None
    different = [("a", "b"), ("a, b",), ('"a, b"',), ("a", '"b'), ("a",), ('"a"', "b")]
    assert len({group(*tags) for tags in different}) == len(different)
    assert group_of({"category": "food, drinks"}, "category") == "food, drinks"
