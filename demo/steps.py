"""The steps before the service: data, training, export; each is done once for the same inputs."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.errors import DemoError

SEED = 7
RINGS = 8
"""Streamers of the simulated world that are in planted rings."""
LEAST_STREAMERS = 27
"""No larger share than 0.3 of a world may be in rings."""
RECIPE = "transfer-plus"
LOADER = "training.inference.load:load_checkpoint"


def run(*arguments: str | Path) -> None:
    """Run `python -m ARGUMENTS` to its end, its output on ours.

    Raises:
        DemoError: it failed; it has said why.
    """
    command = [sys.executable, "-m", *map(str, arguments)]
    print(f"$ python -m {' '.join(map(str, arguments))}", flush=True)
    status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    if status != 0:
        raise DemoError(f"{arguments[0]} ended with status {status}")


@dataclass(frozen=True)
class Steps:
    """Which steps are done, each with a stamp of what it was made from."""

    folder: Path

    def is_done(self, name: str, inputs: str) -> bool:
        """Whether the step was finished with the same inputs."""
        file = self.folder / f"{name}.done"
        return file.is_file() and file.read_text(encoding="utf-8") == inputs

    def done(self, name: str, inputs: str) -> None:
        """Remember that the step is finished."""
        (self.folder / f"{name}.done").write_text(inputs, encoding="utf-8")

    def undo(self, name: str) -> None:
        """Forget that the step was finished."""
        (self.folder / f"{name}.done").unlink(missing_ok=True)


def stamp(folder: Path) -> str:
    """Changes whenever a data set folder does: names, sizes and times of its files."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return " ".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)


def code(*folders: str) -> str:
    """Changes whenever the sources do: what an older release made is made again."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    files = (file for folder in folders for file in (root / folder).rglob("*"))
    for file in sorted(file for file in files if file.suffix in (".py", ".toml")):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def make_world(steps: Steps, streamers: int) -> Path:
    """The simulated data set, written unless it is there."""
    data, sources = steps.folder / "data", code("training/world", "training/disguises")
    inputs = f"{streamers} {SEED} {sources}"
    if not steps.is_done("world", inputs) or not data.is_dir():
        shutil.rmtree(data, ignore_errors=True)
        size = ["--streamers", str(streamers), "--seed", str(SEED)]
        run("training", "world", "--out", data, *size, "--rings", str(RINGS / streamers))
        steps.done("world", inputs)
    return data


def build(steps: Steps, data: Path, settings: Sequence[str] = ()) -> str:
    """Train and export into the folder of the steps, unless it is done; what it was made from."""
    checkpoint, bundle = steps.folder / "checkpoint", steps.folder / "bundle"
    sources = code("training", "model_export")
    inputs = " ".join([RECIPE, str(SEED), *settings, sources, stamp(data)])
    if steps.is_done("bundle", inputs) and (bundle / "manifest.json").is_file():
        print(f"reusing {bundle}")
        return inputs
    if not steps.is_done("begun", inputs):  # otherwise an interrupted fit goes on where it was
        shutil.rmtree(checkpoint, ignore_errors=True)
        steps.done("begun", inputs)
    fit = ["--data", data, "--recipe", RECIPE, "--out", checkpoint, "--seed", str(SEED)]
    run("training", "fit", *fit, *(f"--set={setting}" for setting in settings))
    shutil.rmtree(bundle, ignore_errors=True)
    run("model_export", LOADER, "--checkpoint", checkpoint, "--out", bundle)
    steps.done("bundle", inputs)
    steps.undo("loaded")
    return inputs
