"""The claims of the lesson on several losses, each against mathematics or an oracle."""

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from livecell import Runner

INTEGERS = st.integers(-9, 9).map(float)
VECTORS = st.lists(INTEGERS, min_size=3, max_size=3).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


@given(VECTORS, VECTORS, INTEGERS)
def test_the_gradient_of_a_weighted_sum_is_the_weighted_sum(
    a: Tensor, b: Tensor, weight: float
) -> None:
    w = leaf(1.0, -2.0, 3.0)
    first, second = (w - a).square().sum(), (w - b).square().sum()
    (g1,) = torch.autograd.grad(first, w, retain_graph=True)
    (g2,) = torch.autograd.grad(second, w, retain_graph=True)
    assert w.grad is None
    (first + weight * second).backward()
    assert w.grad is not None
    assert torch.equal(w.grad, g1 + weight * g2)


def test_a_loss_that_misses_a_parameter() -> None:
    used, unused = leaf(1.0), leaf(2.0)
    loss = (3 * used).sum()
    with pytest.raises(RuntimeError, match="at index 1 appears to not have been used"):
        torch.autograd.grad(loss, [used, unused], retain_graph=True)
    got = torch.autograd.grad(loss, [used, unused], allow_unused=True, retain_graph=True)
    assert [None if g is None else g.item() for g in got] == [3, None]
    zeros = torch.autograd.grad(loss, [used, unused], materialize_grads=True)
    assert zeros[1].tolist() == [0]


def pcgrad(grads: list[Tensor]) -> Tensor:
    projected = []
    for i, g in enumerate(grads):
        for j in torch.randperm(len(grads)).tolist():
            dot = g @ grads[j]
            if j != i and dot < 0:
                g = g - dot / (grads[j] @ grads[j]) * grads[j]
        projected.append(g)
    return torch.stack(projected).sum(0)


@given(VECTORS, VECTORS)
def test_pcgrad_of_two_is_downhill_for_both(g1: Tensor, g2: Tensor) -> None:
    combined = pcgrad([g1, g2])
    dot = g1 @ g2
    if dot >= 0:
        assert torch.equal(combined, g1 + g2)
        return
    for mine, other in (g1, g2), (g2, g1):
        sine_squared = 1 - dot**2 / (mine @ mine) / (other @ other)
        torch.testing.assert_close(combined @ mine, mine @ mine * sine_squared, atol=1e-9, rtol=0)
        assert combined @ mine >= -1e-9


def test_the_plain_sum_may_be_uphill() -> None:
    """The property above can fail: it does for the sum of the lesson's gradients."""
    g1, g2 = torch.tensor([5.0, 0.0]), torch.tensor([-6.0, 8.0])
    assert (g1 + g2) @ g1 == -5
    assert pcgrad([g1, g2]) @ g1 > 0


def test_with_three_losses_the_order_of_projections_matters() -> None:
    g, a, b = (torch.tensor(v) for v in ([1.0, 0.0], [-1.0, 1.0], [-1.0, -2.0]))

    def project(g: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            if g @ other < 0:
                g = g - g @ other / (other @ other) * other
        return g

    assert not torch.allclose(project(g, a, b), project(g, b, a))
    # and the later projection undoes the earlier one
    assert project(g, a, b) @ a < 0


@given(VECTORS, st.floats(0.1, 20))
def test_clipping_by_norm_keeps_the_direction(g: Tensor, limit: float) -> None:
    w = leaf(0.0, 0.0, 0.0)
    w.grad = g.clone()
    before = clip_grad_norm_([w], limit)
    torch.testing.assert_close(before, g.norm())
    torch.testing.assert_close(w.grad, g * min(1, limit / (g.norm().item() + 1e-6)))


@given(VECTORS, st.floats(0.1, 20))
def test_clipping_by_value_cuts_each_entry(g: Tensor, limit: float) -> None:
    w = leaf(0.0, 0.0, 0.0)
    w.grad = g.clone()
    clip_grad_value_([w], limit)
    assert torch.equal(w.grad, g.clamp(-limit, limit))


def test_clipping_does_not_heal_an_infinite_gradient() -> None:
    w = leaf(0.0, 0.0)
    w.grad = torch.tensor([math.inf, 4.0], dtype=torch.float64)
    clip_grad_norm_([w], 1.0)
    assert w.grad[0].isnan()
    assert w.grad[1] == 0
    w.grad = torch.tensor([math.inf, 4.0], dtype=torch.float64)
    with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
        clip_grad_norm_([w], 1.0, error_if_nonfinite=True)
    w.grad = torch.tensor([math.inf, math.nan], dtype=torch.float64)
    clip_grad_value_([w], 1.0)
    assert w.grad[0] == 1
    assert w.grad[1].isnan()


@given(INTEGERS, INTEGERS, INTEGERS, INTEGERS)
def test_who_gets_gradients_in_the_two_steps_of_a_gan(
    g0: float, d0: float, z: float, real: float
) -> None:
    def passes(detach: bool) -> tuple[list[Any], list[Any]]:
        g, d = number(g0), number(d0)
        fake = g * z
        (d * (fake.detach() if detach else fake) - d * real).backward()
        first = [g.grad, d.grad.clone() if d.grad is not None else None]
        if first[0] is not None:
            first[0] = first[0].clone()
        (-d * (g * z)).backward()
        return first, [g.grad, d.grad]

    leaked, after_leak = passes(detach=False)
    assert leaked == [d0 * z, g0 * z - real]
    assert after_leak[0] == 0
    clean, after = passes(detach=True)
    assert clean == [None, g0 * z - real]
    assert after == [-d0 * z, -real]


def test_inputs_spares_the_discriminator() -> None:
    g, d = number(2.0), number(3.0)
    (-d * g).backward(inputs=[g])
    assert g.grad == -3
    assert d.grad is None


@given(VECTORS)
def test_the_gradient_of_a_penalty_on_a_linear_slope(v0: Tensor) -> None:
    assume(v0.norm() > 0)
    v, x = v0.clone().requires_grad_(), leaf(1.0, 1.0, 1.0)
    (slope,) = torch.autograd.grad(v @ x, x, create_graph=True)
    (slope.norm() - 1).square().backward()
    torch.testing.assert_close(v.grad, 2 * (v0.norm() - 1) * v0 / v0.norm())


def test_the_gradient_of_a_penalty_agrees_with_finite_differences() -> None:
    weight = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    points = torch.randn(5, 2, dtype=torch.float64)

    def penalty(weight: Tensor) -> Tensor:
        x = points.clone().requires_grad_()
        scores = torch.tanh(x @ weight.T).sum(1)
        (slopes,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        squares: Tensor = (slopes.norm(dim=1) - 1).square()
        return squares.mean()

    assert torch.autograd.gradcheck(penalty, weight)


@pytest.mark.parametrize("divide", [False, True])
def test_a_penalty_with_a_scaler_needs_the_unscaled_slope(divide: bool) -> None:
    v = torch.tensor([3.0, 4.0], requires_grad=True)
    x = torch.tensor([1.0, 1.0], requires_grad=True)
    optimizer = torch.optim.SGD([v], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    (slope,) = torch.autograd.grad(scaler.scale(v @ x), x, create_graph=True)
    if divide:
        slope = slope / scaler.get_scale()
    scaler.scale((slope.norm() - 1).square()).backward()
    scaler.unscale_(optimizer)
    right = torch.tensor([4.8, 6.4])
    assert v.grad is not None
    assert torch.allclose(v.grad, right) == divide


def test_without_create_graph_the_penalty_is_a_constant() -> None:
    v, x = leaf(3.0, 4.0), leaf(1.0, 1.0)
    score = v @ x
    (slope,) = torch.autograd.grad(score, x, retain_graph=True)
    penalty = (slope.norm() - 1).square()
    (score + penalty).backward(inputs=[v])
    assert v.grad is not None
    assert torch.equal(v.grad, x.detach())
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        penalty.backward()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_sum_trick_needs_scores_of_their_own(batch_norm: bool) -> None:
    layers = [nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)]
    if batch_norm:
        layers.insert(1, nn.BatchNorm1d(4))
    net = nn.Sequential(*layers).double()
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    (together,) = torch.autograd.grad(net(x).sum(), x)
    alone = torch.stack([torch.autograd.grad(net(x)[i].sum(), x)[0][i] for i in range(6)])
    assert torch.allclose(together, alone) is not batch_norm


def test_the_gan_of_the_lesson_finds_the_data() -> None:
    torch.manual_seed(1)
    gen = nn.Linear(1, 1)
    dis = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    opt_g = torch.optim.Adam(gen.parameters(), lr=0.02, betas=(0.5, 0.9))
    opt_d = torch.optim.Adam(dis.parameters(), lr=0.05, betas=(0.5, 0.9))
    for _ in range(400):
        real = (4 + 0.5 * torch.randn(64, 1)).requires_grad_()
        fake = gen(torch.randn(64, 1))
        opt_d.zero_grad()
        score = dis(real)
        loss = softplus(dis(fake.detach())).mean() + softplus(-score).mean()
        (slopes,) = torch.autograd.grad(score.sum(), real, create_graph=True)
        (loss + 0.3 * slopes.square().mean()).backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-dis(fake)).mean().backward()
        opt_g.step()
    samples = gen(torch.randn(1000, 1))
    assert abs(samples.mean().item() - 4) < 0.5
    assert 0.2 < samples.std().item() < 1


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(x: Any, factor: float) -> Any:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return -ctx.factor * grad, None


def by_function(x: Tensor, factor: float) -> Tensor:
    out: Tensor = Reverse.apply(x, factor)  # type: ignore[no-untyped-call]
    return out


def by_detach(x: Tensor, factor: float) -> Tensor:
    return (1 + factor) * x.detach() - factor * x


@pytest.mark.parametrize("reverse", [by_function, by_detach])
def test_a_reversal_keeps_the_value_and_turns_the_gradient(reverse: Any) -> None:
    encoder, label, domain = number(2.0), number(3.0), number(4.0)
    (label * encoder + domain * reverse(encoder, 0.5)).backward()
    assert label.grad == 2
    assert domain.grad == 2
    assert encoder.grad == 3 - 0.5 * 4


def test_gradcheck_refuses_a_reversal_unless_it_reverses_nothing() -> None:
    x = leaf(0.3, -2.0)
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0"):
        torch.autograd.gradcheck(lambda x: by_function(x, 0.5), x)
    assert torch.autograd.gradcheck(lambda x: by_function(x, -1.0), x)


@given(VECTORS, VECTORS)
def test_equal_pulls_are_downhill_for_both(g1: Tensor, g2: Tensor) -> None:
    assume(g1.norm() > 0 and g2.norm() > 0)
    balanced = g1 + g1.norm() / g2.norm() * g2
    assume(balanced.norm() > 1e-6)
    assert balanced @ g1 > 0
    assert balanced @ g2 > 0


@given(st.floats(0.1, 100))
def test_a_learned_weight_settles_at_one_over_the_loss(loss: float) -> None:
    s = number(math.log(loss))
    (torch.exp(-s) * loss + s).backward()
    assert s.grad is not None
    assert abs(s.grad.item()) < 1e-12
    assert math.exp(-s.item()) == pytest.approx(1 / loss)


def test_the_typed_numbers_are_those_of_the_run(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("multiple_losses").cells}
    assert "g1 = tensor([5., 0.])\ng2 = tensor([-6.,  8.])" in cells["each"]
    assert "w.grad = tensor([1.5000, 2.0000])" in cells["clip_norm"]
    assert "d.grad = tensor(-3.)" in cells["gan_two_steps"]
    assert "d.grad = tensor(-5.)" in cells["gan_generator"]
    assert "tensor([4.8000, 6.4000])" in cells["penalty"]
    assert "encoder.grad = tensor(1.)" in cells["reversal"]
