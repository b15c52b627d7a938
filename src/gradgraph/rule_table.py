"""The rules of the table: how each operation's node makes the gradients that it sends.

`RULES` has one rule per input of an operation: the input's name in torch, the formula for the
reader, and the same as a function of this run's tensors. Torch's own derivatives.yaml has these
rules in its notation; the tests hold each of ours against what torch sends.

Formulas: `·` multiplies elementwise, `@` is the matrix product, `Σ` sums over the dimensions that
broadcasting added, `[self > 0]` is 1 where that holds and else 0. `grad` is the received gradient;
other names are what the node saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Operands:
    """What a rule may use: what the node saved, by name, and the input that it is about.

    Attributes:
        saved: tensors, numbers and options, by torch's names; also to be had as attributes.
        edge: the number of the input among the node's edges.
        shapes: of all inputs that the node has an edge for, in order.
        dtype: of the gradient to be sent.
        received: the gradients of all results, for an operation that has several.
    """

    def __init__(
        self,
        saved: Mapping[str, Any],
        edge: int,
        shapes: Sequence[tuple[int, ...]],
        dtype: torch.dtype,
        received: Sequence[Tensor | None] = (),
    ) -> None:
        self.saved, self.edge, self.shapes, self.dtype = saved, edge, shapes, dtype
        self.received = received
        self.shape = shapes[edge]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.saved[name]
        except KeyError:
            raise AttributeError(name) from None


Compute = Callable[[Tensor, Operands], Any]
Formula = Callable[[Mapping[str, Any]], str]
"""A formula that depends on the options that the node saved."""


class Local(NamedTuple):
    """A rule in the table."""

    wrt: str
    formula: str | Formula
    compute: Compute


def _all(*rules: tuple[str, str | Formula, Compute]) -> tuple[Local, ...]:
    return tuple(Local(*rule) for rule in rules)


def _self(formula: str | Formula, compute: Compute) -> tuple[Local, ...]:
    return (Local("self", formula, compute),)


def _mask(condition: Tensor, grad: Tensor) -> Tensor:
    return torch.where(condition, grad, torch.zeros_like(grad))


def _keep(reduced: Tensor, s: Operands) -> Tensor:
    """A reduction's result or gradient with the reduced dimensions put back, as size 1."""
    dims = s.saved.get("dim")
    if s.saved.get("keepdim") or dims is None:
        return reduced
    count = len(s.shape)
    every = [dims] if isinstance(dims, int) else list(dims) or list(range(count))
    for dim in sorted(_signed(one) % count for one in every):
        reduced = reduced.unsqueeze(dim)
    return reduced


def _signed(number: int) -> int:
    """Torch stores a negative dimension as an unsigned number."""
    return number - 2**64 if number >= 2**63 else number


def _dim(s: Operands, name: str = "dim") -> int:
    return _signed(s.saved[name])


def _reduction(grad: Tensor, s: Operands) -> Tensor:
    """What one element of a loss receives: the mean divides by their number (0 none, 1 mean)."""
    return grad / s.self.numel() if s.reduction == 1 else grad


def _ties(s: Operands) -> Tensor:
    """Where a maximum or minimum was reached; each of n places counts 1/n."""
    hit = (s.self == _keep(s.result, s)).to(s.self.dtype)
    dims = s.saved.get("dim")
    every = [_signed(one) for one in dims] if dims else list(range(hit.ndim))
    ties: Tensor = hit / hit.sum(every, keepdim=True)
    return ties


def _into_index(grad: Tensor, s: Operands) -> Tensor:
    dim = _dim(s)
    grad = grad if s.saved.get("keepdim", True) else grad.unsqueeze(dim)
    indices = s.indices if s.saved.get("keepdim", True) else s.indices.unsqueeze(dim)
    return grad.new_zeros(s.shape).scatter(dim, indices, grad)


def _select(grad: Tensor, s: Operands) -> Tensor:
    return torch.select_scatter(grad.new_zeros(s.shape), grad, _dim(s), _signed(s.index))


def _slice(grad: Tensor, s: Operands) -> Tensor:
    size = s.shape[_dim(s)]
    start, end = (min(max(_signed(one), -size), size) for one in (s.start, s.end))
    return torch.slice_scatter(grad.new_zeros(s.shape), grad, _dim(s), start, end, s.step)


def _index(grad: Tensor, s: Operands) -> Tensor:
    added: Tensor = torch.ops.aten.index_put(grad.new_zeros(s.shape), list(s.indices), grad, True)
    return added


def _permute(grad: Tensor, s: Operands) -> Tensor:
    dims = [_signed(one) % grad.ndim for one in s.dims]
    return grad.permute([dims.index(one) for one in range(len(dims))])


def _part(grad: Tensor, s: Operands) -> Tensor:
    """The input's part of a concatenation: the parts before it are told by their sizes."""
    dim = _dim(s)
    start = sum(shape[dim] for shape in s.shapes[: s.edge])
    return grad.narrow(dim, start, s.shape[dim])


def _stack(grad: Tensor, s: Operands) -> Tensor:
    """Of all results; those that nobody used have no gradient, which counts as zero."""
    return torch.stack([torch.zeros_like(grad) if g is None else g for g in s.received], _dim(s))


def _layer_norm(grad: Tensor, s: Operands) -> Tensor:
    dims = list(range(-len(s.normalized_shape), 0))
    unit = (s.input - s.result1) * s.result2
    inner = grad if s.weight is None else grad * s.weight
    mean = inner.mean(dims, keepdim=True)
    made: Tensor = s.result2 * (inner - mean - unit * (inner * unit).mean(dims, keepdim=True))
    return made


def _norm(grad: Tensor, s: Operands) -> Tensor:
    result, grad = _keep(s.result, s), _keep(grad, s)
    made: Tensor = torch.where(result == 0, torch.zeros_like(s.self), grad * s.self / result)
    return made if s.ord == 2 else grad * s.self.sgn()


def _norm_formula(saved: Mapping[str, Any]) -> str:
    if saved["ord"] != 2:
        return "grad · sgn(self)"
    at_zero = bool((saved["result"] == 0).any())
    return "where(result = 0, 0, grad · self / result)" if at_zero else "grad · self / result"


def _nll(grad: Tensor, s: Operands) -> Tensor:
    if s.weight is not None:
        raise ValueError("class weights")
    kept = (s.target != s.ignore_index).to(s.self.dtype)
    each = -kept * grad / (s.total_weight if s.reduction == 1 else 1)
    at = s.target.clamp(min=0).unsqueeze(-1)
    return torch.zeros_like(s.self).scatter(-1, at, each.unsqueeze(-1))


def _matrix(one: Tensor) -> Tensor:
    return one.mH if one.ndim > 1 else one.conj()


def _gelu(grad: Tensor, s: Operands) -> Tensor:
    if s.approximate != "none":
        raise ValueError(s.approximate)
    density = torch.exp(-(s.self**2) / 2) / math.sqrt(2 * math.pi)
    made: Tensor = grad * (torch.special.ndtr(s.self) + s.self * density)
    return made


def _elu(grad: Tensor, s: Operands) -> Tensor:
    if s.scale != 1 or s.input_scale != 1:
        raise ValueError("scaled, as in selu and celu")
    return grad * torch.where(s.self > 0, torch.ones_like(s.self), s.alpha * torch.exp(s.self))


def _clamp(grad: Tensor, s: Operands) -> Tensor:
    inside = torch.ones_like(s.self, dtype=torch.bool)
    if s.min is not None:
        inside &= s.self >= s.min
    if s.max is not None:
        inside &= s.self <= s.max
    return _mask(inside, grad)


def _clamp_formula(saved: Mapping[str, Any]) -> str:
    low = "" if saved["min"] is None else "min ≤ "
    high = "" if saved["max"] is None else " ≤ max"
    return f"grad · [{low}self{high}]"


def _prod(grad: Tensor, s: Operands) -> Tensor:
    if (s.self == 0).any():
        raise ValueError("a zero factor needs the product of the others")
    made: Tensor = grad * s.result / s.self
    return made


def _same(grad: Tensor, s: Operands) -> Tensor:
    return grad


def _reshape(grad: Tensor, s: Operands) -> Tensor:
    return grad.reshape(s.shape)


def _expand(grad: Tensor, s: Operands) -> Tensor:
    return _keep(grad, s).expand(s.shape)


SAME = _self("grad", _same)
RESHAPE = _self("grad.reshape(shape)", _reshape)


def _loss(formula: str) -> Formula:
    return lambda saved: f"{formula} / count" if saved["reduction"] == 1 else formula


RULES: dict[str, tuple[Local, ...] | Callable[[int], Local]] = {
    # Arithmetic
    "AddBackward0": _all(
        ("self", "grad", _same),
        ("other", "grad · alpha", lambda g, s: g * s.alpha),
    ),
    "SubBackward0": _all(
        ("self", "grad", _same),
        ("other", "-grad · alpha", lambda g, s: -g * s.alpha),
    ),
    "RsubBackward1": _self("-grad · alpha", lambda g, s: -g * s.alpha),
    "MulBackward0": _all(
        ("self", "grad · conj(other)", lambda g, s: g * s.other.conj()),
        ("other", "grad · conj(self)", lambda g, s: g * s.self.conj()),
    ),
    "DivBackward0": _all(
        ("self", "grad / conj(other)", lambda g, s: g / s.other.conj()),
        (
            "other",
            "-grad · conj((self / other)) / conj(other)",
            lambda g, s: -g * (s.self / s.other).conj() / s.other.conj(),
        ),
    ),
    "NegBackward0": _self("-grad", lambda g, s: -g),
    "ReciprocalBackward0": _self(
        "-grad · conj(result)²", lambda g, s: -g * (s.result * s.result).conj()
    ),
    "PowBackward0": _self(
        lambda saved: (
            "0" if saved["exponent"] == 0 else "grad · exponent · conj(self)^(exponent - 1)"
        ),
        lambda g, s: (
            torch.zeros_like(g)
            if s.exponent == 0
            else g * (s.exponent * s.self ** (s.exponent - 1)).conj()
        ),
    ),
    "PowBackward1": _all(
        (
            "self",
            "grad · exponent · self^(exponent - 1)",
            lambda g, s: g * s.exponent * s.self ** (s.exponent - 1),
        ),
        ("exponent", "grad · result · log(self)", lambda g, s: g * s.result * s.self.log()),
    ),
    "PowBackward2": _all(
        ("exponent", "grad · result · log(self)", lambda g, s: g * s.result * math.log(s.self)),
    ),
    "AddcmulBackward0": _all(
        ("self", "grad", _same),
        ("tensor1", "grad · value · tensor2", lambda g, s: g * s.value * s.tensor2),
        ("tensor2", "grad · value · tensor1", lambda g, s: g * s.value * s.tensor1),
    ),
    "LerpBackward0": _all(
        ("self", "grad · (1 - weight)", lambda g, s: g * (1 - s.weight)),
        ("end", "grad · weight", lambda g, s: g * s.weight),
    ),
    "SgnBackward0": _self("0", lambda g, s: torch.zeros_like(g)),
    "SignBackward0": _self("0", lambda g, s: torch.zeros_like(g)),
    "FloorBackward0": _self("0", lambda g, s: torch.zeros_like(g)),
    "CeilBackward0": _self("0", lambda g, s: torch.zeros_like(g)),
    "RoundBackward0": _self("0", lambda g, s: torch.zeros_like(g)),
    "TruncBackward0": _self("0", lambda g, s: torch.zeros_like(g)),
    # Functions of one number
    "ExpBackward0": _self("grad · conj(result)", lambda g, s: g * s.result.conj()),
    "Exp2Backward0": _self("grad · result · log 2", lambda g, s: g * s.result * math.log(2)),
    "Expm1Backward0": _self("grad · (result + 1)", lambda g, s: g * (s.result + 1)),
    "LogBackward0": _self("grad / conj(self)", lambda g, s: g / s.self.conj()),
    "Log1PBackward0": _self("grad / (self + 1)", lambda g, s: g / (s.self + 1)),
    "Log2Backward0": _self("grad / (self · log 2)", lambda g, s: g / (s.self * math.log(2))),
    "Log10Backward0": _self("grad / (self · log 10)", lambda g, s: g / (s.self * math.log(10))),
    "SqrtBackward0": _self("grad / (2 · conj(result))", lambda g, s: g / (2 * s.result.conj())),
    "RsqrtBackward0": _self("-0.5 · grad · result³", lambda g, s: -0.5 * g * s.result**3),
    "AbsBackward0": _self("grad · sgn(self)", lambda g, s: g * s.self.sgn()),
    "SinBackward0": _self("grad · conj(cos(self))", lambda g, s: g * s.self.cos().conj()),
    "CosBackward0": _self("grad · conj(-sin(self))", lambda g, s: g * -s.self.sin().conj()),
    "TanBackward0": _self("grad · (1 + result²)", lambda g, s: g * (1 + s.result**2)),
    "AsinBackward0": _self("grad / sqrt(1 - self²)", lambda g, s: g / (1 - s.self**2).sqrt()),
    "AcosBackward0": _self("-grad / sqrt(1 - self²)", lambda g, s: -g / (1 - s.self**2).sqrt()),
    "AtanBackward0": _self("grad / (1 + self²)", lambda g, s: g / (1 + s.self**2)),
    "SinhBackward0": _self("grad · cosh(self)", lambda g, s: g * s.self.cosh()),
    "CoshBackward0": _self("grad · sinh(self)", lambda g, s: g * s.self.sinh()),
    "TanhBackward0": _self("grad · (1 - result²)", lambda g, s: g * (1 - s.result**2)),
    "SigmoidBackward0": _self(
        "grad · result · (1 - result)", lambda g, s: g * s.result * (1 - s.result)
    ),
    "ErfBackward0": _self(
        "grad · 2/√π · exp(-self²)",
        lambda g, s: g * 2 / math.sqrt(math.pi) * torch.exp(-(s.self**2)),
    ),
    "Atan2Backward0": _all(
        (
            "self",
            "grad · other / (self² + other²)",
            lambda g, s: g * s.other / (s.self**2 + s.other**2),
        ),
        (
            "other",
            "-grad · self / (self² + other²)",
            lambda g, s: -g * s.self / (s.self**2 + s.other**2),
        ),
    ),
    # Activations
    "ReluBackward0": _self("grad · [result > 0]", lambda g, s: _mask(s.result > 0, g)),
    "LeakyReluBackward0": _self(
        "grad · where(self > 0, 1, negative_slope)",
        lambda g, s: g * torch.where(s.self > 0, 1.0, s.negative_slope).to(g.dtype),
    ),
    "EluBackward0": _self("grad · where(self > 0, 1, alpha · exp(self))", _elu),
    "GeluBackward0": _self("grad · (Φ(self) + self · φ(self))", _gelu),
    "SiluBackward0": _self(
        "grad · σ(self) · (1 + self · (1 - σ(self)))",
        lambda g, s: g * s.self.sigmoid() * (1 + s.self * (1 - s.self.sigmoid())),
    ),
    "SoftplusBackward0": _self(
        "grad · σ(beta · self)",
        lambda g, s: torch.where(s.self * s.beta > s.threshold, g, g * (s.self * s.beta).sigmoid()),
    ),
    "LogSigmoidBackward0": _self("grad · σ(-self)", lambda g, s: g * (-s.self).sigmoid()),
    "HardtanhBackward0": _self(
        "grad · [min_val < self < max_val]",
        lambda g, s: _mask((s.self > s.min_val) & (s.self < s.max_val), g),
    ),
    "SoftmaxBackward0": _self(
        "result · (grad - sum(grad · result))",
        lambda g, s: s.result * (g - (g * s.result).sum(_dim(s), keepdim=True)),
    ),
    "LogSoftmaxBackward0": _self(
        "grad - exp(result) · sum(grad)",
        lambda g, s: g - s.result.exp() * g.sum(_dim(s), keepdim=True),
    ),
    # Comparisons and choices
    "ClampBackward1": _self(_clamp_formula, _clamp),
    "ClampMinBackward0": _self("grad · [self ≥ min]", lambda g, s: _mask(s.self >= s.min, g)),
    "ClampMaxBackward0": _self("grad · [self ≤ max]", lambda g, s: _mask(s.self <= s.max, g)),
    "MaximumBackward0": _all(
        (
            "self",
            "grad · ([self > other] + ½ [self = other])",
            lambda g, s: g * ((s.self > s.other) + 0.5 * (s.self == s.other)).to(g.dtype),
        ),
        (
            "other",
            "grad · ([other > self] + ½ [self = other])",
            lambda g, s: g * ((s.other > s.self) + 0.5 * (s.self == s.other)).to(g.dtype),
        ),
    ),
    "MinimumBackward0": _all(
        (
            "self",
            "grad · ([self < other] + ½ [self = other])",
            lambda g, s: g * ((s.self < s.other) + 0.5 * (s.self == s.other)).to(g.dtype),
        ),
        (
            "other",
            "grad · ([other < self] + ½ [self = other])",
            lambda g, s: g * ((s.other < s.self) + 0.5 * (s.self == s.other)).to(g.dtype),
        ),
    ),
    "WhereBackward0": _all(
        # The first input of where is the condition, which has no gradient and no edge.
        ("self", "where(condition, grad, 0)", lambda g, s: _mask(s.condition, g)),
        ("other", "where(condition, 0, grad)", lambda g, s: _mask(~s.condition, g)),
    ),
    "MaskedFillBackward0": _self("where(mask, 0, grad)", lambda g, s: _mask(~s.mask, g)),
    # Reductions
    "SumBackward0": _self("grad.expand(shape)", _expand),
    "SumBackward1": _self("grad.expand(shape)", _expand),
    "MeanBackward0": _self(
        "grad.expand(shape) / numel", lambda g, s: g.expand(s.shape) / math.prod(s.shape)
    ),
    "MeanBackward1": _self(
        "grad.expand(shape) / count",
        lambda g, s: _expand(g, s) * (_keep(g, s).numel() / math.prod(s.shape)),
    ),
    "ProdBackward0": _self("grad · result / self", _prod),
    "MaxBackward0": _self("zeros(shape).scatter(dim, indices, grad)", _into_index),
    "MinBackward0": _self("zeros(shape).scatter(dim, indices, grad)", _into_index),
    "MedianBackward1": _self("zeros(shape).scatter(dim, indices, grad)", _into_index),
    "SortBackward0": _self("zeros(shape).scatter(dim, indices, grad)", _into_index),
    "TopkBackward0": _self("zeros(shape).scatter(dim, indices, grad)", _into_index),
    "MaxBackward1": _self("grad · [self = result] / ties", lambda g, s: g * _ties(s)),
    "MinBackward1": _self("grad · [self = result] / ties", lambda g, s: g * _ties(s)),
    "AmaxBackward0": _self("grad · [self = result] / ties", lambda g, s: _keep(g, s) * _ties(s)),
    "AminBackward0": _self("grad · [self = result] / ties", lambda g, s: _keep(g, s) * _ties(s)),
    "LogsumexpBackward0": _self(
        "grad · exp(self - result)",
        lambda g, s: _keep(g, s) * torch.exp(s.self - _keep(s.result, s)),
    ),
    "CumsumBackward0": _self(
        "grad.flip(dim).cumsum(dim).flip(dim)",
        lambda g, s: g.flip(_dim(s)).cumsum(_dim(s)).flip(_dim(s)),
    ),
    "VarBackward0": _self(
        "grad · 2 (self - mean) / (numel - correction)",
        lambda g, s: (
            _keep(g, s)
            * 2
            * (s.self - _mean(s))
            / (s.self.numel() / _keep(g, s).numel() - _correction(s))
        ),
    ),
    "StdBackward0": _self(
        "grad · (self - mean) / (result · (numel - correction))",
        lambda g, s: (
            _keep(g, s)
            * (s.self - _mean(s))
            / _keep(s.result, s)
            / (s.self.numel() / _keep(g, s).numel() - _correction(s))
        ),
    ),
    "LinalgVectorNormBackward0": _self(_norm_formula, _norm),
    "TraceBackward0": _self(
        "grad · eye(shape)",
        lambda g, s: g * torch.eye(*s.shape, dtype=g.dtype),
    ),
    # Matrices
    "MmBackward0": _all(
        ("self", "grad @ mat2ᵀ", lambda g, s: g @ _matrix(s.mat2)),
        ("mat2", "selfᵀ @ grad", lambda g, s: _matrix(s.self) @ g),
    ),
    "BmmBackward0": _all(
        ("self", "grad @ mat2ᵀ", lambda g, s: g @ _matrix(s.mat2)),
        ("mat2", "selfᵀ @ grad", lambda g, s: _matrix(s.self) @ g),
    ),
    "AddmmBackward0": _all(
        ("self", "grad · beta", lambda g, s: g * s.beta),
        ("mat1", "grad @ mat2ᵀ · alpha", lambda g, s: g @ _matrix(s.mat2) * s.alpha),
        ("mat2", "mat1ᵀ @ grad · alpha", lambda g, s: _matrix(s.mat1) @ g * s.alpha),
    ),
    "MvBackward0": _all(
        ("self", "outer(grad, vec)", lambda g, s: torch.outer(g, s.vec.conj())),
        ("vec", "selfᵀ @ grad", lambda g, s: _matrix(s.self) @ g),
    ),
    "AddmvBackward0": _all(
        ("self", "grad · beta", lambda g, s: g * s.beta),
        ("mat", "outer(grad, vec) · alpha", lambda g, s: torch.outer(g, s.vec.conj()) * s.alpha),
        ("vec", "matᵀ @ grad · alpha", lambda g, s: _matrix(s.mat) @ g * s.alpha),
    ),
    "DotBackward0": _all(
        ("self", "grad · conj(tensor)", lambda g, s: g * s.tensor.conj()),
        ("tensor", "grad · conj(self)", lambda g, s: g * s.self.conj()),
    ),
    "TBackward0": _self("gradᵀ", lambda g, s: g.t()),
    "TransposeBackward0": _self(
        "grad.transpose(dim0, dim1)", lambda g, s: g.transpose(_dim(s, "dim0"), _dim(s, "dim1"))
    ),
    "PermuteBackward0": _self("grad.permute(argsort(dims))", _permute),
    "DiagonalBackward0": _self(
        "diagonal_scatter(zeros(shape), grad)",
        lambda g, s: torch.diagonal_scatter(
            g.new_zeros(s.shape), g, s.offset, _dim(s, "dim1"), _dim(s, "dim2")
        ),
    ),
    "DiagEmbedBackward0": _self(
        "grad.diagonal(offset)",
        lambda g, s: g.diagonal(s.offset, _dim(s, "dim1"), _dim(s, "dim2")),
    ),
    "TrilBackward0": _self("tril(grad)", lambda g, s: g.tril(s.diagonal)),
    "TriuBackward0": _self("triu(grad)", lambda g, s: g.triu(s.diagonal)),
    "LinalgInvExBackward0": _self(
        "-inverseᵀ @ grad @ inverseᵀ", lambda g, s: -_matrix(s.inverse) @ g @ _matrix(s.inverse)
    ),
    # Shapes and parts
    "ViewBackward0": RESHAPE,
    "UnsafeViewBackward0": RESHAPE,
    "UnsqueezeBackward0": RESHAPE,
    "SqueezeBackward0": RESHAPE,
    "SqueezeBackward1": RESHAPE,
    "SqueezeBackward2": RESHAPE,
    "SqueezeBackward4": RESHAPE,
    "ExpandBackward0": _self("grad.sum_to_size(shape)", lambda g, s: g.sum_to_size(s.shape)),
    "CloneBackward0": SAME,
    "ToCopyBackward0": _self("grad.to(dtype)", lambda g, s: g.to(s.dtype)),
    "SelectBackward0": _self("select_scatter(zeros(shape), grad, dim, index)", _select),
    "SliceBackward0": _self("slice_scatter(zeros(shape), grad, dim, start, end)", _slice),
    "IndexBackward0": _self("zeros(shape).index_put(indices, grad, accumulate)", _index),
    "IndexSelectBackward0": _self(
        "zeros(shape).index_add(dim, index, grad)",
        lambda g, s: g.new_zeros(s.shape).index_add(_dim(s), s.index, g),
    ),
    "GatherBackward0": _self(
        "zeros(shape).scatter_add(dim, index, grad)",
        lambda g, s: g.new_zeros(s.shape).scatter_add(_dim(s), s.index, g),
    ),
    "EmbeddingBackward0": (
        Local(
            "weight",
            "zeros(shape).index_add(0, indices, grad)",
            lambda g, s: (
                g.new_zeros(s.shape).index_add(0, s.indices.flatten(), g.reshape(-1, s.shape[-1]))
                if s.padding_idx >= 2**63 or s.padding_idx < 0
                else _no("padding")
            ),
        ),
    ),
    "CatBackward0": lambda index: Local(f"tensors[{index}]", f"grad.split(sizes)[{index}]", _part),
    "StackBackward0": lambda index: Local(
        f"tensors[{index}]",
        f"grad.select(dim, {index})",
        lambda g, s: g.select(_dim(s), s.edge),
    ),
    "UnbindBackward0": _self("stack(grad, dim)", _stack),
    "RepeatBackward0": _self(
        "Σ grad",
        lambda g, s: g.reshape(
            [n for pair in zip(s.repeats, s.shape, strict=True) for n in pair]
        ).sum(list(range(0, 2 * len(s.shape), 2))),
    ),
    "FlipBackward0": _self("grad.flip(dims)", lambda g, s: g.flip([_signed(d) for d in s.dims])),
    "RollBackward0": _self(
        "grad.roll(-shifts)",
        lambda g, s: g.roll([-_signed(n) for n in s.shifts], [_signed(d) for d in s.dims]),
    ),
    "ConstantPadNdBackward0": _self(
        "pad(grad, -pad)", lambda g, s: F.pad(g, [-_signed(n) for n in s.pad])
    ),
    # Losses and layers
    "MseLossBackward0": _all(
        (
            "self",
            _loss("grad · 2 (self - target)"),
            lambda g, s: _reduction(g, s) * 2 * (s.self - s.target),
        ),
        (
            "target",
            _loss("grad · 2 (target - self)"),
            lambda g, s: _reduction(g, s) * 2 * (s.target - s.self),
        ),
    ),
    "SmoothL1LossBackward0": _self(
        _loss("grad · clamp((self - target) / beta, -1, 1)"),
        lambda g, s: _reduction(g, s) * ((s.self - s.target) / s.beta).clamp(-1, 1),
    ),
    "HuberLossBackward0": _self(
        _loss("grad · clamp(self - target, -delta, delta)"),
        lambda g, s: _reduction(g, s) * (s.self - s.target).clamp(-s.delta, s.delta),
    ),
    "BinaryCrossEntropyBackward0": _self(
        _loss("grad · (self - target) / (self · (1 - self))"),
        lambda g, s: (
            _reduction(g, s) * (s.self - s.target) / (s.self * (1 - s.self))
            if s.weight is None
            else _no("weights")
        ),
    ),
    "BinaryCrossEntropyWithLogitsBackward0": _self(
        _loss("grad · (σ(self) - target)"),
        lambda g, s: (
            _reduction(g, s) * (s.self.sigmoid() - s.target)
            if s.weight is None and s.pos_weight is None
            else _no("weights")
        ),
    ),
    "NllLossBackward0": _self(_loss("-grad · onehot(target)"), _nll),
    "NativeLayerNormBackward0": _all(
        (
            "input",
            lambda saved: (
                "rstd · (g - mean(g) - x̂ · mean(g · x̂)), g = "
                + ("grad" if saved["weight"] is None else "grad · weight")
            ),
            _layer_norm,
        ),
        (
            "weight",
            "Σ grad · x̂",
            lambda g, s: (g * (s.input - s.result1) * s.result2).sum_to_size(s.shape),
        ),
        ("bias", "Σ grad", lambda g, s: g.sum_to_size(s.shape)),
    ),
    # Complex numbers
    "ConjBackward0": _self("conj(grad)", lambda g, s: g.conj().resolve_conj()),
    "ViewAsRealBackward0": _self("view_as_complex(grad)", lambda g, s: torch.view_as_complex(g)),
    "ViewAsComplexBackward0": _self("view_as_real(grad)", lambda g, s: torch.view_as_real(g)),
    "AngleBackward0": _self(
        "grad · i · self / |self|²", lambda g, s: g * 1j * s.self / s.self.abs() ** 2
    ),
}


def _no(reason: str) -> Tensor:
    raise ValueError(reason)


def _correction(s: Operands) -> float:
    return 1 if s.correction is None else s.correction


def _mean(s: Operands) -> Tensor:
    dims = s.dim if s.dim else list(range(s.self.ndim))
    mean: Tensor = s.self.mean([_signed(one) for one in dims], keepdim=True)
    return mean
