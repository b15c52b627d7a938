# %% grad
import torch
from torch.func import grad


def cube(x):
    return x**3


x = torch.tensor(3.0)
print("grad(cube)(x) =", grad(cube)(x))
print("grad(grad(cube))(x) =", grad(grad(cube))(x))
print("x.requires_grad =", x.requires_grad)

# %% grad_attribute
w = torch.tensor(2.0, requires_grad=True)
g = grad(cube)(w)
print("g =", g)
print("w.grad =", w.grad)

# %% arguments
from torch.func import grad_and_value


def loss(w, x, y):
    return (w * x - y).square()


example = torch.tensor(3.0), torch.tensor(2.0), torch.tensor(1.0)
print("grad(loss)(*example) =", grad(loss)(*example))
print("grad(loss, argnums=(0, 1))(*example) =", grad(loss, argnums=(0, 1))(*example))
print("grad_and_value(loss)(*example) =", grad_and_value(loss)(*example))

# %% not_scalar raises="RuntimeError"
angles = torch.tensor([0.0, 0.5, 1.0])
grad(torch.sin)(angles)

# %% vmap
from torch.func import vmap

print("vmap(grad(torch.sin))(angles) =", vmap(grad(torch.sin))(angles))
print("torch.cos(angles) =", torch.cos(angles))

# %% shapes
rows = torch.arange(6.0).reshape(3, 2)
shapes = []


def norm_squared(row):
    shapes.append(tuple(row.shape))
    return row.dot(row)


print("vmap(norm_squared)(rows) =", vmap(norm_squared)(rows))
print("shapes =", shapes)

# %% in_dims
a = torch.tensor([1.0, 10.0])
print("rows @ a =", rows @ a)
print("vmap(torch.dot, in_dims=(0, None))(rows, a) =")
print(vmap(torch.dot, in_dims=(0, None))(rows, a))
print("vmap(torch.sum, in_dims=1)(rows) =", vmap(torch.sum, in_dims=1)(rows))

# %% functional_call
from torch import nn
from torch.func import functional_call


def network():
    return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))


torch.manual_seed(0)
net = network()
params = {name: p.detach() for name, p in net.named_parameters()}
zeros = {name: torch.zeros_like(p) for name, p in params.items()}
one = torch.ones(1)
before = net(one)
print("functional_call(net, zeros, one) =", functional_call(net, zeros, one).detach())
print("torch.equal(net(one), before) =", torch.equal(net(one), before))

# %% typo
typo = {"0.wieght": torch.zeros(16, 1)}
ignored = functional_call(net, typo, one)
print("torch.equal(ignored, before) =", torch.equal(ignored, before))

# %% strict raises="RuntimeError"
functional_call(net, {**zeros, "0.wieght": torch.zeros(16, 1)}, one, strict=True)

# %% parameter_jacobian
from torch.func import jacrev

inputs = torch.linspace(-1, 1, 5).unsqueeze(1)
of_one = jacrev(lambda params, x: functional_call(net, params, x))
jacobian = vmap(of_one, in_dims=(None, 0))(params, inputs)
for name, J in jacobian.items():
    print(name, tuple(params[name].shape), tuple(J.shape))
J = torch.cat([J.flatten(1) for J in jacobian.values()], dim=1)
print("(J @ J.T).shape =", tuple((J @ J.T).shape))

# %% data
xs = torch.linspace(-2, 2, 21).unsqueeze(1)
ys = torch.sin(2 * xs)
# zh: 一个标错的样本
# en: one example with a wrong label
ys[14] = -ys[14]

optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
for _ in range(200):
    optimizer.zero_grad()
    (net(xs) - ys).square().mean().backward()
    optimizer.step()


# %% per_sample
def loss_of_one(params, x, y):
    return (functional_call(net, params, x) - y).square().sum()


params = {name: p.detach() for name, p in net.named_parameters()}
per_sample = vmap(grad(loss_of_one), in_dims=(None, 0, 0))
grads = per_sample(params, xs, ys)
for name, g in grads.items():
    print(name, tuple(params[name].shape), tuple(g.shape))

# %% loop
looped = {name: [] for name in params}
for i in range(len(xs)):
    net.zero_grad()
    (net(xs[i]) - ys[i]).square().sum().backward()
    for name, p in net.named_parameters():
        looped[name].append(p.grad)
close = [
    torch.allclose(g, torch.stack(looped[name]), atol=1e-5) for name, g in grads.items()
]
print("all(close) =", all(close))

# %% mean
net.zero_grad()
(net(xs) - ys).square().mean().backward()
close = [
    torch.allclose(grads[name].mean(0), p.grad, atol=1e-5)
    for name, p in net.named_parameters()
]
print("all(close) =", all(close))

# %% norms
import matplotlib.pyplot as plt

flat = torch.cat([g.flatten(1) for g in grads.values()], dim=1)
norms = flat.norm(dim=1)
print("norms.argmax() =", norms.argmax())

left, right = plt.figure(figsize=(7, 3)).subplots(1, 2)
others = torch.arange(21) != norms.argmax()
left.plot(xs, net(xs).detach(), label="net(x)")
left.plot(xs[others], ys[others], "o", color="C0", markersize=4)
left.plot(xs[~others], ys[~others], "s", color="C1")
left.set_xlabel("x")
left.set_ylabel("y")
right.bar(xs[others, 0], norms[others], width=0.15, color="C0")
right.bar(xs[~others, 0], norms[~others], width=0.15, color="C1", hatch="//")
right.set_xlabel("x")
right.set_ylabel("norm of the gradient")
plt.show()

# %% ensemble
from copy import deepcopy

from torch.func import stack_module_state

torch.manual_seed(0)
models = [network() for _ in range(5)]
stacked, buffers = stack_module_state(models)
# zh: 只借它的结构，不占内存
# en: lends its structure only, takes no memory
base = deepcopy(models[0]).to("meta")


def output(params, buffers, x):
    return functional_call(base, (params, buffers), x)


outputs = vmap(output, in_dims=(0, 0, None))
print(tuple(stacked["0.weight"].shape), tuple(outputs(stacked, buffers, xs).shape))
apart = torch.stack([model(xs) for model in models])
same = torch.allclose(outputs(stacked, buffers, xs), apart, atol=1e-6)
print("same =", same)

# %% train_ensemble
few = torch.linspace(-1.5, 0.5, 9).unsqueeze(1)
optimizer = torch.optim.Adam(stacked.values(), lr=0.03)
for _ in range(300):
    optimizer.zero_grad()
    errors = outputs(stacked, buffers, few) - torch.sin(2 * few)
    losses = errors.square().mean(dim=(1, 2))
    losses.sum().backward()
    optimizer.step()

wide = torch.linspace(-3, 3, 121).unsqueeze(1)
curves = outputs(stacked, buffers, wide).detach()[..., 0]
plt.plot(wide, curves.T, linewidth=1.2)
plt.plot(few, torch.sin(2 * few), "o", color="gray", label="data")
plt.xlabel("x")
plt.ylabel("the five outputs")
plt.legend()
plt.show()


# %% branch raises="RuntimeError"
def absolute(x):
    return x if x > 0 else -x


signed = torch.tensor([-2.0, 1.0, 3.0])
print("grad(absolute)(signed[0]) =", grad(absolute)(signed[0]))
vmap(absolute)(signed)


# %% where
def absolute(x):
    return torch.where(x > 0, x, -x)


print("vmap(absolute)(signed) =", vmap(absolute)(signed))
print("vmap(grad(absolute))(signed) =", vmap(grad(absolute))(signed))

# %% item raises="RuntimeError"
vmap(lambda x: x * x.item())(signed)

# %% mask raises="RuntimeError"
vmap(lambda row: row[row > 1].sum())(rows)

# %% mask_cured
print(vmap(lambda row: torch.where(row > 1, row, 0).sum())(rows))

# %% random raises="RuntimeError"
dropout = nn.Dropout(0.5)
ones = torch.ones(3, 8)
vmap(dropout)(ones)

# %% randomness
torch.manual_seed(0)
same = vmap(dropout, randomness="same")(ones)
different = vmap(dropout, randomness="different")(ones)
print("len(same.unique(dim=0)) =", len(same.unique(dim=0)))
print("len(different.unique(dim=0)) =", len(different.unique(dim=0)))


# %% in_place raises="RuntimeError"
def powers(x):
    out = torch.zeros(3)
    for i in range(3):
        out[i] = x**i
    return out


vmap(powers)(signed)


# %% in_place_cured
def powers(x):
    return torch.stack([x**i for i in range(3)])


print("vmap(powers)(signed) =", vmap(powers)(signed), sep="\n")

# %% captured raises="RuntimeError"
count = torch.tensor(0.0)


def counted(x):
    count.add_(1)
    return x**2


grad(counted)(torch.tensor(3.0))


# %% captured_cured
def counted(x, count):
    count = count + 1
    return x**2, count


slope, count = grad(counted, has_aux=True)(torch.tensor(3.0), count)
print("slope =", slope)
print("count =", count)

# %% batch_norm raises="RuntimeError"
norm = nn.BatchNorm1d(2)
vmap(norm)(torch.randn(3, 4, 2))

# %% batch_norm_cured
from torch.func import replace_all_batch_norm_modules_

norm = replace_all_batch_norm_modules_(norm)
print(tuple(vmap(norm)(torch.randn(3, 4, 2)).shape))
print("norm.track_running_stats =", norm.track_running_stats)


# %% mixed
def slope_squared(x, **options):
    (inner,) = torch.autograd.grad(x**2, x, **options)
    return inner**2


x = torch.tensor(3.0)
wrong = grad(slope_squared)(x)
right = grad(lambda x: slope_squared(x, create_graph=True))(x)
print("wrong =", wrong)
print("right =", right)
print("grad(lambda x: grad(lambda x: x**2)(x) ** 2)(x) =", end=" ")
print(grad(lambda x: grad(lambda x: x**2)(x) ** 2)(x))

# %% which
from torch.autograd import functional


def backward(x):
    return cube(x).backward()


def autograd_grad(x):
    return torch.autograd.grad(cube(x), x)[0]


def func_grad(x):
    return grad(cube)(x)


def functional_vjp(x):
    return functional.vjp(cube, x)[1]


def show(way, x):
    try:
        result = way(x)
    except RuntimeError:
        return "error"
    return result and result.item()


print("                returns | w.grad | w without requires_grad")
for way in backward, autograd_grad, func_grad, functional_vjp:
    w, plain = torch.tensor(2.0, requires_grad=True), torch.tensor(2.0)
    returned, stored = show(way, w), w.grad and w.grad.item()
    print(f"{way.__name__:15} {returned!s:>7} | {stored!s:>6} | {show(way, plain)}")

# %% exercise_1
factors = (1 / norms).clamp(max=1)
clipped = {
    name: torch.einsum("i,i...->...", factors, g) / len(xs) for name, g in grads.items()
}
total = torch.cat([g.flatten() for g in clipped.values()]).norm()
print("total <= 1 =", (total <= 1).item())

# %% exercise_2
second = vmap(grad(grad(lambda x: torch.exp(x) * x)))
points = torch.tensor([0.0, 1.0])
print("second(points) =", second(points))
print("(points + 2) * torch.exp(points) =", (points + 2) * torch.exp(points))


# %% exercise_3
def squared_distance(p, q):
    return (p - q).square().sum()


table = vmap(vmap(squared_distance, in_dims=(None, 0)), in_dims=(0, None))
print(table(rows, rows))
