"""The claims of the lesson on the life of a graph, each against mathematics or an oracle."""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.graph import Node, saved_tensors_hooks

from livecell import Runner

SECOND_TIME = "backward through the graph a second time"


class Record:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Meter:
    """Counts the bytes that saved tensors keep alive, each storage once."""

    def __init__(self, detach: bool = True) -> None:
        self.records: weakref.WeakSet[Record] = weakref.WeakSet()
        self.detach = detach

    def pack(self, tensor: Tensor) -> Record:
        record = Record(tensor.detach() if self.detach else tensor)
        self.records.add(record)
        return record

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        with saved_tensors_hooks(self.pack, lambda record: record.tensor):
            yield

    def bytes(self) -> int:
        storages = [record.tensor.untyped_storage() for record in self.records]
        return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def nodes(*tensors: Tensor) -> set[Node]:
    found: set[Node] = set()
    queue: list[Node | None] = [tensor.grad_fn for tensor in tensors]
    while queue:
        node = queue.pop()
        if node is not None and node not in found:
            found.add(node)
            queue += [following for following, _ in node.next_functions]
    return found


def network(rows: int = 100) -> Callable[[], Tensor]:
    w = torch.randn(10, 20, requires_grad=True)
    v = torch.randn(20, 1, requires_grad=True)

    def forward() -> Tensor:
        return (torch.tanh(torch.randn(rows, 10) @ w) @ v).square().mean()

    return forward


@given(st.integers(1, 50))
def test_saved_bytes_are_those_derived_by_hand(rows: int) -> None:
    meter, forward = Meter(), network(rows)
    with meter.watch():
        loss = forward()
    assert meter.bytes() == 4 * (20 + rows + 10 * rows + 20 * rows)
    del loss


def test_a_pass_frees_the_saved_tensors_and_keeps_the_nodes() -> None:
    meter, forward = Meter(), network()
    with meter.watch():
        loss = forward()
    before = nodes(loss)
    loss.backward()
    assert meter.bytes() == 0
    assert nodes(loss) == before


@pytest.mark.parametrize("retain", [False, True])
def test_dropping_the_last_reference_frees_everything(retain: bool) -> None:
    meter, forward = Meter(), network()
    with meter.watch():
        loss = forward()
    if retain:
        loss.backward(retain_graph=True)
    assert meter.bytes() > 0
    del loss
    assert meter.bytes() == 0


def test_without_detach_the_meter_would_hold_what_it_measures() -> None:
    """The checker can fail: a node that saves its output then holds itself."""
    for detach, kept in (True, 0), (False, 40):
        meter = Meter(detach)
        with meter.watch():
            out = torch.tanh(torch.zeros(10, requires_grad=True))
        del out
        assert meter.bytes() == kept


def test_saved_tensors_go_one_node_after_the_other() -> None:
    meter = Meter()
    trace: list[int] = []

    def unpack(record: Record) -> Tensor:
        trace.append(meter.bytes())
        return record.tensor

    with saved_tensors_hooks(meter.pack, unpack):
        h = torch.randn(100, requires_grad=True)
        for _ in range(5):
            h = torch.tanh(h)
        loss = h.sum()
    loss.backward()
    assert trace == [2000, 1600, 1200, 800, 400]


def test_a_pass_frees_only_the_nodes_that_it_runs_through() -> None:
    w = torch.ones(1, requires_grad=True)
    trunk = w.exp()
    torch.autograd.grad(trunk.exp(), trunk)
    trunk.backward()
    torch.testing.assert_close(w.grad, w.detach().exp())


@pytest.mark.parametrize("first", [torch.autograd.grad, torch.autograd.backward])
def test_two_losses_with_a_trunk_that_saves_fail_in_the_second_pass(first: Any) -> None:
    w = torch.ones(3, requires_grad=True)
    trunk = torch.tanh(w)
    a, b = trunk.sum(), trunk.square().sum()
    first(a, inputs=[w])
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        b.backward()


@pytest.mark.parametrize("way", ["sum", "list", "retain"])
def test_the_gradient_of_two_losses_is_the_derivative_of_their_sum(way: str) -> None:
    w = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    runs: list[str] = []
    trunk = torch.tanh(w)
    assert trunk.grad_fn is not None
    trunk.grad_fn.register_hook(lambda *_: runs.append("trunk"))
    a, b = (3 * trunk).sum(), trunk.square().sum()
    if way == "sum":
        (a + b).backward()
    elif way == "list":
        torch.autograd.backward([a, b])
    else:
        a.backward(retain_graph=True)
        b.backward()
    t = torch.tanh(w.detach())
    torch.testing.assert_close(w.grad, (3 + 2 * t) * (1 - t**2))
    assert len(runs) == (2 if way == "retain" else 1)


@given(st.integers(1, 8))
def test_a_carried_state_adds_three_nodes_a_batch(batches: int) -> None:
    u = torch.tensor(0.5, requires_grad=True)
    for cut, expected in (True, 6), (False, 6 + 3 * (batches - 1)):
        state = torch.tensor(1.0)
        for batch in torch.arange(1.0, batches + 1):
            state = torch.tanh(u * (state.detach() if cut else state) + batch)
            loss = (state - 0.5).square()
            loss.backward(retain_graph=not cut)
        assert len(nodes(loss)) == expected


def test_a_step_between_retained_passes_is_refused() -> None:
    u = torch.tensor(0.5, requires_grad=True)
    state = torch.tensor(1.0)
    for _ in range(2):
        state = torch.tanh(u * state)
        state.backward(retain_graph=True)
        with torch.no_grad():
            u -= 0.1
    state = torch.tanh(u * state)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        state.backward(retain_graph=True)


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_detaching_the_state_drops_the_older_term(a0: int, s0: int) -> None:
    a = torch.tensor(float(a0), requires_grad=True)
    s1 = a * s0 + 1
    (whole,) = torch.autograd.grad(a * s1 + 2, a)
    (truncated,) = torch.autograd.grad(a * s1.detach() + 2, a)
    assert whole == 2 * a0 * s0 + 1
    assert truncated == a0 * s0 + 1


def test_an_lstm_carries_a_pair_and_each_part_must_be_cut() -> None:
    lstm = torch.nn.LSTM(1, 2)
    piece = torch.ones(4, 1, 1)
    out, state = lstm(piece)
    assert len(state) == 2
    with pytest.raises(AttributeError, match="'tuple' object has no attribute 'detach'"):
        state.detach()
    out.sum().backward()
    h, c = state
    for carried in (h, c), (h.detach(), c), (h, c.detach()):
        loss = lstm(piece, carried)[0].sum()
        with pytest.raises(RuntimeError, match=SECOND_TIME):
            loss.backward()
    lstm(piece, (h.detach(), c.detach()))[0].sum().backward()
    for module in torch.nn.RNN(1, 2), torch.nn.GRU(1, 2):
        assert isinstance(module(torch.ones(4, 1, 1))[1], Tensor)


def test_no_state_stands_for_zeros() -> None:
    lstm = torch.nn.LSTM(1, 2)
    zeros = torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)
    assert torch.equal(lstm(torch.ones(4, 1, 1))[0], lstm(torch.ones(4, 1, 1), zeros)[0])


@given(st.integers(1, 6), st.integers(1, 6))
def test_running_the_last_steps_again_looks_that_far_back(done: int, window: int) -> None:
    """For s ← a s + 1 the derivative through k steps is the sum of a^j s over these steps."""
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    states = [torch.ones((), dtype=torch.float64)]
    for _ in range(done + window):
        states.append((a * states[-1] + 1).detach())
    state = states[-1 - window]
    for _ in range(window):
        state = a * state + 1
    (grad,) = torch.autograd.grad(state, a)
    assert grad == sum(2**j * states[-2 - j] for j in range(window))


@pytest.mark.parametrize("passes", [False, True])
def test_kept_losses_hold_saved_tensors_only_without_a_pass(passes: bool) -> None:
    meter, forward = Meter(), network()
    kept = []
    for step in range(1, 5):
        with meter.watch():
            loss = forward()
        if passes:
            loss.backward()
        kept.append(loss)
        assert meter.bytes() == (0 if passes else 80 + step * 12400)
        assert len(nodes(*kept)) == 2 + 5 * step


@pytest.mark.parametrize("option", ["retain_graph", "create_graph"])
@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
def test_retained_and_differentiable_passes_keep_saved_tensors(option: str) -> None:
    meter, forward = Meter(), network()
    with meter.watch():
        loss = forward()
    options: dict[str, Any] = {option: True}
    loss.backward(**options)
    assert meter.bytes() >= 12480


def test_a_running_total_of_losses_is_a_chain() -> None:
    forward = network()
    total = torch.zeros(())
    for step in range(1, 4):
        loss = forward()
        loss.backward()
        total = total + loss
        assert len(nodes(total)) == 2 + 6 * step


def test_an_attribute_of_a_function_lives_as_long_as_its_node() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            ctx.extra = torch.zeros(1)
            extras.append(weakref.ref(ctx.extra))
            return x * x

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            product: Tensor = 2 * x * grad
            return product

    extras: list[weakref.ref[Tensor]] = []
    x = torch.ones(1, requires_grad=True)
    out = Square.apply(x)  # type: ignore[no-untyped-call]
    out.backward()
    assert extras[0]() is not None
    del out
    assert extras[0]() is None


def test_item_detach_and_no_grad_leave_no_graph() -> None:
    forward = network()
    loss = forward()
    detached = loss.detach()
    assert isinstance(loss.item(), float)
    assert detached.item() == loss.item()
    assert detached.data_ptr() == loss.data_ptr()
    with torch.no_grad():
        evaluated = forward()
    assert not nodes(detached, evaluated)


def test_a_value_computed_outside_the_loop_fails_in_the_second_round() -> None:
    rate = torch.tensor(0.0, requires_grad=True)
    scale = rate.exp()
    (scale * 1).backward()
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        (scale * 2).backward()


def test_a_detached_row_keeps_the_memory_of_all_rows() -> None:
    hidden = torch.randn(100, 20, requires_grad=True) * 1
    row = hidden[0].detach()
    assert row.untyped_storage().nbytes() == 100 * 20 * 4
    assert row.clone().untyped_storage().nbytes() == 20 * 4


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    """Wrong choices quote other runs of the page; they must stay what those runs print."""
    cells = {cell.name: cell.text() for cell in runner.result("graph_lifetime").cells}
    assert "saved_bytes() = 12480" in cells["forward"]
    assert "sizes = [6, 6, 6, 6]" in cells["state_detached"]
    assert "growth = [12480, 24880, 37280]" in cells["kept_in_evaluation"]
