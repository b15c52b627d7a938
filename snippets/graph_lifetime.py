# %% meter
import weakref

import torch
from torch.autograd.graph import saved_tensors_hooks

torch.manual_seed(0)
held = weakref.WeakSet()


class Saved:
    def __init__(self, tensor):
        # zh: 去掉 grad_fn，免得节点通过这份记录握住自己
        # en: without its grad_fn, or a node would hold itself
        self.tensor = tensor.detach()
        held.add(self)


def saved_bytes():
    # zh: 同一块内存只数一次
    # en: count a block of memory once
    storages = [saved.tensor.untyped_storage() for saved in held]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


meter = saved_tensors_hooks(Saved, lambda saved: saved.tensor)

# %% forward
x = torch.randn(100, 10)
w = torch.randn(10, 20, requires_grad=True)
v = torch.randn(20, 1, requires_grad=True)


def forward(x):
    hidden = torch.tanh(x @ w)
    return (hidden @ v).square().mean()


with meter:
    loss = forward(x)
shapes = {tuple(saved.tensor.shape) for saved in held}
print("sorted(shapes) =", sorted(shapes))
print("saved_bytes() =", saved_bytes())

# %% after_backward
loss.backward()
print("saved_bytes() =", saved_bytes())
print("loss.grad_fn =", loss.grad_fn)

# %% retained
with meter:
    loss = forward(x)
loss.backward(retain_graph=True)
retained = saved_bytes()
del loss
print("retained =", retained)
print("saved_bytes() =", saved_bytes())

# %% timeline
import matplotlib.pyplot as plt


def timeline(**options):
    trace = [saved_bytes()]

    def pack(tensor):
        saved = Saved(tensor)
        trace.append(saved_bytes())
        return saved

    def unpack(saved):
        trace.append(saved_bytes())
        return saved.tensor

    with saved_tensors_hooks(pack, unpack):
        h = torch.randn(100, 10)
        for _ in range(6):
            h = torch.tanh(h @ torch.randn(10, 10, requires_grad=True))
        loss = h.square().mean()
    turn = len(trace) - 1
    loss.backward(**options)
    return [*trace, saved_bytes()], turn


for options in {"retain_graph": True}, {}:
    trace, turn = timeline(**options)
    label = "backward(retain_graph=True)" if options else "backward()"
    plt.plot(trace, marker=".", linestyle="--" if options else "-", label=label)
plt.axvline(turn, color="gray", linewidth=1, linestyle=":")
plt.text(turn - 0.5, 500, "forward", ha="right")
plt.text(turn + 0.5, 500, "backward")
plt.xlabel("saved tensors, one after the other: stored, then used")
plt.ylabel("bytes saved")
plt.figlegend(loc="outside upper center", ncols=2)
plt.show()

# %% two_losses raises="RuntimeError"
hidden = torch.tanh(x @ w)
fit = (hidden @ v).square().mean()
size = hidden.square().mean()
fit.backward()
size.backward()

# %% sum_of_losses
runs = []


def two_losses():
    w.grad = v.grad = None
    runs.clear()
    hidden = torch.tanh(x @ w)
    hidden.grad_fn.register_hook(lambda *_: runs.append("TanhBackward0"))
    return (hidden @ v).square().mean(), hidden.square().mean()


fit, size = two_losses()
(fit + size).backward()
whole = w.grad
print("len(runs) =", len(runs))

# %% picture
from gradgraph import record

a = torch.tensor(0.5, requires_grad=True)
h = torch.tanh(a)
p, q = h.square(), h.exp()
record([p, q], a=a, h=h, p=p, q=q)

# %% retain_for_two
fit, size = two_losses()
fit.backward(retain_graph=True)
size.backward()
print("len(runs) =", len(runs))
same = torch.allclose(w.grad, whole, atol=1e-5)
print("same =", same)

# %% state raises="RuntimeError"
u = torch.tensor(0.5, requires_grad=True)
batches = torch.tensor([1.0, 2.0, 3.0, 4.0])

state = torch.tensor(1.0)
for batch in batches:
    state = torch.tanh(u * state + batch)
    loss = (state - 0.5).square()
    loss.backward()
    print("u.grad =", u.grad)

# %% state_retained


def nodes(*tensors):
    found, queue = set(), [tensor.grad_fn for tensor in tensors]
    while queue:
        node = queue.pop()
        if node is not None and node not in found:
            found.add(node)
            queue += [following for following, _ in node.next_functions]
    return len(found)


sizes = []
state = torch.tensor(1.0)
for batch in batches:
    state = torch.tanh(u * state + batch)
    loss = (state - 0.5).square()
    loss.backward(retain_graph=True)
    sizes.append(nodes(loss))
print("sizes =", sizes)

# %% state_stepped raises="RuntimeError"
state = torch.tensor(1.0)
for batch in batches:
    state = torch.tanh(u * state + batch)
    loss = (state - 0.5).square()
    loss.backward(retain_graph=True)
    with torch.no_grad():
        u -= 0.1 * u.grad

# %% state_detached
sizes = []
state = torch.tensor(1.0)
for batch in batches:
    state = torch.tanh(u * state.detach() + batch)
    loss = (state - 0.5).square()
    loss.backward()
    sizes.append(nodes(loss))
print("sizes =", sizes)

# %% lstm raises="AttributeError"
lstm = torch.nn.LSTM(1, 2)
sequence = torch.ones(12, 1, 1)
out, state = lstm(sequence[:4])
out.square().sum().backward()
state = state.detach()

# %% lstm_detached
sizes = []
state = None
for piece in sequence.split(4):
    out, state = lstm(piece, state)
    loss = out.square().sum()
    loss.backward()
    sizes.append(nodes(loss))
    state = tuple(part.detach() for part in state)
print("len(state) =", len(state))
print("sizes[1] == sizes[2] =", sizes[1] == sizes[2])

# %% kept_after_backward
kept, growth, sizes = [], [], []
for _ in range(3):
    with meter:
        loss = forward(torch.randn(100, 10))
    loss.backward()
    kept.append(loss)
    growth.append(saved_bytes())
    sizes.append(nodes(*kept))
print("growth =", growth)
print("sizes =", sizes)
print("sizes[0] =", sizes[0])

# %% kept_in_evaluation
kept, growth = [], []
for _ in range(3):
    with meter:
        loss = forward(torch.randn(100, 10))
    kept.append(loss)
    growth.append(saved_bytes())
print("growth =", growth)

# %% item_and_detach
del kept, loss
numbers, tensors = [], []
with meter:
    for _ in range(3):
        loss = forward(torch.randn(100, 10))
        loss.backward()
        numbers.append(loss.item())
        tensors.append(loss.detach())
    del loss
    with torch.no_grad():
        for _ in range(3):
            tensors.append(forward(torch.randn(100, 10)))
print("numbers[0] == tensors[0].item() =", numbers[0] == tensors[0].item())
print("saved_bytes() =", saved_bytes())
print("nodes(*tensors) =", nodes(*tensors))

# %% exercise_1
rate = torch.tensor(0.0, requires_grad=True)
for t in (1.0, 2.0):
    # zh: 每一轮重新算，于是每一轮都有自己的图
    # en: computed anew, so every pass has a graph of its own
    scale = rate.exp()
    (scale * t).backward()
print("rate.grad =", rate.grad)

# %% exercise_2
a = torch.tensor(0.5, requires_grad=True)
s0 = torch.tensor(1.0)
s1 = a * s0 + 1
(whole,) = torch.autograd.grad(a * s1 + 2, a)
s1 = (a * s0 + 1).detach()
(truncated,) = torch.autograd.grad(a * s1 + 2, a)
print("whole =", whole)
print("truncated =", truncated)

# %% exercise_3
hidden = torch.tanh(x @ w)
row = hidden[0].detach()
copy = row.clone()
print("row.nbytes =", row.nbytes)
print("row.untyped_storage().nbytes() =", row.untyped_storage().nbytes())
print("copy.untyped_storage().nbytes() =", copy.untyped_storage().nbytes())
