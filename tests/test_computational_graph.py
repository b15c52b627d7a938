"""The claims of the lesson on the computational graph, each against mathematics or an oracle."""

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

FORWARD: list[Callable[[Tensor], Tensor]] = [
    torch.exp, torch.sin, torch.neg, torch.tanh, torch.log, torch.sqrt, torch.sum,
    lambda p: p * 3, lambda p: p * p,
]  # fmt: skip
KEPT: list[set[str]] = [
    {"result"}, {"self"}, set(), {"result"}, {"self"}, {"result"}, set(),
    {"other"}, {"self", "other"},
]  # fmt: skip


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def node(tensor: Tensor) -> Any:
    return tensor.grad_fn


def reachable(start: Any) -> set[Any]:
    seen: set[Any] = set()
    queue = [start]
    while queue:
        current = queue.pop()
        if current is not None and current not in seen:
            seen.add(current)
            queue += [target for target, _ in current.next_functions]
    return seen


def saved_tensors(tensor: Tensor) -> dict[str, Tensor]:
    names = [name for name in dir(node(tensor)) if name.startswith("_saved_")]
    values = {name.removeprefix("_saved_"): getattr(node(tensor), name) for name in names}
    return {name: value for name, value in values.items() if torch.is_tensor(value)}


def double_until_100(v: Tensor) -> Tensor:
    while v < 100:
        v = v * 2
    return v


def test_the_graph_ends_at_the_leaves_that_require_a_gradient() -> None:
    x, w, b = torch.ones(1), leaf(3.0), leaf(1.0)
    ends = {n.variable for n in reachable(node((w * x + b) ** 2)) if hasattr(n, "variable")}
    assert ends == {w, b}


def test_an_edge_names_the_output_it_belongs_to() -> None:
    first, second = leaf(1.0, 2.0).unbind()
    ((one, i),) = node(first.exp()).next_functions
    ((two, j),) = node(second.exp()).next_functions
    assert one is two
    assert (i, j) == (0, 1)


def test_an_index_and_a_condition_have_no_edge() -> None:
    w, x = leaf(1.0, 2.0), torch.ones(2)
    assert len(node(w + x).next_functions) == 2
    assert len(node(w[torch.tensor([0])]).next_functions) == 1
    assert len(node(torch.where(w > 1, w, x)).next_functions) == 2


def test_a_node_outlives_the_tensor_it_made_unless_somebody_saved_that() -> None:
    w, x, b = leaf(3.0), torch.full([1], 2.0), leaf(1.0)
    y = w * x
    loss = (y + b) ** 2
    tensor, name = weakref.ref(y), node(y).name()
    del y
    gc.collect()
    assert tensor() is None
    assert name in {n.name() for n in reachable(node(loss))}
    loss.backward()
    assert w.grad == 2 * (3 * 2 + 1) * 2


def test_a_saved_result_keeps_its_memory_after_del() -> None:
    e = leaf(1.0).exp()
    out = e * 1
    address = e.data_ptr()
    del e
    ((exp, _), _) = node(out).next_functions
    assert exp._saved_result.data_ptr() == address
    assert exp._saved_result.item() == pytest.approx(math.e)


def test_only_differentiable_results_of_tracked_inputs_are_recorded() -> None:
    x, w = torch.ones(1), leaf(3.0)
    for tensor in (x * x, w > 0, w.detach(), w.argmax()):
        assert (tensor.requires_grad, tensor.grad_fn) == (False, None)
    assert (w * x).requires_grad


def test_the_flag_of_a_result_cannot_be_cleared() -> None:
    with pytest.raises(RuntimeError, match="only change requires_grad flags of leaf variables"):
        (leaf(3.0) * 2).requires_grad = False


@pytest.mark.parametrize(("forward", "kept"), list(zip(FORWARD, KEPT, strict=True)))
def test_a_node_keeps_what_its_derivative_needs(
    forward: Callable[[Tensor], Tensor], kept: set[str]
) -> None:
    p = leaf(0.5, 2.0)
    out = forward(p)
    held = saved_tensors(out)
    assert set(held) == kept
    for name, same in (("self", p), ("result", out)):
        if name in held:
            assert held[name].data_ptr() == same.data_ptr()
    assert torch.autograd.gradcheck(forward, p)


def test_spoiling_a_saved_result_is_noticed() -> None:
    e = leaf(1.0).exp()
    e.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        e.backward()


@given(st.floats(1.0, 400.0))
def test_the_gradient_of_the_loop_is_two_to_the_number_of_turns(start: float) -> None:
    v = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    out = double_until_100(v)
    nodes = {n for n in reachable(out.grad_fn) if n.name() == "MulBackward0"}
    turns = max(0, math.ceil(math.log2(100 / start)))
    assert len(nodes) == turns
    out.backward()
    assert v.grad == 2**turns


def test_at_a_jump_autograd_returns_the_slope_of_the_piece_it_ran() -> None:
    v = torch.tensor(50.0, requires_grad=True)
    double_until_100(v).backward()
    assert v.grad == 2
    below = double_until_100(torch.tensor(50.0 - 1e-4))
    assert below - double_until_100(torch.tensor(50.0)) > 99


def test_finite_differences_agree_with_the_loop_away_from_jumps() -> None:
    v = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(double_until_100, v)


def test_finite_differences_can_fail_at_a_jump() -> None:
    v = torch.tensor(50.0, dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(double_until_100, v)


def test_to_returns_the_leaf_itself_when_nothing_changes() -> None:
    w = torch.ones(1, requires_grad=True)
    assert w.to("cpu") is w
    assert w.to(torch.float32) is w
    for moved in (w.to("meta"), w.to(torch.float64), w.cpu().double()):
        assert not moved.is_leaf
        assert node(moved).next_functions[0][0].variable is w


@pytest.mark.parametrize(
    "lose", [lambda w: w / 10, lambda w: w.float(), lambda w: w.view(1, -1), lambda w: w[0]]
)
def test_an_optimizer_refuses_results(lose: Callable[[Tensor], Tensor]) -> None:
    w = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        torch.optim.SGD([lose(w)])
    torch.optim.SGD([lose(w).detach().requires_grad_()])


def test_an_optimizer_takes_a_result_that_retains_its_gradient_and_leaves_the_leaf() -> None:
    w = leaf(1.0, 2.0)
    result = w / 10
    result.retain_grad()
    optimizer = torch.optim.SGD([result], lr=0.5)
    result.sum().backward()
    optimizer.step()
    assert w.tolist() == [1, 2]
    torch.testing.assert_close(result.detach(), w.detach() / 10 - 0.5)


def test_a_module_changes_the_data_type_of_its_leaves_in_place() -> None:
    linear = torch.nn.Linear(2, 1)
    before = list(linear.parameters())
    after = list(linear.double().parameters())
    for old, new in zip(before, after, strict=True):
        assert old is new
        assert new.is_leaf
        assert new.dtype == torch.float64


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_unused_rows_of_a_table_move_only_with_weight_decay(decay: float) -> None:
    table = torch.ones(4, 2, requires_grad=True)
    optimizer = torch.optim.SGD([table], lr=0.5, weight_decay=decay)
    table[2].sum().backward()
    optimizer.step()
    expected = torch.full([4, 2], 1 - 0.5 * decay)
    expected[2] -= 0.5
    torch.testing.assert_close(table.detach(), expected)


@given(st.integers(0, 12))
def test_the_gradient_of_repeated_doubling_is_the_number_of_paths(times: int) -> None:
    v = leaf(1.0)
    t = v * 1
    for _ in range(times):
        t = t + t
    assert len(reachable(t.grad_fn)) == times + 2
    t.backward()
    assert v.grad == 2**times


def test_each_node_runs_once_however_many_paths_lead_there() -> None:
    v = leaf(1.0)
    nodes, calls, t = [], [], v
    for _ in range(10):
        t = t + t
        nodes.append(node(t))
        nodes[-1].register_prehook(lambda grads: calls.append(grads))
    t.backward()
    assert len(calls) == 10


def test_rebinding_the_name_loses_the_leaf_and_updating_in_place_keeps_it() -> None:
    w = leaf(3.0)
    (w**2).backward()
    assert w.grad is not None
    rebound = w - 0.1 * w.grad
    assert not rebound.is_leaf
    with torch.no_grad():
        w -= 0.1 * w.grad
    assert w.is_leaf
    assert w.requires_grad
    assert w == rebound


def test_variable_gives_a_plain_tensor() -> None:
    Variable: Any = torch.autograd.Variable
    data = torch.ones(2)
    old: Any = Variable(data, requires_grad=True)
    assert type(old) is Tensor
    assert isinstance(data, Variable)
    (old * old).sum().backward()
    assert old.grad is not None
    assert old.grad.tolist() == [2, 2]


def test_volatile_has_no_effect_and_retain_variables_is_refused() -> None:
    Variable: Any = torch.autograd.Variable
    with pytest.warns(UserWarning, match="volatile was removed and now has no effect"):
        old = Variable(torch.ones(1), volatile=True)
    w = leaf(2.0)
    loss: Any = (w * old).sum()
    assert loss.requires_grad
    with pytest.raises(TypeError, match="unexpected keyword argument 'retain_variables'"):
        loss.backward(retain_variables=True)
    loss.backward(retain_graph=True)
    loss.backward()
    assert w.grad is not None
    assert w.grad.item() == 2


def test_rows_that_were_not_looked_up_get_zero() -> None:
    table = torch.nn.Embedding(4, 2)
    table(torch.tensor([1, 3, 3])).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad.tolist() == [[0, 0], [1, 1], [0, 0], [2, 2]]
