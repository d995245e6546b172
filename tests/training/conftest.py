from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits

from training.data import Dataset, load_dataset
from training.world import generate
from training.world.files import write_world


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """What these tests compute is too small to be shared between threads."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


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


@pytest.fixture(scope="session")
def small_world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of 80 streamers, for what runs once per recipe or in processes of its own."""
    folder = tmp_path_factory.mktemp("small_world")
    write_world(generate(80, 3), folder, 3, "jsonl")
    return folder
