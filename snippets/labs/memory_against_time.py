# %% [markdown] lang="zh"
# # 实验：用时间换内存
#
# 训练一个深的网络，内存多半被激活值占着：前向一路存下，反向一路放掉。这个实验先量出这条曲线，再用三种办法把它压低：
#
# - **重算**：只存每段的输入，反向时再算一遍；
# - **降精度**：存 `bfloat16`，用时变回来；
# - **搬走**：写到磁盘上。
#
# 有三处写着“由你来写”，后面紧跟着检查。字节数用保存张量的钩子来数，每次都一样；时间每次不同，只作参考。先读[保存的张量与激活检查点](../saved_tensors_and_checkpointing.md)。

# %% [markdown] lang="en"
# # Lab: memory against time
#
# In the training of a deep network, most of the memory goes to activations: saved all through the forward pass, released all through the backward. This lab first measures that curve, and then pushes it down in three ways:
#
# - **compute again**: save the input of each segment only, and run it once more in the backward;
# - **lower precision**: save `bfloat16`, and turn it back when needed;
# - **move away**: write it to disk.
#
# Three places say “your turn”, each followed by a check. Hooks on saved tensors count the bytes, and they are the same every time. Times are not, so take those as examples. Read [Saved tensors and checkpointing](../saved_tensors_and_checkpointing.md) first.

# %% network
import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.graph import saved_tensors_hooks


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width) / width**0.5)

    def forward(self, x):
        return torch.tanh(x @ self.weight)


def network(depth, width):
    torch.manual_seed(0)
    layers = nn.Sequential(*[Layer(width) for _ in range(depth)])
    return layers, torch.randn(1024, width, requires_grad=True)


layers, batch = network(16, 32)
print("batch.nbytes =", batch.nbytes)

# %% [markdown] lang="zh"
# 十六层，每层的激活值与输入一样大。下面就以它为单位，记作“1 份”。
#
# ## 量一量 {#measure}
#
# 钩子把每个要保存的张量交给我们，我们交回一个 `Held`。节点用完了放手，`Held` 就被删除，`__del__` 通知 `Meter`。于是每次保存、每次释放，我们都知道。
#
# 请写 `keep` 和 `drop`。注意三点：同一块内存可能有好几个节点拿着，只算一次；权重反正都在，不算；每次都要更新 `self.live`，单位是字节。

# %% [markdown] lang="en"
# Sixteen layers, each with activations as large as its input. That is our unit from here on.
#
# ## Measure it {#measure}
#
# The hook gives us every tensor to be saved, and we give back a `Held`. When the node is done and lets go, the `Held` is deleted, and its `__del__` tells the `Meter`. So we know of every saving and every release.
#
# Write `keep` and `drop`. Three things to mind: several nodes may hold one and the same memory, which counts once; the weights are there anyway and do not count; `self.live`, in bytes, is to be brought up to date each time.

# %% meter
from collections import Counter


def address(tensor):
    return tensor.untyped_storage().data_ptr()


class Meter:
    def __init__(self, model):
        self.weights = {address(weight) for weight in model.parameters()}
        self.holders = Counter()
        self.live, self.trace = 0, []

    def keep(self, tensor):
        # solution:
        if address(tensor) not in self.weights:
            self.holders[address(tensor)] += 1
            if self.holders[address(tensor)] == 1:
                self.live += tensor.untyped_storage().nbytes()
        # end
        self.trace.append(self.live)

    def drop(self, tensor):
        # solution:
        if address(tensor) not in self.weights:
            self.holders[address(tensor)] -= 1
            if self.holders[address(tensor)] == 0:
                self.live -= tensor.untyped_storage().nbytes()
        # end
        self.trace.append(self.live)


class Held:
    def __init__(self, tensor, meter):
        self.tensor, self.meter = tensor, meter
        meter.keep(tensor)

    def __del__(self):
        self.meter.drop(self.tensor)


# zh: 一步训练：返回 Meter 和各个权重的梯度
# en: one step of training: returns the meter and the gradients of the weights
def step(model, x, forward=None, pack=lambda t: t, unpack=lambda t: t):
    meter = Meter(model)
    model.zero_grad()

    def hold(tensor):
        packed = pack(tensor)
        return Held(packed, meter) if isinstance(packed, torch.Tensor) else packed

    def give_back(held):
        return unpack(held.tensor if isinstance(held, Held) else held)

    with saved_tensors_hooks(hold, give_back):
        (forward or model)(x).sum().backward()
    return meter, [weight.grad for weight in model.parameters()]


# %% [markdown] lang="zh"
# <details><summary>提示</summary>
#
# `self.holders` 数着每块内存有几个节点拿着，键是 `address(tensor)`。从 0 变成 1 时，加上 `tensor.untyped_storage().nbytes()`；从 1 变回 0 时减去。
#
# </details>

# %% [markdown] lang="en"
# <details><summary>Hint</summary>
#
# `self.holders` counts the nodes that hold a piece of memory, by `address(tensor)`. When the count goes from 0 to 1, add `tensor.untyped_storage().nbytes()`; when it returns to 0, subtract that.
#
# </details>


# %% check_meter
def check_meter():
    small, x = network(3, 4)
    meter, _ = step(small, x)
    peak, end = max(meter.trace) / x.nbytes, meter.live
    if peak != 4:
        hint = "the input and 3 activations; memory counts once, weights do not"
        raise AssertionError(f"the peak is {peak} units, expected 4: {hint}")
    if end != 0:
        raise AssertionError(f"{end} bytes are left, expected 0: drop undoes keep")
    print("meter: right")


check_meter()

# %% plain
plain, gradients = step(layers, batch)
print("plain.trace[:6] =", [live / batch.nbytes for live in plain.trace[:6]])
print("peak =", max(plain.trace) / batch.nbytes)

# %% [markdown] lang="zh"
# 每层的输出保存了两次：`tanh` 存它，下一层的矩阵乘法也存它，可是内存只有一份。最高点是 `#!live labs/memory_against_time:plain peak` 份：输入，加上十六层。
#
# ## 重算 {#again}
#
# 把一段层 `run` 包进一个 Function：前向不记录（`forward` 里本来就不记录），只存输入；反向时拿出输入，重新跑一遍，这次记录，然后对这一小段做反向传播。请写 `backward`：`run` 里权重的梯度会由它内部的 `backward()` 自己累加，你要返回的是 `x` 的梯度。

# %% [markdown] lang="en"
# Every output is saved twice, by `tanh` and by the product in the next layer, but it is one piece of memory. The peak is `#!live labs/memory_against_time:plain peak` units: the input and sixteen layers.
#
# ## Compute again {#again}
#
# Wrap a segment of layers, `run`, into a Function. The forward records nothing, as always inside `forward`, and saves the input only. The backward takes the input, runs the segment again, recording this time, and propagates back through this piece alone. Write `backward`: the `backward()` inside it accumulates the gradients of the weights by itself, and what you return is the gradient of `x`.


# %% checkpoint
class Checkpoint(Function):
    @staticmethod
    def forward(ctx, run, x):
        ctx.run = run
        ctx.save_for_backward(x)
        return run(x)

    @staticmethod
    def backward(ctx, grad):
        # solution:
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = ctx.run(x)
        y.backward(grad)
        return None, x.grad
        # end


def in_segments(model, count):
    def forward(x):
        size = len(model) // count
        for start in range(0, len(model), size):
            x = Checkpoint.apply(model[start : start + size], x)
        return x

    return forward


# %% [markdown] lang="zh"
# <details><summary>提示</summary>
#
# 从 `ctx.saved_tensors` 取出 `x`，用 `x.detach().requires_grad_()` 让它成为新的叶子；在 `torch.enable_grad()` 里调用 `ctx.run(x)` 得到 `y`；`y.backward(grad)` 之后，`x.grad` 就是要返回的。`run` 不是张量，返回 `None`。
#
# </details>

# %% [markdown] lang="en"
# <details><summary>Hint</summary>
#
# Take `x` from `ctx.saved_tensors`, and make it a new leaf with `x.detach().requires_grad_()`. Call `ctx.run(x)` under `torch.enable_grad()`, which gives `y`. After `y.backward(grad)`, `x.grad` is what you return. `run` is no tensor and gets `None`.
#
# </details>


# %% check_checkpoint
def check_checkpoint():
    small, x = network(4, 4)
    _, expected = step(small, x)
    x_grad, x.grad = x.grad, None
    meter, found = step(small, x, in_segments(small, 2))
    for name, mine, true in ("weights", found[0], expected[0]), ("x", x.grad, x_grad):
        if mine is None or not torch.equal(mine, true):
            hint = "run again under enable_grad, y.backward(grad), return None, x.grad"
            raise AssertionError(f"the gradient of {name} differs from plain: {hint}")
    peak = max(meter.trace) / x.nbytes
    if peak != 4:
        hint = "save nothing but x, and detach it before you run again"
        raise AssertionError(f"the peak is {peak} units, expected 4: {hint}")
    print("checkpoint: right")


check_checkpoint()

# %% segments
traces = {"plain": plain.trace}
for count in 1, 2, 4, 8, 16:
    meter, again = step(layers, batch, in_segments(layers, count))
    same = all(map(torch.equal, again, gradients))
    peak = max(meter.trace) / batch.nbytes
    print(f"{count:2} segments: peak = {peak:4}, same gradients = {same}")
    if count == 4:
        traces["4 segments"] = meter.trace

# %% [markdown] lang="zh"
# $k$ 段的最高点是 $k + 16/k$ 份：每段一个输入，再加上正在重算的那一段。$k = \sqrt{16} = 4$ 时最低，梯度一位不差，代价是每层多算一遍。分成 16 段又回到 17 份：每层的输入都存着，什么也没省下。
#
# ## 降精度 {#precision}
#
# `bfloat16` 只要一半的字节。最直接的写法是把钩子换成 `pack=torch.Tensor.bfloat16`、`unpack=torch.Tensor.float`：

# %% [markdown] lang="en"
# With $k$ segments the peak is $k + 16/k$ units: an input for each, and the segment that is being run again. It is lowest at $k = \sqrt{16} = 4$. The gradients are the same to the last bit, and the price is running each layer once more. With 16 segments we are back at 17: the input of every layer is kept, and nothing is saved.
#
# ## Lower precision {#precision}
#
# `bfloat16` takes half the bytes. The obvious way is to change the hooks to `pack=torch.Tensor.bfloat16` and `unpack=torch.Tensor.float`:

# %% obvious
meter, _ = step(layers, batch, pack=torch.Tensor.bfloat16, unpack=torch.Tensor.float)
print("peak =", max(meter.trace) / batch.nbytes)

# %% [markdown] lang="zh"
# 几乎没省！每个激活值保存两次，本来共用一块内存，现在成了两份副本；连权重也多了一份副本。
#
# 请写 `Half.pack`：权重原样返回；同一块内存接连来两次，第二次返回第一次做好的副本。`self.last` 里可以记住上一个原张量和它的副本。记住**原张量**，而不只是地址：张量一旦释放，地址会给别人用。

# %% [markdown] lang="en"
# Hardly anything saved! Each activation is saved twice. Both used to share one piece of memory, and now there are two copies, and a copy of the weights besides.
#
# Write `Half.pack`: it returns weights as they are, and if the same memory comes twice in a row, it returns the copy made the first time. `self.last` can hold the last tensor and its copy. Hold the **tensor**, not its address alone: once a tensor is freed, its address goes to another.


# %% half
class Half:
    def __init__(self, model):
        self.weights = {address(weight) for weight in model.parameters()}
        self.last = None, None

    def pack(self, tensor):
        # solution:
        if address(tensor) in self.weights:
            return tensor
        original, copy = self.last
        if original is None or address(original) != address(tensor):
            copy = tensor.bfloat16()
            self.last = tensor, copy
        return copy
        # end


# %% check_half
def check_half():
    small, x = network(2, 4)
    half = Half(small)
    weight = small[0].weight
    if half.pack(weight) is not weight:
        raise AssertionError("a weight was copied: return it as it is")
    copy = half.pack(x)
    if getattr(copy, "dtype", None) != torch.bfloat16:
        raise AssertionError(f"found {copy!r}, expected x as bfloat16")
    if half.pack(x.view(-1)).data_ptr() != copy.data_ptr():
        raise AssertionError("the same memory was copied twice: return the first copy")
    if half.pack(x + 1).data_ptr() == copy.data_ptr():
        raise AssertionError("another tensor got the old copy: compare the addresses")
    print("half: right")


check_half()

# %% [markdown] lang="zh"
# 视图和原来的张量共用内存，形状却不同，所以严格说来还要改回形状；这个网络里接连来的两次形状相同，就不必了。

# %% [markdown] lang="en"
# A view shares memory with its tensor and has another shape, so strictly the copy would have to be reshaped. In this network the two that come in a row have the same shape.

# %% half_peak
meter, rounded = step(layers, batch, pack=Half(layers).pack, unpack=torch.Tensor.float)
traces["bfloat16"] = meter.trace
print("peak =", max(meter.trace) / batch.nbytes)
errors = [
    ((a - b).norm() / b.norm()).item() for a, b in zip(rounded, gradients, strict=True)
]
print(f"largest error = {max(errors):.4f}")

# %% [markdown] lang="zh"
# 正好一半。前向的值没有变，梯度有不到百分之一的误差。
#
# ## 搬走 {#away}
#
# 打包成文件名，内存里就什么也不剩。GPU 训练常用的 `save_on_cpu` 是同一个办法，只是搬到 CPU 的内存里。

# %% [markdown] lang="en"
# Exactly half. The values of the forward pass have not changed; the gradients are off by less than one per cent.
#
# ## Move away {#away}
#
# Pack a tensor into the name of a file, and nothing stays in memory. `save_on_cpu`, often used in training on GPUs, does the same, only with the CPU's memory in place of the disk.

# %% disk
import tempfile
from pathlib import Path

temporary = tempfile.TemporaryDirectory()


class OnDisk:
    count = 0

    def __init__(self, tensor):
        OnDisk.count += 1
        self.path = Path(temporary.name, f"{OnDisk.count}.pt")
        torch.save(tensor.detach().clone(), self.path)

    def __del__(self):
        self.path.unlink(missing_ok=True)


def load(packed):
    return torch.load(packed.path)


meter, moved = step(layers, batch, pack=OnDisk, unpack=load)
print("saved tensors in memory:", len(meter.trace))
print("files written =", OnDisk.count)
print("files left =", len(list(Path(temporary.name).iterdir())))
print("same gradients =", all(map(torch.equal, moved, gradients)))

# %% [markdown] lang="zh"
# 梯度一位不差。十六个权重也写进了文件：它们本来就在内存里，这是白费的功夫，可以像 `Half` 那样认出来。
#
# ## 画出来 {#picture}
#
# 横轴是保存和释放，一次一格；纵轴是为反向留着的激活值，以份计。

# %% [markdown] lang="en"
# The gradients are the same to the last bit. The sixteen weights were written to files as well. They stay in memory anyway, so that is wasted effort, and could be recognised as in `Half`.
#
# ## The picture {#picture}
#
# Along the axis, savings and releases, one after the other; upwards, the activations kept for the backward, in our unit.

# %% figure
import matplotlib.pyplot as plt

for (name, trace), style in zip(traces.items(), ("-", "--", ":"), strict=True):
    plt.plot([live / batch.nbytes for live in trace], style, label=name)
plt.xlabel("saved and released, one after the other")
plt.ylabel("activations kept")
plt.legend()
plt.show()

# %% [markdown] lang="zh"
# <!-- alt: 三条曲线，横轴是保存和释放的次序，纵轴是留着的激活值。plain：升到 17，再降回 0，像一个三角形。bfloat16：形状相同，高度减半，最高 8.5。4 segments：先慢慢升高，反向时是四个锯齿，最高 8，一个比一个低。 -->
#
# 重算的曲线反向时是锯齿：每个锯齿重建一段，用完就放掉；多跑的那一遍前向要花时间，图上看不出来。降精度的曲线形状不变，整个矮了一半。两种办法还能一起用。

# %% [markdown] lang="en"
# <!-- alt: Three curves over the order of savings and releases; upwards, the activations kept. Plain: rises to 17 and falls to 0, like a triangle. bfloat16: the same shape at half the height, at most 8.5. 4 segments: rises slowly, then four teeth in the backward, the highest at 8, each lower than the one before. -->
#
# With computing again, the backward has teeth: each rebuilds a segment and lets it go. The extra forward takes time, which the picture does not show. Lower precision keeps the shape and halves the height. The two can be combined.

# %% time volatile=true
from time import perf_counter

ways = {
    "plain": {},
    "4 segments": {"forward": in_segments(layers, 4)},
    "bfloat16": {"pack": Half(layers).pack, "unpack": torch.Tensor.float},
    "disk": {"pack": OnDisk, "unpack": load},
}
for name, way in ways.items():
    times = []
    for _ in range(5):
        start = perf_counter()
        step(layers, batch, **way)
        times.append(perf_counter() - start)
    print(f"{name:12}{1000 * min(times):.1f} ms")

# %% [markdown] lang="zh"
# ## 记住这些 {#remember}
#
# - 激活值的内存像三角形：前向升，反向降，顶点在两者之间。
# - 重算用时间换内存，分成 $\sqrt n$ 段最好，梯度不变。
# - 打包的钩子会拆散共用的内存，也会碰到权重：先认出它们。
# - 自己写的 `Checkpoint` 就是 `checkpoint(…, use_reentrant=True)` 的骨架；训练时请用 `use_reentrant=False`，见[两种实现](../saved_tensors_and_checkpointing.md#variants)。

# %% [markdown] lang="en"
# ## Remember {#remember}
#
# - The memory of activations is a triangle: up in the forward, down in the backward, the peak in between.
# - Computing again trades time for memory. About $\sqrt n$ segments are best, and gradients stay the same.
# - Packing tears apart memory that was shared, and gets hold of the weights: recognise both first.
# - Your `Checkpoint` is the skeleton of `checkpoint(…, use_reentrant=True)`. In training, use `use_reentrant=False`, see [two implementations](../saved_tensors_and_checkpointing.md#variants).
