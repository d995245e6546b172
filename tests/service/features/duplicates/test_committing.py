"""What is known of groups that are no more, and for how long."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from service.engine.work.lanes import run_to_end
from service.features.duplicates import committing
from service.features.duplicates.committing import Ledger
from service.features.duplicates.groups.edges import Edge
from service.features.duplicates.groups.graph import Change, GroupGraph
from service.store.duplicates import GroupRecord
from tests.service.features.duplicates.test_groups import CUT, edge


def test_ended_groups_are_in_memory_until_no_erasure_can_have_missed_them() -> None:
    graph, ledger = GroupGraph(CUT), Ledger({}, {}, "abcd")

    def write(name: str, *edges: Edge) -> None:
        outcome = run_to_end(graph.change(Change(edges={name: edges}), f"{name} {len(edges)}"))
        list(ledger.steps(outcome, graph, name, 0.0))

    write("a", edge("a", "b"))
    write("c", edge("c", "d"))
    assert ledger.kept("abcd") == {}
    ended = {graph.group_of("a"), graph.group_of("c")}
    write("b", edge("a", "b"), edge("b", "c", 9.0))
    ended -= {graph.group_of("a")}
    known = ledger.kept("abcd")
    assert {name for groups in known.values() for name in groups} == ended
    ledger.seen(evaluated=5, head=9)
    ledger.seen(evaluated=8, head=20)
    assert ledger.kept("abcd") == known  # up to 9 somebody may have been deleted before
    ledger.seen(evaluated=9, head=20)
    assert ledger.kept("abcd") == {}


def record_of_ended(
    edges: Sequence[Edge], streamers: str, news: Mapping[str, list[Edge]], gone: str = ""
) -> GroupRecord:
    """The record of the group that a was in, which a change ends."""
    graph, ledger = GroupGraph(CUT), Ledger({}, {}, streamers)
    graph.load(edges, (), (), {})
    list(ledger.steps(run_to_end(graph.regroup("first")), graph, "first", 0.0))
    ended = graph.group_of("a")
    outcome = run_to_end(graph.change(Change(edges=news, gone=gone), "second"))
    changes = [c for step in ledger.steps(outcome, graph, "second", 0.0) for c in step.groups]
    (record,) = (change.after for change in changes if change.after.group_id == ended)
    return record


def test_of_an_ended_group_all_who_are_stored_are_kept_first_those_in_another_one() -> None:
    edges = [edge("a", "b"), edge("a", "c"), edge("d", "e"), edge("d", "f")]
    record = record_of_ended(edges, "bcdef", {"c": [edge("c", "d", 9.0)]}, gone="a")
    assert (record.state, record.members, record.has_others) == ("merged", ("c", "b"), False)


def test_of_a_large_ended_group_some_are_kept_of_each_that_took_them_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(committing, "_MOST_KEPT", 3)
    chains = map(pairwise, ("abcdefg", "pqrsx", "tuvw"))
    edges = [edge(*pair, 9.0) for pairs in chains for pair in pairs]
    moved = {**dict.fromkeys("abc", "t"), **dict.fromkeys("defg", "p")}
    news = {name: [edge(name, other, 9.0)] for name, other in moved.items()}
    record = record_of_ended(edges, "abcdefgpqrstuvwx", news)
    assert (record.state, len(record.successors)) == ("split", 2)
    assert (record.members, record.has_others) == (("d", "a", "e"), True)
