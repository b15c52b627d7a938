"""The lab that writes an autograd engine: its claims, and its checks on wrong answers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.support.workbench import OPEN, Lab
from torch import Tensor

from livecell.comments import select

LAB = Lab("engine_in_150_lines")

WRONG = [
    ("engine_mul", "return grad * a.data, grad * b.data", "have you swapped the two"),
    ("engine_mul", "return b.data, a.data", "multiply it by `grad`"),
    ("engine_mul", "return -grad * b.data, grad * a.data", "the sign is wrong"),
    ("engine_mul", "return grad * b.data", r"expected a tuple of 2 gradient\(s\)"),
    ("engine_mul", "pass", "the rule returned None"),
    ("engine_unary", "unary('log', np.log, lambda x, y: 1 / x)", "tanh: Value has no such method"),
    (
        "engine_unary",
        "unary('log', np.log, lambda x, y: 1 / y)",
        "log at 0.5: the gradient of input 0 is",
    ),
    (
        "engine_unary",
        "unary('log', np.log2, lambda x, y: 1 / x)",
        "log at 0.5: the value is .* look at the forward pass",
    ),
    (
        "engine_unary",
        """
        unary("log", np.log, lambda x, y: 1 / x)
        unary("tanh", np.tanh, lambda x, y: 1 - x**2)
        """,
        "tanh at -0.4: the gradient of input 0",
    ),
    (
        "engine_unary",
        """
        unary("log", np.log, lambda x, y: 1 / x)
        unary("tanh", np.tanh, lambda x, y: 1 - y**2)
        unary("relu", lambda x: np.maximum(x, 0), lambda x, y: x >= 0)
        """,
        r"relu at 0.0: the rule gives 1.0, torch takes 0",
    ),
    (
        "engine_backward",
        """
        grads[i] = g
        missing[i] -= 1
        if missing[i] == 0:
            ready.append(i)
        """,
        "two paths: the gradient of input 0",
    ),
    ("engine_backward", "grads[i] = grads.get(i, 0) + g", "no gradient has arrived"),
    (
        "engine_backward",
        """
        grads[i] = g
        ready.append(i)
        """,
        "u ran before all its gradients had arrived",
    ),
    (
        "engine_backward",
        """
        grads[i] = grads.get(i, 0) + g
        if i not in ready:
            ready.append(i)
        """,
        "u ran before all its gradients had arrived",
    ),
    ("engine_no_grad", "recording = False\nyield", "x \\* x is not recorded"),
    ("engine_no_grad", "yield", "inside no_grad, x \\* x requires a gradient"),
    ("engine_no_grad", "recording = False\nyield\nrecording = True", "restore what was, not True"),
    (
        "engine_no_grad",
        "before, recording = recording, False\nyield\nrecording = before",
        "restore it in `finally`",
    ),
    ("engine_no_grad", "recording = False", "does it `yield`"),
    ("engine_tensor", "return grad.sum()", "the result has shape"),
    ("engine_tensor", "return grad.reshape(shape)", "cannot reshape.* sum, do not reshape"),
    (
        "engine_tensor",
        "return grad.sum(axis=tuple(range(grad.ndim - len(shape))))",
        r"from \(4, 3\) to \(4, 1\): the result has shape \(4, 3\)",
    ),
    (
        "engine_tensor",
        """
        grad = grad.mean(axis=tuple(range(grad.ndim - len(shape))))
        return grad.mean(axis=tuple(d for d, n in enumerate(shape) if n == 1), keepdims=True)
        """,
        "do not pick or average them",
    ),
    ("engine_sum", "return (grad,)", r"sum\(\): the gradient of input 0 has shape \(\)"),
    (
        "engine_sum",
        "return (np.broadcast_to(grad, a.data.shape),)",
        r"sum\(1\): numpy cannot spread the gradient",
    ),
    (
        "engine_sum",
        "return (np.broadcast_to(grad, a.data.shape) / a.data.size,)",
        r"sum\(\): the gradient of input 0 is",
    ),
    ("engine_matmul", "return grad @ b.data, a.data @ grad", "which factor needs a transpose"),
    (
        "engine_matmul",
        "return a.data.T @ grad, grad @ b.data.T",
        r"has shape \(3, 1\), but the input has shape \(2, 3\)",
    ),
    ("engine_loss", "return z - z.exp().sum(1, keepdim=True).log()", "subtract the maximum"),
    ("engine_loss", "return z.exp() / z.exp().sum(1, keepdim=True)", "log_softmax: the value is"),
    (
        "engine_loss",
        "z = z - z.data.max()\nreturn z - z.exp().sum(keepdim=True).log()",
        "log_softmax: the value is",
    ),
    (
        "train",
        """
        loss = loss_of(model(x, *parameters), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        """,
        "is the gradient cleared in every step",
    ),
    (
        "train",
        """
        loss = loss_of(model(x, *parameters), labels)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
        losses.append(loss.item())
        """,
        "backward\\(\\) comes before it",
    ),
    (
        "train",
        """
        loss = loss_of(model(x, *parameters), labels)
        loss.backward()
        losses.append(loss.item())
        """,
        "expected it to fall",
    ),
    (
        "train",
        """
        optimizer.zero_grad()
        loss = loss_of(model(x, *parameters), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss)
        """,
        r"use loss\.item\(\)",
    ),
]


@pytest.fixture(scope="module")
def engine() -> dict[str, Any]:
    return LAB.run("check_train")


@pytest.mark.parametrize(("turn", "answer", "message"), WRONG)
def test_a_wrong_answer_fails_at_its_check_and_is_told_why(
    turn: str, answer: str, message: str
) -> None:
    failed = LAB.failure("check_train", {turn: answer})
    assert failed.cell == LAB.check_of(turn)
    assert re.search(message, str(failed.error), re.DOTALL), failed


@pytest.mark.parametrize("turn", LAB.turns)
def test_an_open_gap_fails_at_its_check(turn: str) -> None:
    failed = LAB.failure("check_train", {turn: OPEN})
    assert failed.cell == LAB.check_of(turn)
    assert isinstance(failed.error, AssertionError)


def test_the_readers_notebook_fails_at_the_first_check() -> None:
    failed = LAB.failure("check_train", dict.fromkeys(LAB.turns, OPEN))
    assert failed.cell == "check_mul"
    assert "the rule returned None" in str(failed.error)
    assert "is something still `...`?" in str(failed.error)


def test_the_prose_says_how_many_lines_and_turns_there_are() -> None:
    lines = [
        line
        for cell in LAB.cells
        if cell.name.startswith("engine_")
        for line in select(cell.source, "en", ("zh", "en")).splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) <= 150
    assert f"{len(lines)} lines of code in all" in LAB.prose("en")
    assert f"合起来 {len(lines)} 行代码" in LAB.prose("zh")
    optimizer = next(cell for cell in LAB.cells if cell.name == "engine_sgd").source
    assert len([line for line in optimizer.splitlines() if line.strip()]) == 9
    assert "nine lines" in LAB.prose("en")
    assert len(LAB.turns) == 9
    for number in range(1, 10):
        assert f"### Your turn {number}: " in LAB.prose("en")
        assert f"### 由你来写 {number}：" in LAB.prose("zh")


def test_the_engine_cells_are_an_engine_by_themselves() -> None:
    """The lines that are counted need nothing of the others."""
    names: dict[str, Any] = {}
    for cell in LAB.cells:
        if cell.name.startswith("engine_"):
            exec(cell.source, names)
    x = names["Tensor"]([[1.0, -2.0]], requires_grad=True)
    names["cross_entropy"](x, np.array([1])).backward()
    y = torch.tensor([[1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(y, torch.tensor([1])).backward()
    assert y.grad is not None
    np.testing.assert_allclose(x.grad.data, y.grad)


shapes = st.sampled_from([(), (1,), (3,), (2, 1), (1, 3), (2, 3), (4, 1, 1), (4, 2, 3)])


@given(shapes, shapes, st.integers(0, 2**32 - 1))
def test_any_two_shapes_that_broadcast_give_the_gradients_of_torch(
    engine: dict[str, Any], a: tuple[int, ...], b: tuple[int, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    data = [rng.normal(size=a), 1 + rng.random(size=b)]
    ours = [engine["Tensor"](d, requires_grad=True) for d in data]
    theirs = [torch.tensor(d, dtype=torch.float64, requires_grad=True) for d in data]
    for x, y in ours, theirs:
        (x / y - (x * y).tanh() * x).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert other.grad is not None
        assert mine.grad.shape == mine.shape
        np.testing.assert_allclose(mine.grad.data, other.grad, rtol=1e-9, atol=1e-12)


def test_a_long_chain_needs_no_recursion(engine: dict[str, Any]) -> None:
    x = engine["Value"](1.0, requires_grad=True)
    y = x
    for _ in range(5000):
        y = y + x
    y.backward()
    assert x.grad.item() == 5001


def test_errors_are_those_of_torch(engine: dict[str, Any]) -> None:
    for kind, one in (engine["Tensor"], engine["Tensor"](1.0)), (torch.tensor, torch.tensor(1.0)):
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar"):
            kind([1.0, 2.0], requires_grad=True).backward()
        with pytest.raises(RuntimeError, match="does not require grad"):
            one.backward()


def test_detach_shares_the_data_and_has_no_history(engine: dict[str, Any]) -> None:
    x = engine["Tensor"]([1.0, 2.0], requires_grad=True)
    y = (x * 2).detach()
    assert y.grad_fn is None
    assert not y.requires_grad
    assert np.shares_memory(x.data, x.detach().data)


def test_constants_get_no_gradient_and_no_node(engine: dict[str, Any]) -> None:
    a, b = engine["Value"](2.0), engine["Value"](3.0, requires_grad=True)
    (a * b).backward()
    assert a.grad is None
    assert b.grad.item() == 2
    assert (a * a).grad_fn is None


def test_a_finite_difference_that_disagrees_is_reported(engine: dict[str, Any]) -> None:
    """Our rule and torch may agree where no derivative exists."""
    with pytest.raises(AssertionError, match="is there a kink at this place"):
        engine["check_rule"]("relu", lambda a: a.relu(), 0.0)


def test_the_log_sum_exp_of_the_formula_overflows(engine: dict[str, Any]) -> None:
    with np.errstate(all="ignore"):
        z = engine["Tensor"]([[1000.0, 0.0]])
        assert not np.isfinite((z - z.exp().sum(1, keepdim=True).log()).data).all()


def test_the_engine_of_torch_sums_a_broadcast_gradient_back() -> None:
    class Wide(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * torch.ones(4, 3)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad

    x = torch.ones(3, requires_grad=True)
    Wide.apply(x).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [4, 4, 4]


def test_maximum_gives_half_to_each_of_two_equals() -> None:
    a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    torch.maximum(a, b).backward()
    assert a.grad == b.grad == 0.5


def test_adding_at_repeated_indices_needs_add_at() -> None:
    full = np.zeros(3)
    full[[0, 0, 2]] += 1
    assert full.tolist() == [1, 0, 1]
    np.add.at(full, [0, 0, 2], 1)
    assert full.tolist() == [3, 0, 2]
