from pathlib import Path

import pytest

from training.data import Dataset, load_dataset
from training.world import generate
from training.world.files import write_world


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of 300 streamers."""
    folder = tmp_path_factory.mktemp("world")
    write_world(generate(300, 3), folder, 3, "jsonl")
    return folder


@pytest.fixture(scope="session")
def world(world_folder: Path) -> Dataset:
    """The same, read."""
    return load_dataset(world_folder)
