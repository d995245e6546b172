from pathlib import Path

import pytest

from tests.unit.training.towers.encoders import write_encoder


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Hugging Face encoder."""
    return write_encoder(tmp_path_factory.mktemp("encoders") / "Tiny Bert")
