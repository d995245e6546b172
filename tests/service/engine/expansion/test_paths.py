"""Membership against all paths one by one, and the certificate against removing each thing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from service.engine.expansion.certificate import certificate
from service.engine.expansion.paths import Link, Rules, settle
from service.engine.expansion.walk import Walk
from service.engine.work.lanes import run_to_end

NAMES = "abcdefgh"
PROBABILITIES = (0.5, 0.6, 0.75, 0.9, 0.96, 1.0)


@dataclass(frozen=True)
class Drawn:
    links: Sequence[Link]
    seeds: frozenset[str]
    confirmed: frozenset[str]
    barred: frozenset[str]
    rules: Rules

    @property
    def sources(self) -> frozenset[str]:
        return self.seeds | self.confirmed


@st.composite
def cases(draw: st.DrawFn) -> Drawn:
    pairs = draw(st.lists(st.sampled_from(list(combinations(NAMES, 2))), unique=True, max_size=16))
    links = [Link(a, b, draw(st.sampled_from(PROBABILITIES))) for a, b in pairs]
    some = st.frozensets(st.sampled_from(NAMES), max_size=2)
    seeds = draw(st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=2))
    rules = Rules(
        draw(st.integers(1, 4)),
        draw(st.sampled_from([0.2, 0.5, 0.8])),
        draw(st.sampled_from([0.9, 1.0])),
    )
    return Drawn(links, seeds, draw(some), draw(some), rules)


def by_all_paths(case: Drawn) -> dict[str, float]:
    """Value of the best simple path to each member, by trying all."""
    found: dict[str, float] = {}

    def go(path: list[str], value: float) -> None:
        name = path[-1]
        found[name] = max(found.get(name, 0.0), value)
        if len(path) > case.rules.hops:
            return
        for link in case.links:
            if name in link.pair:
                other = link.b if link.a == name else link.a
                if other not in path and other not in case.barred:
                    following = case.rules.next_value(value, len(path) - 1, link.probability)
                    if following >= case.rules.min_probability:
                        go([*path, other], following)

    for source in case.sources - case.barred:
        go([source], 1.0)
    return found


@settings(max_examples=50)
@given(cases())
def test_members_are_those_whom_some_path_reaches(case: Drawn) -> None:
    expected = by_all_paths(case)

    membership = settle(case.links, case.sources, case.barred, case.rules)

    hops = membership.hops()
    assert {name: membership.value(name) for name in hops} == pytest.approx(expected)
    for name, count in hops.items():
        path = membership.path(name, count)
        assert path[0] in case.sources
        assert path[-1] == name
        assert len(set(path)) == count + 1
        value = 1.0
        for i, (one, other) in enumerate(pairwise(path)):
            value = case.rules.next_value(value, i, membership.neighbours.of(one)[other])
        assert value == pytest.approx(expected[name])


@pytest.mark.slow
@settings(max_examples=50)
@given(cases())
def test_exactly_the_named_members_leave_when_an_edge_is_removed(case: Drawn) -> None:
    before = settle(case.links, case.sources, case.barred, case.rules)
    hangs = run_to_end(certificate(before))

    for removed in case.links:
        left = [link for link in case.links if link is not removed]
        after = settle(left, case.sources, case.barred, case.rules).hops()
        named = {name for name, each in hangs.items() if removed.pair in each.links}
        assert before.hops().keys() - after.keys() == named
        assert not after.keys() - before.hops().keys()


@settings(max_examples=50)
@given(cases())
def test_exactly_the_named_members_leave_when_a_verdict_is_removed(case: Drawn) -> None:
    before = settle(case.links, case.sources, case.barred, case.rules)
    hangs = run_to_end(certificate(before))

    for removed in case.sources:
        after = settle(case.links, case.sources - {removed}, case.barred, case.rules).hops()
        named = {name for name, each in hangs.items() if removed in each.sources}
        assert before.hops().keys() - after.keys() == named
    for removed in case.barred:  # who was cleared kept others out, and nobody in
        after = settle(case.links, case.sources, case.barred - {removed}, case.rules).hops()
        assert before.hops().keys() <= after.keys()


@pytest.mark.slow
@settings(max_examples=50)
@given(cases())
def test_exactly_the_named_members_leave_when_a_member_is_cleared(case: Drawn) -> None:
    before = settle(case.links, case.sources, case.barred, case.rules)
    hangs = run_to_end(certificate(before))

    for cleared in before.hops():
        after = settle(case.links, case.sources, case.barred | {cleared}, case.rules).hops()
        named = {name for name, each in hangs.items() if cleared in each.members}
        assert before.hops().keys() - after.keys() == named | {cleared}


@settings(max_examples=50)
@given(cases(), st.integers(1, 4))
def test_a_walk_without_limits_finds_the_members_of_all_edges(case: Drawn, at_once: int) -> None:
    walk = walked(case, lambda near: near, budget=100, at_once=at_once)

    members = settle(walk.links.values(), case.sources, case.barred, case.rules).hops()
    expected = settle(case.links, case.sources, case.barred, case.rules)
    assert members == expected.hops()
    assert walk.members == len(members)
    assert walk.stopped_because in ("hops", "exhausted")
    is_deep = any(case.rules.hops == hops for hops in members.values())
    assert (walk.stopped_because == "hops") <= is_deep


@pytest.mark.slow
@settings(max_examples=50)
@given(cases(), st.integers(1, 8))
def test_a_walk_visits_no_more_than_its_budget(case: Drawn, budget: int) -> None:
    walk = walked(case, lambda near: near, budget=budget)

    assert len(walk.visited) <= max(budget, len(case.sources - case.barred))
    assert not walk.visited & case.barred
    every = settle(case.links, case.sources, case.barred, case.rules).hops()
    assert settle(walk.links.values(), case.sources, case.barred, case.rules).hops().keys() <= (
        every.keys()
    )


def walked(
    case: Drawn,
    ordered: Callable[[list[str]], list[str]],
    *,
    budget: int,
    at_once: int = 2,
    fan_out: int = 100,
) -> Walk:
    walk = Walk(case.sources, case.barred, case.rules, budget=budget, fan_out=fan_out)
    known = {link.pair: link for link in case.links}
    while names := walk.next(at_once):
        near = [
            ordered(sorted({end for link in case.links if name in link.pair for end in link.pair}))
            for name in names
        ]
        pairs = walk.admit(names, near)
        walk.take(names, [known[pair] for pair in pairs])
    return walk


def test_the_strongest_edges_are_kept_where_there_are_too_many() -> None:
    links = [
        Link("a", other, p) for other, p in zip("bcdef", (0.6, 0.9, 0.7, 0.8, 0.5), strict=True)
    ]
    case = Drawn(links, frozenset("a"), frozenset(), frozenset(), Rules(1, 0.5, 1.0))

    walk = walked(case, lambda near: near, budget=100, fan_out=2)

    assert {link.b for link in walk.links.values()} == {"c", "e"}


def test_the_surest_is_looked_around_first_and_the_budget_stops_the_walk() -> None:
    links = [Link("a", "b", 0.6), Link("a", "c", 0.9), Link("c", "d", 0.9), Link("b", "e", 0.9)]
    case = Drawn(links, frozenset("a"), frozenset(), frozenset(), Rules(3, 0.3, 1.0))

    walk = walked(case, lambda near: near, budget=4, at_once=1)

    assert walk.visited == {"a", "b", "c", "d"}
    assert walk.stopped_because == "budget"


def test_a_walk_ends_when_it_has_too_many_members() -> None:
    links = [Link("a", "b", 0.9), Link("b", "c", 0.9), Link("c", "d", 0.9)]
    walk = Walk(["a"], [], Rules(5, 0.1, 1.0), budget=10, fan_out=5, most_members=2)
    known = {link.pair: link for link in links}

    while names := walk.next(1):
        near = [[e for pair in known if n in pair for e in pair] for n in names]
        walk.take(names, [known[pair] for pair in walk.admit(names, near)])

    assert walk.members == 2
    assert walk.stopped_because == "members"
