# %% half
import torch
from torch import nn

x = torch.tensor(2.0)
w = torch.tensor(3.0, requires_grad=True)
y = w * x

z = y * y.detach()
z.backward()
print("z =", z.item())
print("w.grad =", w.grad)

# %% copies
copies = {
    "y": y,
    "y.detach()": y.detach(),
    "y.clone()": y.clone(),
    "y.detach().clone()": y.detach().clone(),
    "y.clone().detach()": y.clone().detach(),
}
print("                    requires_grad  is_leaf  own memory")
for code, c in copies.items():
    own = c.data_ptr() != y.data_ptr()
    print(f"{code:20}{c.requires_grad!s:15}{c.is_leaf!s:9}{own}")

# %% no_grad
with torch.no_grad():
    # zh: 手写一步梯度下降
    # en: one step of gradient descent, by hand
    w -= 0.1 * w.grad
    prediction = w * x
    fresh = torch.ones(1, requires_grad=True)

print("w.requires_grad =", w.requires_grad)
print("prediction.requires_grad =", prediction.requires_grad)
print("fresh.requires_grad =", fresh.requires_grad)

# %% eval
torch.manual_seed(0)
layer = nn.Linear(1, 1).eval()
print("layer(x.view(1)).requires_grad =", layer(x.view(1)).requires_grad)

# %% enable_grad
with torch.no_grad(), torch.enable_grad():
    a = w * x
with torch.inference_mode(), torch.enable_grad():
    b = w * x
print("[t.requires_grad for t in (a, b)] =", [t.requires_grad for t in (a, b)])

# %% inference_tensor
print("a.is_inference() =", a.is_inference())
print("b.is_inference() =", b.is_inference())

# %% saved raises="RuntimeError"
b * w

# %% changed raises="RuntimeError"
b.add_(1)

# %% flagged raises="RuntimeError"
b.requires_grad_()

# %% allowed
print("(b + w).requires_grad =", (b + w).requires_grad)
print("(b.clone() * w).requires_grad =", (b.clone() * w).requires_grad)

# %% table
ways = {
    "(nothing)": torch.exp,
    "detach": lambda x: torch.exp(x).detach(),
    "no_grad": torch.no_grad()(torch.exp),
    "set_grad_enabled(False)": torch.set_grad_enabled(False)(torch.exp),
    "inference_mode": torch.inference_mode()(torch.exp),
    "x.requires_grad_(False)": lambda x: torch.exp(x.requires_grad_(False)),
}


def can_be_saved(y):
    try:
        return (y * torch.ones(1, requires_grad=True)).requires_grad
    except RuntimeError:
        return False


row = "{:<25}{:<17}{:<7}{:<17}{}".format
print(row("way", "y.requires_grad", "saved", "x.requires_grad", "y * w"))
for name, way in ways.items():
    x = torch.ones(1, requires_grad=True)
    saved = []
    # zh: 前向每保存一个张量，就记一笔
    # en: note every tensor that the forward pass saves
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda _: None):
        y = way(x)
    flags = str(y.requires_grad), len(saved), str(x.requires_grad)
    print(row(name, *flags, "works" if can_be_saved(y) else "refused"))

# %% frozen
first, middle, last = (nn.Linear(1, 1, bias=False) for _ in range(3))
for layer, weight in (first, 2.0), (middle, 3.0), (last, 4.0):
    nn.init.constant_(layer.weight, weight)
x = torch.ones(1, 1)

middle.requires_grad_(False)
last(middle(first(x))).sum().backward()
print("first.weight.grad =", first.weight.grad)
print("middle.weight.grad =", middle.weight.grad)
print("last.weight.grad =", last.weight.grad)

# %% through
from gradgraph import record

w1, w2, w3 = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 4.0))
w2.requires_grad_(False)
loss = w3 * (w2 * (w1 * 1.0))
graph = record(loss, w1=w1, w2=w2, w3=w3)
graph

# %% no_grad_layer
first.zero_grad()
last.zero_grad()
hidden = first(x)
with torch.no_grad():
    hidden = middle(hidden)
last(hidden).sum().backward()
print("first.weight.grad =", first.weight.grad)
print("last.weight.grad =", last.weight.grad)

# %% leftover
last.requires_grad_(False)
optimizer = torch.optim.SGD(last.parameters(), lr=0.1)
optimizer.step()
print("last.weight.detach() =", last.weight.detach())

# %% checked raises="RuntimeError"
v = torch.tensor(0.0, requires_grad=True)
y = v.exp()
y.detach().mul_(5)
y.backward()

# %% unchecked
y = v.exp()
y.data.mul_(5)
y.backward()
print("v.grad =", v.grad)

# %% no_path raises="RuntimeError"
x = torch.tensor(2.0)
w = torch.tensor(3.0, requires_grad=True)
with torch.no_grad():
    prediction = w * x
loss = (prediction - 1) ** 2
loss.backward()

# %% false_fix
loss.requires_grad = True
loss.backward()
print("loss.grad =", loss.grad)
print("w.grad =", w.grad)

# %% non_leaf_flag raises="RuntimeError"
prediction = w * x
prediction.requires_grad = False

# %% exercise_1
w = torch.tensor(3.0, requires_grad=True)
s, s_next, reward, discount = 1.0, 2.0, 1.0, 0.5
for stop in False, True:
    target = reward + discount * w * s_next
    if stop:
        target = target.detach()
    (gradient,) = torch.autograd.grad((w * s - target) ** 2, w)
    print(f"gradient, stop={stop} =", gradient.item())

# %% exercise_2
a = torch.tensor([0.2, 1.7], requires_grad=True)
f = a**2
h = 10 * a
g = f.detach() + (h - h.detach())
g.sum().backward()
print("torch.equal(g, f) =", torch.equal(g, f))
print("a.grad =", a.grad)

# %% exercise_3
p = torch.tensor(1.0, requires_grad=True)
q = p * 2
results = {
    "torch.stack([q, q])": torch.stack([q, q]),
    "torch.tensor([q.item(), q.item()])": torch.tensor([q.item(), q.item()]),
    "nn.Parameter(q)": nn.Parameter(q),
    "(q > 1).float()": (q > 1).float(),
}
for code, result in results.items():
    try:
        result.sum().backward()
        outcome = "no error"
    except RuntimeError:
        outcome = "RuntimeError"
    print(f"{code}: {outcome}, p.grad = {p.grad}")
    p.grad = None
