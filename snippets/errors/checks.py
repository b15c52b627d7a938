# %% derivative_not_implemented raises="NotImplementedError"
import torch

a = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
b = torch.tensor([[3.0, 0.0]])
distance = torch.cdist(a, b)
(g,) = torch.autograd.grad(distance.sum(), a, create_graph=True)
g.sum().backward()

# %% derivative_not_implemented_cure
distance = (a[:, None] - b).norm(dim=-1)
(g,) = torch.autograd.grad(distance.sum(), a, create_graph=True)
g.sum().backward()
print("a.grad =", a.grad)

# %% aten_derivative_not_implemented raises="RuntimeError"
from torch.nn.functional import scaled_dot_product_attention as attention

torch.manual_seed(0)
q = torch.randn(1, 1, 3, 4, requires_grad=True)
y = attention(q, q, q)
(g,) = torch.autograd.grad(y.pow(2).sum(), q, create_graph=True)
g.pow(2).sum().backward()

# %% aten_derivative_not_implemented_cure
from torch.nn.attention import SDPBackend, sdpa_kernel

with sdpa_kernel(SDPBackend.MATH):
    y = attention(q, q, q)
(g,) = torch.autograd.grad(y.pow(2).sum(), q, create_graph=True)
g.pow(2).sum().backward()
print("q.grad.shape =", q.grad.shape)

# zh: 同一个公式，自己写
# en: the same formula, written out
p = q.detach().clone().requires_grad_()
y = (p @ p.mT / 4**0.5).softmax(-1) @ p
(g,) = torch.autograd.grad(y.pow(2).sum(), p, create_graph=True)
g.pow(2).sum().backward()
print("same by hand:", torch.allclose(q.grad, p.grad, rtol=1e-3))

# %% aten_derivative_not_implemented_wrong raises="RuntimeError"
with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
    y = attention(q, q, q)
(g,) = torch.autograd.grad(y.pow(2).sum(), q, create_graph=True)
g.pow(2).sum().backward()

# %% gradient_penalty
x = torch.tensor(2.0, requires_grad=True)
w = torch.tensor(3.0, requires_grad=True)
y = w * x**2
(g,) = torch.autograd.grad(y, x, retain_graph=True)
loss = y + g**2
loss.backward()
print("w.grad =", w.grad)

# %% gradient_penalty_find
print("g.requires_grad =", g.requires_grad)

# %% gradient_penalty_cure
w.grad = None
y = w * x**2
(g,) = torch.autograd.grad(y, x, create_graph=True)
loss = y + g**2
loss.backward()
print("w.grad =", w.grad)

# %% jacobian_mismatch raises="GradcheckError"
from torch.autograd import Function, gradcheck


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return x * grad


x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
gradcheck(Square.apply, x)


# %% jacobian_mismatch_cure
class SquareCured(Square):
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


print("gradcheck:", gradcheck(SquareCured.apply, x))

# %% jacobian_mismatch_cure_2
from torch.nn.functional import dropout


def seeded(x):
    torch.manual_seed(0)
    return dropout(x)


print("random:", gradcheck(dropout, x, raise_exception=False))
print("seeded:", gradcheck(seeded, x))

# %% gradcheck_precision
x = torch.tensor([1.0, 2.0], requires_grad=True)
print("gradcheck:", gradcheck(torch.sin, x, raise_exception=False))

# %% gradcheck_precision_cure
x64 = x.detach().double().requires_grad_()
print("gradcheck:", gradcheck(torch.sin, x64))


# %% gradcheck_precision_wrong
class SineOff(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    # zh: 错了 5%
    # en: wrong by 5%
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 1.05 * x.cos() * grad


print("wrong formula passes:", gradcheck(SineOff.apply, x, atol=0.1))

# %% gradcheck_needs_grad raises="ValueError"
x = torch.tensor([1.0, 2.0], dtype=torch.float64)
gradcheck(torch.sin, x)

# %% gradcheck_needs_grad_cure
x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
print("gradcheck:", gradcheck(torch.sin, x))

# %% gradcheck_stride_0 raises="RuntimeError"
x = torch.tensor(2.0, dtype=torch.float64).expand(3).requires_grad_()
gradcheck(torch.sin, x)

# %% gradcheck_stride_0_cure
x = torch.tensor(2.0, dtype=torch.float64).expand(3).contiguous().requires_grad_()
print("gradcheck:", gradcheck(torch.sin, x))

# %% gradcheck_stride_0_cure_2
x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
print("gradcheck:", gradcheck(lambda x: x.expand(3).sin(), x))


# %% gradcheck_nondeterministic raises="GradcheckError"
class DoubleNoisy(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * (2 + 1e-9 * torch.rand_like(grad))


torch.manual_seed(0)
x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
gradcheck(DoubleNoisy.apply, x)


# %% gradcheck_nondeterministic_cure
class Double(DoubleNoisy):
    @staticmethod
    def backward(ctx, grad):
        return grad * 2


print("gradcheck:", gradcheck(Double.apply, x))

# %% gradcheck_nondeterministic_cure_2
print("gradcheck:", gradcheck(DoubleNoisy.apply, x, nondet_tol=1e-8))

# %% gradcheck_zero_expected raises="GradcheckError"
x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
gradcheck(lambda x: x.detach() ** 2, x)

# %% gradcheck_zero_expected_cure
print("gradcheck:", gradcheck(lambda x: x**2, x))


# %% backward_not_multiplied raises="GradcheckError"
class SquareLoss(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x * x).sum()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x


x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
gradcheck(SquareLoss.apply, x)

# %% backward_not_multiplied_find
(10 * SquareLoss.apply(x)).backward()
print("x.grad =", x.grad)


# %% backward_not_multiplied_cure
class SquareLossCured(SquareLoss):
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


print("gradcheck:", gradcheck(SquareLossCured.apply, x))
x.grad = None
(10 * SquareLossCured.apply(x)).backward()
print("x.grad =", x.grad)

# %% gradcheck_not_a_tensor raises="AttributeError"
x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
gradcheck(lambda x: (x * x).sum().item(), x)

# %% gradcheck_not_a_tensor_cure
print("gradcheck:", gradcheck(lambda x: (x * x).sum(), x))

# %% jacobian_strict raises="RuntimeError"
from torch.autograd.functional import hessian, jacobian

a, b = torch.tensor([1.0, 2.0]), torch.tensor([5.0])


def f(a, b):
    return a**2


jacobian(f, (a, b), strict=True)


# %% jacobian_strict_cure
def f(a, b):
    return a**2 * b


by_a, by_b = jacobian(f, (a, b), strict=True)
print("by_a =", by_a)
print("by_b =", by_b)

# %% jacobian_strict_cure_2
print("by_b =", jacobian(lambda a, b: a**2, (a, b))[1])

# %% strict_and_vectorize raises="RuntimeError"
x = torch.tensor([1.0, 2.0])
jacobian(torch.exp, x, strict=True, vectorize=True)

# %% strict_and_vectorize_cure
print("J =", jacobian(torch.exp, x, vectorize=True))

# %% hessian_needs_scalar raises="RuntimeError"
x = torch.tensor([1.0, 2.0])
hessian(lambda x: x**3, x)

# %% hessian_needs_scalar_cure
print("H =", hessian(lambda x: (x**3).sum(), x))

# %% hessian_needs_scalar_cure_2
H = torch.func.hessian(lambda x: x**3)(x)
print("H.shape =", H.shape)
print("H[1] =", H[1])

# %% checkpoint_use_reentrant
from torch.utils.checkpoint import checkpoint

x = torch.tensor([0.0, 1.0], requires_grad=True)
y = checkpoint(torch.sin, x)

# %% checkpoint_use_reentrant_cure
y = checkpoint(torch.sin, x, use_reentrant=False)
y.sum().backward()
print("x.grad =", x.grad)

# %% checkpoint_no_grad_input
layer = torch.nn.Linear(2, 1)
features = torch.tensor([[1.0, 2.0]])
y = checkpoint(layer, features, use_reentrant=True)
print("y.requires_grad =", y.requires_grad)

# %% checkpoint_no_grad_input_cure
y = checkpoint(layer, features, use_reentrant=False)
y.sum().backward()
print("layer.weight.grad =", layer.weight.grad)

# %% checkpoint_no_grad_input_cure_2
layer.zero_grad()
features.requires_grad_()
y = checkpoint(layer, features, use_reentrant=True)
y.sum().backward()
print("layer.weight.grad =", layer.weight.grad)

# %% checkpoint_reentrant_grad raises="RuntimeError"
x = torch.tensor([0.0, 1.0], requires_grad=True)
y = checkpoint(torch.sin, x, use_reentrant=True)
torch.autograd.grad(y.sum(), x)

# %% checkpoint_reentrant_grad_cure
y = checkpoint(torch.sin, x, use_reentrant=False)
print("gradient =", torch.autograd.grad(y.sum(), x))

# %% checkpoint_different_number raises="CheckpointError"
from torch import nn

model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(), nn.Linear(4, 1))
x = torch.ones(3, 2)
y = checkpoint(model, x, use_reentrant=False)
model.eval()
y.sum().backward()

# %% checkpoint_different_number_cure
model.train()
y = checkpoint(model, x, use_reentrant=False)
y.sum().backward()
model.eval()
print("bias.grad =", model[2].bias.grad)

# %% checkpoint_different_metadata raises="CheckpointError"
import random

random.seed(4)


def crop(x):
    n = random.randint(1, 3)
    return x[:n].exp()


x = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
y = checkpoint(crop, x, use_reentrant=False)
y.sum().backward()

# %% checkpoint_different_metadata_cure
random.seed(4)
n = random.randint(1, 3)
y = checkpoint(lambda x, n: x[:n].exp(), x, n, use_reentrant=False)
y.sum().backward()
print("x.grad =", x.grad)

# %% checkpoint_different_metadata_cure_2
torch.manual_seed(0)


def crop(x):
    n = torch.randint(1, 4, ())
    return x[:n].exp()


x.grad = None
y = checkpoint(crop, x, use_reentrant=False)
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)

# %% checkpoint_different_metadata_wrong
lengths = iter([3, 1])
x.grad = None
y = checkpoint(
    lambda x: x[: next(lengths)].exp(),
    x,
    use_reentrant=False,
    determinism_check="none",
)
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)

# %% checkpoint_wrong_gradient
temperature = 1.0


def block(x):
    return (x * temperature).exp()


x = torch.tensor([0.0, 1.0], requires_grad=True)
y = checkpoint(block, x, use_reentrant=False)
temperature = 2.0
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)


# %% checkpoint_wrong_gradient_cure
def block(x, temperature):
    return (x * temperature).exp()


x = torch.tensor([0.0, 1.0], requires_grad=True)
temperature = 1.0
y = checkpoint(block, x, temperature, use_reentrant=False)
temperature = 2.0
y.sum().backward()
print("x.grad =", x.grad)


# %% checkpoint_unpacked_twice raises="CheckpointError"
class Product(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[1], grad * ctx.saved_tensors[0]


a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(5.0, requires_grad=True)
checkpoint(Product.apply, a, b, use_reentrant=False).backward()


# %% checkpoint_unpacked_twice_cure
class ProductCured(Product):
    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        return grad * b, grad * a


checkpoint(ProductCured.apply, a, b, use_reentrant=False).backward()
print("a.grad =", a.grad, " b.grad =", b.grad)

# %% forward_no_level raises="RuntimeError"
import torch.autograd.forward_ad as fwAD

x, v = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0])
fwAD.make_dual(x, v)

# %% forward_no_level_cure
with fwAD.dual_level():
    y = torch.sin(fwAD.make_dual(x, v))
    print("tangent =", fwAD.unpack_dual(y).tangent)

# %% forward_no_level_cure_2
y, tangent = torch.func.jvp(torch.sin, (x,), (v,))
print("tangent =", tangent)

# %% forward_nested raises="RuntimeError"
with fwAD.dual_level(), fwAD.dual_level():
    pass

# %% forward_nested_cure
x = torch.tensor(2.0)


def slope(x):
    return torch.func.jvp(lambda x: x**3, (x,), (torch.ones(()),))[1]


y, second = torch.func.jvp(slope, (x,), (torch.ones(()),))
print("first =", y)
print("second =", second)

# %% forward_shape raises="RuntimeError"
x = torch.tensor([0.0, 1.0])
with fwAD.dual_level():
    fwAD.make_dual(x, torch.tensor(1.0))

# %% forward_shape_cure
with fwAD.dual_level():
    y = torch.sin(fwAD.make_dual(x, torch.ones_like(x)))
    print("tangent =", fwAD.unpack_dual(y).tangent)


# %% forward_not_supported raises="NotImplementedError"
def self_attention(q):
    return attention(q, q, q)


torch.manual_seed(0)
q, v = torch.randn(1, 1, 3, 4), torch.randn(1, 1, 3, 4)
torch.func.jvp(self_attention, (q,), (v,))

# %% forward_not_supported_cure
q, v = q.double(), v.double()
with sdpa_kernel(SDPBackend.MATH):
    y, tangent = torch.func.jvp(self_attention, (q,), (v,))
h = 1e-6
difference = (self_attention(q + h * v) - self_attention(q - h * v)) / (2 * h)
print("same as the difference quotient:", torch.allclose(tangent, difference))

# %% forward_not_supported_cure_2
y, pull_back = torch.func.vjp(self_attention, q)
(g,) = pull_back(torch.ones_like(y))
print("same along v:", torch.allclose((g * v).sum(), tangent.sum()))

# %% forward_integer raises="ValueError"
n = torch.tensor([1, 2])
with fwAD.dual_level():
    fwAD.make_dual(n, torch.ones(2))

# %% forward_integer_cure
with fwAD.dual_level():
    y = fwAD.make_dual(n.float(), torch.ones(2)) ** 2
    print("tangent =", fwAD.unpack_dual(y).tangent)

# %% tangent_none
x = torch.tensor([0.0, 1.0])
with fwAD.dual_level():
    y = torch.sin(fwAD.make_dual(x, torch.ones(2)))
print("tangent =", fwAD.unpack_dual(y).tangent)

# %% tangent_none_cure
with fwAD.dual_level():
    y = torch.sin(fwAD.make_dual(x, torch.ones(2)))
    tangent = fwAD.unpack_dual(y).tangent
print("tangent =", tangent)

# %% cudnn_rnn_eval
model = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(1, 1), "drop": torch.nn.Dropout()})
model.eval()
out, _ = model["rnn"](torch.ones(2, 1, 1))
model["drop"](out).sum().backward()
in_eval = model["rnn"].weight_ih_l0.grad
print("on the CPU, a gradient:", in_eval is not None)

# %% cudnn_rnn_eval_cure
for module in model.modules():
    if isinstance(module, torch.nn.RNNBase):
        module.train()
print({name: module.training for name, module in model.items()})

# %% cudnn_rnn_eval_cure_2
model.eval()
model.zero_grad()
with torch.backends.cudnn.flags(enabled=False):
    out, _ = model["rnn"](torch.ones(2, 1, 1))
model["drop"](out).sum().backward()
print("same gradient:", torch.equal(model["rnn"].weight_ih_l0.grad, in_eval))

# %% not_deterministic raises="RuntimeError"
values = torch.tensor([[[[5.0]]]], requires_grad=True)
places = torch.tensor([[[[2]]]])
torch.use_deterministic_algorithms(True)
try:
    torch.nn.functional.max_unpool2d(values, places, kernel_size=2)
finally:
    torch.use_deterministic_algorithms(False)

# %% not_deterministic_order
big, small = torch.tensor(1e8), torch.tensor(1.0)
print((big + small) - big, (big - big) + small)

# %% not_deterministic_cure
torch.use_deterministic_algorithms(True)
flat = torch.zeros(1, 1, 4).scatter(2, places.flatten(2), values.flatten(2))
flat.unflatten(2, (2, 2)).sum().backward()
torch.use_deterministic_algorithms(False)
print("flat =", flat.detach())
print("values.grad =", values.grad)

# %% not_deterministic_cure_2
torch.use_deterministic_algorithms(True, warn_only=True)
out = torch.nn.functional.max_unpool2d(values, places, kernel_size=2)
torch.use_deterministic_algorithms(False)
print("out =", out.detach())
