"""Pages are kept for a while, and no longer."""

import numpy as np
import pytest

from service.errors import CursorExpired
from service.features.similar.pages import Pages, Pinned
from service.settings import Paging


def pinned(hits: int, page_size: int = 10) -> Pinned:
    ids = [f"s{i}" for i in range(hits)]
    return Pinned(ids, np.zeros(hits, np.float32), page_size, (), None, None, 7)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pages_follow_each_other_to_the_end() -> None:
    pages = Pages(Paging())
    answer = pinned(35)
    cursor: str | None = pages.pin(answer)
    starts: list[int] = []
    while cursor is not None:
        found, start, following = pages.at(cursor)
        assert found is answer
        assert pages.at(cursor)[1:] == (start, following)  # asked again, the same again
        starts.append(start)
        cursor = following
    assert starts == [10, 20, 30]


def test_an_answer_that_nobody_asks_for_is_let_go() -> None:
    clock = Clock()
    pages = Pages(Paging(keep_s=60), clock)
    kept, left = pages.pin(pinned(20)), pages.pin(pinned(20))
    clock.now += 59
    pages.at(kept)
    clock.now += 30
    pages.at(kept)
    with pytest.raises(CursorExpired, match="ask the question again"):
        pages.at(left)


def test_the_answers_asked_for_least_recently_make_room() -> None:
    pages = Pages(Paging(max_hits=100))
    first, second = pages.pin(pinned(40)), pages.pin(pinned(40))
    pages.at(first)
    third = pages.pin(pinned(40))
    pages.at(first)
    pages.at(third)
    with pytest.raises(CursorExpired):
        pages.at(second)
    large = pages.pin(pinned(1000))
    assert pages.at(large)[1] == 10  # the last one is kept, whatever its size
    for gone in (first, third):
        with pytest.raises(CursorExpired):
            pages.at(gone)


@pytest.mark.parametrize(
    "cursor", ["", "x", "x.10", "{}.", "{}.-1", "{}.\u00b2", "{}.1" + "0" * 30]
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    pages = Pages(Paging())
    name = pages.pin(pinned(40)).partition(".")[0]
    with pytest.raises(CursorExpired):
        pages.at(cursor.format(name))
