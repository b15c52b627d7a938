"""What is said when a recording cannot be made: what is wrong, why, and the right line."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def not_a_tensor(found: object) -> TypeError:
    """An output that cannot be differentiated because it is no tensor."""
    todo = "leave out `.item()` or `float()`: they leave the graph behind"
    if not isinstance(found, (int, float)):
        todo = "pass the tensor that you would call `.backward()` on"
    return TypeError(
        f"record() was given {type(found).__name__} {found!r:.60}, and needs a tensor.\n"
        f"What to do: {todo}.\n"
        "    graph = record(loss, w=w)"
    )


def not_a_name(name: str, found: object) -> TypeError:
    """A keyword that names something else than a tensor."""
    return TypeError(
        f"`{name}=` names {type(found).__name__} {found!r:.60}; "
        "only tensors and modules can be named.\n"
        "What to do: pass the tensor itself, as in\n"
        "    graph = record(loss, w=w, model=model)"
    )


def not_in_graph(name: str, tensor: Tensor) -> ValueError:
    """A name for a tensor that requires a gradient, but did not help to make the output."""
    return ValueError(
        f"`{name}` (shape {tuple(tensor.shape)}) is not in the graph of the output.\n"
        f"Why: no recorded operation between the leaves and the output used it. Perhaps the output "
        f"was computed from a copy, from `{name}.detach()`, or before `{name}` was made anew.\n"
        f"What to do: compute the output from `{name}`, or leave the name out:\n"
        f"    graph = record(output)"
    )


NOTES = {
    "does not require grad": (
        "Why: nothing in it was recorded. Its inputs have requires_grad=False, or it was computed "
        "under torch.no_grad(), or its history was cut with detach().\n"
        "What to do: ask for the gradient before you compute it:\n"
        "    w = torch.tensor([1.0], requires_grad=True)\n"
        "    graph = record((w * 2).sum(), w=w)"
    ),
    "only for scalar outputs": (
        "Why: the output has shape {shape}. A backward pass computes a vector–Jacobian product, "
        "and for more than one number nobody but you knows the vector.\n"
        "What to do: give a gradient of that shape, or reduce the output to one number:\n"
        "    graph = record(y, gradient=torch.ones_like(y))\n"
        "    graph = record(y.sum())"
    ),
    "backward through the graph a second time": (
        "Why: an earlier backward pass freed the saved tensors of this graph.\n"
        "What to do: compute the output again, or keep them in the earlier pass:\n"
        "    graph = record(z, retain_graph=True)"
    ),
    "modified by an inplace operation": (
        "Why: a saved tensor was overwritten between the forward and the backward pass.\n"
        "What to do: replace the in-place operation on it (`y += 1`, `y[0] = 1`, `relu_`) by one "
        "that makes a new tensor:\n"
        "    y = y + 1"
    ),
}


def explained(error: RuntimeError, outputs: Sequence[Tensor]) -> RuntimeError:
    """Torch's own error, with a note on what to do about it where one is known."""
    for phrase, note in NOTES.items():
        if phrase in str(error):
            shape = next((tuple(one.shape) for one in outputs if one.numel() != 1), ())
            error.add_note("\n" + note.format(shape=shape))
            break
    return error
