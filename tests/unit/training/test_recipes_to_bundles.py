"""Recipes without behaviour: trained, kept, read again, exported, and read as a bundle."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_export.contract.bundle import Bundle
from model_export.export import export_bundle
from training.config import MlmConfig, PtumConfig, RecipeConfig, SimcseConfig
from training.data import Dataset, load_dataset
from training.inference.load import load_checkpoint
from training.models.checkpoint import Checkpoint
from training.models.encoder import StreamerEncoder
from training.trainer.fit import Request, fit

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "dim": 16,
    "table_dim": 32,
    "hidden_dim": 32,
    "content_dim": 64,
    "batch_size": 64,
    "steps": 4,
    "evaluate_every": 2,
}
CONFIGS: dict[str, RecipeConfig] = {
    "mlm": MlmConfig(**SMALL, sample=64),
    "ptum": PtumConfig(**SMALL, chunk_size=16),
    "simcse": SimcseConfig(**SMALL),
}
EXPORTED = "mlm"


@pytest.fixture(scope="module")
def tiny(tiny_world_folder: Path) -> Dataset:
    return load_dataset(tiny_world_folder)


@pytest.mark.parametrize("recipe", CONFIGS)
def test_from_fit_to_bundle(tiny: Dataset, tmp_path: Path, recipe: str):
    alone = replace(tiny, interactions=None, relations=None, id_embeddings=None)
    metrics = fit(Request(recipe, CONFIGS[recipe], 1, threads=1, out=tmp_path / "c"), alone).metrics
    assert 0 < metrics["validation_MRR"] <= 1
    kept = Checkpoint.load(tmp_path / "c").tensors
    assert not [name for name in kept if name.startswith(("head", "contrast", "encoder."))]
    source = load_checkpoint(tmp_path / "c")
    assert (source.recipe, source.id_space, source.established) == (recipe, None, None)
    assert type(source.module) is StreamerEncoder  # so that one recipe is exported for all
    if recipe == EXPORTED:
        manifest = export_bundle(source, tmp_path / "b")
        assert manifest.recipe == recipe
        assert Bundle(tmp_path / "b").featurizer.vocabulary == source.vocabulary
