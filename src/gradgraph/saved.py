"""What a node keeps for the backward pass, read without disturbing it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

FREED, MODIFIED, PACKED = "<freed>", "<modified>", "<packed>"
"""What stands for a saved tensor that cannot be had: the graph was freed, the tensor was modified
in place since, or a saved-tensor hook holds it, which would have to run to give it back."""


_NAMES: dict[type, tuple[str, ...]] = {}


def _names(kind: type) -> tuple[str, ...]:
    if kind not in _NAMES:
        _NAMES[kind] = tuple(name for name in dir(kind) if name.startswith("_saved_"))
    return _NAMES[kind]


def read(node: Any) -> Iterator[tuple[str, Any]]:
    """What `node` saved, by the operation's own names: tensors, numbers, options, or a mark."""
    if isinstance(node, BackwardCFunction):
        yield from _of_function(node)
        return
    for attribute in _names(type(node)):
        yield attribute.removeprefix("_saved_"), _read(node, attribute)


def _read(node: Any, attribute: str) -> Any:
    try:
        raw = getattr(node, f"_raw{attribute}", None)
        for one in raw if isinstance(raw, (tuple, list)) else (raw,):
            if one is not None and one.unpack_hook is not None:
                return PACKED
        return getattr(node, attribute)
    except RuntimeError as error:
        return _mark(error)


def _of_function(node: Any) -> Iterator[tuple[str, Any]]:
    try:
        raws = node._raw_saved_tensors
        if any(raw.unpack_hook is not None for raw in raws):
            tensors: Any = [PACKED] * len(raws)
        else:
            tensors = node.saved_tensors
    except RuntimeError as error:
        tensors = [_mark(error)]
    for place, tensor in enumerate(tensors):
        yield f"tensors[{place}]", tensor


def _mark(error: RuntimeError) -> str:
    return MODIFIED if "modified by an inplace operation" in str(error) else FREED


def tensors(item: Any) -> Iterator[Tensor]:
    """The tensors in a saved attribute, which may be a list of them."""
    if isinstance(item, torch.Tensor):
        yield item
    elif isinstance(item, (tuple, list)):
        for one in item:
            yield from tensors(one)
