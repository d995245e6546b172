"""What a trained encoder must beat: vectors that need no training, or no more than a regression.

All are fitted on the known streamers only, as an encoder is.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd

from model_export.contract.vocabulary import Vocabulary
from training.bags import Bags, tf_idf

Vectors = NDArray[np.float32] | sp.csr_matrix

_CONTENT_RANK = 256
_ID_RANK = 64
_RIDGE = 3.0


def baselines(
    bags: Bags,
    vocabulary: Vocabulary,
    audience: sp.csr_matrix,
    known: NDArray[np.int64],
    seed: int,
) -> Iterator[tuple[str, Vectors]]:
    """Name and unit vectors of all N streamers, one baseline after the other.

    Args:
        bags: features of all N.
        vocabulary: of the features.
        audience: binary (N, U); read for the known streamers only.
        known: rows to fit on.
        seed: of what is random.
    """
    rng = np.random.default_rng(seed)
    yield "random", _unit(rng.standard_normal((len(bags), 32)))
    lexical = tf_idf(bags, vocabulary)
    yield "TF-IDF", lexical
    _, _, components = randomized_svd(
        sp.csr_matrix(lexical[known]),
        min(_CONTENT_RANK, len(known) - 1, len(vocabulary.tokens)),
        random_state=seed,
    )
    dense = np.asarray(lexical @ np.transpose(components))
    yield "SVD", _unit(dense)
    features = np.hstack([dense, *(p - p[known].mean(0) for p in bags.pooled)])
    watched = known[np.diff(audience.indptr)[known] > 0]
    left, scale, _ = randomized_svd(
        sp.csr_matrix(normalize(audience[watched])),
        min(_ID_RANK, len(watched) - 1),
        random_state=seed,
    )
    ridge = Ridge(alpha=_RIDGE).fit(features[watched], _unit(np.asarray(left) * np.asarray(scale)))
    yield "ridge", _unit(ridge.predict(features))


def _unit(x: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(normalize(x), np.float32)
