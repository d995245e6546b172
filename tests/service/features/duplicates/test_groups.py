"""Groups after random changes are those that the same edges and judgements make from nothing."""

from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.engine.work.lanes import run_to_end
from service.features.duplicates.groups.bridges import bridges
from service.features.duplicates.groups.cutting import Cut, divide
from service.features.duplicates.groups.edges import Edge, Judgement, Pair, pair_of
from service.features.duplicates.groups.graph import Change, GroupGraph
from service.features.duplicates.groups.settling import settle

CUT = Cut(strong_weight=8.0, side=3)
NAMES = [f"s{i:02}" for i in range(16)]
names = st.sampled_from(NAMES)
weights = st.integers(1, 10).map(float)
verdicts = st.sampled_from(["same", "different", "unsure"])


def edge(a: str, b: str, weight: float = 5.0) -> Edge:
    return Edge(*pair_of(a, b), weight, "near_duplicate")


def pairs_in(groups: "dict[str, frozenset[str]]") -> set[Pair]:
    return {(a, b) for members in groups.values() for a in members for b in members if a < b}


def chain(length: int, weight: float = 5.0) -> list[Edge]:
    return [edge(f"c{i:05}", f"c{i + 1:05}", weight) for i in range(length - 1)]


def grouped(edges: list[Edge], judged: tuple[Judgement, ...] = ()) -> GroupGraph:
    graph = GroupGraph(CUT)
    graph.load(edges, judged, (), {})
    run_to_end(graph.regroup("all"))
    return graph


class Writes(RuleBasedStateMachine):
    """A store of edges and judgements beside the graph that is told of their changes."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = GroupGraph(CUT)
        self.edges: dict[Pair, Edge] = {}
        self.stored: set[str] = set()
        self.judgements: dict[Pair, Judgement] = {}
        self.step = 0
        self.retired: set[str] = set()

    def change(self, news: Change) -> None:
        self.step += 1
        before = dict(self.graph.groups)
        parts = {n: self.part_of(n) for n in NAMES}
        outcome = run_to_end(self.graph.change(news, f"step {self.step}"))
        touched = {*news.edges, *news.gone}
        touched |= {n for judged in news.judged for n in judged.pair}
        touched |= {n for pair in news.unjudged for n in pair}
        touched |= {n for e in outcome.added for n in e.pair}
        touched |= {n for pair in outcome.removed for n in pair}
        near = {n for t in touched for n in (parts[t] | self.part_of(t))}
        for name, members in before.items():
            if not members & near:
                assert self.graph.groups[name] == members
        for region in outcome.regions:
            self.retired |= region.retired.keys()
            for retired in region.retired.values():
                assert (retired.fate == "dissolved") == (not retired.successors)
                assert (retired.fate == "merged") == (len(retired.successors) == 1)
        assert not self.retired & self.graph.groups.keys()

    def part_of(self, name: str) -> set[str]:
        graph = nx.Graph([e.pair for e in self.edges.values()])
        graph.add_edges_from(p for p, j in self.judgements.items() if j.verdict == "same")
        graph.add_node(name)
        return nx.node_connected_component(graph, name)

    @rule(name=names, found=st.dictionaries(names, weights, max_size=4))
    def write(self, name: str, found: dict[str, float]) -> None:
        self.stored.add(name)
        now = [edge(name, o, w) for o, w in found.items() if o in self.stored - {name}]
        self.edges = {p: e for p, e in self.edges.items() if name not in p}
        self.edges |= {e.pair: e for e in now}
        self.change(Change(edges={name: now}))

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.stored.discard(name)
        self.edges = {p: e for p, e in self.edges.items() if name not in p}
        self.change(Change(gone=[name]))

    @rule(a=names, b=names, verdict=verdicts)
    def judge(self, a: str, b: str, verdict: str) -> None:
        if {a, b} <= self.stored and a != b:
            judgement = Judgement(pair_of(a, b), verdict, self.step)  # type: ignore[arg-type]
            self.judgements[judgement.pair] = judgement
            self.change(Change(judged=[judgement]))

    @rule(a=names, b=names)
    def take_back(self, a: str, b: str) -> None:
        if a != b:
            self.judgements.pop(pair_of(a, b), None)
            self.change(Change(unjudged=[pair_of(a, b)]))

    @invariant()
    def is_what_a_rebuild_makes(self) -> None:
        anew = GroupGraph(CUT)
        absent = {n for pair in self.judgements for n in pair} - self.stored
        anew.load(self.edges.values(), self.judgements.values(), absent, {})
        run_to_end(anew.regroup("all"))
        assert pairs_in(dict(self.graph.groups)) == pairs_in(dict(anew.groups))
        again = run_to_end(anew.regroup("again"))
        assert not again.regions

    @invariant()
    def keeps_what_is_judged(self) -> None:
        live = [j for p, j in self.judgements.items() if set(p) <= self.stored]
        settled = settle(live)
        for a, b in settled.different:
            assert self.graph.group_of(a) is None or (
                self.graph.group_of(a) != self.graph.group_of(b)
            )
        for a, b in settled.same:
            assert self.graph.group_of(a) == self.graph.group_of(b) is not None

    @invariant()
    def only_stored_ones_are_grouped(self) -> None:
        for name, members in self.graph.groups.items():
            assert len(members) > 1
            assert members <= self.stored
            assert {self.graph.group_of(m) for m in members} == {name}


TestWrites = pytest.mark.slow(Writes.TestCase)
TestWrites.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
def test_bridges_are_those_of_networkx(ends: list[tuple[int, int]]) -> None:
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(12))
    graph.add_edges_from(e for e in ends if e[0] != e[1])
    single = nx.Graph(graph)
    expected = {frozenset(pair) for pair in nx.bridges(single) if graph.number_of_edges(*pair) == 1}
    assert {frozenset(ends[i]) for i in run_to_end(bridges(12, ends))} == expected


@given(st.lists(st.tuples(names, names, weights), max_size=40), st.randoms())
def test_the_order_in_which_edges_come_is_of_no_matter(
    found: list[tuple[str, str, float]], random: object
) -> None:
    edges = list({e.pair: e for e in (edge(a, b, w) for a, b, w in found if a != b)}.values())
    shuffled = edges[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pairs_in(dict(grouped(edges).groups)) == pairs_in(dict(grouped(shuffled).groups))


def test_a_chain_of_two_rings_is_cut_at_its_bridge() -> None:
    ring = [edge(a, b) for a, b in ("ab", "bc", "ac", "xy", "yz", "xz")]
    assert len(grouped([*ring, edge("c", "x", 2.0)]).groups) == 2
    assert len(grouped([*ring, edge("c", "x", 9.0)]).groups) == 1
    assert len(grouped([*ring, edge("c", "x", 2.0), edge("b", "y", 2.0)]).groups) == 1
    judged = Judgement(("c", "x"), "same", 1)
    assert len(grouped([*ring, edge("c", "x", 2.0)], (judged,)).groups) == 1


def test_the_weakest_edge_between_two_who_are_different_is_cut() -> None:
    judged = Judgement(("a", "d"), "different", 1)
    edges = [edge("a", "b", 7.0), edge("b", "c", 3.0), edge("c", "d", 6.0)]
    assert set(grouped(edges, (judged,)).groups.values()) == {
        frozenset("ab"),
        frozenset("cd"),
    }


def test_the_newest_of_contradicting_judgements_wins_and_names_the_others() -> None:
    same = [Judgement(("a", "b"), "same", 1), Judgement(("b", "c"), "same", 2)]
    newer = settle([*same, Judgement(("a", "c"), "different", 3)])
    assert newer.overruled == {("a", "b"): (("a", "c"), ("b", "c"))}
    assert newer.same == {("b", "c")}
    older = settle([*same, Judgement(("a", "c"), "different", 0)])
    assert older.overruled == {("a", "c"): (("a", "b"), ("b", "c"))}


def test_an_id_is_inherited_by_the_largest_part_and_always_resolves() -> None:
    graph = grouped([edge(a, b) for a, b in ("ab", "bc", "ac")])
    ((name, _),) = graph.groups.items()
    run_to_end(graph.change(Change(edges={"d": [edge("d", "e")]}), "2"))
    other = graph.group_of("d")
    joined = run_to_end(graph.change(Change(edges={"d": [edge("d", "a"), edge("d", "e")]}), "3"))
    assert graph.group_of("e") == name
    (region,) = joined.regions
    assert region.retired[str(other)].successors == [name]
    assert [(e.kind, e.group_id, list(e.others)) for e in region.events] == [
        ("duplicates.merged", name, [other])
    ]
    apart = run_to_end(graph.change(Change(edges={"d": [edge("d", "e")]}), "4"))
    assert graph.group_of("a") == name
    assert graph.group_of("d") not in (name, other)
    assert [e.kind for e in apart.regions[0].events] == ["duplicates.split"]
    gone = run_to_end(graph.change(Change(gone=["a", "b", "c"]), "5"))
    assert gone.regions[0].retired[name].fate == "dissolved"


def test_who_is_deleted_takes_no_group_along_that_a_judgement_held_together() -> None:
    """Nothing but the judgement leads from x to the others, and it ends with x."""
    graph = grouped([edge("a", "b"), edge("b", "c")], (Judgement(("a", "x"), "same", 1),))
    ((name, members),) = graph.groups.items()
    assert members == frozenset("abcx")
    outcome = run_to_end(graph.change(Change(gone=["x"]), "2"))
    assert graph.groups == {name: frozenset("abc")}
    assert [(e.kind, list(e.streamers), e.size) for e in outcome.regions[0].events] == [
        ("duplicates.split", ["x"], 3)
    ]


def test_of_a_group_all_parts_are_found_when_who_joined_them_by_judgements_is_deleted() -> None:
    judged = [Judgement(pair_of(name, "x"), "same", i) for i, name in enumerate("aceg")]
    rest = [edge("a", "b"), edge("c", "d"), edge("d", "h"), edge("e", "f")]
    graph = grouped(rest, tuple(judged))
    ((name, members),) = graph.groups.items()
    assert members == frozenset("abcdefghx")
    run_to_end(graph.change(Change(gone=["x"]), "2"))
    assert set(graph.groups.values()) == {frozenset("ab"), frozenset("cdh"), frozenset("ef")}
    assert graph.groups[name] == frozenset("cdh")


@pytest.mark.slow
def test_a_group_of_20_000_is_divided_without_looking_at_each_pair() -> None:
    members = [f"m{i:05}" for i in range(20_000)]
    edges = [edge(m, members[(i + s) % 20_000]) for i, m in enumerate(members) for s in (1, 7, 31)]
    steps = divide(members, edges, [], [(members[0], members[1])], CUT)
    count = 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            division = end.value
            break
    assert count > 20
    assert sum(len(group) for group in division.groups) == 20_000
    long = grouped(chain(20_000))
    assert all(3 <= len(group) <= 5 for group in long.groups.values())


def test_a_contact_of_a_crowd_joins_nobody() -> None:
    def sharing(accounts: int) -> list[Edge]:
        members = [f"a{i:02}" for i in range(accounts)]
        return [Edge(*pair, 11.0, "same_contact") for pair in combinations(members, 2)]

    (few,) = grouped(sharing(CUT.crowd)).groups.values()
    assert len(few) == CUT.crowd
    many = sharing(40)
    assert grouped(many).groups == {}
    # Who shares more with others of the crowd is joined with these.
    copies = [edge("a00", "a01"), edge("a01", "a02")]
    known = {each.pair for each in copies}
    (ring,) = grouped([*copies, *(e for e in many if e.pair not in known)]).groups.values()
    assert ring == {"a00", "a01", "a02"}
    # Its accounts may show another contact, which few share.
    outside = Edge("a05", "b00", 11.0, "same_contact")
    (pair,) = grouped([*many, outside]).groups.values()
    assert pair == {"a05", "b00"}


@pytest.mark.parametrize(("accounts", "alike"), [(17, 2), (20, 5), (30, 15), (40, 10), (17, 16)])
def test_near_duplicates_in_a_crowd_leave_the_others_alone(accounts: int, alike: int) -> None:
    members = [f"a{i:02}" for i in range(accounts)]
    ring = set(members[:alike])
    edges = [
        edge(*pair) if ring.issuperset(pair) else Edge(*pair, 11.0, "same_contact")
        for pair in combinations(members, 2)
    ]
    assert list(map(set, grouped(edges).groups.values())) == [ring]


def test_the_representative_has_the_strongest_ties() -> None:
    edges = [edge("b", "a", 1.0), edge("b", "c", 3.0), edge("a", "d", 2.0)]
    assert grouped(edges).representative(frozenset("abcd")) == "b"
    assert grouped(edges).representative(frozenset("acd")) == "a"
