# %% function
import torch
from torch.autograd import forward_ad, functional
from torch.func import jacfwd, jacrev, vmap

W = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
calls = []


def f(x):
    calls.append(x)
    return (W @ x) ** 2


x = torch.tensor([1.0, -1.0, 2.0])
by_hand = 2 * (W @ x)[:, None] * W
print("f(x) =", f(x))
print("by_hand =", by_hand)


# %% loop
def loop(x):
    leaf = x.clone().requires_grad_()
    y = f(leaf)
    rows = [torch.autograd.grad(y, leaf, v, retain_graph=True)[0] for v in torch.eye(2)]
    return torch.stack(rows)


# %% batched
def batched(x):
    leaf = x.clone().requires_grad_()
    (rows,) = torch.autograd.grad(f(leaf), leaf, torch.eye(2), is_grads_batched=True)
    return rows


# %% vectorized
def vectorized(x):
    return functional.jacobian(f, x, vectorize=True)


# %% forward_loop
def forward_loop(x):
    columns = []
    for u in torch.eye(3):
        with forward_ad.dual_level():
            result = f(forward_ad.make_dual(x, u))
            columns.append(forward_ad.unpack_dual(result).tangent)
    return torch.stack(columns, dim=1)


# %% equal
def reverse(x):
    return jacrev(f)(x)


def forward(x):
    return jacfwd(f)(x)


for way in loop, batched, vectorized, reverse, forward, forward_loop:
    print(way.__name__, "equal =", torch.equal(way(x), by_hand))

# %% calls
for way in loop, reverse, forward_loop, forward:
    calls.clear()
    way(x)
    print(f"{way.__name__} =", len(calls))

# %% strategy raises="NotImplementedError"
functional.jacobian(f, x, strategy="forward-mode")

# %% random raises="RuntimeError"
jacfwd(lambda x: torch.rand(3) * x)(x)

# %% same_noise
print(jacfwd(lambda x: (torch.rand(3) < 2) * x, randomness="same")(x))

# %% matrix
X = torch.ones(2, 3)


def rows_times_two(X):
    return X @ torch.ones(3, 4)


J = jacrev(rows_times_two)(X)
print("J.shape =", J.shape)

# %% entry
print("J[1, 0] =", J[1, 0])

# %% flattened
print("J.reshape(8, 6).shape =", J.reshape(8, 6).shape)


# %% arguments
def layer(weight, bias):
    return weight @ x + bias


bias = torch.zeros(2)
first = jacrev(layer)(W, bias)
both = jacrev(layer, argnums=(0, 1))(W, bias)
print("first.shape =", first.shape)
print("[J.shape for J in both] =", [J.shape for J in both])

# %% dictionary
params = {"weight": W, "bias": bias}


def named(params):
    return {"out": layer(**params), "size": params["weight"].square().sum()}


blocks = jacrev(named)(params)
for output in blocks:
    print(output, {name: tuple(J.shape) for name, J in blocks[output].items()})

# %% no_dictionary raises="TypeError"
functional.jacobian(named, params)

# %% batch
torch.manual_seed(0)
A = torch.randn(3, 2)
data = torch.randn(4, 3)


def net(data):
    return torch.tanh(data @ A)


full = jacrev(net)(data)
print("full.shape =", full.shape)
print("share of zeros =", (full == 0).float().mean().item())

# %% per_row
per_row = vmap(jacrev(net))(data)
row = torch.arange(4)
print("per_row.shape =", per_row.shape)
print("same =", torch.allclose(per_row, full[row, :, row]))


# %% sum_trick
def sum_trick(model):
    leaf = data.clone().requires_grad_()
    y = model(leaf)
    outputs = range(y.shape[1])
    rows = [
        torch.autograd.grad(y[:, i].sum(), leaf, retain_graph=True)[0] for i in outputs
    ]
    return torch.stack(rows, dim=1)


print("sum_trick(net).shape =", sum_trick(net).shape)
print("same =", torch.allclose(sum_trick(net), per_row))


# %% mixed
def centred(data):
    y = data @ A
    return y - y.mean(0)


largest = sum_trick(centred).abs().max().item()
print("largest =", round(largest, 5))

# %% block
full = jacrev(centred)(data)
print("same =", torch.allclose(full[0, :, 0], 0.75 * A.T))
print("same =", torch.allclose(full[0, :, 1], -0.25 * A.T))

# %% meter
import weakref

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    now = peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count(args, free=True)
        out = func(*args, **(kwargs or {}))
        self.count(out)
        return out

    def count(self, tree, free=False):
        for tensor in tree_leaves(tree):
            if not isinstance(tensor, torch.Tensor):
                continue
            storage = tensor.untyped_storage()
            if hasattr(storage, "counted"):
                continue
            storage.counted = True
            # zh: 运算的输入如果早就在，不算
            # en: what was there before is free
            if not free:
                self.add(storage.nbytes())
                weakref.finalize(storage, self.add, -storage.nbytes())

    def add(self, size):
        self.now += size
        self.peak = max(self.peak, self.now)


def peak(run, *args):
    with Meter() as meter:
        run(*args)
    return meter.peak


print("peak =", peak(lambda: torch.ones(1000) + 1))


# %% chunks
def network(n, m, width=1024):
    A, B = torch.randn(n, width) / n**0.5, torch.randn(width, m) / width**0.5
    return lambda x: torch.tanh(x @ A) @ B


g, p = network(16, 256), torch.zeros(16)
whole = peak(jacrev(g), p)
print("whole =", whole)

# %% chunked
chunked = peak(jacrev(g, chunk_size=16), p)
print("chunked =", chunked)

# %% figure volatile=true
import time

import matplotlib.pyplot as plt


def rows(g):
    def run(x):
        leaf = x.clone().requires_grad_()
        y, rows = g(leaf), []
        for i in range(len(y)):
            rows += torch.autograd.grad(y[i], leaf, retain_graph=True)
        return torch.stack(rows)

    return run


def chunks(g):
    return jacrev(g, chunk_size=16)


def seconds(run, x):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run(x)
        times.append(time.perf_counter() - start)
    return min(times)


sizes = [4, 16, 64, 256]
ways = {
    "loop": (rows, "o:"),
    "jacrev": (jacrev, "s-"),
    "jacrev, chunk_size=16": (chunks, "^-."),
    "jacfwd": (jacfwd, "d--"),
}
figure, axes = plt.subplots(2, 2, sharex=True, sharey="row", figsize=(7, 6))
shapes = [(16, m) for m in sizes], [(n, 16) for n in sizes]
for label, (way, style) in ways.items():
    for column in 0, 1:
        runs = [(way(network(n, m)), torch.zeros(n)) for n, m in shapes[column]]
        times = [1000 * seconds(*run) for run in runs]
        axes[0, column].loglog(sizes, times, style, label=label)
        axes[1, column].loglog(sizes, [peak(*run) / 1024 for run in runs], style)
axes[0, 0].set(title="16 inputs", ylabel="milliseconds")
axes[0, 1].set(title="16 outputs")
axes[1, 0].set(xlabel="outputs", ylabel="peak KiB")
axes[1, 1].set(xlabel="inputs")
axes[0, 0].set_xticks(sizes, sizes)
axes[0, 0].minorticks_off()
figure.legend(
    *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2
)
plt.show()


# %% exercise_1
def polar(point):
    r, angle = point
    return torch.stack([r * torch.cos(angle), r * torch.sin(angle)])


point = torch.tensor([3.0, 0.7])
print("det =", round(torch.det(jacfwd(polar)(point)).item(), 4))

# %% exercise_2
Q = torch.zeros(5, 4)
print("shape =", jacrev(lambda Q: Q.sum(1, keepdim=True))(Q).shape)


# %% exercise_3
def field(point):
    a, b, c = point
    return torch.stack([a * b, b**2, a - c])


points = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 5.0]])
blocks = vmap(jacfwd(field))(points)
print("divergence =", blocks.diagonal(dim1=1, dim2=2).sum(1))
print("3 * points[:, 1] - 1 =", 3 * points[:, 1] - 1)
