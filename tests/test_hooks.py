"""The claims of the lesson on hooks, each against mathematics or an oracle."""

import warnings
import weakref
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook

INTEGERS = st.integers(-50, 50).map(float)


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def grad(tensor: Tensor) -> float | None:
    return None if tensor.grad is None else tensor.grad.item()


def node(tensor: Tensor) -> Any:
    return tensor.grad_fn


@given(INTEGERS, INTEGERS)
def test_a_tensor_hook_sees_the_factor_of_the_chain_rule(w0: float, x: float) -> None:
    w, seen = leaf(w0), list[float]()
    y = w * x
    y.register_hook(lambda g: seen.append(g.item()))
    y.square().backward()
    assert seen == [2 * w0 * x]
    assert grad(w) == 2 * w0 * x * x


@given(INTEGERS, INTEGERS, INTEGERS)
def test_what_a_hook_returns_replaces_the_gradient(w0: float, x: float, new: float) -> None:
    w = leaf(w0)
    y = w * x
    y.register_hook(lambda g: torch.full_like(g, new))
    y.square().backward()
    assert grad(w) == new * x


@pytest.mark.parametrize("in_place", [False, True])
def test_grad_may_be_changed_between_backward_and_step(in_place: bool) -> None:
    w = torch.ones(3, requires_grad=True)
    mask = torch.tensor([0.0, 1.0, 1.0])
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(2):  # two passes, one change of their sum
        w.sum().backward()
    assert w.grad is not None
    if in_place:
        w.grad.mul_(mask)
    else:
        w.grad = w.grad * mask
    optimizer.step()
    torch.testing.assert_close(w.detach(), 1 - 0.2 * mask)


def test_weight_decay_and_momentum_move_a_weight_without_a_gradient() -> None:
    cases: list[tuple[dict[str, Any], float]] = [({"weight_decay": 0.5}, 0), ({"momentum": 0.9}, 1)]
    for options, first in cases:
        w = torch.ones(1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1, **options)
        w.grad = torch.full((1,), float(first))
        optimizer.step()
        before = w.item()
        w.grad = torch.zeros(1)
        optimizer.step()
        assert w.item() < before


def test_gradcheck_notices_a_hook_that_changes_the_gradient() -> None:
    def hooked(w: Tensor, factor: float) -> Tensor:
        y = w * 2
        y.register_hook(lambda g: g * factor)
        return y.exp()

    def check(factor: float) -> bool:
        # gradcheck's test with undefined gradients would hand None to the hook
        return torch.autograd.gradcheck(
            lambda w: hooked(w, factor), leaf(0.3), check_undefined_grad=False
        )

    assert check(1.0)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        check(1.5)


@given(st.lists(st.lists(INTEGERS, min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_leaf_hook_is_called_once_per_pass_with_the_sum(passes: list[list[float]]) -> None:
    v, seen = leaf(1.0), list[float]()
    v.register_hook(lambda g: seen.append(g.item()))
    for factors in passes:
        torch.stack([factor * v for factor in factors]).sum().backward()
    assert seen == [sum(factors) for factors in passes]
    assert grad(v) == sum(seen)


def test_one_gradient_tensor_may_go_to_several_inputs() -> None:
    a, b, seen = leaf(1.0), leaf(1.0), list[Tensor]()
    for tensor in (a, b):
        tensor.register_hook(lambda g: seen.append(g))
    (a + b).backward()
    assert seen[0].data_ptr() == seen[1].data_ptr()


def test_a_hook_of_a_non_leaf_goes_with_its_graph_and_that_of_a_leaf_stays() -> None:
    w, calls = leaf(1.0), list[str]()

    def note(name: str) -> Callable[[Tensor], None]:
        return lambda _: calls.append(name)

    w.register_hook(note("w"))
    y = w * 2
    y.register_hook(note("y"))
    y.backward()
    (w * 2).backward()
    assert calls == ["y", "w", "w"]
    kept = note("gone")
    reference = weakref.ref(kept)
    y.register_hook(kept)
    del kept, y
    assert reference() is None


@pytest.mark.parametrize("retain_first", [False, True])
def test_retain_grad_stores_what_is_left_after_the_hooks(retain_first: bool) -> None:
    y = leaf(3.0) * 2
    if retain_first:
        y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    y.square().backward()
    assert grad(y) == 2 * 6 * 10


def test_hooks_of_one_kind_run_in_the_order_of_registration() -> None:
    w = leaf(1.0)
    w.register_hook(lambda g: g + 1)
    w.register_hook(lambda g: g * 10)
    (w * 2).backward()
    assert grad(w) == (2 + 1) * 10


def test_each_hook_runs_where_the_gradient_is() -> None:
    order: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_: order.append(name)

    w = leaf(3.0)
    y = w * 2
    node(y).register_hook(note("node after"))
    w.register_hook(note("w"))
    y.register_hook(note("y"))
    w.register_post_accumulate_grad_hook(note("w.grad"))
    node(y).register_prehook(note("node before"))
    y.square().backward()
    assert order == ["y", "node before", "node after", "w", "w.grad"]


@given(INTEGERS, INTEGERS)
def test_node_hooks_see_both_sides_and_may_replace_them(w0: float, x0: float) -> None:
    w, x, seen = leaf(w0), leaf(x0), list[Any]()
    y = w * x
    node(y).register_prehook(lambda grad_outputs: (grad_outputs[0] + 1,))
    node(y).register_hook(lambda *sides: seen.extend(sides))
    node(y).register_hook(lambda grad_inputs, _: (grad_inputs[0] * 10, grad_inputs[1]))
    y.backward()
    assert seen == [(2 * x0, 2 * w0), (2,)]
    assert [grad(w), grad(x)] == [20 * x0, 2 * w0]


def test_a_post_accumulate_hook_comes_when_grad_is_complete_and_not_under_grad() -> None:
    v, seen = leaf(1.0), list[Any]()
    v.register_post_accumulate_grad_hook(
        lambda p: seen.append((p is v, p.grad.item(), torch.is_grad_enabled()))
    )
    (2 * v + 5 * v).backward()
    (2 * v).backward()
    assert seen == [(True, 7, False), (True, 9, False)]
    torch.autograd.grad(2 * v, v)
    assert len(seen) == 2


def test_tensor_hooks_run_under_autograd_grad() -> None:
    v = leaf(1.0)
    v.register_hook(lambda g: g * 10)
    (gradient,) = torch.autograd.grad(2 * v, v)
    assert gradient == 20
    assert v.grad is None


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam])
def test_a_step_inside_backward_equals_the_step_after_it(
    optimizer_class: type[torch.optim.Optimizer],
) -> None:
    torch.manual_seed(0)
    data = torch.randn(8, 2)
    plain = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    hooked = deepcopy(plain)
    optimizer = optimizer_class(plain.parameters(), lr=0.1)  # type: ignore[call-arg]
    for p in hooked.parameters():
        own = optimizer_class([p], lr=0.1)  # type: ignore[call-arg]

        def step_now(p: Tensor, own: torch.optim.Optimizer = own) -> None:
            own.step()
            own.zero_grad()

        p.register_post_accumulate_grad_hook(step_now)
    for _ in range(3):
        for net in (plain, hooked):
            net(data).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(p.grad is None for p in hooked.parameters())
    torch.testing.assert_close(list(plain.parameters()), list(hooked.parameters()))


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda: (leaf(1.0) * 2).register_post_accumulate_grad_hook(print), "non-leaf"),
        (lambda: torch.ones(1).register_hook(print), "doesn't require gradient"),
        (lambda: torch.ones(1).register_post_accumulate_grad_hook(print), "doesn't require"),
    ],
)
def test_where_no_hook_can_be_registered(register: Callable[[], Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        register()


class Affine(nn.Module):
    """Two operations, so two nodes."""

    def forward(self, x: Tensor, factor: Tensor | float = 2.0) -> Tensor:
        return (x * factor).exp()


def test_a_full_backward_hook_sees_both_ends_and_the_old_one_does_not() -> None:
    full, old, x = list[Any](), list[Any](), leaf(0.5)
    module = Affine()
    module.register_full_backward_hook(lambda _, *ends: full.extend(ends))
    module(x).backward()
    torch.testing.assert_close(full, [(x.grad,), (torch.ones(1).double(),)])
    module = Affine()
    module.register_backward_hook(lambda _, *ends: old.extend(ends))
    with pytest.warns(Warning, match="will be missing some grad_input"):
        module(x).backward()
    torch.testing.assert_close(old[0][0], (2 * x).exp())  # what goes into exp, not into the module


def test_what_a_full_backward_hook_returns_replaces_grad_input_only() -> None:
    layer, x = nn.Linear(2, 1, bias=False), torch.ones(1, 2, requires_grad=True)
    layer.register_full_backward_hook(lambda *_: (torch.zeros(1, 2),))
    layer(x).sum().backward()
    assert torch.equal(x.grad, torch.zeros(1, 2))  # type: ignore[arg-type]
    assert torch.equal(layer.weight.grad, torch.ones(1, 2))  # type: ignore[arg-type]


def test_arguments_by_keyword_do_not_appear_in_a_full_backward_hook() -> None:
    seen: list[int] = []
    module = Affine()
    module.register_full_backward_hook(lambda _, grad_input, __: seen.append(len(grad_input)))
    module(leaf(0.5), leaf(2.0)).backward()
    module(leaf(0.5), factor=leaf(2.0)).backward()
    assert seen == [2, 1]


def test_a_full_backward_hook_without_a_gradient_of_the_input_warns() -> None:
    seen: list[Any] = []
    layer = nn.Linear(2, 1)
    layer.register_full_backward_hook(lambda _, grad_input, __: seen.append(grad_input))
    with pytest.warns(UserWarning, match="since no inputs require gradients"):
        layer(torch.ones(1, 2)).sum().backward()
    assert seen == [(None,)]


@pytest.mark.parametrize("hooked", [0, 1])
def test_a_full_backward_hook_forbids_an_in_place_change_of_either_end(hooked: int) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    handle = net[hooked].register_full_backward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        net(torch.ones(1, 2))
    handle.remove()
    net[1].inplace = False  # type: ignore[assignment]
    net[hooked].register_full_backward_hook(lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net(torch.ones(1, 2)).sum().backward()


def test_a_hook_registered_before_an_in_place_change_gets_the_gradient_of_the_old_value() -> None:
    seen: list[Tensor] = []
    y = leaf(1.0, -1.0) * 2
    y.register_hook(seen.append)
    y.relu_()
    y.register_hook(seen.append)
    y.backward(torch.tensor([5.0, 7.0]).double())
    after, before = seen
    assert after.tolist() == [5, 7]
    assert before.tolist() == [5, 0]


@pytest.mark.parametrize("reached", [[True, True], [True, False], [False, True]])
def test_a_multi_grad_hook_waits_for_all_that_the_pass_reaches(reached: list[bool]) -> None:
    leaves, seen = [leaf(1.0), leaf(1.0)], list[Any]()
    register_multi_grad_hook(leaves, lambda grads: seen.append([g and g.item() for g in grads]))
    torch.stack([(i + 2) * leaves[i] for i in range(2) if reached[i]]).sum().backward()
    assert seen == [[i + 2 if reached[i] else None for i in range(2)]]


@pytest.mark.parametrize("mode", ["all", "any"])
def test_a_multi_grad_hook_is_called_once_and_cannot_replace(mode: Any) -> None:
    a, b, calls = leaf(1.0), leaf(1.0), list[Any]()

    def hook(grads: Any) -> Any:
        calls.append(grads)
        return torch.zeros(1).double()

    register_multi_grad_hook((a, b), hook, mode=mode)
    (2 * a + 3 * b).backward()
    assert len(calls) == 1
    assert isinstance(calls[0], Tensor) == (mode == "any")
    assert [grad(a), grad(b)] == [2, 3]


@given(st.integers(0, 6), st.integers(0, 6))
def test_every_registration_counts_until_it_is_removed(registered: int, removed: int) -> None:
    v = leaf(1.0)
    handles = [v.register_hook(lambda g: 10 * g) for _ in range(registered)]
    for handle in handles[:removed]:
        handle.remove()
    (2 * v).backward()
    assert grad(v) == 2 * 10 ** max(0, registered - removed)


def test_a_handle_removes_its_hook_when_its_with_block_ends() -> None:
    v = leaf(1.0)
    with v.register_hook(lambda g: -g):
        (2 * v).backward()
    (3 * v).backward()
    assert grad(v) == -2 + 3


@given(INTEGERS, INTEGERS)
def test_gradient_reversal_reaches_only_what_lies_behind_it(head0: float, encoder0: float) -> None:
    head, encoder = leaf(head0), leaf(encoder0)
    feature = encoder * 3
    feature.register_hook(lambda g: -g)
    (head * feature).backward()
    assert [grad(head), grad(encoder)] == [3 * encoder0, -3 * head0]
