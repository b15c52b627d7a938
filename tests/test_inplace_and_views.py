"""Claims of the in-place lesson, each against mathematics or the behaviour of torch."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

MODIFIED = "modified by an inplace operation"
VALUES = st.lists(st.floats(0.1, 3), min_size=3, max_size=5)


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def grad(output: Tensor, *inputs: Tensor) -> list[list[float]]:
    return [g.tolist() for g in torch.autograd.grad(output.sum(), inputs)]


# The operation, and which writes the backward pass cannot bear: derived from the derivative.
NEEDS: dict[str, tuple[Callable[[Tensor], Tensor], set[str]]] = {
    "add": (lambda h: h + 2, set()),
    "sum": (lambda h: h.sum(), set()),
    "double": (lambda h: h * 2, set()),
    "product": (lambda h: h * leaf(1, 2, 3), {"input"}),
    "sin": (torch.sin, {"input"}),
    "cos": (torch.cos, {"input"}),
    "log": (torch.log, {"input"}),
    "square": (torch.square, {"input"}),
    "exp": (torch.exp, {"output"}),
    "sqrt": (torch.sqrt, {"output"}),
    "tanh": (torch.tanh, {"output"}),
    "sigmoid": (torch.sigmoid, {"output"}),
    "relu": (torch.relu, {"output"}),
    "softmax": (lambda h: h.softmax(0), {"output"}),
    "norm": (torch.norm, {"input", "output"}),
}


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.parametrize("place", ["input", "output"])
def test_only_writes_into_what_the_derivative_uses_fail(name: str, place: str) -> None:
    function, needs = NEEDS[name]
    h = leaf(0.5, 1, 2) * 1
    out = function(h)
    (h if place == "input" else out).add_(1)
    if place in needs:
        with pytest.raises(RuntimeError, match=MODIFIED):
            out.sum().backward()
    else:
        out.sum().backward()


def test_the_error_prevents_a_wrong_gradient() -> None:
    """The same write, hidden from the counter: the gradient is too large by one."""
    x = leaf(0, 1)
    y = x.exp()
    y.data.add_(1)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], x.exp() + 1)


def test_the_message_names_shape_and_versions() -> None:
    y = leaf(0, 1).exp()
    y += 1
    y += 1
    with pytest.raises(RuntimeError) as caught:
        y.sum().backward()
    message = str(caught.value)
    assert "DoubleTensor [2]], which is output 0 of Exp, is at version 2; expected" in message
    assert "expected version 0" in message


def test_a_saved_input_is_named_after_its_last_recorded_writer_and_a_leaf_not_at_all() -> None:
    h = leaf(1, 2) * 2
    y = h.sin()
    h += 1
    with pytest.raises(RuntimeError, match="output 0 of Add,"):
        y.sum().backward()
    w = leaf(1, 2)
    y = w.sin()
    with torch.no_grad():
        w += 1
    with pytest.raises(RuntimeError, match=r"\[torch.DoubleTensor \[2\]\] is at version 1"):
        y.sum().backward()


@given(st.lists(st.sampled_from(["operator", "index", "method", "view", "no_grad"]), max_size=9))
def test_every_write_counts_one_and_data_none(writes: list[str]) -> None:
    t = torch.zeros(2)
    for write in writes:
        if write == "operator":
            t += 1
        elif write == "index":
            t[0] = 5
        elif write == "method":
            t.relu_()
        elif write == "view":
            t[:1].zero_()
        else:
            with torch.no_grad():
                t += 1
        t.data += 1
    assert t._version == len(writes)
    assert (t + 1)._version == 0


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_step_counts_as_a_write(optimizer: Any) -> None:
    w = leaf(1)
    (w * w).sum().backward()
    optimizer([w], lr=0.1).step()
    assert w._version > 0


def test_detach_shares_the_counter() -> None:
    u = leaf(3)
    loss = u * u
    u.detach().zero_()
    assert u._version == 1
    with pytest.raises(RuntimeError, match=MODIFIED):
        loss.sum().backward()


def test_a_leaf_and_its_view_refuse_a_recorded_write() -> None:
    w = leaf(1, 2)
    with pytest.raises(RuntimeError, match=r"^a leaf Variable that requires grad"):
        w += 1
    with pytest.raises(RuntimeError, match=r"^a view of a leaf Variable that requires grad"):
        w[0] = 5
    with torch.no_grad():
        w += 1
    assert w.tolist() == [2, 3]
    assert w.is_leaf


def gan() -> tuple[torch.nn.Linear, torch.nn.Linear, Tensor, Tensor]:
    generator, critic = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    fake = generator(torch.ones(1, 1))
    return generator, critic, critic(fake.detach()).sum(), -critic(fake).sum()


def test_a_step_between_the_backward_passes_is_noticed() -> None:
    _, critic, loss_d, loss_g = gan()
    loss_d.backward()
    torch.optim.SGD(critic.parameters(), lr=0.1).step()
    with pytest.raises(RuntimeError, match=r"AsStrided, is at version 2; expected version 1"):
        loss_g.backward()


def test_both_backward_passes_before_the_step_use_the_old_weight() -> None:
    generator, critic, loss_d, loss_g = gan()
    loss_d.backward()
    assert critic.weight.grad is not None
    before, old = critic.weight.grad.clone(), critic.weight.detach().clone()
    loss_g.backward(inputs=list(generator.parameters()))
    torch.optim.SGD(critic.parameters(), lr=0.1).step()
    assert torch.equal(critic.weight.grad, before)
    assert generator.weight.grad == -old != -critic.weight


@given(VALUES, st.floats(-3, 3), st.integers(0, 4))
def test_a_write_through_a_view_has_the_gradient_of_the_pure_version(
    values: list[float], factor: float, cut: int
) -> None:
    x, w = leaf(*values), leaf(factor)
    h = x * 1
    h[:cut] *= w
    pure = torch.cat([x[:cut] * w, x[cut:]])
    assert h.tolist() == pure.tolist()
    assert grad(h.sin(), x, w) == grad(pure.sin(), x, w)


def test_the_history_of_the_base_ends_in_copy_slices() -> None:
    x, w = leaf(1, 2, 3), leaf(5)
    h = x * 1
    v = h[:2]
    v *= w
    node: Any = h.grad_fn
    assert node.name() == "torch::autograd::CopySlices"
    assert node.next_functions[1][0].variable is w
    view: Any = v.grad_fn
    assert view.next_functions[0][0] is node
    assert (v._version, h._version) == (1, 1)


# How a result is made from x, and whether it shares the memory of x.
SHAPES: list[tuple[Callable[[Tensor], Tensor], bool]] = [
    (lambda x: x.view(2, 2), True),
    (lambda x: x.view(2, 2).T, True),
    (lambda x: x.view(2, 2).T.reshape(4), False),
    (lambda x: x.reshape(2, 2), True),
    (lambda x: x.unsqueeze(0), True),
    (lambda x: x.view(2, 2).permute(1, 0), True),
    (lambda x: x[1:3], True),
    (lambda x: x[[0, 0, 3]], False),
    (lambda x: torch.cat([x, x]), False),
    (lambda x: torch.stack([x, x]), False),
    (lambda x: x.expand(2, 4), True),
    (lambda x: x + torch.zeros(2, 4), False),
    (lambda x: x.clone(), False),
]


@pytest.mark.parametrize(("make", "shares"), SHAPES)
def test_gradients_go_back_to_where_the_values_came_from(
    make: Callable[[Tensor], Tensor], shares: bool
) -> None:
    """The oracle: let each element carry its own place, and add up by place."""
    x = leaf(0, 1, 2, 3)
    y = make(x)
    count = torch.arange(1.0, y.numel() + 1).double().reshape(y.shape)
    expected = [0.0] * 4
    for place, gradient in zip(y.flatten().tolist(), count.flatten().tolist(), strict=True):
        expected[int(place)] += gradient
    assert torch.autograd.grad(y, x, count)[0].tolist() == expected
    assert (y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()) is shares
    assert (y._base is x) is shares


def test_a_write_into_a_clone_leaves_the_original_and_its_gradient() -> None:
    x = leaf(1, 2)
    y = x.clone()
    y *= 10
    assert x.tolist() == [1, 2]
    assert grad(y, x) == [[10, 10]]


@pytest.mark.filterwarnings("ignore:To copy construct")
def test_what_leaves_the_graph_has_no_way_back() -> None:
    x = leaf(2)
    for number in (x.item(), x.tolist()):
        assert not isinstance(number, Tensor)
    for outside in (torch.tensor(x), x.detach()):
        assert outside.grad_fn is None
        assert not outside.requires_grad


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_name_given_away_does_not_change_the_gradient(first: float, second: float) -> None:
    a, b = leaf(first), leaf(second)
    old = a
    h = a * b
    h = h * h
    a = leaf(100)
    h.sum().backward()
    assert b.grad is not None
    assert b.grad.item() == pytest.approx(2 * first**2 * second)
    assert old.grad is not None
    assert a.grad is None


def test_a_layer_may_be_applied_to_its_own_result() -> None:
    x = start = leaf(0.5)
    for _ in range(3):
        x = torch.sin(x)
    (found,) = torch.autograd.grad(x.sum(), start)
    a = torch.tensor(0.5).double()
    expected = a.cos() * a.sin().cos() * a.sin().sin().cos()
    torch.testing.assert_close(found, expected.reshape(1))


def test_views_that_come_several_at_a_time_refuse() -> None:
    for several in (torch.unbind, lambda h: h.split(1), lambda h: h.chunk(2)):
        first = several(leaf(1, 2, 3) * 1)[0]
        with pytest.raises(RuntimeError, match="output of a function that returns multiple views"):
            first *= 2
    for element in leaf(1, 2, 3) * 1:
        with pytest.raises(RuntimeError, match=r"Output \d of Unbind is a view"):
            element *= 2


@pytest.mark.parametrize(
    ("layer", "shape", "fine"),
    [
        (torch.nn.Linear(2, 2), (4, 2), True),
        (torch.nn.Conv1d(2, 2, 1), (4, 2, 3), True),
        (torch.nn.BatchNorm1d(2), (4, 2), True),
        (torch.nn.Sigmoid(), (4, 2), False),
    ],
)
def test_in_place_relu_is_fine_where_the_layer_before_saves_no_output(
    layer: torch.nn.Module, shape: tuple[int, ...], fine: bool
) -> None:
    out = torch.relu_(layer(torch.ones(shape, requires_grad=True)))
    if fine:
        out.sum().backward()
    else:
        with pytest.raises(RuntimeError, match=MODIFIED):
            out.sum().backward()


@given(st.lists(st.floats(-3, 3).filter(lambda v: v != 0), min_size=1, max_size=4))
def test_in_place_relu_changes_what_a_residual_block_computes(values: list[float]) -> None:
    x = leaf(*values)
    outputs = []
    for inplace in (False, True):
        h = x * 3
        outputs.append(torch.nn.ReLU(inplace)(h) + h)
    relu = (3 * x).relu()
    torch.testing.assert_close(outputs[0], relu + 3 * x)
    torch.testing.assert_close(outputs[1], 2 * relu)
    assert grad(outputs[1], x) == [[6.0 * (v > 0) for v in values]]


def test_anomaly_mode_shows_the_line_of_the_node_not_of_the_write() -> None:
    with torch.autograd.set_detect_anomaly(True), warnings.catch_warnings(record=True) as caught:
        y = leaf(0, 1).exp()  # made here
        y += 1  # written here
        with pytest.raises(RuntimeError, match="Good luck!"):
            y.sum().backward()
    text = str(caught[-1].message)
    assert "Error detected in ExpBackward0" in text
    assert "# made here" in text
    assert "# written here" not in text


def test_mutation_context_keeps_the_saved_values() -> None:
    x = leaf(0, 1)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.exp()
        y += 1
        y.sum().backward()
    torch.testing.assert_close(x.grad, x.exp())


@given(st.floats(-2, 2), st.integers(1, 4))
def test_a_loop_over_time_works_with_a_list_or_clones(value: float, steps: int) -> None:
    w = leaf(value)
    states = [torch.ones(1, dtype=torch.float64)]
    h = torch.ones(steps + 1, dtype=torch.float64)
    for i in range(steps):
        states.append(w * states[-1])
        h[i + 1] = (w * h[i].clone()).squeeze()
    expected = pytest.approx(steps * value ** (steps - 1))
    for result in (states[-1], h[-1]):
        assert grad(result, w)[0][0] == expected


def test_a_loop_over_time_with_plain_views_fails() -> None:
    w, h = leaf(2), torch.ones(3, dtype=torch.float64)
    for i in range(2):
        h[i + 1] = (w * h[i]).squeeze()
    with pytest.raises(RuntimeError, match=MODIFIED):
        h[2].backward()


def test_the_checker_rejects_a_wrong_gradient() -> None:
    """What `.data` lets through, gradcheck does not."""

    def hidden_write(x: Tensor) -> Tensor:
        y = x.exp()
        y.data.add_(1)
        return y

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(hidden_write, leaf(0.5))
