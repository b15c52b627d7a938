"""The claims of the lesson on NaN gradients, each against mathematics or an oracle."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import grad, gradcheck
from torch.nn import functional as F

from livecell import Runner

Function = Callable[[Tensor], Tensor]

KEEP = torch.tensor([[True, True], [False, False]])
EMPTY = ~KEEP.any(-1, keepdim=True)
BIAS = torch.zeros(2, 2).masked_fill(~KEEP, -torch.inf)
X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


def gradient(f: Function, *at: float, dtype: torch.dtype = torch.float32) -> list[float]:
    x = torch.tensor(at, dtype=dtype, requires_grad=True)
    result: list[float] = grad(f(x).sum(), x)[0].tolist()
    return result


def all_nan(values: list[float]) -> bool:
    return all(math.isnan(v) for v in values)


@pytest.mark.filterwarnings("ignore:std")
def test_the_suspects() -> None:
    assert all_nan(gradient(lambda x: torch.hypot(x[0], x[1]), 0, 0))
    assert torch.hypot(torch.zeros(1), torch.zeros(1)) == 0
    assert all_nan(gradient(lambda x: x / x.norm(), 0, 0))
    assert all_nan(gradient(lambda x: x.softmax(0).log()[1], 200, 0))
    assert all_nan(gradient(lambda x: torch.special.xlogy(x, x), 0))
    assert torch.special.xlogy(torch.zeros(1), 0.0) == 0
    assert all_nan(gradient(torch.std, 3))
    assert gradient(torch.acos, 1) == [-math.inf]
    assert all_nan(gradient(lambda x: x.exp().log1p(), 100))


def row_zero(way: Function) -> tuple[Tensor, Tensor, Tensor]:
    """The weights of row 1, and the gradients by w and v of a loss that sees row 0 only."""
    w = torch.ones(2, requires_grad=True)
    v = torch.tensor([[0.0], [1.0]], requires_grad=True)
    p = way(X * w)
    by_w, by_v = grad((p @ v)[0].sum(), [w, v])
    return p[1].detach(), by_w, by_v[:, 0]


def expected() -> tuple[Tensor, Tensor]:
    """Softmax of (1, 2), and the derivative p0 p1 (−x0, x1) of p1 by w."""
    p = 1 / (1 + math.e)
    by_w = p * (1 - p) * torch.tensor([-1.0, 2.0])
    return by_w, torch.tensor([p, 1 - p])


def through(s: Tensor) -> Tensor:
    return s.masked_fill(~KEEP & ~EMPTY, -torch.inf).softmax(-1).masked_fill(EMPTY, 0.0)


@pytest.mark.parametrize(
    ("way", "row", "w_is_right", "v_is_right"),
    [
        (lambda s: (s + BIAS).softmax(-1), math.nan, False, False),
        (lambda s: (s + BIAS).softmax(-1).nan_to_num(), 0.0, False, True),
        (lambda s: s.masked_fill(~KEEP, -torch.inf).softmax(-1), math.nan, True, False),
        (lambda s: s.masked_fill(~KEEP, -1e9).softmax(-1), 0.5, True, True),
        (through, 0.0, True, True),
    ],
    ids=["bias", "bias, nan_to_num", "masked_fill", "-1e9", "let through"],
)
def test_an_empty_row_and_its_cures(
    way: Function, row: float, w_is_right: bool, v_is_right: bool
) -> None:
    p1, by_w, by_v = row_zero(way)
    torch.testing.assert_close(p1, torch.full((2,), row), equal_nan=True)
    right_w, right_v = expected()
    for found, right, is_right in ((by_w, right_w, w_is_right), (by_v, right_v, v_is_right)):
        if is_right:
            torch.testing.assert_close(found, right)
        else:
            assert found.isnan().all()


def test_minus_a_billion_does_not_fit_into_half_precision() -> None:
    with pytest.raises(RuntimeError, match="without overflow"):
        torch.zeros(2, 2).half().masked_fill(~KEEP, -1e9)
    assert torch.tensor(-1e9).half() == -math.inf
    with pytest.raises(RuntimeError, match="without overflow"):
        torch.zeros(2).half().masked_fill(torch.tensor([True, False]), -1e9)
    assert torch.tensor(-1e9).bfloat16().isfinite()


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_with_an_empty_row(need_weights: bool) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(1, 1, batch_first=True)
    tokens = torch.tensor([[[1.0], [2.0]]])
    out, _ = attention(tokens, tokens, tokens, attn_mask=~KEEP, need_weights=need_weights)
    out[0, 0].sum().backward()
    grads = attention.in_proj_weight.grad
    assert grads is not None
    assert out[0, 1].isnan().item() is need_weights
    assert grads.isfinite().all().item() is not need_weights


def test_boolean_masks_mean_the_opposite_in_scaled_dot_product_attention() -> None:
    q = torch.randn(1, 2, 4, requires_grad=True)
    out = F.scaled_dot_product_attention(q, q, q, attn_mask=KEEP)
    assert out[0, 1].tolist() == [0, 0, 0, 0]
    p = (q[0, 0] @ q[0].T / 2).softmax(-1)
    torch.testing.assert_close(out[0, 0], p @ q[0])
    (g,) = grad(out[0, 0].sum(), q)
    assert g.isfinite().all()


@given(st.floats(-500, 500), st.floats(-500, 500))
def test_log_softmax_has_a_gradient_everywhere(a: float, b: float) -> None:
    p = 1 / (1 + math.exp(min(b - a, 700)))
    found = gradient(lambda x: x.log_softmax(0)[0], a, b, dtype=torch.float64)
    assert found == pytest.approx([1 - p, p - 1], abs=1e-12)


def test_normalize_is_linear_below_its_epsilon() -> None:
    assert gradient(lambda x: F.normalize(x, dim=0), 0, 0) == pytest.approx([1e12] * 2)
    tiny = torch.tensor([1e-13, 0.0], dtype=torch.float64)
    torch.testing.assert_close(F.normalize(tiny, dim=0), tiny / 1e-12)


@given(st.floats(1e-2, 1e3))
def test_across_its_direction_a_unit_vector_has_slope_one_over_length(length: float) -> None:
    ways: list[Function] = [
        lambda x: x / x.norm(),
        lambda x: F.normalize(x, dim=0),
        lambda x: x / (x.square().sum() + 1e-12).sqrt(),
    ]
    for way in ways:
        found = gradient(lambda x, w=way: w(x)[1], length, 0.0, dtype=torch.float64)  # type: ignore[misc]
        assert found == pytest.approx([0, 1 / length], rel=1e-6)


def test_the_epsilon_decides_the_limit() -> None:
    for eps in 1e-6, 1e-2:
        found = gradient(lambda x, e=eps: x / (x.square().sum() + e).sqrt(), 0, 0)  # type: ignore[misc]
        assert found == pytest.approx([eps**-0.5] * 2, rel=1e-4)

    def cosine(x: Tensor, **options: float) -> Tensor:
        return F.cosine_similarity(x, torch.ones(2), dim=0, **options)

    assert gradient(cosine, 0, 0) == pytest.approx([1e8 / math.sqrt(2)] * 2)
    assert gradient(lambda x: cosine(x, eps=1e-3), 0, 0) == pytest.approx([1e3 / math.sqrt(2)] * 2)


def test_the_other_cures() -> None:
    safe = gradient(lambda x: x * torch.where(x > 0, x, 1.0).log(), 0, 1, 2, dtype=torch.float64)
    assert safe == pytest.approx([0, 1, 1 + math.log(2)])
    assert gradient(torch.special.entr, 0) == [math.inf]
    assert gradient(lambda x: torch.special.entr(x.clamp(min=1e-6)), 0, 1) == [0, -1]
    assert gradient(lambda x: x.std(correction=0), 3) == [0]
    assert gradient(lambda x: (x.var(correction=0) + 1e-6).sqrt(), 3) == [0]
    assert gradient(F.softplus, 100) == [1]
    assert gradient(torch.acos, 1, -1) == [-math.inf] * 2
    assert all(map(math.isfinite, gradient(lambda x: x.clamp(-0.999, 0.999).acos(), 1, -1)))
    assert gradient(lambda x: (x.square().sum() + 1e-6).sqrt(), 0, 0) == [0, 0]
    for stable in (F.logsigmoid, lambda x: x.logsumexp(0)):
        assert all(map(math.isfinite, gradient(stable, -200, 200)))


def test_eigenvectors_of_equal_eigenvalues_have_no_gradient() -> None:
    A = torch.eye(2, dtype=torch.float64, requires_grad=True)
    U, S, Vh = torch.linalg.svd(A)
    rebuilt = U @ S.diag() @ Vh
    torch.testing.assert_close(rebuilt, A)
    for y in torch.linalg.eigh(A).eigenvectors, rebuilt:
        assert grad(y.sum(), A, retain_graph=True)[0].isnan().all()
    one = torch.eye(2, dtype=torch.float64)
    for safe in (
        torch.linalg.eigvalsh(A).sum(),
        torch.linalg.svdvals(A).sum(),
        torch.linalg.matrix_norm(A, "nuc"),
    ):
        torch.testing.assert_close(grad(safe, A)[0], one)
    for function in (torch.matrix_exp, torch.linalg.inv):
        assert gradcheck(function, A)


@pytest.mark.parametrize("gap", [1.0, 1e-2, 1e-4])
def test_the_slope_of_an_eigenvector_is_one_over_the_gap(gap: float) -> None:
    """By dA in the corner (0, 1), eigh reads one triangle: q_0 turns by dA / (l_0 − l_1)."""
    B = torch.diag(torch.tensor([1.0, 1.0 + gap], dtype=torch.float64)).requires_grad_()
    Q = torch.linalg.eigh(B).eigenvectors
    (by_B,) = grad(Q[1, 0] * Q[0, 0], B)
    symmetric = by_B + by_B.T
    assert symmetric[0, 1].item() == pytest.approx(-1 / gap)
    assert by_B.abs().max().item() == pytest.approx(0.5 / gap)


def test_hooks_name_the_first_layer_with_a_nan() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    bad: list[int] = []
    for number, layer in enumerate(model):
        layer.register_forward_hook(
            lambda layer, args, out, n=number: None if out.isfinite().all() else bad.append(n)
        )
    with torch.no_grad():
        model[1].register_forward_hook(lambda layer, args, out: out * torch.nan)
    model(torch.ones(1, 2))
    assert bad[0] == 2


def test_clipping_can_stop_the_step() -> None:
    p = torch.ones(2, requires_grad=True)
    p.grad = torch.tensor([math.nan, 1.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)


@given(st.floats(-700, 1e6))
def test_softplus_with_a_safe_input_has_the_gradient_of_a_sigmoid(at: float) -> None:
    def softplus(x: Tensor) -> Tensor:
        return torch.where(x > 20, x, torch.log1p(torch.exp(torch.where(x > 20, 0.0, x))))

    sigmoid = 1 / (1 + math.exp(-at))
    assert gradient(softplus, at, dtype=torch.float64)[0] == pytest.approx(sigmoid, abs=1e-8)
    assert gradient(torch.nn.functional.softplus, at, dtype=torch.float64)[0] == pytest.approx(
        sigmoid, abs=1e-8
    )


def test_a_batch_in_which_every_target_is_ignored() -> None:
    logits = torch.tensor([[1.0, 2.0]], requires_grad=True)
    target = torch.tensor([-100])
    assert F.cross_entropy(logits, target).isnan()
    total = F.cross_entropy(logits, target, reduction="sum")
    assert total / (target != -100).sum().clamp(min=1) == 0


def test_distances_to_oneself() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    difference = points[:, None] - points
    root = difference.square().sum(-1).sqrt()
    assert grad(root.sum(), points, retain_graph=True)[0].isnan().all()
    unit = 2 * torch.tensor([[-0.6, -0.8], [0.6, 0.8]])
    for distance in difference.norm(dim=-1), torch.cdist(points, points):
        torch.testing.assert_close(distance, root)
        torch.testing.assert_close(grad(distance.sum(), points)[0], unit)


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("nan_gradients").cells}
    assert "loss = tensor(0.2689," in cells["mask"]
    p = torch.tensor([1.0, 2.0]).softmax(-1)
    only_row_zero = p[0] * p[1] * torch.tensor([1.0, -2.0])
    assert str(only_row_zero) == "tensor([ 0.1966, -0.3932])"
