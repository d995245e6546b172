"""A fit with a real pretrained text tower, from the data set to the served vectors."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.bundle import Bundle
from model_export.contract.features import MODALITIES, collate
from model_export.contract.pieces import pieces_of
from model_export.errors import SourceError
from model_export.export import export_bundle
from service.encoder import OnnxEncoder
from service.towers import OnnxTowers
from tests.training.small import TAUGHT
from tests.training.towers.encoders import write_encoder
from training.checkpoint import Checkpoint
from training.config import MaskedViewsConfig, TransferPlusConfig
from training.data import Dataset, load_dataset
from training.encoder import load_checkpoint
from training.errors import CheckpointError, UsageError
from training.evaluation.trained import represent
from training.fit import Request, already_trained, fit
from training.towers import TowerReader
from training.views import ViewMaker

TOWER = "all-minilm-l6-v2?modalities=bio&max_tokens=32"
CONFIG = TransferPlusConfig(**TAUGHT, steps=4, evaluate_every=2, text_tower=TOWER)


@pytest.fixture(scope="module")
def data(small_world_folder: Path) -> Dataset:
    return load_dataset(small_world_folder)


@pytest.fixture(scope="module")
def folder(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With `checkpoint`, `bundle` and the `cache`."""
    folder = tmp_path_factory.mktemp("tower")
    fit(request(folder), data)
    export_bundle(load_checkpoint(folder / "checkpoint", folder / "cache"), folder / "bundle")
    return folder


def request(folder: Path) -> Request:
    out, cache = folder / "checkpoint", folder / "cache"
    return Request("transfer-plus", CONFIG, 0, threads=1, out=out, tower_cache=cache)


def test_the_checkpoint_says_which_tower(folder: Path, data: Dataset) -> None:
    checkpoint = Checkpoint.load(folder / "checkpoint")
    (tower,) = load_checkpoint(folder / "checkpoint", folder / "cache").towers
    assert checkpoint.config["towers"] == [
        {
            "kind": "text",
            "reference": TOWER,
            "name": "all-minilm-l6-v2",
            "version": tower.spec.version,
        }
    ]
    assert [space.name for space in checkpoint.vocabulary.spaces].count("all-minilm-l6-v2") == 1
    assert already_trained(request(folder), data)


def test_what_is_served_is_what_was_learned_from(folder: Path, data: Dataset) -> None:
    """The bundle's towers and contract give the features of training, and the same embeddings."""
    bundle = Bundle(folder / "bundle")
    source = load_checkpoint(folder / "checkpoint", folder / "cache")
    profiles = [pieces_of(profile) for profile in data.profiles]
    served = OnnxTowers(bundle).read(profiles)
    with TowerReader(source.towers, folder / "cache") as reader:
        learned = reader.over(profiles)
    features = [[bundle.featurizer.from_pieces(p) for p in both] for both in (served, learned)]
    bios = 0
    for one, two in zip(*features, strict=True):
        assert one.status == two.status
        for a, b in zip(collate([one]).values(), collate([two]).values(), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)  # float16: 11 bits of numbers below 0.25
        bios += int((one.vectors_modality[_space(bundle)] == 1 + MODALITIES.index("bio")).sum())
    assert bios > 40
    usable = [f.usable for f in features[0]]
    encoded = OnnxEncoder(bundle).encode([f for f in features[0] if f.usable])
    expected = represent(source, data, tower_cache=folder / "cache").query
    assert isinstance(expected, np.ndarray)
    np.testing.assert_allclose([e.embedding for e in encoded], expected[usable], atol=2e-3)


def _space(bundle: Bundle) -> int:
    names = [space.name for space in bundle.featurizer.vocabulary.spaces]
    return names.index("all-minilm-l6-v2")


def test_weights_that_were_changed_are_noticed(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "checkpoint", tmp_path / "c"))
    config = json.loads((copy / "config.json").read_text())
    config["towers"][0]["version"] = "0" * 64
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="is no longer what the encoder was trained with"):
        load_checkpoint(copy, folder / "cache")
    assert issubclass(CheckpointError, SourceError)  # so the exporter tells it


def test_a_tower_and_what_it_read_are_on_one_side_of_two_views(folder: Path, data: Dataset) -> None:
    source = load_checkpoint(folder / "checkpoint", folder / "cache")
    maker = ViewMaker(source.vocabulary, overlap=0.1, group_modality=0.3)
    with TowerReader(source.towers, folder / "cache") as reader:
        atoms = [maker.atoms(reader(pieces_of(profile))) for profile in data.profiles]
    made = 0
    for each in atoms:
        for atom in each:
            read = {piece.content_hash for piece in atom.pieces}
            derived = [p.payload_digest for p in atom.pieces if p.space == "all-minilm-l6-v2"]
            made += len(derived)
            assert read.issuperset(derived) or len(atom.pieces) == len(derived)
    assert made > 30


def test_a_tower_that_finds_nothing_to_read(
    data: Dataset, encoder_folder: Path, tmp_path: Path
) -> None:
    silent = replace(data, profiles=[p.model_copy(update={"bio": None}) for p in data.profiles])
    tower = f"hf:{encoder_folder}?modalities=bio"
    config = MaskedViewsConfig(**_widths(), steps=2, text_tower=tower)
    wanted = Request("masked-views", config, 0, 1, tmp_path / "c", tower_cache=tmp_path / "cache")
    with pytest.raises(UsageError, match=r"shows anything that it reads \(bio\); leave it out"):
        fit(wanted, silent)


def test_a_fit_is_another_one_when_the_weights_are_others(data: Dataset, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "tiny")
    config = MaskedViewsConfig(**_widths(), steps=2, evaluate_every=1, text_tower=f"hf:{encoder}")

    def wanted() -> Request:
        return Request("masked-views", config, 0, 1, tmp_path / "c", tower_cache=tmp_path / "k")

    fit(wanted(), data)
    assert already_trained(wanted(), data)
    write_encoder(encoder, seed=1)
    with pytest.raises(CheckpointError, match="holds a finished checkpoint of other towers"):
        already_trained(wanted(), data)


def _widths() -> dict[str, int]:
    return {name: value for name, value in TAUGHT.items() if name != "teacher_dim"}
