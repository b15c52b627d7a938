"""Second derivatives, gradcheck, checkpointing, forward mode: each message from another program,
each cure against a formula.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as fwAD
from torch import nn
from torch.autograd import Function, functional, gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import ctc_loss, grid_sample, multi_margin_loss, pdist
from torch.nn.functional import scaled_dot_product_attention as attention
from torch.utils.checkpoint import CheckpointError, checkpoint, set_checkpoint_early_stop

from livecell import Runner

STEM = "errors/checks"


def printed(runner: Runner, cell: str) -> str:
    result = runner.result(STEM).cell(cell)
    assert result is not None
    return result.text()


def point() -> torch.Tensor:
    return torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)


def twice(f: Callable[[torch.Tensor], torch.Tensor], *shape: int) -> torch.Tensor:
    """The gradient of the squared norm of the gradient."""
    torch.manual_seed(0)
    x = torch.randn(*shape, requires_grad=True)
    (g,) = torch.autograd.grad(f(x).pow(2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(g.pow(2).sum(), x)
    return second


def make(forward: Callable[..., Any], backward: Callable[..., Any]) -> type[Function]:
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Own", (Function,), body)


def save(ctx: Any, x: torch.Tensor) -> torch.Tensor:
    ctx.save_for_backward(x)
    return x.exp()


class Varying:
    """Does something else at its second call."""

    def __init__(self, first: Callable[[Any], Any], second: Callable[[Any], Any]) -> None:
        self.first, self.second, self.calls = first, second, 0

    def __call__(self, x: torch.Tensor) -> Any:
        self.calls += 1
        return (self.first if self.calls == 1 else self.second)(x)


def recompute(f: Callable[[Any], Any], **options: Any) -> torch.Tensor:
    x = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    checkpoint(f, x, use_reentrant=False, **options).sum().backward()
    assert x.grad is not None
    return x.grad


def nothing(x: torch.Tensor) -> Any:
    return None


def dual(*arguments: Any) -> None:
    with fwAD.dual_level():
        fwAD.make_dual(*arguments)


def two_levels() -> None:
    with fwAD.dual_level(), fwAD.dual_level():
        pass


def forward(f: Callable[[torch.Tensor], Any], *shape: int) -> Any:
    x = torch.ones(*shape)
    return torch.func.jvp(f, (x,), (x,))


def reentrant_inputs() -> None:
    x = torch.ones(2, requires_grad=True)
    checkpoint(torch.sin, x, use_reentrant=True).sum().backward(inputs=[x])


def ctc(x: torch.Tensor) -> torch.Tensor:
    one = torch.tensor([1])
    return ctc_loss(x.log_softmax(2), one[None], torch.tensor([4]), one)


ZEROS = torch.zeros(2, 3)
GRID = torch.zeros(1, 2, 2, 2)
NOISY = make(lambda ctx, x: x * 3, lambda ctx, g: g * (3 + 1e-9 * torch.rand_like(g)))
TWICE_READ = make(save, lambda ctx, g: g * ctx.saved_tensors[0] * ctx.saved_tensors[0])

RAISES: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("pdist", lambda: twice(pdist, 3, 2), NotImplementedError, "'_pdist_backward'"),
    (
        "igamma",
        lambda: torch.special.gammainc(point(), point()).sum().backward(),
        NotImplementedError,
        "the derivative for 'igamma: input' is not implemented",
    ),
    ("ctc", lambda: twice(ctc, 4, 1, 3), RuntimeError, "for aten::_ctc_loss_backward is not"),
    (
        "margin",
        lambda: twice(lambda x: multi_margin_loss(x, torch.tensor([0, 1])), 2, 3),
        RuntimeError,
        "for aten::multi_margin_loss_backward is not",
    ),
    (
        "heaviside",
        lambda: torch.heaviside(point(), point().detach()).sum().backward(),
        RuntimeError,
        "derivative for aten::heaviside is not implemented",
    ),
    (
        "wrong factor",
        lambda: gradcheck(make(save, lambda ctx, g: g).apply, point()),
        GradcheckError,
        "Jacobian mismatch for output 0 with respect to input 0",
    ),
    (
        "no second derivative",
        lambda: gradgradcheck(
            make(save, lambda ctx, g: g * ctx.saved_tensors[0].exp().detach()).apply, point()
        ),
        GradcheckError,
        "Jacobian mismatch",
    ),
    (
        "no gradient required",
        lambda: gradcheck(torch.exp, point().detach()),
        ValueError,
        "none of them have requires_grad=True",
    ),
    (
        "stride 0",
        lambda: gradcheck(torch.mul, (point()[:1].expand(2), point()[:2])),
        RuntimeError,
        "The 0th input has a dimension with stride 0",
    ),
    ("noise", lambda: gradcheck(NOISY.apply, point()), GradcheckError, "is not reentrant"),
    (
        "cut graph",
        lambda: gradcheck(lambda x: x.data.exp(), point()),
        GradcheckError,
        "expected to be zero",
    ),
    (
        "incoming gradient ignored",
        lambda: gradcheck(
            make(lambda ctx, x: x.sum(), lambda ctx, g: torch.ones(3, dtype=torch.float64)).apply,
            point(),
        ),
        GradcheckError,
        "backward not multiplied by grad_output",
    ),
    (
        "nothing returned",
        lambda: gradcheck(nothing, point()),
        AttributeError,
        "'NoneType' object has no attribute 'requires_grad'",
    ),
    (
        "independent",
        lambda: functional.jacobian(lambda a, b: b, (point(), point()), strict=True),
        RuntimeError,
        "Output 0 .* is independent of input 0. This is not allowed in strict mode",
    ),
    (
        "strict and vectorize",
        lambda: functional.jacobian(torch.sin, point(), strict=True, vectorize=True),
        RuntimeError,
        "are not supported together",
    ),
    (
        "Hessian of a vector",
        lambda: functional.hessian(torch.sin, point()),
        RuntimeError,
        "should contain a single element",
    ),
    ("reentrant inputs", reentrant_inputs, RuntimeError, "When use_reentrant=True"),
    (
        "fewer operations",
        lambda: recompute(Varying(lambda x: x.exp().sin(), torch.exp)),
        CheckpointError,
        "saved during forward: 2\nNumber of tensors saved during recomputation: 1",
    ),
    (
        "another dtype",
        lambda: recompute(Varying(torch.exp, lambda x: x.double().exp())),
        CheckpointError,
        "have different metadata than during the forward pass",
    ),
    (
        "read twice",
        lambda: recompute(TWICE_READ.apply),
        CheckpointError,
        "already unpacked once",
    ),
    ("no level", lambda: fwAD.make_dual(ZEROS, ZEROS), RuntimeError, "but no level exists"),
    ("two levels", two_levels, RuntimeError, "Nested forward mode AD is not supported"),
    (
        "tangent of another shape",
        lambda: torch.func.jvp(torch.sin, (ZEROS,), (ZEROS[0],)),
        RuntimeError,
        r"Tensor is of size \[2, 3\] while the given forward gradient is of size \[3\]",
    ),
    (
        "grid_sample",
        lambda: forward(lambda x: grid_sample(x, GRID, align_corners=False), 1, 1, 2, 2),
        NotImplementedError,
        "Trying to use forward AD with grid_sampler_2d that does not support it",
    ),
    (
        "cdist",
        lambda: forward(lambda x: torch.cdist(x, ZEROS), 4, 3),
        NotImplementedError,
        "_cdist_forward",
    ),
    (
        "out=",
        lambda: forward(lambda x: torch.mul(x, x, out=torch.empty(2)), 2),
        NotImplementedError,
        "mul_out that does not support it because it is an out= function",
    ),
    (
        "integer",
        lambda: dual(ZEROS.long(), ZEROS),
        ValueError,
        "Expected primal to be floating point or complex, but got: torch.int64",
    ),
    ("integer tangent", lambda: dual(ZEROS, ZEROS.long()), ValueError, "Expected tangent"),
]


@pytest.mark.parametrize(
    ("program", "error", "message"), [row[1:] for row in RAISES], ids=[row[0] for row in RAISES]
)
def test_the_message_comes_from_another_program_too(
    program: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        program()


def test_the_warnings() -> None:
    with pytest.warns(UserWarning, match="Input #1 requires gradient and is not a double"):
        gradcheck(torch.add, (point(), point().float()), raise_exception=False)
    x = torch.ones(2)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        assert not checkpoint(nn.Linear(2, 1), x, use_reentrant=True).requires_grad
    with pytest.warns(UserWarning, match="the use_reentrant parameter should be passed"):
        checkpoint(torch.sin, x.requires_grad_())


def test_attention_differentiates_twice_only_in_single_steps() -> None:
    def by_hand(q: torch.Tensor) -> torch.Tensor:
        return (q @ q.mT / 8**0.5).softmax(-1) @ q

    def fused(q: torch.Tensor) -> torch.Tensor:
        return attention(q, q, q)

    with pytest.raises(RuntimeError, match=r"attention.*_backward is not implemented"):
        twice(fused, 1, 2, 5, 8)
    with sdpa_kernel(SDPBackend.MATH):
        second = twice(fused, 1, 2, 5, 8)
    torch.testing.assert_close(second, twice(by_hand, 1, 2, 5, 8), rtol=1e-3, atol=1e-3)


def test_a_distance_by_hand_has_the_second_derivatives_of_the_formula(runner: Runner) -> None:
    u = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
    d = torch.tensor([3.0, 4.0])
    hessians = (torch.eye(2) - u[:, :, None] * u[:, None]) / d[:, None, None]
    assert printed(runner, "derivative_not_implemented_cure") == f"a.grad = {hessians.sum(2)}\n"


def test_relu_in_its_corner_has_half_a_slope() -> None:
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    with pytest.raises(GradcheckError, match=r"0\.5000.*\n.*\[0\.\]"):
        gradcheck(torch.relu, zero)


def test_more_operations_the_second_time_go_unnoticed() -> None:
    def more() -> Varying:
        return Varying(torch.exp, lambda x: x.exp().sin())

    torch.testing.assert_close(recompute(more()), torch.tensor([0.0, 1.0, 2.0]).exp())
    with (
        set_checkpoint_early_stop(False),
        pytest.raises(CheckpointError, match="trying to save more tensors during recomputation"),
    ):
        recompute(more())


def test_what_checkpoint_does_not_notice() -> None:
    w = torch.tensor(1.0, requires_grad=True)
    x = torch.tensor(1.0, requires_grad=True)
    y = checkpoint(lambda x: (w * x).exp(), x, use_reentrant=False)
    with torch.no_grad():
        w += 1
    y.backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 2 * torch.tensor(2.0).exp(), msg="an optimizer step")

    torch.manual_seed(0)
    ones = torch.ones(64, requires_grad=True)
    drop = nn.Dropout()
    checkpoint(drop, ones, use_reentrant=False).sum().backward()
    y = checkpoint(drop, ones, use_reentrant=False)
    ones.grad = None
    y.sum().backward()
    assert ones.grad is not None
    assert torch.equal(ones.grad, y), "the generator is restored"
    y = checkpoint(drop, ones, use_reentrant=False, preserve_rng_state=False)
    ones.grad = None
    y.sum().backward()
    assert not torch.equal(ones.grad, y), "unless it is told not to"


def test_a_tangent_ends_with_its_level_and_numpy_drops_it() -> None:
    with fwAD.dual_level():
        y = fwAD.make_dual(ZEROS, ZEROS).cos()
        assert fwAD.unpack_dual(y).tangent is not None
        through_numpy = torch.as_tensor(fwAD.make_dual(ZEROS, ZEROS).numpy())
        assert fwAD.unpack_dual(through_numpy).tangent is None
    assert fwAD.unpack_dual(y).tangent is None


# What the cell prints under this label, and what the formula says.
COS = f"[1.0000, {torch.tensor(1.0).cos().item():.4f}]"
NUMBERS = [
    ("gradient_penalty", "w.grad", f"{2**2}."),
    ("gradient_penalty_cure", "w.grad", f"{2**2 + 2 * 12 * 2 * 2}."),
    ("backward_not_multiplied_find", "x.grad", "[2., 4.], dtype=torch.float64"),
    ("backward_not_multiplied_cure", "x.grad", "[20., 40.], dtype=torch.float64"),
    ("checkpoint_use_reentrant_cure", "x.grad", COS),
    ("checkpoint_no_grad_input_cure", "layer.weight.grad", "[[1., 2.]]"),
    ("checkpoint_no_grad_input_cure_2", "layer.weight.grad", "[[1., 2.]]"),
    ("checkpoint_different_number_cure", "bias.grad", "[3.]"),
    ("checkpoint_different_metadata_cure", "x.grad", "[1., 0., 0.]"),
    ("checkpoint_different_metadata_cure_2", "x.grad", "[1.0000, 2.7183, 7.3891]"),
    ("checkpoint_different_metadata_wrong", "x.grad", "[1., 1., 1.]"),
    ("checkpoint_wrong_gradient", "x.grad", "[1.0000, 7.3891]"),
    ("checkpoint_wrong_gradient_cure", "x.grad", "[1.0000, 2.7183]"),
    ("checkpoint_unpacked_twice_cure", "a.grad", "5."),
    ("forward_no_level_cure", "tangent", COS),
    ("forward_no_level_cure_2", "tangent", COS),
    ("forward_nested_cure", "second", "12."),
    ("forward_shape_cure", "tangent", COS),
    ("forward_integer_cure", "tangent", "[2., 4.]"),
    ("tangent_none_cure", "tangent", COS),
]


@pytest.mark.parametrize(("cell", "label", "value"), NUMBERS)
def test_the_page_prints_the_number_of_the_formula(
    runner: Runner, cell: str, label: str, value: str
) -> None:
    text = printed(runner, cell)
    assert re.search(rf"{re.escape(label)} = tensor\({re.escape(value)}\)", text), text


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("aten_derivative_not_implemented_cure", "same by hand: True"),
        ("jacobian_mismatch_cure", "gradcheck: True"),
        ("jacobian_mismatch_cure_2", "random: False\nseeded: True"),
        ("gradcheck_precision", "gradcheck: False"),
        ("gradcheck_precision_cure", "gradcheck: True"),
        ("gradcheck_precision_wrong", "wrong formula passes: True"),
        ("gradcheck_stride_0_cure", "gradcheck: True"),
        ("gradcheck_stride_0_cure_2", "gradcheck: True"),
        ("gradcheck_nondeterministic_cure", "gradcheck: True"),
        ("gradcheck_nondeterministic_cure_2", "gradcheck: True"),
        ("gradcheck_zero_expected_cure", "gradcheck: True"),
        ("backward_not_multiplied_cure", "gradcheck: True"),
        ("gradcheck_not_a_tensor_cure", "gradcheck: True"),
        ("forward_not_supported_cure", "same as the difference quotient: True"),
        ("forward_not_supported_cure_2", "same along v: True"),
        ("tangent_none", "tangent = None"),
    ],
)
def test_the_page_prints_the_answer(runner: Runner, cell: str, answer: str) -> None:
    assert answer in printed(runner, cell)


def test_the_jacobians_of_the_page(runner: Runner) -> None:
    a, b = torch.tensor([1.0, 2.0]), 5.0
    expected = f"by_a = {(2 * a * b).diag()}\nby_b = {a.pow(2)[:, None]}\n"
    assert printed(runner, "jacobian_strict_cure") == expected
    assert printed(runner, "strict_and_vectorize_cure") == f"J = {a.exp().diag()}\n"
    assert printed(runner, "hessian_needs_scalar_cure") == f"H = {(6 * a).diag()}\n"


def test_on_the_cpu_an_rnn_in_eval_mode_has_a_gradient(runner: Runner) -> None:
    layer = nn.GRU(2, 2).eval()
    layer(torch.ones(3, 1, 2))[0].sum().backward()
    assert layer.weight_hh_l0.grad is not None
    assert printed(runner, "cudnn_rnn_eval").strip() == "on the CPU, a gradient: True"
    assert printed(runner, "cudnn_rnn_eval_cure").strip() == "{'rnn': True, 'drop': False}"
    assert printed(runner, "cudnn_rnn_eval_cure_2").strip() == "same gradient: True"


def test_deterministic_mode_refuses_and_warns() -> None:
    message = "put_ does not have a deterministic implementation, but you set"
    places, values = torch.tensor([1, 1]), torch.tensor([1.0, 2.0])
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match=message):
            torch.zeros(3).put_(places, values)
        torch.use_deterministic_algorithms(True, warn_only=True)
        with pytest.warns(UserWarning, match=message):
            torch.zeros(3).put_(places, values)
    finally:
        torch.use_deterministic_algorithms(False)


def test_scatter_is_max_unpool(runner: Runner) -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    largest, places = nn.functional.max_pool2d(x, 2, return_indices=True)
    expected = nn.functional.max_unpool2d(largest, places, [2, 2])
    flat = torch.zeros(1, 1, 16).scatter(2, places.flatten(2), largest.flatten(2))
    assert torch.equal(flat.reshape(1, 1, 4, 4), expected)
    assert "values.grad = tensor([[[[1.]]]])" in printed(runner, "not_deterministic_cure")
    assert printed(runner, "not_deterministic_order").split() == ["tensor(0.)", "tensor(1.)"]
    assert not torch.are_deterministic_algorithms_enabled()
