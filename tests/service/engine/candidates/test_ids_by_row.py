"""Ids in one text are those of a list."""

import random

from service.engine.candidates.ids_by_row import IdsByRow

LETTERS = "az09_-é中😀"


def test_random_changes_make_the_ids_of_a_list() -> None:
    chosen = random.Random(3)
    ids, expected = IdsByRow(), list[str | None]()
    for step in range(6000):
        name = "".join(chosen.choices(LETTERS, k=chosen.randint(1, 128)))
        free = [row for row, known in enumerate(expected) if known is None]
        if expected and chosen.random() < 0.45 and len(free) < len(expected):
            row = chosen.choice([r for r, known in enumerate(expected) if known is not None])
            ids.remove(row)
            assert ids.get(row) is None
            expected[row] = None
        elif free and chosen.random() < 0.7:
            row = chosen.choice(free)
            ids.put(row, name)
            expected[row] = name
        else:
            assert ids.append(name) == len(expected)
            expected.append(name)
        if step % 500 == 0:
            assert [ids.get(row) for row in range(len(ids))] == expected
    assert [ids.get(row) for row in range(len(ids))] == expected
    shown = sum(2 + len(known.encode()) for known in expected if known is not None)
    assert len(ids._columns[0]) < 2 * shown + (1 << 17)


def test_nothing_is_left_of_an_id_that_was_removed() -> None:
    ids = IdsByRow()
    for name in ("somebody", "another"):
        ids.append(name)
    ids.remove(0)
    assert b"somebody" not in ids._columns[0]
    assert [ids.get(0), ids.get(1)] == [None, "another"]
