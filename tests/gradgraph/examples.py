"""Small graphs of every kind, recorded anew at each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gradgraph import Graph, record


def leaf(numbers: object) -> Tensor:
    return torch.tensor(numbers, requires_grad=True)


def linear() -> Graph:
    x, w, b = torch.tensor(2.0), leaf(3.0), leaf(1.0)
    y = w * x
    z = y + b
    return record(z, x=x, w=w, b=b, y=y, z=z)


def fork() -> Graph:
    x = leaf(3.0)
    y = x * x + x
    return record(y, x=x, y=y)


def jacobian() -> Graph:
    x = leaf([[2.0, 3.0]])
    y = torch.zeros(1, 2)
    y[0, 0] = x[0, 0] ** 2 + 3 * x[0, 1]
    y[0, 1] = x[0, 1] ** 2 + 2 * x[0, 0]
    first = record(y, gradient=torch.tensor([[1.0, 0.0]]), retain_graph=True, x=x, y=y)
    assert x.grad is not None
    x.grad.zero_()
    return first.then(record(y, gradient=torch.tensor([[0.0, 1.0]]), x=x, y=y))


class Half(torch.autograd.Function):
    """Gives its second input no gradient at all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, unused: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x / 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad / 2, None


def outputs() -> Graph:
    x, unused = leaf([1.0, 2.0]), leaf(5.0)
    x.sum().backward()
    a = Half.apply(x, unused)  # type: ignore[no-untyped-call]
    b = (x * x).sum()
    return record([a, b], gradient=[torch.ones(2), torch.tensor(1.0)], x=x, unused=unused, a=a, b=b)


def chain() -> Graph:
    x = leaf(0.5)
    return record(x.exp().sin().tanh(), x=x, values=True)


def wide() -> Graph:
    leaves = {name: leaf(float(at)) for at, name in enumerate("abcdefgh", 1)}
    return record(torch.stack([one.exp() for one in leaves.values()]).sum(), names=leaves)


def shapes() -> Graph:
    torch.manual_seed(0)
    a, b = torch.randn(64, 32, requires_grad=True), torch.randn(32, 16, requires_grad=True)
    first, second = (a @ b).relu().double().split(8, dim=1)
    return record((first * second).mean(), a=a, b=b, first=first)


def matrices() -> Graph:
    a, b = leaf([[1.0, -2.0], [3.0, 4.0]]), leaf([[0.5, 0.25], [-1.0, 10.0]])
    c = a @ b
    return record(c, gradient=torch.ones(2, 2), a=a, b=b, c=c)


def complex_numbers() -> Graph:
    z = leaf(1.0 + 2.0j)
    loss = (z * z.conj()).real
    return record(loss, z=z, loss=loss)


def own_function() -> Graph:
    x, unused = leaf(4.0), leaf(1.0)
    y = Half.apply(x.exp(), unused)  # type: ignore[no-untyped-call]
    return record(y.log(), x=x, unused=unused, y=y)


def perceptron() -> Graph:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.ones(2, 3)
    loss = (model(x) - 1).pow(2).mean()
    return record(loss, model=model, x=x, loss=loss)


def not_finite() -> Graph:
    x = leaf([0.0, 1.0, -1.0])
    return record(x.log().sqrt(), gradient=torch.ones(3), x=x)


def gets_no_gradient() -> Graph:
    x, w = leaf(2.0), leaf(3.0)
    y = Half.apply(x, w.exp().sin())  # type: ignore[no-untyped-call]
    return record(y, x=x, w=w, y=y)


def second_order() -> Graph:
    x = leaf(3.0)
    y = x**3
    # Not by record(…, create_graph=True): torch warns of that once in a process, and another test
    # waits for the warning.
    (grad,) = torch.autograd.grad(y, x, create_graph=True)
    return record(grad, x=x)


def unnamed() -> Graph:
    return record(leaf([1.0, 2.0]).unbind()[0] * leaf(3.0))


def grid() -> Graph:
    a, b = leaf(1.0), leaf(2.0)
    s, t = a + b, a * b
    u, v = s * t, s / t
    return record(u - v + a, a=a, b=b, s=s, t=t, u=u, v=v)


def loop(turns: int = 300) -> Graph:
    """Too large to draw: one block, many times over."""
    x, w, b = leaf(1.0), leaf(0.99), leaf(0.1)
    y = x
    for _ in range(turns):
        y = y * w + b
    return record(y, x=x, w=w, b=b, y=y)


def deep_net() -> Graph:
    """Too large to draw: many modules, each with leaves of its own."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh()) for _ in range(12)]
    net = nn.Sequential(*layers)
    return record(net(torch.ones(2, 4)).sum(), net=net)


def irregular() -> Graph:
    """Too large to draw, and without any pattern."""
    x = leaf(0.5)
    y = x
    for at in range(150):
        y = (torch.sin, torch.cos, torch.tanh, torch.exp, torch.sigmoid)[at * at * at % 31 % 5](y)
        y = y + x if at * at % 7 % 3 else y * 0.9
    return record(y, x=x, y=y)


ALL: dict[str, Callable[[], Graph]] = {
    made.__name__: made
    for made in (
        linear,
        fork,
        jacobian,
        outputs,
        chain,
        wide,
        shapes,
        matrices,
        complex_numbers,
        own_function,
        perceptron,
        not_finite,
        gets_no_gradient,
        second_order,
        unnamed,
        grid,
        loop,
        deep_net,
        irregular,
    )
}
