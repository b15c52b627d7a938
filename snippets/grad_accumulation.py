# %% forgotten
import matplotlib.pyplot as plt
import torch


def path(clear, steps=60):
    w = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    values = [w.item()]
    for _ in range(steps):
        if clear:
            optimizer.zero_grad()
        (w**2 / 2).backward()
        optimizer.step()
        values.append(w.item())
    return values


plt.plot(path(clear=True), label="zero_grad() before every pass")
plt.plot(path(clear=False), linestyle="--", label="zero_grad() forgotten")
plt.axhline(0, color="gray", linewidth=1, linestyle=":")
plt.xlabel("step")
plt.ylabel("w")
plt.figlegend(loc="outside upper center", ncols=2)
plt.show()

# %% picture
from gradgraph import record

w = torch.tensor(2.0, requires_grad=True)
x1, x2 = torch.tensor(1.0), torch.tensor(3.0)
loss = (w * x1 - 1) ** 2 + (w * x2 - 1) ** 2
record(loss, w=w, loss=loss)

# %% two_passes
whole = w.grad
w.grad = None
((w * x1 - 1) ** 2).backward()
((w * x2 - 1) ** 2).backward()
print("whole =", whole)
print("w.grad =", w.grad)

# %% alias
w = torch.tensor([1.0, 2.0], requires_grad=True)
(3 * w).sum().backward()
first = w.grad
(3 * w).sum().backward()
print("first =", first)

# %% clear_alias
w.grad = None
(3 * w).sum().backward()
print("first =", first)
print("w.grad =", w.grad)

# %% none_norm raises="AttributeError"
optimizer = torch.optim.SGD([w], lr=0.1)
optimizer.zero_grad()
print("w.grad =", w.grad)
print("w.grad.norm() =", w.grad.norm())

# %% idle
optimizers = {
    "plain": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "weight_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
}


def idle_step(make, set_to_none):
    p = torch.tensor(1.0, requires_grad=True)
    optimizer = make([p])
    p.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=set_to_none)
    before = p.item()
    # zh: 这一步 p 没有用上，没有梯度到来
    # en: p was not used; no gradient has arrived
    optimizer.step()
    return p.item() - before


for name, make in optimizers.items():
    moves = [idle_step(make, set_to_none=True), idle_step(make, set_to_none=False)]
    print(f"{name} =", torch.tensor(moves))

# %% whose
model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
model(torch.ones(1, 1)).sum().backward()

optimizer.zero_grad()
print("optimizer.zero_grad():", [layer.weight.grad is None for layer in model])
model.zero_grad()
print("model.zero_grad():", [layer.weight.grad is None for layer in model])

# %% mean_of_means
x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
w = torch.tensor(1.0, requires_grad=True)

(w * x).mean().backward()
print("w.grad =", w.grad)

w.grad = None
parts = x.split(2)
for part in parts:
    ((w * part).mean() / len(parts)).backward()
print("by_parts =", w.grad)

# %% shares
w.grad = None
for part in parts:
    ((w * part).mean() * len(part) / len(x)).backward()
print("w.grad =", w.grad)

# %% tokens
from torch.nn import functional as F

batch = torch.tensor([[0, -100, -100, -100], [1, 1, 1, 2]])
scores = torch.zeros(3, requires_grad=True)


def nll(targets, reduction="mean"):
    logits = scores.expand(targets.numel(), 3)
    return F.cross_entropy(logits, targets.flatten(), reduction=reduction)


nll(batch).backward()
print("whole =", scores.grad)

scores.grad = None
for row in batch:
    (nll(row) / len(batch)).backward()
print("by_rows =", scores.grad)

scores.grad = None
tokens = (batch != -100).sum()
for row in batch:
    (nll(row, reduction="sum") / tokens).backward()
print("by_tokens =", scores.grad)

# %% batch_norm
torch.manual_seed(0)
data = torch.randn(6, 1)
layer = torch.nn.BatchNorm1d(1)


def gradient(size):
    layer.zero_grad()
    for part in data.split(size):
        (layer(part).exp().sum() / len(data)).backward()
    return layer.weight.grad


print("gradient(6) =", gradient(6))
print("gradient(3) =", gradient(3))

# %% clip_each
g1, g2 = torch.tensor([6.0, 0.0]), torch.tensor([-3.0, 4.0])
w = torch.zeros(2, requires_grad=True)
for g in (g1, g2):
    (g @ w).backward()
    torch.nn.utils.clip_grad_norm_(w, max_norm=1.0)
print("w.grad =", w.grad)

# %% clip_once
w.grad = None
for g in (g1, g2):
    (g @ w).backward()
norm = torch.nn.utils.clip_grad_norm_(w, max_norm=1.0)
print("norm =", norm)
print("w.grad =", w.grad)

# %% training
torch.manual_seed(0)
x, y = torch.randn(10, 4), torch.randn(10, 1)


def train(size):
    torch.manual_seed(1)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        for inputs, targets in zip(x.split(size), y.split(size), strict=True):
            loss = F.mse_loss(model(inputs), targets, reduction="sum") / len(x)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
    return model.weight


same = [torch.allclose(train(10), train(size), atol=1e-5) for size in (5, 4, 1)]
print("same =", same)

# %% exercise_1


def two_steps(*order):
    w = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(2):
        loss = 3 * w
        actions = {
            "zero_grad": optimizer.zero_grad,
            "backward": loss.backward,
            "step": optimizer.step,
        }
        for name in order:
            actions[name]()
    return w.detach()


print("A =", two_steps("zero_grad", "backward", "step"))
print("B =", two_steps("backward", "step", "zero_grad"))
print("C =", two_steps("backward", "zero_grad", "step"))

# %% exercise_2
empty = torch.tensor([-100, -100])
padding = torch.tensor([0, 0])
mask = torch.tensor([0.0, 0.0])
losses = {
    "mean": nll(empty),
    "sum": nll(empty, reduction="sum"),
    "masked": (nll(padding, reduction="none") * mask).sum() / mask.sum(),
}
for name, loss in losses.items():
    scores.grad = None
    loss.backward()
    print(f"{name} =", loss.item(), scores.grad)

# %% exercise_3
for dtype in (torch.float32, torch.bfloat16):
    p = torch.zeros((), dtype=dtype, requires_grad=True)
    for _ in range(1000):
        p.backward()
    print(f"{dtype} =", p.grad)
