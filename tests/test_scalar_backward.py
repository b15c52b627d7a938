"""The claims of the scalar backward lesson, each against mathematics or an oracle."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

INTEGERS = st.integers(-50, 50).map(float)


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def grad(tensor: Tensor) -> float | None:
    return None if tensor.grad is None else tensor.grad.item()


def node(tensor: Tensor) -> Any:
    return tensor.grad_fn


@given(INTEGERS, INTEGERS, INTEGERS)
def test_affine_gradient_is_the_one_derived_by_hand(w0: float, x0: float, b0: float) -> None:
    w, x, b = leaf(w0), torch.tensor([x0]).double(), leaf(b0)
    (w * x + b).backward()
    assert [grad(w), grad(x), grad(b)] == [x0, None, 1]


def test_affine_gradient_agrees_with_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda w, x, b: w * x + b, (leaf(0.7), leaf(2.0), leaf(-1.3)))


def test_the_checker_rejects_a_wrong_gradient() -> None:
    def half_the_gradient(t: Tensor) -> Tensor:
        return t * t.detach()

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(half_the_gradient, leaf(3.0))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_requires_grad_flows_from_inputs_to_outputs_only(first: bool, second: bool) -> None:
    a = torch.ones(1, requires_grad=first)
    b = torch.ones(1, requires_grad=second)
    out = a * b
    assert out.requires_grad == (first or second)
    assert (a.requires_grad, b.requires_grad) == (first, second)


def test_nothing_is_recorded_under_no_grad() -> None:
    with torch.no_grad():
        out = leaf(1.0) * 2
    assert (out.requires_grad, out.is_leaf, out.grad_fn) == (False, True, None)


def test_a_tensor_is_a_leaf_exactly_when_it_has_no_grad_fn() -> None:
    a, c = leaf(1.0), torch.ones(1)
    e = a * 2
    for tensor in (a, c, c * 2, e, e.detach(), e.detach().requires_grad_()):
        assert tensor.is_leaf == (tensor.grad_fn is None)
    assert not e.is_leaf


def test_an_input_that_requires_no_gradient_has_no_edge() -> None:
    y = leaf(3.0) * torch.ones(1)
    (to_w, _), (to_x, _) = node(y).next_functions
    assert to_w.name() == "torch::autograd::AccumulateGrad"
    assert to_x is None


@given(INTEGERS, INTEGERS)
def test_the_derivative_that_nobody_asked_for_is_w(w0: float, x0: float) -> None:
    w, x = leaf(w0), leaf(x0)
    (w * x + leaf(1.0)).backward()
    assert grad(x) == w0


def test_a_one_element_result_starts_from_the_gradient_one() -> None:
    w = leaf(3.0)
    z = w * w
    (implicit,) = torch.autograd.grad(z, w, retain_graph=True)
    (explicit,) = torch.autograd.grad(z, w, torch.ones_like(z))
    assert implicit == explicit
    with pytest.raises(RuntimeError, match="scalar outputs"):
        leaf(1.0, 2.0).mul(2).backward()


def test_a_failed_second_pass_is_not_undone() -> None:
    w, b = leaf(3.0), leaf(1.0)
    z = w * 2 + b
    z.backward()
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()
    assert [grad(w), grad(b)] == [2, 2]


def test_only_what_the_derivative_needs_is_saved() -> None:
    w, x = leaf(3.0), torch.full([1], 2.0)
    assert (node(w * x)._saved_self, node(w * x)._saved_other) == (None, x)
    both = node(w * x.requires_grad_())
    assert (both._saved_self, both._saved_other) == (w, x)


def test_backward_frees_saved_tensors_and_keeps_the_graph() -> None:
    w, b = leaf(3.0), leaf(1.0)
    y = w * torch.full([1], 2.0)
    z = y + b
    before = (z.grad_fn, node(z).next_functions, node(y).next_functions)
    z.backward()
    assert (z.grad_fn, node(z).next_functions, node(y).next_functions) == before
    with pytest.raises(RuntimeError, match="already been freed"):
        _ = node(y)._saved_other


def test_add_saves_no_tensor() -> None:
    add = node(leaf(1.0) + leaf(2.0))
    saved = {name for name in dir(add) if name.startswith("_saved")}
    assert saved == {"_saved_alpha"}
    assert add._saved_alpha == 1


@given(st.integers(1, 8), st.integers(2, 4))
def test_a_graph_of_additions_runs_backward_repeatedly(terms: int, passes: int) -> None:
    u = leaf(1.0)
    s = sum([u] * terms, torch.zeros(1))
    for _ in range(passes):
        s.backward()
    assert u.grad == terms * passes


@given(INTEGERS, st.integers(1, 6))
def test_n_retained_passes_give_n_times_the_gradient(x: float, n: int) -> None:
    w = leaf(3.0)
    z = w * x
    for _ in range(n):
        z.backward(retain_graph=True)
    assert w.grad == n * x


def test_none_and_zero_both_clear_the_gradient() -> None:
    w = leaf(3.0)
    for clear in ("none", "zero", "none"):
        (w * 5).backward()
        assert w.grad is not None
        assert w.grad == 5
        if clear == "none":
            w.grad = None
        else:
            w.grad.zero_()


def test_optimizer_zero_grad_sets_none_by_default() -> None:
    w = leaf(3.0)
    (w * 5).backward()
    torch.optim.SGD([w]).zero_grad()
    assert w.grad is None


@given(INTEGERS)
def test_contributions_of_a_fork_add_up(value: float) -> None:
    v = leaf(value)
    (v * v + v).backward()
    assert v.grad == 2 * value + 1


@given(INTEGERS, INTEGERS)
def test_a_weight_used_twice_gets_the_sum_over_its_uses(w0: float, x0: float) -> None:
    """The same layer twice is $w^2 x$; two layers that share their weight are the same thing."""
    first = torch.nn.Linear(1, 1, bias=False).double()
    second = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(first.weight, w0)
    second.weight = first.weight
    x = torch.tensor([x0]).double()
    for output in (first(first(x)), second(first(x))):
        (found,) = torch.autograd.grad(output.sum(), first.weight)
        assert found.item() == 2 * w0 * x0
    assert len(list(torch.nn.Sequential(first, second).parameters())) == 1


@given(st.lists(INTEGERS, min_size=1, max_size=12), st.integers(1, 5))
def test_micro_batches_accumulate_the_gradient_of_the_whole_batch(
    values: list[float], size: int
) -> None:
    data, w = torch.tensor(values).double(), leaf(2.0)
    (whole,) = torch.autograd.grad((w * data).square().sum(), w)
    for part in data.split(size):
        (w * part).square().sum().backward()
    assert w.grad == whole == 2 * 2 * data.square().sum()


@given(st.lists(INTEGERS, min_size=1, max_size=12), st.integers(1, 5))
def test_micro_batches_of_a_mean_need_their_share_as_weight(values: list[float], size: int) -> None:
    data, w = torch.tensor(values).double(), leaf(2.0)
    (whole,) = torch.autograd.grad((w * data).mean(), w)
    for part in data.split(size):
        ((w * part).mean() * len(part) / len(data)).backward()
    torch.testing.assert_close(w.grad, whole)


def test_micro_batches_of_batch_normalisation_give_another_gradient() -> None:
    torch.manual_seed(0)
    data = torch.randn(8, 2, dtype=torch.float64)
    without = torch.nn.Linear(2, 1).double()
    with_it = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).double()
    for model, alike in ((without, True), (with_it, False)):
        parameter = next(model.parameters())
        (whole,) = torch.autograd.grad(model(data).pow(3).sum(), parameter)
        for part in data.split(4):
            model(part).pow(3).sum().backward()
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, whole) == alike


def test_a_non_leaf_gradient_is_not_stored_and_reading_it_warns() -> None:
    y = leaf(3.0) * 2
    (y + 1).backward()
    with pytest.warns(UserWarning, match="not a leaf Tensor"):
        assert y.grad is None


@given(INTEGERS, INTEGERS)
def test_retain_grad_stores_the_factor_of_the_chain_rule(w0: float, x: float) -> None:
    w = leaf(w0)
    y = w * x
    y.retain_grad()
    y.square().backward()
    assert y.grad is not None
    assert not y.is_leaf
    assert y.grad == 2 * w0 * x
    assert w.grad == y.grad * x
