"""The claims of the lesson on Hessians, each against mathematics or an oracle."""

import gc
import warnings
import weakref
from collections.abc import Callable
from itertools import product as every
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import functional
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp
from torch.utils.flop_counter import FlopCounterMode

from livecell import Runner

Function = Callable[[Tensor], Tensor]
Product = Callable[[Function, Tensor, Tensor], Any]
floats = st.floats(-3, 3)
pairs = st.tuples(floats, floats)


def f(x: Tensor) -> Tensor:
    return x[0] ** 3 + x[0] * x[1] ** 2


def by_hand(x: Tensor) -> Tensor:
    a, b = x
    return torch.stack([torch.stack([6 * a, 2 * b]), torch.stack([2 * b, 2 * a])])


def double(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rows(f: Function, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(leaf), leaf, create_graph=True)
    return torch.stack([torch.autograd.grad(e, leaf, retain_graph=True)[0] for e in g])


def reverse_reverse(f: Function, x: Tensor, v: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(leaf), leaf, create_graph=True)
    return torch.autograd.grad(g, leaf, v)[0]


def forward_reverse(f: Function, x: Tensor, v: Tensor) -> Any:
    return jvp(grad(f), (x,), (v,))[1]


def reverse_forward(f: Function, x: Tensor, v: Tensor) -> Any:
    return grad(lambda x: jvp(f, (x,), (v,))[1])(x)


def double_trick(f: Function, x: Tensor, v: Tensor) -> Any:
    return functional.hvp(f, x, v)[1]


def transposed(f: Function, x: Tensor, v: Tensor) -> Any:
    return functional.vhp(f, x, v)[1]


PRODUCTS: list[Product] = [
    reverse_reverse,
    forward_reverse,
    reverse_forward,
    double_trick,
    transposed,
]


def test_a_gradient_has_no_history_unless_asked() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for asked in False, True:
        (g,) = torch.autograd.grad(f(x), x, create_graph=asked)
        assert g.requires_grad is asked
    (g,) = torch.autograd.grad(f(x), x)
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        torch.autograd.grad(g[0], x)


def test_a_constant_gradient_has_none_and_the_functions_return_zeros() -> None:
    t = torch.ones(2, requires_grad=True)
    (g,) = torch.autograd.grad((3 * t).sum(), t, create_graph=True)
    assert not g.requires_grad

    def linear(t: Tensor) -> Tensor:
        return (3 * t).sum()

    point = torch.ones(2)
    for H in hessian(linear)(point), functional.hessian(linear, point), jacrev(grad(linear))(point):
        assert torch.equal(H, torch.zeros(2, 2))


@given(pairs)
def test_all_ways_give_the_hessian(at: tuple[float, ...]) -> None:
    x = double(at)
    ways = [rows(f, x), hessian(f)(x), functional.hessian(f, x), jacrev(grad(f))(x)]
    for H in [*ways, jacfwd(jacrev(f))(x), jacrev(jacrev(f))(x)]:
        torch.testing.assert_close(H, by_hand(x))


@given(pairs)
def test_the_hessian_is_the_slope_of_the_gradient(at: tuple[float, ...]) -> None:
    """Finite differences of the gradient use no second derivative."""

    def curved(x: Tensor) -> Tensor:
        return torch.tanh(x[0] * x[1]) + x[0].exp()

    x, h = double(at), 1e-5
    steps = h * torch.eye(2, dtype=torch.float64)
    columns = [(grad(curved)(x + s) - grad(curved)(x - s)) / (2 * h) for s in steps]
    H = hessian(curved)(x)
    torch.testing.assert_close(H, torch.stack(columns, 1), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(H, H.T)


def test_a_cut_in_the_gradient_is_noticed() -> None:
    """The checker can fail: a detached factor gives a Hessian that is not symmetric."""
    H = jacrev(lambda x: torch.stack([x[1].detach() * 2, 2 * x[0]]))(torch.ones(2))
    assert not torch.equal(H, H.T)


def test_who_takes_an_output_that_is_no_scalar() -> None:
    x = torch.ones(2)
    with pytest.raises(RuntimeError, match="should contain a single element"):
        functional.hessian(lambda x: x**2, x)
    assert hessian(lambda x: x**2)(x).shape == (2, 2, 2)


@given(pairs, pairs)
def test_the_quadratic_model_leaves_a_cubic_remainder(
    at: tuple[float, ...], to: tuple[float, ...]
) -> None:
    x, v = double(at), double(to)
    g, H = grad(f)(x), hessian(f)(x)
    for h in 0.5, 0.25:
        rest = f(x + h * v) - f(x) - h * g @ v - h**2 / 2 * v @ H @ v
        torch.testing.assert_close(rest, h**3 * f(v))


@given(pairs, st.floats(0, 6.3))
def test_the_eigenvalues_bound_the_curvature(at: tuple[float, ...], angle: float) -> None:
    H = by_hand(double(at))
    v = double((angle,))
    v = torch.cat([v.cos(), v.sin()])
    low, high = torch.linalg.eigvalsh(H)
    assert low - 1e-9 <= v @ H @ v <= high + 1e-9


@pytest.mark.parametrize("product", PRODUCTS)
@given(at=pairs, to=pairs)
def test_products_equal_the_matrix_times_the_vector(
    product: Product, at: tuple[float, ...], to: tuple[float, ...]
) -> None:
    x, v = double(at), double(to)
    torch.testing.assert_close(product(f, x, v), by_hand(x) @ v)


def flops(run: Callable[..., object], *args: object) -> int:
    with FlopCounterMode(display=False) as counter:
        run(*args)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("n", [16, 64])
def test_what_products_cost_does_not_depend_on_the_size(n: int) -> None:
    A, B = torch.rand(n, n) / n, torch.rand(n, n) / n

    def network(x: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(x @ A) @ B).square().sum()

    x, v = torch.rand(1, n), torch.rand(1, n)
    once = flops(network, x)
    costs = [flops(product, network, x, v) / once for product in PRODUCTS]
    assert costs == [4, 6, 5.5, 6, 4]
    assert flops(grad(network), x) == 2 * once
    assert flops(hessian(network), x) == (2 * n + 4) * once


@pytest.mark.parametrize(
    ("flag", "second_pass", "has_graph"),
    [(None, False, False), ("retain_graph", True, False), ("create_graph", True, True)],
)
def test_only_create_graph_gives_the_gradient_a_graph(
    flag: str | None, second_pass: bool, has_graph: bool
) -> None:
    w = torch.tensor(2.0, requires_grad=True)
    cube = w**3
    retain = True if flag == "retain_graph" else None
    (slope,) = torch.autograd.grad(
        cube, w, retain_graph=retain, create_graph=flag == "create_graph"
    )
    assert (slope.grad_fn is not None) is has_graph
    if second_pass:
        assert torch.autograd.grad(cube, w)[0] == 12
    else:
        with pytest.raises(RuntimeError, match="a second time"):
            torch.autograd.grad(cube, w)


def test_retaining_alone_loses_the_second_derivative_without_an_error() -> None:
    """One step of training by hand, and the loss after it: first order only."""
    outer = {}
    for create in False, True:
        w = torch.tensor(2.0, requires_grad=True)
        (g,) = torch.autograd.grad(2 * w**2, w, retain_graph=True, create_graph=create)
        (outer[create],) = torch.autograd.grad(2 * (w - 0.1 * g) ** 2, w)
    stepped = 4 * (2 - 0.1 * 8)
    assert outer[False].item() == pytest.approx(stepped)
    assert outer[True].item() == pytest.approx(stepped * (1 - 0.1 * 4))


class Fit:
    """A small network, the loss of its parameters, and the same of one long vector."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)
        ).double()
        self.x, self.y = torch.randn(4, 2).double(), torch.randn(4, 1).double()
        self.params = {name: p.detach() for name, p in self.net.named_parameters()}

    def loss(self, params: dict[str, Tensor]) -> Any:
        return (functional_call(self.net, params, (self.x,)) - self.y).square().mean()

    def of_flat(self, flat: Tensor) -> Any:
        pieces = flat.split([p.numel() for p in self.params.values()])
        named = zip(self.params.items(), pieces, strict=True)
        return self.loss({name: piece.view_as(p) for (name, p), piece in named})

    def flat(self) -> Tensor:
        return torch.cat([p.flatten() for p in self.params.values()])


def test_the_hessian_of_a_network_in_blocks_in_one_matrix_and_in_products() -> None:
    fit = Fit()
    blocks = hessian(fit.loss)(fit.params)
    matrix = hessian(fit.of_flat)(fit.flat())
    rows = []
    for a, p in fit.params.items():
        for b, q in fit.params.items():
            assert blocks[a][b].shape == p.shape + q.shape
        row = [blocks[a][b].reshape(p.numel(), q.numel()) for b, q in fit.params.items()]
        rows.append(torch.cat(row, 1))
    torch.testing.assert_close(torch.cat(rows), matrix)
    torch.testing.assert_close(matrix, matrix.T)
    h = 1e-5
    steps = h * torch.eye(len(matrix)).double()
    slope, at = grad(fit.of_flat), fit.flat()
    columns = [(slope(at + s) - slope(at - s)) / (2 * h) for s in steps]
    torch.testing.assert_close(matrix, torch.stack(columns, 1), atol=1e-8, rtol=1e-5)

    weights = list(fit.net.parameters())
    value = (fit.net(fit.x) - fit.y).square().mean()
    slopes = torch.autograd.grad(value, weights, create_graph=True)
    along = [torch.randn_like(w) for w in weights]
    moved = torch.autograd.grad(slopes, weights, along)
    expected = matrix @ torch.cat([a.flatten() for a in along])
    torch.testing.assert_close(torch.cat([m.flatten() for m in moved]), expected)


def test_a_function_that_ignores_its_arguments_has_a_hessian_of_zeros() -> None:
    fit = Fit()

    def ignores(*params: Tensor) -> Any:
        return (fit.net(fit.x) - fit.y).square().mean()

    weights = tuple(fit.net.parameters())
    assert not any(b.any() for row in functional.hessian(ignores, weights) for b in row)
    with pytest.raises(RuntimeError, match="independent of the input"):
        functional.hessian(ignores, weights, strict=True)
    assert hessian(fit.of_flat)(fit.flat()).any()


def test_the_diagonal_takes_a_product_per_entry_and_the_mean_over_signs_is_the_trace() -> None:
    fit = Fit()
    at = fit.flat()
    matrix = hessian(fit.of_flat)(at)
    diagonal = [e @ forward_reverse(fit.of_flat, at, e) for e in torch.eye(len(at)).double()]
    torch.testing.assert_close(torch.stack(diagonal), matrix.diagonal())
    H = by_hand(double((1.0, 2.0)))
    samples = [z @ H @ z for z in map(double, every((-1.0, 1.0), repeat=2))]
    assert torch.stack(samples).mean() == H.trace()
    assert any(sample != H.trace() for sample in samples)


def residuals(p: Tensor) -> Tensor:
    return torch.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]])


def loss(p: Tensor) -> Tensor:
    return residuals(p).square().sum() / 2


def newton(p: Tensor) -> Tensor:
    step: Tensor = torch.linalg.solve(hessian(loss)(p), grad(loss)(p))
    return p - step


def gauss_newton(p: Tensor) -> Tensor:
    J = jacrev(residuals)(p)
    step: Tensor = torch.linalg.solve(J.T @ J, J.T @ residuals(p))
    return p - step


@given(pairs)
def test_newton_goes_to_where_the_model_is_flat(at: tuple[float, ...]) -> None:
    p = double(at)
    H = hessian(loss)(p)
    assume(torch.linalg.cond(H) < 1e6)
    slope_of_model = grad(loss)(p) + H @ (newton(p) - p)
    torch.testing.assert_close(slope_of_model, torch.zeros(2).double(), atol=1e-5, rtol=0)


def test_newton_may_go_up_but_arrives_in_six_steps() -> None:
    path = [double((-1.2, 1.0))]
    for _ in range(6):
        path.append(newton(path[-1]))
    losses = [loss(p).item() for p in path]
    assert losses != sorted(losses, reverse=True)
    assert losses[5] > 1e-12 >= losses[6]


@given(pairs)
def test_gauss_newton_needs_two_steps_from_anywhere(at: tuple[float, ...]) -> None:
    end = gauss_newton(gauss_newton(double(at)))
    torch.testing.assert_close(end, torch.ones(2).double(), atol=1e-6, rtol=0)


@given(pairs)
def test_the_hessian_of_a_sum_of_squares_has_two_parts(at: tuple[float, ...]) -> None:
    p = double(at)
    J, r = jacrev(residuals)(p), residuals(p)
    second = torch.einsum("i,ijk->jk", r, hessian(residuals)(p))
    torch.testing.assert_close(hessian(loss)(p), J.T @ J + second)
    expected = torch.zeros(2, 2).double()
    expected[0, 0] = -20 * r[0]
    torch.testing.assert_close(second, expected)
    assert torch.linalg.eigvalsh(J.T @ J).min() >= -1e-9


@given(st.floats(0.01, 0.4))
def test_newton_looks_for_a_maximum_where_the_curvature_is_negative(at: float) -> None:
    def wave(x: Tensor) -> Tensor:
        return x**4 - x**2

    x = double((at,))[0]
    slope, bend = grad(wave)(x), grad(grad(wave))(x)
    assume(bend < -0.5)
    assert wave(x - slope / bend) > wave(x) or at > 0.3
    assert wave(x - slope / (bend + 4)) < wave(x)


def left_over(way: str) -> bool:
    """Whether a weight outlives its model."""
    model = torch.nn.Linear(3, 3)
    out = model(torch.ones(1, 3)).square().sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if way == "grad":
            torch.autograd.grad(out, list(model.parameters()), create_graph=True)
        else:
            out.backward(create_graph=way != "plain")
    if way == "cleared":
        model.zero_grad()
    weight = weakref.ref(model.weight)
    del model, out
    gc.collect()
    return weight() is not None


@pytest.mark.parametrize(
    ("way", "leaks"),
    [("create_graph", True), ("cleared", False), ("grad", False), ("plain", False)],
)
def test_what_leaks_and_what_does_not(way: str, leaks: bool) -> None:
    assert left_over(way) is leaks


def test_third_derivative_and_conjugate_gradients() -> None:
    third = grad(grad(grad(lambda a, b: f(torch.stack([a, b])))))
    assert third(torch.tensor(0.3), torch.tensor(-2.0)) == 6
    p = double((-1.2, 1.0))
    assert torch.linalg.eigvalsh(hessian(loss)(p)).min() > 0
    s, rest = torch.zeros(2).double(), grad(loss)(p)
    along = rest
    for _ in range(2):
        image = forward_reverse(loss, p, along)
        length = (rest @ rest) / (along @ image)
        s, new = s + length * along, rest - length * image
        along, rest = new + (new @ new) / (rest @ rest) * along, new
    torch.testing.assert_close(p - s, newton(p))


def test_relus_are_flat_and_their_square_is_not() -> None:
    W = torch.tensor([[1.0, -2.0], [3.0, 1.0]], dtype=torch.float64)

    def kinked(x: Tensor) -> Tensor:
        return torch.relu(W @ x).sum()

    x = double((1.0, 2.0))
    assert not hessian(kinked)(x).any()
    g = grad(kinked)(x)
    torch.testing.assert_close(hessian(lambda x: kinked(x) ** 2)(x), 2 * torch.outer(g, g))
    in_weights = hessian(lambda w: torch.relu(w[0] * torch.relu(w[1])))(double((1.0, 1.0)))
    assert in_weights.tolist() == [[0, 1], [1, 0]]


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    """The questions and some wrong choices quote other runs of the page."""
    cells = {cell.name: cell.text() for cell in runner.result("hessians").cells}
    assert "gradient = 2.0" in cells["counter"]
    assert "full = 132.0" in cells["counter"]
    assert "newton: steps = 6" in cells["valley"]
    assert "alive = 0" in cells["trap_cured"]
    assert "alive = 0" in cells["trap_avoided"]
