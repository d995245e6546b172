"""Who joined and left a case between two runs, and why.

A cause is found by asking what would have been: the old edges under the new verdicts and rules tell
who leaves by these, the new edges under the old ones who joins by them. What is left is due to the
profiles and the model.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from service.engine.expansion.paths import Link, settle
from service.features.cases.records import Cause, Difference, Differences, Member, Run

_OF_ALL: frozenset[Cause] = frozenset({"model", "threshold"})
"""Causes that are about nobody in particular."""
_NAMED = 20
"""Most who are named of those that are not on what is shown of a member."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a run found.

    Attributes:
        run: its summary.
        members: by id.
        looked_at: digest of the profile by id, of all that were visited.
    """

    run: Run
    members: Mapping[str, Member]
    looked_at: Mapping[str, str]

    @property
    def links(self) -> list[Link]:
        """Edges between the members."""
        return [edge.link for member in self.members.values() for edge in member.edges]


def differences(
    before: Found, after: Found, now: Mapping[str, str], new: Collection[str]
) -> Differences:
    """What changed from a run to a later one.

    Args:
        before: the earlier run.
        after: the later one.
        now: digests of the profiles that are stored now, of all who are in either.
        new: streamers that were written after the earlier run and not looked at by it.
    """
    return _Causes(before, after, now, new).all()


class _Causes:
    def __init__(
        self, before: Found, after: Found, now: Mapping[str, str], new: Collection[str]
    ) -> None:
        self._before, self._after = before, after
        self._new = new
        then, is_now = before.run, after.run
        self._gone = {name for name in before.members if name not in now}
        self._decided = {*then.sources} ^ {*is_now.sources} | {*then.barred} ^ {*is_now.barred}
        self._edited = {
            name for name, seen in before.looked_at.items() if now.get(name, seen) != seen
        }
        self._other_model = then.model_version != is_now.model_version
        self._other_query = then.query != is_now.query

    def all(self) -> Differences:
        before, after = self._before.members, self._after.members
        left = [name for name in before if name not in after]
        joined = [name for name in after if name not in before]
        changed = [name for name in after if name in before and after[name] != before[name]]
        return Differences(
            self._joined(sorted(joined)), self._left(sorted(left)), self._changed(sorted(changed))
        )

    def _left(self, names: Sequence[str]) -> list[Difference]:
        if not names:
            return []
        then, now, links = self._before.run, self._after.run, self._before.links
        rules, barred = now.query.rules, {*now.barred}
        by_verdict = settle(links, now.sources, barred, then.query.rules).hops()
        by_rules = settle(links, now.sources, barred, rules).hops()
        kept = settle(links, {*now.sources} - self._gone, barred | self._gone, rules).hops()
        found: list[Difference] = []
        for name in names:
            path = self._before.members[name].path
            if name in self._gone:
                found.append(Difference(name, "deleted", [name]))
            elif name not in by_verdict:
                found.append(Difference(name, "verdict", self._of(path, self._decided)))
            elif name not in by_rules:
                found.append(Difference(name, "threshold", []))
            elif name not in kept:
                found.append(Difference(name, "deleted", self._of(path, self._gone)))
            else:
                found.append(self._otherwise(name, path))
        return found

    def _joined(self, names: Sequence[str]) -> list[Difference]:
        if not names:
            return []
        then, now, links = self._before.run, self._after.run, self._after.links
        by_verdict = settle(links, then.sources, then.barred, now.query.rules).hops()
        by_rules = settle(links, now.sources, now.barred, then.query.rules).hops()
        found: list[Difference] = []
        for name in names:
            path = self._after.members[name].path
            if name in self._new:
                found.append(Difference(name, "joined", [name]))
            elif name not in by_verdict:
                found.append(Difference(name, "verdict", self._of(path, self._decided)))
            elif name not in by_rules:
                found.append(Difference(name, "threshold", []))
            else:
                found.append(self._otherwise(name, path))
        return found

    def _changed(self, names: Sequence[str]) -> list[Difference]:
        found: list[Difference] = []
        for name in names:
            shown = self._before.members[name], self._after.members[name]
            about = [end for each in shown for end in each.path]
            about += [end for each in shown for edge in each.edges for end in edge.link.pair]
            about = list(dict.fromkeys(about))
            decided = self._of(about, self._decided)
            if name not in self._edited and decided:
                found.append(Difference(name, "verdict", decided))
                continue
            otherwise = self._otherwise(name, about)
            if self._decided and not otherwise.because and otherwise.cause not in _OF_ALL:
                # On nothing that is shown of it: other routes to it begin or end there.
                otherwise = Difference(name, "verdict", sorted(self._decided)[:_NAMED])
            found.append(otherwise)
        return found

    def _otherwise(self, name: str, path: Sequence[str]) -> Difference:
        """What is due to the model, to profiles, or to what was asked."""
        if name in self._edited:
            return Difference(name, "profile_changed", [name])
        if self._other_model:
            return Difference(name, "model", [])
        among: list[tuple[Cause, Collection[str]]] = [
            ("profile_changed", self._edited),
            ("joined", self._new),
            ("deleted", self._gone),
        ]
        for cause, names in among:
            if because := self._of(path, names):
                return Difference(name, cause, because)
        if self._other_query:
            return Difference(name, "threshold", [])
        if self._gone and not (self._new or self._edited):
            return Difference(name, "deleted", sorted(self._gone)[:_NAMED])
        return Difference(name, "joined" if self._new else "profile_changed", [])

    @staticmethod
    def _of(path: Sequence[str], among: Collection[str]) -> list[str]:
        return [name for name in path if name in among]
