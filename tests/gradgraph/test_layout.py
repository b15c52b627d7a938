"""The layered drawing: what must hold for every graph."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gradgraph.layout import Layout, Link, Point, Size, layout

Drawn = tuple[list[Size], list[Link], Layout]

lengths = st.integers(10, 200).map(float)
sizes = st.tuples(lengths, lengths)
labels = st.tuples(st.integers(10, 90).map(float), st.integers(10, 60).map(float))


@st.composite
def drawings(draw: st.DrawFn) -> Drawn:
    boxes = draw(st.lists(sizes, min_size=1, max_size=14))
    links = []
    for target in range(1, len(boxes)):
        for _ in range(draw(st.integers(0, 3))):
            source = draw(st.integers(0, target - 1))
            links.append(Link(source, target, draw(labels)))
    for source in draw(st.lists(st.integers(0, len(boxes) - 1), max_size=3)):
        links.append(Link(source, None, draw(labels)))
    return boxes, links, layout(boxes, links)


def rectangles(drawn: Drawn) -> list[tuple[Point, Size]]:
    boxes, links, made = drawn
    both = [*boxes, *(link.label for link in links)]
    return list(zip([*made.boxes, *made.labels], both, strict=True))


def line(made: Layout, at: int) -> list[Point]:
    return [*made.routes[at].to_label, *made.routes[at].from_label]


@given(drawings())
def test_neither_boxes_nor_labels_overlap(drawn: Drawn) -> None:
    for ((x, y), (w, h)), ((x2, y2), (w2, h2)) in combinations(rectangles(drawn), 2):
        apart_x, apart_y = abs(x - x2) - (w + w2) / 2, abs(y - y2) - (h + h2) / 2
        assert max(apart_x, apart_y) > 5


@given(drawings())
def test_everything_lies_inside(drawn: Drawn) -> None:
    _, links, made = drawn
    corners = [
        (x + side * w / 2, y + side * h / 2)
        for (x, y), (w, h) in rectangles(drawn)
        for side in (-1, 1)
    ]
    for x, y in [*corners, *(point for at in range(len(links)) for point in line(made, at))]:
        assert 0 <= x <= made.size[0]
        assert 0 <= y <= made.size[1]


@given(drawings())
def test_every_edge_runs_downwards_from_box_to_label_to_box(drawn: Drawn) -> None:
    boxes, links, made = drawn
    for at, link in enumerate(links):
        (x, y), (lx, ly) = made.boxes[link.source], made.labels[at]
        points = line(made, at)
        assert all(above[1] <= below[1] for above, below in pairwise(points))
        assert points[0][1] == y + boxes[link.source][1] / 2
        assert abs(points[0][0] - x) < boxes[link.source][0] / 2
        assert made.routes[at].to_label[-1] == (lx, ly - link.label[1] / 2)
        if link.target is None:
            assert made.routes[at].from_label == ()
        else:
            (x, y), (w, h) = made.boxes[link.target], boxes[link.target]
            assert made.routes[at].from_label[0] == (lx, ly + link.label[1] / 2)
            assert points[-1][1] == y - h / 2
            assert abs(points[-1][0] - x) < w / 2


@given(drawings())
def test_edges_pass_boxes_and_labels_at_a_distance(drawn: Drawn) -> None:
    """Where an edge is straight it is clear of all boxes; it swings only between the rows."""
    _, links, made = drawn
    for at in range(len(links)):
        for part in made.routes[at].to_label, made.routes[at].from_label:
            for (x, y), (x2, y2) in pairwise(part):
                for (cx, cy), (w, h) in rectangles(drawn):
                    over = min(y2, cy + h / 2) - max(y, cy - h / 2) > 0.2
                    assert not over or (x == x2 and abs(x - cx) >= w / 2 + 5)


@given(drawings())
def test_the_same_input_gives_the_same_drawing(drawn: Drawn) -> None:
    boxes, links, made = drawn
    assert layout(boxes, links) == made


@given(drawings())
@settings(max_examples=30)
def test_edges_that_leave_a_box_do_not_cross_at_once(drawn: Drawn) -> None:
    boxes, links, made = drawn
    for box in range(len(boxes)):
        leaving = sorted(
            (made.routes[at].to_label[0][0], made.labels[at][0])
            for at, link in enumerate(links)
            if link.source == box
        )
        assert [x for _, x in leaving] == sorted(x for _, x in leaving)


def test_a_tree_is_drawn_without_crossings() -> None:
    tree = [Link((at - 1) // 2, at, (20.0, 10.0)) for at in range(1, 15)]
    made = layout([(30.0, 20.0)] * 15, [tree[at] for at in (5, 2, 0, 1, 9, 13, *range(14))][6:])
    for rank in range(4):
        row = made.boxes[2**rank - 1 : 2 ** (rank + 1) - 1]
        assert [x for x, _ in row] == sorted(x for x, _ in row)


def test_crossings_that_can_be_avoided_are_avoided() -> None:
    # 0 -> 3, 4 and 1 -> 2, 3: drawn in the order of their numbers these edges cross.
    links = [Link(0, at, (9.0, 9.0)) for at in (3, 4)] + [Link(1, at, (9.0, 9.0)) for at in (2, 3)]
    made = layout([(20.0, 20.0)] * 5, links)
    from_0, from_1 = made.boxes[0][0], made.boxes[1][0]
    ends = [made.boxes[at][0] for at in ((4, 3, 2) if from_0 < from_1 else (2, 3, 4))]
    assert ends == sorted(ends) or ends == sorted(ends, reverse=True)


def test_a_chain_is_one_straight_line() -> None:
    made = layout(
        [(90.0, 20.0), (40.0, 20.0), (60.0, 30.0)],
        [Link(0, 1, (9.0, 9.0)), Link(1, 2, (30.0, 9.0))],
    )
    assert len({x for at in range(2) for x, _ in line(made, at)}) == 1


def test_a_second_output_stands_just_above_its_node() -> None:
    chain = [Link(at, at + 1, (9.0, 9.0)) for at in range(4)]
    made = layout([(40.0, 20.0)] * 6, [*chain, Link(5, 3, (9.0, 9.0))])
    assert made.boxes[5][1] == made.boxes[2][1]


def test_nothing_to_draw() -> None:
    assert layout([], []).boxes == ()
