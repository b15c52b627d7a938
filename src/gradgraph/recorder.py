"""Runs a backward pass and writes down everything that happens in it."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from gradgraph import saved as saving
from gradgraph.errors import explained, not_a_name, not_a_tensor, not_in_graph
from gradgraph.graph import Graph, Node, Pass, Root, Rule, Saved, Step, Value
from gradgraph.rules import local_rule
from gradgraph.values import dtype_name, text, value
from gradgraph.walk import Torch, Walk, walk

DETAILED = 1000
"""Graphs of up to this many nodes are recorded with all gradients; of larger ones the order in
which the nodes ran, and what the leaves got."""

FOR_RULES = 10_000
"""Up to this many numbers in a node's tensors its local rule is checked."""


def record(
    outputs: Tensor | Sequence[Tensor],
    /,
    *,
    gradient: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
    values: bool = False,
    names: Mapping[str, Tensor | nn.Module] | None = None,
    **named: Tensor | nn.Module,
) -> Graph:
    """Run a backward pass as `torch.autograd.backward` does, and record it.

    Afterwards everything is as after the plain call: `.grad` of the leaves, what is freed, and,
    where it fails, the error; the error only has a note more that says what to do.

    Args:
        outputs: where the pass starts; one tensor or several.
        gradient: the gradient of each output, of its shape; may be left out for a scalar.
        retain_graph: keep the saved tensors; by default the value of `create_graph`.
        create_graph: make the gradients themselves differentiable; record them in turn to see
            the second graph.
        inputs: deliver gradients to these tensors only.
        values: write down forward results between leaves and outputs too, as far as torch or the
            caller still has them.
        names: names for tensors, where a keyword will not do.
        **named: names for tensors: `x=x`. A module names its parameters: `model=model`.

    Raises:
        RuntimeError: whatever the plain backward pass raises.
        TypeError: something is not a tensor.
        ValueError: a named tensor is not in the graph.
    """
    starts = tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
    for output in starts:
        if not isinstance(output, Tensor):
            raise not_a_tensor(output)
    called, parameters = _called({**(names or {}), **named})

    def backward() -> None:
        try:
            torch.autograd.backward(
                starts,
                gradient,
                retain_graph=retain_graph,
                create_graph=create_graph,
                inputs=inputs,
            )
        except RuntimeError as error:
            raise explained(error, starts) from None

    if not starts or not all(output.requires_grad for output in starts):
        backward()  # raises what torch has to say about this
        raise AssertionError("torch accepted an output that does not require a gradient")
    # Thousands of new objects would set off the collection of garbage again and again.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _Recorder(starts, called, parameters, values).run(backward, gradient)
    finally:
        if collecting:
            gc.enable()


def _called(names: Mapping[str, object]) -> tuple[dict[str, Tensor], set[str]]:
    """The caller's names, those of the parameters of modules included; and which are the latter."""
    called: dict[str, Tensor] = {}
    parameters: set[str] = set()
    for name, one in names.items():
        if isinstance(one, nn.Module):
            own = {f"{name}.{path}": each for path, each in one.named_parameters()}
            called |= own
            parameters |= own.keys()
        elif isinstance(one, Tensor):
            called[name] = one
        else:
            raise not_a_name(name, one)
    return called, parameters


class _Recorder:
    def __init__(
        self,
        outputs: Sequence[Tensor],
        called: dict[str, Tensor],
        parameters: set[str],
        values: bool,
    ) -> None:
        self.outputs, self.called, self.values = outputs, called, values
        self.parameters = parameters
        self.walk: Walk = walk(outputs)
        self.detailed = len(self.walk.nodes) <= DETAILED
        self.saved: list[dict[str, Any]] = [
            dict(saving.read(node)) for node in self.walk.nodes if self.detailed
        ]
        self.labels: dict[tuple[int, int], str] = {}
        self.steps: list[Step] = []
        self.order: list[int] = []
        self._name_tensors()

    def _name_tensors(self) -> None:
        for name, tensor in self.called.items():
            if not tensor.requires_grad:
                continue
            found = self.walk.find(tensor)
            if found:
                self.labels.setdefault(found, name)
            elif (
                name not in self.parameters
            ):  # a module may have parameters that this output did not use
                raise not_in_graph(name, tensor)

    def run(self, backward: Any, gradient: Tensor | Sequence[Tensor | None] | None) -> Graph:
        """Run `backward`, and the graph with what happened."""
        nodes = self._nodes()
        leaves = [node.id for node in nodes if node.kind == "accumulate"]
        self.grads = {leaf: value(self._leaf(leaf).grad) for leaf in leaves}
        handles = []
        try:
            for at, node in enumerate(self.walk.nodes):
                handles.append(node.register_hook(self._hook(at)))
            backward()
        finally:
            for handle in handles:
                handle.remove()
        if not self.detailed:
            after = {leaf: value(self._leaf(leaf).grad) for leaf in leaves}
            self.steps = [
                Step(at, (), (), (), self.grads[at], after[at]) if at in after else Step(at, (), ())
                for at in self.order
            ]
        return Graph(
            nodes=tuple(nodes),
            edges=tuple(self.walk.edges),
            roots=tuple(
                Root(node, slot, self.labels.get((node, slot), ""))
                for node, slot in self.walk.starts
            ),
            passes=(Pass(self._seeds(gradient), tuple(self.steps), self.grads),),
        )

    def _leaf(self, at: int) -> Tensor:
        variable: Tensor = self.walk.nodes[at].variable
        return variable

    def _seeds(self, gradient: Tensor | Sequence[Tensor | None] | None) -> tuple[Value, ...]:
        given = [gradient] if gradient is None or isinstance(gradient, Tensor) else [*gradient]
        given += [None] * (len(self.outputs) - len(given))
        seeds = []
        for output, one in zip(self.outputs, given, strict=True):
            seed = value(torch.ones_like(output) if one is None else one)
            assert seed is not None
            seeds.append(seed)
        return tuple(seeds)

    def _hook(self, at: int) -> Any:
        if not self.detailed:
            order = self.order
            return lambda sent, received: order.append(at)

        def ran(sent: Sequence[Tensor | None], received: Sequence[Tensor | None]) -> None:
            self.steps.append(self._step(at, sent, received))

        return ran

    def _step(
        self, at: int, sent: Sequence[Tensor | None], received: Sequence[Tensor | None]
    ) -> Step:
        node = self.walk.nodes[at]
        if at in self.grads:
            return Step(
                at,
                tuple(map(value, received)),
                (),
                before=self.grads[at],
                after=value(node.variable.grad),
            )
        return Step(
            at,
            tuple(map(value, received)),
            tuple(map(value, sent)),
            rules=tuple(self._rule(at, index, sent, received) for index in range(len(sent))),
        )

    def _rule(
        self,
        at: int,
        index: int,
        sent: Sequence[Tensor | None],
        received: Sequence[Tensor | None],
    ) -> Rule | None:
        operands = self.saved[at]
        size = sum(
            one.numel()
            for one in [*sent, *received, *saving.tensors([*operands.values()])]
            if one is not None
        )
        if sent[index] is None or size > FOR_RULES:
            return None
        return local_rule(_op(self.walk.nodes[at]), index, received, operands, sent)

    # --- What is there before the pass

    def _nodes(self) -> list[Node]:
        forward = self._forward_values()
        modules = self._modules()
        labels: dict[int, list[str]] = {}
        for (at, _), label in sorted(self.labels.items()):
            labels.setdefault(at, []).append(label)
        made = []
        for at, node in enumerate(self.walk.nodes):
            metadata = node._input_metadata
            kind = "op"
            op = _op(node)
            if op == "AccumulateGrad":
                kind = "accumulate"
                if self.detailed:
                    forward[at] = node.variable
            elif isinstance(node, BackwardCFunction):
                kind = "function"
            made.append(
                Node(
                    at,
                    op,
                    kind,
                    ", ".join(labels[at]) if at in labels else "",
                    modules.get(at, ""),
                    tuple([tuple(one.shape) for one in metadata]),
                    tuple([dtype_name(one.dtype) for one in metadata]),
                    tuple(self._saved(*item) for item in self.saved[at].items())
                    if self.detailed
                    else (),
                    value(forward[at]) if at in forward else None,
                )
            )
        return made

    def _saved(self, name: str, item: Any) -> Saved:
        if isinstance(item, Tensor):
            kept = value(item)
            return Saved(name, kept, kept.text if kept else "", self._label(item))
        return Saved(name, None, _option(item))

    def _label(self, tensor: Tensor) -> str:
        """The caller's name of a saved tensor, which may come back as another Python object."""
        if tensor.requires_grad:
            found = self.walk.find(tensor)
            return self.labels.get(found, "") if found else ""
        for name, one in self.called.items():
            if one is tensor or (not one.requires_grad and _same_memory(one, tensor)):
                return name
        return ""

    def _forward_values(self) -> dict[int, Tensor]:
        """Forward results, by node, where somebody still has them; if the caller wants them."""
        known: dict[int, Tensor] = {}
        if not self.values:
            return known
        held = [tensor for saved in self.saved for tensor in saving.tensors([*saved.values()])]
        for tensor in [*held, *self.called.values(), *self.outputs]:
            found = self.walk.find(tensor) if tensor.requires_grad else None
            if found and found[1] == 0:
                known[found[0]] = tensor
        return known

    def _modules(self) -> dict[int, str]:
        """The module of each node that a module's parameters tell: up to the first node that
        joins them with something else, as the addmm of a linear layer does."""
        users: dict[int, list[int]] = {}
        inputs: dict[int, int] = {}
        if not any("." in label for label in self.labels.values()):
            return {}
        for source, _, target, _ in self.walk.edges:
            if target is not None:
                users.setdefault(target, []).append(source)
                inputs[source] = inputs.get(source, 0) + 1
        modules: dict[int, str] = {}
        for (at, _), label in self.labels.items():
            path = label.rpartition(".")[0]
            while path:
                modules.setdefault(at, path)
                above = users.get(at, [])
                if len(above) != 1:
                    break
                joined = inputs[above[0]] > 1
                at = above[0]
                if joined:
                    modules.setdefault(at, path)
                    break
        return modules


def _op(node: Torch) -> str:
    return str(node.name()).removeprefix("torch::autograd::")


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and one.layout == other.layout == torch.strided
        and one.numel() > 0
        and one.data_ptr() == other.data_ptr()
        and one.stride() == other.stride()
    )


def _option(item: Any) -> str:
    """A plain number or option that a node keeps; dimensions counted from the end have a sign."""
    if isinstance(item, bool) or item is None:
        return str(item)
    if isinstance(item, int):
        return str(item - 2**64 if item >= 2**63 else item)
    if isinstance(item, float):
        return text(item)
    if isinstance(item, (tuple, list)):
        return f"({', '.join(map(_option, item))}{',' if len(item) == 1 else ''})"
    made = value(item) if isinstance(item, Tensor) else None
    return made.text if made else str(item)
