"""The claims of the lesson on VJP and JVP, each against mathematics or an oracle."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as fwAD
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import functional
from torch.autograd.graph import saved_tensors_hooks
from torch.func import jacfwd, jacrev, jvp, linearize, vjp
from torch.utils.flop_counter import FlopCounterMode

from livecell import Runner

floats = st.floats(-3, 3, width=32)
pairs = st.tuples(floats, floats)
triples = st.tuples(floats, floats, floats)


def f(x: Tensor) -> Tensor:
    return torch.stack([x[0] * x[1], x[0] ** 2, 3 * x[1]])


def by_hand(x: Tensor) -> Tensor:
    zero, three = torch.zeros_like(x[0]), torch.full_like(x[0], 3)
    rows = [x[1], x[0]], [2 * x[0], zero], [zero, three]
    return torch.stack([torch.stack(row) for row in rows])


def double(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def central(x: Tensor, u: Tensor, h: float = 1e-4) -> Tensor:
    return (f(x + h * u) - f(x - h * u)) / (2 * h)


def by_two_passes(function: Callable[[Tensor], Tensor], x: Tensor, u: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    dummy = torch.zeros_like(y, requires_grad=True)
    (g,) = torch.autograd.grad(y, leaf, dummy, create_graph=True)
    return torch.autograd.grad(g, dummy, u)[0]


@given(pairs, pairs)
def test_the_remainder_is_quadratic_in_the_step(
    at: tuple[float, ...], to: tuple[float, ...]
) -> None:
    x, u = double(at), double(to)
    for h in 0.5, 0.25:
        rest = f(x + h * u) - f(x) - h * by_hand(x) @ u
        expected = h**2 * torch.stack([u[0] * u[1], u[0] ** 2, torch.zeros_like(u[0])])
        torch.testing.assert_close(rest, expected)


@given(pairs, pairs)
def test_five_ways_to_a_jvp_agree(at: tuple[float, ...], to: tuple[float, ...]) -> None:
    x, u = double(at), double(to)
    expected = by_hand(x) @ u
    with fwAD.dual_level():
        dual = fwAD.unpack_dual(f(fwAD.make_dual(x, u))).tangent
    ways = [
        jvp(f, (x,), (u,))[1],
        dual,
        by_two_passes(f, x, u),
        functional.jvp(f, x, u)[1],
        central(x, u),
    ]
    for way in ways:
        torch.testing.assert_close(way, expected, atol=1e-6, rtol=1e-6)


@given(pairs, triples)
def test_three_ways_to_a_vjp_agree(at: tuple[float, ...], weights: tuple[float, ...]) -> None:
    x, v = double(at), double(weights)
    expected = v @ by_hand(x)
    leaf = x.clone().requires_grad_()
    f(leaf).backward(v)
    _, pull = vjp(f, x)  # type: ignore[misc]
    for way in pull(v)[0], pull(v)[0], leaf.grad, functional.vjp(f, x, v)[1]:
        torch.testing.assert_close(way, expected)


@given(pairs, pairs, triples)
def test_the_two_products_are_adjoint(
    at: tuple[float, ...], to: tuple[float, ...], weights: tuple[float, ...]
) -> None:
    x, u, v = double(at), double(to), double(weights)
    torch.testing.assert_close(v @ jvp(f, (x,), (u,))[1], vjp(f, x)[1](v)[0] @ u)


def test_a_wrong_derivative_does_not_pass_the_adjoint_test() -> None:
    """The checker can fail: a backward that is off by a factor is found."""

    class Wrong(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x**3

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x**2 * grad

        @staticmethod
        def jvp(ctx: Any, tangent: Tensor) -> Any:
            (x,) = ctx.saved_tensors
            return 3 * x**2 * tangent

    x, u, v = double((1.0, 2.0)), double((1.0, 1.0)), double((1.0, 1.0))
    forward = v @ jvp(Wrong.apply, (x,), (u,))[1]
    backward = vjp(Wrong.apply, x)[1](v)[0] @ u
    assert forward == 15
    assert backward == 10


@given(floats, floats, floats, floats)
def test_dual_numbers_obey_the_product_rule(a: float, da: float, b: float, db: float) -> None:
    with fwAD.dual_level():
        first = fwAD.make_dual(double((a,)), double((da,)))
        second = fwAD.make_dual(double((b,)), double((db,)))
        tangent = fwAD.unpack_dual(first * second).tangent
    torch.testing.assert_close(tangent, double((da * b + a * db,)))


def test_tangents_end_with_their_level_and_with_detach() -> None:
    x = torch.ones(2)
    with fwAD.dual_level():
        result = f(fwAD.make_dual(x, x))
        assert fwAD.unpack_dual(result).tangent is not None
        assert fwAD.unpack_dual(result.detach()).tangent is None
    assert fwAD.unpack_dual(result).tangent is None
    with pytest.raises(RuntimeError, match="no level exists"):
        fwAD.make_dual(x, x)


def test_no_grad_does_not_stop_tangents() -> None:
    x = torch.ones(2)
    with torch.no_grad():
        assert jvp(f, (x,), (x,))[1].tolist() == [2, 2, 3]


@pytest.mark.parametrize("depth", [1, 6, 40])
def test_forward_mode_saves_nothing(depth: int) -> None:
    saved: list[object] = []

    def chain(x: Tensor) -> None:
        with saved_tensors_hooks(saved.append, lambda t: t):
            for _ in range(depth):
                x = torch.tanh(x)

    chain(torch.ones(3, requires_grad=True))
    assert len(saved) == depth
    saved.clear()
    with fwAD.dual_level():
        chain(fwAD.make_dual(torch.ones(3), torch.ones(3)))
    assert not saved


def test_two_passes_give_a_jvp_where_forward_mode_has_no_rule() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    x, u = torch.tensor([2.0, 3.0]), torch.tensor([1.0, 10.0])
    with fwAD.dual_level(), pytest.raises(NotImplementedError, match="must implement the jvp"):
        Square.apply(fwAD.make_dual(x, u))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(by_two_passes(Square.apply, x, u), 2 * x * u)


def test_cdist_has_no_rule() -> None:
    x = torch.ones(1, 2)
    with pytest.raises(NotImplementedError, match="forward AD with _cdist_forward"):
        jvp(torch.cdist, (x, 0 * x), (x, x))


def flops(run: Callable[..., object], *args: object) -> int:
    with FlopCounterMode(display=False) as counter:
        run(*args)
    return int(counter.get_total_flops())


def network(n: int, m: int) -> Callable[[Tensor], Tensor]:
    A, B = torch.ones(n, 16) / n, torch.ones(16, m) / 16
    return lambda x: torch.tanh(x @ A) @ B


@pytest.mark.parametrize(("n", "m"), [(1, 1), (64, 1), (1, 64), (5, 7)])
def test_what_products_and_jacobians_cost(n: int, m: int) -> None:
    g, p = network(n, m), torch.zeros(1, n)
    once = flops(g, p)
    assert once == 2 * 16 * (n + m)
    assert flops(lambda: vjp(g, p)[1](torch.ones(1, m))) == 2 * once
    assert flops(lambda: jvp(g, (p,), (torch.ones(1, n),))) == 3 * once
    assert flops(jacrev(g), p) == (1 + m) * once
    assert flops(jacfwd(g), p) == (2 + n) * once
    torch.testing.assert_close(jacrev(g)(p), jacfwd(g)(p))


def test_the_third_product_is_one_with_zeros() -> None:
    """With a single product, a JVP is x @ A, dx @ A, and x @ 0."""
    A, x = torch.rand(8, 4), torch.rand(1, 8)
    assert flops(lambda: jvp(lambda x: x @ A, (x,), (x,))) == 3 * flops(lambda: x @ A)
    torch.testing.assert_close(jvp(lambda x: x @ A, (x,), (x,))[1], x @ A)


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")
def test_linearize_pays_the_constant_part_once() -> None:
    calls: list[None] = []
    A, B = torch.rand(8, 16), torch.rand(16, 4)

    def g(x: Tensor) -> Tensor:
        calls.append(None)
        return torch.tanh(x @ A) @ B

    p, u = torch.rand(1, 8), torch.rand(1, 8)
    _, push = linearize(g, p)
    assert len(calls) == 2
    torch.testing.assert_close(push(u), jvp(g, (p,), (u,))[1])
    calls.clear()
    assert flops(push, u) == flops(lambda: torch.tanh(p @ A) @ B)
    assert not calls
    with pytest.raises(RuntimeError, match="data-dependent control flow"):
        linearize(lambda x: x if x.sum() > 0 else 2 * x, p)


@given(triples)
def test_the_value_of_the_dummy_does_not_matter(start: tuple[float, ...]) -> None:
    dummy = double(start).requires_grad_()
    leaf = double((2.0, 3.0)).requires_grad_()
    (g,) = torch.autograd.grad(f(leaf), leaf, dummy, create_graph=True)
    (Ju,) = torch.autograd.grad(g, dummy, double((1.0, 10.0)))
    assert Ju.tolist() == [23, 4, 30]


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    """A wrong choice quotes another run of the page, or a sum that the page names."""
    cells = {cell.name: cell.text() for cell in runner.result("vjp_and_jvp").cells}
    assert "cotangent = tensor([ 43., 302.])" in cells["pull"]
    x, u = torch.tensor([2.0, 3.0]), torch.tensor([1.0, 10.0])
    assert (f(x) + by_hand(x) @ u).tolist() == [29, 8, 39]
    ratio = cells["linearize"].split("once = ")[1]
    assert math.isclose(float(ratio), 1.0)
