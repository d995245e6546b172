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
    "text": (
        [0.368, 0.04, 0.0912, 0.008, 0.00708, 0.00777, 0.0485, 0.42945],
        [3.2e-05, 0.00001, 0.00016, 0.0001, 0.00208, 0.00227, 0.0917, 0.903648],
    ),
    "names": ([0.000902, 0.000902, 0.0135, 0.984696], [3.2e-05, 3.2e-05, 0.00048, 0.999456]),
    "contacts": ([0.425, 0.0142, 0.5608], [0.0002, 0.0008, 0.999]),
    "titles": ([0.449, 0.00494, 0.00494, 0.54112], [4.58e-05, 0.0000457, 0.0000913, 0.9998172]),
    "tags": ([0.273, 0.215, 0.107, 0.0409, 0.3641], [0.0222, 0.161, 0.129, 0.0693, 0.6185]),
    "category_language": ([0.385, 0.5532, 0.0618], [0.0527, 0.8522, 0.0951]),
    "pictures": ([0.365, 0.0728, 0.5622], [0.0005, 0.0045, 0.995]),
    "sounds": ([0.366, 0.0732, 0.5608], [0.0005, 0.0095, 0.99]),
    "vectors": ([0.364, 0.0727, 0.5633], [0.0005, 0.0045, 0.995]),
    "embedding": (
        [0.216, 0.0815, 0.282, 0.416608, 0.00377, 0.000122],
        [0.013, 0.0617, 0.372, 0.54817, 0.00497, 0.00016],
    ),
}
"""Chances m and u of each level of each channel, estimated on a simulated world of 2,000."""
_UNKNOWN_BITS = 10.0
_OF_LABELS = {"t": "tag", "c": "category", "l": "language"}
"""By the prefix of a token, see `features.piece_tokens`."""


def packaged(vocabulary: Vocabulary | None = None) -> EvidenceParameters:
    """Parameters that were not estimated for a model, with the frequencies of its vocabulary."""
    return EvidenceParameters(
        version=EVIDENCE_VERSION,
        folding_version=FOLDING_VERSION,
        prior=0.005,
        slope=1.0,
        threshold=7.0,
        channels={name: ChannelParameters(m=m, u=u) for name, (m, u) in _CHANCES.items()},
        frequencies=_frequencies(vocabulary),
        source="packaged: the bundle has no evidence.json",
    )


def _frequencies(vocabulary: Vocabulary | None) -> Frequencies:
    """Frequencies of shingles and labels, from the document frequencies of tokens."""
    if vocabulary is None or not vocabulary.documents:
        return Frequencies(documents=0, unknown_bits=_UNKNOWN_BITS).with_usual_numbers()
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
    found = found.with_usual_numbers()
    return found.model_copy(update={"unknown_bits": min(_UNKNOWN_BITS, bits_of(1, most))})
