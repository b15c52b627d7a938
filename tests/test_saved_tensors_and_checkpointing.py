"""The claims of the lesson on saved tensors and checkpointing, each against an oracle."""

import functools
import random
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import (
    CheckpointError,
    CheckpointPolicy,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
)

from livecell import Runner

again = functools.partial(checkpoint, use_reentrant=False)


def saved(function: Callable[[], Any]) -> list[Tensor]:
    found: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + b", []),
        ("a.sum()", []),
        ("a * b", ["b", "a"]),
        ("a.sin()", ["a"]),
        ("a.exp()", ["a.exp()"]),
        ("a.relu()", ["a.relu()"]),
        ("a @ w", ["w", "a"]),
        ("a.max(dim=1)", ["a.max(dim=1).indices"]),
    ],
)
def test_an_operation_saves_what_its_formula_needs(expression: str, expected: list[str]) -> None:
    torch.manual_seed(0)
    names = {
        "a": torch.randn(4, 8, requires_grad=True),
        "b": torch.randn(4, 8, requires_grad=True),
        "w": torch.randn(8, 2, requires_grad=True),
    }
    found = saved(lambda: eval(expression, {}, names))
    assert len(found) == len(expected)
    for tensor, text in zip(found, expected, strict=True):
        assert torch.equal(tensor, eval(text, {}, names))


def test_dropout_saves_its_mask() -> None:
    x = torch.ones(50, requires_grad=True)
    outputs: list[Tensor] = []
    (mask,) = saved(lambda: outputs.append(nn.functional.dropout(x)))
    assert mask.dtype == x.dtype
    assert torch.equal(mask, outputs[0].detach())


@given(st.floats(0.0625, 128, width=32))
def test_packing_rounds_the_gradient_and_not_the_value(number: float) -> None:
    x = torch.tensor(number, requires_grad=True)
    with saved_tensors_hooks(torch.Tensor.bfloat16, torch.Tensor.float):
        y = x.square()
    y.backward()
    assert torch.equal(y.detach(), x.detach().square())
    assert torch.equal(x.grad, 2 * x.detach().bfloat16().float())  # type: ignore[arg-type]


def test_what_pack_returned_goes_when_the_node_lets_go() -> None:
    class Packed:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor.detach()

    alive: weakref.WeakSet[Packed] = weakref.WeakSet()

    def pack(tensor: Tensor) -> Packed:
        packed = Packed(tensor)
        alive.add(packed)
        return packed

    x = torch.randn(10, requires_grad=True)
    with saved_tensors_hooks(pack, lambda packed: packed.tensor):
        y = x.sin().exp().sum()
    assert len(alive) == 2
    y.backward()
    assert len(alive) == 0


def test_save_on_cpu_leaves_the_gradient_alone() -> None:
    x = torch.randn(10, requires_grad=True)
    with save_on_cpu():
        y = x.sin().exp().sum()
    (grad,) = torch.autograd.grad(y, x)
    torch.testing.assert_close(grad, (x.cos() * x.sin().exp()).detach())


def test_pack_must_not_write() -> None:
    x = torch.randn(10, requires_grad=True)
    with (
        pytest.raises(RuntimeError, match="pack hook is modifying its input in place"),
        saved_tensors_hooks(lambda tensor: tensor.mul_(2), lambda tensor: tensor),
    ):
        x.sin()


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_does_not_change_the_gradient(reentrant: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Tanh(), nn.Linear(8, 2))
    x = torch.randn(16, 4, requires_grad=True)
    found = []
    for call in net, lambda x: checkpoint(net, x, use_reentrant=reentrant):
        torch.manual_seed(1)
        net.zero_grad()
        x.grad = None
        call(x).square().sum().backward()  # type: ignore[no-untyped-call]
        found.append([x.grad, *(p.grad for p in net.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def steps(x: Tensor, runs: list[int]) -> Tensor:
    runs.append(1)
    x = x.sin()
    runs.append(2)
    x = x.sin()
    runs.append(3)
    return 2 * x


@pytest.mark.parametrize("how", ["argument", "context"])
def test_early_stop_skips_what_saves_nothing(how: str) -> None:
    x = torch.tensor([0.5], requires_grad=True)
    for stop, expected in (True, [1, 2]), (False, [1, 2, 3]):
        runs: list[int] = []
        if how == "argument":
            y = again(steps, x, runs, early_stop=stop)
        else:
            with set_checkpoint_early_stop(stop):
                y = again(steps, x, runs)
        runs.clear()
        y.backward()
        assert runs == expected


def test_the_reentrant_variant_has_no_early_stop() -> None:
    x = torch.tensor([0.5], requires_grad=True)
    runs: list[int] = []
    y = checkpoint(steps, x, runs, use_reentrant=True)
    runs.clear()
    y.backward()
    assert runs == [1, 2, 3]


@pytest.mark.parametrize("preserve", [True, False])
def test_torch_random_numbers_are_repeated_if_asked(preserve: bool) -> None:
    torch.manual_seed(0)
    x = torch.ones(100, requires_grad=True)
    y = again(nn.functional.dropout, x, preserve_rng_state=preserve)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach()) == preserve


def test_python_random_numbers_are_not_repeated() -> None:
    drawn = []

    def scaled(x: Tensor) -> Tensor:
        drawn.append(random.random())
        return (drawn[-1] * x).sin()

    x = torch.ones(3, requires_grad=True)
    again(scaled, x).sum().backward()
    assert len(drawn) == 2
    assert drawn[0] != drawn[1]


def test_a_second_run_that_differs_is_found_by_number_and_shape_but_not_by_value() -> None:
    x = torch.rand(4, requires_grad=True)
    state: dict[str, Any] = {}

    def more(x: Tensor) -> Tensor:
        return x.sin().sin() if state["first"] else x.sin()

    def shorter(x: Tensor) -> Tensor:
        return x.sin() if state["first"] else x[:2].sin()

    def other(x: Tensor) -> Tensor:
        return (x if state["first"] else 2 * x).sin()

    for function, message in (
        (more, "A different number of tensors was saved"),
        (shorter, "have different metadata than during the forward pass"),
    ):
        state["first"] = True
        y = again(function, x)
        state["first"] = False
        with pytest.raises(CheckpointError, match=message):
            y.sum().backward()
    state["first"] = True
    y = again(other, x)
    state["first"] = False
    y.sum().backward()
    torch.testing.assert_close(x.grad, (2 * x).cos().detach())  # cos(x) would be right


def test_the_reentrant_variant_refuses_grad_and_frozen_inputs() -> None:
    layer = nn.Linear(3, 3)
    x = torch.randn(2, 3, requires_grad=True)
    y = checkpoint(layer, x, use_reentrant=True)
    with pytest.raises(RuntimeError, match=r"is incompatible with .grad\(\)"):
        torch.autograd.grad(y.sum(), x)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        y = checkpoint(layer, x.detach(), use_reentrant=True)
    assert not y.requires_grad
    y = again(layer, x.detach())
    y.sum().backward()
    assert layer.weight.grad is not None
    torch.autograd.grad(again(layer, x).sum(), x)


@given(st.floats(0.01, 0.9), st.booleans())
def test_batch_norm_is_updated_twice_and_the_root_mends_it(m: float, reentrant: bool) -> None:
    x = torch.tensor([[1.0], [3.0]], dtype=torch.float64, requires_grad=True)

    def run(momentum: float, wrap: bool) -> nn.BatchNorm1d:
        norm = nn.BatchNorm1d(1, momentum=momentum).double()
        y = checkpoint(norm, x, use_reentrant=reentrant) if wrap else norm(x)
        y.square().sum().backward()
        return norm

    plain, again_, mended = run(m, False), run(m, True), run(1 - (1 - m) ** 0.5, True)
    assert plain.running_mean is not None
    assert plain.running_mean.item() == pytest.approx(2 * m)
    assert again_.running_mean is not None
    assert again_.running_mean.item() == pytest.approx(2 * (1 - (1 - m) ** 2))
    torch.testing.assert_close(mended.running_mean, plain.running_mean)
    torch.testing.assert_close(mended.running_var, plain.running_var)
    for norm in again_, mended:
        assert norm.num_batches_tracked == 2
        torch.testing.assert_close(norm.weight.grad, plain.weight.grad)


def test_an_input_that_requires_a_gradient_lets_the_reentrant_variant_train_an_adapter() -> None:
    """What enable_input_require_grads() does to the output of frozen embeddings."""
    embedding = nn.Embedding(4, 3).requires_grad_(False)
    adapter = nn.Linear(3, 3)
    for required in False, True:
        h = embedding(torch.tensor([0, 2]))
        h.requires_grad_(required)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = checkpoint(adapter, h, use_reentrant=True)
        assert out.requires_grad == required
    out.sum().backward()
    assert adapter.weight.grad is not None
    assert embedding.weight.grad is None


def test_leaving_out_use_reentrant_warns_and_means_true() -> None:
    x = torch.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="the use_reentrant parameter should be passed"):
        y = checkpoint(torch.sin, x)
    assert "CheckpointFunction" in str(y.grad_fn)


class Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.products += func == torch.ops.aten.mm.default
        return func(*args, **(kwargs or {}))


def policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    if op == torch.ops.aten.mm.default:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


def test_a_policy_spares_the_recomputation_of_what_it_keeps() -> None:
    torch.manual_seed(0)
    w = torch.randn(8, 8, requires_grad=True)
    x = torch.randn(2, 8, requires_grad=True)

    def function(x: Tensor) -> Tensor:
        return torch.sin(torch.sin(x @ w) @ w).sum()

    expected = torch.autograd.grad(function(x), (x, w))
    found = []
    contexts = functools.partial(create_selective_checkpoint_contexts, policy)
    for options in {}, {"context_fn": contexts}:
        y = again(function, x, **options)  # type: ignore[arg-type]
        with Counter() as counter:
            torch.testing.assert_close(torch.autograd.grad(y, (x, w)), expected)
        found.append(counter.products)
    assert found == [6, 4]


class Meter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self.calls = 0

    def free(self, size: int) -> None:
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def storages(tree: Any) -> dict[int, Any]:
            tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
            return {t.untyped_storage()._cdata: t.untyped_storage() for t in tensors}

        before = storages((args, kwargs))
        self.calls += func == torch.ops.aten.tanh.default
        result = func(*args, **(kwargs or {}))
        for key, storage in storages(result).items():
            if key not in before:
                self.live += storage.nbytes()
                weakref.finalize(storage, self.free, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return result


def test_the_meter_knows_what_is_freed_and_what_is_a_view() -> None:
    with Meter() as meter:
        x = torch.zeros(100)
        y = x + 1
        assert meter.live == 800
        z = y[:10]
        del x, y
        assert meter.live == 400
        del z
        assert meter.live == 0
    assert meter.peak == 800


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 16) / 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight)


@pytest.mark.parametrize("layers", [16, 36])
def test_the_peak_is_segments_plus_layers_of_one_and_lowest_at_the_root(layers: int) -> None:
    net = nn.Sequential(*[Layer() for _ in range(layers)])
    batch = torch.randn(2048, 16)
    peaks = {}
    for segments in range(1, layers + 1):
        if layers % segments:
            continue
        with Meter() as meter:
            checkpoint_sequential(net, segments, batch, use_reentrant=False).sum().backward()
        peaks[segments] = round(meter.peak / batch.nbytes)
        assert peaks[segments] == segments + layers // segments
        assert meter.calls <= 2 * layers
    assert min(peaks, key=lambda k: peaks[k]) ** 2 == layers


@given(st.integers(1, 30))
def test_the_root_minimises_borders_plus_segment(root: int) -> None:
    n = root**2
    costs = {k: k + n / k for k in range(1, n + 1)}
    assert min(costs.values()) == costs[root] == 2 * root


def test_a_linear_layer_saves_a_view_of_its_weight() -> None:
    layer = nn.Linear(8, 4)
    x = torch.randn(32, 8, requires_grad=True)
    found = saved(lambda: layer(x))
    weights = [t for t in found if t.data_ptr() == layer.weight.data_ptr()]
    assert [t.shape for t in weights] == [(8, 4)]
    assert weights[0] is not layer.weight


def test_relu_and_the_next_operation_save_one_and_the_same_memory() -> None:
    x = torch.randn(10, requires_grad=True)
    found = saved(lambda: x.relu().square())
    assert len(found) == 2
    assert found[0].data_ptr() == found[1].data_ptr()


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    stem = "saved_tensors_and_checkpointing"
    cells = {cell.name: cell.text() for cell in runner.result(stem).cells}
    assert "runs = ['first', 'second', 'last']" in cells["no_early_stop"]
    assert "peaks = {1: 17, 2: 10, 4: 8, 8: 10, 16: 17}" in cells["peaks"]


def test_no_warning_with_use_reentrant() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again(torch.sin, torch.ones(1, requires_grad=True)).backward()
