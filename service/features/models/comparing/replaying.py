"""Replays judgements, verdicts and decided alerts against two models."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import Side
from service.engine.candidates.kept import KeptCorpus
from service.engine.expansion.evidence_edges import EvidenceEdges
from service.engine.watchlists.matcher import ListSeeds
from service.engine.work.lanes import Lane, Lanes
from service.errors import CaseNotFound, CursorExpired
from service.features.cases.keeping import KeptCases
from service.features.cases.records import Case, Member, Query, VerdictRecord
from service.features.jobs.runner import persist
from service.features.models.comparing.decisions import Decision
from service.features.models.comparing.open_models import Both, OpenModel, compared
from service.features.models.comparing.sampling import HashSample
from service.features.watchlists.alerts.service import Alerts, AlertsPage, ShownAlert, State
from service.features.watchlists.records import Mode
from service.features.watchlists.watched import ready_lists
from service.store.base import StreamerStore
from service.store.documents import DocumentStore
from service.store.duplicates import JudgementRecord, JudgementStore

_PAGE = 1000
_AT_ONCE = 256
_MOST_SOURCES = 40
"""Seeds and confirmed members that somebody in a case is compared with."""
_DECIDED: Sequence[State] = ("confirmed", "dismissed")
_MODES: Sequence[Mode] = ("on", "shadow")


class Replayed(NamedTuple):
    """Decisions of one kind: how many are stored, what became of them, how many are missing."""

    stored: int
    decisions: Sequence[Decision]
    missing: int


@dataclass(frozen=True, eq=False)
class People:
    """Where decisions of people are kept; all of it is only read.

    Attributes:
        store: of the streamers.
        documents: of watchlists.
        judgements: of pairs.
        cases: with verdicts.
        alerts: of watchlists.
    """

    store: StreamerStore
    documents: DocumentStore
    judgements: JudgementStore
    cases: KeptCases
    alerts: Alerts


class Replaying:
    """Replays decisions, at most so many of a kind: those whose names have the lowest hashes."""

    def __init__(self, people: People, lanes: Lanes, most: int) -> None:
        """Read what `people` decided, and work in `lanes`, behind everybody else."""
        self._people = people
        self._lanes = lanes
        self._most = most

    async def judgements(self, both: Both) -> Replayed:
        """Pairs that people called the same or different."""
        sample = HashSample[JudgementRecord](self._most)
        after: str | None = ""
        while after is not None:
            start = after
            found, after = await persist(lambda: self._people.judgements.page(start, _PAGE))  # noqa: B023
            for each in found:
                if each.verdict != "unsure":
                    sample.add(f"{each.a}/{each.b}", each)
        judged = sample.items()
        decisions: list[Decision] = []
        for place in range(0, len(judged), _AT_ONCE):
            part = judged[place : place + _AT_ONCE]
            pairs = [(each.a, each.b) for each in part]
            before = await self._pairs(both.active, pairs)
            after_ = await self._pairs(both.target, pairs)
            for each, first, second in zip(part, before, after_, strict=True):
                if first is not None and second is not None:
                    decisions.append(
                        Decision(
                            (each.a, each.b),
                            "",
                            each.verdict,
                            each.verdict == "same",
                            first,
                            second,
                            both.active.joins_from,
                            both.target.joins_from,
                        )
                    )
        return Replayed(sample.seen, decisions, len(judged) - len(decisions))

    async def verdicts(self, both: Both) -> Replayed:
        """Members of cases that people confirmed or cleared.

        The probability of each is that of the best path to it: over an edge from a seed or another
        confirmed member, or over the path that the case's run found. Nobody's own verdict counts.
        """
        sample = HashSample[tuple[str, str, VerdictRecord]](self._most)
        cases, after = self._people.cases, ""
        while True:
            start = after
            page, following = await persist(lambda: cases.page(start, _PAGE))  # noqa: B023
            for kept in page:
                case_id = kept.case.case_id
                found = await persist(lambda: cases.all_verdicts(case_id))  # noqa: B023
                for name, verdict in found.items():
                    if verdict.verdict != "unsure":
                        sample.add(f"{case_id}/{name}", (case_id, name, verdict))
            if following is None:
                break
            after = following
        by_case: defaultdict[str, dict[str, VerdictRecord]] = defaultdict(dict)
        for case_id, name, verdict in sample.items():
            by_case[case_id][name] = verdict
        decisions: list[Decision] = []
        for case_id, decided in by_case.items():
            decisions += await self._of_case(both, case_id, decided)
        return Replayed(sample.seen, decisions, len(sample.items()) - len(decisions))

    async def alerts(self, both: Both) -> Replayed:
        """Alerts that people confirmed or dismissed, of lists and profiles that are as they were.

        Alerts were raised by a model, so that its recall is not measured by them.
        """
        sample = HashSample[ShownAlert](self._most)
        for mode in _MODES:
            for state in _DECIDED:
                after: str | None = ""
                while after is not None:
                    page = await self._page(mode, state, after)
                    for each in page.alerts:
                        sample.add(each.alert_id, each)
                    after = page.following if page.has_more else None
        by_list: defaultdict[str, list[ShownAlert]] = defaultdict(list)
        for each in sample.items():
            by_list[each.alert.watchlist_id].append(each)
        decisions: list[Decision] = []
        for list_id, some in by_list.items():
            for start in range(0, len(some), _AT_ONCE):
                part = some[start : start + _AT_ONCE]
                decisions += await self._of_list(both, list_id, part)
        return Replayed(sample.seen, decisions, len(sample.items()) - len(decisions))

    async def _page(self, mode: Mode, state: State, after: str) -> AlertsPage:
        alerts = self._people.alerts
        return await persist(lambda: alerts.page(mode, state, None, after, _PAGE))

    async def _pairs(
        self, model: OpenModel, pairs: Sequence[tuple[str, str]]
    ) -> list[float | None]:
        """Probabilities that pairs are the same; None where one of the two is not stored."""
        sides = await self._sides(model, {name for pair in pairs for name in pair})
        place = {name: i for i, name in enumerate(sides)}
        known = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
        if not known:
            return [None] * len(pairs)
        shown = list(sides.values())
        found = await persist(lambda: compared(model, shown, known, self._lanes))
        matches = found.matches
        direct = model.evidence.matcher.has_direct(matches.contributions)
        values = iter(np.where(direct, matches.probabilities, 0.0).tolist())
        return [next(values) if a in place and b in place else None for a, b in pairs]

    async def _sides(self, model: OpenModel, names: Collection[str]) -> dict[str, Side]:
        ordered = sorted(names)
        unknown = [None] * len(ordered)
        found = await persist(lambda: model.sides.get(ordered, unknown, Lane.BULK))
        return {n: side for n, side in zip(ordered, found, strict=True) if side is not None}

    async def _of_case(
        self, both: Both, case_id: str, decided: Mapping[str, VerdictRecord]
    ) -> list[Decision]:
        try:
            kept = await persist(lambda: self._people.cases.get(case_id))
        except CaseNotFound:  # deleted meanwhile
            return []
        case = kept.case
        query = Query() if case.run is None else case.run.query
        stored = await self._stored(sorted(decided))
        paths = await self._paths(case, stored.keys())
        verdicts = await persist(lambda: self._people.cases.all_verdicts(case_id))
        confirmed = sorted(n for n, each in verdicts.items() if each.verdict == "confirmed")
        sources = list(dict.fromkeys([*case.seeds, *confirmed]))

        def pairs_of_all() -> dict[str, list[tuple[str, str]]]:
            found: dict[str, list[tuple[str, str]]] = {}
            for name in stored:
                others = islice((each for each in sources if each != name), _MOST_SOURCES)
                found[name] = [_ordered(name, other) for other in others]
            return found

        wanted = await persist(lambda: self._lanes.run(pairs_of_all, Lane.BULK))
        values = [
            await self._values(model, query, wanted, paths) for model in (both.active, both.target)
        ]
        return [
            Decision(
                (name,),
                case_id,
                decided[name].verdict,
                decided[name].verdict == "confirmed",
                values[0][name],
                values[1][name],
                query.min_probability,
                query.min_probability,
            )
            for name, pairs in wanted.items()
            if pairs
        ]

    async def _values(
        self,
        model: OpenModel,
        query: Query,
        wanted: Mapping[str, Sequence[tuple[str, str]]],
        paths: Mapping[str, Sequence[str]],
    ) -> dict[str, float]:
        """The value of the best path to each by a model."""

        def all_pairs() -> list[tuple[str, str]]:
            pairs = {pair for some in wanted.values() for pair in some}
            pairs |= {_ordered(*ends) for path in paths.values() for ends in pairwise(path)}
            return sorted(pairs)

        # Without a corpus: both models compare by the same keys.
        edges = EvidenceEdges(model.evidence, model.sides, KeptCorpus(), _nobody, self._lanes)
        looking = edges.looking(query.kinds, Lane.BULK)
        ordered = await persist(lambda: self._lanes.run(all_pairs, Lane.BULK))
        known: dict[tuple[str, str], float] = {}
        for start in range(0, len(ordered), _AT_ONCE):
            part = ordered[start : start + _AT_ONCE]
            found = await persist(lambda: looking.compare(part, 0.0))  # noqa: B023
            known.update(((edge.a, edge.b), edge.probability) for edge in found)
        values: dict[str, float] = {}
        for name, own in wanted.items():
            direct = max((known.get(pair, 0.0) for pair in own), default=0.0)
            values[name] = max(direct, along(paths.get(name, ()), known, query))
        return values

    async def _paths(self, case: Case, names: Collection[str]) -> dict[str, Sequence[str]]:
        """Paths of members by the run that the case shows; none of those it lacks."""
        run = case.run
        if run is None:
            return {}
        try:
            members: Sequence[Member] = await persist(
                lambda: self._people.cases.members(case.case_id, run, 0, run.members)
            )
        except CursorExpired:  # expanded again meanwhile
            return {}
        return {m.streamer_id: m.path for m in members if m.streamer_id in names}

    async def _of_list(
        self, both: Both, list_id: str, alerts: Sequence[ShownAlert]
    ) -> list[Decision]:
        stored = await self._stored(sorted({each.alert.streamer_id for each in alerts}))
        alerts = [a for a in alerts if stored.get(a.alert.streamer_id) == a.alert.digest]
        found: list[list[float]] = []
        min_probability = 0.0
        for model in (both.active, both.target):
            read = await persist(
                lambda: ready_lists(self._people.documents, model.seeds, [list_id])  # noqa: B023
            )
            alerts = [a for a in alerts if read and a.alert.watchlist_version == read[0].version]
            if not alerts:
                return []
            min_probability = read[0].min_probability
            found.append(await self._matched(model, read[0], [a.alert.streamer_id for a in alerts]))
        before, after = found
        if len(before) != len(after):  # changed meanwhile
            return []
        return [
            Decision(
                (each.alert.streamer_id,),
                list_id,
                each.alert.state,
                each.alert.state == "confirmed",
                first,
                second,
                min_probability,
                min_probability,
            )
            for each, first, second in zip(alerts, before, after, strict=True)
        ]

    async def _matched(
        self, model: OpenModel, known: ListSeeds, names: Sequence[str]
    ) -> list[float]:
        """Best probability of streamers with a wanted seed; 0 where an unwanted one cancels it."""
        sides = await self._sides(model, set(names))
        shown = [sides.get(name, Side({})) for name in names]
        seeds = [*known.positive, *known.negative]
        values: list[float] = []
        most = max(1, _AT_ONCE * 16 // len(seeds))
        for start in range(0, len(shown), most):
            part = shown[start : start + most]
            pairs = [(i, len(part) + j) for i in range(len(part)) for j in range(len(seeds))]
            found = await persist(lambda: compared(model, [*part, *seeds], pairs, self._lanes))  # noqa: B023
            shape = len(part), len(seeds)
            values += best(
                found.matches.probabilities.reshape(shape),
                found.matches.weights.reshape(shape),
                len(known.positive),
            )
        return values

    async def _stored(self, names: Sequence[str]) -> dict[str, str]:
        """Digests of those that are stored."""
        found: dict[str, str] = {}
        for start in range(0, len(names), _PAGE):
            part = names[start : start + _PAGE]
            digests = await persist(lambda: self._people.store.digests(part))  # noqa: B023
            found |= {n: d[1] for n, d in zip(part, digests, strict=True) if d is not None}
        return found


def best(
    probabilities: NDArray[np.float64], weights: NDArray[np.float64], positive: int
) -> list[float]:
    """What rows of scores with all seeds (W, S) come to, the wanted ones first (W,)."""
    highest = probabilities[:, :positive].max(1)  # (W,)
    if positive == weights.shape[1]:
        return highest.tolist()
    cancelled = weights[:, positive:].max(1) >= weights[:, :positive].max(1)
    return np.where(cancelled, 0.0, highest).tolist()


def along(path: Sequence[str], known: Mapping[tuple[str, str], float], query: Query) -> float:
    """Value of a path; 0 of one that a source alone is on."""
    if len(path) < 2:
        return 0.0
    value, rules = 1.0, query.rules
    for hops, ends in enumerate(pairwise(path)):
        value = rules.next_value(value, hops, known.get(_ordered(*ends), 0.0))
    return value


def _ordered(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


async def _nobody(names: Sequence[str]) -> list[list[str]]:
    """Candidates are given, not looked for."""
    return [[] for _ in names]
