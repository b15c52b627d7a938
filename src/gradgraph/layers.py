"""Which row each box of a layered drawing is in, and the order in each row."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence
from graphlib import TopologicalSorter


def rows(boxes: int, links: Sequence[tuple[int, int | None]]) -> list[int]:
    """The row of each box: below all that lead to it; a source just above what it leads to."""
    above: dict[int, set[int]] = {box: set() for box in range(boxes)}
    below: dict[int, set[int]] = defaultdict(set)
    for source, target in links:
        if target is not None:
            above[target].add(source)
            below[source].add(target)
    row = [0] * boxes
    for box in TopologicalSorter(above).static_order():
        row[box] = max((row[other] + 2 for other in above[box]), default=0)
    for box in range(boxes):
        if not above[box] and below[box]:
            row[box] = min(row[other] for other in below[box]) - 2
    return row


def order(row: Sequence[int], wires: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The items of each row from left to right, with few crossings.

    Args:
        row: the row of each item.
        wires: joined items; the second is in the row below the first.
    """
    rows: list[list[int]] = [[] for _ in range(max(row, default=-1) + 1)]
    lower: dict[int, list[int]] = defaultdict(list)
    for above, below in wires:
        lower[above].append(below)
    seen: set[int] = set()
    starts = {below for _, below in wires}
    # Depth first from the sources, in the links' order: what they say to the left stays left.
    stack = [item for item in reversed(range(len(row))) if item not in starts]
    while stack:
        item = stack.pop()
        if item not in seen:
            seen.add(item)
            rows[row[item]].append(item)
            stack += reversed(lower[item])
    best, fewest = [list(one) for one in rows], _crossings(rows, wires, row)
    for sweep in range(24):
        if not fewest:
            break
        down = sweep % 2 == 0
        near: dict[int, list[int]] = defaultdict(list)
        for above, below in wires:
            near[below if down else above].append(above if down else below)
        at = {item: place for one in rows for place, item in enumerate(one)}
        for one in rows if down else reversed(rows):
            weight = {
                item: sum(at[other] for other in near[item]) / len(near[item])
                if near[item]
                else at[item]
                for item in one
            }
            # Every other pair of sweeps turns equal neighbours round: a way out of a dead end.
            one.sort(key=lambda item: (weight[item], -at[item] if sweep % 4 > 1 else at[item]))
            at.update((item, place) for place, item in enumerate(one))
        crossings = _crossings(rows, wires, row)
        if crossings < fewest:
            best, fewest = [list(one) for one in rows], crossings
    return best


def _crossings(
    rows: Sequence[Sequence[int]], wires: Sequence[tuple[int, int]], row: Sequence[int]
) -> int:
    at = {item: place for one in rows for place, item in enumerate(one)}
    ends: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for above, below in wires:
        ends[row[above]].append((at[above], at[below]))
    found = 0
    for pairs in ends.values():
        seen: list[int] = []
        for place, (_, below) in enumerate(sorted(pairs)):
            found += place - bisect_left(seen, below + 1)
            insort(seen, below)
    return found
