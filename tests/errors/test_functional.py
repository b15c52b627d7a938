"""The entries on torch.func and vmap: they raise, cures are right, wrong cures are wrong."""

import ast
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import (
    functional_call,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    replace_all_batch_norm_modules_,
    vmap,
)

from livecell import Runner
from livecell.results import CellResult

Program = Callable[[], object]
STEM = "errors/functional"
ROWS = torch.tensor([[0.5, -1.0], [2.0, 3.0]])
X = torch.tensor([1.0, -2.0, 0.5])
NO_STORAGE = "Cannot access data pointer of Tensor that doesn't have storage"


@pytest.fixture(scope="module")
def cell(runner: Runner) -> Callable[[str], CellResult]:
    def named(name: str) -> CellResult:
        found = runner.result(STEM).cell(name)
        assert found is not None
        return found

    return named


def value(cell: CellResult, label: str) -> Any:
    """What the cell printed after a label, a tensor as a list."""
    line = next(line for line in cell.text().splitlines() if line.startswith(label))
    text = line.partition("= ")[2]
    return ast.literal_eval(text.removeprefix("tensor").strip("()"))


def fill(row: Tensor) -> Tensor:
    return torch.zeros(2).copy_(row)


def count(total: Tensor) -> Callable[[Tensor], Tensor]:
    def f(x: Tensor) -> Tensor:
        total.copy_(x)
        return x.sum()

    return f


def loop(row: Tensor) -> Tensor:
    while row.sum() < 10:
        row = row * 2
    return row


def check(row: Tensor) -> Tensor:
    assert (row < 10).all()
    return row


def numpy_inside(row: Tensor) -> Tensor:
    return torch.from_numpy(row.numpy())


def escaped(use: Callable[[Tensor], object]) -> None:
    kept: list[Tensor] = []

    def f(row: Tensor) -> Tensor:
        kept.append(row + 1)
        return row

    vmap(f)(ROWS)
    use(kept[0])


def retained(x: Tensor) -> Tensor:
    y = x * x
    y.retain_grad()
    return y.sum()


class Branch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g if g.sum() > 0 else 2 * g


def batched_backward() -> None:
    x = X.clone().requires_grad_()
    y = Branch.apply(x)  # type: ignore[no-untyped-call]
    torch.autograd.grad(y, x, torch.eye(3), is_grads_batched=True)


IN_PLACE = "inplace arithmetic\\(self, \\*extra_args\\) is not possible"
CAPTURED = "would mutate a captured Tensor"
FLOW = "data-dependent control flow"
ITEM = "you're calling .item\\(\\) on a Tensor"
DYNAMIC = "We do not support batching operators that can"
RANDOM = "called random operation while in randomness error mode"
RULE = "Batching rule not implemented for"
ESCAPED = "may have escaped from inside a function being vmapped"
INSIDE = "inside of a function being transformed by a functorch transform"
LINEAR = nn.Linear(3, 1)
RAISES: list[tuple[Program, type[Exception], str]] = [
    (lambda: vmap(fill)(ROWS), RuntimeError, IN_PLACE),
    (lambda: grad(count(torch.zeros(3)))(X), RuntimeError, CAPTURED),
    (lambda: jvp(count(torch.zeros(3)), (X,), (X,)), RuntimeError, CAPTURED),
    (lambda: vmap(loop)(ROWS), RuntimeError, FLOW),
    (lambda: vmap(check)(ROWS), RuntimeError, FLOW),
    (lambda: vmap(lambda row: max(row[0], row[1]))(ROWS), RuntimeError, FLOW),
    (batched_backward, RuntimeError, "Batching rule not implemented for aten::is_nonzero"),
    (lambda: vmap(lambda row: row * float(row[0]))(ROWS), RuntimeError, ITEM),
    (lambda: vmap(lambda n: torch.zeros(3)[:n])(torch.tensor([1, 2])), RuntimeError, ITEM),
    (lambda: vmap(lambda row: torch.tensor([row[0], row[1]]))(ROWS), RuntimeError, ITEM),
    (lambda: vmap(numpy_inside)(ROWS), RuntimeError, NO_STORAGE),
    (lambda: vmap(lambda row: row[row > 0])(ROWS), RuntimeError, DYNAMIC),
    (lambda: vmap(torch.nonzero)(ROWS), RuntimeError, DYNAMIC),
    (lambda: vmap(torch.unique)(ROWS), RuntimeError, DYNAMIC),
    (
        lambda: vmap(lambda row: row.masked_select(row > 0))(ROWS),
        RuntimeError,
        "Attempted to vmap over `mask` in torch.masked_select",
    ),
    (lambda: vmap(lambda row: torch.rand_like(row))(ROWS), RuntimeError, RANDOM),
    (lambda: jacfwd(nn.Dropout())(X), RuntimeError, RANDOM),
    (lambda: vmap(nn.GRU(2, 2))(ROWS.expand(3, 2, 2)), RuntimeError, RULE),
    (lambda: vmap(lambda row: torch.add(row, 1, out=torch.empty(2)))(ROWS), RuntimeError, RULE),
    (lambda: vmap(torch.add)(ROWS, X), ValueError, "got sizes \\[2, 3\\]"),
    (lambda: vmap(lambda row, flag: row)(ROWS, True), ValueError, "type <class 'bool'>"),
    (lambda: grad(lambda x: x.sum()[None])(X), RuntimeError, "got tensor with 1 dims"),
    (lambda: grad(lambda x: (x.sum(), x))(X), RuntimeError, "a Tensor, got <class 'tuple'>"),
    (lambda: grad(lambda x: None)(X), RuntimeError, "a Tensor, got <class 'NoneType'>"),
    (lambda: vmap(lambda row: row.detach().requires_grad_())(ROWS), RuntimeError, INSIDE),
    (lambda: grad(retained)(X), RuntimeError, "Tensor.retain_grad\\(\\) " + INSIDE),
    (
        lambda: vmap(lambda x: torch.autograd.functional.jacobian(torch.sin, x))(ROWS),
        RuntimeError,
        INSIDE,
    ),
    (lambda: vmap(lambda row: row.sum().backward())(ROWS), RuntimeError, "backward\\(\\) called"),
    (
        lambda: functional_call(LINEAR, {"weight": LINEAR.weight}, (X,), strict=True),
        RuntimeError,
        "reparametrizing for Linear:\n\tMissing key\\(s\\): 'bias'.",
    ),
    (
        lambda: functional_call(
            LINEAR, {**dict(LINEAR.named_parameters()), "a": X}, (X,), strict=True
        ),
        RuntimeError,
        "reparametrizing for Linear:\n\tUnexpected key\\(s\\): 'a'.",
    ),
    (
        lambda: vmap(nn.BatchNorm1d(2))(ROWS.expand(3, 2, 2)),
        RuntimeError,
        "Batch norm got a batched",
    ),
    (lambda: jvp(torch.sin, (X,), (X, X)), RuntimeError, "the same python structure"),
    (lambda: jvp(torch.sin, X, X), RuntimeError, "Expected primals to be a tuple"),
    (lambda: jvp(torch.sin, (X,), (None,)), RuntimeError, "tangents to only contain Tensors"),
    (lambda: grad(torch.sum)(torch.tensor([True])), RuntimeError, "floating point dtype can"),
    (lambda: grad(torch.sum, argnums=3)(X), RuntimeError, "argnum=3, but only 1 positional"),
    (lambda: escaped(torch.Tensor.sum), RuntimeError, ESCAPED),
    (lambda: escaped(lambda t: t * 2), RuntimeError, ESCAPED),
    (lambda: escaped(lambda t: torch.stack([t])), RuntimeError, "maybe_level.has_value"),
]


@pytest.mark.parametrize(("program", "error", "message"), RAISES)
def test_it_raises(program: Program, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        program()


def test_in_place_with_plus_says_something_else() -> None:
    def add_up(row: Tensor) -> Tensor:
        total = torch.zeros(())
        total += row.sum()
        return total

    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        vmap(add_up)(ROWS)


BATCH = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def test_cures_of_vmap(cell: Callable[[str], CellResult]) -> None:
    for end in ("", "_2"):
        assert value(cell(f"vmap_in_place_cure{end}"), "swapped") == [r[::-1] for r in BATCH]
    signs = [1 if sum(row) > 4 else -1 for row in BATCH]
    flipped = value(cell("vmap_control_flow_cure"), "flipped")
    assert flipped == [[s * v for v in row] for s, row in zip(signs, BATCH, strict=True)]
    assert value(cell("vmap_control_flow_cure"), "gradients") == [[s, s] for s in signs]
    assert value(cell("vmap_control_flow_cure_2"), "gradient") == [signs[0]] * 2
    assert value(cell("vmap_item_cure"), "scaled") == [
        [v / max(row) for v in row] for row in BATCH[:2]
    ]
    assert value(cell("vmap_item_cure_2"), "sums") == [
        sum(row[:n]) for row, n in zip(BATCH, (1, 2, 0), strict=True)
    ]
    chosen = [[v for v in row if v > 2] for row in BATCH]
    assert value(cell("vmap_boolean_mask_cure"), "sums") == [sum(row) for row in chosen]
    assert value(cell("vmap_boolean_mask_cure"), "gradients") == [
        [float(v > 2) for v in row] for row in BATCH
    ]
    assert value(cell("vmap_boolean_mask_cure_2"), "means") == [
        sum(row) / max(1, len(row)) for row in chosen
    ]
    for end in ("", "_2"):
        products = value(cell(f"vmap_batch_size_cure{end}"), "products")
        assert products == [row[0] + 10 * row[1] for row in BATCH]
        squares = value(cell(f"vmap_non_tensor_cure{end}"), "squares")
        assert squares == [[v * v for v in row] for row in BATCH]
    assert value(cell("batching_rule_cure_2"), "same") is True
    assert value(cell("escaped_from_vmap_cure"), "doubled") == [[2 * v for v in r] for r in BATCH]


def test_randomness(cell: Callable[[str], CellResult]) -> None:
    lines = cell("vmap_randomness_cure").text().split("\n")
    assert [line.endswith("True") for line in lines[:2]] == [True, False]
    assert value(cell("vmap_randomness_cure_2"), "noise added") is True
    second = value(cell("vmap_randomness_cure_3"), "hessian")
    step = 1e-3
    points = torch.tensor([-step, 0, step], dtype=torch.float64)
    below, at, above = nn.functional.softplus(points).tolist()
    assert second == [[0.25, 0], [0, 0.25]]
    assert (above - 2 * at + below) / step**2 == pytest.approx(0.25, abs=1e-6)


def test_cures_of_captured_tensors(cell: Callable[[str], CellResult]) -> None:
    assert value(cell("captured_mutation_cure"), "gradient") == [2, 4]
    assert value(cell("captured_mutation_cure"), "seen") == [1, 2]
    norm = nn.BatchNorm1d(2)
    norm(torch.tensor(BATCH))
    assert norm.running_mean is not None
    found = value(cell("captured_mutation_cure_2"), "running_mean")
    assert found == pytest.approx(norm.running_mean.tolist(), abs=1e-4)
    assert value(cell("captured_mutation_cure_2"), "gradient['bias']") == [3, 3]


def test_cures_of_grad(cell: Callable[[str], CellResult]) -> None:
    cosines = pytest.approx(torch.tensor([0.0, 1.0]).cos().tolist(), abs=1e-4)
    assert value(cell("func_grad_scalar_cure"), "gradient") == cosines
    assert value(cell("func_grad_scalar_cure_2"), "derivatives") == cosines
    assert value(cell("func_grad_scalar_cure_2"), "diagonal") == cosines
    for name in ("func_grad_tensor_cure", "func_grad_tensor_cure_2", "requires_grad_inside_cure"):
        assert value(cell(name), "gradient") == [2, 4]
    assert value(cell("requires_grad_inside_cure_2"), "hessian") == [[6, 0], [0, 12]]
    assert value(cell("backward_inside_cure"), "gradient") == [6, 12]
    assert value(cell("backward_inside_cure_2"), "gradient") == [6, 12]
    assert value(cell("backward_inside_wrong"), "gradient") == [0, 0]
    assert value(cell("func_integer_cure"), "jacobian") == [[2, 0], [0, 4]]
    assert value(cell("func_integer_cure_2"), "gradient") == [0, 4]
    for end in ("", "_2"):
        assert value(cell(f"argnum_range_cure{end}"), "gradient") == [1, 2]
        assert value(cell(f"jvp_structure_cure{end}"), "change") == 3


def test_nested_transforms_agree_with_the_second_derivative() -> None:
    def cube(x: Tensor) -> Tensor:
        return (x**3).sum()

    nested = grad(lambda x: grad(cube)(x).sum())(X)
    assert torch.allclose(nested, 6 * X)
    assert torch.allclose(hessian(cube)(X), torch.diag(6 * X))
    assert torch.allclose(jacrev(torch.sin)(X), torch.diag(X.cos()))


def test_names_of_functional_call(cell: Callable[[str], CellResult]) -> None:
    columns = torch.tensor([[sum(row[i] for row in BATCH) for i in range(2)]])
    assert f"'weight': {columns}" in cell("functional_call_keys_cure").text()
    for name in ("functional_call_keys_find", "functional_call_keys_find_2"):
        assert "tensor([[0., 0.]])" in cell(name).text()


def test_batch_norm(cell: Callable[[str], CellResult]) -> None:
    assert value(cell("vmap_batch_norm_cure"), "same") is True
    means = value(cell("vmap_batch_norm_cure_2"), "means per group")
    assert means == [[0, 0], [0, 0]]
    net = nn.Sequential(nn.BatchNorm1d(2))
    replace_all_batch_norm_modules_(net)
    net.eval()  # and still it is normalized by its own batch
    assert torch.allclose(net(torch.tensor(BATCH)).mean(dim=0), torch.zeros(2), atol=1e-5)


def test_grad_fills_no_grad(cell: Callable[[str], CellResult]) -> None:
    w = X.clone().requires_grad_()
    grad(lambda w: (w * w).sum())(w)
    assert w.grad is None
    assert "layer.weight.grad = None" in cell("func_leaves_grad").text()
    assert value(cell("func_leaves_grad"), "moved") is False
    assert value(cell("func_leaves_grad_cure"), "moved") is True
    assert value(cell("func_leaves_grad_cure_2"), "same") is True
    assert value(cell("escaped_from_vmap_cure_2"), "w.grad") == [2, 4]


def test_make_functional_warns_and_functional_call_gives_the_same(
    cell: Callable[[str], CellResult],
) -> None:
    from functorch import make_functional  # type: ignore[import-untyped]

    model = nn.Linear(2, 1)
    x = torch.tensor([[1.0, -3.0]])
    with pytest.warns(FutureWarning, match="`functorch.make_functional` is deprecated"):
        function, params = make_functional(model)
    expected = grad(lambda p: function(p, x).square().sum())(params)
    named = dict(model.named_parameters())
    found = grad(lambda p: functional_call(model, p, (x,)).square().sum())(named)
    for one, two in zip(expected, found.values(), strict=True):
        torch.testing.assert_close(one, two)
    assert cell("make_functional_cure").text().strip() == "gradient = tensor([[36.]])"
