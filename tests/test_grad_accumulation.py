"""The claims of the lesson on gradient accumulation, each against mathematics or an oracle."""

import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

VALUES = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=12)
Make = Callable[[list[Tensor]], torch.optim.Optimizer]


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def test_forgetting_to_clear_is_momentum_one() -> None:
    def path(clear: bool, momentum: float) -> list[float]:
        w = leaf(1.0)
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=momentum)
        values = []
        for _ in range(60):
            if clear:
                optimizer.zero_grad()
            (w.square() / 2).sum().backward()
            optimizer.step()
            values.append(w.item())
        return values

    forgotten = path(clear=False, momentum=0)
    assert forgotten == pytest.approx(path(clear=True, momentum=1), abs=1e-12)
    assert max(abs(value) for value in forgotten[-30:]) > 0.9
    assert abs(path(clear=True, momentum=0)[-1]) < 0.01


@given(VALUES)
def test_the_sum_may_be_formed_in_the_graph_or_in_grad(values: list[float]) -> None:
    one_pass, many = leaf(2.0), leaf(2.0)
    torch.stack([(one_pass * x - 1).square().sum() for x in values]).sum().backward()
    for x in values:
        (many * x - 1).square().sum().backward()
    assert gradient(one_pass) == gradient(many) == sum(2 * x * (2 * x - 1) for x in values)


def test_contributions_meet_before_accumulate_grad_runs_once() -> None:
    w = leaf(2.0)
    loss = w * 3 + w * 4
    node: Any = loss.grad_fn
    accumulate = node.next_functions[0][0].next_functions[0][0]
    seen: list[float] = []
    handle = accumulate.register_prehook(lambda grads: seen.append(grads[0].item()))
    loss.backward()
    handle.remove()
    assert seen == [7]


@pytest.mark.parametrize("apart", [True, False])
def test_one_backward_per_part_bounds_the_saved_tensors(apart: bool) -> None:
    held: weakref.WeakSet[Any] = weakref.WeakSet()
    peak = 0

    class Saved:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal peak
            self.tensor = tensor.detach()
            held.add(self)
            peak = max(peak, len(held))

    w, losses = leaf(2.0), []
    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        for _ in range(5):
            loss = torch.tanh(w).sum()
            if apart:
                loss.backward()
            else:
                losses.append(loss)
    if losses:
        torch.stack(losses).sum().backward()
    assert peak == (1 if apart else 5)


def test_the_second_pass_changes_grad_in_place() -> None:
    w = leaf(1.0)
    w.sum().backward()
    first, copy = gradient(w), gradient(w).clone()
    w.sum().backward()
    assert first is w.grad
    assert (first.item(), copy.item()) == (2, 1)


@pytest.mark.parametrize(("set_to_none", "kept"), [(True, 1.0), (False, 0.0)])
def test_zero_grad_leaves_an_alias_alone_only_with_none(set_to_none: bool, kept: float) -> None:
    w = leaf(1.0)
    w.sum().backward()
    first = gradient(w)
    torch.optim.SGD([w]).zero_grad(set_to_none=set_to_none)
    assert first == kept
    assert (w.grad is None) == set_to_none


def test_none_is_the_default_of_optimizers_and_modules() -> None:
    for clear in (lambda m: torch.optim.SGD(m.parameters()).zero_grad(), nn.Module.zero_grad):
        model = nn.Linear(2, 1)
        model(torch.ones(1, 2)).sum().backward()
        clear(model)
        assert all(parameter.grad is None for parameter in model.parameters())


ADAM_MOVE = -0.1 * (0.09 / (1 - 0.9**2)) / math.sqrt(0.000999 / (1 - 0.999**2))


@pytest.mark.parametrize(
    ("make", "move"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.1), 0.0),
        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), -0.1 * 0.9),
        (lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1), -0.1 * 0.1 * (1 - 0.1 * 1.1)),
        (lambda p: torch.optim.Adam(p, lr=0.1), ADAM_MOVE),
    ],
    ids=["plain", "momentum", "weight_decay", "adam"],
)
def test_none_skips_a_parameter_and_zero_moves_it(make: Make, move: float) -> None:
    for set_to_none, expected in (True, 0.0), (False, move):
        p = leaf(1.0)
        optimizer = make([p])
        p.sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=set_to_none)
        before = p.item()
        optimizer.step()
        assert p.item() - before == pytest.approx(expected, abs=1e-7)


@given(VALUES, st.integers(1, 5))
def test_shares_of_the_batch_give_its_mean(values: list[float], size: int) -> None:
    x, w = torch.tensor(values).double(), leaf(1.0)
    for part in x.split(size):
        ((w * part).mean() * len(part) / len(x)).backward()
    torch.testing.assert_close(gradient(w), x.mean().reshape(1))


@given(VALUES, st.integers(1, 5))
def test_dividing_by_the_number_of_parts_gives_the_mean_of_means(
    values: list[float], size: int
) -> None:
    x, w = torch.tensor(values).double(), leaf(1.0)
    parts = x.split(size)
    for part in parts:
        ((w * part).mean() / len(parts)).backward()
    means = torch.stack([part.mean() for part in parts]).mean()
    torch.testing.assert_close(gradient(w), means.reshape(1))
    if len(x) % size == 0:
        torch.testing.assert_close(means, x.mean())


def test_the_checker_sees_that_a_mean_of_means_is_no_mean() -> None:
    x = torch.arange(1.0, 6.0)
    means = torch.stack([part.mean() for part in x.split(2)]).mean()
    with pytest.raises(AssertionError):
        torch.testing.assert_close(means, x.mean())


TOKENS = st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), min_size=1, max_size=5)


@given(TOKENS.filter(lambda rows: any(token >= 0 for row in rows for token in row)))
def test_sums_over_the_token_count_equal_the_whole_batch(rows: list[list[int]]) -> None:
    batch = torch.tensor(rows)
    batch[batch < 0] = -100
    scores = leaf(0.1, -0.4, 0.7)
    whole = F.cross_entropy(scores.expand(batch.numel(), 3), batch.flatten())
    (expected,) = torch.autograd.grad(whole, scores)
    tokens = (batch != -100).sum()
    for row in batch:
        (F.cross_entropy(scores.expand(3, 3), row, reduction="sum") / tokens).backward()
    torch.testing.assert_close(gradient(scores), expected)


def test_the_token_gradient_is_softmax_minus_shares() -> None:
    scores, targets = leaf(0.0, 0.0, 0.0), torch.tensor([0, -100, -100, -100, 1, 1, 1, 2])
    F.cross_entropy(scores.expand(8, 3), targets).backward()
    torch.testing.assert_close(gradient(scores), 1 / 3 - torch.tensor([1, 3, 1]).double() / 5)


def test_averaging_over_processes_asks_for_a_factor() -> None:
    """What DistributedDataParallel does to the gradients, written out for two processes."""
    w, shards = leaf(1.0), [torch.tensor([1.0, 2.0, 6.0]), torch.tensor([3.0])]
    total = sum(len(shard) for shard in shards)

    def averaged(factor: int) -> Tensor:
        local = [torch.autograd.grad(factor * (w * s).sum() / total, w)[0] for s in shards]
        return torch.stack(local).mean(dim=0)

    assert averaged(len(shards)) == 3
    assert averaged(1) * len(shards) == 3


@pytest.mark.parametrize(
    ("way", "loss", "grad"), [("mean", "nan", 0.0), ("sum", 0.0, 0.0), ("masked", "nan", "nan")]
)
def test_a_batch_of_padding(way: str, loss: float | str, grad: float | str) -> None:
    scores = leaf(0.0, 0.0, 0.0)
    logits = scores.expand(2, 3)
    if way == "masked":
        mask = torch.zeros(2)
        each = F.cross_entropy(logits, torch.tensor([0, 0]), reduction="none")
        value = (each * mask).sum() / mask.sum()
    else:
        value = F.cross_entropy(logits, torch.tensor([-100, -100]), reduction=way)
    value.backward()
    assert value.item() == pytest.approx(float(loss), nan_ok=True)
    assert gradient(scores).tolist() == pytest.approx([float(grad)] * 3, nan_ok=True)


def test_batch_norm_sees_its_own_micro_batch() -> None:
    torch.manual_seed(0)
    data, layer = torch.randn(6, 1), nn.BatchNorm1d(1)
    whole = layer(data)
    parts = torch.cat([layer(part) for part in data.split(3)])
    by_hand = (data - data.mean()) / (data.var(unbiased=False) + layer.eps).sqrt()
    torch.testing.assert_close(whole, by_hand)
    assert not torch.allclose(whole, parts, atol=0.01)


def test_clipping_each_pass_turns_the_gradient_and_clipping_once_does_not() -> None:
    gradients = torch.tensor([[6.0, 0.0], [-3.0, 4.0]], dtype=torch.float64)
    w = leaf(0.0, 0.0)
    for g in gradients:
        (g @ w).backward()
        clip_grad_norm_(w, max_norm=1.0)
    turned = torch.tensor([-2.0, 4.0]) / math.sqrt(20)
    torch.testing.assert_close(gradient(w), turned.double(), atol=1e-5, rtol=0)
    w.grad = gradients.sum(dim=0)
    assert clip_grad_norm_(w, max_norm=1.0) == 5
    torch.testing.assert_close(gradient(w), leaf(0.6, 0.8).detach(), atol=1e-5, rtol=0)


def test_clipping_takes_one_norm_over_all_parameters_in_place() -> None:
    a, b = leaf(0.0), leaf(0.0)
    a.grad, b.grad = torch.tensor([3.0]).double(), torch.tensor([4.0]).double()
    kept = a.grad
    assert clip_grad_norm_([a, b], max_norm=2.5) == 5
    assert a.grad is kept
    assert [gradient(a).item(), gradient(b).item()] == pytest.approx([1.5, 2.0])


@given(st.integers(1, 10))
def test_training_does_not_depend_on_the_size_of_micro_batches(size: int) -> None:
    x = torch.linspace(-1, 1, 40, dtype=torch.float64).sin().reshape(10, 4)
    y = x.sum(dim=1, keepdim=True).cos()

    def train(size: int) -> Tensor:
        w = leaf(0.1, 0.2, -0.3, 0.4)
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        for _ in range(5):
            optimizer.zero_grad()
            for inputs, targets in zip(x.split(size), y.split(size), strict=True):
                predicted = (inputs @ w).unsqueeze(1)
                (F.mse_loss(predicted, targets, reduction="sum") / len(x)).backward()
            clip_grad_norm_(w, max_norm=1.0)
            optimizer.step()
        return w.detach()

    torch.testing.assert_close(train(size), train(10))


@pytest.mark.parametrize(
    ("order", "end"),
    [
        (("zero_grad", "backward", "step"), 0.4),
        (("backward", "step", "zero_grad"), 0.4),
        (("backward", "zero_grad", "step"), 1.0),
    ],
)
def test_only_clearing_between_backward_and_step_stops_training(
    order: tuple[str, ...], end: float
) -> None:
    w = leaf(1.0)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(2):
        loss = (3 * w).sum()
        for name in order:
            {"zero_grad": optimizer.zero_grad, "backward": loss.backward, "step": optimizer.step}[
                name
            ]()
    assert w.item() == pytest.approx(end)


def test_bfloat16_stops_counting_at_256() -> None:
    p = torch.zeros((), dtype=torch.bfloat16, requires_grad=True)
    for _ in range(300):
        p.backward()
    assert gradient(p).dtype == torch.bfloat16
    assert gradient(p) == 256
    assert torch.tensor([257.0, 258.0]).bfloat16().tolist() == [256, 258]


def test_each_zero_grad_clears_its_own_list() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    model(torch.ones(1, 1)).sum().backward()
    optimizer.zero_grad()
    assert [p.grad is None for p in model.parameters()] == [False, False, True, True]
    model.zero_grad()
    assert [p.grad is None for p in model.parameters()] == [True] * 4
