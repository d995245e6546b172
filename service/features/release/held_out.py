"""Held-out streamers of a data set folder: their profiles, known copies, and who is relevant."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_export.contract.calibration import MIN_SHARED, RIGHT
from model_export.contract.streamer import StreamerProfile
from service.features.release.folder import DataFolder, UnusableData

_HELD_OUT = "test"
_PLAIN = "plain"
"""What known copies without a disguise are called."""


@dataclass(frozen=True)
class Copy:
    """A pair of places of streamers that are the same, and how the copy is disguised."""

    one: int
    other: int
    disguise: str


class Relevance(Protocol):
    """Who is relevant to whom: so many pairs that they are looked up when they are needed."""

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of all streamers is relevant to those at places (b,): (b, N)."""
        ...


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a model is tested on: N streamers, of whom the first Q are the queries.

    Attributes:
        profiles: N of them; the queries first.
        queries: Q, which no encoder learned from.
        copies: pairs of streamers that are the same.
        look_alikes: pairs of places of streamers that are not, though they look it.
        known: bool (N,), of whom it is known who is relevant: they have an audience, or a label.
        relevant: who has an audience, or a label, in common with whom; None = unknown.
        groups: int64 (N,), equal for streamers that are the same.
        right: what makes streamers relevant, in the words of a calibration; empty = unknown.
    """

    profiles: Sequence[StreamerProfile]
    queries: int
    copies: Sequence[Copy]
    look_alikes: Sequence[tuple[int, int]]
    known: NDArray[np.bool_]
    relevant: Relevance | None
    groups: NDArray[np.int64]
    right: str = ""


def held_out(
    folder: Path, most: int, seed: int, learned_from: Collection[str] = frozenset()
) -> HeldOut:
    """Read a folder, and draw at most `most` streamers from it, a fourth of them queries.

    Args:
        folder: a data set folder.
        most: streamers.
        seed: of the draw.
        learned_from: ids of streamers that the model is known to have learned from.

    Raises:
        UnusableData: the folder says what can't be, too few streamers are held out, or the model
            has learned from one of them.
        UnreadableTable: a table can't be read.
        OSError: a file can't be read.
    """
    data = DataFolder(folder)
    profiles, known = data.profiles, data.copies()
    splits = data.splits(known)
    learned = [i for i in profiles if splits[i] == _HELD_OUT and i in learned_from]
    if learned:
        raise UnusableData(
            f"{folder}: {learned[0]!r} is of the split {_HELD_OUT!r}, and the model has learned "
            f"from it ({len(learned)} such): give the splits.csv that it was trained with"
        )
    rng = np.random.default_rng(seed)
    everyone, order = list(profiles), rng.permutation(len(profiles))
    places: list[int] = order.tolist()
    drawn = [everyone[place] for place in places]
    tested = [i for i in drawn if splits[i] == _HELD_OUT]
    if len(tested) < 2:
        raise UnusableData(
            f"{folder}: fewer than two streamers are of the split {_HELD_OUT!r}; tell by "
            "splits.csv whom the model has not learned from"
        )
    queries = _with_copies(tested, drawn, known, max(2, most // 4))
    chosen = set(queries)
    others = [i for i in drawn if i not in chosen][: max(0, most - len(queries))]
    ids = [*queries, *others]
    numbers: dict[str, int] = {}
    groups = np.array(
        [numbers.setdefault(known[i][0] if i in known else f"\0{i}", len(numbers)) for i in ids],
        np.int64,
    )
    known_of, relevant, right = _relevant(data, ids, splits)
    return HeldOut(
        [profiles[i] for i in ids],
        len(queries),
        _copies(ids, groups, known),
        _look_alikes(data, ids, groups),
        known_of,
        relevant,
        groups,
        right,
    )


def _with_copies(
    tested: Sequence[str],
    drawn: Sequence[str],
    known: Mapping[str, tuple[str, str]],
    most: int,
) -> list[str]:
    """Queries: those that have copies first, and their copies, which are of the same split."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for streamer_id in drawn:
        if streamer_id in known:
            members[known[streamer_id][0]].append(streamer_id)
    chosen: dict[str, None] = {}
    grouped = [i for i in tested if i in known and len(members[known[i][0]]) > 1]
    for streamer_id in grouped:
        if len(chosen) >= most // 2:
            break
        chosen.update(dict.fromkeys(members[known[streamer_id][0]]))
    for streamer_id in tested:
        if len(chosen) >= most:
            break
        chosen[streamer_id] = None
    return list(chosen)


def _copies(
    ids: Sequence[str], groups: NDArray[np.int64], known: Mapping[str, tuple[str, str]]
) -> list[Copy]:
    """Each copy with the original of its group, which is the member without a disguise."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups.tolist()):
        places[group].append(place)
    copies: list[Copy] = []
    for members in places.values():
        ordered = sorted(members, key=lambda place: known.get(ids[place], ("", ""))[1] != "")
        for other in ordered[1:]:
            disguise = known[ids[other]][1] or _PLAIN
            copies.append(Copy(ordered[0], other, disguise))
    return copies


def _look_alikes(
    data: DataFolder, ids: Sequence[str], groups: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Pairs of one set of `look_alikes.csv`, but for copies of each other."""
    sets: defaultdict[str, list[int]] = defaultdict(list)
    place = {streamer_id: i for i, streamer_id in enumerate(ids)}
    for streamer_id, found in data.look_alikes():
        if streamer_id in place:
            sets[found].append(place[streamer_id])
    return [
        (one, other)
        for members in sets.values()
        for one, other in pairwise(sorted(members))
        if groups[one] != groups[other]
    ]


def _relevant(
    data: DataFolder, ids: Sequence[str], splits: Mapping[str, str]
) -> tuple[NDArray[np.bool_], Relevance | None, str]:
    """`known`, `relevant` and `right` of `HeldOut`: by related streamers, users, or labels."""
    for table, pairs in (("relations", data.relations()), ("interactions", data.interactions())):
        if (first := next(pairs, None)) is None:
            continue
        found = chain([first], pairs)
        if table == "relations":
            found = (pair for pair in found if splits[pair[1]] != _HELD_OUT)
        audience = _ByAudience(ids, found)
        return audience.known, audience, RIGHT[table]
    labels = data.labels()
    if not labels:
        return np.zeros(len(ids), np.bool_), None, ""
    numbers = {"": 0}
    given = np.array([numbers.setdefault(labels.get(i, ""), len(numbers)) for i in ids])
    return given != 0, _ByLabel(given), RIGHT["labels"]


class _ByLabel:
    """Relevant are those of one label, whose number is not 0."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self._labels = labels

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        asked = self._labels[places, None]
        return (asked == self._labels) & (asked != 0)


class _ByAudience:
    """Relevant are those who share `MIN_SHARED` users, or related streamers."""

    def __init__(self, ids: Sequence[str], pairs: Iterable[tuple[str, str]]) -> None:
        place = {streamer_id: i for i, streamer_id in enumerate(ids)}
        self._audience: list[set[str]] = [set() for _ in ids]
        for streamer_id, user in pairs:
            if streamer_id in place:
                self._audience[place[streamer_id]].add(user)
        self._reached: defaultdict[str, list[int]] = defaultdict(list)
        for i, users in enumerate(self._audience):
            for user in users:
                self._reached[user].append(i)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Who has an audience (N,)."""
        return np.array([len(users) >= MIN_SHARED for users in self._audience], np.bool_)

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        relevant = np.zeros((len(places), len(self._audience)), np.bool_)
        numbers: list[int] = places.tolist()
        for row, place in zip(relevant, numbers, strict=True):
            shared = Counter(i for user in self._audience[place] for i in self._reached[user])
            row[[i for i, n in shared.items() if n >= MIN_SHARED]] = True
        return relevant
