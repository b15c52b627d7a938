"""Recording changes nothing, and what it writes down is what a plain backward pass does."""

from __future__ import annotations

import gc
import json
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gradgraph import Graph, record
from gradgraph.recorder import DETAILED, _Recorder
from gradgraph.values import value

Program = list[tuple[str, int, int]]

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "matmul": lambda a, b: a @ b,
    "where": lambda a, b: torch.where(a > b, a, b),
    "cat": lambda a, b: torch.cat([a, b])[1:3],
    "view": lambda a, b: a.t() * b[0],
    "sin": lambda a, b: a.sin(),
    "sum": lambda a, b: a.sum() + b,
    "in place": lambda a, b: _written(a, b),
    "stop": lambda a, b: a.detach() + b,
}


def _written(a: Tensor, b: Tensor) -> Tensor:
    copy = a.clone()
    copy[0] = b[1]
    return copy.mul_(2)


steps = st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 9), st.integers(0, 9))
programs = st.lists(steps, min_size=1, max_size=10)


def run(program: Program, seed: int) -> tuple[list[Tensor], Tensor]:
    """The leaves and the output of a random program."""
    made = torch.Generator().manual_seed(seed)
    leaves = [torch.randn(2, 2, generator=made, requires_grad=at < 2) for at in range(3)]
    known = list(leaves)
    for op, one, other in program:
        known.append(BINARY[op](known[-1 - one % len(known)], known[-1 - other % len(known)]))
    return leaves, (known[-1] * leaves[0]).sum()


def grads(leaves: list[Tensor]) -> list[Tensor | None]:
    return [leaf.grad for leaf in leaves]


def same(one: list[Tensor | None], other: list[Tensor | None]) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


def failure(act: Callable[[], object]) -> tuple[type[BaseException], str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        act()
    return caught.type, str(caught.value)


def hooked(output: Tensor) -> bool:
    """Whether a later backward pass still calls the recorder."""
    with patch.object(_Recorder, "_step") as called, suppress(Exception):
        output.backward()
    return bool(called.called)


# --- Against a plain backward pass


@given(programs, st.integers(0, 5))
@settings(deadline=None)
def test_gradients_are_bitwise_those_of_a_plain_pass(program: Program, seed: int) -> None:
    plain, output = run(program, seed)
    output.backward()
    leaves, output = run(program, seed)
    record(output)
    assert same(grads(leaves), grads(plain))


@given(programs, st.integers(0, 5))
@settings(deadline=None)
def test_the_graph_holds_what_the_leaves_got(program: Program, seed: int) -> None:
    leaves, output = run(program, seed)
    graph = record(output)
    assert output.grad_fn is not None
    ends = {step.node: step.after for step in graph.steps}
    got = [ends[node.id] for node in graph.nodes if node.kind == "accumulate"]
    assert len(got) == sum(leaf.grad is not None for leaf in leaves)
    for leaf in leaves:
        assert leaf.grad is None or value(leaf.grad) in got


@given(programs, st.integers(0, 5))
@settings(deadline=None)
def test_a_node_receives_the_sum_of_what_was_sent_to_it(program: Program, seed: int) -> None:
    _, output = run(program, seed)
    graph = record(output)
    order = {step.node: at for at, step in enumerate(graph.steps)}
    assert sorted(order) == [node.id for node in graph.nodes]  # each node ran once
    step_of = {step.node: step for step in graph.steps}
    totals: dict[tuple[int, int], Tensor] = {}
    for edge in graph.edges:
        if edge.target is None:
            continue
        assert order[edge.source] < order[edge.target]
        sent = step_of[edge.source].sent[edge.index]
        if sent is not None:
            now = torch.tensor(sent.data, dtype=torch.float64)
            totals[edge.target, edge.slot] = totals.get((edge.target, edge.slot), 0) + now
    for (node, slot), total in totals.items():
        received = step_of[node].received[slot]
        assert received is not None
        torch.testing.assert_close(
            torch.tensor(received.data, dtype=torch.float64), total, rtol=1e-4, atol=1e-4
        )


@given(programs, st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_a_second_pass_fails_or_works_as_it_would_without(program: Program, seed: int) -> None:
    plain, output = run(program, seed)
    output.backward()
    try:
        output.backward()
        expected = None
    except RuntimeError as error:
        expected = str(error)
    leaves, output = run(program, seed)
    record(output)
    if expected is None:
        record(output)
    else:
        assert failure(lambda: record(output)) == (RuntimeError, expected)
    assert same(grads(leaves), grads(plain))
    assert not hooked(output)


@given(programs, st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_retain_graph_keeps_the_graph(program: Program, seed: int) -> None:
    plain, output = run(program, seed)
    for _ in range(3):
        output.backward(retain_graph=True)
    leaves, output = run(program, seed)
    for _ in range(3):
        record(output, retain_graph=True)
    assert same(grads(leaves), grads(plain))
    assert not hooked(output)


def leaf(*numbers: float) -> Tensor:
    return torch.tensor(numbers if len(numbers) > 1 else numbers[0], requires_grad=True)


def modified() -> Tensor:
    w = leaf(1.0, 2.0)
    y = w.exp()
    y += 1
    return y.sum()


def freed() -> Tensor:
    z = leaf(3.0).exp()
    z.backward()
    return z


BAD: dict[str, Callable[[], Tensor]] = {
    "no grad_fn": lambda: torch.ones(()),
    "non-scalar": lambda: leaf(1.0, 2.0) * 2,
    "freed": freed,
    "modified in place": modified,
    "integers": lambda: torch.ones((), dtype=torch.int64),
}


@pytest.mark.parametrize("name", BAD)
def test_an_error_is_the_plain_one_with_a_note_that_teaches(name: str) -> None:
    expected = failure(lambda: BAD[name]().backward())
    output = BAD[name]()
    with pytest.raises(RuntimeError) as caught:
        record(output)
    assert (caught.type, str(caught.value)) == expected
    (note,) = caught.value.__notes__
    assert "Why: " in note
    assert "What to do: " in note
    assert "    " in note


def test_an_error_of_another_kind_is_left_alone() -> None:
    z = leaf(3.0).exp()
    z.register_hook(lambda grad: torch.ones(5))
    with pytest.raises(RuntimeError) as caught:
        record(z)
    assert not getattr(caught.value, "__notes__", [])
    assert not hooked(z)


def test_a_wrong_gradient_fails_like_a_plain_pass() -> None:
    y = leaf(1.0, 2.0) * 2
    expected = failure(lambda: y.backward(torch.ones(3)))
    assert failure(lambda: record(y, gradient=torch.ones(3))) == expected
    record(y, gradient=torch.ones(2))


def test_hooks_go_when_a_hook_of_the_user_raises() -> None:
    w = leaf(1.0)
    z = w.exp().sin()

    def stop(grad: Tensor) -> None:
        raise KeyError("mine")

    z.register_hook(stop)
    assert failure(lambda: record(z)) == (KeyError, "'mine'")
    assert not hooked(z)
    assert gc.isenabled()


def test_a_hook_left_behind_would_be_noticed() -> None:
    z = leaf(3.0).exp()
    with patch("torch.utils.hooks.RemovableHandle.remove"):
        record(z, retain_graph=True)
    assert hooked(z)


def test_nothing_is_kept_alive() -> None:
    w = leaf(1.0, 2.0)
    middle = w * 2
    gone = weakref.ref(middle)
    graph = record(middle.exp().sum())
    del middle
    gc.collect()
    assert gone() is None
    assert json.dumps(graph.to_dict())


def test_saved_tensor_hooks_run_as_often_as_without() -> None:
    unpacked: list[int] = []

    def unpack(tensor: Tensor) -> Tensor:
        unpacked.append(1)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
        z = leaf(3.0).exp().sin()
    graph = record(z)
    assert len(unpacked) == 2
    assert [saved.text for node in graph.nodes for saved in node.saved] == ["<packed>"] * 2


def test_under_create_graph_the_gradients_have_the_plain_second_graph() -> None:
    w = leaf(3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a reference cycle, once per process
        record(w**3, w=w, create_graph=True)
    assert w.grad is not None
    first, w.grad = w.grad, None
    graph = record(first, w=w)
    assert w.grad == 6 * 3.0
    assert "PowBackward0" in [node.op for node in graph.nodes]


# --- What is written down


def test_names_shapes_saved_tensors_and_values() -> None:
    x, w, b = torch.tensor(2.0), leaf(3.0), leaf(1.0)
    y = w * x
    z = y + b
    graph = record(z, x=x, w=w, b=b, y=y, z=z, values=True)
    assert [(node.op, node.label, node.kind) for node in graph.nodes] == [
        ("AddBackward0", "z", "op"),
        ("MulBackward0", "y", "op"),
        ("AccumulateGrad", "b", "accumulate"),
        ("AccumulateGrad", "w", "accumulate"),
    ]
    assert [node.value.data for node in graph.nodes if node.value] == [7.0, 6.0, 1.0, 3.0]
    assert [(s.name, s.text, s.label) for s in graph.nodes[1].saved] == [
        ("other", "2.0", "x"),
        ("self", "None", ""),
    ]
    assert graph.roots[0].name == "z"
    assert [edge.target for edge in graph.edges] == [1, 2, 3, None]
    assert graph.passes[0].seeds[0].text == "1.0"
    assert [step.node for step in graph.steps] == [0, 2, 1, 3]


def test_without_values_only_leaves_have_one() -> None:
    w = leaf(3.0)
    graph = record(w.exp(), w=w)
    assert [node.value is not None for node in graph.nodes] == [False, True]


def test_values_between_come_from_what_torch_saved() -> None:
    w = leaf(3.0)
    graph = record((w * 2).exp().sin(), values=True)
    assert [node.value.text if node.value else None for node in graph.nodes] == [
        value(torch.tensor(6.0).exp().sin()).text,  # type: ignore[union-attr]
        value(torch.tensor(6.0).exp()).text,  # type: ignore[union-attr]
        None,  # the product: neither exp nor anybody else keeps it
        "3.0",
    ]


def test_grad_before_and_after() -> None:
    w = leaf(3.0)
    first = record(w * 2, w=w)
    second = record(w * 5, w=w)
    (before, after), (again, total) = (
        (graph.steps[-1].before, graph.steps[-1].after) for graph in (first, second)
    )
    assert [one.text if one else None for one in (before, after, again, total)] == [
        None,
        "2.0",
        "2.0",
        "7.0",
    ]


def test_several_outputs_and_shared_nodes() -> None:
    w = leaf(2.0)
    trunk = w.exp()
    a, b = trunk * 2, trunk * 3
    graph = record([a, b], a=a, b=b, w=w)
    assert [root.name for root in graph.roots] == ["a", "b"]
    assert [node.op for node in graph.nodes].count("ExpBackward0") == 1
    assert w.grad == pytest.approx(5 * torch.tensor(2.0).exp().item())
    graph = record([w.exp(), w.sin()], gradient=[torch.tensor(2.0), None], w=w)
    assert [seed.text for seed in graph.passes[0].seeds] == ["2.0", "1.0"]


def test_an_output_twice_and_an_output_that_leads_to_another() -> None:
    w = leaf(2.0)
    y = w * 3
    graph = record([y, y, y * 2])
    assert w.grad == 3 + 3 + 6
    assert len(graph.roots) == 3


def test_a_leaf_may_be_the_output() -> None:
    w = leaf(2.0)
    graph = record(w, w=w)
    assert w.grad == 1
    assert [node.op for node in graph.nodes] == ["AccumulateGrad"]


def test_nodes_that_get_no_gradient() -> None:
    w, u = leaf(1.0, 2.0), leaf(3.0)

    class First(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
            return a.sum() + b

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            return grads[0].expand(2), None

    graph = record(First.apply(w, u.exp()), w=w, u=u)  # type: ignore[no-untyped-call]
    assert graph.nodes[0].kind == "function"
    assert graph.nodes[0].op == "FirstBackward"
    assert graph.steps[0].sent[1] is None
    (end,) = (step for step in graph.steps if graph.nodes[step.node].label == "u")
    assert end.received in ((), (None,))
    assert end.after is None
    assert u.grad is None


def test_inputs_limit_what_runs() -> None:
    w, u = leaf(1.0), leaf(2.0)
    graph = record(w.exp() * u.sin(), inputs=[w], w=w, u=u)
    ran = {graph.nodes[step.node].op for step in graph.steps}
    assert "SinBackward0" not in ran
    assert u.grad is None
    assert w.grad is not None
    assert "did not run" in str(graph)


def test_in_place_writing_and_views() -> None:
    x = leaf(1.0, 2.0)
    y = torch.zeros(2)
    y[0] = x[1] * 3
    graph = record(y, gradient=torch.ones(2), x=x, y=y)
    assert graph.nodes[0].op == "CopySlices"
    assert graph.nodes[0].label == "y"
    assert graph.edges[0].target is None  # what y held before needs no gradient
    assert x.grad is not None
    assert x.grad.tolist() == [0, 3]


def test_a_list_of_tensors_may_be_saved() -> None:
    x = leaf(1.0, 2.0)
    graph = record(x[torch.tensor([0, 0])].sum())
    assert ("indices", "([0, 0],)") in [(s.name, s.text) for s in graph.nodes[1].saved]


def test_complex_numbers() -> None:
    z = torch.tensor(3 + 4j, requires_grad=True)
    graph = record((z * z.conj()).real, z=z)
    assert z.grad == 6 + 8j
    assert graph.steps[-1].after
    assert graph.steps[-1].after.text == "6.0+8.0j"


def test_odd_numbers_are_plain_data_too() -> None:
    w = torch.tensor([0.0, -1.0], requires_grad=True)
    graph = record(w.sqrt(), gradient=torch.ones(2), w=w)
    assert graph.steps[-1].after
    assert graph.steps[-1].after.text == "[inf, nan]"
    assert "Infinity" not in json.dumps(graph.to_dict())


def test_large_tensors_are_summed_up() -> None:
    w = torch.arange(100.0).requires_grad_()
    graph = record((w * w).sum(), w=w)
    assert graph.nodes[-1].value
    assert graph.nodes[-1].value.data is None
    assert graph.nodes[-1].value.text == "0.0 … 99.0"


def test_modules_name_their_parameters() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    plain = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    plain.load_state_dict(model.state_dict())
    batch = torch.randn(4, 2)
    plain(batch).pow(2).mean().backward()
    graph = record(model(batch).pow(2).mean(), model=model)
    labels = {node.label for node in graph.nodes if node.kind == "accumulate"}
    assert labels == {f"model.{name}" for name, _ in model.named_parameters()}
    assert same([p.grad for p in model.parameters()], [p.grad for p in plain.parameters()])
    linear = [node.module for node in graph.nodes if node.op == "AddmmBackward0"]
    assert linear == ["model.2", "model.0"]


def test_unused_parameters_may_be_named() -> None:
    model = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    record(model[0](torch.ones(1, 1)).sum(), model=model)


def test_names_by_mapping() -> None:
    w = leaf(2.0)
    assert record(w * 2, names={"values": w}).nodes[-1].label == "values"
    with pytest.raises(ValueError, match="not in the graph"):
        record(w * 2, names={"a.b": leaf(1.0)})


def test_two_passes_through_one_graph_join() -> None:
    x = leaf(1.0, 3.0)
    y = x * x
    first = record(y, gradient=torch.tensor([1.0, 0.0]), x=x, retain_graph=True)
    x.grad = None
    second = record(y, gradient=torch.tensor([0.0, 1.0]), x=x)
    both = first.then(second)
    assert len(both.passes) == 2
    assert both.steps == first.steps + second.steps
    assert "backward pass 2 of 2" in str(both)
    with pytest.raises(ValueError, match="not of the same graph"):
        first.then(record(x.exp().sum()))


def test_large_graphs_keep_order_and_leaves() -> None:
    def chain() -> tuple[Tensor, Tensor]:
        w = leaf(1.0)
        z = w
        for _ in range(DETAILED):
            z = z * 1.0001
        return w, z

    w, z = chain()
    graph = record(z, w=w)
    assert len(graph.nodes) == DETAILED + 1
    assert [step.node for step in graph.steps] == list(range(DETAILED + 1))
    plain, z = chain()
    z.backward()
    assert w.grad == plain.grad
    assert graph.steps[-1].after == value(plain.grad)


# --- Bad input


@pytest.mark.parametrize(
    ("act", "kind", "says"),
    [
        (lambda: record(3.0), TypeError, r"leave out `\.item\(\)`"),  # type: ignore[arg-type]
        (lambda: record("z"), TypeError, "needs a tensor"),  # type: ignore[arg-type]
        (lambda: record(leaf(1.0), w="w"), TypeError, "only tensors and modules"),  # type: ignore[arg-type]
        (lambda: record(leaf(1.0).exp(), u=leaf(2.0)), ValueError, "`u` .* is not in the graph"),
    ],
)
def test_bad_input_gets_an_error_that_teaches(
    act: Callable[[], Graph], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        act()
    assert "What to do: " in str(caught.value)


def test_a_wrong_name_does_nothing() -> None:
    w, u = leaf(1.0), leaf(2.0)
    z = w.exp()
    with pytest.raises(ValueError, match="`u`"):
        record(z, u=u)
    assert w.grad is None
    z.backward()


def test_an_input_that_needs_no_gradient_may_be_named() -> None:
    x, w = torch.tensor(2.0), leaf(3.0)
    assert record(w + x, x=x, w=w).nodes[0].saved[0].name == "alpha"
