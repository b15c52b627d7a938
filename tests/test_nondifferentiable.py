"""The claims of the lesson on missing derivatives, each against mathematics or an oracle."""

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

Function = Callable[[Tensor], Tensor]

ZERO = torch.zeros((), dtype=torch.float64)
FINITE = st.floats(-1e3, 1e3)
POSITIVE = st.floats(1e-3, 1e3)


def gradient(f: Function, *at: float) -> list[float]:
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(f(x).sum(), x)
    return grad.tolist()


def slope(f: Function, at: float = 0.0) -> float:
    (value,) = gradient(f, at)
    return value


CONVEX: dict[str, Function] = {
    "abs": torch.abs,
    "relu": torch.relu,
    "maximum": lambda x: torch.maximum(x, ZERO),
    "clamp": lambda x: x.clamp(min=0),
    "norm": torch.norm,
    "leaky_relu": torch.nn.functional.leaky_relu,
}


@pytest.mark.parametrize("f", CONVEX.values(), ids=CONVEX)
@given(FINITE)
def test_what_torch_chooses_at_a_corner_is_a_subgradient(f: Function, u: float) -> None:
    x = torch.tensor([u], dtype=torch.float64)
    assert f(x).item() >= slope(f) * u - 1e-12


# torch 2.14 gives `clamp` the smallest norm as well, and exercise 1 then says 0 for it.
@pytest.mark.parametrize(
    ("name", "smallest"),
    [("abs", True), ("relu", True), ("leaky_relu", True), ("norm", True), ("clamp", False)],
)
def test_it_has_the_smallest_norm_except_for_clamp(name: str, smallest: bool) -> None:
    f, h = CONVEX[name], 1e-6
    steps = [(f(torch.tensor([d], dtype=torch.float64)).item()) / d for d in (-h, h)]
    left, right = steps
    nearest_to_zero = min(max(0.0, left), right)
    assert (slope(f) == pytest.approx(nearest_to_zero)) is smallest


def test_maximum_shares_a_tie_between_its_arguments() -> None:
    a, b = (torch.zeros((), requires_grad=True) for _ in range(2))
    torch.maximum(a, b).backward()
    assert [a.grad, b.grad] == [0.5, 0.5]


def test_the_comparison_decides_at_a_corner_of_your_own() -> None:
    assert slope(lambda x: torch.where(x > 0, x, -x)) == -1
    assert slope(lambda x: torch.where(x >= 0, x, -x)) == 1


@given(st.lists(st.integers(0, 3).map(float), min_size=1, max_size=9))
def test_ties_are_shared_or_go_to_one_index(values: list[float]) -> None:
    share = [float(v == max(values)) / values.count(max(values)) for v in values]
    assert gradient(torch.max, *values) == pytest.approx(share)
    assert gradient(torch.amax, *values) == pytest.approx(share)
    index = torch.tensor(values).max(dim=0).indices.item()
    one = [float(i == index) for i in range(len(values))]
    assert gradient(lambda x: x.max(dim=0).values, *values) == one


@pytest.mark.parametrize("f", [torch.round, torch.floor, torch.ceil, torch.trunc, torch.sign])
@given(FINITE)
def test_steps_have_slope_zero_even_at_the_jump(f: Function, at: float) -> None:
    assert slope(f, at) == slope(f, 0.5) == slope(f, 0.0) == 0


def test_results_that_are_not_floating_have_no_edge() -> None:
    x = torch.tensor([0.2, 1.7], requires_grad=True)
    assert x.round().requires_grad
    for result in (x > 1, x == 1, x.argmax(), x.argsort(), x.int(), x.isnan()):
        assert (result.requires_grad, result.grad_fn) == (False, None)


def test_requires_grad_on_the_loss_adds_no_edge() -> None:
    x = torch.tensor([0.2, 1.7], requires_grad=True)
    loss = (x.argmax() != 0).float()
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        loss.backward()
    loss.requires_grad = True
    loss.backward()
    assert x.grad is None


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_picked_elements_get_a_contribution_per_pick(indices: list[int]) -> None:
    counts = [float(indices.count(i)) for i in range(5)]
    assert gradient(lambda x: x[indices], *[1.0] * 5) == counts


def straight_through(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()


@given(FINITE, FINITE)
def test_straight_through_rounds_forward_and_passes_backward(at: float, factor: float) -> None:
    x = torch.tensor([at], dtype=torch.float64)
    torch.testing.assert_close(straight_through(x), x.round())
    assert slope(lambda x: factor * straight_through(x), at) == factor


def test_the_checker_rejects_the_straight_through_slope() -> None:
    x = torch.tensor([0.2, 1.7], dtype=torch.float64, requires_grad=True)
    assert gradcheck(torch.round, x)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(straight_through, x)


def test_hard_gumbel_softmax_is_one_hot_and_still_has_a_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 3, requires_grad=True)
    hard = torch.nn.functional.gumbel_softmax(x, hard=True)
    assert hard.detach().sort().values.allclose(torch.tensor([0.0, 0.0, 1.0]))
    (grad,) = torch.autograd.grad(hard[:, 0].sum(), x)
    assert grad.abs().min() > 0


def test_root_norm_and_power_at_zero() -> None:
    assert slope(torch.sqrt) == math.inf
    assert math.isnan(slope(lambda x: (x * x).sqrt()))
    assert gradient(torch.norm, 0, 0, 0) == [0, 0, 0]
    assert slope(lambda x: x**0) == 0
    assert slope(lambda x: (x * x + 1e-12).sqrt()) == 0


@given(st.lists(POSITIVE, min_size=1, max_size=4))
def test_away_from_zero_norm_and_root_of_squares_agree(values: list[float]) -> None:
    expected = [v / math.hypot(*values) for v in values]
    assert gradient(torch.norm, *values) == pytest.approx(expected)
    assert gradient(lambda x: (x * x).sum().sqrt(), *values) == pytest.approx(expected)


DANGEROUS: dict[str, tuple[Function, float]] = {
    "sqrt at 0": (torch.sqrt, 0.0),
    "sqrt below 0": (torch.sqrt, -1.0),
    "log": (torch.log, 0.0),
    "division": (lambda x: 1 / x, 0.0),
    "acos": (torch.acos, 1.0),
    "exp": (torch.exp, 1000.0),
}


@pytest.mark.parametrize(("f", "bad"), DANGEROUS.values(), ids=DANGEROUS)
def test_where_poisons_once_and_twice_cures(f: Function, bad: float) -> None:
    def once(x: Tensor) -> Tensor:
        return torch.where(x == bad, 7.0, f(x))

    def twice(x: Tensor) -> Tensor:
        return torch.where(x == bad, 7.0, f(torch.where(x == bad, 0.5, x)))

    x = torch.tensor([bad, 0.25], dtype=torch.float64)
    assert torch.equal(once(x), twice(x))
    assert once(x).isfinite().all()
    poisoned, good = gradient(once, bad, 0.25)
    assert math.isnan(poisoned)
    assert gradient(twice, bad, 0.25) == [0, good]
    assert good == slope(f, 0.25)


@given(st.lists(FINITE, min_size=1, max_size=6))
def test_two_wheres_and_selecting_first_give_the_derivative_of_the_pieces(
    values: list[float],
) -> None:
    def twice(x: Tensor) -> Tensor:
        return torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)

    expected = [0.5 / math.sqrt(v) if v > 0 else 0.0 for v in values]
    assert gradient(twice, *values) == pytest.approx(expected)
    assert gradient(lambda x: x[x > 0].sqrt(), *values) == pytest.approx(expected)


def test_two_wheres_agree_with_finite_differences() -> None:
    def twice(x: Tensor) -> Tensor:
        return torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)

    assert gradcheck(twice, torch.tensor([-1.0, 4.0], dtype=torch.float64, requires_grad=True))


def test_the_branch_not_chosen_gets_zeros() -> None:
    a, b = (torch.ones(3, requires_grad=True) for _ in range(2))
    torch.where(torch.tensor([True, False, True]), a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.tolist(), b.grad.tolist()) == ([1, 0, 1], [0, 1, 0])


@pytest.mark.parametrize(
    "late",
    [
        lambda x: (x > 0) * x.sqrt(),
        lambda x: x.sqrt()[x > 0],
        lambda x: x.sqrt().masked_fill(x <= 0, 0),
        lambda x: x.sqrt().nan_to_num(),
    ],
)
def test_a_mask_behind_the_root_comes_too_late(late: Function) -> None:
    below, zero, above = gradient(late, -1, 0, 4)
    assert not math.isfinite(below)
    assert not math.isfinite(zero)
    assert above == 0.25


def poisoned(x: Tensor) -> Tensor:
    return torch.where(x > 0, x.sqrt(), 0.0)


@pytest.mark.parametrize("forward_too", [True, False])
def test_anomaly_mode_names_the_node_and_the_line_of_a_forward_pass_it_saw(
    forward_too: bool,
) -> None:
    x = torch.zeros(1, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        with torch.autograd.set_detect_anomaly(forward_too):
            y = poisoned(x)
        with (
            torch.autograd.set_detect_anomaly(True),
            pytest.raises(RuntimeError, match="'SqrtBackward0' returned nan values in its 0th"),
        ):
            y.backward()
    assert ("x.sqrt()" in str(caught[-1].message)) is forward_too


def test_anomaly_mode_lets_infinity_pass() -> None:
    x = torch.zeros(1, requires_grad=True)
    with torch.autograd.set_detect_anomaly(True):
        x.sqrt().backward()
    assert x.grad == math.inf


@pytest.mark.parametrize(("piece", "at_zero"), [("relu", 0), ("maximum", 1), ("clamp", 2)])
def test_choices_of_the_pieces_need_not_add_up(piece: str, at_zero: float) -> None:
    def identity(x: Tensor) -> Tensor:
        return CONVEX[piece](x) - CONVEX[piece](-x)

    assert slope(identity) == at_zero
    assert slope(identity, 1.0) == slope(identity, -1.0) == 1


POSITIONS = torch.arange(4, dtype=torch.float64)


def soft_argmax(x: Tensor) -> Tensor:
    return x.softmax(-1) @ POSITIONS


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_the_soft_argmax_has_the_gradient_of_its_formula(values: list[float]) -> None:
    p = torch.tensor(values, dtype=torch.float64).softmax(-1)
    expected = p * (POSITIONS - p @ POSITIONS)
    assert gradient(soft_argmax, *values) == pytest.approx(expected.tolist())


def test_a_sharper_soft_argmax_is_nearer_to_argmax_and_flatter() -> None:
    scores = torch.tensor([3.0, 1.0, 2.0, 0.0], dtype=torch.float64)
    away, slopes = [], []
    for sharpness in 1.0, 5.0, 20.0:
        away.append(abs(soft_argmax(sharpness * scores).item()))
        steep = gradient(lambda x, k=sharpness: soft_argmax(k * x), *scores.tolist())  # type: ignore[misc]
        slopes.append(max(map(abs, steep)))
    assert away == sorted(away, reverse=True)
    assert slopes == sorted(slopes, reverse=True)


@given(st.lists(st.floats(-9, 9), min_size=3, max_size=8, unique=True))
def test_topk_and_sort_send_the_gradient_to_where_the_values_came_from(
    values: list[float],
) -> None:
    largest = sorted(values, reverse=True)[:2]
    weights = torch.tensor([5.0, 7.0], dtype=torch.float64)
    expected = [5.0 * (v == largest[0]) + 7.0 * (v == largest[1]) for v in values]
    assert gradient(lambda x: x.topk(2).values * weights, *values) == expected
    ranks = torch.arange(len(values), dtype=torch.float64)
    by_rank = [float(sorted(values).index(v)) for v in values]
    assert gradient(lambda x: x.sort().values * ranks, *values) == by_rank


def test_the_sum_of_a_softmax_is_no_test_of_its_edge() -> None:
    x = torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64, requires_grad=True)
    (of_sum,) = torch.autograd.grad(x.softmax(0).sum(), x)
    (of_one,) = torch.autograd.grad(x.softmax(0)[0], x)
    torch.testing.assert_close(of_sum, torch.zeros_like(x))
    assert (of_one.abs() > 0.05).all()


def test_what_has_no_edge_and_what_fails_only_in_backward() -> None:
    x = torch.tensor([0.2, 0.9, 0.5], requires_grad=True)
    for unconnected in (
        x.topk(2).indices,
        x.sort().indices,
        x.long(),
        x.histc(3),
        torch.bucketize(x, x.detach()),
    ):
        assert unconnected.grad_fn is None
    for node in (x.unique(), torch.heaviside(x, x)):
        with pytest.raises(RuntimeError, match=r"derivative for .* not implemented"):
            node.sum().backward()
    assert gradient(torch.bernoulli, 0.2, 0.9, 0.5) == [0, 0, 0]


@given(FINITE)
def test_the_sign_that_learns(at: float) -> None:
    def sign(x: Tensor) -> Tensor:
        inside = x.clamp(-1, 1)
        return inside + (x.sign() - inside).detach()

    x = torch.tensor([at], dtype=torch.float64)
    torch.testing.assert_close(sign(x), x.sign())
    assert slope(sign, at) == float(-1 <= at <= 1)
