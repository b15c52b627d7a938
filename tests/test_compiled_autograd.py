"""The claims of the lesson on compiled backward passes, against eager autograd and formulas."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._functorch import config
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._functorch.partitioners import default_partition, min_cut_rematerialization_partition
from torch.utils.checkpoint import checkpoint

from livecell import Runner


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Notes:
    """A backend that compiles nothing and keeps the operations of what it gets."""

    def __init__(self, cut: Any = min_cut_rematerialization_partition) -> None:
        self.order: list[str] = []
        self.operations: dict[str, list[str]] = {}
        self.cut = cut

    def take(self, name: str, program: Any) -> None:
        self.order.append(name)
        nodes = [node for node in program.graph.nodes if node.op == "call_function"]
        self.operations[name] = [str(node.target) for node in nodes]

    def compiler(self, name: str) -> Callable[..., Any]:
        def compile_it(program: Any, inputs: Any) -> Any:
            self.take(name, program)
            return make_boxed_func(program.forward)

        return compile_it

    def partition(self, joint: Any, inputs: Any, **options: Any) -> Any:
        self.take("joint", joint)
        return self.cut(joint, inputs, **options)

    def compile(self, f: Callable[..., Tensor]) -> Callable[..., Tensor]:
        backend = aot_autograd(
            fw_compiler=self.compiler("forward"),
            bw_compiler=self.compiler("backward"),
            partition_fn=self.partition,
        )
        compiled: Callable[..., Tensor] = torch.compile(f, backend=backend)
        return compiled


def loss_of(x: Tensor, w: Tensor) -> Tensor:
    return torch.tanh(x @ w).square().sum()


def chain(t: Tensor) -> Tensor:
    return t.sin().cos().sin().cos().sin()


def saved(out: Tensor) -> list[Tensor]:
    return list(out.grad_fn.saved_tensors)  # type: ignore[union-attr]


@pytest.mark.parametrize("cut", [default_partition, min_cut_rematerialization_partition])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_the_formula(cut: Any, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(3, 4, dtype=torch.float64)
    w = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(Notes(cut).compile(loss_of)(x, w), w)
    t = torch.tanh(x @ w.detach())
    torch.testing.assert_close(grad, x.T @ (2 * t * (1 - t**2)))


def test_gradcheck_accepts_a_compiled_function_and_can_refuse_one() -> None:
    """The checker can fail: it refuses a compiled function whose value is hidden from autograd."""
    t = torch.linspace(0, 1, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(torch.compile(chain, backend="aot_eager"), t)
    wrong = torch.compile(lambda t: t.detach() * t, backend="aot_eager")
    assert not torch.autograd.gradcheck(wrong, t, raise_exception=False)


def test_the_whole_pass_is_one_node_before_the_leaf() -> None:
    w = torch.ones(2, 1, requires_grad=True)
    node = torch.compile(loss_of, backend="aot_eager")(torch.ones(1, 2), w).grad_fn
    assert node is not None
    assert node.name() == "CompiledFunctionBackward"
    following = [n.name() for n, _ in node.next_functions if n is not None]
    assert following == ["torch::autograd::AccumulateGrad"]


def test_the_joint_graph_comes_first_and_the_backward_half_when_it_is_needed() -> None:
    notes = Notes()
    compiled = notes.compile(chain)
    assert notes.order == []
    out = compiled(torch.ones(3, requires_grad=True))
    assert notes.order == ["joint", "forward"]
    out.sum().backward()
    assert notes.order == ["joint", "forward", "backward"]


def test_what_forward_returns_beside_the_result_is_what_is_saved() -> None:
    t = torch.linspace(0, 1, 7, requires_grad=True)
    count = {}
    for cut in default_partition, min_cut_rematerialization_partition:
        torch._dynamo.reset()
        count[cut] = len(saved(Notes(cut).compile(chain)(t)))
    assert count == {default_partition: 5, min_cut_rematerialization_partition: 1}
    node = chain(t).grad_fn
    eager = 0
    while node is not None and hasattr(node, "_saved_self"):
        eager += 1
        node = node.next_functions[0][0]
    assert eager == 5


def test_the_four_values_are_computed_again() -> None:
    notes = Notes()
    notes.compile(chain)(torch.ones(3, requires_grad=True)).sum().backward()
    needed = [f"aten.{name}.default" for name in ("sin", "cos", "sin", "cos")]
    assert notes.operations["backward"][:4] == needed


@pytest.mark.parametrize(("budget", "products"), [(1, 7), (0, 11)])
def test_the_budget_decides_on_matrix_products(budget: float, products: int) -> None:
    """Four layers: 2 · 4 − 1 products for the gradients, and 4 more if none is kept."""
    weights = [torch.eye(16, requires_grad=True) for _ in range(4)]

    def network(h: Tensor) -> Tensor:
        for weight in weights:
            h = torch.tanh(h @ weight)
        return h.square().sum()

    notes = Notes()
    data = torch.ones(160, 16)
    with config.patch(activation_memory_budget=budget):
        loss = notes.compile(network)(data)
        size = sum(tensor.nbytes for tensor in saved(loss))
        loss.backward()
    assert sum("aten.mm" in name for name in notes.operations["backward"]) == products
    if budget == 0:
        assert size == data.nbytes + sum(weight.nbytes for weight in weights)
    grads = [weight.grad for weight in weights]
    expected = torch.autograd.grad(network(data), weights)
    torch.testing.assert_close(grads, list(expected))


def test_a_region_may_have_a_budget_of_its_own() -> None:
    def network(h: Tensor) -> Tensor:
        with torch.autograd.graph.region_activation_memory_budget(0.0):
            return chain(chain(h) @ h).square().sum()

    data = torch.ones(8, 8, requires_grad=True)
    loss = torch.compile(network, backend="aot_eager")(data)
    assert sum(tensor.nbytes for tensor in saved(loss)) == data.nbytes


def test_each_kind_of_call_has_a_program_of_its_own() -> None:
    notes = Notes()
    f = notes.compile(lambda v: (v * v).sum())

    def new(*arguments: Any, **options: Any) -> list[str]:
        notes.order.clear()
        f(torch.ones(*arguments, **options))
        return list(notes.order)

    assert new(3) == ["forward"]
    assert new(3) == []
    assert new(3, requires_grad=True) == ["joint", "forward"]
    with torch.no_grad():
        assert new(3, requires_grad=True) == ["forward"]
    assert new(3, dtype=torch.float64) == ["forward"]
    assert new(4) == ["forward"]
    assert new(5) == new(6) == []


def test_a_second_derivative_is_refused_and_can_be_taken_inside() -> None:
    v = torch.tensor(3.0, requires_grad=True)
    cube = torch.compile(lambda v: v**3, backend="aot_eager")
    (slope,) = torch.autograd.grad(cube(v), v, create_graph=True)
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        slope.backward()
    inside = torch.compile(torch.func.grad(lambda v: v**3), backend="aot_eager", fullgraph=True)
    (second,) = torch.autograd.grad(inside(v), v)
    assert second == 6 * 3


def compiled_loss() -> tuple[Callable[..., Tensor], Tensor, Tensor]:
    f: Callable[..., Tensor] = torch.compile(loss_of, backend="aot_eager")
    return f, torch.ones(2, 2), torch.full((2, 1), 0.3, requires_grad=True)


@pytest.mark.parametrize("option", ["retain_graph", "create_graph"])
@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
def test_a_program_compiled_for_one_pass_refuses_to_keep_its_tensors(option: str) -> None:
    f, x, w = compiled_loss()
    f(x, w).backward()
    loss: Any = f(x, w)
    with pytest.raises(RuntimeError, match="compiled with non-empty donated buffers"):
        loss.backward(**{option: True})


@pytest.mark.parametrize("way", ["retained first", "not donated", "sum"])
def test_ways_around_donated_buffers_give_the_same_gradient(way: str) -> None:
    f, x, w = compiled_loss()
    (once,) = torch.autograd.grad(loss_of(x, w), w)
    with config.patch(donated_buffer=way != "not donated"):
        if way != "retained first":
            f(x, w).backward()
            w.grad = None
        if way == "sum":
            (f(x, w) + f(x, w)).backward()
        else:
            loss = f(x, w)
            loss.backward(retain_graph=True)
            loss.backward()
    torch.testing.assert_close(w.grad, 2 * once)


def clipped(v: Tensor) -> Tensor:
    u = v.exp()
    if u > 5:
        u = u.sqrt()
    return u * 2


@pytest.mark.parametrize("value", [1.0, 2.0])
def test_a_branch_is_split_or_refused_and_where_is_neither(value: float) -> None:
    v = torch.tensor(value, requires_grad=True)
    (expected,) = torch.autograd.grad(clipped(v), v)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="Data-dependent branching"):
        torch.compile(clipped, backend="aot_eager", fullgraph=True)(v)
    torch._dynamo.reset()
    out = torch.compile(clipped, backend="aot_eager")(v)
    node = out.grad_fn
    assert node is not None
    assert [n.name() for n, _ in node.next_functions if n] == ["CompiledFunctionBackward"]
    (split,) = torch.autograd.grad(out, v)

    def one_piece(v: Tensor) -> Tensor:
        u = v.exp()
        return torch.where(u > 5, u.sqrt(), u) * 2

    whole = torch.compile(one_piece, backend="aot_eager", fullgraph=True)(v)
    (joined,) = torch.autograd.grad(whole, v)
    torch.testing.assert_close([split, joined], [expected, expected])


@pytest.mark.parametrize("compiled_autograd", [False, True])
def test_compiled_autograd_joins_what_a_graph_break_has_split(compiled_autograd: bool) -> None:
    """The whole backward pass, hook and AccumulateGrad included, is then one more graph."""

    def broken(v: Tensor) -> Tensor:
        h = v.exp()
        torch._dynamo.graph_break()
        return h * h

    def train(v: Tensor) -> None:
        broken(v).backward()

    graphs: list[list[str]] = []

    def backend(program: Any, inputs: Any) -> Any:
        graphs.append([node.name for node in program.graph.nodes])
        return program.forward

    v = torch.tensor(0.5, requires_grad=True)
    v.register_hook(lambda grad: grad * 10)
    with torch._dynamo.config.patch(compiled_autograd=compiled_autograd):
        torch.compile(train, backend=backend)(v)
    backward = {"mul_backward0", "exp_backward0", "accumulate_grad"}
    assert len(graphs) == 3
    assert [backward <= set(names) for names in graphs] == [False, False, compiled_autograd]
    torch.testing.assert_close(v.grad, 10 * 2 * torch.tensor(1.0).exp())


def test_checkpoint_forbids_saving_inside() -> None:
    """Three products for the gradients; with checkpoint both forward products come again."""
    first, second = (torch.eye(4, requires_grad=True) for _ in range(2))

    def layers(h: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(h @ first) @ second).sum()

    def checkpointed(h: Tensor) -> Tensor:
        out: Tensor = checkpoint(layers, h, use_reentrant=False)
        return out

    for f, products in (layers, 3), (checkpointed, 5):
        torch._dynamo.reset()
        notes = Notes()
        notes.compile(f)(torch.ones(2, 4)).backward()
        assert sum("aten.mm" in name for name in notes.operations["backward"]) == products


def test_the_typed_numbers_are_those_of_the_run(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("compiled_autograd").cells}
    assert "len(y.grad_fn.saved_tensors) = 5" in cells["chain"]
    assert "slope = tensor(27.)" in cells["grad_inside"]
    assert cells["compiled_autograd"].startswith("len(graphs) = 3")
