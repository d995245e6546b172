"""Steps of the demo: done once for the same inputs, and again for others."""

from pathlib import Path

import pytest

from demo import steps
from demo.steps import LOADER, Steps, build, code, make_world


class Commands:
    """Notes the commands of steps in place of running them.

    Attributes:
        run: the first two words of each, and whether a checkpoint was there.
        is_interrupted: whether a fit ends with Ctrl-C.
    """

    def __init__(self, folder: Path) -> None:
        self.run: list[tuple[str, str, bool]] = []
        self.is_interrupted = False
        self._folder = folder

    def __call__(self, *arguments: str | Path) -> None:
        program, command = map(str, arguments[:2])
        made = {"world": "data", "fit": "checkpoint", LOADER: "bundle"}[command]
        self.run.append((program, command, (self._folder / "checkpoint").exists()))
        (self._folder / made).mkdir(exist_ok=True)
        if self.is_interrupted:
            raise KeyboardInterrupt
        if made == "bundle":
            (self._folder / made / "manifest.json").touch()

    def since(self) -> list[tuple[str, str, bool]]:
        """What was run since it was asked last."""
        self.run, ran = [], self.run
        return ran


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    noted = Commands(tmp_path)
    monkeypatch.setattr(steps, "run", noted)
    return noted


WORLD = ("training", "world", False)
FIT = ("training", "fit", False)
FIT_GOES_ON = ("training", "fit", True)
EXPORT = ("model_export", LOADER, True)


def test_each_is_done_once(tmp_path: Path, commands: Commands) -> None:
    known = Steps(tmp_path)
    data = make_world(known, 20)
    inputs = build(known, data, ["steps=1"])
    known.done("loaded", inputs)
    assert commands.since() == [WORLD, FIT, EXPORT]
    assert make_world(known, 20) == data
    assert build(known, data, ["steps=1"]) == inputs
    assert commands.since() == []
    assert known.is_done("loaded", inputs)
    assert build(known, data, ["steps=2"]) != inputs
    assert commands.since() == [FIT, EXPORT]


def test_what_an_earlier_release_made_is_made_again(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, sources = Steps(tmp_path), code("training", "model_export")
    with monkeypatch.context() as earlier:
        earlier.setattr(steps, "code", lambda *folders: f"of {folders} before")
        data = make_world(known, 20)
        known.done("loaded", build(known, data))
    assert commands.since() == [WORLD, FIT, EXPORT]
    inputs = build(known, data)
    assert sources in inputs
    assert commands.since() == [FIT, EXPORT]  # by a checkpoint of the present release
    assert not (tmp_path / "loaded.done").exists()
    (data / "left").touch()
    make_world(known, 20)
    assert commands.since() == [("training", "world", True)]
    assert not (data / "left").exists()


def test_a_fit_that_was_interrupted_goes_on(tmp_path: Path, commands: Commands) -> None:
    known = Steps(tmp_path)
    data = make_world(known, 20)
    commands.is_interrupted = True
    with pytest.raises(KeyboardInterrupt):
        build(known, data)
    commands.is_interrupted = False
    build(known, data)
    assert commands.since() == [WORLD, FIT, FIT_GOES_ON, EXPORT]
