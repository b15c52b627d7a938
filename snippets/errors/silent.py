# %% gradient_none
import torch

b = torch.tensor(2.0, requires_grad=True)


def without_recording(w):
    with torch.no_grad():
        return w * w


losses = {
    "not in the loss": lambda w: b * 3,
    "w.detach()": lambda w: w.detach() * b,
    "w.item()": lambda w: w.item() * b,
    "torch.tensor(...)": lambda w: torch.tensor([w.item(), 1.0]).sum() * b,
    "from_numpy(...)": lambda w: torch.from_numpy(w.detach().numpy()) * b,
    "no_grad()": lambda w: without_recording(w) * b,
    "frozen": lambda w: w.requires_grad_(False) * b,
}
for name, loss in losses.items():
    w = torch.tensor(3.0, requires_grad=True)
    loss(w).backward()
    print(f"{name:18} w.grad = {w.grad}")

# %% gradient_none_find
from torch import nn

model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
model[1].requires_grad_(False)
h = model[0](torch.ones(1, 2)).detach()
model[2](model[1](h)).sum().backward()
for name, p in model.named_parameters():
    state = "frozen" if not p.requires_grad else "cut" if p.grad is None else "fine"
    print(f"{name:9} {state}")

# %% gradient_none_cure
w = torch.tensor(3.0, requires_grad=True)
b = torch.tensor(2.0, requires_grad=True)
pair = torch.stack([w, torch.tensor(1.0)])
(pair.sum() * b).backward()
print("w.grad =", w.grad)

# %% gradient_none_cure_2
w = torch.tensor(3.0, requires_grad=True)
h = w * w
h.retain_grad()
(5 * h).backward()
print("h.grad =", h.grad)

# %% gradient_none_wrong
w = torch.tensor(3.0, requires_grad=True)
new = torch.tensor(w.item(), requires_grad=True)
(new * 2).backward()
print("new.grad =", new.grad)
print("w.grad =", w.grad)

# %% leaf_became_a_copy
w = torch.tensor([1.0, 2.0], requires_grad=True).to(torch.float64)
w.sum().backward()
print("w.is_leaf =", w.is_leaf)

# %% leaf_became_a_copy_find
w = torch.tensor([1.0, 2.0], requires_grad=True)
moved = {
    "w.to(float32)": w.to(torch.float32),
    "w.to(float64)": w.to(torch.float64),
    "w * 0.1": w * 0.1,
    "w.reshape(2, 1)": w.reshape(2, 1),
}
for name, t in moved.items():
    print(f"{name:16} is_leaf = {t.is_leaf}")

# %% leaf_became_a_copy_cure
w = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
(w * w).sum().backward()
print("w.grad =", w.grad)

# %% leaf_became_a_copy_cure_2
w = (torch.tensor([10.0, 20.0]) * 0.1).requires_grad_()
for _ in range(2):
    w.grad = None
    (w * w).sum().backward()
    with torch.no_grad():
        w -= 0.25 * w.grad
print("w.is_leaf =", w.is_leaf)
print("w.detach() =", w.detach())

# %% leaf_became_a_copy_wrong
w = torch.tensor([1.0, 2.0], requires_grad=True)
(w * w).sum().backward()
with torch.no_grad():
    w = w - 0.25 * w.grad
print("w.requires_grad =", w.requires_grad)
print("w.grad =", w.grad)

# %% gradient_zero
mask = torch.tensor([0.0, 1.0])
functions = {
    "relu": (torch.relu, [-1.0, 1.0]),
    "sigmoid": (torch.sigmoid, [20.0, 0.0]),
    "clamp(0, 1)": (lambda x: x.clamp(0, 1), [2.0, 0.5]),
    "round": (torch.round, [0.4, 1.6]),
    "max": (torch.max, [1.0, 3.0]),
    "x * mask": (lambda x: x * mask, [5.0, 5.0]),
    "softmax, summed": (lambda x: x.softmax(0), [1.0, 1.0]),
    "x ** 2": (torch.square, [0.0, 1.0]),
}
for name, (f, at) in functions.items():
    x = torch.tensor(at, requires_grad=True)
    f(x).sum().backward()
    print(f"{name:16} at {at}: x.grad = {x.grad}")

# %% gradient_zero_find
x = torch.tensor([2.0, 4.0], requires_grad=True)
steps = {"x": x, "3 * x - 20": 3 * x - 20}
steps["relu"] = steps["3 * x - 20"].relu()
steps["exp"] = steps["relu"].exp()
for t in steps.values():
    t.retain_grad()
steps["exp"].sum().backward()
for name, t in reversed(steps.items()):
    print(f"{name:11} grad = {t.grad}")

# %% gradient_zero_cure
from torch.nn import functional as F

x = torch.tensor(20.0, requires_grad=True)
target = torch.tensor(0.0)
F.binary_cross_entropy(x.sigmoid(), target).backward()
print("sigmoid first: x.grad =", x.grad)
x.grad = None
F.binary_cross_entropy_with_logits(x, target).backward()
print("with logits:   x.grad =", x.grad)

# %% gradient_zero_cure_2
x = torch.tensor([-1.0, 2.0], requires_grad=True)
F.leaky_relu(x, 0.01).sum().backward()
print("x.grad =", x.grad)

# %% gradient_nan
functions = {
    "x.sqrt()": (torch.sqrt, 0.0),
    "(x * x).sqrt()": (lambda x: (x * x).sqrt(), 0.0),
    "x.log()": (torch.log, 0.0),
    "where(x > 0, x.log(), 0)": (lambda x: torch.where(x > 0, x.log(), 0.0), 0.0),
    "x / x": (lambda x: x / x, 0.0),
    "x.exp().log1p()": (lambda x: x.exp().log1p(), 100.0),
    "x ** 40": (lambda x: x**40, 10.0),
}
for name, (f, at) in functions.items():
    x = torch.tensor(at, requires_grad=True)
    y = f(x)
    y.backward()
    print(f"{name:25} y = {y.item():4}  x.grad = {x.grad.item()}")

# %% gradient_nan_find
import warnings

x = torch.tensor([0.0, 4.0], requires_grad=True)
with (
    torch.autograd.set_detect_anomaly(True),
    warnings.catch_warnings(record=True) as caught,
):
    try:
        torch.where(x > 0, x.log(), 0.0).sum().backward()
    except RuntimeError as error:
        print(error)
        print(str(caught[-1].message).splitlines()[-2])

# %% gradient_nan_cure
x = torch.tensor([0.0, 4.0], requires_grad=True)
safe = torch.where(x > 0, x, 1.0)
torch.where(x > 0, safe.log(), 0.0).sum().backward()
print("x.grad =", x.grad)

# %% gradient_nan_cure_2
x = torch.tensor(0.0, requires_grad=True)
(x * x + 1e-12).sqrt().backward()
print("x.grad =", x.grad)

# %% gradient_nan_cure_3
x = torch.tensor(100.0, requires_grad=True)
F.softplus(x).backward()
print("x.grad =", x.grad)

# %% gradient_nan_wrong
x = torch.tensor(0.0, requires_grad=True)
other = torch.tensor(3.0, requires_grad=True)
((x * x).sqrt() + 2 * other).backward()
print("other.grad =", other.grad)
torch.nn.utils.clip_grad_norm_([x, other], max_norm=1.0)
print("other.grad =", other.grad)

# %% gradient_too_large
w = torch.tensor(1.0, requires_grad=True)
for _ in range(3):
    (3 * w).backward()
    print("w.grad =", w.grad)

# %% gradient_too_large_find
loss = 3 * w
(fresh,) = torch.autograd.grad(loss, w)
print("fresh =", fresh)
print("w.grad =", w.grad)

# %% gradient_too_large_cure
w = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (3 * w).backward()
    print("w.grad =", w.grad)
    optimizer.step()

# %% gradient_too_large_cure_2
for reduction in ("sum", "mean"):
    for size in (10, 1000):
        w = torch.tensor(1.0, requires_grad=True)
        x = torch.ones(size)
        F.mse_loss(w * x, 3 * x, reduction=reduction).backward()
        print(f"{reduction:4} of {size:4}: w.grad = {w.grad:.1f}")

# %% loss_broadcast
x = torch.tensor([[1.0], [2.0], [3.0]])
target = torch.tensor([1.0, 2.0, 3.0])
w = torch.tensor(1.0, requires_grad=True)
# zh: w = 1 时预测与目标完全一致
# en: at w = 1 the predictions equal the targets
error = w * x - target
(error**2).mean().backward()
print("error.shape =", error.shape)
print("w.grad =", w.grad)

# %% loss_broadcast_find
loss = F.mse_loss(w * x, target)

# %% loss_broadcast_cure
w = torch.tensor(1.0, requires_grad=True)
prediction = (w * x).squeeze(1)
assert prediction.shape == target.shape
((prediction - target) ** 2).mean().backward()
print("w.grad =", w.grad)

# %% uncounted_write
w = torch.tensor(3.0, requires_grad=True)
loss = w * w
w.data.zero_()
loss.backward()
print("w.grad =", w.grad)

# %% uncounted_write_2
import numpy as np

buffer = np.array([3.0])
x = torch.from_numpy(buffer)
w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
loss = (w * x).sum()
# zh: 下一批数据写进了同一块内存
# en: the next batch arrives in the same memory
buffer[0] = 0.0
loss.backward()
print("w.grad =", w.grad)

# %% uncounted_write_find
w = torch.tensor(3.0, requires_grad=True)
loss = w * w
saved = loss.grad_fn._saved_self.clone()
w.data.zero_()
print("(saved, now) =", (saved.item(), loss.grad_fn._saved_self.item()))
print("w._version =", w._version)

# %% uncounted_write_cure
w = torch.tensor(3.0, requires_grad=True)
loss = w * w
loss.backward()
with torch.no_grad():
    w.zero_()
print("w.grad =", w.grad)

# %% uncounted_write_cure_2
buffer[0] = 3.0
x = torch.from_numpy(buffer).clone()
w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
loss = (w * x).sum()
buffer[0] = 0.0
loss.backward()
print("w.grad =", w.grad)

# %% unrecorded_write
w = torch.tensor([1.0, 5.0], requires_grad=True)
h = w * 2
with torch.no_grad():
    h.clamp_(max=4)
print("h =", h)
h.sum().backward()
print("w.grad =", w.grad)

# %% unrecorded_write_2
w = torch.tensor([1.0, 5.0], requires_grad=True)
h = w * 2
h.detach()[1] = 4.0
h.sum().backward()
print("w.grad =", w.grad)

# %% unrecorded_write_find
h = w * 2
before = (h.grad_fn, h._version)
h.detach()[1] = 4.0
print("same node =", h.grad_fn is before[0])
print("versions =", (before[1], h._version))

# %% unrecorded_write_cure
w = torch.tensor([1.0, 5.0], requires_grad=True)
h = (w * 2).clamp(max=4)
h.sum().backward()
print("w.grad =", w.grad)

# %% in_place_other_function
w = torch.tensor([-1.0, 2.0], requires_grad=True)
h = w * 3
out = nn.ReLU(inplace=True)(h) + h
out.sum().backward()
print("out =", out.detach())
print("w.grad =", w.grad)

# %% in_place_other_function_find
h = w * 3
before = h.detach().clone()
out = nn.ReLU(inplace=True)(h) + h
print("h is unchanged =", torch.equal(h, before))

# %% in_place_other_function_cure
w = torch.tensor([-1.0, 2.0], requires_grad=True)
h = w * 3
out = nn.ReLU()(h) + h
out.sum().backward()
print("out =", out.detach())
print("w.grad =", w.grad)

# %% loss_does_not_move
w = torch.tensor(0.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.25)
for _ in range(3):
    loss = (w - 2) ** 2
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    print("loss =", loss.item())

# %% loss_does_not_move_find
a, b, c, d = (torch.tensor(1.0, requires_grad=True) for _ in "abcd")
optimizer = torch.optim.SGD([a, b, c], lr=0.25)
before = [t.item() for t in (a, b, c, d)]
(a + b.detach() + 0 * c + d).backward()
optimizer.step()
print("lr =", optimizer.param_groups[0]["lr"])
for name, t, old in zip("abcd", (a, b, c, d), before, strict=True):
    print(f"{name}: grad = {t.grad}, moved = {t.item() - old}")

# %% loss_does_not_move_cure
w = torch.tensor(0.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.25)
for _ in range(3):
    optimizer.zero_grad()
    loss = (w - 2) ** 2
    loss.backward()
    optimizer.step()
    print("loss =", loss.item())

# %% loss_does_not_move_wrong
w = torch.tensor(0.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.25)
for _ in range(2):
    optimizer.zero_grad()
    loss = ((w - 2) ** 2).detach().requires_grad_()
    loss.backward()
    optimizer.step()
    print("loss =", loss.item())


# %% parameters_not_registered
class Net(nn.Module):
    def __init__(self, container=list):
        super().__init__()
        self.hidden = container([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.scale = torch.tensor(2.0, requires_grad=True)
        self.out = nn.Linear(2, 1)

    def forward(self, x):
        for layer in self.hidden:
            x = layer(x).tanh()
        return self.scale * self.out(x)


print("names =", [name for name, _ in Net().named_parameters()])


# %% parameters_not_registered_find
def leaves(tensor):
    found, queue = [], [tensor.grad_fn]
    while queue:
        node = queue.pop()
        if hasattr(node, "variable"):
            found.append(node.variable)
        elif node is not None:
            queue += [following for following, _ in node.next_functions]
    return {id(leaf): leaf for leaf in found}


model = Net()
strangers = leaves(model(torch.ones(1, 2)))
for p in model.parameters():
    strangers.pop(id(p))
print("strangers =", sorted(tuple(leaf.shape) for leaf in strangers.values()))

# %% parameters_not_registered_cure
model = Net(container=nn.ModuleList)
del model.scale
model.scale = nn.Parameter(torch.tensor(2.0))
print("names =", [name for name, _ in model.named_parameters()])
model(torch.ones(1, 2)).sum().backward()
print("without gradient =", [n for n, p in model.named_parameters() if p.grad is None])

# %% optimizer_holds_others
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model[1] = nn.Linear(1, 1, bias=False)
before = [p.clone() for p in model.parameters()]
model(torch.ones(1, 1)).sum().backward()
optimizer.step()
for p, old in zip(model.parameters(), before, strict=True):
    print("moved =", not torch.equal(p, old))

# %% optimizer_holds_others_find
held = {id(p) for group in optimizer.param_groups for p in group["params"]}
print("not held =", [n for n, p in model.named_parameters() if id(p) not in held])

# %% optimizer_holds_others_cure
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer.zero_grad()
before = [p.clone() for p in model.parameters()]
model(torch.ones(1, 1)).sum().backward()
optimizer.step()
for p, old in zip(model.parameters(), before, strict=True):
    print("moved =", not torch.equal(p, old))

# %% optimizer_holds_others_cure_2
optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
model[1] = nn.Linear(1, 1, bias=False)
optimizer.add_param_group({"params": model[1].parameters(), "lr": 0.01})
held = {id(p) for group in optimizer.param_groups for p in group["params"]}
print("not held =", [n for n, p in model.named_parameters() if id(p) not in held])

# %% optimizer_holds_others_thawed
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
model[0].requires_grad_(False)
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.SGD(trained, lr=0.1)
model[0].requires_grad_(True)
before = [p.clone() for p in model.parameters()]
model(torch.ones(1, 1)).sum().backward()
optimizer.step()
for p, old in zip(model.parameters(), before, strict=True):
    print(f"gradient = {p.grad is not None}, moved = {not torch.equal(p, old)}")

# %% optimizer_holds_others_cure_3
model[0].requires_grad_(False)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer.zero_grad()
for thawed in (False, True):
    model[0].requires_grad_(thawed)
    before = [p.clone() for p in model.parameters()]
    model(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    now = zip(model.parameters(), before, strict=True)
    print("moved =", [not torch.equal(p, old) for p, old in now])

# %% frozen_and_changes
layer = nn.Linear(1, 1)
# zh: 只是给模块添了一个属性
# en: adds an attribute to the module, no more
layer.requires_grad = False
print("flags =", [p.requires_grad for p in layer.parameters()])

# %% frozen_and_changes_2
norm = nn.BatchNorm1d(1).requires_grad_(False)
norm(torch.tensor([[1.0], [3.0]]))
print("norm.running_mean =", norm.running_mean)


# %% frozen_and_changes_3
def after_freezing(clear):
    w = torch.tensor(2.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.5)
    w.backward()
    w.requires_grad_(False)
    clear(optimizer)
    optimizer.step()
    return w.item()


print("gradient left:", round(after_freezing(lambda optimizer: None), 4))
to_zero = after_freezing(lambda optimizer: optimizer.zero_grad(set_to_none=False))
print("gradient 0:", round(to_zero, 4))

# %% frozen_and_changes_find
model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).requires_grad_(False)
before = {name: value.clone() for name, value in model.state_dict().items()}
model(torch.tensor([[1.0], [3.0]]))
after = model.state_dict()
print(
    "changed:", [n for n, value in before.items() if not torch.equal(value, after[n])]
)

# %% frozen_and_changes_cure
layer.requires_grad_(False)
print("flags =", [p.requires_grad for p in layer.parameters()])
print("gradient None:", after_freezing(lambda optimizer: optimizer.zero_grad()))

# %% frozen_and_changes_cure_2
model.train()
model[1].eval()
before = {name: value.clone() for name, value in model.state_dict().items()}
model(torch.tensor([[1.0], [3.0]]))
after = model.state_dict()
print(
    "changed:", [n for n, value in before.items() if not torch.equal(value, after[n])]
)

# %% frozen_and_changes_wrong
norm = nn.BatchNorm1d(1).eval()
norm(torch.tensor([[1.0], [3.0]])).sum().backward()
print("norm.bias.grad =", norm.bias.grad)


# %% tied_weights
def two_layers():
    embedding = nn.Embedding(2, 1)
    with torch.no_grad():
        embedding.weight.copy_(torch.tensor([[1.0], [2.0]]))
    return nn.ModuleDict({"embedding": embedding, "out": nn.Linear(1, 2, bias=False)})


model = two_layers()
model.out.weight = nn.Parameter(model.embedding.weight)
model.out(model.embedding(torch.tensor([1]))).sum().backward()
for name, p in model.named_parameters():
    print(name, p.grad.flatten())

# %% tied_weights_find
print("same memory:", model.out.weight.data_ptr() == model.embedding.weight.data_ptr())
print("same parameter:", model.out.weight is model.embedding.weight)

# %% tied_weights_cure
model = two_layers()
model.out.weight = model.embedding.weight
model.out(model.embedding(torch.tensor([1]))).sum().backward()
for name, p in model.named_parameters():
    print(name, p.grad.flatten())

# %% memory_grows
import weakref

from torch.autograd.graph import saved_tensors_hooks

alive = weakref.WeakSet()


class Saved:
    def __init__(self, tensor):
        self.tensor = tensor.detach()
        alive.add(self)


meter = saved_tensors_hooks(Saved, lambda saved: saved.tensor)
w = torch.tensor(0.5, requires_grad=True)
total = 0
with meter:
    for _ in range(3):
        loss = (w * torch.ones(1000)).exp().mean()
        total = total + loss
        print("saved tensors =", len(alive))

# %% memory_grows_cure
del loss, total
total = 0
with meter:
    for _ in range(3):
        loss = (w * torch.ones(1000)).exp().mean()
        total = total + loss.item()
        print("saved tensors =", len(alive))
print(f"total = {total:.4f}")

# %% memory_grows_cure_2
del loss
with meter, torch.no_grad():
    for _ in range(3):
        loss = (w * torch.ones(1000)).exp().mean()
        print("saved tensors =", len(alive))

# %% memory_grows_2
del loss
tanh, outputs = nn.Tanh(), []
handle = tanh.register_forward_hook(lambda module, args, out: outputs.append(out))
with meter:
    for _ in range(3):
        score = tanh(w * torch.ones(1000)).mean().item()
        print("saved tensors =", len(alive))

# %% memory_grows_cure_3
handle.remove()
outputs.clear()
handle = tanh.register_forward_hook(
    lambda module, args, out: outputs.append(out.detach())
)
with meter:
    for _ in range(3):
        score = tanh(w * torch.ones(1000)).mean().item()
        print("saved tensors =", len(alive))
handle.remove()

# %% slower_every_step


def nodes(tensor):
    found, queue = set(), [tensor.grad_fn]
    while queue:
        node = queue.pop()
        if node is not None and node not in found:
            found.add(node)
            queue += [following for following, _ in node.next_functions]
    return len(found)


w = torch.tensor(0.5, requires_grad=True)
state = torch.tensor(1.0)
for _ in range(4):
    state = torch.tanh(w * state)
    state.backward(retain_graph=True)
    print("nodes =", nodes(state))

# %% slower_every_step_cure
w = torch.tensor(0.5, requires_grad=True)
state = torch.tensor(1.0)
for _ in range(4):
    state = torch.tanh(w * state.detach())
    state.backward()
    print("nodes =", nodes(state))

# %% slower_every_step_find
calls = 0


def count(grad):
    global calls
    calls += 1


w = torch.tensor(0.5, requires_grad=True)
for _ in range(3):
    calls = 0
    # zh: 每一步都再挂一个
    # en: one more in every step
    w.register_hook(count)
    (w * w).backward()
    print("calls =", calls)

# %% slower_every_step_cure_2
w = torch.tensor(0.5, requires_grad=True)
for _ in range(3):
    calls = 0
    handle = w.register_hook(count)
    (w * w).backward()
    handle.remove()
    print("calls =", calls)

# %% not_synchronised
import multiprocessing
import tempfile

from torch import distributed
from torch.nn.parallel import DistributedDataParallel


def around(model, x):
    model.module(x).sum().backward()


def unsynchronised(model, x):
    with model.no_sync():
        model(x).sum().backward()


def through(model, x):
    model(x).sum().backward()


def gradient(backward, rank):
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    backward(model, torch.tensor([[1.0 + 2 * rank]]))
    return model.module.weight.grad.item()


# zh: torchrun 替你做的事：启动两个进程；各有各的数据，1 和 3
# en: what torchrun does for you: two processes, with the data 1 and 3
def work(rank):
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    for backward in (around, unsynchronised, through):
        results.put((backward.__name__, rank, gradient(backward, rank)))
    distributed.destroy_process_group()


folder = tempfile.mkdtemp()
context = multiprocessing.get_context("fork")
results = context.SimpleQueue()
processes = [context.Process(target=work, args=(rank,)) for rank in range(2)]
for process in processes:
    process.start()
gradients = sorted(results.get() for _ in range(6))
for process in processes:
    process.join()
for name, rank, grad in gradients:
    if name != "through":
        print(f"{name:14} rank {rank}: weight.grad = {grad}")

# %% not_synchronised_cure
for name, rank, grad in gradients:
    if name == "through":
        print(f"{name:14} rank {rank}: weight.grad = {grad}")


# %% all_gather
def gathered(kind, rank):
    theta = torch.tensor(1.0, requires_grad=True)
    own = theta * (rank + 1)
    parts = [torch.zeros(()), torch.zeros(())]
    distributed.all_gather(parts, own.detach())
    if kind != "as gathered":
        parts[rank] = own
    loss = parts[0] ** 2 + parts[1] ** 2
    if kind == "own part back, loss times 2":
        loss = 2 * loss
    if not loss.requires_grad:
        return None
    loss.backward()
    # zh: DDP 做的事：取平均
    # en: what DDP does: the mean
    distributed.all_reduce(theta.grad)
    return (theta.grad / 2).item()


def gather(rank):
    store = distributed.FileStore(f"{folder}/gather", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    for kind in ("as gathered", "own part back", "own part back, loss times 2"):
        results.put((kind, rank, gathered(kind, rank)))
    distributed.destroy_process_group()


processes = [context.Process(target=gather, args=(rank,)) for rank in range(2)]
for process in processes:
    process.start()
found = {results.get() for _ in range(6)}
for process in processes:
    process.join()
for kind, _, grad in sorted(one for one in found if one[1] == 0):
    if "times" not in kind:
        print(f"{kind}: theta.grad = {grad}")

# %% all_gather_cure
for kind, rank, grad in sorted(found):
    if "times" in kind:
        print(f"{kind}, rank {rank}: theta.grad = {grad}")

# %% clipped_too_early
w = torch.tensor([0.0, 0.0], requires_grad=True)
optimizer = torch.optim.SGD([w], lr=1.0)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
loss = (w * torch.tensor([6.0, 8.0])).sum()
scaler.scale(loss).backward()
torch.nn.utils.clip_grad_norm_([w], max_norm=1.0)
scaler.step(optimizer)
scaler.update()
print("w.detach() =", w.detach())

# %% clipped_too_early_cure
w = torch.tensor([0.0, 0.0], requires_grad=True)
optimizer = torch.optim.SGD([w], lr=1.0)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
loss = (w * torch.tensor([6.0, 8.0])).sum()
scaler.scale(loss).backward()
scaler.unscale_(optimizer)
norm = torch.nn.utils.clip_grad_norm_([w], max_norm=1.0)
scaler.step(optimizer)
scaler.update()
print("norm =", norm)
print("w.detach() =", w.detach())

# %% clipped_too_early_find
w = torch.tensor([0.0, 0.0], requires_grad=True)
norm = torch.nn.utils.clip_grad_norm_([w], max_norm=1.0)
print("norm =", norm)
(w * torch.tensor([6.0, 8.0])).sum().backward()
print("w.grad =", w.grad)

# %% unequal_micro_batches
x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
parts = x.split(2)
w = torch.tensor(1.0, requires_grad=True)
for part in parts:
    ((w * part).mean() / len(parts)).backward()
print("by parts: w.grad =", w.grad)

# %% unequal_micro_batches_find
w.grad = None
(w * x).mean().backward()
print("at once:  w.grad =", w.grad)

# %% unequal_micro_batches_cure
w.grad = None
for part in parts:
    ((w * part).sum() / len(x)).backward()
print("by parts: w.grad =", w.grad)
