"""The claims of the lesson on stopping gradients, each against mathematics or an oracle."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Thread
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

INTEGERS = st.integers(-50, 50).map(float)
Mode = Callable[[], AbstractContextManager[Any]]
OFF: list[Mode] = [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)]


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def grad(tensor: Tensor) -> float | None:
    return None if tensor.grad is None else tensor.grad.item()


def inference(*values: float) -> Tensor:
    with torch.inference_mode():
        return torch.tensor(values, dtype=torch.float64)


@given(INTEGERS, INTEGERS)
def test_a_detached_factor_is_a_constant(w0: float, x: float) -> None:
    w = leaf(w0)
    y = w * x
    z = y * y.detach()
    (gradient,) = torch.autograd.grad(z, w)
    assert z == (w0 * x) ** 2
    assert gradient == w0 * x * x


def test_gradcheck_notices_what_detach_cut() -> None:
    assert torch.autograd.gradcheck(lambda w: w * w, leaf(3.0))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(lambda w: w * w.detach(), leaf(3.0))


def test_detach_makes_a_leaf_in_the_same_memory_and_leaves_the_original_alone() -> None:
    y = leaf(3.0) * 2
    d = y.detach()
    assert (d.requires_grad, d.is_leaf, y.requires_grad) == (False, True, True)
    assert d.data_ptr() == y.data_ptr()
    assert d.clone().data_ptr() != y.data_ptr()


@pytest.mark.parametrize(
    ("way", "requires_grad", "own"),
    [
        (lambda y: y, True, False),
        (lambda y: y.detach(), False, False),
        (lambda y: y.clone(), True, True),
        (lambda y: y.detach().clone(), False, True),
        (lambda y: y.clone().detach(), False, True),
    ],
)
def test_detach_drops_the_history_and_clone_copies_the_memory(
    way: Callable[[Tensor], Tensor], requires_grad: bool, own: bool
) -> None:
    w = leaf(3.0)
    y = w * 2
    c = way(y)
    assert (c.requires_grad, c.is_leaf) == (requires_grad, not requires_grad)
    assert (c.data_ptr() != y.data_ptr()) == own
    if requires_grad:
        c.backward()
        assert w.grad == 2


@pytest.mark.parametrize("mode", OFF)
def test_a_mode_records_nothing_and_ends_with_its_block(mode: Mode) -> None:
    w = leaf(3.0)
    with mode():
        inside = w * 2
        made = leaf(1.0)
    assert (inside.requires_grad, w.requires_grad, made.requires_grad) == (False, True, True)
    assert (w * 2).requires_grad


@pytest.mark.parametrize("mode", OFF)
def test_a_mode_applies_to_its_own_thread(mode: Mode) -> None:
    flags = []
    with mode():
        thread = Thread(target=lambda: flags.append((leaf(1.0) * 2).requires_grad))
        thread.start()
        thread.join()
    assert flags == [True]


def test_no_grad_permits_what_is_refused_outside() -> None:
    w = leaf(3.0)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        w -= 1
    with torch.no_grad():
        w -= 1
    assert (w.item(), w.requires_grad) == (2, True)


def test_eval_changes_layers_and_not_recording() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2)).eval()
    x = torch.ones(3, 2)
    assert model(x).requires_grad
    assert torch.equal(model(x), model(x))


def test_enable_grad_works_in_no_grad_and_not_in_inference_mode() -> None:
    w = leaf(3.0)
    with torch.no_grad(), torch.enable_grad():
        assert (w * 2).requires_grad
    with torch.inference_mode():
        with torch.enable_grad():
            assert torch.is_grad_enabled()
            assert not (w * 2).requires_grad
        with torch.inference_mode(False):
            assert (w * 2).requires_grad


def test_inference_tensors_are_new_tensors_and_their_views() -> None:
    normal = leaf(1.0, 2.0)
    with torch.inference_mode():
        made, view = normal * 2, normal.view(2)
    assert (made.is_inference(), view.is_inference()) == (True, False)
    assert made.view(2).is_inference()
    assert not made.clone().is_inference()


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda i: i * leaf(2.0), "cannot be saved for backward"),
        (lambda i: i.add_(1), "Inplace update to inference tensor"),
        (lambda i: i.requires_grad_(), "Setting requires_grad=True on inference tensor"),
        (lambda i: i._version, "do not track version counter"),
    ],
)
def test_what_an_inference_tensor_refuses(use: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        use(inference(3.0))


def test_what_an_inference_tensor_allows() -> None:
    w = leaf(2.0)
    (inference(3.0) + w).backward()
    assert w.grad == 1
    (inference(3.0).clone() * w).backward()
    assert w.grad == 1 + 3


@pytest.mark.parametrize(
    ("way", "saved"),
    [
        (torch.exp, 1),
        (lambda x: torch.exp(x).detach(), 1),
        (torch.no_grad()(torch.exp), 0),
        (torch.set_grad_enabled(False)(torch.exp), 0),
        (torch.inference_mode()(torch.exp), 0),
        (lambda x: torch.exp(x.requires_grad_(False)), 0),
    ],
)
def test_only_detach_comes_too_late_to_save_memory(
    way: Callable[[Tensor], Tensor], saved: int
) -> None:
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda t: t):
        way(leaf(1.0))
    assert len(kept) == saved


@given(st.lists(INTEGERS, min_size=2, max_size=5), st.data())
def test_gradients_pass_through_a_frozen_factor(values: list[float], data: st.DataObject) -> None:
    frozen = data.draw(st.integers(0, len(values) - 1))
    weights = [leaf(value) for value in values]
    weights[frozen].requires_grad_(False)
    torch.stack(weights).prod().backward()
    for i, weight in enumerate(weights):
        others = torch.tensor(values[:i] + values[i + 1 :], dtype=torch.float64)
        assert weight.grad is None if i == frozen else weight.grad == others.prod()


def test_no_grad_around_a_layer_cuts_off_what_comes_before() -> None:
    first, middle, last = leaf(2.0), leaf(3.0), leaf(4.0)
    hidden = first * 1
    with torch.no_grad():
        hidden = hidden * middle
    (hidden * last).backward()
    assert [grad(first), grad(middle), grad(last)] == [None, None, 6]


@pytest.mark.parametrize("kind", ["left", "zero", "none"])
def test_an_optimizer_goes_by_grad_alone(kind: str) -> None:
    w = leaf(4.0)
    optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.5)
    (w * 6).backward()
    w.requires_grad_(False)
    if kind != "left":
        optimizer.zero_grad(**({"set_to_none": False} if kind == "zero" else {}))
    optimizer.step()
    moved = {"left": 0.1 * (6 + 0.5 * 4), "zero": 0.1 * 0.5 * 4, "none": 0}
    torch.testing.assert_close(w, torch.tensor([4 - moved[kind]]).double())


def test_momentum_moves_a_parameter_whose_gradient_is_zero_but_not_none() -> None:
    w = leaf(4.0)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.5)
    (w * 6).backward()
    optimizer.step()
    w.requires_grad_(False)
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    torch.testing.assert_close(w, torch.tensor([4 - 0.1 * 6 - 0.1 * 3]).double())


@given(st.integers(2, 9).map(float))
def test_data_escapes_the_version_counter_and_detach_does_not(factor: float) -> None:
    v = leaf(0.0)
    y = v.exp()
    y.data.mul_(factor)
    assert y._version == 0
    (gradient,) = torch.autograd.grad(y, v)
    assert gradient == factor  # the true derivative is 1
    y = v.exp()
    y.detach().mul_(factor)
    assert y._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize(
    "cut",
    [
        lambda p: p.detach(),
        lambda p: torch.tensor(p.item()),
        lambda p: torch.from_numpy(p.detach().numpy()),
        lambda p: p.argmax(),
        lambda p: p.round().long(),
        lambda p: p > 1,
        lambda p: p.requires_grad_(False) * 2,
        torch.no_grad()(lambda p: p * 2),
    ],
)
def test_what_leads_to_element_0_does_not_require_grad(cut: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        cut(leaf(2.0)).sum().backward()


def test_the_element_is_the_place_in_the_list() -> None:
    roots = [leaf(1.0) * 2, torch.ones(1)]
    with pytest.raises(RuntimeError, match="element 1 of tensors does not require grad"):
        torch.autograd.backward(roots)


def test_setting_the_flag_of_the_loss_makes_a_leaf_and_reaches_no_parameter() -> None:
    w = leaf(3.0)
    loss = (w.detach() - 1).square().sum()
    loss.requires_grad = True
    loss.backward()
    assert loss.is_leaf
    assert [grad(loss), grad(w)] == [1, None]


def test_the_flag_of_a_non_leaf_cannot_be_cleared() -> None:
    y = leaf(3.0) * 2
    with pytest.raises(
        RuntimeError, match="you can only change requires_grad flags of leaf variables"
    ):
        y.requires_grad = False


@given(INTEGERS, st.floats(-9, 9), st.floats(-9, 9))
def test_the_value_of_one_with_the_gradient_of_another(a0: float, f: float, h: float) -> None:
    a = leaf(a0)
    value, other = a * f, a * h
    g = value.detach() + (other - other.detach())
    g.backward()
    assert g == value
    assert a.grad == h


def test_without_brackets_the_value_is_rounded_twice() -> None:
    f, h = torch.tensor(1.0), torch.tensor(2.0**25)
    assert f + (h - h) == 1
    assert f + h - h == 0


@given(INTEGERS, st.sampled_from([(1.0, 2.0, 1.0, 0.5), (2.0, 3.0, -1.0, 0.9)]))
def test_a_detached_target_leaves_the_semi_gradient(
    w0: float, setting: tuple[float, float, float, float]
) -> None:
    s, s_next, reward, discount = setting
    w = leaf(w0)
    target = reward + discount * w * s_next
    delta = w0 * s - (reward + discount * w0 * s_next)
    expected = {False: 2 * delta * (s - discount * s_next), True: 2 * delta * s}
    for stop in expected:
        error = w * s - (target.detach() if stop else target)
        (gradient,) = torch.autograd.grad(error.square(), w, retain_graph=True)
        torch.testing.assert_close(gradient.item(), expected[stop])


@pytest.mark.parametrize(("stop", "after"), [(False, 3.0), (True, 5.0)])
def test_the_gap_of_the_exercise_stays_whichever_gradient_is_followed(
    stop: bool, after: float
) -> None:
    w = leaf(3.0)
    for _ in range(10):
        target = 1 + 0.5 * w * 2
        delta = w * 1 - (target.detach() if stop else target)
        assert delta == -1
        (gradient,) = torch.autograd.grad(delta.square(), w)
        with torch.no_grad():
            w -= 0.1 * gradient
    assert w.item() == pytest.approx(after)


def test_a_parameter_made_of_a_result_is_cut_off() -> None:
    p = leaf(1.0)
    q = nn.Parameter(p * 2)
    q.backward()
    assert q.is_leaf
    assert [grad(q), grad(p)] == [1, None]
