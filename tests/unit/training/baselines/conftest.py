from collections.abc import Iterator

import numpy as np
import pytest

from training.baselines import sentences


@pytest.fixture(scope="module", autouse=True)
def _each_sentence_once() -> Iterator[None]:
    """What is read by several baselines, of several corpora, is encoded for the first of them."""
    encode, known = sentences._encode, dict[str, np.ndarray]()

    def once(texts: list[str]) -> np.ndarray:
        if new := [text for text in texts if text not in known]:
            known.update(zip(new, encode(new), strict=True))
        return np.stack([known[text] for text in texts])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences, "_encode", once)
        yield
