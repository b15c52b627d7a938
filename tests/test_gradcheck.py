"""The claims of the lesson on gradcheck, each against mathematics or an oracle."""

import warnings
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import Function, gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError
from torch.func import functional_call

from livecell import Runner


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def scaled(factor: float) -> Any:
    class Scaled(Cube):
        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return factor * Cube.backward(ctx, grad)

    return Scaled.apply


def central(h: Any, one: Any = 1) -> Any:
    return ((one + h) ** 3 - (one - h) ** 3) / (2 * h)


@given(st.fractions(min_value=Fraction(1, 10**9), max_value=1))
def test_truncation_is_the_square_of_the_step(h: Fraction) -> None:
    assert central(h, Fraction(1)) == 3 + h**2


def test_rounding_takes_over_below_the_cube_root_of_the_spacing() -> None:
    for h in 1e-1, 1e-2, 1e-3, 1e-4:
        assert abs(central(h) - 3) == pytest.approx(h**2, rel=1e-2)
    assert abs(central(1e-6) - 3) < 1e-9
    assert abs(central(1e-15) - 3) > 1e-2
    assert central(1e-17) == 0  # 1 + h is 1


def test_the_best_step_is_where_the_two_errors_balance() -> None:
    for spacing, best in (1.1e-16, 4e-6), (6e-8, 3e-3):
        h = (spacing / 2) ** (1 / 3)
        assert h == pytest.approx(best, rel=0.1)
        total = h**2 + spacing / h
        assert all(total < (h * f) ** 2 + spacing / (h * f) for f in (0.5, 0.9, 1.1, 2))


def test_gradcheck_moves_every_input_by_1e_6_both_ways() -> None:
    seen: set[float] = set()

    def watched(x: Tensor) -> Tensor:
        seen.update(round((value - 1) * 1e6, 3) for value in x.tolist())
        return x**3

    assert gradcheck(watched, leaf(1, 1))
    assert seen == {-1, 0, 1}


def test_a_mismatch_shows_inputs_as_rows() -> None:
    x = leaf(1, 2)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda x: torch.stack([x[0] * x[1], x[0] * x[0].detach(), x[1] ** 2]), x)
    message = str(caught.value)
    assert (
        "numerical:tensor([[2.0000, 2.0000, 0.0000],\n        [1.0000, 0.0000, 4.0000]]" in message
    )
    assert "analytical:tensor([[2., 1., 0.],\n        [1., 0., 4.]]" in message


def test_float32_fails_where_float64_passes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = torch.tensor([0.5], requires_grad=True)
        assert not gradcheck(torch.sin, single, raise_exception=False)
    assert gradcheck(torch.sin, leaf(0.5))


@pytest.mark.parametrize(("factor", "passes"), [(1.0005, True), (1.002, False), (0.5, False)])
def test_the_tolerance_is_a_thousandth(factor: float, passes: bool) -> None:
    """The checker can fail."""
    assert gradcheck(scaled(factor), leaf(1, 2), raise_exception=False) == passes
    assert not gradcheck(scaled(factor), leaf(1, 2), rtol=1e-6, raise_exception=False)


def test_the_tolerance_is_relative_to_the_finite_difference() -> None:
    assert gradcheck(scaled(0.0), leaf(1, 2), rtol=1.01, raise_exception=False)
    assert not gradcheck(scaled(3.0), leaf(1, 2), rtol=1.01, raise_exception=False)


def test_at_a_kink_the_difference_is_the_mean_of_the_slopes() -> None:
    with pytest.raises(GradcheckError, match=r"numerical:tensor\(\[\[0.5000"):
        gradcheck(torch.relu, leaf(0))
    assert gradcheck(torch.relu, leaf(-1, 1))


def test_random_functions_pass_when_seeded_inside() -> None:
    def dropout(x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5)

    def seeded(x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return dropout(x)

    torch.manual_seed(0)
    x = leaf(*range(1, 9))
    assert not gradcheck(dropout, x, raise_exception=False)
    assert gradcheck(seeded, x)


def test_backward_must_repeat_up_to_nondet_tol() -> None:
    class Noisy(Cube):
        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return (1 + 1e-9 * torch.rand(1, dtype=torch.float64)) * Cube.backward(ctx, grad)

    with pytest.raises(GradcheckError, match="Backward is not reentrant"):
        gradcheck(Noisy.apply, leaf(1, 2))
    assert gradcheck(Noisy.apply, leaf(1, 2), nondet_tol=1e-7)


def test_shared_memory_is_seen_by_stride_0_only() -> None:
    expanded = leaf(1, 2).detach().expand(3, 2).requires_grad_()
    with pytest.raises(RuntimeError, match="has a dimension with stride 0"):
        gradcheck(torch.square, expanded)
    windows = torch.arange(1.0, 4.0, dtype=torch.float64).unfold(0, 2, 1).requires_grad_()
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradcheck(torch.square, windows)
    assert gradcheck(torch.square, windows.detach().contiguous().clone().requires_grad_())


def test_gradgradcheck_finds_a_slope_that_counts_as_a_constant() -> None:
    class Cached(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(3 * x**2)
            return x**3

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            (slope,) = ctx.saved_tensors
            return grad * slope

    x = leaf(1, 2)
    assert gradcheck(Cached.apply, x)
    assert not gradgradcheck(Cached.apply, x, raise_exception=False)
    assert gradgradcheck(Cube.apply, x)


@given(st.integers(1, 40))
def test_slow_mode_calls_twice_per_element_and_fast_mode_does_not(size: int) -> None:
    for fast, expected in (False, 2 * size + 2), (True, 4):
        calls = 0

        def counted(x: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return x**3

        assert gradcheck(
            counted, torch.ones_like(leaf(*[1] * size)).requires_grad_(), fast_mode=fast
        )
        assert calls == expected


@given(st.integers(0, 1000))
def test_fast_mode_compares_two_numbers_that_are_equal(seed: int) -> None:
    torch.manual_seed(seed)
    jacobian, u, v = torch.randn(3, 4), torch.randn(4), torch.randn(3)
    torch.testing.assert_close(v @ (jacobian @ u), (v @ jacobian) @ u)


def test_a_hidden_error_of_one_entry_escapes_fast_mode_only() -> None:
    """Why the slow mode is the default: the tolerance applies to one number for all entries."""

    class OneWrong(Cube):
        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            result = Cube.backward(ctx, grad)
            result[0] += 0.01 * grad[0]
            return result

    x = torch.linspace(1, 20, 400, dtype=torch.float64).requires_grad_()
    assert not gradcheck(OneWrong.apply, x, raise_exception=False)
    assert gradcheck(OneWrong.apply, x, fast_mode=True, raise_exception=False)


def test_parameters_are_checked_only_as_arguments() -> None:
    class Scale(nn.Module):
        def __init__(self, cut: bool) -> None:
            super().__init__()
            self.cut = cut
            self.weight = nn.Parameter(torch.tensor([2.0, 3.0], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight.detach() if self.cut else self.weight
            return x * weight + 0 * self.weight

    x = leaf(1, 2)
    for cut in True, False:
        module = Scale(cut)

        def call(weight: Tensor, x: Tensor, module: nn.Module = module) -> Any:
            return functional_call(module, {"weight": weight}, (x,))

        assert gradcheck(module, x)
        assert gradcheck(call, (module.weight, x), raise_exception=False) != cut


def test_the_complex_step_has_no_cancellation() -> None:
    assert complex(1, 1e-20) ** 3 == pytest.approx(complex(1, 3e-20))
    z = complex(1, 1e-20)
    assert (z * z * z).imag / 1e-20 == 3.0


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("gradcheck").cells}
    assert "strict = False" in cells["almost_strict"]
    assert "calls = 202" in cells["cost"]
