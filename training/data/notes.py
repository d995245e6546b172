"""Notes on a valid data set: what is read and not used, and what is likely a mistake."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from training.data.files import ignored_files, nearly_named

if TYPE_CHECKING:
    from training.data.dataset import Dataset

_PLACEHOLDER, _PLACEHOLDER_SHARE = 100, 0.05
"""Above both, streamers of one group or of one vector have a value that stands for none."""
_ROUNDED = re.compile(r"\d\.\d+[eE]\+?\d+|\d{16,}\.\d+")
"""How a table of floating-point numbers writes ids above 2^53, which lose digits."""
_MOST_FOLDED = 1_000_000
"""Most ids that are compared without case: among more, chance alone makes some."""


def notes_of(dataset: "Dataset") -> list[str]:
    """Notes of a data set, one line each."""
    return [
        *_not_read(dataset),
        *_not_used(dataset),
        *_of_users(dataset),
        *_of_placeholders(dataset),
        *_of_ids("streamers", dataset.ids),
    ]


def _not_read(dataset: "Dataset") -> Iterator[str]:
    for name in nearly_named(ignored_files(dataset.folder)):
        yield f"{name}: not read, since no file of a data set folder has this name"


def _not_used(dataset: "Dataset") -> Iterator[str]:
    interactions = None if dataset.interactions is None else dataset.interactions.matrix
    for name, matrix, meaning in (
        ("interactions", interactions, "a user is in an audience or is not"),
        ("relations", dataset.relations, "two streamers are related or are not"),
    ):
        if matrix is not None and matrix.nnz and matrix.data.min() < matrix.data.max():
            yield (
                f"{name}: weights and repeated pairs count alike, since {meaning}; remove the "
                "lines that should not count"
            )
    if interactions is not None and dataset.relations is not None:
        yield (
            "interactions: not used beside relations, which are taken for the audience; remove "
            "the relations to learn from users"
        )


def _of_users(dataset: "Dataset") -> Iterator[str]:
    if dataset.interactions is None or dataset.relations is not None:
        return
    matrix = dataset.interactions.matrix
    watched = int((np.diff(matrix.indptr)[dataset.rows("train")] > 0).sum())
    if watched < 2 and dataset.id_embeddings is None:
        yield (
            f"interactions: {watched} training streamers have users, two are needed to learn from "
            "behaviour; use --recipe masked-views"
        )
    watch = np.bincount(matrix.indices)
    many = int((watch > len(dataset.ids) / 2).sum())
    users = dataset.interactions.user_ids
    if many and len(users) > 1:  # one user alone can't be a placeholder among viewers
        them = f"{many:,} users watch" if many > 1 else f"{users[watch.argmax()]!r:.80} watches"
        yield (
            f"interactions: {them} more than half of the streamers, which so share a user and "
            "count as related; remove whoever is no viewer"
        )
    yield from _of_ids("users", users)


def _of_placeholders(dataset: "Dataset") -> Iterator[str]:
    least = max(_PLACEHOLDER, _PLACEHOLDER_SHARE * len(dataset.ids))
    if dataset.duplicates is not None:
        largest = int(np.bincount(dataset.duplicates).max(initial=0))
        if largest > least:
            yield (
                f"duplicates: {largest:,} streamers are in one group; a streamer without "
                "duplicates must not be listed"
            )
    if dataset.id_embeddings is not None:
        alike = Counter(hash(row.tobytes()) for row in dataset.id_embeddings.vectors)
        largest = max(alike.values(), default=0)
        if largest > least:
            yield (
                f"id_embeddings: {largest:,} streamers have one vector; a streamer without a "
                "vector must not be listed"
            )


def _of_ids(what: str, ids: Sequence[str]) -> Iterator[str]:
    """Notes on ids that were rounded, or differ by what a person may not see, and may be of one."""
    if rounded := next(filter(_ROUNDED.fullmatch, islice(ids, _MOST_FOLDED)), None):
        yield (
            f"{what}: ids such as {rounded!r:.80} are rounded numbers, each of which may stand for "
            "several ids; write whole numbers or text"
        )
    if len(ids) > _MOST_FOLDED:
        return
    folded = len({unicodedata.normalize("NFKC", name).strip().casefold() for name in ids})
    if folded < len(ids):
        yield (
            f"{what}: {len(ids) - folded:,} ids differ from others by blanks, case or Unicode "
            "form alone, and count as others"
        )
