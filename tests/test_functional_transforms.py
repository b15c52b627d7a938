"""The claims of the lesson on torch.func, each against mathematics or an oracle."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import functional
from torch.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    replace_all_batch_norm_modules_,
    stack_module_state,
    vjp,
    vmap,
)

INTEGERS = st.integers(-20, 20).map(float)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def cube(x: Tensor) -> Tensor:
    return x**3


def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return (w * x - y).square()


@given(INTEGERS)
def test_grad_of_a_cube_and_grad_again(x: float) -> None:
    assert grad(cube)(number(x)) == 3 * x**2
    assert grad(grad(cube))(number(x)) == 6 * x


def test_grad_stores_nothing_and_is_seen_by_autograd_around_it() -> None:
    w = torch.tensor(2.0, requires_grad=True)
    g = grad(cube)(w)
    assert w.grad is None
    g.backward()
    assert w.grad == 6 * 2
    assert not grad(cube)(w.detach()).requires_grad


@given(INTEGERS, INTEGERS, INTEGERS)
def test_argnums_and_value(w: float, x: float, y: float) -> None:
    arguments = number(w), number(x), number(y)
    residual = w * x - y
    assert grad(loss)(*arguments) == 2 * residual * x
    assert grad(loss, argnums=(0, 1))(*arguments) == (2 * residual * x, 2 * residual * w)
    assert grad_and_value(loss)(*arguments) == (2 * residual * x, residual**2)


def test_vmap_calls_once_with_the_shape_of_one_example() -> None:
    shapes: list[tuple[int, ...]] = []

    def function(row: Tensor) -> Tensor:
        shapes.append(tuple(row.shape))
        return row.dot(row)

    rows = torch.arange(12.0).reshape(4, 3)
    assert torch.equal(vmap(function)(rows), (rows * rows).sum(1))
    assert shapes == [(3,)]


@given(st.integers(1, 6), st.integers(1, 6))
def test_vmap_over_a_dot_product_is_a_matrix_product(n: int, m: int) -> None:
    a, b = torch.randn(n, m).double(), torch.randn(m).double()
    torch.testing.assert_close(vmap(torch.dot, in_dims=(0, None))(a, b), a @ b)
    torch.testing.assert_close(vmap(torch.sum, in_dims=1)(a), a.sum(0))


def test_functional_call_leaves_the_module_alone_and_ignores_unknown_names() -> None:
    net, x = network(), torch.ones(2).double()
    before, kept = net(x), [p.clone() for p in net.parameters()]
    zeros = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    assert functional_call(net, zeros, x) == 0
    assert all(map(torch.equal, net.parameters(), kept))
    assert torch.equal(functional_call(net, {"0.wieght": zeros["0.weight"]}, x), before)
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\): '0.wieght'"):
        functional_call(net, {**zeros, "0.wieght": zeros["0.weight"]}, x, strict=True)


def per_sample(net: nn.Module, x: Tensor, y: Tensor, **options: Any) -> dict[str, Tensor]:
    def loss_of_one(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        out: Tensor = functional_call(net, params, x)
        return (out - y).square().sum()

    params = {name: p.detach() for name, p in net.named_parameters()}
    grads: dict[str, Tensor] = vmap(grad(loss_of_one), in_dims=(None, 0, 0), **options)(
        params, x, y
    )
    return grads


@pytest.mark.parametrize("chunk_size", [None, 1, 4])
def test_per_sample_gradients_are_those_of_the_loop(chunk_size: int | None) -> None:
    net, x, y = network(), torch.randn(7, 2).double(), torch.randn(7, 1).double()
    grads = per_sample(net, x, y, chunk_size=chunk_size)
    for i in range(7):
        expected = torch.autograd.grad((net(x[i]) - y[i]).square().sum(), [*net.parameters()])
        for g, e in zip(grads.values(), expected, strict=True):
            torch.testing.assert_close(g[i], e)


def test_their_mean_is_the_gradient_of_the_mean() -> None:
    net, x, y = network(), torch.randn(7, 2).double(), torch.randn(7, 1).double()
    grads = per_sample(net, x, y)
    expected = torch.autograd.grad((net(x) - y).square().mean(), [*net.parameters()])
    for g, e in zip(grads.values(), expected, strict=True):
        torch.testing.assert_close(g.mean(0), e)
        # the check can fail: the sum is another gradient
        assert not torch.allclose(g.sum(0), e)


def test_per_sample_gradients_of_a_linear_model_in_closed_form() -> None:
    net = nn.Linear(2, 1, bias=False).double()
    x, y = torch.randn(5, 2).double(), torch.randn(5, 1).double()
    expected = 2 * (net(x).detach() - y) * x
    torch.testing.assert_close(per_sample(net, x, y)["weight"][:, 0], expected)


def test_an_ensemble_is_its_models_and_its_gradients_are_theirs() -> None:
    models: list[nn.Module] = [network() for _ in range(3)]
    params, buffers = stack_module_state(models)
    assert all(p.is_leaf and p.requires_grad for p in params.values())
    base = network().to("meta")
    x = torch.randn(4, 2).double()

    def output(params: Any, buffers: Any, x: Tensor) -> Any:
        return functional_call(base, (params, buffers), x)

    outs = vmap(output, in_dims=(0, 0, None))(params, buffers, x)
    outs.square().mean(dim=(1, 2)).sum().backward()
    for i, model in enumerate(models):
        out = model(x)
        torch.testing.assert_close(outs[i], out)
        out.square().mean().backward()
        for name, p in model.named_parameters():
            stacked = params[name].grad
            assert stacked is not None
            torch.testing.assert_close(stacked[i], p.grad)


def test_a_branch_works_under_grad_and_not_under_vmap() -> None:
    def absolute(x: Tensor) -> Tensor:
        return x if x > 0 else -x

    x = torch.tensor([-2.0, 3.0])
    assert [grad(absolute)(value).item() for value in x] == [-1, 1]
    with pytest.raises(RuntimeError, match="data-dependent control flow"):
        vmap(absolute)(x)
    chosen = vmap(grad(lambda x: torch.where(x > 0, x, -x)))(x)
    assert chosen.tolist() == [-1, 1]


def use_item(x: Tensor) -> Tensor:
    return x * x.item()


def use_float(x: Tensor) -> Tensor:
    return x * float(x)


def use_range(x: Tensor) -> Tensor:
    return x * len(range(x.long()))


@pytest.mark.parametrize("function", [use_item, use_float, use_range])
def test_there_is_no_single_number_under_vmap(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError, match=r"calling .item\(\)"):
        vmap(function)(torch.ones(3))


def test_a_mask_is_refused_and_where_does_the_same() -> None:
    rows = torch.randn(5, 4)
    with pytest.raises(RuntimeError, match="boolean mask"):
        vmap(lambda row: row[row > 0].sum())(rows)
    cured = vmap(lambda row: torch.where(row > 0, row, 0).sum())(rows)
    torch.testing.assert_close(cured, torch.stack([row[row > 0].sum() for row in rows]))


def test_randomness_is_one_mask_or_many() -> None:
    dropout, ones = nn.Dropout(0.5), torch.ones(4, 64)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(dropout)(ones)
    assert len(vmap(dropout, randomness="same")(ones).unique(dim=0)) == 1
    assert len(vmap(dropout, randomness="different")(ones).unique(dim=0)) == 4


@pytest.mark.parametrize("batched", [False, True])
def test_in_place_needs_a_tensor_that_is_batched_too(batched: bool) -> None:
    def powers(x: Tensor) -> Tensor:
        out = x.new_zeros(3) if batched else torch.zeros(3)
        for i in range(3):
            out[i] = x**i
        return out

    x = torch.tensor([-2.0, 3.0])
    if batched:
        assert vmap(powers)(x).tolist() == [[1, -2, 4], [1, 3, 9]]
    else:
        with pytest.raises(RuntimeError, match="vmap: inplace arithmetic"):
            vmap(powers)(x)


def test_writing_into_a_captured_tensor_is_refused_and_has_aux_lets_it_out() -> None:
    count = torch.tensor(0.0)

    def counted(x: Tensor) -> Tensor:
        count.add_(1)
        return x**2

    with pytest.raises(RuntimeError, match="mutate a captured Tensor"):
        grad(counted)(torch.tensor(3.0))
    slope, after = grad(lambda x, n: (x**2, n + 1), has_aux=True)(torch.tensor(3.0), count)
    assert (slope.item(), after.item()) == (6, 1)


def test_batch_norm_needs_a_patch_and_group_norm_none() -> None:
    x = torch.randn(3, 4, 2)
    norm = nn.BatchNorm1d(2)
    with pytest.raises(RuntimeError, match="Batch norm got a batched tensor"):
        vmap(norm)(x)
    patched = replace_all_batch_norm_modules_(norm)
    torch.testing.assert_close(vmap(patched)(x)[1], patched(x[1]))
    group = nn.GroupNorm(1, 2)
    torch.testing.assert_close(vmap(group)(x)[1], group(x[1]))


@given(INTEGERS)
def test_autograd_grad_inside_grad_is_a_constant_without_create_graph(x: float) -> None:
    def slope_squared(x: Tensor, create_graph: bool) -> Tensor:
        (inner,) = torch.autograd.grad(x**2, x, create_graph=create_graph)
        return inner**2

    assert grad(slope_squared)(number(x), False) == 0
    assert grad(slope_squared)(number(x), True) == 8 * x
    assert grad(lambda x: grad(lambda x: x**2)(x) ** 2)(number(x)) == 8 * x


@given(st.integers(1, 8), st.floats(0.1, 100))
def test_clipping_each_example_bounds_the_mean(n: int, scale: float) -> None:
    grads = torch.randn(n, 5).double() * scale
    clipped = grads * (1 / grads.norm(dim=1, keepdim=True)).clamp(max=1)
    assert clipped.mean(0).norm() <= 1 + 1e-12


def test_two_vmaps_make_all_pairs() -> None:
    def squared_distance(p: Tensor, q: Tensor) -> Tensor:
        return (p - q).square().sum()

    a, b = torch.randn(4, 3).double(), torch.randn(5, 3).double()
    table = vmap(vmap(squared_distance, in_dims=(None, 0)), in_dims=(0, None))(a, b)
    torch.testing.assert_close(table, torch.cdist(a, b) ** 2)


WAYS: dict[str, Callable[[Tensor], Any]] = {
    "backward": lambda x: cube(x).backward(),
    "autograd.grad": lambda x: torch.autograd.grad(cube(x), x)[0],
    "func.grad": grad(cube),
    "functional.vjp": lambda x: functional.vjp(cube, x)[1],
}


@pytest.mark.parametrize(("name", "way"), WAYS.items())
def test_who_returns_who_stores_and_who_needs_requires_grad(
    name: str, way: Callable[[Tensor], Any]
) -> None:
    w, plain = torch.tensor(2.0, requires_grad=True), torch.tensor(2.0)
    result = way(w)
    assert (w.grad is None, result is None) == ((name != "backward"), (name == "backward"))
    assert (w.grad if result is None else result) == 12
    if name in ("backward", "autograd.grad"):
        with pytest.raises(RuntimeError, match="does not require grad"):
            way(plain)
    else:
        assert way(plain) == 12


def test_transforms_nest_and_the_older_interface_refuses_vmap() -> None:
    xs = torch.tensor([1.0, 2.0])
    assert vmap(jacrev(jacfwd(cube)))(xs).tolist() == vmap(hessian(cube))(xs).tolist() == [6, 12]
    one = torch.tensor(1.0)
    assert vmap(lambda x: jvp(grad(cube), (x,), (one,))[1])(xs).tolist() == [6, 12]
    assert vmap(lambda x: vjp(grad(cube), x)[1](one)[0])(xs).tolist() == [6, 12]
    with pytest.raises(RuntimeError, match=r"torch.autograd.functional.\* APIs"):
        vmap(lambda x: functional.vjp(cube, x)[1])(xs)
    w = torch.tensor(2.0, requires_grad=True)
    (second,) = torch.autograd.grad(functional.vjp(cube, w, create_graph=True)[1], w)
    assert second == 12


def test_make_functional_is_deprecated_and_functional_call_gives_the_same() -> None:
    functorch = pytest.importorskip("functorch")
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    x = torch.randn(4, 2)
    params: dict[str, Tensor] = dict(net.named_parameters())
    buffers = dict(net.named_buffers())
    with pytest.warns(FutureWarning, match="make_functional` is deprecated as of PyTorch 2.0"):
        fmodel, values = functorch.make_functional(nn.Linear(2, 3))
    assert fmodel(values, x).shape == (4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with_buffers, values, kept = functorch.make_functional_with_buffers(net)
    old, new = with_buffers(values, kept, x), functional_call(net, (params, buffers), (x,))
    assert torch.equal(old, new)


def test_the_jacobian_of_the_parameters_is_a_stack_of_backward_passes() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    params = {name: p.detach() for name, p in net.named_parameters()}
    xs = torch.randn(4, 2).double()
    of_one = jacrev(lambda params, x: functional_call(net, params, (x,)))
    jacobian = vmap(of_one, in_dims=(None, 0))(params, xs)
    for name, p in net.named_parameters():
        assert jacobian[name].shape == (4, 2, *p.shape)
        for b in range(4):
            for o in range(2):
                (row,) = torch.autograd.grad(net(xs[b])[o], p)
                torch.testing.assert_close(jacobian[name][b, o], row)
