"""A data set folder in memory, or the list of everything that is wrong with it.

    streamers.jsonl      one StreamerProfile a line
    splits.csv           streamer_id,split           train | val | test   (optional)
    interactions.csv     user_id,streamer_id,weight                       (optional)
    relations.csv        streamer_id,related_id,weight    undirected      (optional)
    id_embeddings.npz    ids, vectors [, user_ids, user_vectors]          (optional: the teacher)
    duplicates.csv       streamer_id,group                                (optional: known truth)
    labels.csv           streamer_id,label                                (optional: semantic truth)

Each may be a Parquet file of the same name and columns instead. There is one reader for training
and for checking, so a folder that passes the check is a folder that loads.
"""

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.streamer import StreamerProfile
from training.data.problems import Problem
from training.data.streamers import IN_MEMORY, Streamers, read_streamers
from training.data.tables import (
    SPLITS,
    Interactions,
    read_duplicates,
    read_interactions,
    read_labels,
    read_relations,
    read_splits,
)
from training.data.vectors import IdEmbeddings, read_id_embeddings
from training.errors import DataError

FILES = {
    "streamers": ".jsonl",
    "splits": ".csv",
    "interactions": ".csv",
    "relations": ".csv",
    "id_embeddings": ".npz",
    "duplicates": ".csv",
    "labels": ".csv",
}
"""Part of a data set -> ending of its file; each may end in `.parquet` instead."""

_SHOWN_PROBLEMS = 10


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set folder that holds no mistake; N streamers.

    Attributes:
        folder: where it was read from.
        profiles: N profiles, in file order; rows below are in this order. Those of a large set are
            read anew at every pass (see `training.data.passes`).
        ids: their ids.
        split: (N,) of "train", "val", "test".
        split_given: whether the folder has splits; otherwise `split` is a hash of the ids.
        interactions: audiences, or None.
        relations: float32 (N, N), symmetric, or None.
        id_embeddings: the recommender's vectors, or None.
        duplicates: int64 (N,) group number, equal for near-duplicates only; None = not known.
        labels: N labels, None for a streamer without; None = not known.
        spaces: vector space -> its width, all that occur in the profiles.
        digest: SHA-256 over the names and contents of the files.
    """

    folder: Path
    profiles: Sequence[StreamerProfile]
    ids: list[str]
    split: NDArray[np.str_]
    split_given: bool
    interactions: Interactions | None
    relations: sp.csr_matrix | None
    id_embeddings: IdEmbeddings | None
    duplicates: NDArray[np.int64] | None
    labels: list[str | None] | None
    spaces: dict[str, int]
    digest: str

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """Rows of the streamers in any of these splits, ascending."""
        return np.flatnonzero(np.isin(self.split, splits))


@dataclass
class Reading:
    """What was read from a folder and what is wrong with it; the rest is None if anything is."""

    problems: list[Problem]
    dataset: Dataset | None = None
    counts: dict[str, int] = field(default_factory=dict)


def load_dataset(folder: Path, in_memory: int = IN_MEMORY) -> Dataset:
    """Read a data set folder.

    Args:
        folder: of the data set.
        in_memory: profiles of so many streamers are kept; those of a larger set are read again
            whenever they are needed.

    Raises:
        DataError: there is no such folder, or anything in it is wrong; lists the first problems.
    """
    reading = read_folder(folder, in_memory)
    if reading.dataset is None:
        shown = [str(problem) for problem in reading.problems[:_SHOWN_PROBLEMS]]
        hidden = len(reading.problems) - len(shown)
        if hidden:
            shown.append(f"... and {hidden} more; `python -m training data validate` names all")
        raise DataError("\n  ".join([f"{folder} can't be used:", *shown]))
    return reading.dataset


def digest_of(folder: Path) -> str:
    """The digest of a data set folder, without reading what its files say.

    Raises:
        DataError: there is no such folder, or not the files of a data set.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")
    problems: list[Problem] = []
    files = _files(folder, problems)
    if problems:
        raise DataError(f"{folder} can't be used: {problems[0]}")
    try:
        return _digest(list(files.values()))
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read: {error.strerror}") from error


def validate(folder: Path) -> list[Problem]:
    """Everything that is wrong with a data set folder, by file and line.

    Raises:
        DataError: there is no such folder.
    """
    return read_folder(folder).problems


def read_folder(folder: Path, in_memory: int = IN_MEMORY) -> Reading:
    """Read all of a folder; see `load_dataset`.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")
    problems: list[Problem] = []
    files = _files(folder, problems)
    try:
        with _no_garbage_collection():
            return _read(folder, files, problems, in_memory)
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read: {error.strerror}") from error


def _read(folder: Path, files: dict[str, Path], problems: list[Problem], in_memory: int) -> Reading:
    if "streamers" not in files:
        return Reading(problems)
    streamers = read_streamers(files["streamers"], problems, in_memory)
    ids = streamers.ids
    counts = {"streamers": len(ids)}

    interactions = relations = embeddings = duplicates = labels = split = None
    if "interactions" in files:
        interactions = read_interactions(files["interactions"], streamers, problems)
        counts |= {"interactions": interactions.matrix.nnz, "users": len(interactions.user_ids)}
    if "relations" in files:
        relations = read_relations(files["relations"], streamers, problems)
        counts["relations"] = relations.nnz // 2
    if "id_embeddings" in files:
        embeddings = read_id_embeddings(files["id_embeddings"], streamers, problems)
        counts["ID-embeddings"] = len(embeddings.ids) if embeddings else 0
    if "duplicates" in files:
        duplicates = read_duplicates(files["duplicates"], streamers, problems)
        sizes = np.bincount(duplicates) if len(duplicates) else np.zeros(0, np.int64)
        counts["duplicate groups"] = int((sizes > 1).sum())
    if "labels" in files:
        labels = read_labels(files["labels"], streamers, problems)
        counts["labels"] = sum(label is not None for label in labels)
    if "splits" in files:
        split = read_splits(files["splits"], streamers, problems)
        if duplicates is not None:
            _check_groups_whole(streamers, split, duplicates, problems)
    if problems:
        return Reading(problems, None, counts)

    dataset = Dataset(
        folder=folder,
        profiles=streamers.profiles,
        ids=ids,
        split=hashed_split(ids, duplicates) if split is None else split,
        split_given=split is not None,
        interactions=interactions,
        relations=relations,
        id_embeddings=embeddings,
        duplicates=duplicates,
        labels=labels,
        spaces=dict(sorted(streamers.spaces.items())),
        digest=_digest(list(files.values())),
    )
    return Reading(problems, dataset, counts)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Reading makes millions of objects and no cycles; looking for cycles would triple the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _files(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for part, ending in FILES.items():
        there = [p for e in (ending, ".parquet") if (p := folder / f"{part}{e}").exists()]
        if len(there) > 1:
            reason = f"{there[1].name} is there as well; keep one of them"
            problems.append(Problem(there[0].name, None, "", reason))
        if there:
            files[part] = there[0]
    if "streamers" not in files:
        reason = "is missing, and so is streamers.parquet; is this a data set folder?"
        problems.append(Problem("streamers.jsonl", None, "", reason))
    return files


def hashed_split(ids: list[str], duplicates: NDArray[np.int64] | None) -> NDArray[np.str_]:
    """70 % train, 10 % val, 20 % test by a hash of the id; near-duplicate groups stay whole.

    A group is placed by its smallest id, so the order of the file plays no part.
    """
    key = dict(enumerate(ids))
    if duplicates is not None:
        smallest: dict[int, str] = {}
        for name, group in zip(ids, duplicates.tolist(), strict=True):
            smallest[group] = min(name, smallest.get(group, name))
        key = {row: smallest[group] for row, group in enumerate(duplicates.tolist())}
    split = np.full(len(ids), "train", "<U5")
    for row, name in key.items():
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
        if share >= 0.7:
            split[row] = "val" if share < 0.8 else "test"
    return split


def _check_groups_whole(
    streamers: Streamers,
    split: NDArray[np.str_],
    duplicates: NDArray[np.int64],
    problems: list[Problem],
) -> None:
    """A near-duplicate on the other side of a split would give the answer away."""
    first: dict[int, int] = {}
    for row, group in enumerate(duplicates.tolist()):
        if split[row] not in SPLITS:
            continue
        other = first.setdefault(group, row)
        if split[other] != split[row]:
            one, two = (streamers.ids[r] for r in (row, other))
            reason = f"{one!r} is in {split[row]}, its duplicate {two!r} in {split[other]}"
            problems.append(Problem(streamers.file, streamers.lines[row], "split", reason))


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda p: p.name):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name}\0{content}\n".encode())
    return digest.hexdigest()
