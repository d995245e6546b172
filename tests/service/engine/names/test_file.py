"""The file of names while threads use it."""

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from service.engine.names.file import Change, NamesFile, Progress
from service.engine.names.grams import Texts
from service.store.base import Position

ROUNDS = 20


def _changes(count: int) -> list[Change]:
    return [Change(f"s-{n}", Texts(f"name {n}", ("music",), "words")) for n in range(count)]


def _run(steps: Iterable[None]) -> None:
    for _ in steps:
        pass


def _use(file: NamesFile, begun: threading.Barrier, ends: list[str]) -> None:
    """Ask until the file is closed."""
    begun.wait()
    try:
        while True:
            file.progress()
            file.matches("text", 0, 50)
            file.number_of("s-7")
    except sqlite3.ProgrammingError as error:
        ends.append(str(error))


def test_it_is_closed_after_what_threads_are_at(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        file = NamesFile(tmp_path / f"names-{number}")
        _run(file.apply(_changes(200), Progress(Position("e", 1, ""), None)))
        begun, ends = threading.Barrier(4), list[str]()
        threads = [threading.Thread(target=_use, args=(file, begun, ends)) for _ in range(3)]
        for thread in threads:
            thread.start()
        begun.wait()
        file.close()
        for thread in threads:
            thread.join()
        assert ends == ["the file of names is closed"] * 3
        with pytest.raises(sqlite3.ProgrammingError, match="is closed"):
            _run(file.apply(_changes(1), Progress(Position("e", 2, ""), None)))


def test_changes_that_are_left_halfway_are_not_in_it(tmp_path: Path) -> None:
    file = NamesFile(tmp_path / "names")
    _run(file.apply(_changes(3), Progress(Position("e", 1, ""), None)))
    steps = file.apply(_changes(9), Progress(Position("e", 2, ""), None))
    for _ in range(5):
        next(steps)
    steps.close()
    assert file.number_of("s-2") is not None
    assert file.number_of("s-4") is None
    _run(file.apply(_changes(9), Progress(Position("e", 3, ""), None)))
    assert file.number_of("s-8") is not None
    file.close()
