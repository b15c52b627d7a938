"""The in-place family of the error atlas: every message again, and every cure against a formula."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from livecell import Runner

STEM = "errors/inplace"
MODIFIED = "needed for gradient computation has been modified by an inplace operation: "


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def inference_tensor() -> Tensor:
    with torch.inference_mode():
        return torch.ones(2, dtype=torch.float64)


class Same(torch.autograd.Function):
    """Returns its input as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def softmax_masked() -> None:
    attention = (leaf(1, 2) * 1).softmax(0)
    attention[0] = 0
    attention.sum().backward()


def inplace_dropout() -> None:
    y = leaf(1, 2).exp()
    nn.Dropout(inplace=True)(y).sum().backward()


def detached_write() -> None:
    y = leaf(1, 2).tanh()
    y.detach().zero_()
    y.sum().backward()


def saved_input() -> None:
    h = leaf(1, 2) * 3
    z = h * h
    h += 1
    z.sum().backward()


def conv_step() -> None:
    conv = nn.Conv1d(1, 1, 1)
    optimizer = torch.optim.Adam(conv.parameters())
    x = torch.ones(1, 1, 2, requires_grad=True)
    loss = conv(x).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    loss.backward()


def batch_norm_buffer() -> None:
    layer = nn.BatchNorm1d(2).eval()
    loss = layer(torch.rand(3, 2, requires_grad=True)).sum()
    assert layer.running_mean is not None
    layer.running_mean.zero_()
    loss.backward()


def linear_step() -> None:
    layer = nn.Linear(2, 3)
    loss = layer(torch.ones(1, 2, requires_grad=True)).sum()
    with torch.no_grad():
        layer.weight -= 1
    loss.backward()


def slice_loop() -> None:
    matrix, h = torch.eye(2, requires_grad=True), torch.zeros(3, 2)
    for t in range(1, 3):
        h[t] = torch.tanh(matrix @ h[t - 1])
    h.sum().backward()


def whole_loop() -> None:
    weights, memory = torch.ones(3, requires_grad=True), torch.zeros(3)
    for t in range(3):
        memory[t] = (weights * memory).sum() + weights[0]
    memory.sum().backward()


def no_grad_view() -> None:
    with torch.no_grad():
        view = leaf(1, 2).view(2, 1)
    view.zero_()


def no_grad_view_base() -> None:
    h = leaf(1, 2) * 1
    with torch.no_grad():
        view = h[:1]
    h.zero_()
    _ = view + 1


def unbound() -> None:
    for row in leaf(1, 2) * 1:
        row += 1


def split_base() -> None:
    h = leaf(1, 2) * 1
    first, _ = h.split(1)
    h.mul_(2)
    _ = first + 1


def returned_as_is() -> None:
    y = Same.apply(leaf(1, 2))  # type: ignore[no-untyped-call]
    y.relu_()


def inference_view() -> None:
    h = leaf(1, 2) * 1
    with torch.inference_mode():
        view = h.view(2, 1)
    view.mul_(2)


def inference_step() -> None:
    with torch.inference_mode():
        layer = nn.Linear(1, 1)
    for p in layer.parameters():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(layer.parameters(), lr=0.1).step()


def inference_load() -> None:
    with torch.inference_mode():
        layer = nn.Linear(1, 1)
    layer.load_state_dict(nn.Linear(1, 1).state_dict())


def inference_detach() -> None:
    _ = leaf(1, 2) * inference_tensor().detach()


def gradient_hook() -> None:
    y = leaf(1, 2) * 1
    y.register_hook(lambda grad: grad.mul_(2))
    y.sum().backward()


def resize_unrecorded() -> None:
    with torch.no_grad():
        leaf(1, 2).resize_(1)


def sparse_data() -> None:
    leaf(1, 2).data = torch.ones(2, dtype=torch.float64).to_sparse()


def into(value: Any, x: Any) -> None:
    value += x


RAISES: dict[str, tuple[Callable[[], object], str]] = {
    "masked attention": (softmax_masked, MODIFIED + r".*output 0 of Softmax, is at version 1"),
    "in-place dropout": (inplace_dropout, MODIFIED + r".*which is output 0 of Exp, "),
    "write into detach()": (detached_write, MODIFIED + r".*which is output 0 of Tanh, "),
    "write into an input": (saved_input, MODIFIED + r".*which is output 0 of Add, is at version 1"),
    "step on a convolution": (conv_step, MODIFIED + r"\[torch.FloatTensor \[1, 1, 1\]\] is at ver"),
    "batch norm buffer": (batch_norm_buffer, MODIFIED + r"\[torch.FloatTensor \[2\]\] is at ver"),
    "step on a Linear": (linear_step, MODIFIED + r".*\[2, 3\]\], which is output 0 of AsStrided"),
    "loop over slices": (slice_loop, MODIFIED + r".*which is output 0 of AsStrided, is at"),
    "loop over all": (whole_loop, MODIFIED + r".*output 0 of torch::autograd::CopySlices, is at"),
    "leaf": (lambda: nn.Parameter(torch.ones(2)).clamp_(0), "^a leaf Variable that requires grad"),
    "leaf, uniform_": (lambda: leaf(1, 2).uniform_(), "^a leaf Variable that requires"),
    "leaf view": (lambda: leaf(1, 2).view(2, 1).zero_(), "^a view of a leaf Variable that"),
    "no_grad view": (no_grad_view, "^A view was created in no_grad mode and is being modified"),
    "no_grad base": (no_grad_view_base, "no_grad mode and its base or another view of its base"),
    "unbind": (
        unbound,
        "^Output 0 of Unbind is a view and is being modified inplace. This view is",
    ),
    "split base": (split_base, "^Output 0 of Split is a view and its base or another view of its"),
    "Function": (returned_as_is, "^Output 0 of Same is a view and is being modified inplace. This"),
    "inference view": (inference_view, "^A view was created in inference mode and is being modif"),
    "inference +=": (
        lambda: into(inference_tensor(), 1),
        "^Inplace update to inference tensor out",
    ),
    "inference step": (inference_step, "^Inplace update to inference tensor outside Inference"),
    "inference load": (inference_load, "Inplace update to inference tensor outside InferenceMode"),
    "inference saved": (
        inference_detach,
        "^Inference tensors cannot be saved for backward. Please",
    ),
    "inference flag": (
        lambda: inference_tensor().requires_grad_(),
        "^Setting requires_grad=True on",
    ),
    "inference version": (lambda: inference_tensor()._version, "^Inference tensors do not track"),
    "out": (
        lambda: torch.cat([leaf(1), leaf(2)], out=torch.empty(2)),
        r"^cat\(\): functions with out",
    ),
    "out is a leaf": (
        lambda: torch.exp(torch.ones(1), out=torch.ones(1, requires_grad=True)),
        "out=",
    ),
    "expanded": (
        lambda: torch.zeros(1).expand(2).add_(1),
        "more than one element of the written-to",
    ),
    "expanded gradient": (gradient_hook, "more than one element of the written-to tensor"),
    "resize": (resize_unrecorded, "^cannot resize variables that require grad$"),
    "detach_": (lambda: torch.ones(2)[:1].detach_(), "^Can't detach views in-place. Use detach()"),
    "broadcast": (
        lambda: into(torch.ones(1), torch.ones(2)),
        "^output with shape .* broadcast shape",
    ),
    "dtype": (
        lambda: into(torch.ones(1).bool(), 1),
        "^result type Long can't be cast to the desired",
    ),
    "data": (sparse_data, r"^Attempted to call `variable.set_data\(tensor\)`, but"),
}


@pytest.mark.parametrize("name", RAISES)
def test_other_programs_raise_the_same(name: str) -> None:
    program, message = RAISES[name]
    with pytest.raises(RuntimeError, match=message):
        program()


def test_only_an_overlap_is_refused() -> None:
    a, b = torch.arange(4.0), torch.arange(4.0)
    with pytest.raises(RuntimeError, match="some elements of the input tensor and the written-to"):
        a[1:] = a[:-1]
    b[1:] += b[:-1].clone()
    assert b.tolist() == [0, 1, 3, 5]


# What the cures print: name of the cell, label, value from a formula.
VALUES: list[tuple[str, str, Any]] = [
    ("saved_tensor_modified_cure", "x.grad", [2 * 0.5 * 0.5] * 2),
    ("saved_tensor_modified_cure_2", "x.grad", [0.5 * 0.5] * 2),
    ("saved_leaf_modified_cure", "g.grad", [-(2 - 0.1 * 3)]),
    ("saved_leaf_modified_cure_2", "center", [0.9 * 5 + 0.1 * 3]),
    ("saved_leaf_modified_cure_2", "g.grad", [5]),
    ("saved_view_modified_cure", "w.grad", 2 * 2.0),
    ("saved_view_modified_cure_2", "w.grad", 2 * 2.0),
    ("leaf_in_place_cure", "w", [2 - 0.1 * 4, 3 - 0.1 * 6]),
    ("leaf_in_place_cure_2", "image.grad", [0, 1]),
    ("leaf_view_in_place_cure", "w", [0, 1, 1]),
    ("leaf_view_in_place_cure_2", "w.grad", [0, 1, 1]),
    ("no_grad_view_modified_cure", "x.grad", [10, 1]),
    ("no_grad_view_modified_cure_2", "x.grad", [1, 1]),
    ("multi_view_modified_cure", "x.grad", [1, 0]),
    ("multi_view_modified_cure_2", "x.grad", [1, 0]),
    ("function_view_modified_cure", "x.grad", [-3, -3]),
    ("function_view_modified_cure_2", "x.grad", [-3, -3]),
    ("inference_view_modified_cure", "x.grad", [10, 1]),
    ("inference_in_place_cure", "total", (1 + 3) / 2),
    ("inference_saved_cure", "w.grad", [1, 2]),
    ("inference_saved_cure_2", "w.grad", [1, 2]),
    ("inference_requires_grad_cure", "start.grad", [3, 3]),
    ("inference_version_cure", "result._version", 0),
    ("out_argument_cure", "w.grad", [3, 3]),
    ("out_argument_cure_2", "buffer", [3, 6]),
    ("expanded_written_cure", "rows", [[1, 1]] * 3),
    ("expanded_written_cure_2", "grad", [10, 10]),
    ("overlap_written_cure", "a", [1, 2 + 1, 3 + 2]),
    ("overlap_written_cure_2", "a.cumsum(0)", [1, 1 + 2, 1 + 2 + 3]),
    ("resize_requires_grad_cure", "x.grad", [1, 1, 0]),
    ("in_place_broadcast_cure_2", "batch.grad", [[1, 1, 1]] * 2),
    ("in_place_result_type_cure", "a.grad", 1),
    ("data_incompatible_type_cure", "layer.weight.grad", [[1, 2]]),
]


def printed(text: str, label: str) -> Any:
    """The numbers behind `label =`, as nested lists."""
    found = re.search(rf"^{re.escape(label)} = (.*?)(?=^\S+ = |\Z)", text, re.M | re.S)
    assert found, text
    value = re.sub(r"\s|tensor|requires_grad=True|grad_fn=<\w+>", "", found[1]).strip("(),")
    return eval(value)


@pytest.mark.parametrize(("cell", "label", "expected"), VALUES)
def test_every_cure_gives_the_value_of_the_formula(
    cell: str, label: str, expected: Any, runner: Runner
) -> None:
    found = runner.result(STEM).cell(cell)
    assert found is not None
    torch.testing.assert_close(
        torch.tensor(printed(found.text(), label), dtype=torch.float64),
        torch.tensor(expected, dtype=torch.float64),
        atol=1e-4,
        rtol=0,
    )


def test_both_backward_passes_before_the_step() -> None:
    g, d = leaf(3), leaf(2)
    optimizer = torch.optim.SGD([d], lr=0.1)
    loss_d, loss_g = (d * g.detach()).sum(), -(d * g).sum()
    loss_d.backward()
    loss_g.backward(inputs=[g])
    optimizer.step()
    assert g.grad is not None
    assert d.grad is not None
    assert (g.grad.item(), d.grad.item()) == (-2, 3)
    assert d.item() == pytest.approx(1.7)


def test_data_and_new_tensors_are_wrong_cures() -> None:
    x = leaf(0, 1)
    y = x.sigmoid()
    y.data.mul_(2)
    (wrong,) = torch.autograd.grad(y.sum(), x)
    right = 2 * x.sigmoid() * (1 - x.sigmoid())
    assert not torch.allclose(wrong, right)

    w = leaf(1, 2)
    new = w - 0.1
    (new * new).sum().backward()
    assert not new.is_leaf
    with pytest.warns(UserWarning, match="not a leaf"):
        assert new.grad is None


def test_retain_graph_does_not_undo_a_write() -> None:
    w, x = leaf(2), leaf(3)
    loss = (w * x).sum()
    loss.backward(retain_graph=True)
    with torch.no_grad():
        w -= 1
    with pytest.raises(RuntimeError, match=MODIFIED):
        loss.backward()


def test_no_grad_does_not_allow_a_write_into_an_inference_tensor() -> None:
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"^Inplace update"):
        inference_tensor().add_(1)


def test_an_inference_tensor_is_written_before_the_error_comes() -> None:
    t = inference_tensor()
    with pytest.raises(RuntimeError, match=r"^Inplace update"):
        t.add_(1)
    assert t.tolist() == [2, 2]


def test_resizing_data_leaves_the_tensor_alone() -> None:
    x = leaf(1, 2, 3)
    x.data.resize_(2)
    assert x.shape == (3,)


def test_what_the_page_says_besides() -> None:
    """sum() expands a gradient; a view that inference mode makes of a normal tensor is normal."""
    x = leaf(1, 2)
    assert torch.autograd.grad(x.sum(), x)[0].stride() == (0,)
    start = leaf(1) * 1
    assert not start[:1].is_inference()
    with torch.inference_mode():
        assert not start[:1].is_inference()
        assert torch.ones(1).requires_grad_().requires_grad
