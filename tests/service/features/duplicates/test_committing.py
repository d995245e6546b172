"""What is known of groups that are no more, and for how long."""

from service.engine.work.lanes import run_to_end
from service.features.duplicates.committing import Ledger
from service.features.duplicates.groups.edges import Edge
from service.features.duplicates.groups.graph import Change, GroupGraph
from tests.service.features.duplicates.test_groups import CUT, edge


def test_ended_groups_are_in_memory_until_no_erasure_can_have_missed_them() -> None:
    graph, ledger = GroupGraph(CUT), Ledger({}, {})

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
