"""Signals that end a command, at moments that another process could not choose."""

import contextlib
import http.server
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from service.__main__ import main
from service.commands.files import write_whole
from service.commands.stopping import Interrupted, interruptible
from tests.interfering import at_call
from tests.service.commands.conftest import end_main_thread, serving


@pytest.fixture
def passed_on() -> Generator[list[int], None, None]:
    """Numbers of SIGTERM that came to the handler that was there before."""
    passed: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: passed.append(number))
    yield passed
    signal.signal(signal.SIGTERM, before)


def term() -> None:
    signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_was_swallowed_may_be_sent_again() -> None:
    seconds = 5.0
    with interruptible(lambda: seconds):
        with pytest.raises(Interrupted):  # a finalizer swallows it too
            term()
        seconds = 5.9
        term()
        signal.raise_signal(signal.SIGHUP)
        seconds = 6.1
        with pytest.raises(Interrupted, match="SIGTERM"):
            term()


def test_one_that_comes_at_the_end_waits_for_the_handlers_of_before(passed_on: list[int]) -> None:
    before = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGINT)
    ending = contextlib.ExitStack()
    ending.enter_context(interruptible(lambda: 5.0))
    with at_call(signal.signal, term):
        ending.close()
    assert passed_on == [signal.SIGTERM]
    assert (signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.usefixtures("passed_on")
def test_a_file_that_is_not_in_its_place_yet_leaves_no_draft(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(b"before")
    with pytest.raises(Interrupted), at_call(os.replace, term):
        write_whole("--out", file, lambda: b"after")
    assert ([*tmp_path.iterdir()], file.read_bytes()) == ([file], b"before")


class Ends(http.server.BaseHTTPRequestHandler):
    """Ends whoever asks, and gives no answer."""

    def do_POST(self) -> None:
        end_main_thread()

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


@pytest.mark.parametrize("out", [None, "new.csv"])
def test_of_a_run_that_is_ended_it_is_told_that_it_may_be_kept(
    out: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [] if out is None else ["--out", str(tmp_path / out)]
    with serving(Ends) as url:
        status = main(["lists", "run", "spring", "--new-only", *words, "--url", url])
    assert status == 128 + signal.SIGTERM
    kept, stopped = capsys.readouterr().err.splitlines()
    assert kept.startswith("the run may be kept, and the next one is compared with it")
    assert stopped == "stopped by SIGTERM"
    assert [*tmp_path.iterdir()] == []
