"""The claims of the lesson on gradients inside the network, each against an oracle."""

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import grad

NUMBERS = st.lists(st.integers(-9, 9).filter(bool).map(float), min_size=2, max_size=2)


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def network(w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    h = w * torch.tensor([2.0, 4.0]).double()
    r = h.relu()
    return h, r, (r * v).sum()


def gradient(tensor: Tensor) -> Tensor | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tensor.grad


def node(tensor: Tensor) -> Any:
    return tensor.grad_fn


@given(NUMBERS, NUMBERS)
def test_retained_gradients_are_the_factors_of_the_chain_rule(
    first: list[float], second: list[float]
) -> None:
    w, v = leaf(*first), leaf(*second)
    h, r, loss = network(w, v)
    h.retain_grad()
    r.retain_grad()
    loss.backward()
    assert h.grad is not None
    assert r.grad is not None
    assert torch.equal(r.grad, v)
    assert torch.equal(h.grad, v * (h > 0))
    assert w.grad is not None
    assert torch.equal(w.grad, h.grad * torch.tensor([2.0, 4.0]))


def test_the_gradient_of_an_intermediate_agrees_with_finite_differences() -> None:
    v = leaf(1.0, 5.0)
    assert torch.autograd.gradcheck(lambda h: (h.relu() * v).sum(), leaf(6.0, -4.0))


def test_the_checker_rejects_the_gradient_from_before_the_relu() -> None:
    def passes_everything(h: Tensor) -> Tensor:
        return h.relu().detach() + h - h.detach()

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(passes_everything, leaf(6.0, -4.0))


def test_without_retain_grad_nothing_is_stored_and_reading_warns() -> None:
    h, _, loss = network(leaf(3.0, -1.0), leaf(1.0, 5.0))
    loss.backward()
    with pytest.warns(UserWarning, match="not a leaf Tensor"):
        assert h.grad is None


def test_retain_grad_after_the_pass_is_too_late() -> None:
    h, _, loss = network(leaf(3.0, -1.0), leaf(1.0, 5.0))
    loss.backward()
    h.retain_grad()
    assert h.grad is None


def test_retain_grad_does_nothing_to_a_leaf_and_refuses_a_tensor_without_gradient() -> None:
    w = leaf(3.0)
    w.retain_grad()
    assert not w.retains_grad
    with pytest.raises(RuntimeError, match="requires_grad=False"):
        torch.ones(1).retain_grad()


@given(st.integers(1, 4))
def test_a_retained_gradient_adds_up_over_passes(passes: int) -> None:
    h, _, loss = network(leaf(3.0, -1.0), leaf(1.0, 5.0))
    h.retain_grad()
    h.retain_grad()
    for _ in range(passes):
        loss.backward(retain_graph=True)
    assert h.grad is not None
    assert h.grad.tolist() == [passes, 0]


def test_grad_returns_what_backward_stores_and_writes_no_leaf() -> None:
    w, v = leaf(3.0, -1.0), leaf(1.0, 5.0)
    returned = grad(network(w, v)[2], [w, v])
    assert isinstance(returned, tuple)
    assert (w.grad, v.grad) == (None, None)
    network(w, v)[2].backward()
    for mine, theirs in zip(returned, [w.grad, v.grad], strict=True):
        assert theirs is not None
        assert torch.equal(mine, theirs)


def test_grad_frees_saved_tensors_even_when_it_ends_with_the_error_about_unused() -> None:
    w, v = leaf(3.0, -1.0), leaf(1.0, 5.0)
    for inputs in ([w], [w, leaf(1.0)]):
        loss = network(w, v)[2]
        if len(inputs) == 1:
            grad(loss, inputs)
        else:
            with pytest.raises(RuntimeError, match="at index 1 appears to not have been used"):
                grad(loss, inputs)
        with pytest.raises(RuntimeError, match="second time"):
            grad(loss, w)


def test_grad_writes_retaining_non_leaves_on_its_way_only() -> None:
    w, v = leaf(3.0, -1.0), leaf(1.0, 5.0)
    for asked, expected in ((w, [1, 0]), (v, None)):
        h, _, loss = network(w, v)
        h.retain_grad()
        grad(loss, asked)
        stored = gradient(h)
        assert (None if stored is None else stored.tolist()) == expected


def test_only_nodes_on_a_path_to_the_inputs_run() -> None:
    w, v = leaf(3.0, -1.0), leaf(1.0, 5.0)
    ran: list[str] = []
    for call in ("grad", "backward"):
        _, r, loss = network(w, v)
        node(r).register_prehook(lambda _: ran.append("relu"))
        node(loss).register_prehook(lambda _: ran.append("sum"))
        if call == "grad":
            grad(loss, v)
        else:
            loss.backward(inputs=[v])
    assert ran == ["sum", "sum"]


def test_backward_with_inputs_fills_only_those() -> None:
    w, v = leaf(3.0, -1.0), leaf(1.0, 5.0)
    network(w, v)[2].backward(inputs=[v])
    assert w.grad is None
    assert v.grad is not None
    assert v.grad.tolist() == [6, 0]


def test_backward_with_inputs_fills_retaining_non_leaves_on_its_way_as_well() -> None:
    w, v = leaf(3.0, -1.0), leaf(1.0, 5.0)
    h, _, loss = network(w, v)
    h.retain_grad()
    loss.backward(inputs=[w])
    assert v.grad is None
    assert h.grad is not None
    assert h.grad.tolist() == [1, 0]


def test_backward_with_a_non_leaf_input_makes_it_retain() -> None:
    w, v = leaf(3.0, -1.0), leaf(1.0, 5.0)
    h, _, loss = network(w, v)
    loss.backward(inputs=[h])
    assert h.retains_grad
    assert h.grad is not None
    assert h.grad.tolist() == [1, 0]
    assert w.grad is None


def test_backward_says_nothing_about_an_unused_input() -> None:
    spare = leaf(1.0)
    network(leaf(3.0, -1.0), leaf(1.0, 5.0))[2].backward(inputs=[spare])
    assert spare.grad is None


def test_an_unused_input_gets_none_or_on_request_zeros() -> None:
    w, spare = leaf(3.0, -1.0), leaf(1.0, 2.0, 3.0)
    (nothing,) = grad(network(w, w)[2], [spare], allow_unused=True)
    assert nothing is None
    (zeros,) = grad(network(w, w)[2], [spare], materialize_grads=True)
    assert torch.equal(zeros, torch.zeros_like(spare))


def test_a_custom_function_on_the_path_can_return_none() -> None:
    class Cut(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> None:
            return None

    w = leaf(1.0)
    cut: Any = Cut.apply
    (nothing,) = grad(cut(w), w, allow_unused=True)
    assert nothing is None


@pytest.mark.parametrize("way", ["index", "view", "to"])
def test_a_slice_or_copy_made_afterwards_is_not_in_the_graph(way: str) -> None:
    w = leaf(3.0, -1.0)
    loss = network(w, w)[2]
    new = {"index": lambda: w[0], "view": lambda: w.view(1, 2), "to": lambda: w.float()}[way]()
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        grad(loss, new)


@pytest.mark.parametrize("allow_unused", [False, True])
def test_a_tensor_that_requires_no_gradient_is_refused(allow_unused: bool) -> None:
    w, x = leaf(3.0), torch.ones(1)
    with pytest.raises(RuntimeError, match="does not require grad"):
        grad(w * x, x, allow_unused=allow_unused)


@given(NUMBERS, st.lists(st.floats(-2, 2), min_size=2, max_size=2))
def test_several_outputs_give_the_weighted_sum_of_their_gradients(
    values: list[float], weights: list[float]
) -> None:
    w, v = leaf(*values), leaf(1.0, 5.0)
    outputs = [network(w, v)[2], (w**2).sum()]
    (one,) = grad(outputs[0], w, retain_graph=True)
    (two,) = grad(outputs[1], w, retain_graph=True)
    (plain,) = grad(outputs, w, retain_graph=True)
    torch.testing.assert_close(plain, one + two)
    (weighted,) = grad(
        outputs, w, grad_outputs=[torch.tensor(k, dtype=torch.float64) for k in weights]
    )
    torch.testing.assert_close(weighted, weights[0] * one + weights[1] * two)


@given(st.floats(-5, 5), st.integers(1, 12))
def test_a_sigmoid_leaves_a_quarter_at_most(start: float, depth: int) -> None:
    first = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    last, product = first, 1.0
    for _ in range(depth):
        last = last.sigmoid()
        product *= last.item() * (1 - last.item())
    (slope,) = grad(last, first)
    assert slope.item() <= 4.0**-depth
    assert math.isclose(slope.item(), product, rel_tol=1e-9)


@given(NUMBERS)
def test_the_chain_rule_in_two_calls_needs_no_retained_graph(values: list[float]) -> None:
    w, v = leaf(*values), leaf(1.0, 5.0)
    (whole,) = grad(network(w, v)[2], w)
    h, _, loss = network(w, v)
    (to_h,) = grad(loss, h)
    (to_w,) = grad(h, w, to_h)
    assert torch.equal(to_w, whole)


def test_zero_needs_a_path_and_none_means_that_there_is_none() -> None:
    a, b, c, d = leaf(1.0), leaf(1.0), leaf(1.0), leaf(1.0)
    s = a * 0 + (b - 2).relu() + c.detach() + 1
    to_a, to_b, *rest = grad(s, [a, b, c, d], allow_unused=True)
    assert (to_a.item(), to_b.item()) == (0, 0)
    assert rest == [None, None]
