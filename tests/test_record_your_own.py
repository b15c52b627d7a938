"""What the page on gradgraph promises to those who use it in code of their own."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import gradgraph
from gradgraph import Edge, Graph, Node, Pass, Root, Rule, record
from gradgraph.fold import fold
from gradgraph.recorder import DETAILED, FOR_RULES
from gradgraph.text import LINES
from gradgraph.values import SMALL

ROOT = Path(__file__).parents[1]
LANGUAGES = ["en", "zh"]


def page(language: str) -> str:
    return (ROOT / "docs" / language / "record_your_own.md").read_text(encoding="utf-8")


def leaf(*values: float) -> Tensor:
    return torch.tensor(values[0] if len(values) == 1 else values, requires_grad=True)


def chain(length: int) -> Graph:
    x = leaf(1.0)
    y = x
    for _ in range(length):
        y = y * 0.9 + 1
    return record(y, x=x)


# --- Install


def test_it_needs_nothing_but_torch() -> None:
    needed = set()
    for file in Path(gradgraph.__file__).parent.glob("*.py"):
        for item in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(item, ast.Import):
                needed |= {name.name.partition(".")[0] for name in item.names}
            elif isinstance(item, ast.ImportFrom):
                needed.add((item.module or "").partition(".")[0])
    assert needed - sys.stdlib_module_names == {"torch", "gradgraph"}


# --- The tables


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_has_all_arguments_and_their_defaults(language: str) -> None:
    table = r"^\| `(\w+)` \|(?: `(\w+)`)? \| [^|]* \|$"
    rows = dict(re.findall(table, page(language), re.MULTILINE))
    for name, parameter in inspect.signature(record).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        no_default = parameter.default is parameter.empty
        assert rows.pop(name) == ("" if no_default else str(parameter.default))
        assert (parameter.kind is parameter.POSITIONAL_ONLY) == no_default
    assert not rows


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_has_all_attributes_of_the_data(language: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|$", page(language), re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows["nodes"])) == {"Node", *Node._fields} - {"id"}
    assert set(re.findall(r"`(\w+)`", rows["edges"])) == {"Edge", *Edge._fields}
    assert set(re.findall(r"`(\w+)`", rows["roots"])) == set(Root.__dataclass_fields__)
    assert set(re.findall(r"`(\w+)`", rows["passes"])) == set(Pass.__dataclass_fields__)
    assert set(rows) == {"nodes", "edges", "roots", "passes", "steps"}


# --- Names and modules


def test_a_module_names_its_parameters_and_marks_its_boxes() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1, bias=False))
    x = torch.ones(1, 2)
    graph = record(net(x).sum(), net=net, x=x)
    leaves = {node.label for node in graph.nodes if node.kind == "accumulate"}
    assert leaves == {f"net.{name}" for name, _ in net.named_parameters()}
    modules = {node.op: node.module for node in graph.nodes}
    assert (modules["AddmmBackward0"], modules["MmBackward0"]) == ("net.0", "net.2")
    assert modules["TanhBackward0"] == ""
    assert "x" in {saved.label for node in graph.nodes for saved in node.saved}


def test_unused_parameters_are_passed_over_and_other_names_are_not() -> None:
    net = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    record(net[0](torch.ones(1)), net=net)
    with pytest.raises(ValueError, match="is not in the graph"):
        record(net[0](torch.ones(1)), weight=net[1].weight)


def test_any_text_can_be_a_name() -> None:
    w = leaf(1.0)
    graph = record(w * 2, names={"weight, layer 1": w})
    assert "weight, layer 1" in str(graph)


# --- The arguments of backward()


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_several_outputs_are_one_pass_as_in_torch(at: float, one: float, other: float) -> None:
    def outputs() -> tuple[list[Tensor], list[Tensor]]:
        a, b = leaf(at), leaf(3.0, 4.0)
        return [a, b], [a**2, a * b]

    weights = torch.tensor([one, other])
    recorded, tensors = outputs()
    graph = record(tensors, gradient=[None, weights])
    plain, tensors = outputs()
    torch.autograd.backward(tensors, [None, weights])
    assert len(graph.passes) == 1
    for mine, theirs in zip(recorded, plain, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.equal(mine.grad, theirs.grad)


def test_inputs_leaves_the_rest_of_the_graph_alone() -> None:
    a, b = leaf(2.0), leaf(3.0)
    graph = record(a * b.exp(), inputs=[a], a=a, b=b)
    ran = {graph.nodes[step.node].op for step in graph.steps}
    assert ran == {"MulBackward0", "AccumulateGrad"}
    assert str(graph).count("did not run") == 2
    assert b.grad is None


@given(st.floats(-3, 3))
def test_the_graph_of_a_gradient_gives_the_second_derivative(at: float) -> None:
    r = leaf(at)
    (slope,) = torch.autograd.grad(r**3, r, create_graph=True)
    record(slope, r=r)
    assert r.grad is not None
    assert r.grad.item() == pytest.approx(6 * r.item(), abs=1e-5)


def test_values_are_known_where_somebody_kept_them() -> None:
    t = leaf(0.5)
    known = {n.op: n.value for n in record((t.exp() * 2 + 1).log(), t=t, values=True).nodes}
    assert {op for op, value in known.items() if value is None} == {"MulBackward0"}
    product = t.exp() * 2
    known = {n.op: n.value for n in record(product + 1, p=product, values=True).nodes}
    value = known["MulBackward0"]
    assert value is not None
    assert value.data == pytest.approx(product.item())


# --- The recording as data


def test_a_recording_keeps_no_tensor() -> None:
    x = torch.randn(100, requires_grad=True)
    y = x * x
    graph = record(y.sum(), x=x, y=y, values=True)
    watched = [weakref.ref(x), weakref.ref(y)]
    del x, y
    assert [one() for one in watched] == [None, None]
    assert len(graph.steps) == 3


@pytest.mark.parametrize("count", [SMALL, SMALL + 1])
def test_of_many_numbers_only_the_range_is_kept(count: int) -> None:
    x = torch.arange(float(count)).requires_grad_()
    value = record(x.sum(), x=x).nodes[-1].value
    assert value is not None
    assert (value.data is None) == (count > SMALL)
    assert count <= SMALL or value.text == f"0.0 … {count - 1}.0"


def test_to_dict_is_plain_json() -> None:
    x = leaf(float("inf"), 1.0)
    data = record((x * 1j).sum().abs(), x=x).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data


# --- Rules


def test_there_is_no_rule_for_an_unknown_operation_or_large_tensors() -> None:
    def rules(output: Tensor) -> tuple[Rule | None, ...]:
        return record(output).steps[0].rules

    matrix = torch.eye(2).mul(2).requires_grad_()
    assert rules(torch.linalg.det(matrix)) == (None,)
    small, large = (torch.ones(size, requires_grad=True) for size in (2, FOR_RULES + 1))
    assert rules(small.sum())[0] is not None
    assert rules(large.sum())[0] is None


def test_the_picture_says_that_there_is_no_rule() -> None:
    graph = record(torch.linalg.det(torch.eye(2).requires_grad_()))
    assert "There is no rule for LinalgDetBackward0" in graph.to_html()
    assert "没有收录 LinalgDetBackward0" in graph.to_html("zh")


# --- Text, files, large graphs


def test_what_several_nodes_send_to_is_written_once() -> None:
    v = leaf(2.0)
    lines = str(record(v * v, v=v)).splitlines()
    ends = [line for line in lines if "AccumulateGrad (v)" in line]
    assert ["see above" in line for line in ends] == [False, True]


def test_the_tree_ends_after_its_lines() -> None:
    *kept, last = str(chain(LINES)).splitlines()
    assert len(kept) == LINES
    assert last.startswith("… cut after")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_html_is_complete_and_asks_no_other_host(language: str) -> None:
    html = chain(3).to_html(language)
    assert "<script>" in html
    assert "<style>" in html
    addresses = set(re.findall(r"https?://[^\"' )]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"(?:src|href)=|@import|url\(", html)


def test_the_svg_is_a_file_of_its_own() -> None:
    svg = ElementTree.fromstring(chain(3).to_svg())
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert svg.find("{http://www.w3.org/2000/svg}style") is not None


def test_a_large_graph_is_recorded_in_full_and_drawn_small() -> None:
    graph = chain(100)
    limit = inspect.signature(fold).parameters["limit"].default
    assert len(graph.nodes) == len(graph.steps) == 201
    assert len(fold(graph).nodes) <= limit


def test_of_a_very_large_graph_the_order_and_the_leaves_are_kept() -> None:
    graph = chain(DETAILED // 2 + 1)
    assert len(graph.steps) == len(graph.nodes) > DETAILED
    assert (graph.steps[0].received, graph.steps[0].sent) == ((), ())
    assert graph.steps[-1].after is not None


# --- Errors, and what stays as it is


def failure(act: Callable[[], object]) -> tuple[type[BaseException], str, list[str]]:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        act()
    return caught.type, str(caught.value), getattr(caught.value, "__notes__", [])


def used() -> Tensor:
    z = leaf(2.0) ** 2
    z.backward()
    return z


@pytest.mark.parametrize("make", [lambda: leaf(1.0, 2.0) * 2, used, lambda: torch.ones(())])
def test_errors_of_the_pass_are_those_of_torch_with_a_note(make: Callable[[], Tensor]) -> None:
    plain, mine = make(), make()
    error, message, _ = failure(lambda: plain.backward())
    assert failure(lambda: record(mine))[:2] == (error, message)
    (note,) = failure(lambda: record(mine))[2]
    assert "Why:" in note
    assert "What to do:" in note


@pytest.mark.parametrize("wrong", [3.0, "loss"])
def test_errors_of_its_own_say_what_to_do(wrong: object) -> None:
    w = leaf(1.0)
    for act in (lambda: record(wrong), lambda: record(w * 2, w=wrong)):  # type: ignore[arg-type]
        error, message, _ = failure(act)
        assert error is TypeError
        assert "What to do:" in message


def test_no_hook_stays() -> None:
    v = leaf(3.0)
    z = v * v
    graph = record(z, v=v, retain_graph=True)
    z.backward()
    with pytest.raises(RuntimeError, match="second time"):
        record(z)
    assert len(graph.steps) == 2
    assert v.grad == 12


# --- Limits


def test_a_recording_adds_to_grad() -> None:
    v = leaf(3.0)
    record(v * 2)
    record(v * 2)
    assert v.grad == 4


def test_what_a_saved_tensor_hook_holds_is_left_alone() -> None:
    unpacked = []

    def unpack(tensor: Tensor) -> Tensor:
        unpacked.append(tensor)
        return tensor

    v = leaf(3.0)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
        z = v.exp()
    graph = record(z, v=v)
    assert [saved.text for saved in graph.nodes[0].saved] == ["<packed>"]
    assert len(unpacked) == 1  # by the pass itself


def test_a_tensor_hook_works_between_two_nodes() -> None:
    v = leaf(3.0)
    y = v * 2
    y.register_hook(lambda grad: grad * 10)
    graph = record(y.exp().log(), v=v)
    sent = graph.steps[1].sent[0]
    received = graph.steps[2].received[0]
    assert sent is not None
    assert received is not None
    assert sent.data == pytest.approx(1.0)
    assert received.data == pytest.approx(10.0)


def test_recordings_of_two_graphs_are_not_joined() -> None:
    v = leaf(3.0)
    with pytest.raises(ValueError, match="not of the same graph"):
        record(v * 2).then(record(v.exp()))


def test_tensorboard_draws_a_trace_of_the_forward_pass() -> None:
    """The package need not be installed to read how torch makes its graph."""
    source = Path(torch.__file__).with_name("utils") / "tensorboard" / "_pytorch_graph.py"
    text = source.read_text(encoding="utf-8")
    assert "torch.jit.trace(" in text
    assert "next_functions" not in text


def test_a_recording_has_what_the_table_of_tools_says() -> None:
    net = torch.nn.Linear(2, 1)
    net(torch.ones(1, 2)).sum().backward()
    graph = record(net(torch.ones(1, 2)).exp().sum(), net=net)
    ran = [step.node for step in graph.steps]
    assert sorted(ran) == [one.id for one in graph.nodes]
    assert any(one.saved for one in graph.nodes)
    ends = [step for step in graph.steps if graph.nodes[step.node].kind == "accumulate"]
    assert {graph.nodes[step.node].label for step in ends} == {"net.weight", "net.bias"}
    for step in ends:
        assert step.before is not None
        assert step.after is not None
        assert step.before.text != step.after.text
