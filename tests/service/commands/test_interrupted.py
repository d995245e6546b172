"""Commands that write files, ended by a signal, or killed."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from service.__main__ import main
from service.files.checksummed import UNFINISHED
from service.store.embedded.folder import UNFINISHED_STORE
from service.store.witness import Witness
from tests.interfering import at_call
from tests.service.conftest import Serve
from tests.service.data_sets import profiles, write_data
from tests.service.features.operations.stored import fill
from tests.service.process import ROOT, START_S, command, environment, run, wait_until

pytestmark = pytest.mark.slow


def _heard() -> None:
    """Have the command obey a hang-up, which `nohup make test` ignores."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Begun:
    """A command that goes on to the first line that it has to say, and no further.

    Attributes:
        process: of it.
    """

    def __init__(self, *arguments: object) -> None:
        self._output, self._errors = os.pipe()
        os.set_blocking(self._errors, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(self._errors, b"-"):
                pass
        os.set_blocking(self._errors, True)
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
            preexec_fn=_heard,
        )

    def said_after(self, number: signal.Signals) -> str:
        """What it says when it gets a signal."""
        self.process.send_signal(number)
        os.close(self._errors)
        with open(self._output, encoding="utf-8") as output:
            return output.read().lstrip("-")


@contextlib.contextmanager
def begun(when: Callable[[], bool], *arguments: object) -> Generator[Begun, None, None]:
    """A command that stands still, once `when` is so."""
    command = Begun(*arguments)
    try:
        wait_until(when, "the moment comes", START_S)
        yield command
    finally:
        command.process.kill()
        command.process.wait()


def check_ended(command: Begun, number: signal.Signals) -> None:
    said = command.said_after(number)
    assert said.endswith(f"stopped by {number.name}\n")
    assert "Traceback" not in said
    assert command.process.wait(START_S) == 128 + number


def hidden(folder: Path) -> list[Path]:
    return list(folder.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_backup_that_is_ended_leaves_nothing(
    serve: Serve, tmp_path: Path, number: signal.Signals
) -> None:
    fill(serve(), 5)
    out = tmp_path / "copies" / "first"
    given = ("backup", "--data-dir", tmp_path / "data", "--out", out)
    with begun(lambda: bool(hidden(out.parent)), *given) as backup:
        check_ended(backup, number)
    assert list(out.parent.iterdir()) == []


def test_a_restore_that_is_ended_leaves_what_was_there(serve: Serve, tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    service = serve()
    fill(service, 5)
    assert run("backup", "--data-dir", data, "--out", copy).returncode == 0
    assert service.stop() == 0
    before, new = {path.name for path in data.iterdir()}, data / UNFINISHED_STORE

    def is_filled() -> bool:
        with contextlib.suppress(FileNotFoundError):  # a store that starts renames one
            return any(b"kitchen" in log.read_bytes() for log in new.rglob("*.aof"))
        return False

    given = ("restore", copy, "--data-dir", data)
    with begun(is_filled, *given) as restore:
        check_ended(restore, signal.SIGTERM)
    assert {path.name for path in data.iterdir()} == before
    with begun(is_filled, *given) as restore:
        restore.process.kill()
    assert new.exists()
    service = serve()
    assert "last" in service.streamers()
    assert f"{new} is removed: a restore that was killed has left it" in service.output
    assert not new.exists()


def test_a_signal_waits_while_a_store_takes_the_place_of_another(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    service = serve()
    fill(service, 5)
    assert run("backup", "--data-dir", data, "--out", copy).returncode == 0
    service.put("later", tags=["cooking"])
    assert service.stop() == 0
    with at_call(os.rename, lambda: signal.raise_signal(signal.SIGTERM)):
        assert main(["restore", str(copy), "--data-dir", str(data)]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err.endswith("stopped by SIGTERM\n")
    assert Witness(data).read() is not None
    assert "later" not in serve().streamers()


def test_vectors_that_are_not_all_there_are_not_kept(bundle: Path, tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "set", profiles(5)), tmp_path / "out" / "v.npz"
    given = ("embed", "--bundle", bundle, "--data", data, "--out", out)
    with begun(lambda: bool(hidden(out.parent)), *given) as embed:
        check_ended(embed, signal.SIGINT)
    assert list(out.parent.iterdir()) == []


def test_a_download_that_is_ended_leaves_the_file_as_it_was(
    tmp_path: Path, silent_store: str
) -> None:
    out, silent = tmp_path / "case.zip", silent_store.replace("redis:", "http:")
    out.write_bytes(b"before")
    given = ("cases", "export", "case-0f3c9a1b5e7d2c4a", "--out", out, "--url", silent)
    with begun(lambda: bool(hidden(tmp_path)), *given) as export:
        check_ended(export, signal.SIGTERM)
    assert (list(tmp_path.iterdir()), out.read_bytes()) == ([out], b"before")


def test_a_backup_removes_what_one_left_that_was_killed(serve: Serve, tmp_path: Path) -> None:
    fill(serve(), 5)
    copies = tmp_path / "copies"
    given = ("backup", "--data-dir", tmp_path / "data", "--out")
    with begun(lambda: bool(hidden(copies)), *given, copies / "killed") as killed:
        killed.process.kill()
    (left,) = hidden(copies)
    others = copies / f"{UNFINISHED}of-somebody"
    others.mkdir()
    is_there = lambda: any("running" in each.name for each in hidden(copies))  # noqa: E731
    with begun(is_there, *given, copies / "running") as running:
        assert run(*given, copies / "third").returncode == 0
        assert not left.exists()
        assert others.exists()  # whether somebody writes there is not known
        assert is_there()
        running.said_after(signal.SIGCONT)
        assert running.process.wait(START_S) == 0
    assert {each.name for each in copies.iterdir()} == {"running", "third", others.name}
