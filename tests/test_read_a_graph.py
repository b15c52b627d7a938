"""The claims of the page on reading a graph, each held by plain torch or mathematics."""

import math
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gradgraph import Graph, record

NUMBERS = st.floats(-4, 4).filter(lambda number: abs(number) > 0.01)


def leaf(*values: float) -> Tensor:
    numbers = values[0] if len(values) == 1 else values
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def node(tensor: Tensor) -> Any:
    return tensor.grad_fn


def reachable(output: Tensor) -> list[Any]:
    found: list[Any] = []
    todo = [output.grad_fn]
    while todo:
        one: Any = todo.pop()
        if one is not None and one not in found:
            found.append(one)
            todo += [target for target, _ in one.next_functions]
    return found


def order(output: Tensor) -> list[Any]:
    """The nodes in the order in which a plain pass runs them, seen by hooks of our own."""
    ran: list[Any] = []
    for one in reachable(output):
        one.register_hook(lambda *_, one=one: ran.append(one))
    output.backward()
    return ran


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor) -> Tensor:
        ctx.save_for_backward(x, gain)
        return x * gain

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        _, gain = ctx.saved_tensors
        return grad * gain, None


class Gain(Scale):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        x, gain = ctx.saved_tensors
        return grad * gain, grad * x


# Torch's annotations leave `apply` out.
scale: Any = Scale
gained: Any = Gain


# --- Boxes and arrows


def test_every_arrow_is_an_entry_of_next_functions() -> None:
    k, u, v = torch.tensor(3.0).double(), leaf(2.0), leaf(5.0)
    z = u * k - v
    graph = record(z, u=u, v=v, k=k)
    nodes = [node(z)]
    for at, one in enumerate(graph.nodes):
        edges = [edge for edge in graph.edges if edge.source == at]
        targets = [target for target, _ in nodes[at].next_functions]
        assert [edge.index for edge in edges] == list(range(len(targets)))
        for edge, target in zip(edges, targets, strict=True):
            assert (edge.target is None) == (target is None)
            if edge.target == len(nodes):  # breadth first, so the next new one
                nodes.append(target)
            assert edge.target is None or nodes[edge.target] is target
        assert nodes[at].name().endswith(one.op)
    assert [nodes[n.id].variable for n in graph.nodes if n.kind == "accumulate"] == [v, u]


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_subtraction_hands_on_the_gradient_and_its_negative(y: float, v: float, g: float) -> None:
    grad = torch.tensor(g).double()
    assert node(leaf(y) - leaf(v))(grad) == (grad, -grad)


# --- Which box runs first


@pytest.mark.parametrize("made", list(permutations(range(3))))
def test_of_the_ready_nodes_the_one_made_last_runs_first(made: tuple[int, ...]) -> None:
    a = leaf(0.5)
    functions = [torch.exp, torch.sin, torch.tanh]
    results: dict[int, Tensor] = {}
    for which in made:
        results[which] = functions[which](a)
    nodes = [node(results[which]) for which in made]
    ran = order(torch.stack([results[0], results[1], results[2]]).sum())
    assert [one for one in ran if one in nodes] == nodes[::-1]
    numbers = [one._sequence_nr() for one in nodes]
    assert numbers == sorted(numbers)


def test_accumulate_grad_does_not_queue() -> None:
    w, b = leaf(3.0), leaf(1.0)
    names = [one.name().rpartition("::")[2] for one in order(w * 2 + b)]
    assert names == ["AddBackward0", "AccumulateGrad", "MulBackward0", "AccumulateGrad"]


def test_a_node_waits_for_all_that_leads_to_it() -> None:
    a = leaf(0.5)
    s = a.exp() * a.sin()
    ran = order(s)
    place = {one: at for at, one in enumerate(ran)}
    for one in ran:
        assert all(place[target] > place[one] for target, _ in one.next_functions if target)
    assert len(ran) == len(set(ran)) == 4


# --- Where arrows meet


@given(NUMBERS)
def test_arrows_that_meet_are_added_and_the_box_runs_once(value: float) -> None:
    v = leaf(value)
    s = v * v
    t = s * s
    graph = record(t, v=v, s=s)
    assert [graph.nodes[step.node].label for step in graph.steps] == ["", "s", "v"]
    received = graph.steps[1].received[0]
    assert received is not None
    assert received.data == pytest.approx(2 * value**2)
    assert v.grad == pytest.approx(4 * value**3)
    for sent in graph.steps[0].sent:
        assert sent is not None
        assert sent.data == pytest.approx(value**2)


# --- Numbers of results


@given(st.permutations(range(3)))
def test_the_second_number_of_an_edge_is_the_output_nr(chosen: list[int]) -> None:
    x = leaf(4.0, 5.0, 6.0)
    parts = x.unbind()
    z = parts[chosen[0]] * parts[chosen[1]]
    assert [number for _, number in node(z).next_functions] == chosen[:2]
    assert [part.output_nr for part in parts] == [0, 1, 2]
    assert len({part.grad_fn for part in parts}) == 1
    graph = record(z, x=x)
    assert [edge.slot for edge in graph.edges if edge.source == 0] == chosen[:2]
    assert graph.steps[1].received[chosen[2]] is None
    assert x.grad is not None
    assert x.grad[chosen[2]] == 0


# --- Saved tensors


def test_exponential_and_sine_keep_one_tensor() -> None:
    e = leaf(0.5).exp()
    kept = node(e)._saved_result, node(e.sin())._saved_self
    assert kept[0].data_ptr() == kept[1].data_ptr() == e.data_ptr()


def test_a_node_lets_go_of_its_saved_tensors_when_it_has_run() -> None:
    a = leaf(0.5)
    e = a.exp()
    r = e.sin()
    seen = []

    def look(*_: object) -> None:
        try:
            seen.append(float(node(r)._saved_self))
        except RuntimeError as error:
            seen.append("already been freed" in str(error))

    node(r).register_hook(look)
    node(e).register_hook(look)
    r.backward()
    assert seen == [pytest.approx(math.exp(0.5)), True]


def test_the_picture_keeps_what_the_node_has_let_go_of() -> None:
    a = leaf(0.5)
    r = a.exp().sin()
    graph = record(r, a=a)
    assert graph.nodes[0].saved[0].text == f"{math.exp(0.5):.4g}"
    with pytest.raises(RuntimeError, match="already been freed"):
        _ = node(r)._saved_self


# --- Several passes


@given(NUMBERS, NUMBERS)
def test_each_pass_brings_a_row_and_grad_their_sum(one: float, other: float) -> None:
    x = leaf(one, other)
    y = x**2
    upper, lower = torch.eye(2, dtype=torch.float64)
    graphs = [
        record(y, gradient=upper, x=x, retain_graph=True),
        record(y, gradient=lower, x=x),
    ]
    rows = torch.autograd.functional.jacobian(lambda t: t**2, x.detach())
    for graph, row in zip(graphs, rows, strict=True):
        added = graph.steps[-1].received[0]
        assert added is not None
        assert added.data == row.tolist()
    torch.testing.assert_close(x.grad, rows.sum(0))
    both = graphs[0].then(graphs[1])
    assert both.steps == graphs[0].steps + graphs[1].steps
    assert both.steps[-1].before == both.steps[1].after


# --- Views and writes


@given(st.integers(0, 2))
def test_copy_slices_divides_the_gradient(place: int) -> None:
    c, d = leaf(1.0, 2.0, 3.0), leaf(9.0)
    y = c * 2
    before = y.grad_fn
    y[place] = d
    assert node(y).name().endswith("CopySlices")
    (older, _), (to_d, _) = node(y).next_functions
    assert older is before
    assert to_d.variable is d
    weights = torch.tensor([10.0, 20.0, 30.0]).double()
    (y * weights).sum().backward()
    expected = 2 * weights
    expected[place] = 0
    torch.testing.assert_close(c.grad, expected)
    assert d.grad == weights[place]


@given(st.integers(0, 3), st.integers(1, 4))
def test_the_box_of_a_slice_pads_with_zeros(start: int, length: int) -> None:
    c = leaf(1.0, 2.0, 3.0, 4.0)
    part = c[start : start + length]
    sent = node(part)(torch.ones_like(part))
    expected = torch.zeros(4).double()
    expected[start : start + length] = 1
    assert torch.equal(sent, expected)


# --- A box of one's own, and three ways to get nothing


def test_none_from_backward_runs_accumulate_grad_and_adds_nothing() -> None:
    x, gain = leaf(2.0), leaf(3.0)
    z = scale.apply(x, gain)
    ends = [target for target, _ in node(z).next_functions]
    ran = order(z)
    assert [one.variable for one in ends] == [x, gain]
    assert set(ends) < set(ran)
    assert x.grad == 3
    assert gain.grad is None


def test_three_pictures_of_no_gradient() -> None:
    x, constant, gain, elsewhere = leaf(2.0), torch.ones(()).double(), leaf(3.0), leaf(4.0)
    z = scale.apply(x, gain) * constant
    graph = record(z, x=x, gain=gain)
    assert [edge.index for edge in graph.edges if edge.target is None] == [1]
    assert graph.steps[1].sent[1] is None
    assert "elsewhere" not in {one.label for one in graph.nodes}
    with pytest.raises(ValueError, match=r"`elsewhere` .* is not in the graph"):
        record(x * gain, elsewhere=elsewhere)
    assert (constant.grad, gain.grad, elsewhere.grad) == (None, None, None)


def picture(language: str) -> str:
    x, k, gain = leaf(2.0, 5.0), torch.tensor(3.0).double(), leaf(3.0)
    first, second = x.unbind()
    graph: Graph = record(scale.apply(second * k, gain) * first, k=k, gain=gain, x=x)
    return graph.to_html(language)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["saves ", "result 1", "none", "Play", "Step", "self", "autograd.Function"]),
        ("zh", ["保存 ", "结果 1", "无", "播放", "下一步", "self"]),
    ],
)
def test_the_pictures_use_the_words_of_the_page(language: str, words: list[str]) -> None:
    html = picture(language)
    for word in words:
        assert f">{word}" in html, word


# --- Names


def name(tensor: Tensor) -> str:
    return type(tensor.grad_fn).__name__


def test_a_linear_layer_is_a_transposition_and_an_addmm() -> None:
    layer, t = torch.nn.Linear(3, 2), torch.ones(2, 3, requires_grad=True)
    out = layer(t)
    assert type(out.grad_fn) is type(torch.addmm(layer.bias, t, layer.weight.t()).grad_fn)
    (bias, _), (data, _), (weight, _) = node(out).next_functions
    assert bias.variable is layer.bias
    assert data.variable is t
    assert weight.name() == "TBackward0"
    assert weight.next_functions[0][0].variable is layer.weight


def test_the_digit_tells_variants_apart() -> None:
    t = torch.ones(2, 3, requires_grad=True)
    assert [name(t.sum()), name(t.sum(0))] == ["SumBackward0", "SumBackward1"]


def test_an_unsafe_view_is_a_view_for_gradients_and_none_for_writes() -> None:
    t = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    flat = t.T.reshape(4)
    assert name(flat) == "UnsafeViewBackward0"
    assert flat._base is None
    count = torch.arange(4.0)
    (found,) = torch.autograd.grad(flat, t, count)
    assert found.tolist() == count.reshape(2, 2).T.tolist()


# --- The exercises


def test_boxes_arrows_and_order_of_exercise_1() -> None:
    x = leaf(1.0)
    left = x.sin()
    right = x.cos()
    graph = record(left + right * x, x=x)
    assert len(graph.nodes) == 5
    assert len(graph.edges) + len(graph.roots) == 7
    (end,) = (one.id for one in graph.nodes if one.kind == "accumulate")
    assert sum(edge.target == end for edge in graph.edges) == 3
    ran = [graph.nodes[step.node].op for step in graph.steps]
    assert ran == ["AddBackward0", "MulBackward0", "CosBackward0", "SinBackward0", "AccumulateGrad"]
    assert x.grad == pytest.approx(2 * math.cos(1) - math.sin(1))


def test_item_and_a_new_tensor_are_not_recorded() -> None:
    w = leaf(3.0)
    hidden = torch.tensor((w * 2).item())
    assert (hidden.is_leaf, hidden.requires_grad) == (True, False)


def test_the_mended_function_has_the_right_gradient() -> None:
    assert torch.autograd.gradcheck(gained.apply, (leaf(2.0), leaf(3.0)))


def test_the_checker_rejects_the_broken_function() -> None:
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(scale.apply, (leaf(2.0), leaf(3.0)))
