"""Tensors written down as plain data."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from gradgraph.graph import Nested, Value

SMALL = 16
"""Up to this many numbers are kept one by one; of more, their range."""


def value(tensor: Tensor | None) -> Value | None:
    """`tensor` as it is now; None for None."""
    if tensor is None:
        return None
    with torch.no_grad():
        now = tensor.detach()
        if now._is_zerotensor():  # torch's stand-in for a gradient of zeros has no memory to read
            now = torch.zeros_like(now, device="cpu")
        shape, dtype = tuple(now.shape), dtype_name(now.dtype)
        if now.layout != torch.strided or now.is_meta:
            return Value(shape, dtype, None, str(now.layout).removeprefix("torch."))
        if now.numel() > SMALL:
            return Value(shape, dtype, None, _range(now))
        data = _plain(now.resolve_conj().resolve_neg().tolist())
        return Value(shape, dtype, data, text(data))


@cache
def dtype_name(dtype: torch.dtype) -> str:
    """Such as `float32`."""
    return str(dtype).removeprefix("torch.")


def text(data: Nested) -> str:
    """Numbers in one line, four digits each: `[[2.0, 3.0]]`."""
    if isinstance(data, list):
        return f"[{', '.join(map(text, data))}]"
    if isinstance(data, str):
        return _complex(complex(data)) if data.endswith("j") else data
    return _number(data) if isinstance(data, float) else str(data)


def _range(tensor: Tensor) -> str:
    flat = tensor.abs() if tensor.is_complex() else tensor
    ends = (flat.all(), flat.any()) if flat.dtype == torch.bool else torch.aminmax(flat)
    low, high = (text(_plain(one.item())) for one in ends)
    both = low if low == high else f"{low} … {high}"
    return f"|·| {both}" if tensor.is_complex() else both


def _number(number: float) -> str:
    if number == int(number) and abs(number) < 1e5:
        return f"{number:.1f}"
    short = f"{number:.4g}"
    if float(short) == int(float(short)) and "e" not in short:
        short = f"{number:.6g}"  # 1.0001 must not read like 1
    return short if any(sign in short for sign in ".en") else f"{short}.0"


def _complex(number: complex) -> str:
    sign = (
        "-" if number.imag < 0 or (number.imag == 0 and math.copysign(1, number.imag) < 0) else "+"
    )
    real, imag = _plain(number.real), _plain(abs(number.imag))
    return f"{text(real)}{sign}{text(imag)}j"


def _plain(item: Any) -> Nested:
    """JSON has no complex numbers, no infinities and no NaN: these become text."""
    if isinstance(item, list):
        return [_plain(one) for one in item]
    if isinstance(item, complex):
        return str(item).strip("()")
    if isinstance(item, float) and not math.isfinite(item):
        return str(item)
    return cast(Nested, item)
