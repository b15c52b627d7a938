"""The claims of the lesson on the training loop, each against a closed form or torch itself."""

import math
import warnings
from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from livecell import Runner


def test_a_step_reads_the_gradient_and_leaves_it() -> None:
    w = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    loss = (w * torch.tensor([1.0, 2.0]) - torch.tensor([3.0, 5.0])).square().mean()
    assert w.grad is None
    loss.backward()
    optimizer.step()
    torch.testing.assert_close(w.grad, torch.tensor(-8.0))
    torch.testing.assert_close(w.detach(), torch.tensor(1.8))
    optimizer.zero_grad()
    assert w.grad is None


def test_the_default_weights_of_linear_have_variance_one_third_of_one_over_n() -> None:
    torch.manual_seed(0)
    weight = nn.Linear(400, 400).weight
    assert weight.var().item() == pytest.approx(1 / (3 * 400), rel=0.02)


@pytest.mark.parametrize(
    ("activation", "slope", "std"),
    [
        (torch.relu, 1 / 2, math.sqrt(2 / 400)),
        (torch.relu, 1 / 2, 0.5),
        (torch.relu, 1 / 2, math.sqrt(1 / 1200)),
        (torch.sigmoid, 1 / 16, 0.01),
        (torch.tanh, 1.0, 0.0001),
    ],
)
def test_a_layer_multiplies_the_gradient_by_the_derived_factor(
    activation: Callable[[Tensor], Tensor], slope: float, std: float
) -> None:
    torch.manual_seed(0)
    n = 400
    weight = torch.randn(n, n) * std
    h = torch.randn(50, n, requires_grad=True)
    seed = torch.randn(50, n)
    (received,) = torch.autograd.grad(activation(h @ weight.T), h, seed)
    factor = (received.norm() / seed.norm()).item()
    assert factor == pytest.approx(math.sqrt(n * std**2 * slope), rel=0.1)


def test_kaiming_makes_the_factor_of_relu_one() -> None:
    torch.manual_seed(0)
    weight = torch.empty(400, 400)
    nn.init.kaiming_normal_(weight, nonlinearity="relu")
    assert weight.var().item() == pytest.approx(2 / 400, rel=0.02)


@given(st.floats(-30, 30))
def test_the_slope_of_a_sigmoid_is_at_most_a_quarter(at: float) -> None:
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sigmoid(x), x)
    assert slope <= 0.25


def test_clipping_keeps_the_ratio_between_layers() -> None:
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    a.grad, b.grad = torch.tensor([3e6, 0.0]), torch.tensor([0.0, 3.0])
    nn.utils.clip_grad_norm_([a, b], 1.0)
    assert (a.grad.norm() / b.grad.norm()).item() == pytest.approx(1e6, rel=1e-4)


def test_a_single_nan_spoils_all_gradients_when_clipped() -> None:
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([float("nan")]), torch.tensor([1.0])
    with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
        nn.utils.clip_grad_norm_([a, b], 1.0, error_if_nonfinite=True)
    nn.utils.clip_grad_norm_([a, b], 1.0)
    assert b.grad.isnan().all()


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-8, 1e-12])
def test_the_first_step_of_adam_is_the_gradient_over_its_size_plus_epsilon(size: float) -> None:
    p = nn.Parameter(torch.zeros((), dtype=torch.float64))
    adam = torch.optim.Adam([p], lr=0.1)
    p.grad = torch.tensor(size, dtype=torch.float64)
    adam.step()
    assert -p.item() == pytest.approx(0.1 * size / (size + 1e-8), rel=1e-6)


def test_the_scaler_skips_a_step_and_halves_after_an_overflow() -> None:
    p = nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([p], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(p * 1.0).backward()
    p.grad = torch.tensor(float("inf"))
    scaler.step(optimizer)
    scaler.update()
    assert p.item() == 1.0
    assert scaler.get_scale() == 512.0


def test_the_optimizer_holds_the_tensors_themselves_and_reads_their_grad() -> None:
    w = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    assert optimizer.param_groups[0]["params"][0] is w
    w.grad = torch.tensor(3.0)  # no loss, no backward pass
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor(0.7))
    other = w.detach().clone().requires_grad_()
    (3 * other).backward()
    w.grad = None
    optimizer.step()
    assert w.item() == other.item()


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_a_falling_scale_tells_that_the_scheduler_must_wait(wait: bool) -> None:
    """Two steps overflow, so a learning rate that halves after each step is used once."""
    p = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(3 * p).backward()
        scaler.step(optimizer)
        before = scaler.get_scale()
        scaler.update()
        if not wait or scaler.get_scale() >= before:
            scheduler.step()
    rate = 0.1 if wait else 0.025
    assert p.item() == pytest.approx(1 - 3 * rate)
    assert scheduler.get_last_lr() == [pytest.approx(0.05 if wait else 0.0125)]


@pytest.mark.parametrize("skipped", [False, True])
def test_the_warning_of_the_scheduler_comes_with_a_skipped_first_step(skipped: bool) -> None:
    p = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=3e38 if skipped else 1.0)
    scaler.scale(3 * p).backward()
    scaler.step(optimizer)
    scaler.update()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        scheduler.step()
    assert any("Detected call of `lr_scheduler.step()`" in str(w.message) for w in seen) == skipped


def test_one_scaler_serves_several_optimizers() -> None:
    a, b = (torch.tensor(1.0, requires_grad=True) for _ in range(2))
    optimizers = [torch.optim.SGD([p], lr=0.1) for p in (a, b)]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(a + 2 * b).backward()
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
    assert a.item() == pytest.approx(0.9)
    assert b.item() == pytest.approx(0.8)


def test_no_scaler_helps_in_the_forward_pass() -> None:
    assert torch.tensor(1e-8).half() == 0
    assert torch.tensor(70000.0).half().isinf()
    p = torch.tensor([300.0], requires_grad=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    scaler.scale(p.half().square().float().sum()).backward()
    assert p.half().square().isinf()
    root = torch.tensor([0.0], dtype=torch.float16, requires_grad=True)
    (root + torch.tensor(1e-8).half()).sqrt().backward()
    assert root.grad is not None
    assert root.grad.isinf()


def test_the_total_norm_is_what_clipping_returns() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    model(torch.randn(5, 3)).square().mean().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    total = torch.cat([g.flatten() for g in grads]).norm()
    torch.testing.assert_close(nn.utils.get_total_norm(grads), total)
    torch.testing.assert_close(nn.utils.clip_grad_norm_(model.parameters(), math.inf), total)


def test_unscaling_twice_is_refused() -> None:
    p = nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([p], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(p * 1.0).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="has already been called on this optimizer"):
        scaler.unscale_(optimizer)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=6), st.data())
def test_batch_gradients_are_unbiased_with_the_stated_spread(
    values: list[int], data: st.DataObject
) -> None:
    single = torch.tensor(values, dtype=torch.float64)
    n = len(values)
    size = data.draw(st.integers(1, n))
    batches = torch.stack([single[list(c)].mean() for c in combinations(range(n), size)])
    expected = single.var(correction=0) / size * (n - size) / (n - 1)
    torch.testing.assert_close(batches.mean(), single.mean())
    torch.testing.assert_close(batches.var(correction=0), expected)


def test_the_best_constant_is_the_mean_and_its_loss_the_variance() -> None:
    y = torch.sin(3 * torch.linspace(-2, 2, 64))
    constants = torch.linspace(-1, 1, 201)
    losses = (constants[:, None] - y).square().mean(1)
    assert losses.min().item() == pytest.approx(y.var(correction=0).item(), abs=1e-4)


def test_a_missing_dimension_compares_all_with_all() -> None:
    prediction, target = torch.randn(8, 1), torch.randn(8)
    with pytest.warns(UserWarning, match="Using a target size"):
        loss = F.mse_loss(prediction, target)
    expected = sum((p - t) ** 2 for p in prediction.flatten() for t in target) / 64
    torch.testing.assert_close(loss, torch.as_tensor(expected))


def test_a_list_hides_its_layers() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(1, 1)]

    assert list(Hidden().parameters()) == []
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        torch.optim.SGD(Hidden().parameters(), lr=0.1)


def test_the_page_shows_every_finding_that_it_explains(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("training_loop").cells}
    text = cells["broken"]
    for finding in (".grad is None", "all zeros", "requires_grad=False", "not in the optimizer"):
        assert finding in text
    assert "extra" not in text
