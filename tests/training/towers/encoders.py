"""A Hugging Face encoder of two layers and random weights, saved as a folder."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests import towers

WIDTH = 16
LENGTH = 32


def write_encoder(folder: Path, seed: int = 0) -> Path:
    """Write a BERT that knows the words of `tests.towers`; another seed has other weights."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(towers.WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(towers.tokenizer().decode()),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=LENGTH,
    )
    tokenizer.save_pretrained(folder)
    return folder
