"""The hooks family of the error atlas: the messages again, and every cure against a formula."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook, saved_tensors_hooks
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from livecell import Runner

STEM = "errors/hooks_and_modules"


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


def run_with_tensor_hook(hook: Callable[[Tensor], Any]) -> None:
    y = leaf(1, 2) * 3
    y.register_hook(hook)
    y.sum().backward()


def run_with_module_hook(hook: Callable[..., Any], needs: bool = False) -> None:
    layer = nn.Linear(2, 1)
    layer.register_full_backward_hook(hook)
    layer(torch.ones(1, 2, requires_grad=needs)).sum().backward()


def run_with_node_prehook() -> None:
    y = leaf(1).sin()
    assert y.grad_fn is not None
    y.grad_fn.register_prehook(lambda grads: (*grads, *grads))
    y.backward()


def run_with_pre_hook() -> None:
    layer = nn.Linear(2, 1)

    def twice(module: nn.Module, grads: Any) -> Any:
        return grads[0], grads[0]

    layer.register_full_backward_pre_hook(twice)
    layer(torch.ones(1, 2, requires_grad=True)).sum().backward()


def residual() -> None:
    layer = nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda *_: None)
    out = layer(torch.ones(1, 2))
    out += 1


def hooked_relu() -> None:
    relu = nn.ReLU(inplace=True)
    relu.register_full_backward_hook(lambda *_: None)
    relu(leaf(1, 2) * 1)


def both_kinds() -> None:
    layer = nn.Linear(1, 1)
    layer.register_full_backward_hook(lambda *_: None)
    layer.register_backward_hook(lambda *_: None)


def forward_pre_hook() -> None:
    layer = nn.Linear(1, 1)
    layer.register_forward_pre_hook(lambda module, args, kwargs: args[0], with_kwargs=True)
    layer(torch.ones(1, 1))


def unpacked_as(value: Any) -> None:
    with saved_tensors_hooks(lambda t: 0, lambda index: value):
        y = leaf(1, 2).exp()
    y.sum().backward()


def pack_unrecorded() -> None:
    def pack(t: Tensor) -> Tensor:
        with torch.no_grad():
            return t.zero_()

    with saved_tensors_hooks(pack, lambda t: t):
        leaf(1, 2).exp()


RAISES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "data": (
        lambda: torch.ones(2).register_post_accumulate_grad_hook(print),
        RuntimeError,
        "^cannot register a hook on a tensor that doesn't require gradient$",
    ),
    "non-leaf": (
        lambda: leaf(1).exp().register_post_accumulate_grad_hook(print),
        RuntimeError,
        "^post accumulate grad hooks cannot be registered on non-leaf tensors$",
    ),
    "shape": (
        lambda: run_with_tensor_hook(lambda grad: grad[:1]),
        RuntimeError,
        "^hook '<lambda>' has changed the size of value$",
    ),
    "module shape": (
        lambda: run_with_module_hook(lambda m, gi, go: (gi[0][:, :1],), needs=True),
        RuntimeError,
        "^hook 'hook' has changed the size of value$",
    ),
    "dtype": (
        lambda: run_with_tensor_hook(lambda grad: grad.half()),
        RuntimeError,
        r"changed the type of value \(was torch.FloatTensor got torch.HalfTensor\)$",
    ),
    "device": (
        lambda: run_with_tensor_hook(lambda grad: grad.to("meta")),
        RuntimeError,
        "has changed the type of value",
    ),
    "tuple": (
        lambda: run_with_tensor_hook(lambda grad: (grad,)),
        TypeError,
        "^expected Variable, but hook returned 'tuple'$",
    ),
    "node": (
        run_with_node_prehook,
        RuntimeError,
        r"has returned an incorrect number of values \(got 2, but expected 1\)",
    ),
    "residual": (residual, RuntimeError, "^Output 0 of BackwardHookFunction is a view and is"),
    "relu": (hooked_relu, RuntimeError, "^Output 0 of BackwardHookFunction is a view and is"),
    "module count": (
        lambda: run_with_module_hook(lambda m, gi, go: gi * 2, needs=True),
        RuntimeError,
        "^Backward hook returned an invalid number of grad_input, got 2, but expected 1$",
    ),
    "module pre-hook count": (
        run_with_pre_hook,
        RuntimeError,
        "^Backward pre hook returned an invalid number of grad_output, got 2, but expected 1$",
    ),
    "both kinds": (both_kinds, RuntimeError, "^Cannot use both regular backward hooks and full"),
    "forward pre-hook": (
        forward_pre_hook,
        RuntimeError,
        r"^forward pre-hook must return None or a tuple of \(new_args, new_kwargs\), but got",
    ),
    "multi": (
        lambda: register_multi_grad_hook((leaf(1), torch.ones(1)), print),
        AssertionError,
        "^Expected gradient function to be set$",
    ),
    "unpack": (
        lambda: unpacked_as(None),
        TypeError,
        "^Output of saved tensor unpack_hook expected to be a Tensor but got result of type None",
    ),
    "pack": (pack_unrecorded, RuntimeError, "^A saved tensor pack hook is modifying its input in"),
    "no group": (
        lambda: DistributedDataParallel(nn.Linear(1, 1)),
        ValueError,
        "^Default process group has not been initialized, please make sure to call init_process",
    ),
}


@pytest.mark.parametrize("name", RAISES)
def test_other_programs_raise_the_same(name: str) -> None:
    program, kind, message = RAISES[name]
    with pytest.raises(kind, match=message):
        program()


def test_module_hooks_that_warn() -> None:
    with pytest.warns(UserWarning, match=r"^Full backward hook is firing when gradients are"):
        run_with_module_hook(lambda *_: None)
    with (
        pytest.warns(UserWarning, match=r"^Full backward hook is firing"),
        pytest.raises(RuntimeError, match=r"^Backward hook for Modules where no input requires"),
    ):
        run_with_module_hook(lambda m, gi, go: go)

    class Listed(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x * 2]

    listed, called = Listed(), []
    listed.register_full_backward_hook(lambda *_: called.append(1))
    with pytest.warns(UserWarning, match=r"^For backward hooks to be called, module output should"):
        out = listed(leaf(1))
    out[0].backward()
    assert called == []


def test_the_old_hook_shows_the_last_operation_only() -> None:
    block, shapes = nn.Sequential(nn.Linear(3, 2), nn.Tanh()), []

    def look(module: nn.Module, grad_input: Any, grad_output: Any) -> None:
        shapes.append(tuple(grad_input[0].shape))

    block.register_backward_hook(look)
    with pytest.warns(FutureWarning, match=r"^Using a non-full backward hook when the forward"):
        out = block(torch.ones(1, 3, requires_grad=True))
    out.sum().backward()
    assert shapes == [(1, 2)]


def test_only_the_type_that_unpack_returns_is_checked() -> None:
    x = leaf(0, 1)
    with saved_tensors_hooks(lambda t: t.detach(), lambda t: 2 * t):
        y = x.exp()
    (wrong,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(wrong, 2 * x.detach().exp())


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    yield
    dist.destroy_process_group()


class Half(nn.Module):
    """Uses one of its two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x: Tensor, first: bool = True) -> Tensor:
        out: Tensor = (self.a if first else self.b)(x)
        return out


ONE = torch.ones(1, 1)


@pytest.mark.usefixtures("group")
def test_unused_parameters() -> None:
    net = DistributedDataParallel(Half())
    net(ONE).sum().backward()
    with pytest.raises(RuntimeError, match=r"^Expected to have finished reduction in the prior"):
        net(ONE)
    late = DistributedDataParallel(Half())
    late.module.b.requires_grad_(False)  # after wrapping is too late
    late(ONE).sum().backward()
    with pytest.raises(RuntimeError, match=r"did not receive grad for rank 0: 2 3\n"):
        late(ONE)


@pytest.mark.usefixtures("group")
def test_ready_twice_outside_forward_and_in_reentrant_checkpoints() -> None:
    net = DistributedDataParallel(Half(), find_unused_parameters=True)
    with pytest.raises(RuntimeError, match=r"^Expected to mark a variable ready only once"):
        (net(ONE) + net.module.b(ONE)).sum().backward()

    class Twice(nn.Module):
        def __init__(self, reentrant: bool) -> None:
            super().__init__()
            self.layer, self.reentrant = nn.Linear(1, 1, bias=False), reentrant

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = checkpoint(self.layer, x, use_reentrant=self.reentrant)
            return out

    x = torch.full((1, 1), 3.0, requires_grad=True)
    net = DistributedDataParallel(Twice(True), find_unused_parameters=True)
    loss = net(x).sum()
    with pytest.raises(RuntimeError, match=r"with name layer.weight has been marked as ready twi"):
        loss.backward()
    for net in (
        DistributedDataParallel(Twice(False), find_unused_parameters=True),
        DistributedDataParallel(Twice(True), static_graph=True),
    ):
        net(x).sum().backward()
        assert net.module.layer.weight.grad.item() == 3


@pytest.mark.usefixtures("group")
def test_static_graphs_and_frozen_modules() -> None:
    net = DistributedDataParallel(Half(), static_graph=True)
    net(ONE).sum().backward()
    with pytest.raises(RuntimeError, match=r"^Your training graph has changed in this iteration"):
        net(ONE, False).sum().backward()
    with pytest.raises(RuntimeError, match=r"^DistributedDataParallel is not needed when a module"):
        DistributedDataParallel(nn.ReLU())


TWO = """
import multiprocessing, sys, torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

def begin(rank):
    store = dist.FileStore(sys.argv[1], 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    data = torch.tensor([[1.0 + rank]])
    net = DDP(nn.Linear(1, 1, bias=False))
    net(data).sum().backward()
    averaged = net.module.weight.grad.item()
    own = DDP(nn.Linear(1, 1, bias=False))
    own.module(data).sum().backward()
    half = DDP(nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)]))
    half.module.forward = lambda x: half.module[0](x)
    half(data).sum().backward()
    try:
        half(data)
        message = ""
    except RuntimeError as error:
        message = str(error)[:37]
    results.put((rank, averaged, own.module.weight.grad.item(), message))
    dist.destroy_process_group()

context = multiprocessing.get_context("fork")
results = context.SimpleQueue()
processes = [context.Process(target=begin, args=(rank,)) for rank in range(2)]
[process.start() for process in processes]
print(sorted(results.get() for _ in processes))
[process.join() for process in processes]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
def test_two_processes_average_unless_ddp_is_bypassed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    unfinished = "Expected to have finished reduction i"
    assert eval(done.stdout) == [(0, 1.5, 1.0, unfinished), (1, 1.5, 2.0, unfinished)]


# What the cures print: name of the cell, label, value from a formula.
VALUES: list[tuple[str, str, Any]] = [
    ("hook_no_grad_cure", "grad =", [3, 3]),
    ("post_accumulate_non_leaf_cure", "gradient of y =", 2 * 3 * 2),
    ("post_accumulate_non_leaf_cure", "w.grad =", 2 * 3 * 2 * 3),
    ("hook_changed_size_cure", "x.grad =", [3 * (6 + 12) / 2] * 2),
    ("hook_changed_size_cure_2", "x.grad =", [3 * 6, 3 * 12]),
    ("hook_changed_type_cure", "x.grad =", [0.5, 0.5]),
    ("hook_returned_no_tensor_cure", "norm =", 10),
    ("node_hook_count_cure", "w.grad =", 30),
    ("hook_in_place_relu_cure", "x.grad =", [[2, 2]]),
    ("hook_in_place_relu_cure_2", "gradient of the output =", [[1, 1]]),
    ("hook_in_place_relu_cure_2", "x.grad =", [[2, 2]]),
    ("module_hook_count_cure", "x.grad =", [[30, 30]]),
    ("full_hook_no_input_cure", "gradient of the weight =", [[1, 2]]),
    ("full_hook_no_input_cure_2", "grad_input =", [[3, 3]]),
    ("full_hook_return_no_input_cure", "layer.weight.grad =", [[10, 20]]),
    ("full_hook_output_cure", "grad_input =", [2 + 3] * 2),
    ("non_full_hook_cure", "grad_input =", [[2 * 0.25] * 3]),
    ("forward_pre_hook_kwargs_cure", "layer.weight.grad =", [[10, 10]]),
    ("unpack_not_tensor_cure", "x.grad =", [1, 2.7183]),
    ("pack_in_place_cure", "x.grad =", [2 * 0.5, 2 * 1.0]),
    ("ddp_not_initialized_cure", "rank 0:", (1 + 2) / 2),
    ("ddp_not_initialized_cure", "rank 1:", (1 + 2) / 2),
    ("ddp_unused_cure", "plain.used.weight.grad =", [[3 + 3]]),
    ("ddp_unused_cure_2", "net.module.used.weight.grad =", [[3 + 3]]),
    ("ddp_unused_wrong", "rank 0:", 1),
    ("ddp_unused_wrong", "rank 1:", 2),
    ("ddp_ready_twice_cure", "net.module.layer.weight.grad =", [[3]]),
    ("ddp_ready_twice_cure_2", "net.module.layer.weight.grad =", [[3]]),
    ("ddp_static_graph_cure", "net.module.a.weight.grad =", [[3]]),
    ("ddp_static_graph_cure", "net.module.b.weight.grad =", [[3]]),
    ("ddp_no_gradient_cure", "student.module.weight.grad =", [[3]]),
    ("ddp_find_unused_cure", "net.module.weight.grad =", [[3]]),
]


@pytest.mark.parametrize(("cell", "label", "expected"), VALUES)
def test_every_cure_gives_the_value_of_the_formula(
    cell: str, label: str, expected: Any, runner: Runner
) -> None:
    found = runner.result(STEM).cell(cell)
    assert found is not None
    value = re.search(rf"^{re.escape(label)} \(?(?:tensor\()?([^()\n]+)", found.text(), re.M)
    assert value, found.text()
    torch.testing.assert_close(
        torch.tensor(eval(value[1]), dtype=torch.float64),
        torch.tensor(expected, dtype=torch.float64),
        atol=1e-4,
        rtol=0,
    )


def test_filtering_the_warning_brings_no_gradient() -> None:
    seen: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_with_module_hook(lambda m, grad_input, go: seen.append(grad_input))
    assert seen == [(None,)]


def test_only_a_tensor_without_history_goes_to_another_process(runner: Runner) -> None:
    queue = torch.multiprocessing.get_context("fork").SimpleQueue()
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        queue.put(x * 3)
    queue.put((x * 3).detach())
    assert queue.get().tolist() == [3, 6]
    queue.put(x)
    assert queue.get().is_leaf
    # d/dw (3 w)² = 18 w at w = 2
    for name in ("serialize_non_leaf_cure_2", "fork_after_backward", "fork_after_backward_cure"):
        found = runner.result(STEM).cell(name)
        assert found is not None
        assert found.text().strip() == "gradient = 36.0"
