# %% function
import torch
from torch.func import jvp, linearize, vjp


def f(x):
    return torch.stack([x[0] * x[1], x[0] ** 2, 3 * x[1]])


x = torch.tensor([2.0, 3.0])
u = torch.tensor([1.0, 10.0])
J = torch.tensor([[3.0, 2.0], [4.0, 0.0], [0.0, 3.0]])
for h in 0.5, 0.25, 0.125:
    change = f(x + h * u) - f(x)
    rest = change - h * (J @ u)
    print(
        f"h = {h}, change = {change.tolist()}, rest / h**2 = {(rest / h**2).tolist()}"
    )

# %% push
y, tangent = jvp(f, (x,), (u,))
print("tangent =", tangent)

# %% pull
y, pull = vjp(f, x)
v = torch.tensor([1.0, 10.0, 100.0])
(cotangent,) = pull(v)
print("cotangent =", cotangent)
print("v @ J =", v @ J)

# %% backward
leaf = x.clone().requires_grad_()
f(leaf).backward(v)
print("leaf.grad =", leaf.grad)

# %% adjoint
print("v @ tangent =", v @ tangent)
print("cotangent @ u =", cotangent @ u)

# %% not_a_tuple raises="RuntimeError"
jvp(f, x, u)

# %% dual_by_hand
from dataclasses import dataclass


@dataclass
class Dual:
    value: float
    tangent: float

    def __mul__(self, other):
        tangent = self.tangent * other.value + self.value * other.tangent
        return Dual(self.value * other.value, tangent)


print("product =", Dual(2.0, 1.0) * Dual(3.0, 10.0))

# %% forward_ad
import torch.autograd.forward_ad as fwAD

with fwAD.dual_level():
    dual = fwAD.make_dual(x, u)
    result = f(dual)
    print("dual =", dual)
    print("unpack_dual(result) =", fwAD.unpack_dual(result))

# %% after_level
print("unpack_dual(result).tangent =", fwAD.unpack_dual(result).tangent)

# %% no_level raises="RuntimeError"
fwAD.make_dual(x, u)

# %% no_grad
with fwAD.dual_level(), torch.no_grad():
    result = f(fwAD.make_dual(x, u))
    print("result =", result)

# %% saved
from torch.autograd.graph import saved_tensors_hooks


def chain(x):
    for _ in range(6):
        x = torch.tanh(x)
    return x


def count(x):
    saved = []
    with saved_tensors_hooks(lambda t: saved.append(t.shape), lambda t: t):
        chain(x)
    return len(saved)


print("reverse =", count(leaf))
with fwAD.dual_level():
    print("forward =", count(fwAD.make_dual(x, u)))


# %% no_formula raises="NotImplementedError"
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


with fwAD.dual_level():
    Square.apply(fwAD.make_dual(x, u))

# %% no_rule raises="NotImplementedError"
points = torch.tensor([[1.0, 2.0]])
jvp(torch.cdist, (points, points), (points, points))

# %% twice
leaf = x.clone().requires_grad_()
y = Square.apply(leaf)
dummy = torch.zeros(2, requires_grad=True)
(g,) = torch.autograd.grad(y, leaf, dummy, create_graph=True)
(Ju,) = torch.autograd.grad(g, dummy, u)
print("Ju =", Ju)
print("2 * x * u =", 2 * x * u)

# %% picture
from gradgraph import record

leaf = x.clone().requires_grad_()
dummy = torch.zeros(2, requires_grad=True)
(g,) = torch.autograd.grad(Square.apply(leaf), leaf, dummy, create_graph=True)
record(g, gradient=u, inputs=[dummy], x=leaf, dummy=dummy, g=g)

# %% functional
from torch.autograd import functional

_, tangent = functional.jvp(Square.apply, x, u)
print("tangent =", tangent)
_, cotangent = functional.vjp(f, x, v)
print("cotangent =", cotangent)

# %% counting
from torch.utils.flop_counter import FlopCounterMode


def flops(run, *args):
    with FlopCounterMode(display=False) as counter:
        run(*args)
    return counter.get_total_flops()


def network(n, m):
    A, B = torch.ones(n, 16) / n, torch.ones(16, m) / 16
    return lambda x: torch.tanh(x @ A) @ B


def one_vjp(g, p):
    out, pull = vjp(g, p)
    pull(torch.ones_like(out))


g, p = network(64, 64), torch.zeros(1, 64)
once = flops(g, p)
print("once =", once)
print("flops(one_vjp, g, p) / once =", flops(one_vjp, g, p) / once)


# %% one_jvp
def one_jvp(g, p):
    jvp(g, (p,), (torch.ones_like(p),))


print("flops(one_jvp, g, p) / once =", flops(one_jvp, g, p) / once)

# %% whole
from torch.func import jacfwd, jacrev

for n, m in (64, 1), (1, 64):
    g, p = network(n, m), torch.zeros(1, n)
    rows = flops(jacrev(g), p) / flops(g, p)
    columns = flops(jacfwd(g), p) / flops(g, p)
    print(f"{n} inputs, {m} outputs: jacrev = {rows}, jacfwd = {columns}")

# %% crossing
import matplotlib.pyplot as plt

outputs = [2**i for i in range(11)]
p = torch.zeros(1, 64)
for transform, style in (jacrev, "-"), (jacfwd, "--"):
    cost = [
        flops(transform(network(64, m)), p) / flops(network(64, m), p) for m in outputs
    ]
    plt.plot(outputs, cost, style, marker=".", label=transform.__name__)
plt.axvline(64, color="gray", linewidth=1, linestyle=":")
plt.text(60, 700, "64 inputs", ha="right")
plt.loglog(base=2)
plt.xlabel("number of outputs")
plt.ylabel("cost, in evaluations of g")
plt.legend()
plt.show()

# %% linearize
import warnings

# zh: 与结果无关：一条来自 torch 内部的警告
# en: of no consequence: a warning from inside torch
warnings.filterwarnings("ignore", message="Attempted to insert a get_attr Node")

g, p = network(64, 64), torch.zeros(1, 64)
_, push = linearize(g, p)
direction = torch.ones(1, 64)
same = torch.allclose(push(direction), jvp(g, (p,), (direction,))[1])
print("same =", same)
print("flops(push, direction) / once =", flops(push, direction) / once)


# %% branch raises="RuntimeError"
def bent(x):
    return x if x.sum() > 0 else 2 * x


linearize(bent, x)

# %% exercise_1
e2 = torch.tensor([0.0, 1.0])
print("column =", jvp(f, (x,), (e2,))[1])
print("J[:, 1] =", J[:, 1])

# %% exercise_2
parts = [v @ jvp(f, (x,), (e,))[1] for e in torch.eye(2)]
print("parts =", torch.stack(parts))

# %% exercise_3
for start in torch.zeros(3), torch.tensor([1.0, -5.0, 7.0]):
    dummy = start.requires_grad_()
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(leaf), leaf, dummy, create_graph=True)
    print("Ju =", torch.autograd.grad(g, dummy, u)[0])
