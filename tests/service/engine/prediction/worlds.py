"""A recommender's vectors that follow from content, up to noise that interactions average out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.fit import Known


@dataclass(frozen=True)
class World:
    """Streamers of some topics, and users that like some of them."""

    known: Known
    cold: NDArray[np.float32]
    cold_vectors: NDArray[np.float32]
    users: NDArray[np.float32]


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def world(count: int = 1500, cold: int = 200, noise: float = 1.0, seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    dim, width = 24, 12
    topics = rng.standard_normal((15, dim))
    all_rows = count + cold
    content = unit(
        topics[rng.integers(len(topics), size=all_rows)]
        + 0.6 * rng.standard_normal((all_rows, dim))
    )
    to_space = rng.standard_normal((dim, width))
    interactions = rng.integers(1, 200, all_rows).astype(np.float32)
    true = content @ to_space + 0.4 * rng.standard_normal((all_rows, width))
    learned = true + noise * rng.standard_normal((all_rows, width)) / np.sqrt(interactions)[:, None]
    lengths = 0.5 + 0.5 * np.log1p(interactions)
    vectors = (unit(learned) * lengths[:, None]).astype(np.float32)
    users = (rng.standard_normal((300, dim)) @ to_space).astype(np.float32)
    known = Known(
        embeddings=content[:count],
        vectors=vectors[:count],
        coverage=rng.uniform(0.7, 1, count).astype(np.float32),
        modalities=rng.integers(2, 6, count).astype(np.float32),
        interactions=interactions[:count],
        unseen=np.ones(count, bool),
    )
    return World(known, content[count:], vectors[count:], users)
