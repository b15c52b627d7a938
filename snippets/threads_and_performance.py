# %% calling_thread
import threading
from concurrent.futures import ThreadPoolExecutor

import torch

pool = ThreadPoolExecutor(max_workers=4)
w = torch.ones(1, requires_grad=True)


def thread_of_backward():
    seen = []
    out = w * 2
    out.register_hook(lambda grad: seen.append(threading.get_ident()))
    out.backward()
    return seen[0] == threading.get_ident()


print("thread_of_backward() =", thread_of_backward())
print("in_the_pool =", pool.submit(thread_of_backward).result())

# %% grad_mode
with torch.no_grad():
    there = pool.submit(torch.is_grad_enabled).result()
    print("torch.is_grad_enabled() =", torch.is_grad_enabled())
    print("there =", there)

# %% local_or_global
from torch.autograd.graph import saved_tensors_hooks

packed = []


def pack(tensor):
    packed.append(tensor.shape)
    return tensor


with (
    torch.inference_mode(),
    torch.autocast("cpu"),
    saved_tensors_hooks(pack, lambda tensor: tensor),
    torch.autograd.set_detect_anomaly(True, check_nan=False),
):
    asked = {
        "inference_mode": torch.is_inference_mode_enabled,
        "autocast": lambda: torch.is_autocast_enabled("cpu"),
        "saved_tensors_hooks": lambda: w.exp().requires_grad and len(packed) > 0,
        "detect_anomaly": torch.is_anomaly_enabled,
    }
    for name, ask in asked.items():
        print(f"{name:20} reaches the other thread = {pool.submit(ask).result()}")

# %% many_threads
v = torch.zeros(1000, requires_grad=True)


def passes(count):
    for _ in range(count):
        (v * 1).sum().backward()


list(pool.map(passes, [500] * 4))
print("v.grad.unique() =", v.grad.unique())

# %% own_gradients


def own(part):
    (grad,) = torch.autograd.grad((w * part).square().sum(), w)
    return grad


parts = torch.tensor([1.0, 2.0, 3.0, 4.0]).split(1)
grads = list(pool.map(own, parts))
print("grads =", [grad.item() for grad in grads])
print("sum(grads) =", sum(grads))

# %% one_graph raises="RuntimeError"
loss = w.exp().sum()
pool.submit(loss.backward).result()
pool.submit(loss.backward).result()

# %% processes raises="RuntimeError"
import torch.multiprocessing

hidden = w * 2
torch.multiprocessing.SimpleQueue().put(hidden)

# %% fork
import multiprocessing


def slope(value):
    x = torch.tensor(value, requires_grad=True)
    x.square().backward()
    return x.grad.item()


print("slope(1.0) =", slope(1.0))
with multiprocessing.get_context("fork").Pool(2) as forked:
    print("forked =", forked.map(slope, [1.0, 2.0, 3.0]))

# %% flops
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def flops(layer, data):
    with FlopCounterMode(display=False) as forward:
        out = layer(data)
    with FlopCounterMode(display=False) as backward:
        out.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


def ratio(layer, data):
    forward, backward = flops(layer, data)
    return backward / forward


rows = torch.ones(128, 64)
linear = nn.Linear(64, 32)
print("flops(linear, rows)[0] =", flops(linear, rows)[0])
print("first_layer =", ratio(linear, rows))

# %% flops_inside
inner = rows.clone().requires_grad_()
print("inner_layer =", ratio(linear, inner))

# %% flops_table
torch.manual_seed(0)
sequence = torch.ones(4, 16, 32, requires_grad=True)
image = torch.ones(2, 8, 16, 16, requires_grad=True)
conv = nn.Conv2d(8, 16, 3)
encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
frozen = nn.Linear(64, 32).requires_grad_(False)
print("conv =", ratio(conv, image))
print("encoder =", ratio(encoder, sequence))
print("frozen =", ratio(frozen, inner))

# %% times volatile=true
import time

import matplotlib.pyplot as plt


def forward_and_backward(layer, data):
    forward, backward = [], []
    for _ in range(15):
        start = time.perf_counter()
        out = layer(data)
        middle = time.perf_counter()
        out.backward(torch.ones_like(out))
        end = time.perf_counter()
        forward.append(1000 * (middle - start))
        backward.append(1000 * (end - middle))
    # zh: 最短的一次受别的程序干扰最少
    # en: the shortest run was disturbed least
    return min(forward), min(backward)


wide = torch.randn(256, 512, requires_grad=True)
tokens = torch.randn(8, 64, 128, requires_grad=True)
pixels = torch.randn(4, 16, 32, 32, requires_grad=True)
layers = {
    "Linear": (nn.Linear(512, 512), wide),
    "Conv2d": (nn.Conv2d(16, 32, 3), pixels),
    "LayerNorm": (nn.LayerNorm(512), wide),
    "GELU": (nn.GELU(), wide),
    "Softmax": (nn.Softmax(-1), wide),
    "Attention": (nn.TransformerEncoderLayer(128, 4, 256, 0.0), tokens),
}
ratios = {}
for name, (layer, data) in layers.items():
    forward, backward = forward_and_backward(layer, data)
    ratios[name] = backward / forward
    print(f"{name:10} forward {forward:6.2f} ms   backward {backward:6.2f} ms")
plt.barh(list(ratios), list(ratios.values()))
plt.axvline(2, linestyle="--", color="gray")
plt.gca().invert_yaxis()
plt.xlabel("time of backward / time of forward")
plt.show()

# %% profile
import contextlib
import os

from torch.profiler import profile


@contextlib.contextmanager
def quiet():
    # zh: C++ 写的日志不经过 Python，要在文件描述符这一层挡住
    # en: C++ code writes its log past Python, so the file descriptor has to go
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    yield
    os.dup2(kept, 2)


net = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
with quiet(), profile() as profiler:
    net(rows).square().mean().backward()

NODE = "autograd::engine::evaluate_function: "
events = sorted(profiler.events(), key=lambda event: event.time_range.start)
made_by = {
    event.sequence_nr: event.name
    for event in events
    if event.sequence_nr >= 0 and event.name.startswith("aten::")
}
for event in events:
    if event.name.startswith(NODE) and event.sequence_nr >= 0:
        node = event.name.removeprefix(NODE)
        print(f"{node:15} belongs to {made_by[event.sequence_nr]}")

# %% profile_times volatile=true
table = profiler.key_averages()
slowest = sorted(table, key=lambda row: row.self_cpu_time_total, reverse=True)
for row in slowest[:5]:
    print(f"{row.self_cpu_time_total:7.0f} us  {row.count} x  {row.key}")

# %% meter
import weakref

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    """Counts the operations below it and the bytes that they allocate."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = self.operations = 0
        self.trace = [0]
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        # zh: 输入的内存早就有了；输出若与输入共用内存，也不算新的
        # en: memory of inputs is old; an output that shares it is not new
        for storage in self.storages((args, kwargs)):
            self.known.add(storage)
        result = operation(*args, **(kwargs or {}))
        self.operations += 1
        for storage in self.storages(result):
            if storage not in self.known:
                self.known.add(storage)
                self.now += storage.nbytes()
                weakref.finalize(storage, self.free, storage.nbytes())
        self.peak = max(self.peak, self.now)
        self.trace.append(self.now)
        return result

    def storages(self, tree):
        leaves = tree_leaves(tree)
        return [x.untyped_storage() for x in leaves if isinstance(x, torch.Tensor)]

    def free(self, nbytes):
        self.now -= nbytes


# %% accounting


def deep_net():
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(8)]
    return nn.Sequential(*blocks)


net = deep_net()
data = torch.ones(256, 64)
with Meter() as meter:
    loss = net(data).square().mean()
    print("after forward =", meter.now)
    turn = len(meter.trace) - 1
    loss.backward()
    print("after backward =", meter.now)
print("peak =", meter.peak)
print("parameters =", sum(p.nbytes for p in net.parameters()))

# %% memory_over_time
plt.plot([n / 1024 for n in meter.trace], drawstyle="steps-post")
plt.axvline(turn, color="gray", linewidth=1, linestyle=":")
plt.text(turn - 1, 20, "forward", ha="right")
plt.text(turn + 1, 20, "backward")
plt.axhline(
    sum(p.nbytes for p in net.parameters()) / 1024, linestyle="--", color="gray"
)
plt.xlabel("operations")
plt.ylabel("KiB allocated")
plt.show()

# %% evaluation
with Meter() as recorded:
    net(data)
with Meter() as unrecorded, torch.no_grad():
    net(data)
print("recorded.peak =", recorded.peak)
print("unrecorded.peak =", unrecorded.peak)

# %% habits


def step_count(set_to_none):
    net = deep_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, foreach=False)
    net(data).mean().backward()
    with Meter() as meter:
        optimizer.zero_grad(set_to_none=set_to_none)
        net(data).mean().backward()
    return meter.operations


def optimizer_count(foreach):
    net = deep_net()
    optimizer = torch.optim.Adam(net.parameters(), foreach=foreach)
    net(data).mean().backward()
    optimizer.step()
    with Meter() as meter:
        optimizer.step()
    return meter.operations


def frozen_count(freeze):
    net = deep_net()
    net[:6].requires_grad_(not freeze)
    with Meter() as meter:
        net(data).mean().backward()
    return meter.operations


print("set_to_none =", step_count(False), "->", step_count(True))
print("foreach =", optimizer_count(False), "->", optimizer_count(True))
print("frozen =", frozen_count(False), "->", frozen_count(True))

# %% exercise_1


@torch.no_grad()
def decorated():
    return (w * 2).requires_grad


def plain():
    return (w * 2).requires_grad


with torch.no_grad():
    print("plain =", pool.submit(plain).result())
print("decorated =", pool.submit(decorated).result())

# %% exercise_2
a, b, c = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)
chain = nn.Sequential(a, b, c)
print("ratio(chain, rows) =", round(ratio(chain, rows), 2))

# %% exercise_3
net = deep_net()
kept = []
with Meter() as meter:
    for _ in range(3):
        loss = net(data).square().mean()
        kept.append(loss)
        print("meter.now =", meter.now)
pool.shutdown()
