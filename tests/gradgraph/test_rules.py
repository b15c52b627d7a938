"""Every local rule against what torch sent: the recorder drops a rule that does not agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gradgraph import record
from gradgraph.rule_table import RULES, Local
from gradgraph.rules import local_rule

Operation = Callable[..., Tensor | tuple[Tensor, ...]]

U = [[0.3, -0.6, 0.9], [-0.2, 0.5, 0.7]]
V = [[0.4, 0.8, -0.5], [0.1, -0.9, 0.6]]
U_T = torch.tensor(U)
ROWS = torch.tensor([1, 0, 1])
TARGET = torch.tensor([[0.2, 0.9, 0.4], [0.7, 0.3, 0.6]])

UNARY: dict[str, Operation] = {
    "neg": lambda u: -u,
    "add number": lambda u: u + 2,
    "alpha": lambda u: torch.add(u, u, alpha=3),
    "rsub": lambda u: 1 - u,
    "rdiv": lambda u: 2 / (u + 3),
    "square": lambda u: u**2,
    "pow 0": lambda u: u**0,
    "pow -1": lambda u: u**-1.0,
    "number to the power": lambda u: 2.0**u,
    "reciprocal": lambda u: u.reciprocal(),
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "log": lambda u: (u + 1).log(),
    "log1p": torch.log1p,
    "log2": lambda u: (u + 1).log2(),
    "log10": lambda u: (u + 1).log10(),
    "sqrt": lambda u: (u + 1).sqrt(),
    "rsqrt": lambda u: (u + 1).rsqrt(),
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "asin": torch.asin,
    "acos": torch.acos,
    "atan": torch.atan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "trunc": torch.trunc,
    "sign": torch.sign,
    "sgn": torch.sgn,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
    "logsigmoid": F.logsigmoid,
    "hardtanh": lambda u: F.hardtanh(u, -0.5, 0.5),
    "relu6": F.relu6,
    "softmax": lambda u: u.softmax(-1),
    "log_softmax": lambda u: u.log_softmax(0),
    "clamp": lambda u: u.clamp(-0.5, 0.5),
    "celu": lambda u: F.elu(u, 0.5),
    "clamp from below": lambda u: u.clamp(min=0),
    "clamp from above": lambda u: u.clamp(max=0.5),
    "clamp_min": lambda u: u.clamp_min(0.1),
    "clamp_max": lambda u: u.clamp_max(0.1),
    "masked_fill": lambda u: u.masked_fill(u > 0.4, 0),
    "sum": torch.sum,
    "sum dim": lambda u: u.sum(1),
    "sum keepdim": lambda u: u.sum(-1, keepdim=True),
    "sum dims": lambda u: u.sum((0, 1)),
    "mean": torch.mean,
    "mean dim": lambda u: u.mean(0),
    "mean last": lambda u: u.mean(-1, keepdim=True),
    "prod": torch.prod,
    "max": torch.max,
    "min": torch.min,
    "max dim": lambda u: u.max(1).values,
    "min keepdim": lambda u: u.min(0, keepdim=True).values,
    "median": lambda u: u.median(1).values,
    "amax": lambda u: u.amax(1),
    "amin of all": lambda u: u.amin(),
    "max with ties": lambda u: (u * 0).max(),
    "amax with ties": lambda u: (u * 0).amax(-1),
    "sort": lambda u: u.sort(1).values,
    "topk": lambda u: u.topk(2, 1).values,
    "logsumexp": lambda u: u.logsumexp(1),
    "logsumexp keepdim": lambda u: u.logsumexp(0, keepdim=True),
    "cumsum": lambda u: u.cumsum(1),
    "var": lambda u: u.var(),
    "var dim": lambda u: u.var(1, correction=0),
    "std": lambda u: u.std(1, keepdim=True),
    "norm": lambda u: u.norm(),
    "norm dim": lambda u: torch.linalg.vector_norm(u, dim=1),
    "norm 1": lambda u: torch.linalg.vector_norm(u, 1),
    "norm at 0": lambda u: (u * 0).norm(),
    "trace": lambda u: u[:, :2].trace(),
    "transpose": lambda u: u.t(),
    "transpose dims": lambda u: u.transpose(-2, -1),
    "permute": lambda u: u[None].permute(2, 0, 1),
    "view": lambda u: u.view(6),
    "unsafe view": lambda u: u.t().reshape(6),
    "unsqueeze": lambda u: u.unsqueeze(-1),
    "squeeze": lambda u: u[None].squeeze(),
    "squeeze dim": lambda u: u[None].squeeze(0),
    "squeeze dims": lambda u: u[None].squeeze((0,)),
    "linear of a vector": lambda u: F.linear(u[0], U_T.to(u)),
    "expand": lambda u: u.expand(4, 2, 3),
    "clone": torch.clone,
    "to half": lambda u: u.half(),
    "select": lambda u: u[1],
    "select last": lambda u: u[:, -1],
    "slice": lambda u: u[:, 1:],
    "slice steps": lambda u: u[:, ::2],
    "unbind": lambda u: u.unbind(1)[2] * u.unbind(1)[0],
    "index": lambda u: u[ROWS],
    "index columns": lambda u: u[:, ROWS],
    "index mask": lambda u: u[u > 0],
    "index_select": lambda u: u.index_select(1, ROWS),
    "gather": lambda u: u.gather(1, ROWS.view(1, 3).repeat(2, 1)),
    "embedding": lambda u: F.embedding(ROWS, u),
    "repeat": lambda u: u.repeat(2, 3),
    "flip": lambda u: u.flip(-1),
    "roll": lambda u: u.roll(1, 1),
    "roll all": lambda u: u.roll(2),
    "pad": lambda u: F.pad(u, (1, 2)),
    "tril": torch.tril,
    "triu": lambda u: u.triu(1),
    "diagonal": lambda u: u.diagonal(),
    "diag": lambda u: torch.diag(u[0]),
    "inverse": lambda u: torch.linalg.inv(u[:, :2]),
    "mse": lambda u: F.mse_loss(u, TARGET.to(u)),
    "mse sum": lambda u: F.mse_loss(u, TARGET.to(u), reduction="sum"),
    "smooth_l1": lambda u: F.smooth_l1_loss(u, TARGET.to(u)),
    "huber": lambda u: F.huber_loss(u, TARGET.to(u), delta=0.4, reduction="none"),
    "bce": lambda u: F.binary_cross_entropy(u.sigmoid(), TARGET.to(u)),
    "bce logits": lambda u: F.binary_cross_entropy_with_logits(u, TARGET.to(u)),
    "cross_entropy": lambda u: F.cross_entropy(u, torch.tensor([2, 0])),
    "nll sum": lambda u: F.nll_loss(u, torch.tensor([2, -100]), reduction="sum"),
    "unit": lambda u: u / u.norm(),
}
BINARY: dict[str, Operation] = {
    "add": lambda u, v: u + v,
    "sub": lambda u, v: u - v,
    "mul": lambda u, v: u * v,
    "div": lambda u, v: u / v,
    "broadcast": lambda u, v: u * v[:1],
    "broadcast scalar": lambda u, v: u / v[0, 0],
    "pow": lambda u, v: (u + 1) ** v,
    "addcmul": lambda u, v: torch.addcmul(u, u, v, value=0.5),
    "lerp": lambda u, v: torch.lerp(u, v, 0.25),
    "atan2": torch.atan2,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "maximum of equals": lambda u, v: torch.maximum(u, u * 1),
    "where": lambda u, v: torch.where(u > 0, u, v),
    "mm": lambda u, v: u @ v.t(),
    "bmm": lambda u, v: torch.bmm(u[None], v.t()[None]),
    "mv": lambda u, v: u @ v[0],
    "addmv": lambda u, v: torch.addmv(v[:, 0], u, v[0]),
    "dot": lambda u, v: u[0] @ v[0],
    "linear": lambda u, v: F.linear(u, v, v[:, 0]),
    "outer": lambda u, v: torch.outer(u[0], v[1]),
    "cat": lambda u, v: torch.cat([u, v], 1),
    "cat different": lambda u, v: torch.cat([u[:1], v], 0),
    "stack": lambda u, v: torch.stack([u, v], -1),
    "layer_norm": lambda u, v: F.layer_norm(u, (3,), v[0], v[1]),
}


def leaf(data: list[list[float]], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(data, dtype=dtype, requires_grad=True)


def check(operation: Operation, *leaves: Tensor) -> None:
    out = operation(*leaves)
    assert isinstance(out, Tensor)
    # The gradient differs from element to element, so that a mix-up of places shows.
    gradient = torch.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).reshape(out.shape)
    graph = record(out, gradient=gradient)
    sent = 0
    for step in graph.steps:
        for rule, gave in zip(step.rules, step.sent, strict=True):
            if gave is not None:
                assert rule is not None, graph.nodes[step.node].op
                sent += 1
    assert sent


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", UNARY)
def test_rules_of_one_input(name: str, dtype: torch.dtype) -> None:
    check(UNARY[name], leaf(U, dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BINARY)
def test_rules_of_two_inputs(name: str, dtype: torch.dtype) -> None:
    check(BINARY[name], leaf(U, dtype), leaf(V, dtype))


COMPLEX: dict[str, Operation] = {
    "mul": lambda u, v: u * v,
    "div": lambda u, v: u / v,
    "square": lambda u, v: u**2,
    "exp": lambda u, v: u.exp(),
    "log": lambda u, v: u.log(),
    "sqrt": lambda u, v: u.sqrt(),
    "sin": lambda u, v: u.sin(),
    "abs": lambda u, v: u.abs(),
    "real": lambda u, v: u.real,
    "conj": lambda u, v: u.conj(),
    "angle": lambda u, v: u.angle(),
    "view_as_real": lambda u, v: torch.view_as_real(u),
    "view_as_complex": lambda u, v: torch.view_as_complex(torch.view_as_real(u) * 2),
    "mm": lambda u, v: u @ v.t(),
    "squared size": lambda u, v: (u * u.conj()).real.sum(),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_rules_of_complex_numbers(name: str) -> None:
    u, v = (
        torch.complex(torch.tensor(a).double(), torch.tensor(b).double())
        for a, b in ((U, V), (V, U))
    )
    check(COMPLEX[name], u.requires_grad_(), v.requires_grad_())


def test_the_tests_reach_every_rule() -> None:
    reached: set[str] = set()
    for operations, leaves in ((UNARY, (U,)), (BINARY, (U, V))):
        for operation in operations.values():
            reached |= _ops(operation, *(leaf(one, torch.float32) for one in leaves))
    z = [
        torch.complex(torch.tensor(a), torch.tensor(b)).requires_grad_()
        for a, b in ((U, V), (V, U))
    ]
    for operation in COMPLEX.values():
        reached |= _ops(operation, *z)
    missed = set(RULES) - reached
    assert missed == set()
    assert len(RULES) - len(missed) >= 60


def _ops(operation: Operation, *leaves: Tensor) -> set[str]:
    out = operation(*leaves)
    assert isinstance(out, Tensor)
    return {node.op for node in record(out, gradient=torch.ones_like(out)).nodes}


def test_numbers_stand_in_the_formula() -> None:
    u = torch.tensor(3.0, requires_grad=True)
    v = torch.tensor(-2.0, requires_grad=True)
    (step, *_) = record(u * v).steps
    assert [(r.wrt, r.formula, r.numbers) for r in step.rules if r] == [
        ("self", "grad · other", "1.0 · (-2.0)"),
        ("other", "grad · self", "1.0 · 3.0"),
    ]


def test_real_numbers_have_no_conjugates_in_their_formulas() -> None:
    for operation in UNARY.values():
        out = operation(leaf(U))
        assert isinstance(out, Tensor)
        for step in record(out, gradient=torch.ones_like(out)).steps:
            assert not any("conj" in rule.formula for rule in step.rules if rule)


def test_long_tensors_leave_the_formula_without_numbers() -> None:
    u = torch.ones(5, requires_grad=True)
    (step, *_) = record(u * u, gradient=torch.ones(5)).steps
    assert step.rules[0]
    assert step.rules[0].numbers == ""


def test_a_wrong_rule_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (Local("self", "grad · self", lambda g, s: g * 2),)
    monkeypatch.setitem(RULES, "SinBackward0", wrong)
    u = torch.tensor(3.0, requires_grad=True)
    (step, *_) = record(u.sin()).steps
    assert step.rules == (None,)


def test_an_operation_without_a_rule_says_so() -> None:
    u = leaf(V)
    (step, *_) = record(torch.special.i0(u).sum()).steps[1:]
    assert step.rules == (None,)


def test_an_option_that_the_formula_does_not_cover_gives_no_rule() -> None:
    u = leaf(U)
    weight = torch.tensor([1.0, 2, 3]).double()
    (step, *_) = record(F.nll_loss(u, torch.tensor([2, 0]), weight)).steps
    assert step.rules == (None,)
    (step, *_) = record(F.selu(u), gradient=torch.ones_like(u)).steps
    assert step.rules == (None,)


@pytest.mark.parametrize(
    ("operation", "formula"),
    [
        (lambda u: F.mse_loss(u, u.detach() + 1), "grad · 2 (self - target) / count"),
        (
            lambda u: F.mse_loss(u, u.detach() + 1, reduction="sum"),
            "grad · 2 (self - target)",
        ),
        (lambda u: u.clamp(min=0).sum(), "grad · [min ≤ self]"),
        (lambda u: (u**0).sum(), "0"),
        (lambda u: (u * 0).norm(), "where(result = 0, 0, grad · self / result)"),
        (lambda u: torch.add(u, u, alpha=1).sum(), "grad"),
        (lambda u: torch.add(u, u, alpha=2).sum(), "grad · alpha"),
    ],
)
def test_the_formula_depends_on_the_options(operation: Operation, formula: str) -> None:
    out = operation(leaf(U))
    assert isinstance(out, Tensor)
    rules = [rule for step in record(out).steps for rule in step.rules if rule]
    assert formula in [rule.formula for rule in rules]


def test_a_gradient_changed_by_a_hook_has_no_rule() -> None:
    u = torch.tensor(3.0, requires_grad=True)
    z = u.sin()
    assert z.grad_fn is not None
    z.grad_fn.register_hook(lambda sent, received: (sent[0] * 10,))
    (step, *_) = record(z).steps
    assert step.rules == (None,)


def test_saved_values_that_cannot_be_had_give_no_rule() -> None:
    one = torch.tensor(1.0)
    assert local_rule("SinBackward0", 0, [one], {"self": "<packed>"}, [one]) is None
    assert local_rule("NoSuchBackward0", 0, [one], {}, [one]) is None
