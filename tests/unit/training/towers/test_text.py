"""Text towers of Hugging Face's encoders: what a folder says is done, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from model_export.contract.towers import VECTOR, Payload, TextSpec, inputs_of
from model_export.contract.vocabulary import Vocabulary
from model_export.golden import golden_profiles
from model_export.towers import tower_to_onnx
from tests.unit.training.towers.encoders import LENGTH, WIDTH, transformers, write_encoder
from training.errors import CheckpointError, UsageError
from training.towers import Tower, find_tower, towers_again
from training.towers.base import encode


def made(folder: Path, options: str = "") -> Tower:
    return find_tower("text", f"hf:{folder}{options}", folder.parent / "cache")


def vectors(tower: Tower, *texts: str) -> np.ndarray:
    inputs = inputs_of(tower.spec, tower.tokenizer)
    prepared = [inputs.prepare(Payload("bio", text=text)) for text in texts]
    return encode(tower, inputs.batch(prepared))


@torch.inference_mode()
def hidden(folder: Path, text: str) -> np.ndarray:
    """What transformers alone makes of a text (L, W)."""
    batch = transformers().AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    batch.pop("token_type_ids", None)
    model = transformers().AutoModel.from_pretrained(folder).eval()
    return model(**batch).last_hidden_state[0].numpy()


def unit(row: np.ndarray) -> np.ndarray:
    return row / np.linalg.norm(row)


def test_a_folder_becomes_a_tower(encoder_folder: Path) -> None:
    tower = made(encoder_folder)
    spec = tower.spec
    assert (spec.name, spec.width, spec.kind) == ("tiny-bert", WIDTH, "text")
    assert spec.text == TextSpec(max_tokens=LENGTH)
    assert spec.modalities == ["bio", "videos", "lives"]
    assert not tower.module.training
    assert not [p for p in tower.module.parameters() if p.requires_grad]


def test_vectors_are_the_mean_of_what_transformers_gives(encoder_folder: Path) -> None:
    found = vectors(made(encoder_folder), "cooking noodles", "boss", "a b c d e music")
    for row, text in zip(found, ("cooking noodles", "boss", "a b c d e music"), strict=True):
        np.testing.assert_allclose(row, unit(hidden(encoder_folder, text).mean(0)), atol=1e-6)


def test_options(encoder_folder: Path) -> None:
    tower = made(encoder_folder, "?pooling=cls&prefix=music: &max_tokens=5")
    assert tower.spec.text == TextSpec(max_tokens=5, prefix="music: ")
    (found,) = vectors(tower, "boss boss boss")
    expected = hidden(encoder_folder, "music: boss")  # five tokens: [CLS] music : boss [SEP]
    np.testing.assert_allclose(found, unit(expected[0]), atol=1e-6)
    tower = made(encoder_folder, "?modalities=name,tags&kinds=text,tag")
    assert tower.spec.modalities == ["name", "tags"]
    assert tower.spec.text == TextSpec(max_tokens=LENGTH, kinds=["text", "tag"])


def test_a_folder_of_sentence_transformers_says_how_it_pools(
    encoder_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(encoder_folder, tmp_path / "b"))
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert made(folder).spec.text == TextSpec(max_tokens=7, prefix="query: ")
    tower = made(folder, "?prefix=")
    assert tower.spec.text == TextSpec(max_tokens=7)
    np.testing.assert_allclose(
        vectors(tower, "boss")[0], unit(hidden(encoder_folder, "boss")[0]), atol=1e-6
    )


@pytest.mark.slow
def test_the_graph_computes_what_the_module_computes(encoder_folder: Path) -> None:
    tower = made(encoder_folder)
    graph, check = tower_to_onnx(tower, golden_profiles(Vocabulary([], [], 0)))
    assert check.max_abs_diff < 1e-5
    inputs = inputs_of(tower.spec, tower.tokenizer)
    texts = ["boss", "", "cooking noodles music " * 20]
    batch = inputs.batch([inputs.prepare(Payload("bio", text=text)) for text in texts])
    found = np.asarray(onnxruntime.InferenceSession(graph).run([VECTOR], dict(batch))[0])
    np.testing.assert_allclose(found, vectors(tower, *texts), atol=1e-5)


@pytest.mark.slow
def test_the_package_s_encoder_understands_english(tmp_path: Path) -> None:
    tower = find_tower("text", "all-minilm-l6-v2", tmp_path)
    assert (tower.spec.name, tower.spec.width) == ("all-minilm-l6-v2", 384)
    assert tower.spec.text == TextSpec(max_tokens=128)
    assert len(list((tmp_path / "models").iterdir())) == 1
    found = vectors(tower, "I play video games", "gaming streams all night", "how to cook noodles")
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("?color=red", "unknown option 'color'; there are: pooling, prefix, max_tokens, modalit"),
        ("?pooling=max", "unknown pooling 'max'; there are: mean, cls"),
        ("?modalities=covers", "unknown modality 'covers'; there are: name, bio, tags"),
        ("?kinds=", "unknown kind ''; there are: text, tag, category"),
        ("?max_tokens=2", "max_tokens is a number from 3 to 8192"),
        ("?max_tokens=many", "max_tokens is a number from 3 to 8192"),
    ],
)
def test_options_that_there_are_not(encoder_folder: Path, options: str, problem: str) -> None:
    with pytest.raises(UsageError, match=f"^text_tower=hf:.*: {problem}"):
        made(encoder_folder, options)


@pytest.mark.parametrize("reference", ["hf:/nowhere/at-all", "hf:nobody/knows-this-model"])
def test_a_model_that_can_t_be_had(reference: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't be loaded \(.*\); give the folder of an encoder"):
        find_tower("text", reference, tmp_path)


@pytest.mark.parametrize("reference", ["bert", "hf:", "all-MiniLM-L6-v2"])
def test_an_unknown_name_is_told_what_there_is(reference: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=rf"^text_tower={reference}: unknown; the valid names are all-minilm-l6-v2, use-mul",
    ):
        find_tower("text", reference, tmp_path)


def test_the_version_is_that_of_weights_tokenizer_and_use(
    encoder_folder: Path, tmp_path: Path
) -> None:
    version = made(encoder_folder).spec.version
    moved = Path(shutil.copytree(encoder_folder, tmp_path / "other" / "Tiny Bert"))
    assert made(moved).spec.version == version
    tokens = (moved / "tokenizer.json").read_text()
    (moved / "tokenizer.json").write_text(tokens.replace("noodles", "needles"))
    versions = {
        version,
        made(moved).spec.version,
        made(encoder_folder, "?pooling=cls").spec.version,
        made(encoder_folder, "?prefix=a").spec.version,
        made(write_encoder(tmp_path / "Tiny Bert", seed=1)).spec.version,
    }
    assert len(versions) == 5


def test_weights_that_changed_since_training_are_noticed(
    encoder_folder: Path, tmp_path: Path
) -> None:
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
