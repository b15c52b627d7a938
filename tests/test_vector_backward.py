"""The claims of the lesson on non-scalar backward, against closed forms and torch."""

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.autograd.functional import jacobian

number = st.floats(-10, 10, allow_nan=False, width=32)
pair = st.tuples(number, number)
size = st.integers(1, 4)
untimed = settings(deadline=None, max_examples=30)


def f(x: Tensor) -> Tensor:
    y = torch.zeros(1, 2, dtype=x.dtype)
    y[0, 0] = x[0, 0] ** 2 + 3 * x[0, 1]
    y[0, 1] = x[0, 1] ** 2 + 2 * x[0, 0]
    return y


def by_hand(x: Tensor) -> Tensor:
    a, b = x.flatten().tolist()
    return torch.tensor([[2 * a, 3], [2, 2 * b]], dtype=x.dtype)


def point(values: tuple[float, ...] = (2.0, 3.0)) -> Tensor:
    return torch.tensor([values], dtype=torch.float64, requires_grad=True)


def grad_of(x: Tensor) -> Tensor:
    assert x.grad is not None
    return x.grad


@untimed
@given(pair)
def test_the_jacobian_derived_by_hand_is_right(values: tuple[float, float]) -> None:
    x = point(values)
    torch.testing.assert_close(jacobian(f, x).reshape(2, 2), by_hand(x))
    assert gradcheck(f, x)


def test_gradcheck_rejects_a_wrong_gradient() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x**2

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return 2 * grads[0]

    assert not gradcheck(Wrong.apply, point(), raise_exception=False)


@untimed
@given(pair, pair)
def test_backward_computes_the_vector_jacobian_product(
    values: tuple[float, float], weights: tuple[float, float]
) -> None:
    x, v = point(values), torch.tensor([weights], dtype=torch.float64)
    f(x).backward(v)
    torch.testing.assert_close(x.grad, v @ by_hand(x))
    (of_scalar,) = torch.autograd.grad((v * f(x)).sum(), x)
    torch.testing.assert_close(x.grad, of_scalar)


def test_only_one_element_lets_you_omit_the_argument() -> None:
    for shape in [(), (1,), (1, 1), (1, 1, 1)]:
        x = point()
        x.prod().reshape(shape).backward()
        torch.testing.assert_close(grad_of(x), torch.tensor([[3.0, 2.0]]).double())
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        f(point()).backward()


@untimed
@given(st.lists(size, max_size=3).filter(lambda shape: shape != [1, 2]))
def test_any_other_shape_is_refused_and_leaves_the_graph_whole(
    shape: list[int],
) -> None:
    x = point()
    y = f(x)
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        y.backward(torch.ones(shape).double())
    assert x.grad is None
    y.backward(torch.ones_like(y))
    torch.testing.assert_close(grad_of(x), by_hand(x).sum(0, keepdim=True))


def test_a_write_puts_y_into_the_graph() -> None:
    y = torch.zeros(1, 2)
    assert (y.is_leaf, y.requires_grad, y.grad_fn) == (True, False, None)
    y[0, 0] = torch.ones((), requires_grad=True)
    assert (y.is_leaf, y.requires_grad) == (False, True)
    assert type(y.grad_fn).__name__ == "CopySlices"


def test_the_overwritten_place_gets_zero_gradient() -> None:
    old, new = point(), torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    y = old * 1
    y[0, 0] = new
    y.backward(torch.tensor([[10.0, 7.0]]).double())
    assert grad_of(old).tolist() == [[0, 7]]
    assert grad_of(new).item() == 10


def test_index_assignment_copies_the_row() -> None:
    x, J, v = point(), torch.zeros(2, 2).double(), torch.tensor([[1.0, 0.0]]).double()
    f(x).backward(v)
    held = grad_of(x)
    J[0] = held
    held.zero_()
    assert J[0].tolist() == [4, 3]


def test_without_clearing_the_rows_add_up() -> None:
    x = point()
    y = f(x)
    for v in torch.eye(2).double().reshape(2, 1, 2):
        y.backward(v, retain_graph=True)
    torch.testing.assert_close(grad_of(x), by_hand(x).sum(0, keepdim=True))


def test_a_second_backward_adds_in_place() -> None:
    x = point()
    f(x).sum().backward()
    held = grad_of(x)
    f(x).sum().backward()
    assert x.grad is held
    assert held.tolist() == [[12, 18]]


def test_none_leaves_nothing_to_work_on() -> None:
    assert point().grad is None
    nothing: Any = None
    with pytest.raises(AttributeError):
        nothing.zero_()
    with pytest.raises(TypeError):
        torch.zeros_like(nothing)


def test_zero_grad_sets_none_by_default() -> None:
    signature = inspect.signature(torch.optim.Optimizer.zero_grad)
    assert signature.parameters["set_to_none"].default is True


def test_the_graph_is_freed_unless_retained() -> None:
    y = f(point())
    v = torch.ones_like(y)
    y.backward(v, retain_graph=True)
    y.backward(v)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward(v)


def test_copy_slices_is_freed_even_where_no_tensor_is_saved() -> None:
    x = point()
    y = torch.zeros(1, 2).double()
    y[0, 0] = x[0, 0] + x[0, 1]
    y.backward(torch.ones_like(y))
    with pytest.raises(RuntimeError, match="second time"):
        y.backward(torch.ones_like(y))


@untimed
@given(st.lists(size, max_size=2), st.lists(size, max_size=2))
def test_the_shape_is_that_of_y_followed_by_that_of_x(out: list[int], into: list[int]) -> None:
    x, y = torch.zeros(into), torch.zeros(out)
    A = torch.arange(1.0 * y.numel() * x.numel()).reshape(y.numel(), x.numel())
    for J in (
        jacobian(lambda x: (A @ x.flatten()).reshape(out), x),
        torch.func.jacrev(lambda x: (A @ x.flatten()).reshape(out))(x),
    ):
        assert list(J.shape) == out + into
        assert torch.equal(J.reshape(y.numel(), x.numel()), A)


@untimed
@given(pair)
def test_all_ways_agree(values: tuple[float, float]) -> None:
    x = point(values)
    eye = torch.eye(2).double().reshape(2, 1, 2)
    (batched,) = torch.autograd.grad(f(x), x, eye, is_grads_batched=True)
    columns = [(f(x + 1e-4 * e) - f(x - 1e-4 * e)) / 2e-4 for e in eye]
    assert x.grad is None
    for J in (
        jacobian(f, x).reshape(2, 2),
        torch.func.jacrev(f)(x).reshape(2, 2),
        torch.func.jacfwd(f)(x).reshape(2, 2),
        batched.reshape(2, 2),
        torch.cat(columns).T,
    ):
        torch.testing.assert_close(J, by_hand(x), rtol=1e-6, atol=1e-6)


@untimed
@given(size, size)
def test_the_jacobian_takes_one_pass_per_output(m: int, n: int) -> None:
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        y = x.sum() * torch.ones(m)
        y.register_hook(seen.append)
        return y

    jacobian(watched, torch.ones(n))
    assert torch.equal(torch.stack(seen), torch.eye(m))
    seen.clear()
    x = torch.ones(n, requires_grad=True)
    torch.autograd.grad(watched(x), x, torch.eye(m), is_grads_batched=True)
    assert len(seen) == 1


@untimed
@given(pair)
def test_forward_mode_gives_a_column_per_input(values: tuple[float, float]) -> None:
    x = point(values).detach()
    for j, e in enumerate(torch.eye(2).double().reshape(2, 1, 2)):
        column = torch.func.jvp(f, (x,), (e,))[1]
        torch.testing.assert_close(column.flatten(), by_hand(x)[:, j])


@untimed
@given(st.lists(number, min_size=1, max_size=5))
def test_an_elementwise_function_has_a_diagonal_jacobian(values: list[float]) -> None:
    t = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    torch.sin(t).backward(torch.ones_like(t))
    torch.testing.assert_close(jacobian(torch.sin, t), torch.cos(t).diag())
    torch.testing.assert_close(t.grad, torch.cos(t).detach())


@untimed
@given(size, size, st.integers(0, 99))
def test_a_linear_map_is_its_own_jacobian(m: int, n: int, seed: int) -> None:
    torch.manual_seed(seed)
    A, v = torch.randn(m, n).double(), torch.randn(1, m).double()
    x = torch.randn(1, n).double().requires_grad_()
    torch.testing.assert_close(jacobian(lambda x: x @ A.T, x).reshape(m, n), A)
    (x @ A.T).backward(v)
    torch.testing.assert_close(x.grad, v @ A)


@untimed
@given(st.lists(number, min_size=1, max_size=6))
def test_a_mean_has_the_gradient_of_the_sum_divided_by_n(factors: list[float]) -> None:
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    losses = w * torch.tensor(factors).double()
    (of_sum,) = torch.autograd.grad(losses.sum(), w, retain_graph=True)
    (of_mean,) = torch.autograd.grad(losses.mean(), w, retain_graph=True)
    torch.testing.assert_close(of_sum, torch.tensor(sum(factors)).double())
    torch.testing.assert_close(of_mean * len(factors), of_sum)
    v = torch.full_like(losses, 1 / len(factors))
    torch.testing.assert_close(torch.autograd.grad(losses, w, v)[0], of_mean)
