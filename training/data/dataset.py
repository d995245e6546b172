"""Data set folder: reader and validator.

    streamers.jsonl      one StreamerProfile per line
    splits.csv           streamer_id,split           train | val | test   (optional)
    interactions.csv     user_id,streamer_id,weight                       (optional)
    relations.csv        streamer_id,related_id,weight    undirected      (optional)
    id_embeddings.npz    ids, vectors [, user_ids, user_vectors]          (optional: teacher)
    duplicates.csv       streamer_id,group[,kind,disguise]                (optional)
    labels.csv           streamer_id,label                                (optional)

Each file may be Parquet instead, with the same name and columns. `user_ids` and `user_vectors` are
reserved: they are checked, but nothing uses them yet. Training and validation share this reader, so
a folder that passes `data validate` can be loaded.
"""

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.splits import SPLITS, hashed_split
from model_export.contract.streamer import StreamerProfile
from training.data.files import find_files
from training.data.notes import notes_of
from training.data.problems import Problem, Problems
from training.data.splits import dealt_split
from training.data.streamers import IN_MEMORY, Streamers, read_streamers
from training.data.tables import (
    Interactions,
    read_duplicates,
    read_interactions,
    read_labels,
    read_relations,
    read_splits,
)
from training.data.vectors import IdEmbeddings, read_id_embeddings
from training.errors import DataError

_SHOWN_PROBLEMS = 10


@dataclass(frozen=True, eq=False)
class Dataset:
    """A valid data set of N streamers.

    Attributes:
        folder: source folder.
        profiles: N profiles in file order, which is the row order. Large data sets are read again
            at every pass (see `training.data.passes`).
        ids: streamer ids.
        split: (N,) of "train", "val", "test".
        split_given: whether the folder has splits; otherwise `split` is derived from the ids.
        interactions: audiences, or None.
        relations: float32 (N, N), symmetric, or None.
        id_embeddings: vectors of a recommender, or None.
        duplicates: int64 (N,), group number, shared by near-duplicates; None = unknown.
        labels: N labels, None for streamers without a label; None = unknown.
        spaces: vector space -> width, for all spaces in the profiles.
        digest: SHA-256 over names and contents of the files, and the number of a dealt split.
        split_number: of a dealt split; 0 = the folder's own.
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
    split_number: int = 0

    @property
    def groups(self) -> NDArray[np.int64]:
        """Group of known near-duplicates of each streamer (N,); all different if unknown."""
        return np.arange(len(self.ids)) if self.duplicates is None else self.duplicates

    @property
    def notes(self) -> list[str]:
        """What is read and not used, and what is likely a mistake, one line each."""
        return notes_of(self)

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """Rows of the streamers in any of these splits, ascending."""
        return np.flatnonzero(np.isin(self.split, splits))

    def dealt(self, number: int) -> "Dataset":
        """Data set with its streamers dealt anew to train, val and test; see `splits.dealt_split`.

        Args:
            number: 0 = the split that it has.

        Raises:
            DataError: a part would be empty.
        """
        if number == 0:
            return self
        split = dealt_split(self.ids, self.split, self.duplicates, number)
        if lost := sorted(set(self.split.tolist()) - set(split.tolist())):
            raise DataError(
                f"{self.folder} is too small for split number {number}: nobody would be in "
                f"{' and '.join(lost)}; known duplicates stay together"
            )
        digest = hashlib.sha256(f"{self.digest}\nsplit {number}\n".encode()).hexdigest()
        return replace(self, split=split, digest=digest, split_number=number)


@dataclass
class Reading:
    """Result of reading a folder: problems, and the data set if there are none."""

    problems: Problems
    dataset: Dataset | None = None
    counts: dict[str, int] = field(default_factory=dict)


def load_dataset(folder: Path, in_memory: int = IN_MEMORY) -> Dataset:
    """Read a data set folder.

    Args:
        folder: data set folder.
        in_memory: number of streamers up to which profiles are kept in memory; larger data sets are
            read again when needed.

    Raises:
        DataError: the folder is missing or invalid; the message lists the first problems.
    """
    reading = read_folder(folder, in_memory)
    if reading.dataset is None:
        shown = [str(problem) for problem in reading.problems[:_SHOWN_PROBLEMS]]
        hidden = reading.problems.total - len(shown)
        if hidden:
            shown.append(f"... and {hidden} more; `python -m training data validate` lists them")
        raise DataError("\n  ".join([f"{folder} can't be used:", *shown]))
    return reading.dataset


def digest_of(folder: Path) -> str:
    """Digest of a data set folder, without parsing its files.

    Raises:
        DataError: the folder is missing, or is not a data set folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give a data set folder")
    problems: list[Problem] = []
    files = find_files(folder, problems)
    if problems:
        raise DataError(f"{folder} can't be used: {problems[0]}")
    try:
        return _digest(list(files.values()))
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read: {error.strerror}") from error


def validate(folder: Path) -> list[Problem]:
    """Problems of a data set folder by file and line, of each field the first 1,000.

    Raises:
        DataError: the folder is missing.
    """
    return read_folder(folder).problems


def read_folder(folder: Path, in_memory: int = IN_MEMORY) -> Reading:
    """Read a folder with its problems; arguments like `load_dataset`.

    Raises:
        DataError: the folder is missing.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give a data set folder")
    problems = Problems()
    files = find_files(folder, problems)
    try:
        with _no_garbage_collection():
            return _read(folder, files, problems, in_memory)
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read: {error.strerror}") from error


def _read(folder: Path, files: dict[str, Path], problems: Problems, in_memory: int) -> Reading:
    if "streamers" not in files:
        return Reading(problems)
    before = _states(files)
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
    digest = "" if problems else _digest(list(files.values()))
    for part, state in _states(files).items():
        if state != before[part]:
            reason = "was changed while it was read; start again"
            problems.append(Problem(files[part].name, None, "", reason))
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
        digest=digest,
    )
    return Reading(problems, dataset, counts)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection: reading creates millions of objects and no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _check_groups_whole(
    streamers: Streamers,
    split: NDArray[np.str_],
    duplicates: NDArray[np.int64],
    problems: list[Problem],
) -> None:
    """Report duplicate groups that span splits, since they would leak answers."""
    first: dict[int, int] = {}
    for row, group in enumerate(duplicates.tolist()):
        if split[row] not in SPLITS:
            continue
        other = first.setdefault(group, row)
        if split[other] != split[row]:
            one, two = (streamers.ids[r] for r in (row, other))
            reason = f"{one!r} is in {split[row]}, its duplicate {two!r} in {split[other]}"
            problems.append(Problem(streamers.file, streamers.lines[row], "split", reason))


def _states(files: dict[str, Path]) -> dict[str, tuple[int, int, int]]:
    """What tells whether a file was written or replaced, by part."""
    states = {part: path.stat() for part, path in files.items()}
    return {part: (each.st_ino, each.st_size, each.st_mtime_ns) for part, each in states.items()}


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda p: p.name):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name}\0{content}\n".encode())
    return digest.hexdigest()
