"""A fit with towers, the one of texts pretrained, from the data set to the served vectors."""

import base64
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.bundle import CARD, Bundle
from model_export.contract.features import Features, collate
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import Media, StreamerProfile, Video
from model_export.errors import SourceError
from model_export.export import export_bundle
from model_export.source import ExportSource
from service.engine.encoding.onnx_encoder import OnnxEncoder
from service.engine.encoding.onnx_towers import OnnxTowers
from tests.unit.contract.media import files
from tests.unit.training.small import SMALL, TAUGHT
from tests.unit.training.towers.encoders import write_encoder, write_vision
from training.config import MaskedViewsConfig, TransferPlusConfig
from training.data import Dataset, load_dataset
from training.errors import CheckpointError, DataError, UsageError
from training.features.masked_views import ViewMaker
from training.inference.load import load_checkpoint
from training.inference.representation import represent
from training.models.checkpoint import Checkpoint
from training.towers import TowerReader, find_tower
from training.trainer.fit import Request, already_trained, fit

pytestmark = pytest.mark.slow

NAMES = ["bert", "vit", "log-mel"]


def _media(content_type: str, data: bytes) -> Media:
    return Media(data=base64.b64encode(data).decode(), content_type=content_type)


PICTURES = [_media("image/png", files.saved(files.scene(seed), "PNG")) for seed in range(5)]
SOUNDS = [
    _media("audio/wav", files.wav((2e4 * files.tone(0.5, 16_000, hertz)).astype(np.int16), 16_000))
    for hertz in (220, 880, 3000)
]
SILENCE = _media("audio/wav", files.wav(np.zeros(8000, np.int16), 16_000))


@pytest.fixture(scope="module")
def data(small_world_folder: Path) -> Dataset:
    """With pictures for two in three and sounds for one in two, of which some are silent."""
    world = load_dataset(small_world_folder)
    profiles: list[StreamerProfile] = []
    for i, profile in enumerate(world.profiles):
        sound = SILENCE if i % 10 == 0 else SOUNDS[i % 3] if i % 2 else None
        shown = Video(video_id="shown", audio=sound)
        avatar = PICTURES[i % 5] if i % 3 else None
        profiles.append(
            profile.model_copy(update={"avatar": avatar, "videos": [*profile.videos, shown]})
        )
    return replace(world, profiles=profiles)


@pytest.fixture(scope="module")
def folder(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With `checkpoint`, `bundle`, the `cache` and the encoders `bert` and `vit`."""
    folder = tmp_path_factory.mktemp("tower")
    write_encoder(folder / "bert")
    write_vision(folder / "vit")
    fit(request(folder), data)
    return folder


@pytest.fixture(scope="module")
def source(folder: Path) -> ExportSource:
    found = load_checkpoint(folder / "checkpoint", folder / "cache")
    export_bundle(found, folder / "bundle")
    return found


def references(folder: Path) -> list[str]:
    return [f"hf:{folder / 'bert'}?modalities=bio", f"hf:{folder / 'vit'}", "log-mel"]


def request(folder: Path) -> Request:
    out, cache = folder / "checkpoint", folder / "cache"
    settings = dict(
        zip(("text_tower", "image_tower", "audio_tower"), references(folder), strict=True)
    )
    config = TransferPlusConfig(**TAUGHT, steps=4, evaluate_every=2, **settings)
    return Request("transfer-plus", config, 0, threads=1, out=out, tower_cache=cache)


def test_the_checkpoint_says_which_tower(folder: Path, source: ExportSource, data: Dataset) -> None:
    checkpoint = Checkpoint.load(folder / "checkpoint")
    assert checkpoint.config["towers"] == [
        {"kind": kind, "reference": reference, "name": name, "version": tower.spec.version}
        for kind, reference, name, tower in zip(
            ("text", "image", "audio"), references(folder), NAMES, source.towers, strict=True
        )
    ]
    assert {space.name for space in checkpoint.vocabulary.spaces} >= set(NAMES)
    assert already_trained(request(folder), data)


def test_what_is_served_is_what_was_learned_from(
    folder: Path, source: ExportSource, data: Dataset
) -> None:
    """The bundle's towers and contract give the features of training, and the same embeddings."""
    bundle = Bundle(folder / "bundle")
    profiles = [pieces_of(profile) for profile in data.profiles]
    served = OnnxTowers(bundle).read(data.profiles)
    with TowerReader(source.towers, folder / "cache") as reader:
        learned = reader.over(profiles)
    features = [[bundle.featurizer.from_pieces(p) for p in both] for both in (served, learned)]
    for one, two in zip(*features, strict=True):
        assert one.status == two.status
        for a, b in zip(_arrays(one), _arrays(two), strict=True):
            np.testing.assert_allclose(a, b, atol=5e-4)  # float16: 11 bits of numbers below 1
    made = Counter((p.space, p.modality) for pieces in served for p in pieces if p.payload_digest)
    assert {pair: count for pair, count in made.items() if pair[0]} == {
        ("bert", "bio"): sum(profile.bio is not None for profile in data.profiles),
        ("vit", "avatar"): sum(p.avatar is not None for p in data.profiles),
        ("log-mel", "audio"): 40,  # silence is no sound
    }
    usable = [f.usable for f in features[0]]
    encoded = OnnxEncoder(bundle).encode([f for f in features[0] if f.usable])
    expected = represent(source, data, tower_cache=folder / "cache").query
    assert isinstance(expected, np.ndarray)
    # Centred, vectors that are much alike show the last bits of float16.
    assert (np.stack([e.embedding for e in encoded]) * expected[usable]).sum(1).min() > 0.999


def _arrays(features: Features) -> list[np.ndarray]:
    return [np.asarray(array) for array in collate([features]).values()]


@pytest.mark.usefixtures("source")
def test_the_card_lists_the_towers(folder: Path) -> None:
    card = (folder / "bundle" / CARD).read_text()
    for reads in ("text of bio | 16", "image of avatar, covers, frames | 48", "audio of audio"):
        assert reads in card


def test_a_picture_that_can_t_be_read_names_its_streamer(data: Dataset, tmp_path: Path) -> None:
    broken = _media("image/png", base64.b64decode(PICTURES[0].data or "")[:-99])
    profile = data.profiles[7].model_copy(update={"avatar": broken})
    tower = find_tower("image", "efficientnet-lite0", tmp_path)
    with (
        TowerReader([tower], tmp_path) as reader,
        pytest.raises(DataError, match=f"^streamer '{profile.streamer_id}': avatar: is truncated"),
    ):
        reader.fill([profile])


def test_weights_that_were_changed_are_noticed(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "checkpoint", tmp_path / "c"))
    config = json.loads((copy / "config.json").read_text())
    config["towers"][0]["version"] = "0" * 64
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="has changed since the encoder was trained"):
        load_checkpoint(copy, folder / "cache")
    assert issubclass(CheckpointError, SourceError)  # so the exporter tells it


def test_a_tower_and_what_it_read_are_on_one_side_of_two_views(
    folder: Path, source: ExportSource, data: Dataset
) -> None:
    maker = ViewMaker(source.vocabulary, overlap=0.1, group_modality=0.3)
    with TowerReader(source.towers, folder / "cache") as reader:
        atoms = [maker.atoms(reader(pieces_of(profile))) for profile in data.profiles]
    made = 0
    for each in atoms:
        for atom in each:
            read = {piece.content_hash for piece in atom.pieces}
            derived = [p.payload_digest for p in atom.pieces if p.space == "bert"]
            made += len(derived)
            assert read.issuperset(derived) or len(atom.pieces) == len(derived)
    assert made > 30


def test_a_tower_that_finds_nothing_to_read(
    data: Dataset, encoder_folder: Path, tmp_path: Path
) -> None:
    silent = replace(data, profiles=[p.model_copy(update={"bio": None}) for p in data.profiles])
    tower = f"hf:{encoder_folder}?modalities=bio"
    config = MaskedViewsConfig(**SMALL, steps=2, text_tower=tower)
    wanted = Request("masked-views", config, 0, 1, tmp_path / "c", tower_cache=tmp_path / "cache")
    with pytest.raises(UsageError, match=r"has a piece that it reads \(bio\); remove the setting"):
        fit(wanted, silent)


def test_a_fit_is_another_one_when_the_weights_are_others(data: Dataset, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "tiny")
    config = MaskedViewsConfig(**SMALL, steps=2, evaluate_every=1, text_tower=f"hf:{encoder}")

    def wanted() -> Request:
        return Request("masked-views", config, 0, 1, tmp_path / "c", tower_cache=tmp_path / "k")

    fit(wanted(), data)
    assert already_trained(wanted(), data)
    write_encoder(encoder, seed=1)
    with pytest.raises(CheckpointError, match="holds a finished checkpoint with other towers"):
        already_trained(wanted(), data)
