"""The claims of the lesson on meta-gradients, each against mathematics or an oracle."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.graph import Node
from torch.func import functional_call, grad, vmap

from livecell import Runner

RATES = st.floats(0.01, 0.2)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def loss(w: Tensor) -> Tensor:
    return 2 * w.square()


def step(w: Tensor, lr: Tensor, create_graph: bool = True, retain_graph: bool = True) -> Tensor:
    (g,) = torch.autograd.grad(loss(w), w, create_graph=create_graph, retain_graph=retain_graph)
    return w - lr * g


def unroll(w: Tensor, lr: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        w = step(w, lr)
    return w


@given(st.floats(-3, 3), RATES)
def test_the_derivatives_of_one_step(start: float, rate: float) -> None:
    w0, lr = number(start), number(rate)
    w1 = step(w0, lr)
    for_w0, for_lr = torch.autograd.grad(loss(w1), [w0, lr])
    assert for_w0.item() == pytest.approx(4 * w1.item() * (1 - 4 * rate))
    assert for_lr.item() == pytest.approx(-(4 * w1.item()) * (4 * start))


@given(st.floats(-3, 3), RATES, st.booleans())
def test_without_create_graph_only_the_start_loses_a_term(
    start: float, rate: float, retain_graph: bool
) -> None:
    w0, lr = number(start), number(rate)
    w1 = step(w0, lr, create_graph=False, retain_graph=retain_graph)
    for_w0, for_lr = torch.autograd.grad(loss(w1), [w0, lr])
    assert for_w0.item() == pytest.approx(4 * w1.item())
    assert for_lr.item() == pytest.approx(-(4 * w1.item()) * (4 * start))


def test_gradcheck_knows_the_step_with_create_graph_from_the_one_without() -> None:
    """The checker can fail: it does for the first-order step."""
    inputs = number(2.0), number(0.1)
    assert torch.autograd.gradcheck(lambda w, lr: loss(step(w, lr)), inputs)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(lambda w, lr: loss(step(w, lr, create_graph=False)), inputs)


def test_an_ordinary_step_forgets_its_rate() -> None:
    w, lr = number(2.0), number(0.125)
    optimizer = torch.optim.SGD([w], lr=lr)
    loss(w).backward()
    optimizer.step()
    assert w.is_leaf
    with pytest.raises(RuntimeError, match="at index 0 appears to not have been used"):
        torch.autograd.grad(loss(w), lr)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_differentiable_step_writes_in_place(allowed: bool) -> None:
    def run() -> tuple[Any, ...]:
        w0, lr = number(2.0), number(0.125)
        w = w0.clone()
        optimizer = torch.optim.SGD([w], lr=lr, differentiable=True)
        (w.grad,) = torch.autograd.grad(loss(w), w, create_graph=True)
        optimizer.step()
        return torch.autograd.grad(loss(w), [w0, lr])

    if allowed:
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            assert [g.item() for g in run()] == [2, -32]
    else:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            run()


@given(st.integers(1, 8), RATES)
def test_unrolled_sgd_on_a_parabola(steps: int, rate: float) -> None:
    w0, lr = number(2.0), number(rate)
    last = unroll(w0, lr, steps)
    (for_lr,) = torch.autograd.grad(loss(last), lr)
    shrink = 1 - 4 * rate
    assert last.item() == pytest.approx(2 * shrink**steps)
    expected = 4 * last.item() * (-4 * steps) * shrink ** (steps - 1) * 2
    assert for_lr.item() == pytest.approx(expected)


def nodes(tensor: Tensor) -> int:
    found: set[Node] = set()
    queue: list[Node | None] = [tensor.grad_fn]
    while queue:
        node = queue.pop()
        if node is not None and node not in found:
            found.add(node)
            queue += [following for following, _ in node.next_functions]
    return len(found)


@given(st.integers(1, 6))
def test_the_graph_grows_by_five_nodes_a_step(steps: int) -> None:
    w0, lr = number(2.0), number(0.1)
    assert nodes(unroll(w0, lr, steps)) == 2 + 5 * steps
    w = w0
    for _ in range(steps):
        w = step(w.detach().requires_grad_(), lr)
    assert nodes(w) == 7


def test_the_best_rate_for_two_curvatures_is_a_little_below_two_fifths() -> None:
    curvature = torch.tensor([1.0, 4.0], dtype=torch.float64)
    rates = torch.linspace(0.05, 0.5, 1001, dtype=torch.float64).unsqueeze(1)
    losses = (curvature * (1 - rates * curvature) ** 20).sum(1) / 2
    best = rates[losses.argmin()].item()
    assert 0.38 < best < 0.39


def test_the_hypergradient_of_a_step_is_a_dot_product() -> None:
    matrix = torch.randn(4, 4, dtype=torch.float64)

    def bowl(w: Tensor) -> Tensor:
        return (matrix @ w).cosh().sum()

    w0 = torch.randn(4, dtype=torch.float64, requires_grad=True)
    lr = number(0.01)
    (g0,) = torch.autograd.grad(bowl(w0), w0)
    w1 = w0 - lr * g0
    (g1,) = torch.autograd.grad(bowl(w1), w1, retain_graph=True)
    (for_lr,) = torch.autograd.grad(bowl(w1), lr)
    torch.testing.assert_close(for_lr, -g1 @ g0)


def test_the_gradient_of_maml_is_that_of_finite_differences() -> None:
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)
    ).double()
    names = [name for name, _ in net.named_parameters()]
    x, y = torch.randn(3, 8, 1).double(), torch.randn(3, 8, 1).double()

    def task_loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        out: Tensor = functional_call(net, params, x)
        return (out - y).square().mean()

    def outer(*values: Tensor, second_order: bool = True) -> Any:
        params = dict(zip(names, values, strict=True))

        def one_task(x: Tensor, y: Tensor) -> Tensor:
            grads = grad(task_loss)(params, x[:4], y[:4])
            if not second_order:
                grads = {name: g.detach() for name, g in grads.items()}
            adapted = {name: p - 0.1 * grads[name] for name, p in params.items()}
            return task_loss(adapted, x[4:], y[4:])

        return vmap(one_task)(x, y).mean()

    values = tuple(p.detach().clone().requires_grad_() for p in net.parameters())
    assert torch.autograd.gradcheck(outer, values)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(lambda *v: outer(*v, second_order=False), values)


@given(st.integers(0, 10_000))
def test_implicit_differentiation_equals_unrolling_and_the_solved_equation(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    weight = 0.7 * weight / torch.linalg.matrix_norm(weight, 2)
    x = torch.randn(3, generator=generator, dtype=torch.float64).requires_grad_()

    def layer(z: Tensor) -> Tensor:
        return torch.tanh(weight @ z + x)

    z = torch.zeros(3, dtype=torch.float64)
    for _ in range(100):
        z = layer(z)
    (unrolled,) = torch.autograd.grad(z.sum(), x)

    z = z.detach().requires_grad_()
    fz = layer(z)
    u = v = torch.ones(3, dtype=torch.float64)
    for _ in range(100):
        u = v + torch.autograd.grad(fz, z, u, retain_graph=True)[0]
    (implicit,) = torch.autograd.grad(fz, x, u)
    torch.testing.assert_close(implicit, unrolled)

    slope = 1 - fz.detach() ** 2
    jacobian = slope.unsqueeze(1) * weight
    solved = torch.linalg.solve((torch.eye(3) - jacobian).T, v) * slope
    torch.testing.assert_close(implicit, solved)


@given(st.floats(0.5, 9))
def test_the_square_root_needs_one_recorded_step(value: float) -> None:
    a = number(value)
    z = a.detach().sqrt().requires_grad_()
    fz = (z + a / z) / 2
    for_z, for_a = torch.autograd.grad(fz, [z, a])
    assert abs(for_z.item()) < 1e-12
    assert for_a.item() == pytest.approx(0.5 / value**0.5)


@given(st.floats(0.1, 5))
def test_the_derivative_of_ridge_regression(penalty: float) -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)

    def best(penalty: Tensor) -> Tensor:
        matrix = x.T @ x + penalty * torch.eye(2, dtype=torch.float64)
        solution: Tensor = torch.linalg.solve(matrix, x.T @ y)
        return solution

    strength = number(penalty)
    through = torch.autograd.functional.jacobian(best, strength)
    matrix = x.T @ x + penalty * torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(through, -torch.linalg.solve(matrix, best(strength)).detach())


def test_the_run_of_the_lesson_says_what_the_page_says(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("meta_gradients").cells}
    assert "for_w0 = tensor(2.)\nfor_lr = tensor(-32.)" in cells["one_step"]
    assert "for_lr = tensor(-0.6250)" in cells["unrolled"]
    assert "sizes = [7, " in cells["memory"]
    assert "MAML: before = 0.9, after one step = 0.1" in cells["maml_training"]
    assert "same = True" in cells["implicit"]
