"""Makes a graph that is too large to draw small enough: several of its nodes share a box.

Nodes are grouped where they stand next to each other in the order in which the engine ran them. So
a group can lead to what comes after it only, and the smaller graph has no cycle either. That order
is the forward pass backwards: what one module did, or one turn of a loop, stands together in it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import groupby, takewhile

from gradgraph.graph import Graph
from gradgraph.merge import merged
from gradgraph.words import word

LONGEST = 64  # operations in a block that repeats


@dataclass(frozen=True)
class Item:
    """Nodes that share a box, in the order in which they run.

    Attributes:
        nodes: their ids.
        key: what they are; blocks with the same keys are repetitions.
        name: what the box is called.
        module: whose nodes they are, or "".
    """

    nodes: tuple[int, ...]
    key: tuple[str, ...]
    name: str
    module: str = ""


def fold(graph: Graph, limit: int = 60, language: str = "en") -> Graph:
    """`graph`, or one of about `limit` nodes that stands for it; `note` says so.

    Nodes of one module share a box, or blocks that repeat, whichever leaves more to be seen; where
    neither is enough, what is farthest from the outputs shares one. A box runs when the first of
    its nodes does, and sends on what they send to nodes outside.
    """
    if len(graph.nodes) <= limit:
        return graph
    best: list[Item] = []
    for items in _ways(graph, language):
        for most in (4, 1):
            made = [*items, *_leaves(graph, items, most, language)]
            if len(best) < len(made) <= limit:
                best = made
    if best:
        return _made(graph, best, word("grouped", language, n=len(graph.nodes)))
    for kept in range(min(limit, len(items)) - 1, -1, -1):
        some = [*items[:kept], _rest(items[kept:], language)]
        leaves = _leaves(graph, some, 1, language)
        if len(some) + len(leaves) <= limit:
            break
    return _made(graph, [*some, *leaves], word("cut", language, n=len(graph.nodes)))


def _made(graph: Graph, items: Sequence[Item], note: str) -> Graph:
    parts = [(item.nodes, item.name, item.module) for item in items]
    return replace(merged(graph, parts), note=note)


def _ways(graph: Graph, language: str) -> Iterator[list[Item]]:
    """Ways to group the operations, from many boxes to few."""
    nodes = graph.nodes
    single = [Item((at,), (nodes[at].op,), nodes[at].op, nodes[at].module) for at in _order(graph)]
    deepest = max((node.module.count(".") + 1 for node in nodes if node.module), default=0)
    for depth in range(deepest, 0, -1):
        items = _by_module(single, depth, language)
        yield items
        yield _repeated(items, 1, language)
        yield _repeated(items, 0, language)
    yield _repeated(single, 1, language)
    yield _repeated(single, 0, language)


def _order(graph: Graph) -> list[int]:
    """The operations in the order in which they run, or could run if no gradient came."""
    steps = graph.passes[0].steps if graph.passes else ()
    turn = {step.node: at for at, step in enumerate(steps)}
    waits = [0] * len(graph.nodes)
    after: dict[int, list[int]] = defaultdict(list)
    for edge in graph.edges:
        if edge.target is not None:
            waits[edge.target] += 1
            after[edge.source].append(edge.target)
    ready: list[tuple[int, int]] = []
    for node, wait in enumerate(waits):
        if not wait:
            heappush(ready, (turn.get(node, len(turn)), node))
    order = []
    while ready:
        _, node = heappop(ready)
        if graph.nodes[node].kind != "accumulate":
            order.append(node)
        for target in after[node]:
            waits[target] -= 1
            if not waits[target]:
                heappush(ready, (turn.get(target, len(turn)), target))
    return order


def _by_module(single: Sequence[Item], depth: int, language: str) -> list[Item]:
    """One item for all that a module did in one call."""

    def path(item: Item) -> str:
        return ".".join(item.module.split(".")[:depth]) if item.module else ""

    items: list[Item] = []
    for module, run in groupby(single, key=path):
        found = list(run)
        if not module or len(found) == 1:
            items += found
        else:
            items.append(replace(_joined(found, language), module=module))
    return items


def _joined(items: Sequence[Item], language: str) -> Item:
    nodes = tuple(node for item in items for node in item.nodes)
    names = [item.name for item in items]
    name = " → ".join(names)
    if len(names) > 3:
        name = word("ops", language, first=names[0], last=names[-1], n=len(nodes))
    return Item(nodes, tuple(key for item in items for key in item.key), name)


def _repeated(items: Sequence[Item], ends: int, language: str) -> list[Item]:
    """One item for each block that repeats; `ends` blocks at both ends are left as they are."""
    found: list[Item] = []
    at = 0
    while at < len(items):
        period, times = _block(items, at)
        if not times:
            found.append(items[at])
            at += 1
            continue
        apart = ends if times > 2 * ends + 1 else 0
        first, last = at + period * apart, at + period * (times - apart)
        all_of_it, times = items[first:last], times - 2 * apart
        names = [_pattern(item) for item in all_of_it[:period]]
        if period > 3:
            block = word("ops", language, first=names[0], last=names[-1], n=period)
        else:
            block = " → ".join(names)
        name = word("times", language, block=block, n=times)
        nodes = tuple(node for item in all_of_it for node in item.nodes)
        found += items[at:first]
        key = tuple(key for item in all_of_it for key in item.key)
        found.append(Item(nodes, key, name, _common(all_of_it)))
        at = last + period * apart
        found += items[last:at]
    return found


def _block(items: Sequence[Item], at: int) -> tuple[int, int]:
    """Length of the block that repeats from `at` on, and how often it is there; (0, 0) if none.

    A short block must be there three times, a longer one twice.
    """
    best = (0, 0)
    for period in range(1, min(LONGEST, (len(items) - at) // 2) + 1):
        same = at
        while same + period < len(items) and items[same].key == items[same + period].key:
            same += 1
        times = (same - at) // period + 1
        if times >= (2 if period > 3 else 3) and period * times > best[0] * best[1]:
            best = (period, times)
    return best


def _pattern(item: Item) -> str:
    """What all repetitions are called: `layers.*` for `layers.3`."""
    return item.name if len(item.nodes) == 1 or not item.module else _starred(item.module)


def _starred(module: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", module)


def _common(items: Sequence[Item]) -> str:
    """Where in the model all of them are: `layers.*`; "" if nowhere in particular."""
    paths = [_starred(item.module).split(".") for item in items if item.module]
    same = [] if not paths else [c[0] for c in takewhile(_equal, zip(*paths, strict=False))]
    return ".".join(same) if "*" in same else ""


def _equal(parts: Sequence[str]) -> bool:
    return len(set(parts)) == 1


def _leaves(graph: Graph, items: Sequence[Item], most: int, language: str) -> list[Item]:
    """The leaves; where one item alone leads to more than `most`, these share a box."""
    of = {node: at for at, item in enumerate(items) for node in item.nodes}
    users: dict[int, set[int]] = defaultdict(set)
    for edge in graph.edges:
        if edge.target is not None and graph.nodes[edge.target].kind == "accumulate":
            users[edge.target].add(of[edge.source])
    mine: dict[int, list[int]] = defaultdict(list)
    shown: list[list[int]] = []
    for node in graph.nodes:
        if node.kind != "accumulate":
            continue
        if len(users[node.id]) == 1:
            mine[min(users[node.id])].append(node.id)
        else:
            shown.append([node.id])
    for leaves in mine.values():
        shown += [[leaf] for leaf in leaves] if len(leaves) <= most else [leaves]
    return [_leaf(graph, leaves, language) for leaves in sorted(shown)]


def _leaf(graph: Graph, leaves: Sequence[int], language: str) -> Item:
    op = graph.nodes[leaves[0]].op
    name = op if len(leaves) == 1 else word("times", language, block=op, n=len(leaves))
    return Item(tuple(leaves), (op,), name)


def _rest(items: Sequence[Item], language: str) -> Item:
    joined = _joined(items, language)
    return replace(joined, name=word("others", language, n=len(joined.nodes)))
