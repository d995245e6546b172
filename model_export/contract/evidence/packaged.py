"""Parameters of evidence for bundles without `evidence.json`."""

from collections import Counter
from typing import Final

from model_export.contract.evidence.keys import Frequencies, bits_of, key_of, shingles
from model_export.contract.evidence.parameters import (
    EVIDENCE_VERSION,
    ChannelParameters,
    EvidenceParameters,
)
from model_export.contract.evidence.sides import sounds_like, tag_key
from model_export.contract.folding import FOLDING_VERSION
from model_export.contract.vocabulary import Vocabulary

_CHANCES: Final[dict[str, tuple[list[float], list[float]]]] = {
    "text": ([0.45, 0.2, 0.05, 0.08, 0.07, 0.15], [0.0001, 0.0003, 0.0006, 0.009, 0.09, 0.9]),
    "names": ([0.05, 0.01, 0.04, 0.9], [0.0005, 0.0015, 0.008, 0.99]),
    "contacts": ([0.6, 0.02, 0.38], [0.0002, 0.0008, 0.999]),
    "titles": ([0.35, 0.15, 0.5], [0.0005, 0.0045, 0.995]),
    "tags": ([0.25, 0.15, 0.15, 0.1, 0.35], [0.002, 0.018, 0.06, 0.12, 0.8]),
    "category_language": ([0.3, 0.5, 0.2], [0.05, 0.45, 0.5]),
    "pictures": ([0.5, 0.1, 0.4], [0.0005, 0.0045, 0.995]),
    "sounds": ([0.5, 0.1, 0.4], [0.0005, 0.0095, 0.99]),
    "vectors": ([0.5, 0.1, 0.4], [0.0005, 0.0045, 0.995]),
    "embedding": ([0.3, 0.2, 0.15, 0.1, 0.1, 0.15], [0.002, 0.01, 0.05, 0.12, 0.2, 0.618]),
}
_UNKNOWN_BITS = 10.0
_OF_LABELS = {"t": "tag", "c": "category", "l": "language"}
"""By the prefix of a token, see `features.piece_tokens`."""


def packaged(vocabulary: Vocabulary | None = None) -> EvidenceParameters:
    """Parameters that were not estimated for a model, with the frequencies of its vocabulary."""
    return EvidenceParameters(
        version=EVIDENCE_VERSION,
        folding_version=FOLDING_VERSION,
        prior=0.05,
        slope=0.7,
        threshold=8.0,
        channels={name: ChannelParameters(m=m, u=u) for name, (m, u) in _CHANCES.items()},
        frequencies=_frequencies(vocabulary),
        source="packaged: the bundle has no evidence.json",
    )


def _frequencies(vocabulary: Vocabulary | None) -> Frequencies:
    """Frequencies of shingles and labels, from the document frequencies of tokens."""
    if vocabulary is None or not vocabulary.documents:
        return Frequencies(documents=0, unknown_bits=_UNKNOWN_BITS)
    counts: Counter[int] = Counter()
    for token, count in zip(vocabulary.tokens, vocabulary.document_frequency, strict=True):
        kind, _, text = token.partition("=")
        if kind in _OF_LABELS:
            key = tag_key(text) if kind == "t" else key_of(_OF_LABELS[kind], text)
            counts[key] += count
        elif (kind == "g" and len(text) == 3) or (kind == "w" and len(text) >= 5):
            for key in set(shingles(sounds_like(text)).tolist()):
                counts[key] += count
    most = vocabulary.documents
    found = Frequencies.of({key: min(count, most) for key, count in counts.items()}, most)
    return found.model_copy(update={"unknown_bits": min(_UNKNOWN_BITS, bits_of(1, most))})
