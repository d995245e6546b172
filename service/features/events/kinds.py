"""Kinds of events: the scope that each group of them needs, and what somebody wants to read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.scopes import Scope
from service.store.events import WRITES, WRITTEN

SCOPES: dict[str, Scope] = {
    "streamer": "streamers:read",
    "duplicates": "duplicates",
    "watchlist": "cases",
    "webhook": "admin",
}
"""By the first part of a kind. One that is not here needs the scope admin."""
MOST_KINDS = 20
_KIND = re.compile(r"[a-z_]{1,32}\.([a-z_]{1,48}|\*)")


class UnknownKind(ValueError):
    """There is no such kind of event; the message says which there are."""


@dataclass(frozen=True)
class Selection:
    """The kinds of events that are read.

    Attributes:
        groups: of the feed; None = all.
        kinds: single ones, beside the groups in `whole`.
        whole: groups of which each kind is read.
        scopes: that were needed.
    """

    groups: frozenset[str] | None = None
    kinds: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()

    def has(self, kind: str) -> bool:
        """Whether a kind is read."""
        return self.groups is None or _first(kind) in self.whole or kind in self.kinds


def everything(has_scope: Callable[[Scope], bool]) -> Selection:
    """All kinds that a caller may read."""
    if has_scope("admin") and all(map(has_scope, SCOPES.values())):
        return Selection(scopes=frozenset({"admin", *SCOPES.values()}))
    whole = frozenset(name for name, scope in SCOPES.items() if has_scope(scope))
    groups = whole | {WRITES} if "streamer" in whole else whole
    return Selection(groups, frozenset(), whole, frozenset(SCOPES[n] for n in whole))


def selection(kinds: Sequence[str]) -> Selection:
    """Kinds by name; `group.*` is each kind of a group.

    Raises:
        UnknownKind: one is of no group that there is.
    """
    for kind in kinds:
        if not _KIND.fullmatch(kind) or _first(kind) not in SCOPES:
            raise UnknownKind(
                f"{kind[:80]!r} is no kind of event: write kinds such as duplicates.merged, or "
                f"NAME.* where NAME is one of {', '.join(sorted(SCOPES))}"
            )
    names = frozenset(map(_first, kinds))
    whole = frozenset(_first(kind) for kind in kinds if kind.endswith(".*"))
    single = frozenset(kind for kind in kinds if not kind.endswith(".*"))
    groups = names | {WRITES} if "streamer" in whole or single & WRITTEN else names
    return Selection(groups, single, whole, frozenset(SCOPES[name] for name in names))


def _first(kind: str) -> str:
    return kind.partition(".")[0]
