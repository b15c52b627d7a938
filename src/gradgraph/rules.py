"""The local rule by which a node made a gradient, with this run's numbers.

A rule of the table is evaluated with this run's tensors. Where it does not give what torch sent
there is no rule: a wrong formula is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gradgraph.graph import Rule
from gradgraph.rule_table import RULES, Local, Operands
from gradgraph.values import value


def local_rule(
    op: str,
    index: int,
    received: Sequence[Tensor | None],
    saved: Mapping[str, Any],
    sent: Sequence[Tensor | None],
) -> Rule | None:
    """The rule for edge `index` of `op`, checked against what torch `sent`; None without one.

    Args:
        op: the node's name, such as `MulBackward0`.
        index: the number of the edge.
        received: the gradient of each of the forward results.
        saved: what the node saved, by name (see `gradgraph.saved.read`).
        sent: the gradient for each edge.
    """
    found = RULES.get(op, ())
    if callable(found):
        candidates: Sequence[Local] = (found(index),)
    else:
        candidates = found[index : index + 1]
    grad = next((one for one in received if one is not None), None)
    gave = sent[index]
    if not candidates or grad is None or gave is None or gave.layout != torch.strided:
        return None
    wrt, written, compute = candidates[0]
    shapes = [() if one is None else tuple(one.shape) for one in sent]
    operands = Operands(saved, index, shapes, gave.dtype, received)
    try:
        formula = written if isinstance(written, str) else written(saved)
        with torch.no_grad():
            computed = compute(grad.detach(), operands)
            if computed.shape != gave.shape:
                computed = computed.sum_to_size(gave.shape)
                formula = f"Σ {formula}"
            right = _agree(computed, gave.detach())
    except (AttributeError, KeyError, RuntimeError, TypeError, IndexError, ValueError):
        return None  # an operand was not saved, or the run used an option the rule does not cover
    if not right:
        return None
    if not grad.is_complex():
        formula = CONJUGATE.sub(r"\1", formula)
    for factor in ("alpha", "beta", "value"):
        if saved.get(factor) == 1:
            formula = formula.replace(f" · {factor}", "")
    named = {"grad": grad, **saved}
    if isinstance(saved.get("self"), Tensor):
        named["count"] = saved["self"].numel()
    single = sum(one is not None for one in received) == 1  # else `grad` is not one number
    return Rule(wrt, formula, _numbers(formula, named) if single else "")


def _agree(computed: Tensor, sent: Tensor) -> bool:
    if computed.dtype != sent.dtype:
        return False
    loose = sent.dtype in (torch.float16, torch.bfloat16)
    rtol = 2e-2 if loose else 1e-4 if sent.dtype in (torch.float32, torch.complex64) else 1e-7
    # Against the largest number: where terms cancel, the last digits are rounding.
    finite = torch.where(sent.isfinite(), sent, torch.zeros_like(sent)).abs()
    scale = float(finite.max()) if sent.numel() else 0.0
    return torch.allclose(computed, sent, rtol=rtol, atol=rtol * scale, equal_nan=True)


NAME = re.compile(r"(?<![A-Za-z0-9_.])[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_(])")
CONJUGATE = re.compile(r"conj\((\w+|-?\w*\([^()]*\))\)")
METHOD = re.compile(r"\.[A-Za-z]")


def _numbers(formula: str, operands: Mapping[str, Any]) -> str:
    """`formula` with short numbers for its names; "" if some are long, or there are no names."""
    if METHOD.search(formula):
        return ""  # `1.0.expand(…)` would not be a formula
    for name in set(NAME.findall(formula)):
        if isinstance(operands.get(name), Tensor) and operands[name].numel() > 4:
            return ""

    def number(found: re.Match[str]) -> str:
        operand = operands.get(found[0])
        if isinstance(operand, Tensor):
            made = value(operand)
            shown = made.text if made else ""
            return f"({shown})" if shown.startswith("-") or operand.is_complex() else shown
        return str(operand) if isinstance(operand, (int, float)) else found[0]

    made = NAME.sub(number, formula)
    return made if made != formula and len(made) <= 72 else ""
