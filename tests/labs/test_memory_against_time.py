"""The lab on memory: its claims, and its checks on wrong answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from tests.support.workbench import OPEN, Lab
from torch.utils.checkpoint import checkpoint_sequential

from livecell import Runner

LAB = Lab("memory_against_time")
LAST = "check_half"
KEEP, DROP = (
    f"self.holders[address(tensor)] {sign}= 1\nif self.holders[address(tensor)] == {at}:\n"
    f"    self.live {sign}= tensor.untyped_storage().nbytes()"
    for sign, at in (("+", 1), ("-", 0))
)


def unless_weight(code: str) -> str:
    indented = "\n".join("    " + line for line in code.split("\n"))
    return f"if address(tensor) not in self.weights:\n{indented}"


WRONG = [
    ("meter", [KEEP, DROP], r"peak is 4\.\d+ units, expected 4: .* weights do not"),
    (
        "meter",
        [
            unless_weight("self.live += tensor.untyped_storage().nbytes()"),
            unless_weight("self.live -= tensor.untyped_storage().nbytes()"),
        ],
        "peak is 6.0 units, expected 4: .* memory counts once",
    ),
    (
        "meter",
        [unless_weight(KEEP), "pass"],
        r"\d+ bytes are left, expected 0: drop undoes keep",
    ),
    (
        "checkpoint",
        "(x,) = ctx.saved_tensors\nx = x.detach().requires_grad_()\nwith torch.enable_grad():\n"
        "    y = ctx.run(x)\ny.backward()\nreturn None, x.grad",
        "grad can be implicitly created only for scalar outputs",
    ),
    (
        "checkpoint",
        "(x,) = ctx.saved_tensors\nx = x.detach().requires_grad_()\ny = ctx.run(x)\n"
        "y.backward(grad)\nreturn None, x.grad",
        "does not require grad",
    ),
    (
        "checkpoint",
        "(x,) = ctx.saved_tensors\nx = x.detach().requires_grad_()\nwith torch.enable_grad():\n"
        "    y = ctx.run(x)\ny.backward(torch.ones_like(y))\nreturn None, x.grad",
        "the gradient of weights differs from plain: run again under enable_grad",
    ),
    (
        "checkpoint",
        "(x,) = ctx.saved_tensors\nx = x.detach().requires_grad_()\nwith torch.enable_grad():\n"
        "    y = ctx.run(x)\ny.backward(grad)\nreturn None, None",
        "the gradient of (weights|x) differs from plain",
    ),
    ("half", "return tensor.bfloat16()", "a weight was copied"),
    ("half", "return tensor", "expected x as bfloat16"),
    (
        "half",
        "if address(tensor) in self.weights:\n    return tensor\nreturn tensor.bfloat16()",
        "the same memory was copied twice",
    ),
    (
        "half",
        "if address(tensor) in self.weights:\n    return tensor\n"
        "if self.last[1] is None:\n    self.last = tensor, tensor.bfloat16()\nreturn self.last[1]",
        "another tensor got the old copy",
    ),
]


@pytest.fixture(scope="module")
def lab() -> dict[str, Any]:
    return LAB.run("half_peak")


@pytest.mark.parametrize(("turn", "answer", "message"), WRONG)
def test_a_wrong_answer_fails_at_its_check_and_is_told_why(
    turn: str, answer: Any, message: str
) -> None:
    failed = LAB.failure(LAST, {turn: answer})
    assert failed.cell == LAB.check_of(turn)
    assert re.search(message, str(failed.error), re.DOTALL), failed


@pytest.mark.parametrize("turn", LAB.turns)
def test_an_open_gap_fails_at_its_check(turn: str) -> None:
    failed = LAB.failure(LAST, {turn: OPEN})
    assert failed.cell == LAB.check_of(turn)


def test_the_readers_notebook_fails_at_the_first_check() -> None:
    failed = LAB.failure(LAST, dict.fromkeys(LAB.turns, OPEN))
    assert failed.cell == "check_meter"
    assert "the peak is 0.0 units, expected 4" in str(failed.error)


def test_the_peak_is_k_plus_n_over_k(lab: dict[str, Any]) -> None:
    for depth in 8, 12:
        model, x = lab["network"](depth, 8)
        plain, expected = lab["step"](model, x)
        assert max(plain.trace) == (depth + 1) * x.nbytes
        assert plain.live == 0
        for count in (k for k in range(1, depth + 1) if depth % k == 0):
            meter, found = lab["step"](model, x, lab["in_segments"](model, count))
            assert max(meter.trace) == (count + depth // count) * x.nbytes
            assert meter.live == 0
            assert all(map(torch.equal, found, expected))


def test_torchs_own_reentrant_checkpoint_has_the_same_peak(lab: dict[str, Any]) -> None:
    layers, batch = lab["layers"], lab["batch"]
    meter, found = lab["step"](
        layers, batch, lambda x: checkpoint_sequential(layers, 4, x, use_reentrant=True)
    )
    assert max(meter.trace) == 8 * batch.nbytes
    assert all(map(torch.equal, found, lab["gradients"]))


def test_half_the_precision_is_half_the_memory(lab: dict[str, Any]) -> None:
    assert max(lab["traces"]["bfloat16"]) * 2 == max(lab["plain"].trace)
    assert 0 < max(lab["errors"]) < 0.01


def test_both_ways_can_be_combined(lab: dict[str, Any]) -> None:
    layers, batch = lab["layers"], lab["batch"]
    meter, _ = lab["step"](
        layers,
        batch,
        lab["in_segments"](layers, 4),
        pack=lab["Half"](layers).pack,
        unpack=torch.Tensor.float,
    )
    assert max(meter.trace) < 0.6 * 8 * batch.nbytes


def test_no_file_is_left(runner: Runner) -> None:
    cell = runner.result("labs/memory_against_time").cell("disk")
    assert cell is not None
    assert "files left = 0" in cell.text()
    assert "same gradients = True" in cell.text()
