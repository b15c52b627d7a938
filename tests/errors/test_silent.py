"""The failures without a message: each happens, cures are right, wrong cures are wrong."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livecell import Runner
from livecell.results import CellResult

Function = Callable[[Tensor], Tensor]
STEM = "errors/silent"


@pytest.fixture(scope="module")
def cell(runner: Runner) -> Callable[[str], CellResult]:
    def named(name: str) -> CellResult:
        found = runner.result(STEM).cell(name)
        assert found is not None
        return found

    return named


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def gradient(f: Function, *values: float) -> Tensor:
    x = leaf(*values)
    f(x).sum().backward()
    assert x.grad is not None
    return x.grad


def numbers(text: str, label: str) -> list[float]:
    """The numbers printed after a label, on all of its lines."""
    found = [line.partition(label)[2] for line in text.splitlines() if label in line]
    return [float(part.strip().removeprefix("tensor(").rstrip(")")) for part in found]


@pytest.mark.parametrize(
    "cut",
    [
        lambda w: w.detach(),
        lambda w: torch.tensor(w.item()),
        lambda w: torch.tensor(w.tolist()),
        lambda w: torch.from_numpy(w.detach().numpy()),
        lambda w: torch.ones(1),
        lambda w: w.data,
    ],
)
def test_a_cut_gives_no_gradient_and_no_error(cut: Function) -> None:
    w, b = leaf(3), leaf(2)
    (cut(w) * b).sum().backward()
    assert w.grad is None
    assert b.grad is not None


def test_every_cause_of_none_is_shown(cell: Callable[[str], CellResult]) -> None:
    lines = cell("gradient_none").text().splitlines()
    assert len(lines) == 7
    assert all(line.endswith("w.grad = None") for line in lines)
    assert "w.grad = tensor(2.)" in cell("gradient_none_cure").text()  # the other factor
    assert "h.grad = tensor(5.)" in cell("gradient_none_cure_2").text()
    assert "w.grad = None" in cell("gradient_none_wrong").text()


def test_a_conversion_makes_a_result(cell: Callable[[str], CellResult]) -> None:
    w = leaf(1, 2)
    assert w.to(torch.float64) is w
    assert not w.to(torch.float32).is_leaf
    late = (torch.ones(2) * 0.1).requires_grad_()
    assert late.is_leaf
    assert "tensor([2., 4.], dtype=torch.float64)" in cell("leaf_became_a_copy_cure").text()
    assert "tensor([0.2500, 0.5000])" in cell("leaf_became_a_copy_cure_2").text()
    assert "w.grad = None" in cell("leaf_became_a_copy_wrong").text()


@pytest.mark.parametrize(
    ("f", "at"),
    [
        (torch.relu, -0.5),
        (lambda x: x.float().sigmoid(), 20.0),
        (lambda x: x.clamp(-1, 1), 1.5),
        (torch.floor, 0.3),
        (lambda x: x.softmax(0), 0.7),
        (lambda x: x**3, 0.0),
    ],
)
def test_flat_functions_have_the_gradient_0(f: Function, at: float) -> None:
    assert gradient(f, at).item() == 0


def test_two_layers_of_zeros_stand_still() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    F.mse_loss(model(torch.randn(5, 3)), torch.ones(5, 1)).backward()
    for layer in (model[0], model[2]):
        assert isinstance(layer, nn.Linear)
        assert layer.weight.grad is not None
        assert not layer.weight.grad.any()


def test_logits_give_the_slope_that_the_sigmoid_lost() -> None:
    for z in (-30.0, 0.0, 3.0, 20.0, 200.0):
        x = torch.tensor(z, requires_grad=True)
        F.binary_cross_entropy_with_logits(x, torch.tensor(0.0)).backward()
        assert x.grad is not None
        assert x.grad.item() == pytest.approx(1 / (1 + math.exp(-z)), abs=1e-6)


def test_zero_gradients_of_the_page(cell: Callable[[str], CellResult]) -> None:
    for line in cell("gradient_zero").text().splitlines():
        assert "0" in line.partition("tensor(")[2].strip("[]) ").split(",")[0]
    text = cell("gradient_zero_cure").text()
    assert numbers(text, "x.grad =") == [0.0, 1.0]
    assert "tensor([0.0100, 1.0000])" in cell("gradient_zero_cure_2").text()


@pytest.mark.parametrize(
    ("f", "at"),
    [
        (torch.sqrt, 0.0),
        (lambda x: (x * x).sqrt(), 0.0),
        (torch.log, 0.0),
        (lambda x: torch.where(x > 0, x.sqrt(), 0.0), 0.0),
        (lambda x: x / x, 0.0),
        (lambda x: x.exp().log1p(), 800.0),
    ],
)
def test_bad_points(f: Function, at: float) -> None:
    assert not gradient(f, at).isfinite().any()


def test_cures_of_nan_give_the_derivative(cell: Callable[[str], CellResult]) -> None:
    def safe_log(x: Tensor) -> Tensor:
        return torch.where(x > 0, torch.where(x > 0, x, 1.0).log(), 0.0)

    assert torch.equal(gradient(safe_log, 0, 4), torch.tensor([0, 0.25], dtype=torch.float64))
    assert gradient(lambda x: (x * x + 1e-12).sqrt(), 0.0).item() == 0
    assert gradient(F.softplus, 100.0).item() == 1
    assert "x.grad = tensor(1.)" in cell("gradient_nan_cure_3").text()
    assert "tensor([0.0000, 0.2500])" in cell("gradient_nan_cure").text()
    assert numbers(cell("gradient_nan_wrong").text(), "other.grad =")[0] == 2
    assert math.isnan(numbers(cell("gradient_nan_wrong").text(), "other.grad =")[1])
    assert "x.log()" in cell("gradient_nan_find").text().splitlines()[1]


def test_gradients_that_pile_up(cell: Callable[[str], CellResult]) -> None:
    assert numbers(cell("gradient_too_large").text(), "w.grad =") == [3, 6, 9]
    assert numbers(cell("gradient_too_large_find").text(), "fresh =") == [3]
    assert numbers(cell("gradient_too_large_cure").text(), "w.grad =") == [3, 3, 3]
    # d/dw of sum (w - 3)² is 2 n (1 - 3); of the mean it is 2 (1 - 3)
    found = numbers(cell("gradient_too_large_cure_2").text(), "w.grad =")
    assert found == [-40, -4000, -4, -4]


def test_a_column_minus_a_row(cell: Callable[[str], CellResult]) -> None:
    x = [1.0, 2.0, 3.0]
    wrong = sum(2 * (a - t) * a for a in x for t in x) / 9
    assert numbers(cell("loss_broadcast").text(), "w.grad =")[0] == pytest.approx(wrong, abs=1e-3)
    assert numbers(cell("loss_broadcast_cure").text(), "w.grad =") == [0]
    assert "UserWarning" in cell("loss_broadcast_find").text("stderr")
    with pytest.warns(UserWarning, match="different to the input size"):
        F.mse_loss(torch.ones(4, 1), torch.ones(4))
    # what it learns is the mean of the targets
    bias = leaf(0, 0, 0)
    optimizer = torch.optim.SGD([bias], lr=1.0)
    for _ in range(100):
        optimizer.zero_grad()
        ((bias[:, None] - torch.tensor(x)) ** 2).mean().backward()
        optimizer.step()
    assert torch.allclose(bias, torch.full_like(bias, 2.0))


def test_writes_that_nobody_counts(cell: Callable[[str], CellResult]) -> None:
    buffer = np.array([2.0])
    x = torch.from_numpy(buffer)
    w = leaf(1)
    loss = (w * x).sum()
    buffer[0] = 7.0
    loss.backward()
    assert w.grad is not None
    assert w.grad.item() == 7
    assert x._version == 0
    assert numbers(cell("uncounted_write").text(), "w.grad =") == [0]
    assert numbers(cell("uncounted_write_cure").text(), "w.grad =") == [6]
    assert "tensor([3.]" in cell("uncounted_write_cure_2").text()
    assert "(3.0, 0.0)" in cell("uncounted_write_find").text()


def test_a_write_in_the_wrong_place_is_an_error_without_data() -> None:
    w = leaf(3)
    loss = (w * w).sum()
    with torch.no_grad():
        w.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_writes_that_are_not_recorded(cell: Callable[[str], CellResult]) -> None:
    for name in ("unrecorded_write", "unrecorded_write_2"):
        assert "w.grad = tensor([2., 2.])" in cell(name).text()
    assert "w.grad = tensor([2., 0.])" in cell("unrecorded_write_cure").text()
    step = 1e-3
    slope = (torch.tensor(10.0 + step).clamp(max=4) - torch.tensor(10.0).clamp(max=4)) / step
    assert slope == 0


def test_in_place_relu_computes_another_function(cell: Callable[[str], CellResult]) -> None:
    def meant(w: Tensor) -> Tensor:
        return (3 * w).relu() + 3 * w

    def computed(w: Tensor) -> Tensor:
        return 2 * (3 * w).relu()

    for name, f in ("in_place_other_function", computed), ("in_place_other_function_cure", meant):
        expected = ", ".join(f"{slope:.0f}." for slope in gradient(f, -1, 2).tolist())
        assert f"w.grad = tensor([{expected}])" in cell(name).text()


def test_the_loss_moves_in_the_right_order_only(cell: Callable[[str], CellResult]) -> None:
    assert numbers(cell("loss_does_not_move").text(), "loss =") == [4, 4, 4]
    assert numbers(cell("loss_does_not_move_wrong").text(), "loss =") == [4, 4]
    w, losses = 0.0, []
    for _ in range(3):
        losses.append((w - 2) ** 2)
        w -= 0.25 * 2 * (w - 2)
    assert numbers(cell("loss_does_not_move_cure").text(), "loss =") == losses
    moved = numbers(cell("loss_does_not_move_find").text(), "moved =")
    assert moved == [-0.25, 0, 0, 0]


def test_unregistered_layers(cell: Callable[[str], CellResult]) -> None:
    class Net(nn.Module):
        def __init__(self, container: Callable[[list[nn.Module]], object]) -> None:
            super().__init__()
            self.layers = container([nn.Linear(3, 3)])

    assert not list(Net(list).parameters())
    assert len(list(Net(nn.ModuleList).parameters())) == 2
    assert cell("parameters_not_registered").text().count("'") == 4
    assert "[(), (2,), (2,), (2, 2), (2, 2)]" in cell("parameters_not_registered_find").text()
    assert "without gradient = []" in cell("parameters_not_registered_cure").text()


def test_the_optimizer_keeps_tensors(cell: Callable[[str], CellResult]) -> None:
    assert cell("optimizer_holds_others").text() == "moved = True\nmoved = False\n"
    assert "not held = ['1.weight']" in cell("optimizer_holds_others_find").text()
    assert "False" not in cell("optimizer_holds_others_cure").text()
    assert "not held = []" in cell("optimizer_holds_others_cure_2").text()


def test_memory(cell: Callable[[str], CellResult]) -> None:
    counts = {
        "memory_grows": [2, 4, 6],
        "memory_grows_2": [2, 4, 6],
        "memory_grows_cure": [2, 2, 2],
        "memory_grows_cure_2": [0, 0, 0],
        "memory_grows_cure_3": [0, 0, 0],
    }
    for name, expected in counts.items():
        assert numbers(cell(name).text(), "saved tensors =") == expected
    total = numbers(cell("memory_grows_cure").text(), "total =")[0]
    assert total == pytest.approx(3 * math.exp(0.5), abs=1e-4)


def test_growing_graphs_and_hooks(cell: Callable[[str], CellResult]) -> None:
    growing = numbers(cell("slower_every_step").text(), "nodes =")
    assert growing == sorted(set(growing))
    assert len(set(numbers(cell("slower_every_step_cure").text(), "nodes ="))) == 1
    assert numbers(cell("slower_every_step_find").text(), "calls =") == [1, 2, 3]
    assert numbers(cell("slower_every_step_cure_2").text(), "calls =") == [1, 1, 1]


def test_processes_get_their_mean(cell: Callable[[str], CellResult]) -> None:
    data = [1.0, 3.0]
    assert numbers(cell("not_synchronised").text(), "grad =") == data * 2
    assert numbers(cell("not_synchronised_cure").text(), "grad =") == [sum(data) / 2] * 2


def test_clipping(cell: Callable[[str], CellResult]) -> None:
    g = torch.tensor([6.0, 8.0])
    right = -g / g.norm()
    assert f"w.detach() = {right}" in cell("clipped_too_early_cure").text()
    assert f"w.detach() = {right / 1024}" in cell("clipped_too_early").text()
    assert "norm = tensor(0.)" in cell("clipped_too_early_find").text()
    assert f"w.grad = {g}" in cell("clipped_too_early_find").text()


def test_parts_of_unequal_length(cell: Callable[[str], CellResult]) -> None:
    x = [1, 2, 3, 4, 5]
    parts = [x[:2], x[2:4], x[4:]]
    wrong = sum(sum(part) / len(part) for part in parts) / 3
    right = sum(x) / len(x)
    found = [
        numbers(cell(f"unequal_micro_batches{end}").text(), "w.grad =")[0]
        for end in ("", "_find", "_cure")
    ]
    assert found == pytest.approx([wrong, right, right], abs=1e-3)


def test_a_thawed_layer_moves_only_if_the_optimizer_holds_it(
    cell: Callable[[str], CellResult],
) -> None:
    shown = cell("optimizer_holds_others_thawed").text().splitlines()
    assert shown == ["gradient = True, moved = False", "gradient = True, moved = True"]
    shown = cell("optimizer_holds_others_cure_3").text().splitlines()
    assert shown == ["moved = [False, True]", "moved = [True, True]"]


def test_an_attribute_freezes_nothing() -> None:
    layer: Any = nn.Linear(2, 1)
    x: Any = torch.ones(1)
    layer.requires_grad = False
    x.require_grad = True
    assert all(p.requires_grad for p in layer.parameters())
    assert not x.requires_grad
    assert not any(p.requires_grad for p in nn.Linear(2, 1).requires_grad_(False).parameters())


def test_a_frozen_batch_norm_moves_until_eval_and_again_after_train() -> None:
    net: Any = nn.Sequential(nn.BatchNorm1d(1)).requires_grad_(False)
    norm = net[0]
    means = [norm.running_mean.item()]
    for mode in (True, False, True):
        net.train(mode)
        net(torch.tensor([[1.0], [3.0]]))
        means.append(norm.running_mean.item())
    # 0.9 of the old and 0.1 of the batch's mean, 2
    torch.testing.assert_close(means, [0.0, 0.2, 0.2, 0.9 * 0.2 + 0.2])


def frozen_step(grad: float | None, weight_decay: float = 0.0) -> float:
    w = torch.tensor(2.0)
    w.grad = None if grad is None else torch.tensor(grad)
    torch.optim.SGD([w], lr=0.1, weight_decay=weight_decay).step()
    return w.item()


def test_the_optimizer_goes_by_grad_and_not_by_the_flag() -> None:
    assert math.isclose(frozen_step(1.0), 1.9, rel_tol=1e-6)
    assert frozen_step(0.0) == 2
    assert math.isclose(frozen_step(0.0, weight_decay=0.5), 1.9, rel_tol=1e-6)
    assert frozen_step(None, weight_decay=0.5) == 2


def test_what_changes_though_frozen(cell: Callable[[str], CellResult]) -> None:
    assert cell("frozen_and_changes").text().strip() == "flags = [True, True]"
    assert cell("frozen_and_changes_2").text().strip() == "norm.running_mean = tensor([0.2000])"
    shown = cell("frozen_and_changes_3").text().splitlines()
    assert shown == ["gradient left: 1.8", "gradient 0: 1.9"]
    assert cell("frozen_and_changes_cure").text().splitlines() == [
        "flags = [False, False]",
        "gradient None: 2.0",
    ]
    assert cell("frozen_and_changes_cure_2").text().strip() == "changed: []"
    assert cell("frozen_and_changes_wrong").text().strip() == "norm.bias.grad = tensor([2.])"


def pair() -> Any:
    return nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))


def tie(model: Any) -> list[Tensor]:
    model(torch.ones(1, 2)).sum().backward()
    return [layer.weight.grad for layer in model]


def test_a_shared_parameter_gets_the_sum_and_a_new_one_only_its_part(
    cell: Callable[[str], CellResult],
) -> None:
    torch.manual_seed(0)
    apart = pair()
    apart[1].weight = nn.Parameter(apart[0].weight)
    assert apart[1].weight.data_ptr() == apart[0].weight.data_ptr()
    assert len(list(apart.parameters())) == 2
    tied = pair()
    with torch.no_grad():
        tied[0].weight.copy_(apart[0].weight)
    tied[1].weight = tied[0].weight
    assert len(list(tied.parameters())) == 1
    torch.testing.assert_close(tie(tied)[0], torch.stack(tie(apart)).sum(0))
    apart.double()
    assert apart[1].weight.data_ptr() != apart[0].weight.data_ptr()
    # the loss is w1 (w0 + w1) at (1, 2)
    shown = cell("tied_weights").text().splitlines()
    assert shown == ["embedding.weight tensor([0., 3.])", "out.weight tensor([2., 2.])"]
    assert cell("tied_weights_cure").text().strip() == "embedding.weight tensor([2., 5.])"


def test_gathered_copies_have_no_gradient(cell: Callable[[str], CellResult]) -> None:
    shown = cell("all_gather").text().splitlines()
    # the mean of 2 and 8; the gradient of the whole is their sum
    assert shown == ["as gathered: theta.grad = None", "own part back: theta.grad = 5.0"]
    found = cell("all_gather_cure").text().splitlines()
    assert len(found) == 2
    assert all(line.endswith("theta.grad = 10.0") for line in found)


def test_nothing_is_raised_or_left_behind(runner: Runner) -> None:
    assert not any(cell.error for cell in runner.result(STEM).cells)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not torch.is_anomaly_enabled()
