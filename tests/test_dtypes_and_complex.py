"""Claims of the lesson on dtypes and complex numbers, against mathematics or torch itself."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

REAL = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
PARTS = st.floats(-3, 3).filter(lambda v: abs(v) > 0.1)


def complex_leaf(x: float, y: float) -> Tensor:
    return torch.tensor(complex(x, y), dtype=torch.complex128, requires_grad=True)


def grad_of(loss: Tensor, leaf: Tensor) -> Tensor:
    return torch.autograd.grad(loss, leaf)[0]


@pytest.mark.parametrize(
    "dtype",
    [*REAL, torch.complex128, torch.complex64, torch.int64, torch.int8, torch.uint8, torch.bool],
)
def test_exactly_floating_and_complex_dtypes_can_require_a_gradient(dtype: torch.dtype) -> None:
    if dtype.is_floating_point or dtype.is_complex:
        assert torch.zeros(1, dtype=dtype, requires_grad=True).requires_grad
    else:
        with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype"):
            torch.zeros(1, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool])
def test_a_cast_to_an_integer_cuts_the_graph_for_good(dtype: torch.dtype) -> None:
    x = torch.tensor([1.5], requires_grad=True)
    cut = x.to(dtype)
    assert (cut.requires_grad, cut.is_leaf) == (False, True)
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        cut.float().backward()


def test_integers_serve_as_indices() -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert grad_of(x[torch.tensor([2, 2, 0])].sum(), x).tolist() == [1, 0, 2]


@pytest.mark.parametrize("own", REAL)
@pytest.mark.parametrize("other", REAL)
def test_a_gradient_has_the_dtype_of_its_tensor(own: torch.dtype, other: torch.dtype) -> None:
    w = torch.tensor([2.0], dtype=own, requires_grad=True)
    cast = w.to(other, copy=True)
    cast.retain_grad()
    product = cast * torch.ones(1, dtype=torch.float64) * w
    product.backward()
    assert w.grad is not None
    assert cast.grad is not None
    assert (w.grad.dtype, cast.grad.dtype, product.dtype) == (own, other, torch.float64)
    assert w.grad == 4


def test_a_cast_is_a_node() -> None:
    node: Any = torch.tensor(2.0, requires_grad=True).bfloat16().grad_fn
    assert node.name() == "ToCopyBackward0"


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_a_target_of_another_dtype_is_refused_by_some_losses_and_cured_by_a_cast(
    dtype: torch.dtype,
) -> None:
    p = torch.tensor([0.3, 0.7], requires_grad=True)
    target = torch.tensor([0, 1], dtype=dtype)
    with pytest.raises(RuntimeError, match=r"Found dtype (Double|Long) but expected Float"):
        F.binary_cross_entropy(p, target)
    loss = F.huber_loss(p, target)
    assert loss.dtype == torch.float32
    with pytest.raises(RuntimeError, match=r"Found dtype (Double|Long) but expected Float"):
        loss.backward()
    F.huber_loss(p, target.float()).backward()
    torch.testing.assert_close(p.grad, (p.detach() - target.float()) / 2)
    with pytest.raises(RuntimeError, match="mat1 and mat2 must have the same dtype"):
        torch.nn.Linear(2, 1)(target.double())
    assert (p * target.double()).dtype == torch.float64


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return g @ b.T, a.T @ g


class Decorated(Product):
    forward = staticmethod(torch.amp.custom_fwd(Product.forward, device_type="cpu"))
    backward = staticmethod(torch.amp.custom_bwd(Product.backward, device_type="cpu"))


def test_a_function_of_your_own_under_autocast_needs_the_decorators() -> None:
    a = torch.ones(2, 2, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bare: Any = Product.apply(a, a)  # type: ignore[no-untyped-call]
        decorated: Any = Decorated.apply(a, a)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="to have the same dtype"):
        bare.sum().backward()
    decorated.sum().backward()
    torch.testing.assert_close(a.grad, torch.full((2, 2), 4.0))


def best_error(dtype: torch.dtype) -> float:
    x = torch.ones(1, dtype=dtype)
    errors = []
    for exponent in range(1, 11):
        step = torch.tensor(10.0**-exponent, dtype=dtype)
        quotient = (torch.sin(x + step) - torch.sin(x - step)) / (2 * step)
        errors.append(abs(quotient.item() - math.cos(1)))
    return min(errors)


def test_float64_differences_are_better_by_orders_of_magnitude() -> None:
    assert best_error(torch.float64) * 1e4 < best_error(torch.float32)


def test_gradcheck_accepts_sin_in_float64_and_rejects_it_in_float32() -> None:
    x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(torch.sin, x)
    with (
        pytest.warns(UserWarning, match="not a double precision"),
        pytest.raises(RuntimeError, match="Jacobian mismatch"),
    ):
        torch.autograd.gradcheck(torch.sin, x.detach().float().requires_grad_())


def test_the_checker_rejects_a_wrong_complex_gradient() -> None:
    def conjugated(z: Tensor) -> Tensor:
        """The values of z ** 2 with the gradient of its conjugate."""
        wrong = z.conj().resolve_conj() ** 2
        return wrong + (z**2 - wrong).detach()

    z = complex_leaf(1, 2)
    assert torch.autograd.gradcheck(lambda z: z**2, z)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(conjugated, z)


def test_autocast_keeps_parameters_and_their_gradients_in_float32() -> None:
    layer = torch.nn.Linear(2, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(torch.ones(1, 2))
    y.float().sum().backward()
    assert layer.weight.grad is not None
    dtypes = [layer.weight.dtype, y.dtype, layer.weight.grad.dtype]
    assert dtypes == [torch.float32, torch.bfloat16, torch.float32]


@pytest.mark.parametrize("short", [torch.float16, torch.bfloat16])
@given(exponent=st.integers(-12, -3))
def test_a_gradient_survives_in_float16_if_scaled(exponent: int, short: torch.dtype) -> None:
    def gradient(scale: float) -> float:
        w = torch.tensor(1.0, requires_grad=True)
        (w.to(short).float() * (10.0**exponent * scale)).backward()
        assert w.grad is not None
        return w.grad.item() / scale

    half = torch.finfo(torch.float16)
    smallest = half.smallest_normal * half.eps
    assert smallest == 2.0**-24
    lost = short == torch.float16 and 10.0**exponent < smallest / 2
    assert (gradient(1.0) == 0) == lost
    scale = 2.0 ** round(-exponent * math.log2(10))
    assert gradient(scale) == pytest.approx(10.0**exponent, rel=0.01)


def test_float16_loses_large_values_and_a_small_eps_in_forward() -> None:
    half = torch.finfo(torch.float16)
    assert half.max == 65504
    x = torch.tensor(300.0, requires_grad=True)
    assert x.half().square().isinf()
    assert x.bfloat16().square().isfinite()
    assert torch.tensor(1e-8).half() == 0
    for dtype, eps, fine in (
        (torch.float32, 1e-8, True),
        (torch.float16, 1e-8, False),
        (torch.float16, 1e-4, True),
        (torch.bfloat16, 1e-8, True),
    ):
        h = torch.zeros(2, dtype=dtype, requires_grad=True)
        (h / (h.abs().sum() + eps)).sum().backward()
        assert h.grad is not None
        assert h.grad.isfinite().all() == fine


def bfloat16(value: float) -> float:
    return torch.tensor(value, dtype=torch.bfloat16).item()


def test_bfloat16_stands_still_at_256_and_a_float32_gradient_does_not() -> None:
    assert [bfloat16(v) for v in (255.0, 256.0, 257.0, 258.0, 300.0)] == [255, 256, 256, 258, 300]
    p = torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True)
    q: Any = torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True)
    q.grad_dtype = torch.float32
    for _ in range(300):
        (p * 1).backward()
        (q * 1).backward()
    assert p.grad == 256
    assert q.grad == 300
    assert q.grad.dtype == torch.float32


def test_an_assigned_gradient_must_have_the_dtype() -> None:
    p: Any = torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True)
    with pytest.raises(RuntimeError, match="attempting to assign a gradient with dtype 'float'"):
        p.grad = torch.tensor(1.0)
    p.grad_dtype = torch.float32
    p.grad = torch.tensor(1.0)


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "abs squared": lambda z: z.abs() ** 2,
    "abs": lambda z: z.abs(),
    "real part of the square": lambda z: (z**2).real,
    "imaginary part": lambda z: z.imag,
    "angle": lambda z: z.angle(),
    "a mixture": lambda z: ((z * (1 + 2j)).sin() / z).abs() + z.real * z.imag,
}


@pytest.mark.parametrize("name", LOSSES)
@given(x0=PARTS, y0=PARTS)
def test_the_complex_gradient_is_that_of_two_real_variables(
    name: str, x0: float, y0: float
) -> None:
    z = complex_leaf(x0, y0)
    x = torch.tensor(x0, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(y0, dtype=torch.float64, requires_grad=True)
    dx, dy = torch.autograd.grad(LOSSES[name](torch.complex(x, y)), (x, y))
    torch.testing.assert_close(grad_of(LOSSES[name](z), z), torch.complex(dx, dy))


@given(x=PARTS, y=PARTS)
def test_it_is_twice_the_conjugate_wirtinger_derivative(x: float, y: float) -> None:
    """By finite differences, with the factor one half of the definition."""
    z, h = complex(x, y), 1e-6
    dx = (abs(z + h) ** 2 - abs(z - h) ** 2) / (2 * h)
    dy = (abs(z + 1j * h) ** 2 - abs(z - 1j * h) ** 2) / (2 * h)
    wirtinger = (dx + 1j * dy) / 2
    leaf = complex_leaf(x, y)
    assert grad_of(leaf.abs() ** 2, leaf).item() == pytest.approx(2 * wirtinger, abs=1e-6)
    assert wirtinger == pytest.approx(z, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@given(x=PARTS, y=PARTS)
def test_no_other_direction_descends_faster(name: str, x: float, y: float) -> None:
    z = complex_leaf(x, y)
    gradient = grad_of(LOSSES[name](z), z)
    steepest = -gradient / gradient.abs()
    for angle in torch.linspace(0, 2 * math.pi, 12, dtype=torch.float64):
        turned = steepest * torch.polar(torch.ones_like(angle), angle)
        slope = (gradient.conj() * turned).real
        assert slope >= -gradient.abs() - 1e-9
        ahead, behind = (LOSSES[name](z.detach() + s * 1e-6 * turned) for s in (1, -1))
        if name != "angle":  # it jumps at the negative axis
            torch.testing.assert_close((ahead - behind) / 2e-6, slope, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_optimizers_descend_with_complex_parameters(optimizer: Any) -> None:
    z = complex_leaf(3, 4)
    steps = optimizer([z], lr=0.1)
    for _ in range(300):
        steps.zero_grad()
        ((z - (1 - 1j)).abs() ** 2).backward()
        steps.step()
    assert abs(z.item() - (1 - 1j)) < 1e-3


def test_a_complex_result_has_no_default_starting_gradient() -> None:
    z = complex_leaf(3, 4)
    with pytest.raises(RuntimeError, match="only for real scalar outputs but got"):
        (z**2).backward()


@given(x=PARTS, y=PARTS, v=st.builds(complex, PARTS, PARTS))
def test_the_rule_of_a_holomorphic_function_conjugates_its_derivative(
    x: float, y: float, v: complex
) -> None:
    z = complex_leaf(x, y)
    (gradient,) = torch.autograd.grad(z**2, z, torch.tensor(v, dtype=torch.complex128))
    torch.testing.assert_close(gradient, (2 * z).conj() * v)


@given(x0=PARTS)
def test_a_real_leaf_gets_a_real_gradient(x0: float) -> None:
    x = torch.tensor(x0, dtype=torch.float64, requires_grad=True)
    z = x * (1 + 1j)
    at_z, at_x = torch.autograd.grad(z.abs() ** 2, (z, x))
    assert at_z.item() == pytest.approx(2 * z.item())
    assert at_x.dtype == torch.float64
    assert at_x.item() == pytest.approx(4 * x0)


def test_a_cast_to_a_real_dtype_is_the_real_part_with_a_warning() -> None:
    z = complex_leaf(3, 4)
    torch.set_warn_always(True)
    try:
        with pytest.warns(UserWarning, match="Casting complex values to real discards"):
            cast = z.double()
    finally:
        torch.set_warn_always(False)
    assert grad_of(cast, z) == grad_of(z.real, z) == 1


@given(st.lists(PARTS, min_size=2, max_size=6))
def test_the_gradient_of_a_power_spectrum_is_real_and_parsevals(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    gradient = grad_of(torch.fft.fft(x).abs().square().sum(), x)
    torch.testing.assert_close(gradient, 2 * len(values) * x.detach())


def test_mse_loss_takes_no_complex_numbers_and_the_squared_distance_does() -> None:
    z = complex_leaf(1, 2)
    with pytest.raises(NotImplementedError, match="not implemented for 'Complex"):
        F.mse_loss(z, torch.zeros_like(z))
    assert grad_of((z - (2 + 4j)).abs().square().mean(), z) == -2 - 4j
