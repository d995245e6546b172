"""Which candidates are rows: copies, and bounds of values."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from service.index.base import Hit

_MANY = re.compile(r'^"|, ')
Value = str | int | float | bool


@dataclass(eq=False)
class Chosen:
    """The rows that were chosen, in order, and how many candidates were passed over.

    Attributes:
        rows: in order.
        copies: candidates that are copies of somebody.
        over_cap: candidates whose value has enough rows.
    """

    rows: list[Hit] = field(default_factory=list[Hit])
    copies: int = 0
    over_cap: int = 0


def values_of(facets: Mapping[str, object], name: str) -> list[Value]:
    """The values of a field or attribute; [] where it lacks it."""
    found = told(facets, name)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def told(facets: Mapping[str, object], name: str) -> Value | list[Value] | None:
    """A field or attribute as it is told: of one that holds several values always a list."""
    attributes = facets.get("attributes")
    if name.startswith("attributes."):
        name, found = name.removeprefix("attributes."), None
    else:
        found = facets.get(name) if name in ("name", "category", "language", "tags") else None
    if found is None and isinstance(attributes, Mapping):
        found = attributes.get(name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(found, str | int | float | bool):
        return found
    if isinstance(found, list | tuple):
        return [one for one in found if isinstance(one, str | int | float | bool)] or None  # pyright: ignore[reportUnknownVariableType]
    return None


def group_of(facets: Mapping[str, object], name: str) -> str | None:
    """The value of a field or attribute as a text; of several, whatever their order is, all.

    Those of a list that could be taken for several are in quotation marks.
    """
    found = told(facets, name)
    if not isinstance(found, list):
        return None if found is None else str(found)
    texts = sorted({str(one) for one in found})
    return ", ".join(json.dumps(t, ensure_ascii=False) if _MANY.search(t) else t for t in texts)


class Copies:
    """Passes over all but the first of each group of duplicates."""

    def __init__(self, groups: Mapping[str, str | None], taken: Set[str]) -> None:
        """Know the groups of candidates, and which of them nobody may be of."""
        self._groups = groups
        self._taken = set(taken)

    def take(self, streamer_id: str) -> bool:
        """Whether it is nobody's copy; takes its group if so."""
        group = self._groups.get(streamer_id)
        if group is None:
            return True
        if group in self._taken:
            return False
        self._taken.add(group)
        return True


def choose(
    candidates: Sequence[Hit],
    k: int,
    copies: Copies | None,
    values: Mapping[str, Sequence[Value]] | None,
    most: int,
) -> Chosen:
    """The first `k` candidates that nothing speaks against.

    Args:
        candidates: best first.
        k: most rows.
        copies: passes over copies.
        values: of each candidate, those that may have `most` rows; None: there is no bound.
        most: see `values`.
    """
    chosen, had = Chosen(), Counter[Value | None]()
    for candidate in candidates:
        if len(chosen.rows) == k:
            break
        mine: Sequence[Value | None] = ()
        if values is not None:
            mine = list(dict.fromkeys(values.get(candidate.streamer_id) or [None]))
            if any(had[value] >= most for value in mine):
                chosen.over_cap += 1
                continue
        if copies is not None and not copies.take(candidate.streamer_id):
            chosen.copies += 1
            continue
        had.update(mine)
        chosen.rows.append(candidate)
    return chosen
