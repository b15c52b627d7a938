"""The claims of the lesson on random numbers, each against mathematics or an oracle."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import grad, gradcheck
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Exponential,
    Gamma,
    Laplace,
    Multinomial,
    Normal,
    Poisson,
    Uniform,
    kl_divergence,
)
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from livecell import Runner

MANY = 100_000
PROBABILITIES = st.lists(st.floats(0.05, 1), min_size=2, max_size=6)


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def near(estimates: Tensor, expected: float | Tensor) -> bool:
    """Whether the mean of the estimates is the expected value, within five standard errors."""
    error = estimates.std(0) / math.sqrt(len(estimates))
    return bool(((estimates.mean(0) - expected).abs() <= 5 * error + 1e-12).all())


def test_the_checker_finds_a_mean_that_is_off() -> None:
    torch.manual_seed(0)
    draws = torch.randn(MANY)
    assert near(draws, 0)
    assert not near(draws, 0.03)


def draws() -> dict[str, Callable[[Tensor], Tensor]]:
    return {
        "normal": lambda p: torch.normal(p, p),
        "normal, fixed deviation": lambda p: torch.normal(p, 1.0),
        "bernoulli": torch.bernoulli,
        "poisson": torch.poisson,
        "uniform_": lambda p: p.clone().uniform_(),
        "normal_": lambda p: p.clone().normal_(),
    }


@pytest.mark.parametrize("draw", draws().values(), ids=draws())
def test_recorded_draws_have_slope_zero(draw: Callable[[Tensor], Tensor]) -> None:
    p = leaf(0.2, 0.5, 0.9)
    z = draw(p)
    assert z.requires_grad
    assert grad((z * 7).sum(), p)[0].tolist() == [0, 0, 0]


def test_draws_without_a_graph() -> None:
    p = leaf(0.2, 0.5, 0.9)
    unrecorded = Normal(p, p).sample(), Categorical(p).sample(), p.multinomial(2)
    for z in (*unrecorded, torch.rand_like(p), Bernoulli(p).sample()):
        assert not z.requires_grad
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        Normal(p, p).sample().sum().backward()


@given(st.floats(-3, 3), st.floats(0.1, 3), st.integers(0, 1000))
def test_rsample_is_mean_plus_deviation_times_noise(m: float, s: float, seed: int) -> None:
    mu, sigma = leaf(m), leaf(s)
    torch.manual_seed(seed)
    z = Normal(mu, sigma).rsample()
    torch.manual_seed(seed)
    eps = torch.randn(1, dtype=torch.float64)
    assert torch.equal(z, mu + sigma * eps)
    gradients = grad(z.square().sum(), [mu, sigma])
    torch.testing.assert_close(gradients, (2 * z.detach(), 2 * z.detach() * eps))


def test_the_reparameterized_gradient_is_right_on_average() -> None:
    torch.manual_seed(0)
    mu, sigma = (leaf(v).expand(MANY).clone().detach().requires_grad_() for v in (1.5, 1.0))
    z = mu + sigma * torch.randn(MANY, dtype=torch.float64)
    by_mu, by_sigma = grad(z.square().sum(), [mu, sigma])
    assert near(by_mu, 2 * 1.5)
    assert near(by_sigma, 2 * 1.0)


@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=5))
def test_the_divergence_of_the_page_is_that_of_torch(pairs: list[tuple[float, float]]) -> None:
    mean, log_var = (leaf(*column) for column in zip(*pairs, strict=True))
    kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
    ours = grad(kl, [mean, log_var], retain_graph=True)
    std = (0.5 * log_var).exp()
    torch_kl = kl_divergence(Normal(mean, std), Normal(torch.zeros_like(mean), 1.0)).sum()
    torch.testing.assert_close(kl, torch_kl)
    torch.testing.assert_close(ours, grad(torch_kl, [mean, log_var]))
    closed = mean.detach(), (log_var.detach().exp() - 1) / 2
    torch.testing.assert_close(ours, closed)


def test_which_distributions_can_be_reparameterized() -> None:
    continuous: list[type[Distribution]] = [Normal, Laplace, Uniform, Exponential, Gamma, Beta]
    discrete: list[type[Distribution]] = [Bernoulli, Categorical, Multinomial, Poisson]
    assert all(kind.has_rsample for kind in continuous)
    assert not any(kind.has_rsample for kind in discrete)
    with pytest.raises(NotImplementedError):
        Categorical(torch.ones(3)).rsample()


@given(PROBABILITIES, st.data())
def test_the_mean_of_the_score_gradient_is_the_exact_gradient(
    weights: list[float], data: st.DataObject
) -> None:
    """Not by drawing: the sum over all actions, each with its probability."""
    logits = torch.tensor(weights, dtype=torch.float64).log().requires_grad_()
    reward = torch.tensor(data.draw(st.lists(st.floats(-5, 5), min_size=len(weights))))
    reward = reward[: len(weights)].double()
    p = logits.softmax(0)
    (exact,) = grad(p @ reward, logits, retain_graph=True)
    p = p.detach()
    torch.testing.assert_close(exact, p * (reward - p @ reward))
    actions = torch.arange(len(weights))
    for baseline in 0.0, 3.0:
        log_prob = Categorical(logits=logits).log_prob(actions)
        (mean,) = grad((p * (reward - baseline) * log_prob).sum(), logits)
        torch.testing.assert_close(mean, exact)


def test_log_prob_is_one_element_of_log_softmax() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3)
    action = logits.softmax(-1).multinomial(1)
    by_hand = logits.log_softmax(-1).gather(-1, action)
    torch.testing.assert_close(Categorical(logits=logits).log_prob(action[:, 0]), by_hand[:, 0])


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(0, 2))
def test_a_policy_loss_pulls_an_attached_critic_by_log_prob(
    reward: float, at: float, action: int
) -> None:
    logits, value = leaf(0, 0, 0), leaf(at)
    log_prob = Categorical(logits=logits).log_prob(torch.tensor(action))
    advantage = reward - value
    (attached,) = grad((-log_prob * advantage).sum(), value, retain_graph=True)
    assert attached.item() == pytest.approx(-math.log(3))
    policy_loss = (-log_prob * advantage.detach()).sum()
    assert grad(policy_loss, value, allow_unused=True, retain_graph=True)[0] is None
    (own,) = grad(advantage.square().sum(), value)
    assert own.item() == pytest.approx(2 * (at - reward))


def test_the_variances_are_those_of_the_moments_of_the_normal_distribution(
    runner: Runner,
) -> None:
    """E[e²], E[e⁴], E[e⁶] are 1, 3, 15; odd moments are 0."""
    m = 1.5
    f2_e2 = m**4 * 1 + 6 * m**2 * 3 + 15
    f_e2 = m**2 * 1 + 3
    b = m**2 + 1
    score = f2_e2 - (2 * m) ** 2
    baseline = f2_e2 - 2 * b * f_e2 + b**2 - (2 * m) ** 2
    assert (score, baseline) == (51.5625, 28)
    text = {c.name: c.text() for c in runner.result("sampling").cells}["variances"]
    assert text == f"score = {round(score)}\nbaseline = {round(baseline)}\nreparameterized = 4\n"
    assert round(round(score) / 4) == 13


def test_gumbel_noise_draws_with_the_probabilities() -> None:
    torch.manual_seed(0)
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    gumbel = -torch.log(-torch.log(torch.rand(MANY, 3, dtype=torch.float64)))
    winners = F.one_hot((p.log() + gumbel).argmax(1), 3).double()
    assert near(winners, p)


def test_a_small_temperature_is_less_biased_and_more_noisy() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    loss = torch.tensor([4.0, 1.0, 1.0], dtype=torch.float64)
    reward = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    p = logits.softmax(0)
    exact = p * (loss - p @ loss)
    far, spread = [], []
    for tau in 2.0, 1.0, 0.1:
        many = logits.expand(MANY, 3).clone().requires_grad_()
        y = F.gumbel_softmax(many, tau=tau, hard=True)
        assert y.detach().sort().values.allclose(torch.tensor([0.0, 0, 1]).double())
        (g,) = grad(((y @ reward - 3) ** 2).sum(), many)
        far.append((g.mean(0) - exact).norm().item())
        spread.append(g.std().item())
        assert not near(g, exact) or tau == 0.1
    assert far == sorted(far, reverse=True)
    assert spread == sorted(spread)
    # The score function, by contrast, is right on average.
    many = logits.expand(MANY, 3).clone().requires_grad_()
    action = p.multinomial(MANY, replacement=True)
    log_prob = many.log_softmax(1).gather(1, action[:, None])[:, 0]
    assert near(grad((log_prob * loss[action]).sum(), many)[0], exact)


def test_the_hard_gradient_of_a_loss_that_is_not_quadratic_stays_wrong() -> None:
    """From choice a to b it takes (f'(a) + f'(b)) / 2 for the slope of the chord."""
    torch.manual_seed(0)
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    reward = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    loss = (reward - 3) ** 4
    exact = p * (loss - p @ loss)
    slope = 4 * (reward - 3) ** 3
    steps = reward[:, None] - reward
    trapezoid = (p[:, None] * p * steps * (slope[:, None] + slope) / 2).sum(1)
    assert (trapezoid / exact >= 1.1).all()
    assert trapezoid[0] / exact[0] > 2
    for hard, expected in (True, trapezoid), (False, exact):
        many = p.log().expand(4 * MANY, 3).clone().requires_grad_()
        y = F.gumbel_softmax(many, tau=0.02, hard=hard)
        (g,) = grad(((y @ reward - 3) ** 4).sum(), many)
        assert near(g, expected)


@pytest.mark.parametrize("hard", [True, False])
def test_straight_through_stays_biased_unless_the_loss_is_quadratic(hard: bool) -> None:
    torch.manual_seed(0)
    logits = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    reward = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    p = logits.softmax(0)
    many = logits.expand(MANY, 3).clone().requires_grad_()
    y = F.gumbel_softmax(many, tau=0.05, hard=hard)
    for power, right in (2, True), (4, not hard):
        loss = (reward - 2) ** power
        exact = p * (loss - p @ loss)
        (g,) = torch.autograd.grad(((y @ reward - 2) ** power).sum(), many, retain_graph=True)
        assert near(g, exact) is right


def test_the_mean_over_dropout_masks_is_one() -> None:
    torch.manual_seed(0)
    x = torch.ones(MANY, 1, dtype=torch.float64, requires_grad=True)
    (g,) = grad(F.dropout(x, p=0.5).sum(), x)
    assert near(g, 1.0)
    assert g.unique().tolist() == [0, 2]


@given(st.floats(0.0, 0.9), st.integers(0, 1000))
def test_dropout_goes_back_through_its_own_mask(p: float, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.ones(20, dtype=torch.float64, requires_grad=True)
    y = F.dropout(x, p=p)
    state = torch.random.get_rng_state()
    (gradient,) = grad(y.sum(), x)
    torch.testing.assert_close(gradient, y.detach())
    assert set(y.tolist()) <= {0.0, 1 / (1 - p)}
    assert torch.equal(torch.random.get_rng_state(), state)


def test_finite_differences_need_the_same_seed() -> None:
    def seeded(x: Tensor) -> Tensor:
        torch.manual_seed(4)
        return F.dropout(x).square()

    x = torch.rand(6, dtype=torch.float64).add(0.5).requires_grad_()
    assert gradcheck(seeded, x)
    with pytest.raises(RuntimeError, match=r"Jacobian mismatch|not reentrant"):
        gradcheck(lambda x: F.dropout(x).square(), x)


@pytest.mark.parametrize("preserve", [True, False])
def test_checkpoint_restores_the_random_state(preserve: bool) -> None:
    torch.manual_seed(0)
    x = torch.ones(64, requires_grad=True)
    # square() saves its input, so the second run's mask shows in the gradient
    y = checkpoint(
        lambda x: F.dropout(x).square(), x, use_reentrant=False, preserve_rng_state=preserve
    )
    assert isinstance(y, Tensor)
    (gradient,) = grad(y.sum(), x)
    assert torch.equal(gradient, 2 * y.detach()) is preserve


def test_a_uniform_draw_reparameterized() -> None:
    torch.manual_seed(0)
    theta = torch.full((MANY,), 2.0, requires_grad=True)
    (g,) = grad((theta * torch.rand(MANY)).square().sum(), theta)
    assert near(g, 2 * 2 / 3)


@given(st.floats(-3, 3), st.floats(0.1, 3))
def test_the_score_of_a_reparameterized_draw_is_zero(m: float, s: float) -> None:
    mu = leaf(m)
    policy = Normal(mu, s)
    z = policy.rsample((5,))
    (both,) = grad(policy.log_prob(z).sum(), mu)
    torch.testing.assert_close(both, torch.zeros_like(both))
    (score,) = grad(policy.log_prob(z.detach()).sum(), mu)
    torch.testing.assert_close(score, ((z.detach() - mu.detach()) / s**2).sum(0))


def test_a_function_that_wiggles_favours_the_score_function() -> None:
    torch.manual_seed(0)
    eps = torch.randn(MANY, dtype=torch.float64)
    pathwise, score = 20 * torch.cos(20 * eps), torch.sin(20 * eps) * eps
    assert near(pathwise, 20 * math.exp(-200))
    assert near(score, 20 * math.exp(-200))
    assert pathwise.var().item() == pytest.approx(200, rel=0.02)
    assert score.var().item() == pytest.approx(0.5, rel=0.05)


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("sampling").cells}
    z = float(cells["silent_zero"].split("tensor(")[1].split(",")[0])
    assert 2 * z == pytest.approx(2.4132)
    assert "value_loss = tensor(-3.)" in cells["advantage_detached"]
    assert "value.grad = tensor(-1.0986)" in cells["advantage"]
