"""Which items go into one run of a graph."""

from collections.abc import Sequence


def alike(lengths: Sequence[int], max_rows: int, max_padded: int) -> list[list[int]]:
    """Places of N lengths in batches of alike ones, the shortest first.

    A batch has at most `max_rows`, and they times the longest of them are at most `max_padded`,
    unless it is a single one.
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        rows = len(batches[-1]) + 1 if batches else max_rows + 1
        if rows > max_rows or rows * lengths[place] > max_padded:
            batches.append([])
        batches[-1].append(place)
    return batches
