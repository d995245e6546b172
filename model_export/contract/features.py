"""Featuriser: pieces of a profile to named arrays, shared by training and serving.

All operations are exact (look-up, hashing, counting, padding, casts); float operations are inside
the exported graph. A profile therefore gives identical bytes on every machine. Only the coverage is
a float; the graph does not read it.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_export.contract.errors import UnreadableContent
from model_export.contract.folding import fold
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.contract.streamer import StreamerContent
from model_export.contract.text import label_token, text_tokens
from model_export.contract.uninformative import says_nothing
from model_export.contract.vocabulary import Vocabulary

MAX_TOKENS = 2048
"""Most distinct (token, modality) pairs per profile; the rarest tokens are kept."""
MAX_VECTORS = 256
"""Most ready-made vectors per profile and space; the first pieces are kept."""
VECTOR_WEIGHT = 20.0
"""Weight of a ready-made vector, in units of token idf."""
SMALLEST_COMPONENT = 1e-6
"""Vectors whose components are all smaller count as zero."""

ModalityStatus = Literal["used", "absent", "uninformative", "unsupported"]
FeatureBatch = dict[str, NDArray[np.generic]]
"""Input name -> array of the encoder's graph (B profiles, L tokens, P vectors of a space):

`token_ids` int64 (B, L), 0 = padding; `token_counts` int64 (B, L); `token_modality` int64 (B, L),
1 + place in `MODALITIES`, 0 = padding; and for the i-th space of the vocabulary
`vectors_i` float32 (B, P, width) and `vectors_i_modality` int64 (B, P), 0 = padding.
"""

_PREFIX = {"tag": "t", "category": "c", "language": "l"}
_FOLDED = ("text", "tag", "category")
_MODALITY_ID = {name: i + 1 for i, name in enumerate(MODALITIES)}


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one profile, before padding.

    Attributes:
        token_ids, token_counts, token_modality: int64 (L,), sorted by modality and id.
        vectors: per space of the vocabulary, float32 (P, width).
        vectors_modality: per space, int64 (P,).
        status: per modality, how it was used.
        coverage: share of what the profile shows that the encoder knows, see `coverage_of`;
            that of the whole profile where a part of it is masked.
    """

    token_ids: NDArray[np.int64]
    token_counts: NDArray[np.int64]
    token_modality: NDArray[np.int64]
    vectors: tuple[NDArray[np.float32], ...]
    vectors_modality: tuple[NDArray[np.int64], ...]
    status: dict[str, ModalityStatus]
    coverage: float

    @property
    def modalities_used(self) -> int:
        """Number of modalities with usable content, language aside."""
        return sum(s == "used" for name, s in self.status.items() if name != "language")

    @property
    def usable(self) -> bool:
        """Whether the profile has usable content.

        A profile without usable content must not get a vector, since it would be a neighbour of
        every streamer.
        """
        return self.modalities_used > 0


def piece_tokens(piece: Piece) -> list[str]:
    """Tokens of a text, tag, category or language piece; none for other kinds."""
    if piece.kind == "text":
        return text_tokens(piece.text)
    prefix = _PREFIX.get(piece.kind)
    return label_token(prefix, piece.text) if prefix else []


def _folded(piece: Piece) -> Piece:
    folded = fold(piece.text) if piece.kind in _FOLDED else None
    return replace(piece, text=folded.text) if folded is not None and folded.undone else piece


class Featurizer:
    """Featuriser over the vocabulary of an encoder.

    Attributes:
        vocabulary: of the encoder.
        folding_version: 0 reads texts as they are. From 1 on, a profile without usable content is
            read once more without the disguises of its texts (`folding.fold`), so that no disguise
            makes a profile insufficient; what is usable as it is keeps its features.
    """

    def __init__(self, vocabulary: Vocabulary, folding_version: int = 0) -> None:
        self.vocabulary = vocabulary
        self.folding_version = folding_version
        self._space_index = {space.name: i for i, space in enumerate(vocabulary.spaces)}

    def __call__(self, profile: StreamerContent) -> Features:
        """Features of one profile.

        Raises:
            UnreadableContent: a vector is in an unknown space or has the wrong width.
        """
        return self.from_pieces(pieces_of(profile))

    def from_pieces(self, pieces: Sequence[Piece]) -> Features:
        """Features of pieces in the order of `pieces_of`; raises like `__call__`."""
        found = self._read(pieces)
        if found.usable or not self.folding_version:
            return found
        folded = [_folded(piece) for piece in pieces]
        is_same = all(one is other for one, other in zip(pieces, folded, strict=True))
        return found if is_same else self._read(folded)

    def _read(self, pieces: Sequence[Piece]) -> Features:
        vocabulary = self.vocabulary
        counts: Counter[tuple[int, int]] = Counter()  # (modality, token id) -> count
        vectors: list[list[tuple[int, NDArray[np.float32]]]] = [[] for _ in vocabulary.spaces]
        status: dict[str, ModalityStatus] = dict.fromkeys(MODALITIES, "absent")
        for piece in pieces:
            modality = _MODALITY_ID[piece.modality]
            found: ModalityStatus = "uninformative"
            if piece.kind == "vector":
                space = self._space_of(piece)
                vector = np.asarray(piece.vector, np.float32)  # (width,)
                shows_something = bool((np.abs(vector) >= SMALLEST_COMPONENT).any())
                if shows_something and not says_nothing(piece, vocabulary.uninformative):
                    vectors[space].append((modality, vector))
                    found = "used"
            elif piece.kind == "media":
                found = "unsupported"
            elif not says_nothing(piece, vocabulary.uninformative):
                for token in piece_tokens(piece):
                    token_id = vocabulary.token_id(token)
                    counts[modality, token_id] += 1
                    if vocabulary.is_known(token_id):
                        found = "used"
            if found == "used" or status[piece.modality] in ("absent", "unsupported"):
                status[piece.modality] = found
        return self._pack(counts, vectors, status)

    def _space_of(self, piece: Piece) -> int:
        index = self._space_index.get(piece.space)
        if index is None:
            known = ", ".join(self._space_index) or "none"
            raise UnreadableContent(
                f"{piece.source}.space",
                f"vector space {piece.space!r} is unknown to this model (it reads: {known})",
            )
        width = self.vocabulary.spaces[index].width
        if len(piece.vector) != width:
            raise UnreadableContent(
                f"{piece.source}.vector",
                f"has {len(piece.vector)} numbers, space {piece.space!r} has {width}",
            )
        return index

    def _pack(
        self,
        counts: Counter[tuple[int, int]],
        vectors: list[list[tuple[int, NDArray[np.float32]]]],
        status: dict[str, ModalityStatus],
    ) -> Features:
        keys = sorted(counts)
        coverage = coverage_of(
            self.vocabulary,
            np.array([token_id for _, token_id in keys], np.int64),
            np.array([modality for modality, _ in keys], np.int64),
            [np.array([modality for modality, _ in found], np.int64) for found in vectors],
        )
        if len(keys) > MAX_TOKENS:
            known = len(self.vocabulary.tokens)
            frequency = self.vocabulary.document_frequency

            def commonness(key: tuple[int, int]) -> tuple[int, int, int]:
                token_id = key[1]  # unknown tokens are dropped first
                df = frequency[token_id - 1] if token_id <= known else self.vocabulary.documents + 1
                return df, key[0], token_id

            keys = sorted(sorted(keys, key=commonness)[:MAX_TOKENS])
        packed: list[NDArray[np.float32]] = []
        modalities: list[NDArray[np.int64]] = []
        for space, found in zip(self.vocabulary.spaces, vectors, strict=True):
            kept = found[:MAX_VECTORS]
            rows = [vector for _, vector in kept]
            packed.append(np.array(rows, np.float32).reshape(len(rows), space.width))  # (P, width)
            modalities.append(np.array([modality for modality, _ in kept], np.int64))
        return Features(
            token_ids=np.array([token_id for _, token_id in keys], np.int64),
            token_counts=np.array([counts[key] for key in keys], np.int64),
            token_modality=np.array([modality for modality, _ in keys], np.int64),
            vectors=tuple(packed),
            vectors_modality=tuple(modalities),
            status=status,
            coverage=coverage,
        )


def coverage_of(
    vocabulary: Vocabulary,
    token_ids: NDArray[np.int64],
    token_modality: NDArray[np.int64],
    vectors_modality: Sequence[NDArray[np.int64]],
) -> float:
    """Share of what a profile shows that the encoder knows, to three digits; 0 if it is empty.

    A token weighs its idf, an unknown one that of a token in no document. A vector counts as known,
    but only in a modality without tokens: where text is shown its words decide, since a text tower
    makes a vector of any text.

    Args:
        vocabulary: of the encoder.
        token_ids: as in `Features` (L,).
        token_modality: as in `Features` (L,).
        vectors_modality: as in `Features`, per space (P,).
    """
    weight = vocabulary.inverse_document_frequency[token_ids]  # (L,)
    known = float(weight[token_ids <= len(vocabulary.tokens)].sum())
    read = set(token_modality.tolist())
    seen = sum(each not in read for found in vectors_modality for each in found.tolist())
    total = float(weight.sum()) + VECTOR_WEIGHT * seen
    return round((known + VECTOR_WEIGHT * seen) / total, 3) if total else 0.0


def without(features: Features, hidden: Collection[str]) -> Features:
    """Features of a profile with some modalities masked, whose status becomes `absent`.

    They equal the features of the profile's other pieces, except beyond `MAX_TOKENS` or
    `MAX_VECTORS`: what a masked modality had displaced does not return.

    Raises:
        KeyError: a modality is unknown.
    """
    shows = np.ones(len(MODALITIES) + 1, np.bool_)
    shows[[_MODALITY_ID[modality] for modality in hidden]] = False
    kept = shows[features.token_modality]  # (L,)
    kept_vectors = [shows[found] for found in features.vectors_modality]  # per space (P,)
    return replace(
        features,
        token_ids=features.token_ids[kept],
        token_counts=features.token_counts[kept],
        token_modality=features.token_modality[kept],
        vectors=tuple(v[k] for v, k in zip(features.vectors, kept_vectors, strict=True)),
        vectors_modality=tuple(
            found[k] for found, k in zip(features.vectors_modality, kept_vectors, strict=True)
        ),
        status={**features.status, **dict.fromkeys(hidden, "absent")},
    )


def collate(features: Sequence[Features]) -> FeatureBatch:
    """Pad the features of B profiles to a `FeatureBatch`; L and P are at least 1."""
    batch: FeatureBatch = {}
    for name in ("token_ids", "token_counts", "token_modality"):
        batch[name] = _padded([getattr(f, name) for f in features])  # (B, L)
    for i in range(len(features[0].vectors) if features else 0):
        most = max([1, *(len(f.vectors[i]) for f in features)])
        width = features[0].vectors[i].shape[1]
        matrix = np.zeros((len(features), most, width), np.float32)  # (B, P, width)
        for row, f in enumerate(features):
            matrix[row, : len(f.vectors[i])] = f.vectors[i]
        batch[f"vectors_{i}"] = matrix
        batch[f"vectors_{i}_modality"] = _padded([f.vectors_modality[i] for f in features])
    return batch


def _padded(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Zero-padded matrix of rows of different lengths, with at least one column."""
    padded = np.zeros((len(rows), max([1, *map(len, rows)])), np.int64)
    for row, values in enumerate(rows):
        padded[row, : len(values)] = values
    return padded


def fingerprint(featurizer: Featurizer, profiles: Sequence[StreamerContent]) -> str:
    """SHA-256 over the features of profiles: names, types, shapes, bytes and status."""
    digest = hashlib.sha256()
    for profile in profiles:
        features = featurizer(profile)
        for name, array in sorted(collate([features]).items()):
            digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
            digest.update(array.tobytes())
        digest.update(repr(sorted(features.status.items())).encode())
    return digest.hexdigest()
