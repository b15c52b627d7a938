# %% by_hand
def f(x):
    return x * x * x


def central(h):
    return (f(1 + h) - f(1 - h)) / (2 * h)


for h in 1e-1, 1e-2, 1e-3, 1e-4:
    print(f"h = {h:.0e}:", f"error = {abs(central(h) - 3):.0e}")

# %% tiny_step
print("central(1e-15) =", round(central(1e-15), 4))

# %% steps
import matplotlib.pyplot as plt
import numpy as np

steps = np.logspace(-15, -1, 57)


def errors(dtype, low):
    one, h = dtype(1), steps.astype(dtype)
    start, end = one - low * h, one + h
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs((f(end) - f(start)) / ((1 + low) * h) - 3)


plt.loglog(steps, errors(np.float64, 1), label="central, float64")
plt.loglog(steps, errors(np.float64, 0), "--", label="one-sided, float64")
plt.loglog(steps, errors(np.float32, 1), ":", label="central, float32")
plt.axvline(1e-6, color="gray", linewidth=1)
plt.text(1.4e-6, 1e-12, "gradcheck's step")
plt.ylim(1e-13, 1e2)
plt.xlabel("step h")
plt.ylabel("error of the derivative")
plt.figlegend(loc="outside upper center", ncols=3)
plt.show()

# %% passes
import torch
from torch.autograd import Function, gradcheck, gradgradcheck


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2


x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
print("gradcheck(Cube.apply, x) =", gradcheck(Cube.apply, x))


# %% fails raises="GradcheckError"
def products(x):
    a, b = x
    return torch.stack([a * b, a * a.detach(), b * b])


gradcheck(products, x)

# %% float32 raises="GradcheckError"
gradcheck(torch.sin, torch.tensor([0.5], requires_grad=True))


# %% almost
class Almost(Cube):
    @staticmethod
    def backward(ctx, grad):
        return 1.0005 * Cube.backward(ctx, grad)


print("passed =", gradcheck(Almost.apply, x, raise_exception=False))

# %% almost_strict
strict = gradcheck(Almost.apply, x, rtol=1e-6, raise_exception=False)
print("strict =", strict)


# %% kink raises="GradcheckError"
zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
gradcheck(torch.relu, zero)


# %% dropout
def seeded(x):
    torch.manual_seed(0)
    return torch.dropout(x, p=0.5, train=True)


def unseeded(x):
    return torch.dropout(x, p=0.5, train=True)


torch.manual_seed(0)
print("unseeded =", gradcheck(unseeded, x, raise_exception=False))
print("seeded =", gradcheck(seeded, x))


# %% nondeterministic raises="GradcheckError"
class Noisy(Cube):
    @staticmethod
    def backward(ctx, grad):
        noise = 1e-9 * torch.rand(1, dtype=torch.float64)
        return (1 + noise) * Cube.backward(ctx, grad)


gradcheck(Noisy.apply, x)

# %% nondet_tol
print("passed =", gradcheck(Noisy.apply, x, nondet_tol=1e-7))

# %% expanded raises="RuntimeError"
wide = x.detach().expand(3, 2).requires_grad_()
gradcheck(torch.square, wide)

# %% windows raises="GradcheckError"
windows = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).unfold(0, 2, 1)
gradcheck(torch.square, windows.requires_grad_())

# %% contiguous
own = windows.detach().clone(memory_format=torch.contiguous_format)
print("passed =", gradcheck(torch.square, own.requires_grad_()))


# %% cached
class Cached(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(3 * x**2)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (slope,) = ctx.saved_tensors
        return grad * slope


print("gradcheck(Cached.apply, x) =", gradcheck(Cached.apply, x))

# %% second raises="GradcheckError"
ones = torch.ones_like(x).requires_grad_()
gradgradcheck(Cached.apply, x, grad_outputs=ones)

# %% second_passes
print("gradgradcheck(Cube.apply, x) =", gradgradcheck(Cube.apply, x))

# %% cost
calls = 0


def counted(x):
    global calls
    calls += 1
    return x**3


many = torch.rand(100, dtype=torch.float64, requires_grad=True)
gradcheck(counted, many)
print("calls =", calls)

# %% cost_fast
calls = 0
gradcheck(counted, many, fast_mode=True)
print("calls =", calls)

# %% fast_fails raises="GradcheckError"
gradcheck(products, x, fast_mode=True)

# %% module
from torch import nn


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 3.0], dtype=torch.float64))

    def forward(self, x):
        # zh: 错在这里：梯度到不了 weight
        # en: the mistake: no gradient gets to weight
        return x * self.weight.detach() + 0 * self.weight


scale = Scale()
print("gradcheck(scale, x) =", gradcheck(scale, x))

# %% parameters raises="GradcheckError"
from torch.func import functional_call


def gradcheck_module(module, *inputs, **options):
    names = [name for name, _ in module.named_parameters()]

    def call(*values):
        parameters = dict(zip(names, values, strict=False))
        return functional_call(module, parameters, values[len(names) :])

    return gradcheck(call, (*module.parameters(), *inputs), **options)


gradcheck_module(scale, x)

# %% whole_module
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))
net.double()
rows = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
print("passed =", gradcheck_module(net, rows, fast_mode=True))


# %% exercise_1
def second(h):
    return (f(1 + h) - 2 * f(1) + f(1 - h)) / h**2


for h in 1e-2, 1e-4, 1e-6, 1e-8:
    print(f"h = {h:.0e}:", f"error = {abs(second(h) - 6):.0e}")

# %% exercise_2
h = 1e-20
z = complex(1, h)
print("f(z).imag / h =", f(z).imag / h)


# %% exercise_3
class Hinge(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        return grad


print("at 1 and 2:", gradcheck(Hinge.apply, x))
both = torch.tensor([-1.0, 2.0], dtype=torch.float64, requires_grad=True)
print("at -1 and 2:", gradcheck(Hinge.apply, both, raise_exception=False))
