"""The claims of the lesson on losses of one's own, against closed forms, differences or torch."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.autograd.gradcheck import GradcheckError
from torch.nn import functional as F

from livecell import Runner

NO_GRAD_FN = "element 0 of tensors does not require grad and does not have a grad_fn"
quarters = st.integers(-40, 40).map(lambda n: n / 4)


@given(st.lists(st.tuples(quarters, quarters), min_size=1, max_size=5))
def test_operations_bring_their_own_backward(pairs: list[tuple[float, float]]) -> None:
    p = torch.tensor([a for a, _ in pairs], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([b for _, b in pairs], dtype=torch.float64)
    ((p - t).abs() * (1 + t)).mean().backward()
    torch.testing.assert_close(p.grad, (p.detach() - t).sign() * (1 + t) / len(pairs))


def test_a_module_has_no_backward_to_fill_in() -> None:
    assert not hasattr(nn.Module(), "backward")
    assert not hasattr(nn.MSELoss(), "backward")


def in_no_grad(p: Tensor) -> Tensor:
    with torch.no_grad():
        return 2 * p


@pytest.mark.parametrize(
    "cut",
    [
        lambda p: torch.from_numpy(p.detach().numpy()),
        lambda p: torch.tensor(p.sum().item()),
        lambda p: torch.tensor(p.tolist()),
        lambda p: p.data,
        lambda p: p > 0.5,
        lambda p: p.argmax(),
        lambda p: p.int(),
        in_no_grad,
    ],
)
def test_what_leaves_the_graph_cannot_be_a_loss(cut: Callable[[Tensor], Tensor]) -> None:
    p = torch.tensor([0.2, 0.7], requires_grad=True)
    result = cut(p)
    assert not result.requires_grad
    with pytest.raises(RuntimeError, match=NO_GRAD_FN):
        result.float().mean().backward()


@pytest.mark.parametrize("step", [torch.round, torch.floor, torch.ceil, torch.sign, torch.trunc])
def test_steps_keep_the_graph_and_give_zeros(step: Callable[[Tensor], Tensor]) -> None:
    p = torch.tensor([0.2, 0.7], requires_grad=True)
    step(p).sum().backward()
    torch.testing.assert_close(p.grad, torch.zeros(2))


def test_a_silenced_loss_still_has_no_gradient() -> None:
    p = torch.tensor([0.2, 0.7], requires_grad=True)
    (p > 0.5).float().mean().requires_grad_().backward()
    assert p.grad is None


def test_a_term_that_is_cut_off_is_a_constant() -> None:
    p = torch.tensor([1.0, 3.0], requires_grad=True)
    t = torch.tensor([2.0, 1.0])
    fit = (p - t).square().mean()
    (cut,) = torch.autograd.grad(fit + 0.5 * torch.tensor(p.abs().sum().item()), p)
    (whole,) = torch.autograd.grad((p - t).square().mean() + 0.5 * p.abs().sum(), p)
    torch.testing.assert_close(cut, p.detach() - t)
    torch.testing.assert_close(whole - cut, 0.5 * p.detach().sign())


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.parametrize("make", [torch.tensor, torch.as_tensor, torch.Tensor])
def test_making_a_tensor_of_a_list_copies_numbers(make: Callable[[list[Tensor]], Tensor]) -> None:
    w = torch.tensor(2.0, requires_grad=True)
    assert not make([3 * w, w**2]).requires_grad


def test_the_warning_of_a_copied_list_comes_once_per_process() -> None:
    w = torch.tensor(2.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.tensor([w])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.tensor([w])


@given(quarters)
def test_stacking_and_adding_keep_the_graph(at: float) -> None:
    w = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (mean,) = torch.autograd.grad(torch.stack([3 * w, w**2]).mean(), w)
    (total,) = torch.autograd.grad(torch.as_tensor(sum([3 * w, w**2])), w)
    torch.testing.assert_close(mean, (3 + 2 * w.detach()) / 2)
    torch.testing.assert_close(total, 3 + 2 * w.detach())


@given(st.floats(-3, 3))
def test_a_stacked_rotation_turns_with_its_angle(angle: float) -> None:
    theta = torch.tensor(angle, dtype=torch.float64, requires_grad=True)

    def rotated(theta: Tensor) -> Tensor:
        cos, sin = theta.cos(), theta.sin()
        R = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
        return R @ torch.tensor([1.0, 0.0], dtype=torch.float64)

    assert gradcheck(rotated, theta)
    jacobian = torch.autograd.functional.jacobian(rotated, theta.detach())
    expected = torch.stack([-theta.sin(), theta.cos()]).detach()
    torch.testing.assert_close(jacobian, expected)


@given(st.lists(quarters, min_size=1, max_size=8))
def test_a_sum_has_n_times_the_gradient_of_a_mean(x: list[float]) -> None:
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    data = torch.tensor(x, dtype=torch.float64)
    (of_mean,) = torch.autograd.grad((w * data).mean(), w)
    (of_sum,) = torch.autograd.grad((w * data).sum(), w)
    torch.testing.assert_close(of_sum, data.sum())
    torch.testing.assert_close(of_mean * len(x), of_sum)


@given(st.integers(0, 20))
def test_a_masked_mean_does_not_depend_on_the_padding(padding: int) -> None:
    data = torch.cat([torch.tensor([1.0, 2.0]), torch.full((padding,), 5.0)])
    real = (torch.arange(2 + padding) < 2).float()
    pred = data.requires_grad_()
    each = F.mse_loss(pred, torch.zeros(2 + padding), reduction="none")
    (right,) = torch.autograd.grad((each * real).sum() / real.sum(), pred, retain_graph=True)
    (shrunk,) = torch.autograd.grad((each * real).mean(), pred)
    torch.testing.assert_close(right[:2], torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(right[2:], torch.zeros(padding))
    torch.testing.assert_close(shrunk, right * 2 / (2 + padding))


def test_a_factor_of_zero_does_not_remove_nan() -> None:
    pred = torch.tensor([1.0, 0.0], requires_grad=True)
    real = torch.tensor([1.0, 0.0])
    (pred.log() * real).sum().backward()
    assert pred.grad is not None
    assert pred.grad[1].isnan()


@given(st.lists(quarters, min_size=2, max_size=6))
def test_a_missing_dimension_pulls_everything_to_the_mean(values: list[float]) -> None:
    target = torch.tensor(values, dtype=torch.float64)
    pred = target.clone().unsqueeze(1).requires_grad_()
    (pred - target).square().mean().backward()
    expected = 2 * (target - target.mean()) / len(values)
    torch.testing.assert_close(pred.grad, expected.unsqueeze(1))
    (right,) = torch.autograd.grad((pred - target.view_as(pred)).square().mean(), pred)
    torch.testing.assert_close(right, torch.zeros_like(right))


def test_mse_loss_warns_of_broadcasting_and_a_loss_of_ones_own_does_not() -> None:
    pred, target = torch.zeros(3, 1), torch.zeros(3)
    with pytest.warns(UserWarning, match="Using a target size"):
        F.mse_loss(pred, target)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (pred - target).square().mean()


FLOAT64 = torch.from_numpy(np.array([0.0, 1.0]))


def probabilities() -> Tensor:
    return torch.tensor([0.2, 0.7], requires_grad=True)


@pytest.mark.parametrize(("target", "name"), [(FLOAT64, "Double"), (FLOAT64.long(), "Long")])
def test_where_dtypes_meet(target: Tensor, name: str) -> None:
    found = f"^Found dtype {name} but expected Float$"
    loss = F.huber_loss(probabilities(), target)
    assert loss.dtype == torch.float32
    with pytest.raises(RuntimeError, match=found):
        loss.backward()
    with pytest.raises(RuntimeError, match=found):
        F.binary_cross_entropy(probabilities(), target)
    for works in F.mse_loss, F.l1_loss, F.smooth_l1_loss:
        p = probabilities()
        works(p, target).backward()
        assert p.grad is not None
        assert p.grad.dtype == torch.float32


def test_integer_targets() -> None:
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired"):
        F.binary_cross_entropy_with_logits(probabilities(), FLOAT64.long())
    scores = torch.zeros(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="expected target dtype to be Long or Byte"):
        F.cross_entropy(scores, FLOAT64.float())
    F.cross_entropy(scores, FLOAT64.long()).backward()


def test_a_converted_target_gives_the_closed_form() -> None:
    p = probabilities()
    F.huber_loss(p, FLOAT64.to(p.dtype)).backward()
    torch.testing.assert_close(p.grad, (p.detach() - FLOAT64.float()) / 2)


@given(st.floats(150, 1000))
def test_the_stable_forms_have_the_gradient_of_the_formula(score: float) -> None:
    z = torch.tensor([score, 0.0], requires_grad=True)
    (stable,) = torch.autograd.grad(-torch.log_softmax(z, 0)[1], z)
    (naive,) = torch.autograd.grad(-torch.softmax(z, 0).log()[1], z)
    torch.testing.assert_close(stable, torch.tensor([1.0, -1.0]))
    assert naive.isnan().all()
    (whole,) = torch.autograd.grad(torch.logsumexp(z, 0), z)
    torch.testing.assert_close(whole, torch.tensor([1.0, 0.0]))


@given(st.floats(30, 1000))
def test_a_saturated_sigmoid_silences_the_worst_example(score: float) -> None:
    z, target = torch.tensor(score, requires_grad=True), torch.tensor(0.0)
    (silent,) = torch.autograd.grad(F.binary_cross_entropy(torch.sigmoid(z), target), z)
    (right,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(z, target), z)
    (by_hand,) = torch.autograd.grad(-F.logsigmoid(-z), z)
    assert silent == 0
    assert right == by_hand == 1


def test_gradcheck_finds_a_cut_term_and_passes_a_useless_gradient() -> None:
    p = torch.tensor([0.3, 0.6], dtype=torch.float64, requires_grad=True)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradcheck(lambda p: p.square().sum() + torch.tensor(p.sum().item()), p)
    accuracy = (p > 0.5).double().mean()
    assert not accuracy.requires_grad
    assert gradcheck(lambda p: (p > 0.5).double().mean(), p)
    # Not because of the accuracy: any result without a graph is held to a slope of 0.
    with pytest.raises(GradcheckError, match="Numerical gradient for function expected to be zero"):
        gradcheck(lambda p: p.detach().sum(), p)


@pytest.mark.parametrize(
    ("optimizer", "same"),
    [
        (lambda p, **kw: torch.optim.SGD(p, lr=0.1, momentum=0.9, **kw), True),
        (lambda p, **kw: torch.optim.Adam(p, lr=0.1, **kw), True),
        (lambda p, **kw: torch.optim.AdamW(p, lr=0.1, **kw), False),
    ],
)
def test_which_optimizers_add_the_gradient_of_half_the_square(
    optimizer: Callable[..., torch.optim.Optimizer], same: bool
) -> None:
    ends = []
    for by_hand in True, False:
        w = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
        opt = optimizer([w], weight_decay=0.0 if by_hand else 0.2)
        for _ in range(5):
            opt.zero_grad()
            loss = (w - 3).square().sum()
            (loss + 0.1 * w.square().sum() if by_hand else loss).backward()
            opt.step()
        ends.append(w.detach())
    assert torch.allclose(ends[0], ends[1]) == same


def test_an_l1_penalty_adds_the_sign_of_the_weights() -> None:
    model = nn.Linear(3, 2)
    (0.01 * torch.stack([p.abs().sum() for p in model.parameters()]).sum()).backward()
    for p in model.parameters():
        torch.testing.assert_close(p.grad, 0.01 * p.detach().sign())


@pytest.mark.parametrize("given_to_optimizer", [False, True])
def test_the_parameters_of_a_loss_need_the_optimizer(given_to_optimizer: bool) -> None:
    s = nn.Parameter(torch.tensor(0.0))
    w = nn.Parameter(torch.tensor(2.0))
    optimizer = torch.optim.SGD([w, s] if given_to_optimizer else [w], lr=0.1)
    (torch.exp(-s) * w.square() + s).backward()
    optimizer.step()
    torch.testing.assert_close(s.grad, torch.tensor(1.0 - 4.0))
    assert (s.item() != 0) == given_to_optimizer


def test_a_smooth_dice_has_the_gradient_of_its_formula() -> None:
    z = torch.randn(6, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0, 1, 1, 0, 1, 0], dtype=torch.float64)

    def dice(z: Tensor) -> Tensor:
        p = torch.sigmoid(z)
        return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)

    assert gradcheck(dice, z)
    assert dice((2 * t - 1) * 50) == pytest.approx(0)
    assert torch.autograd.grad(dice(z), z)[0].all()


@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_the_root_of_a_perfect_fit(eps: float) -> None:
    p = torch.tensor([1.0, 2.0], requires_grad=True)
    (F.mse_loss(p, p.detach()) + eps).sqrt().backward()
    assert p.grad is not None
    assert p.grad.isnan().all() if eps == 0 else (p.grad == 0).all()


def test_class_weights_divide_by_their_sum() -> None:
    scores, labels = torch.randn(7, 3), torch.tensor([0, 1, 2, 0, 0, 1, 2])
    weight = torch.tensor([3.0, 1.0, 0.5])
    each = F.cross_entropy(scores, labels, reduction="none")
    w = weight[labels]
    torch.testing.assert_close(F.cross_entropy(scores, labels, weight), (w * each).sum() / w.sum())


def test_the_typed_numbers_are_those_of_the_run(runner: Runner) -> None:
    lesson = runner.result("custom_loss")

    def text(name: str) -> str:
        cell = lesson.cell(name)
        assert cell is not None
        return cell.text()

    assert text("cuts").count("= False") == 8
    assert text("cuts").count("= True") == 1
    assert "w.grad = tensor(3.5000)" in text("stacked")
    assert "z.grad = tensor([ 1., -1.])" in text("log_softmax")
    assert "[3, 3]" in text("shapes")
