"""The claims of the lesson on autograd's inside, against the installed sources and the engine."""

import heapq
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchgen  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._C import DispatchKey

from livecell import Runner, Settings

PACKAGED = Path(torchgen.__file__).with_name("packaged")
INCLUDE = Path(torch.__file__).with_name("include")
TABLE = (PACKAGED / "autograd/derivatives.yaml").read_text(encoding="utf-8")
ENTRIES = {text.split("(")[0]: text.split("\n\n")[0] for text in TABLE.split("\n- name: ")[1:]}


def steps(x: Any, n: int) -> Any:
    for _ in range(n):
        x = 4 * x * (1 - x)
    return x


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_three_ways_agree_with_the_chain_rule_by_hand(n: int) -> None:
    sympy = pytest.importorskip("sympy")
    at, h = 0.125, 1e-6
    by_hand, value = 1.0, at
    for _ in range(n):
        by_hand, value = by_hand * (4 - 8 * value), steps(value, 1)
    s = sympy.Symbol("s")
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(steps(x, n), x)[0].item() == by_hand
    assert float(sympy.diff(steps(s, n), s).subs(s, at)) == pytest.approx(by_hand, abs=1e-12)
    numerical = (steps(at + h, n) - steps(at - h, n)) / (2 * h)
    assert numerical == pytest.approx(by_hand, rel=1e-6)


def test_the_formula_swells_and_the_graph_grows_by_a_constant() -> None:
    sympy = pytest.importorskip("sympy")
    s, x = sympy.Symbol("s"), torch.tensor(0.125, requires_grad=True)
    formulas, graphs = [], []
    for n in range(1, 7):
        formulas.append(sympy.diff(steps(s, n), s).count_ops())
        seen, todo = set(), [steps(x, n).grad_fn]
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo += [child for child, _ in node.next_functions]
        graphs.append(len(seen))
    assert all(later > 2 * earlier for earlier, later in itertools.pairwise(formulas))
    assert graphs == [1 + 3 * n for n in range(1, 7)]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("csrc/autograd/autograd.h", "TORCH_API variable_list grad("),
        ("csrc/api/include/torch/utils.h", "using NoGradGuard ="),
        ("csrc/autograd/custom_function.h", "static auto apply("),
        ("csrc/autograd/custom_function.h", "struct TORCH_API Function {"),
    ],
)
def test_the_names_of_the_cpp_table_stand_in_the_installed_headers(header: str, name: str) -> None:
    assert name in (INCLUDE / "torch" / header).read_text(encoding="utf-8")


def tensors(node: Any) -> set[str]:
    names = [name for name in dir(node) if name.startswith("_saved_")]
    kept = [name for name in names if isinstance(getattr(node, name), Tensor)]
    return {name.removeprefix("_saved_") for name in kept}


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_the_formula_of_tanh_is_a_vector_jacobian_product(value: float, grad: float) -> None:
    assert "self: tanh_backward(grad, result)" in ENTRIES["tanh"]
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    y = x.tanh()
    (sent,) = torch.autograd.grad(y, x, torch.tensor(grad, dtype=torch.float64))
    torch.testing.assert_close(sent, grad * (1 - y.detach() ** 2))


UNARY = "acos asin atan cos cosh exp expm1 log log1p reciprocal relu rsqrt sigmoid sin sinh sqrt"


@pytest.mark.parametrize("name", [*UNARY.split(), "tan", "tanh"])
def test_a_node_keeps_the_tensors_that_its_formula_names(name: str) -> None:
    (line,) = [line for line in ENTRIES[name].split("\n") if line.startswith("  self:")]
    words = set(re.findall(r"\w+", line.removeprefix("  self:")))
    out = getattr(torch, name)(torch.tensor([0.5], requires_grad=True))
    assert tensors(out.grad_fn) == words & {"self", "result"}


def test_that_comparison_can_fail() -> None:
    """The checker can fail: a sum names its input in the formula, but only to ask for its shape."""
    assert "self.sym_sizes()" in ENTRIES["sum"]
    assert tensors(torch.ones(2, requires_grad=True).sum().grad_fn) == set()


def test_a_node_keeps_nothing_for_an_input_without_a_gradient() -> None:
    x, data = torch.ones(2, requires_grad=True), torch.ones(2)
    assert tensors((x * data).grad_fn) == {"other"}
    assert tensors((data * x).grad_fn) == {"self"}
    assert tensors((x * x.clone()).grad_fn) == {"self", "other"}


def test_entries_of_one_name_are_numbered() -> None:
    x = torch.ones(2, requires_grad=True)
    numbered = [name for name in ENTRIES if name.split(".")[0] == "mul"]
    assert numbered == ["mul.Tensor", "mul.Scalar"]
    for number, overload in enumerate(("Tensor", "Scalar")):
        other = x.detach() if overload == "Tensor" else 2
        node = getattr(torch.ops.aten.mul, overload)(x, other).grad_fn
        assert node.name() == f"MulBackward{number}"


def test_composite_operations_leave_the_nodes_of_what_they_call() -> None:
    x = torch.ones(2, requires_grad=True)
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    for name, out in ("square", x.square()), ("outer", torch.outer(x, x)):
        assert name not in ENTRIES
        assert has(f"aten::{name}", "CompositeImplicitAutograd")
        assert out.grad_fn is not None
    assert x.square().grad_fn.name() == "PowBackward0"  # type: ignore[union-attr]
    assert not has("aten::tanh", "CompositeImplicitAutograd")


def test_an_entry_may_say_that_it_has_no_formula() -> None:
    assert 'not_implemented("igamma: input")' in ENTRIES["igamma"]
    a = torch.tensor(1.0, requires_grad=True)
    out = torch.special.gammainc(a, torch.tensor(2.0))
    with pytest.raises(NotImplementedError, match="derivative for 'igamma: input' is not impl"):
        out.backward()


def test_only_inference_tensors_lack_the_autograd_key() -> None:
    def has_key(tensor: Tensor) -> bool:
        found: bool = torch._C._dispatch_keys(tensor).has(DispatchKey.AutogradCPU)
        return found

    assert has_key(torch.ones(1, requires_grad=True))
    assert has_key(torch.ones(1))
    with torch.no_grad():
        assert has_key(torch.ones(1))
    with torch.inference_mode():
        assert not has_key(torch.ones(1))


def test_below_the_key_no_node_appears_and_the_numbers_are_the_same() -> None:
    x = torch.linspace(-1, 1, 5, requires_grad=True)
    with torch._C._AutoDispatchBelowAutograd():
        below = x.tanh()
    assert below.grad_fn is None
    assert not below.requires_grad
    assert torch.equal(below, x.tanh().detach())


def run(root: Any, seed: Tensor) -> list[str]:
    """The lesson's engine, written anew."""
    waits: dict[Any, int] = {}
    found, todo = {root}, [root]
    while todo:
        for node, _ in todo.pop().next_functions:
            if node is not None:
                waits[node] = waits.get(node, 0) + 1
                if node not in found:
                    found.add(node)
                    todo.append(node)
    ties, order = itertools.count(), []
    arrived: dict[Any, dict[int, Tensor]] = {root: {0: seed}}
    queue = [(-root._sequence_nr(), next(ties), root)]
    while queue:
        node = heapq.heappop(queue)[-1]
        order.append(node.name().split("::")[-1])
        slots = arrived.pop(node)
        sent = node(*[slots.get(i) for i in range(len(node._input_metadata))])
        sent = sent if isinstance(sent, tuple) else (sent,)
        for (following, slot), grad in zip(node.next_functions, sent, strict=False):
            if following is None:
                continue
            slots = arrived.setdefault(following, {})
            if grad is not None:
                slots[slot] = slots[slot] + grad if slot in slots else grad
            waits[following] -= 1
            if waits[following] == 0:
                entry = (-following._sequence_nr(), next(ties), following)
                heapq.heappush(queue, entry)
    return order


def test_a_node_waits_for_all_its_edges() -> None:
    v = torch.tensor(0.5, requires_grad=True)
    h = v.tanh()
    out = h * h.sin()
    with torch.no_grad():
        order = run(out.grad_fn, torch.tensor(1.0))
    assert order.count("TanhBackward0") == 1
    (expected,) = torch.autograd.grad(h * h.sin(), v)
    torch.testing.assert_close(v.grad, expected)


@given(st.lists(st.sampled_from(["sin", "add", "mul", "unbind", "exp"]), min_size=1, max_size=12))
def test_the_rules_give_the_order_and_the_gradient_of_the_engine(program: list[str]) -> None:
    def build(v: Tensor) -> Tensor:
        values = [v, v * 0.5]
        for step, name in enumerate(program):
            a, b = values[-1], values[step % len(values)]
            if name == "add":
                values.append(a + b)
            elif name == "mul":
                values.append(a * b)
            elif name == "unbind":
                parts = torch.stack([a, b]).unbind()
                values.append(parts[step % 2])
            else:
                values.append(getattr(torch, name)(a * 0.1))
        return values[-1].sum() + values[1].sum()

    v = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    out = build(v)
    with torch.no_grad():
        order = run(out.grad_fn, torch.tensor(1.0, dtype=torch.float64))
    ours, v.grad = v.grad, None
    seen: list[str] = []
    out = build(v)
    handles = [node.register_prehook(note(seen, node)) for node in nodes(out.grad_fn)]
    out.backward()
    for handle in handles:
        handle.remove()
    assert seen == order
    torch.testing.assert_close(ours, v.grad)


def note(seen: list[str], node: Any) -> Any:
    name = node.name().split("::")[-1]
    return lambda *_: seen.append(name)


def nodes(root: Any) -> set[Any]:
    found, todo = {root}, [root]
    while todo:
        for node, _ in todo.pop().next_functions:
            if node is not None and node not in found:
                found.add(node)
                todo.append(node)
    return found


def test_numbers_grow_and_leaves_have_the_highest() -> None:
    v = torch.ones(1, requires_grad=True)
    a = v.sin()
    b = v.cos()
    assert a.grad_fn is not None
    assert b.grad_fn is not None
    assert a.grad_fn._sequence_nr() < b.grad_fn._sequence_nr()
    leaf: Any = a.grad_fn.next_functions[0][0]
    assert leaf._sequence_nr() == 2**64 - 1


def test_recording_the_engine_gives_a_gradient_with_a_graph() -> None:
    r = torch.tensor(3.0, requires_grad=True)
    run((r**3).grad_fn, torch.tensor(1.0))
    assert r.grad is not None
    assert r.grad == 27
    (second,) = torch.autograd.grad(r.grad, r)
    assert second == 18


def test_one_key_counts_and_the_saved_tensor_compares() -> None:
    t = torch.zeros(1)
    keys = torch._C.DispatchKeySet(DispatchKey.ADInplaceOrView)
    with torch._C._ExcludeDispatchKeyGuard(keys):
        t += 1
    assert (t.item(), t._version) == (1, 0)
    t[:].add_(1)
    assert t._version == 1
    t.data += 1
    assert t._version == 1
    y = torch.ones(1, requires_grad=True).exp()
    node: Any = y.grad_fn
    assert node._saved_result is not None
    y += 1
    with pytest.raises(RuntimeError, match="is at version 1; expected version 0"):
        _ = node._saved_result


def test_a_custom_operation_needs_its_formula() -> None:
    @torch.library.custom_op("test_how_autograd_works::cube", mutates_args=())
    def cube(u: torch.Tensor) -> torch.Tensor:
        return u * u * u

    u = torch.tensor([0.5, -2.0], dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        cube(u).sum().backward()

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    cube.register_autograd(
        lambda ctx, grad: grad * 3 * ctx.saved_tensors[0] ** 2, setup_context=setup_context
    )
    assert torch.autograd.gradcheck(cube, u)


INSTALLED = {
    "gen_autograd_functions.py": PACKAGED / "autograd",
    "gen_variable_type.py": PACKAGED / "autograd",
    "VariableTypeUtils.h": INCLUDE / "torch/csrc/autograd",
    "node.h": INCLUDE / "torch/csrc/autograd",
    "engine.h": INCLUDE / "torch/csrc/autograd",
    "accumulate_grad.h": INCLUDE / "torch/csrc/autograd/functions",
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_the_reading_list_says_to_look_for_is_there(language: str, settings: Settings) -> None:
    """Files that are not installed are checked by the headers that declare the same functions."""
    page = settings.root / "docs" / language / "how_autograd_works.md"
    rows = re.findall(r"\| (● )?\[(.+?)\]\((.+?)\) \| (.+?) \|", page.read_text(encoding="utf-8"))
    version = torch.__version__.split("+")[0]
    assert all(f"/blob/v{version}/" in link and link.endswith(name) for _, name, link, _ in rows)
    marked = {name for mark, name, _, _ in rows if mark}
    assert marked == {*INSTALLED, "derivatives.yaml"}
    for _, name, _, wanted in rows:
        if name in INSTALLED:
            text = (INSTALLED[name] / name).read_text(encoding="utf-8")
            for word in re.findall(r"`(.+?)`", wanted):
                assert word in text, (name, word)
    csrc = INCLUDE / "torch/csrc/autograd"
    for header, word in [
        ("FunctionsManual.h", "pow_backward"),
        ("engine.h", "compute_dependencies"),
        ("engine.h", "evaluate_function"),
        ("saved_variable.h", "Variable unpack("),
    ]:
        assert word in (csrc / header).read_text(encoding="utf-8")


def test_the_typed_numbers_are_those_of_the_run(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("how_autograd_works").cells}
    assert f"len(entries) = {TABLE.count(chr(10) + '- name: ')}" in cells["entry"]
    assert "slope = tensor(27.)" in cells["exercise_3"]
    assert "second = tensor(18.)" in cells["exercise_3"]
