"""Vectors of many profiles at once, by the graphs that a service would run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import GOLDEN, Bundle
from model_export.contract.features import Features
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import OnnxEncoder
from service.engine.encoding.onnx_towers import OnnxTowers

_CHUNK = 256
_ENCODED = 4096
"""Profiles whose other vectors are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of N profiles.

    Attributes:
        features: N.
        embedding: float32 (N, D); 0 without usable content.
        usable: bool (N,), whether a profile has a vector.
    """

    features: Sequence[Features]
    embedding: NDArray[np.float32]
    usable: NDArray[np.bool_]


class ReleaseEncoder:
    """Encodes profiles with the towers and the encoder of a bundle."""

    def __init__(self, bundle: Bundle, dim: int | None = None) -> None:
        """Load the graphs; raises `BundleError`."""
        self.bundle = bundle
        self._encoder = OnnxEncoder(bundle, dim=dim)
        self._towers = OnnxTowers(bundle)
        self._dim = bundle.manifest.at(dim).dim

    def vectors(self, profiles: Sequence[StreamerProfile]) -> Vectors:
        """Vectors of profiles.

        Raises:
            UnreadableContent: a profile has a part that the model can't read.
        """
        features: list[Features] = []
        for start in range(0, len(profiles), _CHUNK):
            read = self._towers.read(profiles[start : start + _CHUNK])
            features += [self.bundle.featurizer.from_pieces(pieces) for pieces in read]
        usable = np.array([f.usable for f in features], np.bool_)
        embedding = np.zeros((len(features), self._dim), np.float32)
        embedding[usable] = self.embed([f for f in features if f.usable])
        return Vectors(features, embedding, usable)

    def embed(self, features: Sequence[Features]) -> NDArray[np.float32]:
        """Embeddings (N, D) of features, all of them usable."""
        found = np.zeros((len(features), self._dim), np.float32)
        for start in range(0, len(features), _ENCODED):
            encoded = self._encoder.encode(features[start : start + _ENCODED])
            found[start : start + _ENCODED] = [each.embedding for each in encoded]
        return found


def golden_vectors(encoder: ReleaseEncoder) -> NDArray[np.float32]:
    """Embeddings (G, D) of the golden profiles that have usable content."""
    content = encoder.bundle.read(GOLDEN) or b""
    profiles = [StreamerProfile.model_validate_json(line) for line in content.splitlines() if line]
    featurizer = encoder.bundle.featurizer
    features = [featurizer(profile) for profile in profiles]
    return encoder.embed([f for f in features if f.usable])
