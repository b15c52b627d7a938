"""Custom autograd.Function: each message from another program, each cure against a formula."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import Function, gradcheck, gradgradcheck
from torch.autograd.function import once_differentiable

from livecell import Runner

STEM = "errors/custom_function"


def make(
    forward: Callable[..., Any], backward: Callable[..., Any] | None = None, **more: Any
) -> type[Function]:
    """A Function called Own, of two plain functions."""
    body: dict[str, Any] = {"forward": staticmethod(forward), **more}
    if backward is not None:
        body["backward"] = staticmethod(backward)
    return type("Own", (Function,), body)


def printed(runner: Runner, cell: str) -> str:
    result = runner.result(STEM).cell(cell)
    assert result is not None
    return result.text()


def leaf() -> torch.Tensor:
    return torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


def back(function: type[Function], *args: Any) -> None:
    function.apply(*args).sum().backward()


def save(ctx: Any, x: Any) -> Any:
    ctx.save_for_backward(x)
    return x * x


def once(ctx: Any, grad: torch.Tensor) -> Any:
    (x,) = ctx.saved_tensors
    return 2 * x * grad


def twice(ctx: Any, x: torch.Tensor) -> torch.Tensor:
    return x * 2


def scaled(ctx: Any, k: float, x: torch.Tensor) -> torch.Tensor:
    return x * k


def add_one(ctx: Any, x: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    ctx.mark_dirty(x)
    return x


def mark_only(ctx: Any, x: torch.Tensor) -> torch.Tensor:
    add_one(ctx, x)
    return x * 1


def second(loss: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = leaf()
    y = make(save, once_differentiable(once)).apply(x)
    (g,) = torch.autograd.grad(loss(y), x, create_graph=True)
    g.sum().backward()


def two_lean(ctx: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    ctx.set_materialize_grads(False)
    return x * 2, x * 3


def view_written() -> None:
    y = make(lambda ctx, x: x.view_as(x), lambda ctx, g: -g).apply(leaf() * 1)
    y += 1


SPLIT = make(lambda x: x * x, once, setup_context=staticmethod(lambda ctx, inputs, output: None))

RAISES: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    (
        "too few gradients",
        lambda: back(make(lambda ctx, x, k: x * k, lambda ctx, g: g), leaf(), 2),
        RuntimeError,
        r"incorrect number of gradients \(expected 2, got 1\)",
    ),
    (
        "too many gradients",
        lambda: back(make(twice, lambda ctx, g: (g, g)), leaf()),
        RuntimeError,
        r"incorrect number of gradients \(expected 1, got 2\)",
    ),
    (
        "shape",
        lambda: back(make(twice, lambda ctx, g: g[:2]), leaf()),
        RuntimeError,
        r"index 0 - got \[2\] but expected shape compatible with \[3\]",
    ),
    (
        "device",
        lambda: back(make(twice, lambda ctx, g: g.to("meta")), leaf()),
        RuntimeError,
        "expected device cpu but got meta",
    ),
    (
        "complex",
        lambda: back(make(twice, lambda ctx, g: g * 1j), leaf()),
        RuntimeError,
        "input_is_complex == grad_is_complex",
    ),
    ("list", lambda: back(make(twice, lambda ctx, g: [g]), leaf()), RuntimeError, r"\(got list\)"),
    (
        "float",
        lambda: back(make(twice, lambda ctx, g: 2.0), leaf()),
        RuntimeError,
        r"\(got float\)",
    ),
    (
        "no ctx",
        lambda: make(lambda x: x).apply(leaf()),
        TypeError,
        "takes 1 positional argument but 2",
    ),
    (
        "two outputs",
        lambda: (
            make(lambda ctx, x: (x * 1, x * 2), lambda ctx, g: g).apply(leaf())[0].sum().backward()
        ),
        TypeError,
        "takes 2 positional arguments but 3",
    ),
    (
        "no backward",
        lambda: back(make(twice), leaf()),
        NotImplementedError,
        "either the backward or vjp",
    ),
    (
        "nothing saved",
        lambda: back(make(twice, once), leaf()),
        ValueError,
        r"\(expected 1, got 0\)",
    ),
    (
        "index of nothing",
        lambda: back(make(twice, lambda ctx, g: ctx.saved_tensors[0]), leaf()),
        IndexError,
        "tuple index out of range",
    ),
    (
        "tuple",
        lambda: back(make(save, lambda ctx, g: ctx.saved_tensors.exp()), leaf()),
        AttributeError,
        "'tuple' object has no attribute 'exp'",
    ),
    (
        "tuple times gradient",
        lambda: back(make(save, lambda ctx, g: g * ctx.saved_tensors), leaf()),
        TypeError,
        "only integer tensors of a single element",
    ),
    (
        "attribute",
        lambda: back(make(twice, lambda ctx, g: g * ctx.k), leaf()),
        AttributeError,
        "'OwnBackward' object has no attribute 'k'",
    ),
    (
        "differentiated twice",
        lambda: second(lambda y: y.square().sum()),
        RuntimeError,
        "marked with @once_differentiable",
    ),
    (
        "linear loss",
        lambda: second(lambda y: y.sum()),
        RuntimeError,
        "element 0 of tensors does not require grad",
    ),
    ("dirty", lambda: make(mark_only).apply(leaf() * 1), RuntimeError, "marked as dirty"),
    (
        "dirty leaf",
        lambda: make(add_one).apply(leaf()),
        RuntimeError,
        "leaf Variable that requires grad has been",
    ),
    ("view", view_written, RuntimeError, "This view was created inside a custom Function"),
    (
        "None",
        lambda: make(two_lean, lambda ctx, a, b: b * 3.0).apply(leaf())[0].sum().backward(),
        TypeError,
        r"for \*: 'NoneType' and 'float'",
    ),
    (
        "ctx twice",
        lambda: make(twice, setup_context=SPLIT.setup_context).apply(leaf()),
        TypeError,
        "missing a required argument: 'x'",
    ),
    (
        "func.grad",
        lambda: torch.func.jacrev(make(save, once).apply)(leaf()),
        RuntimeError,
        "override the setup_context",
    ),
    (
        "index counts the tensors",
        lambda: back(make(scaled, lambda ctx, g: (None, torch.ones(2))), 3.0, leaf()),
        RuntimeError,
        r"invalid gradient at index 0 - got \[2\]",
    ),
    (
        "backward takes too many",
        lambda: back(make(twice, lambda ctx, g, h: g), leaf()),
        TypeError,
        "missing 1 required positional argument: 'h'",
    ),
    (
        "vmap",
        lambda: torch.func.jacfwd(SPLIT.apply)(leaf()),
        RuntimeError,
        "does not have vmap support",
    ),
    (
        "jvp",
        lambda: torch.func.jvp(SPLIT.apply, (leaf(),), (leaf(),)),
        NotImplementedError,
        "implement the jvp",
    ),
]


@pytest.mark.parametrize(
    ("program", "error", "message"), [row[1:] for row in RAISES], ids=[row[0] for row in RAISES]
)
def test_the_message_comes_from_another_program_too(
    program: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        program()


def test_an_object_of_a_function_is_neither_a_tensor_nor_callable() -> None:
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        made = make(twice)()
    with pytest.raises(RuntimeError, match="Legacy autograd function"):
        made(leaf())
    assert not isinstance(made, torch.Tensor)


def test_what_backward_may_get_wrong_without_an_error() -> None:
    x = leaf()
    back(make(twice, lambda ctx, g: (g * 2, None, None)), x)
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2], "surplus Nones are dropped"
    x = leaf()
    back(make(twice, lambda ctx, g: (g * 2).double()), x)
    assert x.grad is not None
    assert x.grad.dtype == torch.float32, "another dtype is cast"
    b = torch.tensor(1.0, requires_grad=True)
    back(make(lambda ctx, x, b: x + b, lambda ctx, g: (g, g)), leaf(), b)
    assert b.grad is not None
    assert b.grad.item() == 3, "what was broadcast is summed"


def test_a_number_is_refused_only_if_a_gradient_is_required() -> None:
    def forward(ctx: Any, x: torch.Tensor, n: int) -> torch.Tensor:
        ctx.save_for_backward(x, n)
        return x**n

    assert make(forward).apply(torch.tensor(2.0), 3).item() == 8
    with pytest.raises(TypeError, match="argument 1 is of type int"):
        make(forward).apply(leaf(), 3)


def test_the_filter_of_the_page_is_a_symmetric_matrix(runner: Runner) -> None:
    keep = torch.tensor([1.0, 1.0, 0.0, 1.0])
    matrix = torch.fft.ifft(torch.fft.fft(torch.eye(4)) * keep).real
    torch.testing.assert_close(matrix, matrix.T)
    assert printed(runner, "gradient_complex_cure") == f"x.grad = {matrix[0]}\n"


def test_a_leaf_is_written_before_the_error() -> None:
    x = leaf()
    with pytest.raises(RuntimeError, match="has been used"):
        make(add_one).apply(x)
    assert x.tolist() == [2, 3, 4]


def test_a_list_of_outputs_has_no_graph() -> None:
    listed = make(lambda ctx, x: [x * 2], lambda ctx, g: g * 2).apply(leaf())
    assert listed[0].grad_fn is None
    given = make(lambda ctx, xs: xs[0] * 2, lambda ctx, g: g * 2).apply([leaf()])
    assert not given.requires_grad


def test_a_saved_intermediate_breaks_only_the_second_derivative() -> None:
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x * x)
        return x**3

    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return 3 * ctx.saved_tensors[0] * grad

    point = leaf().detach().double().requires_grad_()
    own = make(forward, backward)
    assert gradcheck(own.apply, point)
    assert not gradgradcheck(own.apply, point, raise_exception=False)


# What the cure prints under this label, and what the formula says.
NUMBERS = [
    ("wrong_number_of_gradients_cure", "x.grad", "[3., 3.]"),
    ("gradient_wrong_device_cure", "x.grad", "[2., 2., 2.]"),
    ("gradient_complex_cure", "x.grad", "[ 0.7500,  0.2500, -0.2500,  0.2500]"),
    ("gradient_not_a_tensor_cure", "x.grad", "[1.0000, 0.5403]"),
    ("legacy_function_cure", "x.grad", "6."),
    ("legacy_function_cure_2", "x.grad", "6."),
    ("forward_without_ctx_cure", "x.grad", "3."),
    ("forward_without_ctx_cure_2", "x.grad", "3."),
    ("backward_argument_count_cure", "x.grad", "16."),
    ("backward_not_implemented_cure", "x.grad", "[1., 1.]"),
    ("save_non_tensor_cure", "x.grad", f"{3 * 2**2}."),
    ("save_non_tensor_wrong", "x.grad", f"{3 * 12**2}."),
    ("nothing_saved_cure", "b.grad", "2."),
    ("saved_tensors_tuple_cure", "x.grad", "1."),
    ("ctx_attribute_missing_cure", "x.grad", "[1., 0.]"),
    ("once_differentiable_cure", "x.grad", f"{12 * 3**2}."),
    ("once_differentiable_wrong", "x.grad", "72."),
    ("second_derivative_wrong", "x.grad", "288."),
    ("second_derivative_wrong_cure", "x.grad", f"{30 * 2**4}."),
    ("dirty_not_returned_cure", "x.grad", "3."),
    ("dirty_not_returned_wrong", "x.grad", "1."),
    ("dirty_leaf_cure", "w.grad", "0.5000"),
    ("view_from_function_cure", "x.grad", "[-1., -0.]"),
    ("view_from_function_cure_2", "x.grad", "[-1., -0.]"),
    ("tensors_in_a_list_cure", "x.grad", "[2., 3.]"),
    ("tensors_in_a_list_cure_2", "layers[1].grad", "[1., 1.]"),
    ("none_gradient_cure", "x.grad", "4."),
    ("ctx_and_setup_context_cure", "x.grad", "-1."),
    ("functorch_setup_context_cure", "grad", "6."),
    ("no_vmap_rule_cure", "grads", "[2., 4., 6.]"),
    ("no_vmap_rule_cure_2", "grads", "[2., 4., 6.]"),
    ("no_jvp_rule_cure_2", "jacrev", "6."),
]


@pytest.mark.parametrize(("cell", "label", "value"), NUMBERS)
def test_the_page_prints_the_number_of_the_formula(
    runner: Runner, cell: str, label: str, value: str
) -> None:
    text = printed(runner, cell)
    assert re.search(rf"{re.escape(label)} = tensor\({re.escape(value)}\)", text), text


def test_the_matrix_product_of_the_page(runner: Runner) -> None:
    x = torch.tensor([[1.0, 2.0, 3.0]])
    w = torch.ones(2, 3, requires_grad=True)
    (x @ w.T).sum().backward()
    assert str(w.grad) in printed(runner, "gradient_wrong_shape_cure")
    square = torch.ones(3, 3, requires_grad=True)
    (x @ square.T).sum().backward()
    assert square.grad is not None
    silent = printed(runner, "gradient_wrong_shape_silent")
    assert silent == f"wrong: {square.grad.T}\nright: {square.grad}\n"


def test_a_function_under_autocast_saves_float32_and_gets_a_bfloat16_gradient() -> None:
    def save_both(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a @ b

    def product(ctx: Any, grad: torch.Tensor) -> Any:
        a, b = ctx.saved_tensors
        return grad @ b.T, a.T @ grad

    def run(function: type[Function]) -> tuple[torch.Tensor, torch.Tensor]:
        a = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
        b = torch.tensor([[1.0, 0.5], [2.0, 4.0]], requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = function.apply(a, b)
        y.sum().backward()
        assert a.grad is not None
        return y, a.grad

    with pytest.raises(RuntimeError, match="expected m1 and m2 to have the same dtype, but got"):
        run(make(save_both, product))
    bwd = torch.amp.custom_bwd(product, device_type="cpu")
    fwd = torch.amp.custom_fwd(save_both, device_type="cpu")
    y, grad = run(make(fwd, bwd))
    assert y.dtype == torch.bfloat16
    assert grad.dtype == torch.float32
    assert grad.tolist() == [[1.5, 6.0], [1.5, 6.0]]  # sums of the rows of b
    fwd = torch.amp.custom_fwd(save_both, device_type="cpu", cast_inputs=torch.float32)
    y, grad = run(make(fwd, bwd))
    assert y.dtype == torch.float32
    assert grad.tolist() == [[1.5, 6.0], [1.5, 6.0]]


def test_autocast_on_the_page(runner: Runner) -> None:
    assert printed(runner, "autocast_dtype_cure").strip() == "a.grad = tensor([[3., 4.]])"
    shown = "y.dtype = torch.float32\na.grad = tensor([[3., 4.]])"
    assert printed(runner, "autocast_dtype_cure_2").strip() == shown
