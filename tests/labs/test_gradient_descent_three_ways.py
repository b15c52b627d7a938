"""The lab on gradient descent: its formulas, and its checks on wrong answers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.support.workbench import OPEN, Lab

LAB = Lab("gradient_descent_three_ways")
LAST = "check_largest_rate_at"

WRONG = [
    ("gradient", "return X.T @ (X @ theta - y) / n", "it is 0.5 times what it should be"),
    ("gradient", "return 2 * X.T @ (X @ theta - y)", "it is 30 times what it should be"),
    ("gradient", "return 2 / n * X.T @ (y - X @ theta)", "it is -1 times what it should be"),
    ("gradient", "return 2 / n * (X @ theta - y)", r"the shape is \(30,\), expected \(2,\)"),
    ("gradient", "return 2 / n * X.T @ (X @ theta)", "go through the derivative of a single term"),
    ("gradient", "pass", "returns None, expected a tensor"),
    (
        "by_autograd",
        """
        loss(theta).backward()
        with torch.no_grad():
            theta -= rate * theta.grad
        """,
        "clear it in every step",
    ),
    (
        "by_autograd",
        """
        theta.grad = None
        loss(theta).backward()
        theta -= rate * theta.grad
        """,
        "RuntimeError: a leaf Variable that requires grad",
    ),
    (
        "by_autograd",
        """
        theta.grad = None
        loss(theta).backward()
        with torch.no_grad():
            theta = theta - rate * theta.grad
        """,
        "theta must stay the one leaf",
    ),
    (
        "by_autograd",
        """
        theta.grad = None
        loss(theta).backward()
        with torch.no_grad():
            theta += rate * theta.grad
        """,
        "goes uphill",
    ),
    (
        "by_autograd",
        """
        theta.grad = None
        loss(theta).backward()
        with torch.no_grad():
            theta -= theta.grad
        """,
        "the first step has the wrong length",
    ),
    ("by_autograd", "theta.grad = None\nloss(theta).backward()", "theta has not moved"),
    ("by_optimizer", "loss(theta).backward()\noptimizer.step()", "clear it in every step"),
    ("by_optimizer", "optimizer.zero_grad()\nloss(theta).backward()", "theta has not moved"),
    (
        "by_optimizer",
        "loss(theta).backward()\noptimizer.zero_grad()\noptimizer.step()",
        "AttributeError",
    ),
    ("largest_rate", "return 2 / torch.linalg.eigvalsh(H)[0]", "the largest is the strictest"),
    ("largest_rate", "return torch.linalg.eigvalsh(H)[-1]", "the eigenvalue L itself"),
    ("largest_rate", "return 1 / torch.linalg.eigvalsh(H)[-1]", "this is 1 / L"),
    ("largest_rate", "return 2 / torch.linalg.eigvalsh(H)", "expected one number"),
    ("largest_rate", "return 2 / H.max()", "the eigenvalues of this H are 2 and 8"),
    (
        "with_momentum",
        "velocity = beta * velocity + (1 - beta) * g\ntheta = theta - rate * velocity",
        r"there is a factor \(1 - beta\)",
    ),
    ("with_momentum", "velocity = g\ntheta = theta - rate * velocity", "without momentum"),
    ("with_momentum", "velocity = beta * velocity + g", "theta has not moved"),
    (
        "with_momentum",
        "theta = theta - rate * (beta * velocity + g)\nvelocity = g",
        "compare your two lines with the formula",
    ),
    ("largest_rate_with_momentum", "return 2 / L", "beta = 0.5: .*the bound must be too small"),
    ("largest_rate_with_momentum", "return 2 / (L * (1 - beta))", "the bound must be too large"),
    ("largest_rate_with_momentum", "return (1 + beta) / L", "beta = 0.0: .*too small"),
    ("logistic_gradient", "return 2 / n * X.T @ (torch.sigmoid(X @ theta) - t)", "it is 2 times"),
    ("logistic_gradient", "return X.T @ (t - torch.sigmoid(X @ theta)) / n", "it is -1 times"),
    ("logistic_gradient", "return X.T @ (X @ theta - t) / n", "derivative of a single term"),
    ("largest_rate_at", "return largest_rate(H)", "the bound of linear regression"),
    (
        "largest_rate_at",
        "return largest_rate(torch.autograd.functional.hessian(loss, zero))",
        "differentiate which loss",
    ),
]


@pytest.fixture(scope="module")
def lab() -> dict[str, Any]:
    return LAB.run(LAST)


@pytest.mark.parametrize(("turn", "answer", "message"), WRONG)
def test_a_wrong_answer_fails_at_its_check_and_is_told_why(
    turn: str, answer: str, message: str
) -> None:
    failed = LAB.failure(LAST, {turn: answer})
    assert failed.cell == LAB.check_of(turn)
    assert isinstance(failed.error, AssertionError)
    assert re.search(message, str(failed.error), re.DOTALL), failed


@pytest.mark.parametrize("turn", LAB.turns)
def test_an_open_gap_fails_at_its_check(turn: str) -> None:
    failed = LAB.failure(LAST, {turn: OPEN})
    assert failed.cell == LAB.check_of(turn)
    assert isinstance(failed.error, AssertionError)


def test_the_readers_notebook_fails_at_the_first_check() -> None:
    failed = LAB.failure(LAST, dict.fromkeys(LAB.turns, OPEN))
    assert failed.cell == "check_gradient"
    assert "returns None, expected a tensor; is something still `...`?" in str(failed.error)


def test_the_prose_says_how_many_turns_there_are() -> None:
    assert len(LAB.turns) == 8
    for number in range(1, 9):
        assert f"### Your turn {number}: " in LAB.prose("en")
        assert f"### 由你来写 {number}：" in LAB.prose("zh")


def test_the_hand_gradients_are_those_of_autograd(lab: dict[str, Any]) -> None:
    pairs = ("gradient", "loss"), ("logistic_gradient", "logistic_loss")
    for by_hand, loss in pairs:
        for seed in range(5):
            torch.manual_seed(seed)
            theta = torch.randn(2, dtype=torch.float64, requires_grad=True)
            (expected,) = torch.autograd.grad(lab[loss](theta), theta)
            torch.testing.assert_close(lab[by_hand](theta.detach()), expected)


def test_the_logistic_loss_is_the_cross_entropy_of_torch(lab: dict[str, Any]) -> None:
    theta = torch.tensor([400.0, -3.0], dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(lab["X"] @ theta, lab["t"])
    torch.testing.assert_close(lab["logistic_loss"](theta), expected)
    assert not torch.isfinite(torch.log(1 + torch.exp(lab["X"] @ theta))).all()


positive = st.floats(0.1, 10)


@given(positive, positive, st.floats(0, 0.95), st.floats(0.01, 3))
def test_the_bounds_are_those_of_the_iteration_matrix(
    small: float, large: float, beta: float, factor: float
) -> None:
    """Spectral radius below 1 exactly if the rate is below 2 (1 + β) / L; with β = 0, below 2 / L.

    Here the oracle is numpy's eigenvalues of the step as a linear map of (e_k, e_{k-1}).
    """
    curvatures = [small, large]
    bound = 2 * (1 + beta) / max(curvatures)
    if abs(factor - 1) < 1e-3:
        return
    radius = max(
        np.abs(np.linalg.eigvals(np.array([[1 + beta - factor * bound * c, -beta], [1, 0]]))).max()
        for c in curvatures
    )
    assert (radius < 1) == (factor < 1)


def test_the_rates_named_in_the_prose_lie_on_either_side_of_the_bound(lab: dict[str, Any]) -> None:
    H = 2 / lab["n"] * lab["X"].T @ lab["X"]
    bound = lab["largest_rate"](H).item()
    assert 0.26 < bound < 0.27
    minimum = torch.linalg.lstsq(lab["X"], lab["y"][:, None]).solution[:, 0]
    for rate, arrives in (0.26, True), (0.27, False):
        path, _ = lab["by_hand"](lab["gradient"], lab["start"], rate, 10000)
        assert bool((path[-1] - minimum).norm() < 1e-3) == arrives


def test_the_rate_that_jumps_overtakes_the_smooth_one(lab: dict[str, Any]) -> None:
    def losses(rate: float) -> list[float]:
        path, _ = lab["by_hand"](lab["gradient"], lab["start"], rate, 30)
        return [lab["loss"](theta).item() for theta in path]

    small, middle, large = losses(0.02), losses(0.13), losses(0.25)
    assert middle[1] < small[1]
    assert middle[1] < large[1]
    assert large[-1] < middle[-1] < small[-1]


@pytest.mark.parametrize("best", [0.5, 0.99, 1.01])
def test_each_direction_is_multiplied_by_one_minus_rate_times_curvature(
    lab: dict[str, Any], best: float
) -> None:
    H = lab["H"]
    minimum = torch.linalg.lstsq(lab["X"], lab["y"][:, None]).solution[:, 0]
    values, directions = torch.linalg.eigh(H)
    rate = best * 2 / values[-1].item()
    path, _ = lab["by_hand"](lab["gradient"], lab["start"], rate, 30)
    along = (path - minimum) @ directions
    steps = torch.arange(30, dtype=torch.float64)[:, None]
    torch.testing.assert_close(along, along[0] * (1 - rate * values) ** steps)


def test_beyond_the_local_bound_two_points_remain(lab: dict[str, Any]) -> None:
    minimum, gradient = lab["logistic_minimum"], lab["logistic_gradient"]
    local = lab["largest_rate_at"](lab["logistic_loss"], minimum).item()
    path, _ = lab["by_hand"](gradient, minimum + 0.05, 1.1 * local, 2000)
    torch.testing.assert_close(path[-1], path[-3])
    between = (path[-1] - minimum) @ (path[-2] - minimum)
    assert between < 0
    path, _ = lab["by_hand"](gradient, minimum + 0.05, 0.9 * local, 2000)
    torch.testing.assert_close(path[-1], minimum)


def test_below_the_safe_bound_no_step_makes_the_loss_larger(lab: dict[str, Any]) -> None:
    minimum = lab["logistic_minimum"]
    safe = lab["largest_rate"](lab["X"].T @ lab["X"] / (4 * lab["n"])).item()
    local = lab["largest_rate_at"](lab["logistic_loss"], minimum).item()
    assert round(local / safe, 1) == 2.7
    for start in minimum + 3, -minimum, torch.zeros_like(minimum):
        path, _ = lab["by_hand"](lab["logistic_gradient"], start, safe, 200)
        losses = torch.stack([lab["logistic_loss"](theta) for theta in path])
        assert (losses.diff() <= 1e-12).all()


def test_the_logistic_minimum_has_no_gradient(lab: dict[str, Any]) -> None:
    zero = torch.zeros(2, dtype=torch.float64)
    torch.testing.assert_close(lab["logistic_gradient"](lab["logistic_minimum"]), zero)


def test_separable_labels_leave_no_minimum(lab: dict[str, Any]) -> None:
    """What the last section asks: the weights grow without end."""
    X, t = lab["X"], (lab["x"] > 1.5).double()

    def gradient(theta: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = X.T @ (torch.sigmoid(X @ theta) - t) / lab["n"]
        return product

    path, _ = lab["by_hand"](gradient, torch.zeros(2, dtype=torch.float64), 2.0, 4000)
    lengths = path.norm(dim=1)[[500, 1000, 2000, 3999]]
    assert (lengths.diff() > 0.5).all()
