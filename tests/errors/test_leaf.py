"""The entries on leaves and optimizers: they raise, cures are right, wrong cures wrong."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from livecell import Runner
from livecell.results import CellResult

Program = Callable[[], object]
STEM = "errors/leaf"


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


def optimize(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1)


def set_flag(flag: bool) -> None:
    hidden = leaf(1, 2).exp()
    hidden.requires_grad = flag


def set_weight(value: Any) -> None:
    nn.Linear(1, 1).weight = value


def set_integer_flag() -> None:
    x = torch.zeros(2, dtype=torch.bool)
    x.requires_grad = True


def in_inputs(*constants: Tensor) -> None:
    w = leaf(1, 2)
    (w * constants[0]).sum().backward(inputs=constants)


def load(source: list[dict[str, Any]], target: list[dict[str, Any]]) -> None:
    optimize(target).load_state_dict(optimize(source).state_dict())


def group(count: int) -> dict[str, Any]:
    return {"params": [leaf(1) for _ in range(count)]}


class BeforeParameter(nn.Module):
    def __init__(self) -> None:
        self.w = nn.Parameter(torch.ones(1))


class BeforeModule(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Linear(1, 1)


def exhausted() -> None:
    parameters = nn.Linear(2, 2).parameters()
    list(parameters)
    optimize(parameters)


def add_again() -> None:
    w = leaf(1)
    optimize([w]).add_param_group({"params": [w]})


def update(make_zero: bool) -> None:
    w = leaf(1) * 2
    w.sum().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if make_zero:
            w.grad.zero_()  # type: ignore[union-attr]
        else:
            w = w - 0.1 * w.grad  # type: ignore[operator]


def sparse_step() -> None:
    table = nn.Embedding(3, 1, sparse=True)
    optimizer = torch.optim.AdamW(table.parameters())
    table(torch.tensor([0])).sum().backward()
    optimizer.step()


def bare_step(optimizer: Any) -> None:
    optimizer.step()


def freeze_row() -> None:
    leaf(1, 2)[0].requires_grad_(False)


def clip_sparse() -> None:
    table = nn.Embedding(3, 1, sparse=True)
    table(torch.tensor([0])).sum().backward()
    nn.utils.clip_grad_norm_(table.parameters(), 1.0)


def scaler(scale: float = 4.0) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=scale)


def scaled_step(w: Tensor, held: Tensor, clear: bool = False) -> None:
    optimizer, scaling = optimize([held]), scaler()
    scaling.scale((w * 2).sum()).backward()
    if clear:
        optimizer.zero_grad()
    scaling.step(optimizer)


def update_without_step() -> None:
    scaling = scaler()
    scaling.scale(leaf(1))
    scaling.update()


def unscale_half() -> None:
    w, scaling = leaf(1).detach().half().requires_grad_(), scaler()
    scaling.scale(w.sum()).backward()
    scaling.unscale_(optimize([w]))


def cleared() -> Tensor:
    w = leaf(1, 2)
    w.sum().backward()
    optimize([w]).zero_grad()
    return w


NUMPY = r"Can't call numpy\(\) on Tensor that requires grad"
FLOATS = "Only Tensors of floating point and complex dtype can require gradients"
NOT_TENSORS = "optimizer can only optimize Tensors, but one of the params is"
RAISES: list[tuple[Program, type[Exception], str]] = [
    (lambda: optimize([leaf(1).double()]), ValueError, "can't optimize a non-leaf Tensor"),
    (lambda: optimize([leaf(1, 2).reshape(2, 1)]), ValueError, "can't optimize a non-leaf"),
    (lambda: torch.ones(2, dtype=torch.int64, requires_grad=True), RuntimeError, FLOATS),
    (lambda: nn.Parameter(torch.tensor([1])), RuntimeError, FLOATS),
    (
        lambda: torch.from_numpy(np.arange(3)).requires_grad_(),
        RuntimeError,
        "only Tensors of floating point dtype can require gradients",
    ),
    (set_integer_flag, RuntimeError, "only Tensors of floating point and complex dtype"),
    (lambda: set_flag(False), RuntimeError, "leaf variables. If you want to use a computed"),
    (lambda: set_flag(True), RuntimeError, "only change requires_grad flags of leaf variables"),
    (lambda: leaf(1).detach().retain_grad(), RuntimeError, "can't retain_grad on Tensor that"),
    (lambda: in_inputs(torch.ones(2)), RuntimeError, "can't retain_grad on Tensor that"),
    (lambda: leaf(1).numpy(), RuntimeError, NUMPY),
    (lambda: np.sin(leaf(1)), RuntimeError, NUMPY),
    (lambda: copy.deepcopy([leaf(1).exp()]), RuntimeError, "support the deepcopy protocol"),
    (lambda: optimize([]), ValueError, "optimizer got an empty parameter list"),
    (lambda: optimize(nn.ReLU().parameters()), ValueError, "got an empty parameter list"),
    (exhausted, ValueError, "optimizer got an empty parameter list"),
    (lambda: optimize(nn.Parameter(torch.ones(1))), TypeError, "should be an iterable of Tensors"),
    (lambda: optimize(nn.ReLU()), TypeError, "'ReLU' object is not iterable"),
    (lambda: optimize([[leaf(1)]]), TypeError, f"{NOT_TENSORS} list"),
    (lambda: optimize([nn.ReLU().parameters()]), TypeError, f"{NOT_TENSORS} Module.parameters"),
    (lambda: optimize(nn.Linear(1, 1).state_dict()), TypeError, f"{NOT_TENSORS} str"),
    (add_again, ValueError, "some parameters appear in more than one parameter group"),
    (lambda: load([group(1)], [group(2)]), ValueError, "match the size of optimizer's group"),
    (
        lambda: load([group(1)], [group(1), group(1)]),
        ValueError,
        "loaded state dict has a different number of parameter groups",
    ),
    (lambda: set_weight(torch.ones(1, 1)), TypeError, "as parameter 'weight'"),
    (lambda: set_weight(2.0), TypeError, "cannot assign 'float' as parameter 'weight'"),
    (BeforeParameter, AttributeError, r"cannot assign parameters before Module.__init__\(\) call"),
    (BeforeModule, AttributeError, r"cannot assign module before Module.__init__\(\) call"),
    (lambda: update(False), TypeError, "unsupported operand"),
    (lambda: update(True), AttributeError, "'NoneType' object has no attribute 'zero_'"),
    (lambda: leaf(1, 2).item(), RuntimeError, "a Tensor with 2 elements cannot be converted"),
    (lambda: len(leaf(1).sum()), TypeError, r"len\(\) of a 0-d tensor"),
    (lambda: list(leaf(1).sum()), TypeError, "iteration over a 0-d tensor"),
    (lambda: float(leaf(1, 2)), ValueError, "only one element tensors can be converted"),
    (lambda: bare_step(torch.optim.LBFGS([leaf(1)])), TypeError, "argument: 'closure'"),
    (sparse_step, RuntimeError, "Adam does not support sparse gradients"),
    (freeze_row, RuntimeError, "you can only change requires_grad flags of leaf variables"),
    (clip_sparse, NotImplementedError, "'aten::linalg_vector_norm' with arguments from the 'Spar"),
    (
        lambda: leaf(1).grad.norm(),  # type: ignore[union-attr]
        AttributeError,
        "'NoneType' object has no attribute 'norm'",
    ),
    (
        lambda: cleared().grad.data,  # type: ignore[union-attr]
        AttributeError,
        "'NoneType' object has no attribute 'data'",
    ),
    (lambda: scaled_step(leaf(1), leaf(1)), AssertionError, "No inf checks were recorded for this"),
    (lambda: scaled_step(leaf(1), leaf(1), clear=True), AssertionError, "No inf checks"),
    (update_without_step, AssertionError, "No inf checks were recorded prior to update"),
    (lambda: scaler().update(), AssertionError, "Attempted update but _scale is None"),
    (unscale_half, ValueError, "Attempting to unscale FP16 gradients"),
]


@pytest.mark.parametrize(("program", "kind", "match"), RAISES)
def test_the_error(program: Program, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        program()


def test_the_warnings() -> None:
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        assert not torch.tensor(leaf(1)).requires_grad
    w = leaf(1)
    with pytest.warns(UserWarning, match="with duplicate parameters"):
        optimizer = optimize([w, w])
    w.sum().backward()
    optimizer.step()
    assert math.isclose(w.item(), 0.8, rel_tol=1e-6)  # one step of rate 0.1 would give 0.9


def test_item_does_not_warn_and_math_forgets() -> None:
    loss = leaf(4).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loss.item() == 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # once per process: another test may have had it
        assert isinstance(math.sqrt(loss), float)


def test_the_optimizer_takes_a_retained_result_and_the_source_learns_nothing() -> None:
    source = leaf(1, 1)
    w = source * 0.1
    w.retain_grad()
    optimizer = torch.optim.SGD([w], lr=0.5)
    (w * w).sum().backward()
    optimizer.step()
    assert torch.equal(w, torch.zeros(2))
    assert torch.equal(source, torch.ones(2))


def test_complex_numbers_may_require_gradients() -> None:
    assert torch.ones(1, dtype=torch.complex64).requires_grad_().requires_grad


def test_a_detached_factor_is_a_constant() -> None:
    w = leaf(1, 2)
    hidden = w * 3
    (hidden * hidden.detach()).sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [9, 18]


def test_a_frozen_layer_passes_gradients_on() -> None:
    layer = nn.Linear(3, 1).requires_grad_(False)
    x = leaf(1, 2, 3)
    layer(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, layer.weight[0])
    assert layer.weight.grad is None


def test_numpy_is_allowed_under_no_grad_and_shares_memory_unnoticed() -> None:
    w = leaf(1, 4)
    with torch.no_grad():
        array = w.numpy()
    array[0] = 9
    assert w.tolist() == [9, 4]
    assert w._version == 0


def test_numpy_inside_a_loss_loses_the_gradient_and_torch_does_not() -> None:
    w, v = leaf(1, 4), leaf(1, 1)
    (v * torch.from_numpy(np.sqrt(w.detach().numpy()))).sum().backward()
    assert v.grad is not None
    assert v.grad.tolist() == [1, 2]
    assert w.grad is None
    w.sqrt().sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [0.5, 0.25]


def test_only_the_old_weight_norm_prevents_a_deepcopy() -> None:
    copy.deepcopy(nn.utils.parametrizations.weight_norm(nn.Linear(2, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = nn.utils.weight_norm(nn.Linear(2, 1))
    with pytest.raises(RuntimeError, match="deepcopy protocol"):
        copy.deepcopy(old)


def test_a_list_of_tensors_loses_its_history_and_a_stack_does_not() -> None:
    a, b = leaf(1, 2).unbind()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not torch.tensor([a, b]).requires_grad
    assert torch.stack([a, b]).requires_grad


def test_a_state_in_another_order_is_loaded_without_a_word() -> None:
    a, b = leaf(1), leaf(1, 2)
    optimizer = torch.optim.SGD([a, b], lr=0.1, momentum=0.9)
    (a.sum() + b.sum()).backward()
    optimizer.step()
    other = torch.optim.SGD([b, a], lr=0.1, momentum=0.9)
    other.load_state_dict(optimizer.state_dict())
    assert other.state[b]["momentum_buffer"].shape == a.shape


def test_state_loaded_before_a_group_is_added_keeps_its_momentum() -> None:
    a = leaf(1)
    optimizer = torch.optim.SGD([a], lr=0.1, momentum=0.9)
    a.sum().backward()
    optimizer.step()
    other = torch.optim.SGD([a], lr=0.1, momentum=0.9)
    other.load_state_dict(optimizer.state_dict())
    other.add_param_group({"params": [leaf(1)]})
    assert other.state[a]["momentum_buffer"].tolist() == [1]


def test_a_computed_weight_learns_by_functional_call_only() -> None:
    model = nn.Linear(2, 1, bias=False)
    scale, x = leaf(3), torch.tensor([[2.0, 5.0]])
    weight = model.weight.detach().clone()
    torch.func.functional_call(model, {"weight": weight * scale}, (x,)).sum().backward()
    expected = (weight * x).sum()
    assert scale.grad is not None
    torch.testing.assert_close(scale.grad.sum(), expected)
    scale.grad = None
    model.weight = nn.Parameter(weight * scale)
    model(x).sum().backward()
    assert scale.grad is None


def test_adam_moves_rows_that_the_batch_did_not_use() -> None:
    table = nn.Embedding(3, 1)
    optimizer = torch.optim.Adam(table.parameters(), lr=0.1)
    moved = []
    for row in (0, 1):
        before = table.weight.detach().clone()
        optimizer.zero_grad()
        table(torch.tensor([row])).sum().backward()
        optimizer.step()
        moved.append((table.weight != before).flatten().tolist())
    assert moved == [[True, False, False], [True, True, False]]


def test_two_tensors_joined_freeze_a_part_and_the_flag_of_a_row_does_not() -> None:
    frozen, trained = torch.ones(1, 2), torch.ones(2, 2, requires_grad=True)
    (torch.cat([frozen, trained]) * torch.arange(6).reshape(3, 2)).sum().backward()
    assert trained.grad is not None
    assert trained.grad.tolist() == [[2, 3], [4, 5]]
    assert frozen.grad is None
    whole = torch.ones(3, 2, requires_grad=True)
    whole.data[0].requires_grad_(False)
    whole.sum().backward()
    assert whole.grad is not None
    assert whole.grad.tolist() == [[1, 1]] * 3


def test_a_matrix_of_scalars_keeps_its_history_by_stack_only() -> None:
    angle = torch.tensor(0.5, requires_grad=True)
    c, s = angle.cos(), angle.sin()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.tensor([[c, -s], [s, c]], requires_grad=True)
    made.sum().backward()
    assert angle.grad is None
    torch.stack([torch.stack([c, -s]), torch.stack([s, c])]).sum().backward()
    assert angle.grad is not None
    expected = -2 * math.sin(0.5)  # of 2 cos
    assert math.isclose(angle.grad.item(), expected, rel_tol=1e-6)


def test_the_parts_of_a_row_are_added_before_the_norm() -> None:
    table = nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1, 1, 2])).sum().backward()
    assert table.weight.grad is not None
    apart = torch.linalg.vector_norm(table.weight.grad._values())
    whole = torch.linalg.vector_norm(table.weight.grad.coalesce().values())
    assert math.isclose(apart.item() ** 2, 6, rel_tol=1e-6)
    assert math.isclose(whole.item() ** 2, 10, rel_tol=1e-6)  # (2, 2) and (1, 1)
    torch.testing.assert_close(whole, torch.linalg.vector_norm(table.weight.grad.to_dense()))


def schedule(w: Tensor) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.StepLR]:
    optimizer = optimize([w])
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)


BEFORE = r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"


def test_a_scheduler_that_steps_first_skips_the_first_rate() -> None:
    w = leaf(1)
    optimizer, scheduler = schedule(w)
    w.sum().backward()
    with pytest.warns(UserWarning, match=BEFORE):
        scheduler.step()
    optimizer.step()
    assert math.isclose(w.item(), 1 - 0.05, rel_tol=1e-6)


def test_a_skipped_step_warns_and_the_scale_tells_of_it() -> None:
    w, scaling = leaf(1), scaler(2.0**127)
    optimizer, scheduler = schedule(w)
    scaling.scale((2 * w).sum()).backward()
    scaling.step(optimizer)
    scaling.update()
    assert w.item() == 1
    assert scaling.get_scale() < 2.0**127
    with pytest.warns(UserWarning, match=BEFORE):
        scheduler.step()


def test_the_scheduler_that_waits_for_the_optimizer_does_not_warn() -> None:
    w, scaling = leaf(1), scaler(2.0**127)
    optimizer, scheduler = schedule(w)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            optimizer.zero_grad()
            scaling.scale((2 * w).sum()).backward()
            before = scaling.get_scale()
            scaling.step(optimizer)
            scaling.update()
            if scaling.get_scale() >= before:
                scheduler.step()
    # one skipped step, then rates 0.1 and 0.05 with gradient 2
    assert math.isclose(w.item(), 1 - 0.2 - 0.1, rel_tol=1e-6)


def test_float32_parameters_have_float32_gradients_under_autocast() -> None:
    layer, scaling = nn.Linear(2, 1), scaler()
    optimizer = optimize(layer.parameters())
    with torch.autocast("cpu", dtype=torch.float16):
        out = layer(torch.tensor([[3.0, 4.0]]))
    assert out.dtype == torch.float16
    scaling.scale(out.float().sum()).backward()
    scaling.unscale_(optimizer)
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert layer.weight.grad.tolist() == [[3, 4]]


def test_bfloat16_parameters_may_be_unscaled() -> None:
    w, scaling = leaf(1).detach().bfloat16().requires_grad_(), scaler()
    scaling.scale(w.sum()).backward()
    scaling.unscale_(optimize([w]))
    assert w.grad is not None
    assert w.grad.item() == 1


def test_variable_is_a_tensor_and_volatile_does_nothing() -> None:
    variable: Any = torch.autograd.Variable
    w = leaf(2)
    with pytest.warns(UserWarning, match="volatile was removed and now has no effect"):
        x = variable(torch.ones(1), volatile=True)
    assert type(x) is Tensor
    assert isinstance(torch.ones(1), variable)
    assert (w * x).requires_grad


SHOWN = {
    "change_flag_cure_3": "trained.grad = tensor([[2., 2.],\n        [2., 2.]])",
    "change_flag_wrong": "table.grad = tensor([[2., 2.],\n        [2., 2.]])",
    "to_scalar_cure_3": "angle.grad = tensor(1.)",
    "sparse_clip_cure": "norm = tensor(2.8284)\nvalues = tensor([[0.7071, 0.7071]])",
    "grad_none_attribute_find": "without gradient: ['unused']",
    "grad_none_attribute_cure": "used = tensor(0.7000, requires_grad=True)\n"
    "unused = tensor(1., requires_grad=True)",
    "grad_none_attribute_cure_2": "norm = tensor(3.)\nused = tensor(0.6000, requires_grad=True)",
    "scheduler_before_step": "w = tensor(0., requires_grad=True)",
    "scheduler_before_step_cure": "w = tensor(-1., requires_grad=True)",
    "scheduler_before_step_scaler": "w = tensor(1., requires_grad=True)\nlr = 0.5",
    "scheduler_before_step_cure_2": "step 0: w = 1.0, lr = 1.0\nstep 1: w = -1.0, lr = 0.5\n"
    "step 2: w = -2.0, lr = 0.25",
    "no_inf_checks_cure": "model.weight.grad = tensor([[1.]])",
    "unscale_fp16_cure": "out.dtype = torch.float16\nweight.grad = tensor([[1.]])",
    "unscale_fp16_cure_2": "adapter.weight.grad = tensor([[1.]])",
    "unscale_fp16_wrong": "torch.float16 1.0\ntorch.float32 0.99",
    "volatile_removed_cure": "y.requires_grad = False",
    "non_leaf_optimizer_cure": "w.grad = tensor([0.2000, 0.2000])\n"
    "w = tensor([0., 0.], requires_grad=True)",
    "non_leaf_optimizer_cure_2": "source.grad = tensor([0.0200, 0.0200])",
    "only_floats_cure": "x.grad = tensor([0., 1., 2.])",
    "change_flag_cure": "w.grad = tensor([ 9., 18.])",
    "retain_grad_cure": "x.grad = tensor([3., 4.])",
    "call_numpy_cure_2": "w.grad = tensor([0.5000, 0.2500])",
    "call_numpy_wrong": "v.grad = tensor([1., 2.])\nw.grad = None",
    "deepcopy_find": "'' holds 'last' from AddmmBackward0",
    "to_scalar_cure_2": "x.grad = tensor(1.)",
    "item_of_many_cure": "loss.item() = 13.6667\nx.grad = tensor([0.6667, 1.3333, 4.0000])",
    "item_of_many_cure_2": "losses.tolist() = [1.0, 4.0, 36.0]",
    "length_of_scalar_cure": "len(losses) = 2\nw.grad = tensor(8.)",
    "length_of_scalar_cure_2": "losses[0].numel() = 1\nlosses[0].dim() = 0",
    "copy_construct_cure_2": "x.grad = tensor([2., 4.])",
    "empty_list_find": "[]",
    # 2 · 2 + 2 weights and biases of the first layer, 2 + 1 of the second
    "empty_list_cure_2": "numbers to learn: 9\nin the optimizer: 4",
    "not_tensors_cure_2": "[0.01, 0.1]",
    "two_groups_cure": "[2, 2]",
    "duplicates_find": "w = tensor(0.8000, requires_grad=True)",
    "duplicates_cure": "w = tensor(0.9000, requires_grad=True)",
    "state_size_cure": "[2, 2]",
    "assign_parameter_cure_2": "scale.grad = tensor(3.)",
    "assign_parameter_wrong": "scale.grad = None",
    "grad_is_none_cure": "w = tensor(0.6400, requires_grad=True)",
    "grad_is_none_cure_2": "w = tensor(0.6400, requires_grad=True)",
    "sparse_gradient_cure": "changed rows: tensor([3])",
    "closure_missing_cure": "w = 3.0",
}


def cell(runner: Runner, name: str) -> CellResult:
    found = runner.result(STEM).cell(name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_shows_the_right_numbers(name: str, runner: Runner) -> None:
    assert cell(runner, name).text().strip() == SHOWN[name]


def test_no_grad_alone_loses_the_leaf(runner: Runner) -> None:
    error = cell(runner, "grad_is_none_wrong").error
    assert error is not None
    assert error["evalue"].startswith("element 0 of tensors does not require grad")


def test_when_a_leaf_has_no_gradient() -> None:
    used, unused = leaf(1), leaf(1)
    assert used.grad is None
    (used * 2).sum().backward()
    assert used.grad is not None
    assert unused.grad is None
    optimize([used]).zero_grad()
    assert used.grad is None
