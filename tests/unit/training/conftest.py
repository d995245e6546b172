from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits

from tests.unit.training.encoders import write_encoder
from tests.unit.training.helpers import TAUGHT
from training.calibration.evidence import estimate
from training.config import TransferPlusConfig
from training.data import Dataset, load_dataset
from training.trainer.fit import Request, fit
from training.world import generate
from training.world.files import write_world


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """What these tests compute is too small to be shared between threads."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module", autouse=True)
def few_copies() -> Iterator[None]:
    """Evidence is estimated from few streamers: from all, it takes half of the time of a small fit.

    What the estimate is worth is tested where all of them are copied.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, "MOST_COUNTED", 20)
        patch.setattr(estimate, "MOST_COPIED", 8)
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


@pytest.fixture(scope="session")
def tiny_world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of 40 streamers, for what is fitted again and again to be compared with itself."""
    folder = tmp_path_factory.mktemp("tiny_world")
    write_world(generate(40, 3), folder, 3, "jsonl")
    return folder


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Hugging Face encoder."""
    return write_encoder(tmp_path_factory.mktemp("encoders") / "Tiny Bert")


@pytest.fixture(scope="session")
def fitted_folder(world: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of `transfer-plus` after 20 steps on the world, with seed 1."""
    folder = tmp_path_factory.mktemp("fitted")
    config = TransferPlusConfig(**TAUGHT, steps=20, evaluate_every=10)
    fit(Request("transfer-plus", config, 1, threads=1, out=folder), world)
    return folder
