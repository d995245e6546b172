"""Features to vectors, by ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle
from model_export.contract.errors import BundleError
from model_export.contract.features import Features, collate
from service.engine.encoding.length_batches import alike
from service.engine.encoding.onnx_session import Device, open_session

MAX_BATCH = 64
"""Profiles of one run: more gain nothing."""
_MAX_PADDED = 2048
"""Profiles times the longest of them, in tokens and vectors, of one run. What the graph makes of
more does not stay in a core's cache, and the arena keeps the peak of any run."""

EMBEDDING_BITS, SKETCH_BITS = 15, 7
"""Of a number beside its sign: more tell nothing that matters, and take room in the store."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the encoder says about one profile.

    Attributes:
        embedding: float32 (D,), of unit length but for rounding to 16 bits, 1e-5.
        content: float16 (C,), of unit length but for rounding to 8 bits, 1e-3: the content sketch.
        id_embedding: float32 (E,) in the recommender's space, rounded likewise, or None.
    """

    embedding: NDArray[np.float32]
    content: NDArray[np.float16]
    id_embedding: NDArray[np.float32] | None


class OnnxEncoder:
    """The graph of a verified bundle."""

    def __init__(
        self, bundle: Bundle, *, threads: int = 1, device: Device = "cpu", dim: int | None = None
    ) -> None:
        """Load the graph.

        Args:
            bundle: with the graph.
            threads: per run.
            device: to run on.
            dim: D, one of the manifest's widths; None = the full one.

        Raises:
            BundleError: the graph can't be loaded, has not the outputs that the manifest promises,
                or not that width; or a GPU was asked for and ONNX Runtime would silently use the
                CPU.
        """
        self._dim = bundle.manifest.at(dim).dim
        where = f"{bundle.path}/encoder.onnx"
        session = open_session(bundle.encoder_bytes(), where, threads=threads, device=device)
        bundle.release_encoder_bytes()
        self.device = device
        self._session = session
        self._inputs = [cast(str, i.name) for i in session.get_inputs()]
        self._outputs = ["embedding", "content"]
        if bundle.manifest.id_space is not None:
            self._outputs.append("id_embedding")
        missing = set(self._outputs) - {o.name for o in session.get_outputs()}
        if missing:
            raise BundleError(f"{where} has no output {sorted(missing)}")

    def encode(self, features: Sequence[Features]) -> list[Encoded]:
        """Encode in batches of similar length."""
        lengths = list(map(tokens_of, features))
        results: list[Encoded | None] = [None] * len(features)
        for rows in alike(lengths, MAX_BATCH, _MAX_PADDED):
            for i, encoded in zip(rows, self._run([features[i] for i in rows]), strict=True):
                results[i] = encoded
        return cast(list[Encoded], results)

    def _run(self, features: Sequence[Features]) -> list[Encoded]:
        batch = collate(features)
        outputs = self._session.run(self._outputs, {name: batch[name] for name in self._inputs})
        embedding = _shortened(cast(NDArray[np.float32], outputs[0]), self._dim)  # (B, D)
        embedding = rounded(embedding, EMBEDDING_BITS)
        content = rounded(cast(NDArray[np.float32], outputs[1]), SKETCH_BITS).astype(np.float16)
        ids = None  # (B, E)
        if len(outputs) > 2:
            ids = rounded(cast(NDArray[np.float32], outputs[2]), EMBEDDING_BITS)
        return [
            Encoded(embedding[i], content[i], None if ids is None else ids[i])
            for i in range(len(features))
        ]


def tokens_of(features: Features) -> int:
    """Tokens and vectors of a profile, which a run of the graph takes its time for."""
    return len(features.token_ids) + sum(map(len, features.vectors))


def _shortened(embedding: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """The first numbers of unit vectors (B, >= dim), again of unit length (B, dim)."""
    if embedding.shape[1] == dim:
        return embedding
    first = embedding[:, :dim]
    return first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)


def rounded(vectors: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Vectors (B, N) with numbers of few bits beside the sign.

    Each number is a whole multiple of a power of two that the largest one of its vector sets, so
    that an error is at most half of that power. Rounding a rounded vector changes nothing.
    """
    largest = np.abs(vectors).max(axis=1, initial=0, keepdims=True)  # (B, 1)
    exponents = bits - np.frexp(largest)[1]
    most = float((1 << bits) - 1)
    whole = np.clip(np.rint(np.ldexp(vectors, exponents)), -most, most)
    return np.ldexp(whole, -exponents) + np.float32(0)  # no number is -0
