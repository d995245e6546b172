"""Bridges of a graph: edges whose removal leaves two parts (Tarjan, 1974)."""

from collections.abc import Generator, Sequence


def bridges(
    size: int, ends: Sequence[tuple[int, int]], pause_each: int = 4096
) -> Generator[None, None, set[int]]:
    """The places in `ends` of all bridges, in O(nodes + edges); parallel edges are none.

    A generator that pauses now and then and returns them in the end. It keeps its own stack:
    a chain of 20,000 is deeper than Python recurses.

    Args:
        size: number of nodes, which are 0 to size - 1.
        ends: nodes of each edge.
        pause_each: steps between two pauses.
    """
    around: list[list[tuple[int, int]]] = [[] for _ in range(size)]
    for place, (one, other) in enumerate(ends):
        if one != other:
            around[one].append((other, place))
            around[other].append((one, place))
    entered = [-1] * size
    lowest = [0] * size
    found: set[int] = set()
    clock = steps = 0
    for root in range(size):
        if entered[root] >= 0:
            continue
        entered[root] = lowest[root] = clock
        clock += 1
        stack = [(root, -1, iter(around[root]))]
        while stack:
            node, came_by, rest = stack[-1]
            for other, place in rest:
                steps += 1
                if place == came_by:
                    continue
                if entered[other] < 0:
                    entered[other] = lowest[other] = clock
                    clock += 1
                    stack.append((other, place, iter(around[other])))
                    break
                lowest[node] = min(lowest[node], entered[other])
            else:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                    if lowest[node] > entered[above]:
                        found.add(came_by)
            if steps >= pause_each:
                steps = 0
                yield
    return found
