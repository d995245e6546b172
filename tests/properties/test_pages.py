"""Cursors: a walk with pages of any size meets everything once, in one order."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.api import Api
from tests.support.bundles import TOPICS

WORDS = [word for text in TOPICS.values() for word in text.split()]
IDS = sorted(f"{prefix}{i}" for i in range(12) for prefix in ("A", "z", "a.b:c-", "_"))
"""Some differ by case or sign alone, or have more digits than others."""

sizes = st.integers(1, len(IDS) + 2)
Walk = Callable[[int], Iterator[list[str]]]


@pytest.fixture(scope="module")
def filled(api: Api) -> Api:
    """Streamers who share a name, of whom every third has a duplicate; keys; jobs."""
    last = api.write(
        {
            "streamer_id": name,
            "name": f"lantern keeper {i}",
            "bio": " ".join(WORDS[(j * (i - i % 3 // 2)) % len(WORDS)] for j in range(3, 11)),
        }
        for i, name in enumerate(IDS)
    )
    api.wait_until_grouped(last)
    for _ in range(7):
        api.with_key("search")
        api.finished(api.ok("POST", "/v1/jobs/exports", {}, 202))
    api.ok("GET", "/v1/streamers", params={"q": "lantern", "after_sequence": last})
    return api


def ids_of(items: list[dict[str, Any]], key: str) -> list[str]:
    return [str(item[key]) for item in items]


def by_limit(api: Api, path: str, field: str, key: str, **params: Any) -> Walk:
    def walk(size: int) -> Iterator[list[str]]:
        asked = params | {"limit": size}
        while True:
            page = api.ok("GET", path, params=asked)
            yield ids_of(page[field], key)
            if page["next_cursor"] is None:
                return
            asked["cursor"] = page["next_cursor"]

    return walk


def similar(api: Api) -> Walk:
    def walk(size: int) -> Iterator[list[str]]:
        query = {"positive": [{"streamer_id": IDS[0]}], "min_score": -1, "pages": True, "k": size}
        page = api.ok("POST", "/v1/similar", query)
        while True:
            yield ids_of(page["hits"], "streamer_id")
            if page["next_cursor"] is None:
                return
            page = api.ok("GET", "/v1/similar", params={"cursor": page["next_cursor"]})

    return walk


LISTS: dict[str, tuple[Callable[[Api], Walk], int]] = {
    "streamers": (lambda api: by_limit(api, "/v1/streamers", "streamers", "streamer_id"), len(IDS)),
    "streamers found": (
        lambda api: by_limit(api, "/v1/streamers", "streamers", "streamer_id", q="lantern"),
        len(IDS),
    ),
    "similar": (similar, len(IDS) - 1),
    "duplicates": (lambda api: by_limit(api, "/v1/duplicates", "groups", "group_id"), 8),
    "keys": (lambda api: by_limit(api, "/v1/keys", "keys", "key_id"), 7),
    "jobs": (lambda api: by_limit(api, "/v1/jobs", "jobs", "job_id"), 7),
}


@pytest.mark.parametrize("name", LISTS)
def test_pages_of_any_size_are_the_whole_list_once(filled: Api, name: str) -> None:
    walk_of, at_least = LISTS[name]
    walk = walk_of(filled)
    (whole,) = walk(100 if name != "similar" else 1000)
    assert len(whole) >= at_least
    assert len(set(whole)) == len(whole)
    if name == "streamers":
        assert whole == sorted(IDS)

    @settings(max_examples=10)
    @given(sizes)
    def check(size: int) -> None:
        pages = list(walk(size))
        assert [one for page in pages for one in page] == whole
        assert all(len(page) == size for page in pages[:-1])
        assert len(pages[-1]) <= size

    check()


def test_who_stays_is_listed_once_whatever_happens_meanwhile(filled: Api) -> None:
    walk = by_limit(filled, "/v1/streamers", "streamers", "streamer_id")
    others = [f"{name}-x" for name in IDS]

    @settings(max_examples=8)
    @given(sizes, st.lists(st.sampled_from(others), max_size=6), st.data())
    def check(size: int, before: list[str], data: st.DataObject) -> None:
        there = set(before)
        for name in there:
            filled.put(f"/v1/streamers/{name}", json={})
        found: list[str] = []
        for page in walk(size):
            found += page
            other = data.draw(st.sampled_from(others))
            if other in there:
                filled.ok("DELETE", f"/v1/streamers/{other}")
            else:
                filled.ok("PUT", f"/v1/streamers/{other}", {}, 201)
            there ^= {other}
        assert [name for name in found if name in IDS] == IDS
        assert found == sorted(set(found))
        for name in there:
            filled.ok("DELETE", f"/v1/streamers/{name}")

    check()
