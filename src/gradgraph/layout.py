"""Where boxes, labels and edges of a layered drawing go. Sizes in, coordinates out.

The method is Sugiyama's: rows by the longest path from the sources and few crossings (layers.py),
then coordinates. A label is an item of a row of its own between the rows of boxes, so it can touch
neither a box nor another label, and two edges between the same boxes run apart.

Why not a library: gradgraph needs nothing but torch, and no system program. grandalf 0.8, the one
candidate in pure Python, draws parallel edges as one line (`y = x * x` has them), knows no labels,
let boxes overlap in 5 of 300 random graphs, and is an alpha of 2023 under the GPL or EPL. igraph
and Graphviz are compiled, and igraph gives every box the same width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gradgraph.layers import order, rows

Size = tuple[float, float]
Point = tuple[float, float]

GAP = 16.0  # between neighbours in a row
LANE = 10.0  # between an edge and its neighbours where it passes a row
FALL = 14.0  # least height between two rows
PORT = 18.0  # between the ends of two edges at a box
CORNER = 14.0  # between the end of an edge and the box's corner
MARGIN = 6.0


@dataclass(frozen=True)
class Link:
    """An edge from box `source` down to box `target`, or to nothing but its label."""

    source: int
    target: int | None
    label: Size


@dataclass(frozen=True)
class Route:
    """Points an edge passes, downwards: to its label, and from there on (empty without target).

    Between two points of different x it swings over with vertical ends.
    """

    to_label: tuple[Point, ...]
    from_label: tuple[Point, ...]


@dataclass(frozen=True)
class Layout:
    """The drawing: centres of boxes and labels, routes, and the size of the whole."""

    boxes: tuple[Point, ...]
    labels: tuple[Point, ...]
    routes: tuple[Route, ...]
    size: Size


def layout(sizes: Sequence[Size], links: Sequence[Link]) -> Layout:
    """Place boxes of `sizes`, joined by `links`, which must be free of cycles."""
    return _Drawing(sizes, links).place()


class _Drawing:
    """The items of all rows: the boxes, then for each link its label and its bends.

    Boxes are in even rows, labels in odd ones. `wires` join items of neighbouring rows.
    """

    def __init__(self, sizes: Sequence[Size], links: Sequence[Link]) -> None:
        self.boxes = len(sizes)
        self.links = links
        self.sizes = list(sizes)
        self.row = rows(len(sizes), [(link.source, link.target) for link in links])
        self.chains: list[list[int]] = []
        self.wires: list[tuple[int, int]] = []
        self.lower: dict[int, list[int]] = defaultdict(list)
        self.upper: dict[int, list[int]] = defaultdict(list)
        for link in links:
            first = self.row[link.source] + 1
            last = first + 1 if link.target is None else self.row[link.target]
            chain = list(range(len(self.sizes), len(self.sizes) + last - first))
            self.sizes += [link.label] + [(0.0, 0.0)] * (last - first - 1)
            self.row += range(first, last)
            self.chains.append(chain)
            ends = [] if link.target is None else [link.target]
            for above, below in pairwise([link.source, *chain, *ends]):
                self.lower[above].append(len(self.wires))
                self.upper[below].append(len(self.wires))
                self.wires.append((above, below))
        self.rows: list[list[int]] = []
        self.x = [0.0] * len(self.sizes)
        self.start = [0.0] * len(self.wires)  # where a wire leaves, from its upper item's centre
        self.end = [0.0] * len(self.wires)

    def place(self) -> Layout:
        self.rows = order(self.row, self.wires)
        self._set_ports()
        for row in self.rows:
            for item, other in pairwise(row):
                self.x[other] = self.x[item] + self._between(item, other)
        # Small drawings are worth more care than large ones can be given.
        sweeps = max(12, min(200, 60_000 // (len(self.wires) + 1)))
        for _ in range(3):
            self._set_x(sweeps)
            self._straighten()
            self._move_ports()
        left = min((x - w / 2 for x, (w, _) in zip(self.x, self.sizes, strict=True)), default=0)
        self.x = [round(x - left + MARGIN, 1) for x in self.x]
        width = max((x + w / 2 for x, (w, _) in zip(self.x, self.sizes, strict=True)), default=0)
        tops, bottoms = self._heights()
        middle = [(top + bottom) / 2 for top, bottom in zip(tops, bottoms, strict=True)]
        points = tuple((x, middle[row]) for x, row in zip(self.x, self.row, strict=True))
        return Layout(
            boxes=points[: self.boxes],
            labels=tuple(points[chain[0]] for chain in self.chains),
            routes=tuple(self._route(at, points, tops, bottoms) for at in range(len(self.links))),
            size=(width + MARGIN, (bottoms[-1] if bottoms else 0) + MARGIN),
        )

    def _set_ports(self) -> None:
        """Spread the wires of each box over its edge, in the order that crosses none."""
        at = {item: place for row in self.rows for place, item in enumerate(row)}
        for item in range(self.boxes):
            width = self.sizes[item][0]
            for wires, side, shift in (
                (self.lower[item], 1, self.start),
                (self.upper[item], 0, self.end),
            ):
                ordered = sorted(wires, key=lambda wire: at[self.wires[wire][side]])
                for place, wire in enumerate(ordered, 1):
                    shift[wire] = width * place / (len(wires) + 1) - width / 2

    def _move_ports(self) -> None:
        """Move the wires' ends along the boxes' edges to where the wires come from."""
        for item in range(self.boxes):
            half = self.sizes[item][0] / 2
            for wires, side, shift in (
                (self.lower[item], 1, self.start),
                (self.upper[item], 0, self.end),
            ):
                ordered = sorted(wires, key=lambda wire: shift[wire])
                apart = min(PORT, 2 * half / (len(wires) + 1))
                reach = max(half - CORNER, apart * (len(wires) - 1) / 2)
                wishes = [
                    self.x[self.wires[wire][side]] - self.x[item] - apart * place
                    for place, wire in enumerate(ordered)
                ]
                last = reach - apart * (len(wires) - 1)
                for place, wish in enumerate(_rising(wishes, [1.0] * len(wishes))):
                    shift[ordered[place]] = min(max(wish, -reach), last) + apart * place

    def _between(self, left: int, right: int) -> float:
        """Least distance of the centres of two neighbours."""
        bend = not self.sizes[left][0] or not self.sizes[right][0]
        return (self.sizes[left][0] + self.sizes[right][0]) / 2 + (LANE if bend else GAP)

    def _set_x(self, sweeps: int) -> None:
        """Shorten the wires: least squares with the distances in a row as constraints.

        A row is solved exactly while the others stand still, down and up until nothing moves.
        """
        for _ in range(sweeps):
            before = list(self.x)
            for row in [*self.rows, *reversed(self.rows)]:
                self._solve(row)
            if all(abs(a - b) < 0.05 for a, b in zip(before, self.x, strict=True)):
                break

    def _solve(self, row: list[int]) -> None:
        wishes, weights, shifts = [], [], []
        shift = 0.0
        for place, item in enumerate(row):
            shift += self._between(row[place - 1], item) if place else 0.0
            wish = weight = 0.0
            for wire in self.upper[item]:
                force = self._force(wire)
                other = self.wires[wire][0]
                wish += force * (self.x[other] + self.start[wire] - self.end[wire])
                weight += force
            for wire in self.lower[item]:
                force = self._force(wire)
                other = self.wires[wire][1]
                wish += force * (self.x[other] + self.end[wire] - self.start[wire])
                weight += force
            wishes.append(wish / weight - shift if weight else self.x[item] - shift)
            weights.append(weight or 0.01)
            shifts.append(shift)
        for item, x, moved in zip(row, _rising(wishes, weights), shifts, strict=True):
            self.x[item] = x + moved

    def _force(self, wire: int) -> float:
        above, below = self.wires[wire]
        return 1.0 if above < self.boxes or below < self.boxes else 8.0

    def _straighten(self) -> None:
        """Give each link as few bends between its boxes as the room beside it allows."""
        for chain in sorted(self.chains, key=lambda chain: (-len(chain), chain)):
            part: list[int] = []
            low, high = float("-inf"), float("inf")
            for item in chain:
                left, right = self._room(item)
                if max(low, left) > min(high, right):
                    self._align(part, low, high)
                    part, low, high = [], left, right
                part.append(item)
                low, high = max(low, left), min(high, right)
            self._align(part, low, high)

    def _room(self, item: int) -> tuple[float, float]:
        """How far an item can move to the left and to the right."""
        row = self.rows[self.row[item]]
        place = row.index(item)
        low, high = float("-inf"), float("inf")
        if place:
            low = self.x[row[place - 1]] + self._between(row[place - 1], item)
        if place + 1 < len(row):
            high = self.x[row[place + 1]] - self._between(item, row[place + 1])
        return low, max(low, high)

    def _align(self, items: Sequence[int], low: float, high: float) -> None:
        mean = sum(self.x[item] for item in items) / max(len(items), 1)
        for item in items:
            self.x[item] = min(max(mean, low), high)

    def _heights(self) -> tuple[list[float], list[float]]:
        """Top and bottom of each row; the farther edges swing, the higher the space between."""
        swing = [0.0] * len(self.rows)
        for wire, (above, below) in enumerate(self.wires):
            far = abs(self.x[above] + self.start[wire] - self.x[below] - self.end[wire])
            swing[self.row[above]] = max(swing[self.row[above]], far)
        tops, bottoms, y = [], [], MARGIN
        for row, far in zip(self.rows, swing, strict=True):
            tops.append(y)
            bottoms.append(y + max((self.sizes[item][1] for item in row), default=0))
            y = round(bottoms[-1] + min(FALL + far / 6, 3 * FALL), 1)
        return tops, bottoms

    def _route(
        self, at: int, points: Sequence[Point], tops: Sequence[float], bottoms: Sequence[float]
    ) -> Route:
        link, chain = self.links[at], self.chains[at]

        def through(item: int, wire: int, down: bool) -> list[Point]:
            """Between an item and the rim of its row, so that no edge swings beside a box."""
            x, y = points[item]
            x = round(x + (self.start if down else self.end)[wire], 1)
            half = self.sizes[item][1] / 2
            row = self.row[item]
            if down:
                return [(x, y + half), (x, max(bottoms[row], y + half))]
            return [(x, min(tops[row], y - half)), (x, y - half)]

        first = self.upper[chain[0]][0]  # the wires of a chain are numbered one after the other
        to_label = through(link.source, first, True) + through(chain[0], first, False)
        if link.target is None:
            return Route(_tidy(to_label), ())
        from_label: list[Point] = []
        for wire, item in enumerate(chain, first + 1):
            below = self.wires[wire][1]
            from_label += through(item, wire, True) + through(below, wire, False)
        return Route(_tidy(to_label), _tidy(from_label))


def _tidy(points: list[Point]) -> tuple[Point, ...]:
    """`points` without those that repeat the one before."""
    return tuple(p for place, p in enumerate(points) if not place or p != points[place - 1])


def _rising(wishes: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The numbers nearest to `wishes` that never fall (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for wish, weight in zip(wishes, weights, strict=True):
        count = 1
        while pools and pools[-1][0] >= wish:
            other, more, size = pools.pop()
            wish = (wish * weight + other * more) / (weight + more)
            weight, count = weight + more, count + size
        pools.append((wish, weight, count))
    return [wish for wish, _, count in pools for _ in range(count)]
