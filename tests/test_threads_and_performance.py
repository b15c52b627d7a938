"""The claims of the lesson on threads and performance, counted or asked; no clock is read."""

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.multiprocessing
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from livecell import Runner


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_backward_on_the_cpu_runs_in_the_thread_that_called_it(pool: ThreadPoolExecutor) -> None:
    def same() -> bool:
        seen: list[int] = []
        x = torch.ones(1, requires_grad=True) * 2
        x.register_hook(lambda grad: seen.append(threading.get_ident()))
        x.backward()
        return seen == [threading.get_ident()]

    assert same()
    assert pool.submit(same).result()


def test_modes_stay_in_their_thread(pool: ThreadPoolExecutor) -> None:
    with torch.no_grad():
        assert pool.submit(torch.is_grad_enabled).result()
    with torch.inference_mode():
        assert not pool.submit(torch.is_inference_mode_enabled).result()
    with torch.autocast("cpu"):
        assert not pool.submit(torch.is_autocast_enabled, "cpu").result()


def test_saved_tensor_hooks_stay_in_their_thread(pool: ThreadPoolExecutor) -> None:
    """The checker can fail: in the same thread the hook is called."""
    packed: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        packed.append(tensor)
        return tensor

    x = torch.ones(1, requires_grad=True)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        pool.submit(x.exp).result()
        assert not packed
        x.exp()
        assert packed


def test_anomaly_detection_reaches_all_threads(pool: ThreadPoolExecutor) -> None:
    with torch.autograd.set_detect_anomaly(True):
        assert pool.submit(torch.is_anomaly_enabled).result()
    assert not pool.submit(torch.is_anomaly_enabled).result()


def test_a_decorator_enters_the_mode_in_the_thread_that_runs_it(pool: ThreadPoolExecutor) -> None:
    enabled: Callable[[], bool] = torch.no_grad()(torch.is_grad_enabled)
    assert pool.submit(enabled).result() is False


def test_no_contribution_is_lost_when_threads_add_to_one_grad(pool: ThreadPoolExecutor) -> None:
    v = torch.zeros(100, requires_grad=True)

    def passes(count: int) -> None:
        for _ in range(count):
            (v * 1).sum().backward()

    list(pool.map(passes, [200] * 4))
    assert v.grad is not None
    assert v.grad.eq(800).all()


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=8))
def test_gradients_taken_thread_by_thread_add_up(values: list[int]) -> None:
    w = torch.ones(1, requires_grad=True)

    def own(value: int) -> Tensor:
        return torch.autograd.grad((w * value).square().sum(), w)[0]

    with ThreadPoolExecutor(4) as pool:
        total = sum(pool.map(own, values))
    assert total == 2 * sum(value**2 for value in values)
    assert w.grad is None


def test_a_graph_passed_in_one_thread_is_freed_for_the_other(pool: ThreadPoolExecutor) -> None:
    loss = torch.ones(1, requires_grad=True).exp().sum()
    pool.submit(loss.backward).result()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        pool.submit(loss.backward).result()


def test_a_tensor_with_a_history_cannot_be_sent_to_a_process() -> None:
    hidden = torch.ones(1, requires_grad=True) * 2
    queue: Any = torch.multiprocessing.SimpleQueue()
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        queue.put(hidden)


def slope(value: float) -> float:
    x = torch.tensor(value, requires_grad=True)
    x.square().backward()
    assert x.grad is not None
    return x.grad.item()


@pytest.mark.skipif(sys.platform != "linux", reason="the processes are forks")
def test_on_the_cpu_a_process_forked_after_a_backward_pass_can_run_its_own() -> None:
    assert slope(1.0) == 2
    with multiprocessing.get_context("fork").Pool(2) as forked:
        assert forked.map(slope, [1.0, 2.0, 3.0]) == [2, 4, 6]


def test_the_order_of_additions_shows_in_the_rounding() -> None:
    a, b, c = torch.tensor([1e8, -1e8, 1.0])
    assert ((a + b) + c, a + (b + c)) == (1, 0)


def test_a_graph_may_be_shared_by_passes_that_all_retain_it(pool: ThreadPoolExecutor) -> None:
    w = torch.zeros(1, requires_grad=True)
    loss = w.exp().sum()
    list(pool.map(lambda _: loss.backward(retain_graph=True), range(20)))
    assert w.grad == 20


def flops(action: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        action()
    return int(counter.get_total_flops())


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.booleans(), st.booleans())
def test_backward_of_a_linear_layer_takes_a_product_per_gradient(
    rows: int, inputs: int, outputs: int, of_data: bool, of_weight: bool
) -> None:
    layer = nn.Linear(inputs, outputs)
    layer.weight.requires_grad_(of_weight)
    data = torch.ones(rows, inputs, requires_grad=of_data)
    assert flops(lambda: layer(data)) == 2 * rows * inputs * outputs
    loss = layer(data).sum()
    assert flops(loss.backward) == (of_data + of_weight) * 2 * rows * inputs * outputs


def test_a_deep_chain_comes_near_to_twice() -> None:
    net = nn.Sequential(*[nn.Linear(8, 8) for _ in range(50)])
    data = torch.ones(2, 8)
    loss = net(data).sum()
    assert flops(loss.backward) / flops(lambda: net(data)) == pytest.approx(99 / 50)


def test_the_profile_joins_a_node_with_its_operation_by_number() -> None:
    x = torch.ones(3, requires_grad=True)
    with profile() as profiler:
        x.exp().sin().sum().backward()
    numbers: dict[int, set[str]] = {}
    for event in profiler.events():
        if event.sequence_nr >= 0:
            numbers.setdefault(event.sequence_nr, set()).add(event.name)
    prefix = "autograd::engine::evaluate_function: "
    for operation, node in ("aten::exp", "ExpBackward0"), ("aten::sin", "SinBackward0"):
        assert any({operation, prefix + node} <= names for names in numbers.values())


def test_the_first_gradient_is_taken_over_and_a_zero_is_added_to() -> None:
    w = torch.ones(3, requires_grad=True)
    w.grad = torch.zeros(3)
    kept = w.grad
    w.sum().backward()
    assert w.grad is kept
    w.grad = None
    w.sum().backward()
    assert w.grad is not kept


def test_the_page_counts_what_the_formulas_say(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("threads_and_performance").cells}
    activations = 8 * 256 * 64 * 4
    parameters = 8 * (64 * 64 + 64) * 4
    assert f"after forward = {activations + 4}\n" in cells["accounting"]
    assert f"after backward = {parameters + 4}\n" in cells["accounting"]
    assert f"parameters = {parameters}\n" in cells["accounting"]
    for line in cells["habits"].splitlines():
        without, with_habit = map(int, line.split("=")[1].split("->"))
        assert with_habit < without
    recorded, unrecorded = (int(line.split("=")[1]) for line in cells["evaluation"].splitlines())
    assert recorded == activations + 256 * 64 * 4
    assert unrecorded == 3 * 256 * 64 * 4
