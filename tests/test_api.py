"""The API index: complete by torch's own account, and true of the programs."""

from __future__ import annotations

import importlib
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from livecell import Settings, api
from livecell.memo import Memo

MODULES = (
    "torch.autograd",
    "torch.autograd.functional",
    "torch.autograd.forward_ad",
    "torch.autograd.graph",
    "torch.autograd.function",
    "torch.func",
    "torch.utils.checkpoint",
)
LEFT_OUT = {
    "torch.autograd.Variable": "deprecated: tensors took its place",
    "torch.autograd.variable": "deprecated module",
    "torch.autograd.grad_mode": "a module; its names are listed",
    "torch.autograd.NestedIOFunction": "internal",
    "torch.autograd.function.NestedIOFunction": "internal",
    "torch.autograd.function.InplaceFunction": "internal",
    "torch.autograd.function.BackwardCFunction": "internal",
    "torch.autograd.function.FunctionMeta": "internal",
    "torch.utils.checkpoint.CheckpointFunction": "internal",
    "torch.utils.checkpoint.check_backward_validity": "internal",
    "torch.utils.checkpoint.detach_variable": "internal",
    "torch.utils.checkpoint.get_device_states": "internal",
    "torch.utils.checkpoint.set_device_states": "internal",
    "torch.utils.checkpoint.noop_context_fn": "internal",
    "torch.utils.checkpoint.SAC_IGNORED_OPS": "internal",
}
"""Public by `__all__`, but deprecated, or without documentation of its own."""
TENSOR = "backward data detach detach_ grad grad_dtype grad_fn is_inference is_leaf register_hook "
TENSOR += "register_post_accumulate_grad_hook requires_grad requires_grad_ retain_grad retains_grad"


@pytest.fixture(scope="module")
def index(settings: Settings) -> api.Api:
    found = api.load(settings)
    assert found is not None
    assert found.errors == ()
    return found


def public() -> set[str]:
    """What torch calls public."""
    names = {f"{m}.{name}" for m in MODULES for name in importlib.import_module(m).__all__}
    return names | {f"torch.Tensor.{name}" for name in TENSOR.split()}


def resolve(path: str) -> Any:
    """What a dotted path leads to; a name hides the module of the same name, as in a program."""
    found: Any = torch
    parts = path.split(".")
    for n in range(1, len(parts)):
        try:
            found = getattr(found, parts[n])
        except AttributeError:
            found = importlib.import_module(".".join(parts[:n]))
            found = getattr(found, parts[n])
    return found


def test_every_public_name_is_listed_or_left_out_for_a_reason(index: api.Api) -> None:
    patterns = {pattern for name in index.listed for pattern in (name.name, *name.patterns)}
    assert sorted(public() - patterns - set(LEFT_OUT)) == []
    assert set(LEFT_OUT) <= public()


def test_every_listed_name_exists(index: api.Api) -> None:
    for name in index.listed:
        resolve(name.name)
        for path in name.patterns:
            if path.startswith("torch."):
                assert resolve(path) is resolve(name.name)


def test_nearly_every_name_is_shown_by_a_program(index: api.Api, settings: Settings) -> None:
    memo = Memo()
    cells = [f"{stem}:{cell}" for stem in settings.stems() for cell in index._uses(stem, memo)]
    shown = {name.name for cell in cells for name in index.used(cell, memo)}
    missing = sorted({name.name for name in index.listed} - shown)
    assert len(missing) <= 0.05 * len(index.listed), missing


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_shows_every_topic(language: str, index: api.Api, settings: Settings) -> None:
    text = Path(settings.docs / language / api.PAGE).read_text()
    assert [topic for topic in index.topics if f"[API {topic}]" not in text] == []


# ------------------------------------------------------------------ what its own programs claim
def test_outputs_with_weights_add_up() -> None:
    x = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward([x**2, 5 * x], [torch.tensor(1.0), torch.tensor(2.0)])
    assert x.grad == 2 * 3 * 1 + 5 * 2


@pytest.mark.parametrize("enabled", [False, True])
def test_on_the_cpu_the_caller_runs_the_pass(enabled: bool) -> None:
    threads: list[int] = []
    x = torch.tensor(1.0, requires_grad=True)
    x.register_hook(lambda grad: threads.append(threading.get_ident()))
    with torch.autograd.set_multithreading_enabled(enabled):
        (2 * x).backward()
    assert threads == [threading.get_ident()]


def test_an_edge_does_not_keep_its_tensor_alive() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    h = x**2
    edge, y, alive = torch.autograd.graph.get_gradient_edge(h), h.exp(), weakref.ref(h)
    del h
    assert alive() is None  # exp saved its result, not h
    (gradient,) = torch.autograd.grad(y, edge)
    torch.testing.assert_close(gradient, torch.tensor(4.0).exp())


def test_a_write_that_is_not_counted_gives_a_wrong_gradient_in_silence() -> None:
    for counted in False, True:
        a = torch.ones(3, requires_grad=True)
        b = a * 2
        y = b.square().sum()
        b.detach().numpy()[0] = 7.0
        if counted:
            torch.autograd.graph.increment_version(b)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.backward()
        else:
            y.backward()
            assert a.grad is not None
            assert a.grad.tolist() == [28.0, 8.0, 8.0]  # not 8, the derivative of (2 a)^2 at 1
