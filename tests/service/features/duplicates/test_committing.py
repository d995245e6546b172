"""What is known of groups that are no more, and for how long."""

from service.engine.work.lanes import run_to_end
from service.features.duplicates.committing import Ledger
from service.features.duplicates.groups.edges import Edge
from service.features.duplicates.groups.graph import Change, GroupGraph
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


def test_of_an_ended_group_all_who_are_stored_are_kept_first_those_in_another_one() -> None:
    graph, ledger = GroupGraph(CUT), Ledger({}, {}, "bcdef")
    edges = [edge("a", "b"), edge("a", "c"), edge("d", "e"), edge("d", "f")]
    graph.load(edges, (), (), {})
    list(ledger.steps(run_to_end(graph.regroup("first")), graph, "first", 0.0))
    ended = graph.group_of("a")
    news = Change(edges={"c": [edge("c", "d", 9.0)]}, gone=["a"])
    outcome = run_to_end(graph.change(news, "second"))
    changes = [c for step in ledger.steps(outcome, graph, "second", 0.0) for c in step.groups]
    (record,) = (change.after for change in changes if change.after.group_id == ended)
    assert (record.state, record.members, record.has_others) == ("merged", ("c", "b"), False)
