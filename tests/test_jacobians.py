"""The claims of the lesson on Jacobians, each against mathematics or an oracle."""

import inspect
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad, functional
from torch.func import jacfwd, jacrev, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Function = Callable[[Tensor], Tensor]


def loop(f: Function, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    y = f(leaf)
    rows = torch.eye(len(y), dtype=x.dtype)
    return torch.stack([torch.autograd.grad(y, leaf, v, retain_graph=True)[0] for v in rows])


def batched(f: Function, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    y = f(leaf)
    rows = torch.eye(len(y), dtype=x.dtype)
    return torch.autograd.grad(y, leaf, rows, is_grads_batched=True)[0]


def vectorized(f: Function, x: Tensor) -> Any:
    return functional.jacobian(f, x, vectorize=True)


def vectorized_forward(f: Function, x: Tensor) -> Any:
    return functional.jacobian(f, x, vectorize=True, strategy="forward-mode")


def reverse(f: Function, x: Tensor) -> Any:
    return jacrev(f)(x)


def forward(f: Function, x: Tensor) -> Any:
    return jacfwd(f)(x)


def forward_loop(f: Function, x: Tensor) -> Tensor:
    columns = []
    for u in torch.eye(len(x), dtype=x.dtype):
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(x, u))).tangent
            assert tangent is not None
            columns.append(tangent)
    return torch.stack(columns, dim=1)


def differences(f: Function, x: Tensor, h: float = 1e-5) -> Tensor:
    steps = h * torch.eye(len(x), dtype=x.dtype)
    return torch.stack([(f(x + s) - f(x - s)) / (2 * h) for s in steps], dim=1)


WAYS = [loop, batched, vectorized, vectorized_forward, reverse, forward, forward_loop]


@pytest.mark.parametrize("way", WAYS)
@given(seed=st.integers(0, 999), n=st.integers(1, 4), m=st.integers(1, 4))
def test_every_way_gives_the_jacobian(way: Any, seed: int, n: int, m: int) -> None:
    random = torch.Generator().manual_seed(seed)
    W = torch.randn(m, n, dtype=torch.float64, generator=random)
    x = torch.randn(n, dtype=torch.float64, generator=random)
    torch.testing.assert_close(way(lambda x: (W @ x) ** 2, x), 2 * (W @ x)[:, None] * W)

    def curved(x: Tensor) -> Tensor:
        return torch.tanh(W @ x).exp()

    torch.testing.assert_close(way(curved, x), differences(curved, x), atol=1e-7, rtol=1e-6)


def test_finite_differences_would_find_a_wrong_row() -> None:
    """The checker can fail: a cut in the graph is noticed."""
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)

    def cut(x: Tensor) -> Tensor:
        return torch.stack([x[0] * x[1].detach(), x[1]])

    wrong = jacrev(cut)(x)
    assert (wrong - differences(cut, x)).abs().max() > 0.5


@pytest.mark.parametrize(
    ("way", "expected"),
    [(loop, 1), (batched, 1), (vectorized, 1), (reverse, 1), (forward, 1), (forward_loop, 3)],
)
def test_how_often_each_way_calls_the_function(way: Any, expected: int) -> None:
    calls: list[None] = []

    def f(x: Tensor) -> Tensor:
        calls.append(None)
        return x[:2] * x[1:]

    way(f, torch.ones(3))
    assert len(calls) == expected


def test_functional_jacobian_loops_unless_it_is_vectorized() -> None:
    for vectorize, passes in (False, 5), (True, 1):
        seen: list[Tensor] = []

        def f(x: Tensor, seen: list[Tensor] = seen) -> Tensor:
            y = x * 2
            y.register_hook(seen.append)
            return y

        functional.jacobian(f, torch.ones(5), vectorize=vectorize)
        assert len(seen) == passes


def test_what_is_refused() -> None:
    x = torch.ones(3)
    with pytest.raises(NotImplementedError, match="only implemented for `vectorize=True`"):
        functional.jacobian(torch.sin, x, strategy="forward-mode")
    with pytest.raises(RuntimeError, match="randomness error mode"):
        jacfwd(lambda x: torch.rand(3) * x)(x)
    with pytest.raises(TypeError, match="must be either a Tensor or a tuple of Tensors"):
        functional.jacobian(lambda p: p["x"], {"x": x})


def test_the_same_noise_is_drawn_once_for_all_columns() -> None:
    torch.manual_seed(0)
    J = jacfwd(lambda x: torch.rand(1) * x, randomness="same")(torch.ones(3))
    assert torch.equal(J, J[0, 0] * torch.eye(3))


shapes = st.lists(st.integers(1, 3), max_size=3)


@given(shapes, shapes)
def test_the_shape_is_output_then_input(out: list[int], into: list[int]) -> None:
    x = torch.ones(into)
    for transform in jacrev, jacfwd:
        assert transform(lambda x: x.sum() * torch.ones(out))(x).shape == (*out, *into)


def test_the_axes_mean_what_the_page_says() -> None:
    X, M = torch.rand(2, 3), torch.rand(3, 4)
    J = jacrev(lambda X: X @ M)(X)
    for i, j, k, m in torch.cartesian_prod(*map(torch.arange, J.shape)).tolist():
        assert J[i, j, k, m] == (M[m, j] if i == k else 0)


def test_tuples_and_dictionaries_nest_output_first() -> None:
    p = {"w": torch.rand(2, 3), "b": torch.rand(2)}
    J = jacrev(lambda p: {"y": p["w"].sum(1) * p["b"], "s": p["w"].sum()})(p)
    assert {k: {n: tuple(t.shape) for n, t in v.items()} for k, v in J.items()} == {
        "y": {"w": (2, 2, 3), "b": (2, 2)},
        "s": {"w": (2, 3), "b": (2,)},
    }
    first, second = jacrev(torch.mul, argnums=(0, 1))(p["b"], p["b"] + 1)
    torch.testing.assert_close(first, (p["b"] + 1).diag())
    torch.testing.assert_close(second, p["b"].diag())


def sum_trick(f: Function, X: Tensor) -> Tensor:
    leaf = X.clone().requires_grad_()
    y = f(leaf)
    sums = [y[:, i].sum() for i in range(y.shape[1])]
    return torch.stack([torch.autograd.grad(s, leaf, retain_graph=True)[0] for s in sums], 1)


@given(seed=st.integers(0, 999), rows=st.integers(1, 5))
def test_per_row_jacobians_are_the_diagonal_blocks(seed: int, rows: int) -> None:
    random = torch.Generator().manual_seed(seed)
    A = torch.randn(3, 2, dtype=torch.float64, generator=random)
    X = torch.randn(rows, 3, dtype=torch.float64, generator=random)

    def net(X: Tensor) -> Tensor:
        return torch.tanh(X @ A)

    full, index = jacrev(net)(X), torch.arange(rows)
    per_row = vmap(jacrev(net))(X)
    torch.testing.assert_close(per_row, full[index, :, index])
    torch.testing.assert_close(per_row, sum_trick(net, X))
    torch.testing.assert_close(per_row, (1 - net(X) ** 2)[:, :, None] * A.T)
    full[index, :, index] = 0
    assert not full.any()


@pytest.mark.parametrize("rows", [2, 4])
def test_the_sum_trick_is_wrong_where_rows_mix(rows: int) -> None:
    A, X = torch.rand(3, 2, dtype=torch.float64), torch.rand(rows, 3, dtype=torch.float64)

    def centred(X: Tensor) -> Tensor:
        return X @ A - (X @ A).mean(0)

    torch.testing.assert_close(sum_trick(centred, X), torch.zeros(rows, 2, 3).double())
    full = jacrev(centred)(X)
    torch.testing.assert_close(full[0, :, 0], (1 - 1 / rows) * A.T)
    torch.testing.assert_close(full[0, :, 1], -A.T / rows)


def test_batch_norm_breaks_the_sum_trick_in_training_only() -> None:
    norm = torch.nn.BatchNorm1d(2, dtype=torch.float64, track_running_stats=True)
    X = torch.rand(4, 2, dtype=torch.float64)
    index = torch.arange(4)
    for training in True, False:
        norm.train(training)
        J = functional.jacobian(norm, X)
        assert isinstance(J, Tensor)
        assert torch.allclose(sum_trick(norm, X), J[index, :, index]) is not training


class Meter(TorchDispatchMode):
    """The peak of what operations allocated and nobody freed, in bytes."""

    now: int = 0
    peak: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count(args, free=True)
        out = func(*args, **(kwargs or {}))
        self.count(out, free=False)
        return out

    def count(self, tree: Any, free: bool) -> None:
        for tensor in tree_leaves(tree):
            if isinstance(tensor, Tensor):
                storage: Any = tensor.untyped_storage()
                if not hasattr(storage, "counted"):
                    storage.counted = True
                    if not free:
                        self.add(storage.nbytes())
                        weakref.finalize(storage, self.add, -storage.nbytes())

    def add(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


def peak(run: Callable[..., object], *args: object) -> int:
    with Meter() as meter:  # type: ignore[no-untyped-call]
        run(*args)
    return int(meter.peak)


def test_the_meter_counts_what_lives_at_one_time() -> None:
    def run() -> None:
        a = torch.ones(1000)
        b = a + 1
        del a
        assert (b[:10] * 2).shape == (10,)

    assert peak(run) == 8000


def test_chunks_trade_memory_and_keep_the_numbers() -> None:
    torch.manual_seed(0)
    A, B = torch.randn(16, 512, dtype=torch.float64), torch.randn(512, 128, dtype=torch.float64)

    def g(x: Tensor) -> Tensor:
        return torch.tanh(x @ A / 4) @ B

    x = torch.randn(16, dtype=torch.float64)
    sizes = [None, 64, 16, 1]
    peaks = [peak(jacrev(g, chunk_size=size), x) for size in sizes]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] > 4 * peaks[2]
    for size in sizes:
        torch.testing.assert_close(jacrev(g, chunk_size=size)(x), jacfwd(g)(x))


def test_memory_grows_with_the_vectorised_side() -> None:
    def network(n: int, m: int) -> tuple[Function, Tensor]:
        A, B = torch.rand(n, 512), torch.rand(512, m)
        return lambda x: torch.tanh(x @ A) @ B, torch.zeros(n)

    small, wide, tall = (network(*s) for s in ((16, 16), (128, 16), (16, 128)))
    for transform, grows, level in (jacrev, tall, wide), (jacfwd, wide, tall):
        start = peak(transform(small[0]), small[1])
        assert peak(transform(grows[0]), grows[1]) > 3 * start
        assert peak(transform(level[0]), level[1]) < peak(transform(grows[0]), grows[1]) / 2


def test_which_transforms_take_a_chunk_size() -> None:
    assert "chunk_size" in inspect.signature(jacrev).parameters
    assert "chunk_size" in inspect.signature(vmap).parameters
    assert "chunk_size" not in inspect.signature(jacfwd).parameters


@given(st.floats(0.1, 5), st.floats(-3, 3))
def test_the_determinant_of_polar_coordinates_is_the_radius(r: float, angle: float) -> None:
    def polar(p: Tensor) -> Tensor:
        return torch.stack([p[0] * torch.cos(p[1]), p[0] * torch.sin(p[1])])

    J = jacfwd(polar)(torch.tensor([r, angle], dtype=torch.float64))
    torch.testing.assert_close(torch.det(J), torch.tensor(r, dtype=torch.float64))
