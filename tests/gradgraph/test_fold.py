"""Large graphs become small ones that are still true."""

from __future__ import annotations

import math
from graphlib import TopologicalSorter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gradgraph import examples
from torch import nn

from gradgraph import record
from gradgraph.fold import fold
from gradgraph.graph import Graph, Nested

LARGE = (examples.loop, examples.deep_net, examples.irregular)
large = pytest.mark.parametrize("make", LARGE)


def check(whole: Graph, folded: Graph, limit: int = 60) -> None:
    """What must hold for every folded graph."""
    assert len(folded.nodes) <= limit
    assert [node.id for node in folded.nodes] == list(range(len(folded.nodes)))
    assert [root.name for root in folded.roots] == [root.name for root in whole.roots]
    above: dict[int, set[int]] = {node.id: set() for node in folded.nodes}
    for edge in folded.edges:
        if edge.target is not None:
            above[edge.target].add(edge.source)
    list(TopologicalSorter(above).static_order())  # raises if there is a cycle
    grads = {node.label: node.id for node in whole.nodes if node.kind == "accumulate"}
    for run, before in zip(folded.passes, whole.passes, strict=True):
        turn = {step.node: at for at, step in enumerate(run.steps)}
        assert len(turn) == len(run.steps)
        for edge in folded.edges:
            if edge.source in turn and edge.target in turn and edge.target is not None:
                assert turn[edge.source] < turn[edge.target]
        done = {step.node: step for step in before.steps}
        for step in run.steps:
            node = folded.nodes[step.node]
            if node.kind == "accumulate" and node.label:
                assert step.after == done[grads[node.label]].after
            for edge in folded.edges:
                assert edge.source != step.node or not step.sent or edge.index < len(step.sent)


@large
@pytest.mark.parametrize("limit", [60, 20, 5])
def test_what_holds_for_every_large_graph(make: object, limit: int) -> None:
    assert callable(make)
    graph = make()
    check(graph, fold(graph, limit), limit)


def test_a_small_graph_stays_as_it_is() -> None:
    graph = examples.jacobian()
    assert fold(graph) is graph


def test_a_loop_shows_its_ends_and_one_box_for_the_turns_between() -> None:
    graph = fold(examples.loop())
    groups = [node.op for node in graph.nodes if node.kind == "group"]
    assert groups == ["AddBackward0 → MulBackward0 × 298"]
    assert sorted(node.label for node in graph.nodes if node.kind == "accumulate") == list("bwx")
    assert [node.op for node in graph.nodes].count("AddBackward0") == 2
    assert graph.note == "The graph has 603 nodes; those that belong together share a box."


def test_what_a_group_sends_adds_up_to_the_leafs_grad() -> None:
    graph = fold(examples.loop())
    for leaf in (node for node in graph.nodes if node.kind == "accumulate"):
        total = 0.0
        for edge in graph.edges:
            if edge.target == leaf.id:
                step = next(step for step in graph.steps if step.node == edge.source)
                value = step.sent[edge.index]
                assert value
                total += number(value.data)
        after = next(step.after for step in graph.steps if step.node == leaf.id)
        assert after
        assert math.isclose(total, number(after.data), rel_tol=1e-4)


def number(data: Nested | None) -> float:
    assert isinstance(data, float)
    return data


def test_modules_share_a_box_and_so_do_their_leaves() -> None:
    graph = fold(examples.deep_net())
    modules = [node.module for node in graph.nodes if node.kind == "group" and node.module]
    assert modules == [f"net.{at}" for at in reversed(range(12))]
    assert any(node.op == "AccumulateGrad × 4" for node in graph.nodes)


def test_without_a_pattern_what_is_far_from_the_output_shares_a_box() -> None:
    graph = fold(examples.irregular(), language="zh")
    assert graph.note.startswith("这张图共有")
    assert next(node.op for node in graph.nodes if node.kind == "group").startswith("其余")
    assert [node.label for node in graph.nodes if node.kind == "accumulate"] == ["x"]


def test_a_graph_too_large_to_be_recorded_in_detail() -> None:
    graph = examples.loop(1500)
    folded = fold(graph)
    check(graph, folded)
    assert {"b", "w", "x"} <= {node.label for node in folded.nodes}


def test_several_passes() -> None:
    x = examples.leaf(1.0)
    y = x
    for _ in range(100):
        y = y * 0.99
    first = record(y, x=x, retain_graph=True)
    graph = first.then(record(y, x=x))
    check(graph, fold(graph))
    assert len(fold(graph).passes) == 2


def test_no_gradient_came() -> None:
    w = examples.leaf(1.0)
    y = w
    for _ in range(100):
        y = y.sin()
    x = examples.leaf(2.0)
    half = examples.Half.apply(x, y)  # type: ignore[no-untyped-call]
    graph = record(half, x=x, w=w)
    check(graph, fold(graph))


def test_a_transformer_has_a_box_for_repeated_layers() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    graph = record(model(torch.randn(1, 5, 8)).sum(), model=model)
    folded = fold(graph)
    check(graph, folded)
    assert any("×" in node.op for node in folded.nodes if node.kind == "group")


@st.composite
def programs(draw: st.DrawFn) -> Graph:
    """A random program of up to 80 operations on scalars."""
    leaves = [examples.leaf(0.5 + at / 10) for at in range(draw(st.integers(1, 5)))]
    made = list(leaves)
    for _ in range(draw(st.integers(1, 80))):
        one, two = (draw(st.sampled_from(made[-6:])) for _ in range(2))
        made.append(draw(st.sampled_from([one + two, one * two, one.sin(), one.tanh()])))
    names = {f"p{at}": leaf for at, leaf in enumerate(leaves)}
    total = torch.stack([*made[-3:], *leaves]).sum()
    return record(total, names=names)


@given(programs(), st.integers(3, 30))
@settings(max_examples=60, deadline=None)
def test_random_graphs(graph: Graph, limit: int) -> None:
    check(graph, fold(graph, limit), max(limit, 3))
