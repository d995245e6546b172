"""Readers of interactions, relations, splits, duplicates and labels."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.splits import SPLITS
from training.data.problems import Problem
from training.data.rows import ColumnType, table_rows
from training.data.streamers import UNREADABLE, Streamers


@dataclass(frozen=True, eq=False)
class Interactions:
    """Interactions of users with streamers.

    Attributes:
        matrix: float32 (N streamers, U users), weights; repeated pairs are summed.
        user_ids: U user ids in order of appearance.
    """

    matrix: sp.csr_matrix
    user_ids: list[str]


def read_interactions(path: Path, streamers: Streamers, problems: list[Problem]) -> Interactions:
    """Read `interactions`: user_id, streamer_id, weight."""
    users: dict[str, int] = {}
    rows, columns, weights = array("q"), array("q"), array("d")
    table = table_rows(
        path, {"user_id": "text", "streamer_id": "text", "weight": "weight"}, problems
    )
    for line, (user_id, streamer_id, weight) in table:
        row = _known(path, line, "streamer_id", streamer_id, streamers, problems)
        if row != UNREADABLE:
            rows.append(row)
            columns.append(users.setdefault(user_id, len(users)))
            weights.append(weight)
    matrix = sp.csr_matrix(
        (np.asarray(weights), (np.asarray(rows), np.asarray(columns))),
        shape=(len(streamers.ids), len(users)),
    )
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return Interactions(sp.csr_matrix(matrix, dtype=np.float32), list(users))


def read_relations(path: Path, streamers: Streamers, problems: list[Problem]) -> sp.csr_matrix:
    """Read `relations`: streamer_id, related_id, weight.

    Returns:
        Symmetric float32 (N, N). Repeated pairs, in either direction, have their largest weight.
    """
    lower, upper, weights = array("q"), array("q"), array("f")
    columns: dict[str, ColumnType] = {
        "streamer_id": "text",
        "related_id": "text",
        "weight": "weight",
    }
    for line, (streamer_id, related_id, weight) in table_rows(path, columns, problems):
        one = _known(path, line, "streamer_id", streamer_id, streamers, problems)
        other = _known(path, line, "related_id", related_id, streamers, problems)
        if streamer_id == related_id:
            reason = f"{related_id!r} is related to itself"
            problems.append(Problem(path.name, line, "related_id", reason))
        elif UNREADABLE not in (one, other):
            lower.append(min(one, other))
            upper.append(max(one, other))
            weights.append(weight)
    count = len(streamers.ids)
    pair, place = np.unique(np.asarray(lower) * count + np.asarray(upper), return_inverse=True)
    largest = np.zeros(len(pair), np.float32)
    np.maximum.at(largest, place, np.asarray(weights))
    matrix = sp.csr_matrix((largest, np.divmod(pair, max(count, 1))), shape=(count, count))
    matrix = sp.csr_matrix(matrix + matrix.T)
    matrix.eliminate_zeros()
    return matrix


def read_splits(path: Path, streamers: Streamers, problems: list[Problem]) -> NDArray[np.str_]:
    """Read `splits`: streamer_id, split; every streamer must be listed."""
    split = np.full(len(streamers.ids), "", "<U5")
    for line, row, value in _one_per_streamer(path, "split", streamers, problems):
        if value not in SPLITS:
            reason = f"needs one of {', '.join(SPLITS)}, is {value!r:.80}"
            problems.append(Problem(path.name, line, "split", reason))
            value = "bad"  # reported already, so not missing
        if row != UNREADABLE:
            split[row] = value
    for row in np.flatnonzero(split == ""):
        reason = f"{streamers.ids[row]!r} has no split in {path.name}"
        problems.append(Problem(streamers.file, streamers.lines[row], "streamer_id", reason))
    return split


def read_duplicates(path: Path, streamers: Streamers, problems: list[Problem]) -> NDArray[np.int64]:
    """Read `duplicates`: streamer_id, group; streamers that are not listed have no duplicate.

    The columns kind and disguise, which simulated worlds have, are not read.

    Returns:
        Group number of each streamer (N,), 0..G-1, unique for streamers without duplicates.
    """
    groups: dict[str, int] = {}
    number = np.full(len(streamers.ids), -1, np.int64)
    for _, row, group in _one_per_streamer(
        path, "group", streamers, problems, ("kind", "disguise")
    ):
        if row != UNREADABLE:
            number[row] = groups.setdefault(group, len(groups))
    alone = number < 0
    number[alone] = np.arange(alone.sum()) + len(groups)
    return number


def read_labels(path: Path, streamers: Streamers, problems: list[Problem]) -> list[str | None]:
    """Read `labels`: streamer_id, label; one per streamer (N,), None if not listed."""
    labels: list[str | None] = [None] * len(streamers.ids)
    for _, row, label in _one_per_streamer(path, "label", streamers, problems):
        if row != UNREADABLE:
            labels[row] = label
    return labels


def _one_per_streamer(
    path: Path,
    column: str,
    streamers: Streamers,
    problems: list[Problem],
    unread: tuple[str, ...] = (),
) -> Iterator[tuple[int, int, str]]:
    """(line, row or `UNREADABLE`, value) of a table with one line per streamer."""
    seen = array("q", bytes(8 * len(streamers.ids)))  # line of each row, 0 = none yet
    seen_elsewhere: dict[str, int] = {}
    for line, (streamer_id, value) in table_rows(
        path, {"streamer_id": "text", column: "text"}, problems, unread
    ):
        row = _known(path, line, "streamer_id", streamer_id, streamers, problems)
        if row == UNREADABLE:
            first = seen_elsewhere.setdefault(streamer_id, line)
        else:
            first = seen[row] = seen[row] or line
        if first != line:
            reason = f"{streamer_id!r} is already on line {first}"
            problems.append(Problem(path.name, line, "streamer_id", reason))
        else:
            yield line, row, value


def _known(
    path: Path,
    line: int,
    field: str,
    streamer_id: str,
    streamers: Streamers,
    problems: list[Problem],
) -> int:
    row = streamers.row(streamer_id)
    if row is None:
        problems.append(
            Problem(path.name, line, field, f"{streamer_id!r:.140} is not a streamer of this set")
        )
        return UNREADABLE
    return row
