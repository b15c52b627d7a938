"""The graph in a terminal."""

from __future__ import annotations

import torch

from gradgraph import record
from gradgraph.text import LINES
from gradgraph.values import text, value


def leaf(number: float) -> torch.Tensor:
    return torch.tensor(number, requires_grad=True)


def test_the_tree_of_an_affine_function() -> None:
    x, w, b = torch.tensor(2.0), leaf(3.0), leaf(1.0)
    y = w * x
    assert str(record(y + b, x=x, w=w, b=b, y=y)).splitlines() == [
        "output: gradient 1.0",
        "└─ AddBackward0  #1  receives 1.0",
        "   ├─ self: MulBackward0 (y)  #3  receives 1.0  saved other = x = 2.0"
        "  (other inputs need no gradient)",
        "   │  self: AccumulateGrad (w)  #4  .grad None → 2.0",
        "   └─ other: AccumulateGrad (b)  #2  .grad None → 1.0",
    ]


def test_a_node_that_two_send_to_is_written_out_once() -> None:
    x = leaf(3.0)
    tree = str(record(x * x + x, x=x))
    assert tree.count("AccumulateGrad (x)") == 3
    assert tree.count("see above") == 2
    assert tree.count(".grad None → 7.0") == 1


def test_shapes_and_dtypes_are_named_where_they_are_not_the_usual_ones() -> None:
    w = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    assert "ExpBackward0  float64[2, 3]  #2" in str(record(w.exp().sum()))


def test_a_deep_graph_is_cut_and_says_so() -> None:
    z = leaf(1.0)
    for _ in range(5000):
        z = z * 2
    lines = str(record(z)).splitlines()
    assert len(lines) == LINES + 1
    assert lines[-1] == f"… cut after {LINES} lines; {5000 - LINES} of its 5001 nodes are not shown"
    assert max(map(len, lines)) < 120


def test_a_cut_that_hides_no_node() -> None:
    x = leaf(1.0)
    lines = str(record(sum(x for _ in range(80)), x=x)).splitlines()  # type: ignore[arg-type]
    assert lines[-1].startswith("… cut after")


def test_numbers() -> None:
    assert [
        text(one)
        for one in (2.0, -0.5, 1 / 3, 1e-7, 123456.0, 1.0001, 1e20, 7, True, "nan", "-inf", "1-2j")
    ] == [
        "2.0",
        "-0.5",
        "0.3333",
        "1e-07",
        "1.235e+05",
        "1.0001",
        "1e+20",
        "7",
        "True",
        "nan",
        "-inf",
        "1.0-2.0j",
    ]
    assert text([[1.0, 2.5]]) == "[[1.0, 2.5]]"


def test_values_of_unusual_tensors() -> None:
    def said(tensor: torch.Tensor) -> str:
        made = value(tensor)
        assert made
        return made.text

    assert said(torch.ones(3).to_sparse()) == "sparse_coo"
    assert said(torch.ones(2, device="meta")) == "strided"
    assert said(torch.zeros(0)) == "[]"
    assert said(torch.arange(20)) == "0 … 19"
    assert said(torch.ones(20)) == "1.0"
    assert said(torch.ones(20, dtype=torch.complex64)) == "|·| 1.0"
    assert said(torch.ones(20, dtype=torch.bool)) == "True"
    assert said(torch.tensor([1 + 2j]).conj()) == "[1.0-2.0j]"
    assert said(torch.tensor(2.0, dtype=torch.bfloat16)) == "2.0"
