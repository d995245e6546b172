"""Hugging Face encoders of a layer or two and random weights, saved as folders."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from tests.support import towers

WIDTH = 16
LENGTH = 32
LAYERS: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def transformers() -> Any:
    """Hugging Face's library, loaded by whoever asks for it.

    By a plain import, pyright would read the files of all its models, which takes as long as half
    of ours, and every process that shares the tests would load it.
    """
    return import_module("transformers")


def write_encoder(folder: Path, seed: int = 0) -> Path:
    """Write a BERT that knows the words of `tests.support.towers`; the seed decides its weights."""
    torch.manual_seed(seed)
    config = transformers().BertConfig(
        vocab_size=len(towers.WORDS), max_position_embeddings=LENGTH, **LAYERS
    )
    transformers().BertModel(config).save_pretrained(folder)
    tokenizer = transformers().PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(towers.tokenizer().decode()),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=LENGTH,
    )
    tokenizer.save_pretrained(folder)
    return folder


def write_vision(folder: Path, seed: int = 0) -> Path:
    """Write a ViT of 32 pixels a side."""
    torch.manual_seed(seed)
    config = transformers().ViTConfig(
        **LAYERS | {"hidden_size": 48},
        image_size=32,
        patch_size=8,
        hidden_dropout_prob=0.0,
        initializer_range=0.2,  # the usual .02 is for widths of 768
    )
    transformers().ViTModel(config).save_pretrained(folder)
    thirds = [0.5, 0.5, 0.5]
    scaling = {"size": {"height": 32, "width": 32}, "image_mean": thirds, "image_std": thirds}
    (folder / "preprocessor_config.json").write_text(json.dumps(scaling))
    return folder


def write_hearing(folder: Path, seed: int = 0) -> Path:
    """Write a wav2vec 2.0 that takes 20 steps a second."""
    torch.manual_seed(seed)
    config = transformers().Wav2Vec2Config(
        **LAYERS,
        conv_dim=(16, 16),
        conv_stride=(40, 20),
        conv_kernel=(80, 20),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    transformers().Wav2Vec2Model(config).save_pretrained(folder)
    return folder
