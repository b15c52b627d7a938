# %% table
import torch
from torch import nn
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks

torch.manual_seed(0)
a = torch.randn(4, 8, requires_grad=True)
b = torch.randn(4, 8, requires_grad=True)
w = torch.randn(8, 2, requires_grad=True)


def saved(expression):
    found = []

    def pack(tensor):
        found.append(f"{str(tensor.dtype)[6:]} {tuple(tensor.shape)}")
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        eval(expression)
    return ", ".join(found) or "nothing"


for expression in (
    "a + b",
    "a * b",
    "a.sin()",
    "a.exp()",
    "a @ w",
    "a.relu()",
    "a.sum()",
    "a.max(dim=1)",
    "nn.functional.dropout(a)",
    "nn.functional.layer_norm(a, (8,))",
):
    print(f"{expression:34}{saved(expression)}")

# %% half
x = torch.tensor(0.1, requires_grad=True)
with saved_tensors_hooks(torch.Tensor.bfloat16, torch.Tensor.float):
    y = x.square()
y.backward()
print("y =", y)
print("x.grad =", x.grad)

# %% disk
import tempfile
from pathlib import Path

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)


class OnDisk:
    count = 0

    def __init__(self, tensor):
        OnDisk.count += 1
        self.path = folder / f"{OnDisk.count}.pt"
        torch.save(tensor.detach(), self.path)

    def __del__(self):
        self.path.unlink()


def load(packed):
    return torch.load(packed.path)


def files():
    return len(list(folder.iterdir()))


x = torch.randn(100, requires_grad=True)
with saved_tensors_hooks(OnDisk, load):
    y = x.sin().exp().sum()
print("files() =", files())
y.backward()
print("files() =", files())
print("same =", torch.allclose(x.grad, x.cos() * x.sin().exp()))

# %% cpu
x.grad = None
with save_on_cpu(pin_memory=False):
    y = x.sin().exp().sum()
y.backward()
print("same =", torch.allclose(x.grad, x.cos() * x.sin().exp()))

# %% in_place_hook raises="RuntimeError"
with saved_tensors_hooks(lambda tensor: tensor.mul_(0.5), lambda tensor: tensor):
    x.sin()

# %% checkpoint
from torch.utils.checkpoint import checkpoint

runs = []


def block(x):
    runs.append("first")
    x = x.sin()
    runs.append("second")
    x = x.sin()
    runs.append("last")
    return 2 * x


x = torch.tensor([0.5], requires_grad=True)
y = checkpoint(block, x, use_reentrant=False)
print("runs =", runs)

runs.clear()
y.backward()
same = torch.equal(x.grad, torch.func.grad(lambda x: block(x).sum())(x))
print("same =", same)

# %% early_stop
runs.clear()
y = checkpoint(block, x, use_reentrant=False)
runs.clear()
y.backward()
print("runs =", runs)

# %% no_early_stop
from torch.utils.checkpoint import set_checkpoint_early_stop

with set_checkpoint_early_stop(False):
    y = checkpoint(block, x, use_reentrant=False)
runs.clear()
y.backward()
print("runs =", runs)

# %% random
x = torch.ones(8, requires_grad=True)
torch.manual_seed(0)
for preserve in True, False:
    x.grad = None
    y = checkpoint(
        nn.functional.dropout, x, use_reentrant=False, preserve_rng_state=preserve
    )
    y.sum().backward()
    print(f"preserve_rng_state={preserve}")
    print("    y      =", y.detach())
    print("    x.grad =", x.grad)

# %% changed raises="CheckpointError"
flags = {"extra": True}


def depends(x):
    x = x.sin()
    return x.sin() if flags["extra"] else x


y = checkpoint(depends, x, use_reentrant=False)
flags["extra"] = False
y.sum().backward()

# %% batch_norm
column = torch.tensor([[1.0], [3.0]], requires_grad=True)


def statistics(momentum, wrap):
    norm = nn.BatchNorm1d(1, momentum=momentum)
    y = checkpoint(norm, column, use_reentrant=False) if wrap else norm(column)
    y.square().sum().backward()
    mean, weight = norm.running_mean.item(), norm.weight.grad.item()
    return {"running_mean": round(mean, 4), "weight.grad": round(weight, 4)}


print("plain =", statistics(0.1, wrap=False))
print("again =", statistics(0.1, wrap=True))
print("mended =", statistics(1 - (1 - 0.1) ** 0.5, wrap=True))

# %% variants
layer = nn.Linear(8, 8)


def tanh_layer(x):
    return torch.tanh(layer(x))


x = torch.randn(2, 8, requires_grad=True)
for reentrant in True, False:
    y = checkpoint(tanh_layer, x, use_reentrant=reentrant)
    print(f"use_reentrant={reentrant}:", y.grad_fn)

# %% reentrant_grad raises="RuntimeError"
y = checkpoint(tanh_layer, x, use_reentrant=True)
torch.autograd.grad(y.sum(), x)

# %% reentrant_frozen raises="RuntimeError"
images = torch.randn(2, 8)
y = checkpoint(tanh_layer, images, use_reentrant=True)
y.sum().backward()

# %% frozen
y = checkpoint(tanh_layer, images, use_reentrant=False)
y.sum().backward()
print("layer.weight.grad is None =", layer.weight.grad is None)

# %% unspoken
y = checkpoint(tanh_layer, x)
print("y.grad_fn =", y.grad_fn)

# %% selective
from functools import partial

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import (
    CheckpointPolicy,
    create_selective_checkpoint_contexts,
)


class Counter(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ops.append(func)
        return func(*args, **(kwargs or {}))


def policy(ctx, op, *args, **kwargs):
    if op == torch.ops.aten.mm.default:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


v = torch.randn(8, 8, requires_grad=True)


def products(x):
    return torch.sin(torch.sin(x @ v) @ v).sum()


choose = partial(create_selective_checkpoint_contexts, policy)
for name, options in ("plain", {}), ("selective", {"context_fn": choose}):
    y = checkpoint(products, x, use_reentrant=False, **options)
    with Counter() as counter:
        y.backward()
    print(f"{name}:", counter.ops.count(torch.ops.aten.mm.default), "products")

# %% meter
import weakref

from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.live, self.trace = 0, []

    def free(self, size):
        self.live -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        def storages(tree):
            tensors = [t for t in tree_leaves(tree) if isinstance(t, torch.Tensor)]
            return {t.untyped_storage()._cdata: t.untyped_storage() for t in tensors}

        before = storages((args, kwargs))
        result = func(*args, **(kwargs or {}))
        for key, storage in storages(result).items():
            if key not in before:
                self.live += storage.nbytes()
                weakref.finalize(storage, self.free, storage.nbytes())
        self.trace.append(self.live)
        return result


# %% peaks
from torch.utils.checkpoint import checkpoint_sequential


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 16) / 4)

    def forward(self, x):
        return torch.tanh(x @ self.weight)


layers = nn.Sequential(*[Layer() for _ in range(16)])
batch = torch.randn(1024, 16)


def step(segments):
    with Meter() as meter:
        out = checkpoint_sequential(layers, segments, batch, use_reentrant=False).sum()
        out.backward()
    return [live / batch.nbytes for live in meter.trace]


peaks = {segments: round(max(step(segments))) for segments in (1, 2, 4, 8, 16)}
print("peaks =", peaks)
print("best =", min(peaks, key=peaks.get))

# %% timeline
import matplotlib.pyplot as plt

for segments, style in (1, "-"), (16, ":"), (4, "--"):
    plt.plot(step(segments), style, label=f"segments = {segments}")
plt.xlabel("operations of one training step, one after the other")
plt.ylabel("live memory, in activations")
plt.figlegend(loc="outside upper center", ncols=3)
plt.show()

# %% exercise_1
net = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 1))
known = {p.untyped_storage().data_ptr() for p in net.parameters()}
packed = []


def pack(tensor):
    if tensor.untyped_storage().data_ptr() in known:
        return tensor
    packed.append(tuple(tensor.shape))
    return tensor.bfloat16()


with saved_tensors_hooks(pack, torch.Tensor.float):
    net(torch.randn(32, 8)).sum().backward()
print("packed =", packed)

# %% exercise_2
costs = {k: k + 100 / k for k in range(1, 101)}
best = min(costs, key=costs.get)
print("best =", best)
print("costs[best] =", costs[best])


# %% exercise_3
class MaskedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        mask = x > 0
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx, grad):
        (mask,) = ctx.saved_tensors
        return grad * mask


print("a.relu():", saved("a.relu()"))
print("MaskedReLU:", saved("MaskedReLU.apply(a)"))
print("a.relu().square():", saved("a.relu().square()"))
print("MaskedReLU, then square:", saved("MaskedReLU.apply(a).square()"))
