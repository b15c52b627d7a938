"""What recording costs beside a plain backward pass: CPU seconds of 10,000 nodes.

    python bench/record.py

The worst case are nodes that do next to nothing: a chain of operations on one number.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from gradgraph import record

NODES = 10_000
ROUNDS = 9


def chain(width: int) -> Tensor:
    leaf = torch.ones(width, requires_grad=True)
    out: Tensor = leaf
    for _ in range(NODES // 2):
        out = out * 1.0001
        out = out + 0.1
    return out.sum()


def layers(width: int) -> Tensor:
    """A deep network: six nodes a layer."""
    torch.manual_seed(0)
    out: Tensor = torch.ones(8, width)
    for _ in range(NODES // 6):
        weight = torch.randn(width, width).div_(width**0.5).requires_grad_()
        out = torch.tanh(
            torch.nn.functional.linear(out, weight, torch.zeros(width).requires_grad_())
        )
    return out.sum()


def seconds(make: Callable[[], Tensor], run: Callable[[Tensor], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        output = make()
        start = time.process_time()
        run(output)
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'graph of 10,000 nodes':32} {'plain s':>9} {'recorded s':>11} {'ratio':>7}")
    for name, make in (
        ("chain on 1 number", lambda: chain(1)),
        ("chain on 1,000 numbers", lambda: chain(1000)),
        ("deep network, width 64", lambda: layers(64)),
    ):
        plain, recorded = seconds(make, lambda out: out.backward()), seconds(make, record)
        print(f"{name:32} {plain:9.3f} {recorded:11.3f} {recorded / plain:7.2f}")


if __name__ == "__main__":
    main()
