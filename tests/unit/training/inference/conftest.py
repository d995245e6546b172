import pytest

from model_export.source import ExportSource
from training.config import TransferPlusConfig
from training.data import Dataset
from training.inference.load import load_checkpoint
from training.trainer.fit import Request, fit


@pytest.fixture(scope="package")
def source(world: Dataset, tmp_path_factory: pytest.TempPathFactory) -> ExportSource:
    """An encoder that is trained for 20 steps."""
    config = TransferPlusConfig(
        table_dim=32,
        dim=16,
        hidden_dim=32,
        batch_size=64,
        content_dim=32,
        steps=20,
        evaluate_every=20,
        refit=False,
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    fit(Request("transfer-plus", config, 0, threads=1, out=folder), world)
    return load_checkpoint(folder)
