"""Moments in options and in tables."""

import argparse
import time
from collections.abc import Iterator

import pytest

from service.commands.questions.moments import moment, shown

NEW_YEAR = 1767225600.0


@pytest.fixture
def five_hours_west(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text", ["2026-01-01", "20260101", "2026-01-01T08:00+08:00", "1767225600", "1767225600.0"]
)
def test_a_moment_is_read_as_it_is_meant(text: str) -> None:
    assert moment(text) == NEW_YEAR


@pytest.mark.parametrize("text", ["ever", "0"])
def test_ever_is_the_beginning(text: str) -> None:
    assert moment(text) == 0


@pytest.mark.parametrize("text", ["2026", "202601", "-1", "nan", "soon", "01/02/2026"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be a day"):
        moment(text)


@pytest.mark.usefixtures("five_hours_west")
def test_a_moment_that_was_shown_can_be_given_again() -> None:
    assert shown(NEW_YEAR) == "2025-12-31T19:00:00-05:00"
    assert moment(shown(NEW_YEAR)) == NEW_YEAR
