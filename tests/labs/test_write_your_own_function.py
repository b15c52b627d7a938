"""The lab on custom Functions: its claims, and its checks on wrong answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tests.support.workbench import OPEN, Failed, Lab
from torch.autograd import gradcheck, gradgradcheck

from livecell import Runner

LAB = Lab("write_your_own_function")
LAST = "check_quantise"

WRONG = [
    ("forward", "return x.exp().sum(-1).log()", "forward, rows: found .*inf.*subtract the largest"),
    ("forward", "return x.amax(-1)", "forward, small: found 3.0, expected 3.4"),
    (
        "forward",
        "m = x.amax(-1, keepdim=True)\nreturn (x - m).exp().sum(-1).log()",
        "forward, small: found .*add it back outside",
    ),
    (
        "forward",
        "m = x.amax(-1, keepdim=True)\nreturn m + (x - m).exp().sum(-1).log()",
        r"forward, small: found shape \(1,\), expected \(\)",
    ),
    (
        "forward",
        "m = x.max()\nreturn m + (x - m).exp().sum(-1).log()",
        "forward, rows: found .*-inf.*the largest value of each row",
    ),
    ("forward", "return None", "forward, small: found None, expected a tensor"),
    (
        "backward",
        [
            "ctx.save_for_backward(*inputs, output)",
            "x, y = ctx.saved_tensors\nreturn (x - y.unsqueeze(-1)).exp()",
        ],
        "backward: found .* and that grad is used",
    ),
    (
        "backward",
        [
            "ctx.save_for_backward(*inputs, output)",
            "x, y = ctx.saved_tensors\nreturn grad.unsqueeze(-1) * x.exp() / x.exp().sum(-1, True)",
        ],
        "backward: found .*nan.*expected",
    ),
    (
        "backward",
        [
            "ctx.save_for_backward(inputs[0].softmax(-1))",
            "(p,) = ctx.saved_tensors\nreturn grad.unsqueeze(-1) * p",
        ],
        "double backward: found .*0.0.* a p saved ready-made is a constant",
    ),
    (
        "backward",
        [
            "ctx.save_for_backward(*inputs, output)",
            "x, y = ctx.saved_tensors\n"
            "return grad.unsqueeze(-1) * (x - y.unsqueeze(-1)).exp().detach()",
        ],
        "not require grad|does not require|double backward",
    ),
    (
        "quantise",
        ["pass", "return grad, None"],
        r"quantiser: found \[1.0, 2.0, 3.0, 4.0\], expected \[0.0, 2.0, 3.0, 0.0\]",
    ),
    (
        "quantise",
        [
            "ctx.save_for_backward(inputs[0].abs() <= 1)",
            "(inside,) = ctx.saved_tensors\nreturn inside.float(), None",
        ],
        r"quantiser: found \[0.0, 1.0, 1.0, 0.0\]",
    ),
    ("quantise", ["pass", "return 0 * grad, None"], "grad passes where -8 <= x/s <= 7"),
]


@pytest.fixture(scope="module")
def lab() -> dict[str, Any]:
    return LAB.run("train")


@pytest.mark.parametrize(("turn", "answer", "message"), WRONG)
def test_a_wrong_answer_fails_and_is_told_why(turn: str, answer: Any, message: str) -> None:
    failed = LAB.failure(LAST, {turn: answer})
    assert failed.cell.startswith("check_")
    assert re.search(message, str(failed.error), re.DOTALL), failed


@pytest.mark.parametrize("turn", LAB.turns)
def test_an_open_gap_fails_at_its_check(turn: str) -> None:
    failed = LAB.failure(LAST, {turn: OPEN})
    assert failed.cell == LAB.check_of(turn)


def test_the_readers_notebook_fails_at_the_first_check() -> None:
    failed = LAB.failure(LAST, dict.fromkeys(LAB.turns, OPEN))
    assert failed.cell == "check_forward"
    assert isinstance(failed.error, AssertionError)
    assert "found None, expected a tensor" in str(failed.error)


def test_a_gradient_too_few_is_told_by_torch() -> None:
    with pytest.raises(Failed, match=r"incorrect number of gradients \(expected 2, got 1\)"):
        LAB.run(LAST, {"quantise": ["pass", "return grad"]})


rows = npst.arrays("float64", (3, 4), elements=st.floats(-1e4, 1e4))


@given(rows)
def test_it_equals_torch_wherever_numbers_are(lab: dict[str, Any], data: Any) -> None:
    x = torch.from_numpy(data).requires_grad_()
    y = lab["LogSumExp"].apply(x)
    torch.testing.assert_close(y, torch.logsumexp(x, -1))
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad, x.softmax(-1))


def test_gradcheck_agrees_twice(lab: dict[str, Any]) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lab["LogSumExp"].apply, x)
    assert gradgradcheck(lab["LogSumExp"].apply, x)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradgradcheck(lab["ReadyMade"].apply, x)


def test_what_is_saved(lab: dict[str, Any]) -> None:
    x = torch.randn(50, 10, requires_grad=True)
    row, full = 50 * 4, 50 * 10 * 4
    saved = {name: lab["saved_bytes"](f, x) for name, f in lab["functions"].items()}
    assert saved == {
        "naive": full + row,
        "stable": full + 2 * row,
        "LogSumExp": row,
        "torch.logsumexp": row,
    }
    assert lab["saved_bytes"](lab["Attributes"].apply, x) == 0  # hooks do not see attributes


def test_an_overwritten_attribute_gives_the_gradient_divided_by_e(runner: Runner) -> None:
    cell = runner.result("labs/write_your_own_function").cell("attributes")
    assert cell is not None
    assert "LogSumExp one of the variables needed for gradient computation" in cell.text()
    assert f"Attributes sum of a row = {round(torch.tensor(-1.0).exp().item(), 4)}" in cell.text()


def test_the_quantiser_has_16_values(lab: dict[str, Any]) -> None:
    x = torch.linspace(-9, 9, 1001, requires_grad=True)
    q = lab["Quantise"].apply(x, 0.5)
    assert sorted(set(q.tolist())) == [0.5 * k for k in range(-8, 8)]
    (grad,) = torch.autograd.grad(q.sum(), x)
    inside = (x >= -4) & (x <= 3.5)
    assert torch.equal(grad, inside.float())


def test_only_a_made_up_derivative_trains(lab: dict[str, Any]) -> None:
    full, through, true = lab["losses"].values()
    assert len(set(true)) == 1
    assert full[-1] < 0.01 < through[-1] < 0.2 < true[-1]


def test_a_row_without_numbers_is_left_to_the_reader(lab: dict[str, Any]) -> None:
    nothing = torch.full((1, 3), -torch.inf)
    assert lab["stable"](nothing).isnan().all()
    assert torch.logsumexp(nothing, -1).tolist() == [-torch.inf]


def test_neither_jvp_nor_vmap_is_there_yet(lab: dict[str, Any]) -> None:
    x = torch.ones(2, 3)
    with pytest.raises(NotImplementedError):
        torch.func.jvp(lab["LogSumExp"].apply, (x,), (x,))
    with pytest.raises(RuntimeError, match="vmap"):
        torch.vmap(lab["LogSumExp"].apply)(x)
