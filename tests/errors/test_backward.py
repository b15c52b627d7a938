"""The entries on backward() and autograd.grad(): they raise, cures are right, wrong cures wrong."""

import gc
import math
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from livecell import Runner
from livecell.results import CellResult

Program = Callable[[], object]
STEM = "errors/backward"


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def backward_again() -> None:
    y = leaf(1, 2).tanh().sum()
    y.backward()
    y.backward()


def saved_tensor_after_backward() -> None:
    y = leaf(1, 2).exp()
    y.sum().backward()
    assert y.grad_fn._saved_result is None  # type: ignore[union-attr]


def backward_from(loss: Any) -> None:
    loss.backward()


def set_grad(value: object) -> None:
    leaf(1, 2).grad = value  # type: ignore[assignment]


def under_inference_mode() -> None:
    x = leaf(1, 2)
    with torch.inference_mode(), torch.enable_grad():
        x.sum().backward()


def in_anomaly_mode() -> None:
    with warnings.catch_warnings(), torch.autograd.set_detect_anomaly(True):
        warnings.simplefilter("ignore")
        torch.where(torch.tensor(False), leaf(0).log(), 0.0).sum().backward()


def batched(*shape: int) -> None:
    x = leaf(1, 2)
    torch.autograd.grad(x * x, x, torch.ones(shape), is_grads_batched=True)


one_as_gradient: Any = [1]
NO_PATH = "element 0 of tensors does not require grad and does not have a grad_fn"
SCALAR = "grad can be implicitly created only for scalar outputs"
RAISES: list[tuple[Program, type[Exception], str]] = [
    (backward_again, RuntimeError, "Trying to backward through the graph a second time"),
    (saved_tensor_after_backward, RuntimeError, "directly access saved tensors after"),
    (lambda: leaf(1, 2).backward(), RuntimeError, SCALAR),
    (lambda: leaf(1, 2)[:0].backward(), RuntimeError, SCALAR),
    (
        lambda: torch.ones((), dtype=torch.complex128, requires_grad=True).backward(),
        RuntimeError,
        "only for real scalar outputs but got torch.complex128",
    ),
    (lambda: (leaf(1) > 0).double().sum().backward(), RuntimeError, NO_PATH),
    (lambda: leaf(1, 2).detach().sum().backward(), RuntimeError, NO_PATH),
    (lambda: leaf(1, 2).argmax().backward(), RuntimeError, NO_PATH),
    (under_inference_mode, RuntimeError, NO_PATH),
    (
        lambda: torch.autograd.backward([leaf(1).sum(), torch.ones(())]),
        RuntimeError,
        "element 1 of tensors does not require grad",
    ),
    (lambda: backward_from(leaf(1).sum().item()), AttributeError, "'float' object has no"),
    (lambda: backward_from((leaf(1).sum(), 0)), AttributeError, "'tuple' object has no"),
    (lambda: leaf(1, 2).backward(torch.ones(2, 1)), RuntimeError, "Mismatch in shape: grad_output"),
    (
        lambda: torch.autograd.backward([leaf(1), leaf(2), leaf(3)], [torch.ones(1)]),
        RuntimeError,
        "got 3 tensors and 1 gradients",
    ),
    (
        lambda: torch.autograd.grad(leaf(1, 2), leaf(1), grad_outputs=one_as_gradient),
        TypeError,
        "gradients can be either Tensors or None, but got int",
    ),
    (
        lambda: leaf(1, 2).backward(torch.ones(2, dtype=torch.complex128)),
        RuntimeError,
        "For complex Tensors, both grad_output and output",
    ),
    (lambda: set_grad(leaf(1).detach()), RuntimeError, "assign a gradient of size '\\[1\\]'"),
    (lambda: set_grad(torch.ones(2)), RuntimeError, "assign a gradient with dtype 'float'"),
    (lambda: set_grad(leaf(1, 2).to("meta")), RuntimeError, "gradient with device type 'meta'"),
    (lambda: set_grad([0.0, 0.0]), TypeError, "or None but got grad of type list"),
    (
        lambda: torch.autograd.grad(leaf(1).sum(), [leaf(2)]),
        RuntimeError,
        "The differentiated Tensor at index 0 appears to not have been used",
    ),
    (
        lambda: torch.autograd.grad((leaf(1) * torch.ones(1)).sum(), torch.ones(1)),
        RuntimeError,
        "One of the differentiated Tensors does not require grad",
    ),
    (lambda: leaf(1).backward(inputs=[]), RuntimeError, "to `backward\\(\\)` cannot be empty"),
    (lambda: torch.autograd.grad(leaf(1), []), RuntimeError, "to `grad\\(\\)` cannot be empty"),
    (
        lambda: torch.autograd.grad(leaf(1), leaf(1), allow_unused=False, materialize_grads=True),
        ValueError,
        "Expected allow_unused to be True or not passed",
    ),
    (lambda: batched(2), RuntimeError, "we interpret the first dimension"),
    (in_anomaly_mode, RuntimeError, "Function 'LogBackward0' returned nan values in its 0th"),
]


@pytest.mark.parametrize(("program", "kind", "match"), RAISES)
def test_the_error(program: Program, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        program()


def test_the_batched_message_leaves_out_two_dimensions() -> None:
    with pytest.raises(RuntimeError, match=r"grad_output\[0\] has a shape of torch.Size\(\[7\]\)"):
        batched(5, 3, 7)


def test_the_warnings() -> None:
    x = leaf(1, 2)
    with pytest.warns(UserWarning, match="is not a leaf Tensor is being accessed"):
        assert (x * 2).grad is None
    with warnings.catch_warnings(record=True):  # once per process: another test may have had it
        x.square().sum().backward(create_graph=True)
    assert x.grad is not None
    assert x.grad.grad_fn is not None


def cell(runner: Runner, name: str) -> CellResult:
    found = runner.result(STEM).cell(name)
    assert found is not None
    return found


def close(value: Tensor | None, *expected: float) -> bool:
    assert value is not None
    return torch.allclose(value.double().flatten(), torch.tensor(expected, dtype=torch.float64))


def test_one_pass_from_the_sum_equals_two_retained_passes() -> None:
    results = []
    for together in (True, False):
        w = leaf(2)
        shared = w.exp()
        if together:
            (shared * 3 + shared * 5).sum().backward()
        else:
            (shared * 3).sum().backward(retain_graph=True)
            (shared * 5).sum().backward()
        results.append(w.grad)
    assert close(results[0], 8 * math.exp(2))
    assert close(results[1], 8 * math.exp(2))


def test_reductions_and_weights() -> None:
    x = leaf(1, 2, 3)
    loss = (x - 1) ** 2
    (mean,) = torch.autograd.grad(loss.mean(), x, retain_graph=True)
    (total,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
    (ones,) = torch.autograd.grad(loss, x, torch.ones_like(loss), retain_graph=True)
    (weighted,) = torch.autograd.grad(loss, x, leaf(0, 0.5, 0.5).detach())
    assert close(mean, 0, 2 / 3, 4 / 3)
    assert torch.equal(ones, total)
    assert close(ones, *(3 * mean).tolist())
    assert close(weighted, 0, 1, 2)


def test_a_complex_gradient_of_one_means_the_real_part() -> None:
    z = torch.tensor(0.3 - 2j, dtype=torch.complex128, requires_grad=True)
    (one,) = torch.autograd.grad(z**3, z, torch.ones_like(z))
    (real,) = torch.autograd.grad((z**3).real, z)
    torch.testing.assert_close(one, real)
    torch.testing.assert_close(torch.autograd.grad(z.abs() ** 2, z)[0], 2 * z)


def test_a_flag_on_the_loss_and_a_new_leaf_teach_nothing() -> None:
    w = leaf(2)
    loss = (w.detach() * 3).sum()
    loss.requires_grad_()
    loss.backward()
    torch.tensor((w * 3).sum().item(), requires_grad=True).backward()
    assert w.grad is None


def test_recording_again_inside_no_grad() -> None:
    with torch.no_grad(), torch.enable_grad():
        x = leaf(1, 3)
        (x**2).sum().backward()
    assert close(x.grad, 2, 6)


def test_real_gradients_are_converted() -> None:
    for dtype in (torch.float16, torch.float32, torch.int64):
        x = leaf(1, 2)
        (x * 2).backward(torch.ones(2, dtype=dtype))
        assert close(x.grad, 2, 2)
        assert x.grad is not None
        assert x.grad.dtype == torch.float64


def test_the_mean_of_gradients_is_the_gradient_of_the_mean() -> None:
    w = leaf(1, -2)
    inputs = torch.tensor([[1.0, 3.0], [5.0, 7.0]], dtype=torch.float64)
    single = torch.stack([torch.autograd.grad(((w * row) ** 2).sum(), w)[0] for row in inputs])
    (whole,) = torch.autograd.grad(((w * inputs) ** 2).sum(1).mean(), w)
    torch.testing.assert_close(single.mean(0), whole)


def test_grad_dtype_allows_another_dtype() -> None:
    w = torch.zeros(2, dtype=torch.bfloat16, requires_grad=True)
    w.grad_dtype = torch.float32
    (w * 3).sum().backward()
    assert w.grad is not None
    assert w.grad.dtype == torch.float32
    assert close(w.grad, 3, 3)


def test_a_slice_made_later_gets_no_gradient_and_the_tensor_does() -> None:
    x = leaf(1, 2)
    loss = (x * x).sum()
    (to_slice,) = torch.autograd.grad(loss, x[0], allow_unused=True, retain_graph=True)
    assert to_slice is None
    (to_x,) = torch.autograd.grad(loss, x)
    assert close(to_x, 2, 4)


def test_asking_after_the_forward_pass_is_too_late() -> None:
    x, w = torch.ones(2, dtype=torch.float64), leaf(3)
    loss = (w * x).sum()
    x.requires_grad_()
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        torch.autograd.grad(loss, x)


def test_create_graph_leaks_until_grad_is_cleared() -> None:
    x = leaf(1, 2)
    watch = weakref.ref(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (x**3).sum().backward(create_graph=True)
    del x
    gc.collect()
    alive = watch()
    assert alive is not None
    alive.grad = None
    del alive
    assert watch() is None


def test_a_gradient_penalty() -> None:
    x = leaf(1, 2)
    loss = (x**3).sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    (loss + gradient.square().sum()).backward()
    assert close(x.grad, 3 + 36, 12 + 288)


def test_the_second_where_cures_and_clipping_spoils() -> None:
    x, v = leaf(0, 4), leaf(3)
    root = torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)
    assert close(torch.autograd.grad(root.sum(), x)[0], 0, 0.25)
    (torch.where(x > 0, x.sqrt(), 0.0).sum() + (v * v).sum()).backward()
    assert close(v.grad, 6)
    torch.nn.utils.clip_grad_norm_([x, v], max_norm=1.0)
    assert v.grad is not None
    assert v.grad.isnan().all()


SHOWN = {
    "second_time_cure": "w.grad = tensor(59.1124)",
    "scalar_outputs_cure": "x.grad = tensor([0.0000, 0.6667, 1.3333])",
    "scalar_outputs_cure_2": "x.grad = tensor([0., 1., 2.])",
    "scalar_outputs_wrong": "x.grad = tensor([0., 2., 4.])",
    "complex_scalar_cure": "z.grad = tensor(2.+4.j)",
    # mean over i of 2 (w x_i - 1) x_i, with w = 2 and x = (1, 3)
    "no_grad_fn_cure": "w.grad = tensor(16.)",
    "no_grad_fn_wrong": "w.grad = None",
    "no_backward_cure": "w.grad = tensor(32.)",
    "no_backward_wrong": "w.grad = None",
    "gradient_count_cure": "to_x = tensor([5., 5.])",
    "gradient_not_tensor_cure_2": "x.grad = tensor([1., 2.])",
    "assigned_shape_cure": "w.grad = tensor([5., 7.])",
    "assigned_type_cure": "w.grad = tensor([2., 4.])",
    "not_used_wrong": "(None,)",
    "input_no_grad_cure": "to_x = tensor([3., 3.])",
    "create_graph_find": "alive: True\nalive: False",
    "create_graph_cure": "x.grad = tensor([ 39., 300.])",
    "non_leaf_grad_cure_2": "leaf.grad = tensor([5., 5.])",
    "returned_nan_cure": "x.grad = tensor([0.0000, 0.2500])",
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_shows_the_right_numbers(name: str, runner: Runner) -> None:
    assert cell(runner, name).text().strip() == SHOWN[name]


def test_every_cause_cuts_the_graph(runner: Runner) -> None:
    lines = cell(runner, "no_grad_fn_causes").text().splitlines()
    assert len(lines) == 10
    assert all(line.endswith("requires_grad = False") for line in lines)


def test_retaining_fails_once_the_parameter_is_updated(runner: Runner) -> None:
    error = cell(runner, "second_time_wrong").error
    assert error is not None
    assert "modified by an inplace operation" in error["evalue"]


def test_the_detached_state_gives_each_step_its_own_gradient(runner: Runner) -> None:
    w, state, total = 2.0, 1.0, 0.0
    for _ in range(3):
        total += state * (1 - math.tanh(w * state) ** 2)
        state = math.tanh(w * state)
    shown = cell(runner, "second_time_cure_2").text()
    assert shown.strip() == f"w.grad = tensor({total:.4f})"


def meet(loss: Callable[..., Tensor], kind: torch.dtype, backward: bool) -> None:
    prediction = torch.tensor([0.5, 0.25], requires_grad=True)
    value = loss(prediction, torch.tensor([1, 0], dtype=kind))
    if backward:
        value.backward()


@pytest.mark.parametrize(
    ("loss", "kind", "backward", "match"),
    [
        (F.huber_loss, torch.float64, True, "Found dtype Double but expected Float"),
        (F.huber_loss, torch.int64, True, "Found dtype Long but expected Float"),
        (F.binary_cross_entropy, torch.float64, False, "Found dtype Double but expected Float"),
        (F.binary_cross_entropy, torch.int64, False, "Found dtype Long but expected Float"),
        (
            F.binary_cross_entropy_with_logits,
            torch.int64,
            False,
            "result type Float can't be cast to the desired output type Long",
        ),
    ],
)
def test_a_loss_that_does_not_convert_its_target(
    loss: Callable[..., Tensor], kind: torch.dtype, backward: bool, match: str
) -> None:
    with pytest.raises(RuntimeError, match=match):
        meet(loss, kind, backward)
    meet(loss, torch.float32, True)


def test_losses_that_convert_their_target() -> None:
    for loss in (F.mse_loss, F.l1_loss, F.smooth_l1_loss):
        for kind in (torch.float64, torch.int64):
            meet(loss, kind, True)
    meet(F.binary_cross_entropy_with_logits, torch.float64, True)


def test_the_dtype_of_a_huber_loss_does_not_show_the_mistake() -> None:
    target = torch.zeros(2, dtype=torch.float64)
    assert F.huber_loss(torch.ones(2), target).dtype == torch.float32


def test_inputs_and_class_numbers_have_dtypes_too() -> None:
    with pytest.raises(RuntimeError, match="must have the same dtype, but got Double and Float"):
        torch.nn.Linear(2, 1)(torch.ones(1, 2, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="expected target dtype to be Long or Byte, but got"):
        F.cross_entropy(torch.zeros(1, 3), torch.tensor([1.0]))


def test_a_conversion_to_real_drops_half_of_the_gradient() -> None:
    z = torch.tensor([3 - 4j], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # once per process: another test may have had it
        (dropped,) = torch.autograd.grad(z.to(torch.float32).sum(), z)
    (by_name,) = torch.autograd.grad(z.real.sum(), z)
    (length,) = torch.autograd.grad(z.abs().sum(), z)
    assert dropped.item() == by_name.item() == 1
    torch.testing.assert_close(length, z.detach() / 5)


def test_a_real_tensor_gets_a_real_gradient_through_complex_ones() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (x.to(torch.complex64) * (1 + 1j)).abs().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
    assert math.isclose(x.grad.item(), math.sqrt(2), rel_tol=1e-6)


def test_only_an_lstm_has_a_pair_of_states() -> None:
    data = torch.ones(2, 1, 1)
    for layer in (torch.nn.RNN(1, 1), torch.nn.GRU(1, 1)):
        assert isinstance(layer(data)[1], Tensor)
    lstm = torch.nn.LSTM(1, 1)
    state = lstm(data)[1]
    with pytest.raises(AttributeError, match="'tuple' object has no attribute 'detach'"):
        state.detach()
    lstm(data, state)[0].sum().backward()
    again = lstm(data, state)[0].sum()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        again.backward()
    state = None
    for _ in range(2):
        out, state = lstm(data, state)
        out.sum().backward()
        state = tuple(s.detach() for s in state)


def test_donated_buffers(runner: Runner) -> None:
    error = cell(runner, "donated_buffers").error
    assert error is not None
    assert "retain_graph=True" in "\n".join(error["traceback"])
    for name in ("donated_buffers_cure", "donated_buffers_cure_2"):
        assert cell(runner, name).text().strip() == "as without compile: True"


MORE = {
    "loss_dtype": "loss.dtype = torch.float32",
    "loss_dtype_find": "prediction.dtype = torch.float32\ntarget.dtype = torch.float64",
    # (prediction - target) / 2
    "loss_dtype_cure": "prediction.grad = tensor([-0.2500,  0.1000])",
    "complex_to_real": "z.grad = tensor([1.+0.j])",
    "complex_to_real_cure": "z.grad = tensor([0.6000+0.8000j])",
    "complex_to_real_cure_2": "z.grad = tensor([1.+0.j])",
    "state_tuple_cure": "has a gradient: True",
}


@pytest.mark.parametrize("name", MORE)
def test_the_later_entries_show_the_right_numbers(name: str, runner: Runner) -> None:
    assert cell(runner, name).text("stdout").strip() == MORE[name]
