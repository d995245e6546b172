"""A bundle that was trained on a small simulated world, and that world.

It is made once for these sources, under `build/tests`, and is used again by later runs.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import ROOT

SOURCES = ("training", "model_export")
WORLD = ("--streamers", "600", "--seed", "11", "--rings", "0.02")
SETTINGS = (
    "steps=20",
    "evaluate_every=20",
    "batch_size=128",
    "refit=false",
    "text_tower=",
    "kernel_landmarks=300",
    "kernel_rank=64",
    "kernel_table_dim=128",
    "kernel_hidden_dim=64",
)


def _digest() -> str:
    found = hashlib.sha256(repr((WORLD, SETTINGS)).encode())
    for file in sorted(file for folder in SOURCES for file in (ROOT / folder).rglob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _run(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def world() -> Path:
    """The folder of the data set (`data`), the checkpoint and the bundle."""
    folder = ROOT / "build" / "tests" / f"world-{_digest()}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes that share the tests wait for it
        if not (folder / "done").exists():
            for name in ("data", "checkpoint", "bundle"):
                shutil.rmtree(folder / name, ignore_errors=True)
            data, checkpoint = folder / "data", folder / "checkpoint"
            _run("training", "world", "--out", data, *WORLD)
            fit = ("--data", data, "--recipe", "transfer-plus", "--out", checkpoint)
            _run("training", "fit", *fit, *(f"--set={setting}" for setting in SETTINGS))
            loader = "training.inference.load:load_checkpoint"
            _run("model_export", loader, "--checkpoint", checkpoint, "--out", folder / "bundle")
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def bundle(world: Path) -> Path:
    """The trained bundle, in place of the small one that other tests serve."""
    return world / "bundle"


@pytest.fixture(scope="session")
def profiles(world: Path) -> list[dict[str, Any]]:
    """The streamers of the world."""
    lines = (world / "data" / "streamers.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
