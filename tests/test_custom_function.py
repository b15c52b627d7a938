"""The claims of the lesson on custom Functions, each against mathematics or an oracle."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import Function, gradcheck, gradgradcheck
from torch.autograd.function import once_differentiable

from livecell import Runner


def cube_root(x: Tensor) -> Tensor:
    return torch.from_numpy(np.cbrt(x.detach().numpy()))


class Cbrt(Function):
    """The right one; the others below each do one thing differently."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return cube_root(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return grad / (3 * y**2)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return tangent / (3 * y**2)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor) -> Any:
        return apply(Cbrt, x), in_dims[0]


class Wrong(Cbrt):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return 100 * grad


class Cached(Cbrt):
    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(1 / (3 * output**2))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (slope,) = ctx.saved_tensors
        return grad * slope


class Once(Cached):
    backward: Any = staticmethod(once_differentiable(Cached.backward))


class Attribute(Cbrt):
    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.y = output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad / (3 * ctx.y**2)


def apply(function: type[Function], *args: Any) -> Any:
    return function.apply(*args)


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


numbers = st.floats(0.1, 100) | st.floats(-100, -0.1)


@given(numbers)
def test_the_gradient_is_that_of_the_formula(number: float) -> None:
    x = leaf(number)
    (grad,) = torch.autograd.grad(apply(Cbrt, x), x)
    torch.testing.assert_close(grad, x.detach().abs() ** (-2 / 3) / 3)


def test_every_rule_passes_gradcheck_and_a_wrong_one_does_not() -> None:
    """The checker can fail."""
    x = leaf(-8, 0.5, 2)
    every = {"check_forward_ad": True, "check_batched_grad": True}
    assert gradcheck(lambda x: apply(Cbrt, x), x, **every)
    assert gradgradcheck(lambda x: apply(Cbrt, x), x)
    assert not gradcheck(lambda x: apply(Wrong, x), x, raise_exception=False)
    assert gradcheck(lambda x: apply(Cached, x), x)
    assert not gradgradcheck(lambda x: apply(Cached, x) ** 2, x, raise_exception=False)


def test_a_wrong_value_is_believed_and_a_wrong_shape_is_not() -> None:
    class Long(Cbrt):
        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return torch.ones(3)

    x = leaf(1, 8)
    assert torch.autograd.grad(apply(Wrong, x).sum(), x)[0].tolist() == [100, 100]
    with pytest.raises(RuntimeError, match="returned an invalid gradient at index 0"):
        apply(Long, x).sum().backward()


@pytest.mark.parametrize("needed", [(True, False), (False, True), (True, True)])
def test_needs_input_grad_says_which_gradients_are_wanted(needed: tuple[bool, bool]) -> None:
    seen = []

    class Product(Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor, b: Tensor, scale: float) -> Tensor:
            ctx.save_for_backward(a, b)
            ctx.scale = scale
            return scale * a * b

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            a, b = ctx.saved_tensors
            seen.append(ctx.needs_input_grad)
            wanted = ctx.needs_input_grad
            return (
                ctx.scale * grad * b if wanted[0] else None,
                ctx.scale * grad * a if wanted[1] else None,
                None,
            )

    class TooFew(Product):
        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return Product.backward(ctx, grad)[:2]

    a, b = (torch.tensor(v, requires_grad=n) for v, n in zip((2.0, 3.0), needed, strict=True))
    apply(Product, a, b, 10).backward()
    assert seen == [(*needed, False)]
    assert a.grad == (30 if needed[0] else None)
    assert b.grad == (20 if needed[1] else None)
    with pytest.raises(RuntimeError, match=r"incorrect number of gradients \(expected 3, got 2\)"):
        apply(TooFew, a, b, 10).backward()


def test_a_saved_tensor_is_watched_and_an_attribute_is_not() -> None:
    x = leaf(1)
    y = apply(Cbrt, x)
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    y = apply(Attribute, x)
    y += 1
    y.backward()
    torch.testing.assert_close(x.grad, torch.tensor([1 / 12], dtype=torch.float64))


@pytest.mark.parametrize("function", [Cbrt, Attribute])
def test_an_output_kept_as_an_attribute_waits_for_the_garbage_collector(
    function: type[Function],
) -> None:
    gc.disable()
    try:
        y = apply(function, leaf(1))
        alive = weakref.ref(y)
        del y
        assert (alive() is not None) == (function is Attribute)
    finally:
        gc.enable()
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("materialize", [True, False])
def test_what_an_unused_output_gets(materialize: bool) -> None:
    received: list[Any] = []

    class Two(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            ctx.set_materialize_grads(materialize)
            whole = x.trunc()
            ctx.mark_non_differentiable(whole)
            return 2 * x, 3 * x, whole, whole.long()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            received.extend(grads)
            return 2 * grads[0]

    x = leaf(1.5, 2)
    double, triple, whole, integer = apply(Two, x)
    assert double.requires_grad
    assert triple.requires_grad
    assert not whole.requires_grad
    assert not integer.requires_grad
    double.sum().backward()
    assert received[0].tolist() == [1, 1]
    if materialize:
        assert all(grad.tolist() == [0, 0] for grad in received[1:])
    else:
        assert received[1:] == [None, None, None]
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("mark", [True, False])
def test_mark_dirty_counts_a_write_that_nobody_sees(mark: bool) -> None:
    class InPlace(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            memory = x.detach().numpy()
            np.cbrt(memory, out=memory)
            if mark:
                ctx.mark_dirty(x)
            ctx.save_for_backward(x)
            return x

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            (y,) = ctx.saved_tensors
            return grad / (3 * y**2)

    w = leaf(8)
    h = 1 * w
    z = h * h
    y = apply(InPlace, h)
    assert (y is h) == mark
    assert h._version == int(mark)
    (grad,) = torch.autograd.grad(y, w, retain_graph=True)
    torch.testing.assert_close(grad, torch.tensor([1 / 12], dtype=torch.float64))
    if mark:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.backward()
    else:
        z.backward()
        assert w.grad is not None
        assert w.grad.item() == 4  # 16 would be right


@given(st.floats(0.1, 10))
def test_a_saved_intermediate_counts_as_a_constant(number: float) -> None:
    x = leaf(number)
    power = x.detach() ** (-4 / 3)
    for function, expected in (Cbrt, -2 / 9 * power), (Cached, 2 / 9 * power):
        (first,) = torch.autograd.grad(apply(function, x) ** 2, x, create_graph=True)
        torch.testing.assert_close(first.detach(), 2 / 3 * x.detach() ** (-1 / 3))
        (second,) = torch.autograd.grad(first, x)
        torch.testing.assert_close(second, expected)


def test_once_differentiable_raises_in_the_second_pass_only() -> None:
    x = leaf(1)
    (first,) = torch.autograd.grad(apply(Once, x) ** 2, x, create_graph=True)
    with pytest.raises(RuntimeError, match="trying to differentiate twice a function"):
        first.backward()


def test_torch_func_wants_setup_context_jvp_and_vmap() -> None:
    class Old(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return grad

    class Plain(Function):
        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return grad

    x = torch.ones(2)
    with pytest.raises(RuntimeError, match="must override the setup_context"):
        torch.func.grad(lambda x: apply(Old, x).sum())(x)
    assert torch.func.grad(lambda x: apply(Plain, x).sum())(x).tolist() == [1, 1]
    with pytest.raises(NotImplementedError, match="must implement the jvp function"):
        torch.func.jvp(lambda x: apply(Plain, x), (x,), (x,))
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        torch.vmap(lambda x: apply(Plain, x))(x)


@pytest.mark.parametrize("dim", [0, 1])
def test_the_vmap_rule_gives_what_a_loop_gives(dim: int) -> None:
    x = torch.tensor([[1.0, 8.0], [27.0, 64.0], [-1.0, -8.0]])
    batched = torch.vmap(lambda row: apply(Cbrt, row), in_dims=dim)(x)
    looped = torch.stack([apply(Cbrt, row) for row in x.unbind(dim)])
    torch.testing.assert_close(batched, looped)


def test_exercise_2_agrees_with_torch_softplus(runner: Runner) -> None:
    x = torch.tensor([0.0, 100.0], requires_grad=True)
    y = torch.nn.functional.softplus(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    cells = {cell.name: cell.text() for cell in runner.result("custom_function").cells}
    printed = cells["exercise_2"]
    assert f"per_sample(x) = {grad}" in printed
    assert str(y.detach())[:-1] in printed


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("custom_function").cells}
    assert "second = tensor([-0.2222])" in cells["double"]
    assert "0.3333" in cells["first"]


class Weighted(torch.nn.Module):
    """No backward of its own."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return ((prediction - target).abs() * (1 + target)).mean()


class WithBackward(Weighted):
    def backward(self, grad: Tensor) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize("module", [Weighted(), WithBackward()])
@given(values=st.lists(st.floats(-3, 3).filter(lambda p: abs(p - 1) > 1e-3), min_size=1))
def test_a_module_of_torch_operations_needs_no_backward(
    module: torch.nn.Module, values: list[float]
) -> None:
    prediction = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    target = torch.ones_like(prediction)
    module(prediction, target).backward()
    sign = (prediction.detach() - target).sign()
    torch.testing.assert_close(prediction.grad, sign * (1 + target) / len(values))
    assert gradcheck(module, (prediction, target))


def test_a_backward_method_of_a_module_changes_nothing_on_the_page(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("custom_function").cells}
    assert "x.grad = tensor([2., 6.])" in cells["never_called"]  # 2 x, at 1 and 3
