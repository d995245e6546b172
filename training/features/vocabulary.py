"""Vocabulary of an encoder, counted on its training profiles only."""

from collections.abc import Iterable, Sequence

from model_export.contract.features import piece_tokens
from model_export.contract.pieces import Piece
from model_export.contract.uninformative import may_say_nothing, says_nothing
from model_export.contract.vocabulary import Space, Vocabulary
from training.errors import DataError
from training.features.lossy_counting import FrequencyCounter

UNINFORMATIVE_COUNT = 5
UNINFORMATIVE_SHARE = 0.005


def build_vocabulary(
    profiles: Sequence[Sequence[Piece]],
    max_tokens: int = 65536,
    min_document_frequency: int = 2,
) -> Vocabulary:
    """Count tokens and boilerplate over training profiles.

    A text or vector whose near-duplicate cluster (`Piece.cluster_hash`) is shown by more than
    max(5, 0.5 %) of the streamers is marked as uninformative, and its tokens are not counted.

    Counts are exact up to two million distinct texts and as many tokens; beyond that lossy counting
    is used (`training.features.lossy_counting`).

    Args:
        profiles: pieces of each profile; iterated twice.
        max_tokens: number of most frequent tokens to keep; ties in alphabetical order.
        min_document_frequency: rarer tokens are dropped.

    Raises:
        DataError: a vector space has two widths.
    """
    uninformative, spaces = _first_pass(profiles)
    frequency = FrequencyCounter()
    for pieces in profiles:
        frequency.update(_distinct_tokens(pieces, uninformative))
    kept = [item for item in frequency.counts.items() if item[1] >= min_document_frequency]
    kept = sorted(kept, key=lambda item: (-item[1], item[0]))[:max_tokens]
    kept.sort()
    return Vocabulary(
        tokens=[token for token, _ in kept],
        document_frequency=[count for _, count in kept],
        documents=len(profiles),
        spaces=spaces,
        uninformative=uninformative,
    )


def _first_pass(
    profiles: Sequence[Sequence[Piece]],
) -> tuple[frozenset[str], tuple[Space, ...]]:
    """Uninformative cluster hashes and vector spaces."""
    shown_by = FrequencyCounter()
    spaces = _Spaces()
    for pieces in profiles:
        shown_by.update({piece.cluster_hash for piece in pieces if may_say_nothing(piece)})
        spaces.see(pieces)
    return shown_by_many(shown_by, len(profiles)), spaces.found()


def shown_by_many(shown_by: FrequencyCounter, streamers: int) -> frozenset[str]:
    """Clusters shown by so many streamers that they are uninformative, see `build_vocabulary`.

    Args:
        shown_by: number of streamers per cluster.
        streamers: number of streamers.
    """
    limit = max(UNINFORMATIVE_COUNT, UNINFORMATIVE_SHARE * streamers)
    return frozenset(cluster for cluster, count in shown_by.counts.items() if count > limit)


def _distinct_tokens(pieces: Iterable[Piece], uninformative: frozenset[str]) -> set[str]:
    tokens: set[str] = set()
    for piece in pieces:
        if not says_nothing(piece, uninformative):
            tokens.update(piece_tokens(piece))
    return tokens


class _Spaces:
    """Vector spaces seen so far, each with one width."""

    def __init__(self) -> None:
        self._widths: dict[str, tuple[int, str]] = {}

    def see(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            if piece.kind == "vector":
                given = len(piece.vector)
                width, source = self._widths.setdefault(piece.space, (given, piece.source))
                if given != width:
                    raise DataError(
                        f"vector space {piece.space!r} has {width} numbers in one profile "
                        f"({source}) and {given} in another ({piece.source})"
                    )

    def found(self) -> tuple[Space, ...]:
        return tuple(Space(name, self._widths[name][0]) for name in sorted(self._widths))
