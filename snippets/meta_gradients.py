# %% one_step
import torch

w0 = torch.tensor(2.0, requires_grad=True)
lr = torch.tensor(0.125, requires_grad=True)


def loss(w):
    return 2 * w.square()


def step(w, lr, create_graph=True):
    (g,) = torch.autograd.grad(loss(w), w, create_graph=create_graph)
    return w - lr * g


w1 = step(w0, lr)
outer = loss(w1)
print("w1 =", w1.item())
for_w0, for_lr = torch.autograd.grad(outer, [w0, lr])
print("for_w0 =", for_w0)
print("for_lr =", for_lr)

# %% picture
from gradgraph import record

w1 = step(w0, lr)
record(loss(w1), w0=w0, lr=lr, w1=w1)

# %% first_order
w1 = step(w0, lr, create_graph=False)
for_w0, for_lr = torch.autograd.grad(loss(w1), [w0, lr])
print("for_w0 =", for_w0)
print("for_lr =", for_lr)

# %% optimizer raises="RuntimeError"
w = torch.tensor(2.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=lr)
loss(w).backward()
optimizer.step()
torch.autograd.grad(loss(w), lr)

# %% differentiable raises="RuntimeError"
w = w0.clone()
optimizer = torch.optim.SGD([w], lr=lr, differentiable=True)
(w.grad,) = torch.autograd.grad(loss(w), w, create_graph=True)
optimizer.step()
torch.autograd.grad(loss(w), w0)

# %% differentiable_cured
with torch.autograd.graph.allow_mutation_on_saved_tensors():
    w = w0.clone()
    optimizer = torch.optim.SGD([w], lr=lr, differentiable=True)
    (w.grad,) = torch.autograd.grad(loss(w), w, create_graph=True)
    optimizer.step()
    for_w0, for_lr = torch.autograd.grad(loss(w), [w0, lr])
print("for_w0 =", for_w0)
print("for_lr =", for_lr)


# %% unrolled
def unroll(w, lr, steps):
    for _ in range(steps):
        w = step(w, lr)
    return w


w5 = unroll(w0, lr, 5)
(for_lr,) = torch.autograd.grad(loss(w5), lr)
print("w5 =", w5.item())
print("for_lr =", for_lr)


# %% memory
def nodes(tensor):
    found, queue = set(), [tensor.grad_fn]
    while queue:
        node = queue.pop()
        if node is not None and node not in found:
            found.add(node)
            queue += [following for following, _ in node.next_functions]
    return len(found)


sizes = [nodes(unroll(w0, lr, steps)) for steps in (1, 2, 3, 4)]
print("sizes =", sizes)

# %% learned_rate
import matplotlib.pyplot as plt

curvature = torch.tensor([1.0, 4.0])


def loss(w):
    return (curvature * w.square()).sum() / 2


def trained(lr, steps=10):
    return loss(unroll(torch.ones(2, requires_grad=True), lr, steps))


log_lr = torch.tensor(-2.5, requires_grad=True)
optimizer = torch.optim.Adam([log_lr], lr=0.1)
path = []
for _ in range(60):
    outer = trained(log_lr.exp())
    path.append((log_lr.exp().item(), outer.item()))
    optimizer.zero_grad()
    outer.log().backward(inputs=[log_lr])
    optimizer.step()
print(f"first: lr = {path[0][0]:.2f}, loss = {path[0][1]:.0e}")
print(f"last: lr = {path[-1][0]:.2f}, loss = {path[-1][1]:.0e}")

# %% learned_rate_figure
rates = torch.linspace(0.05, 0.5, 100)
plt.semilogy(rates, [trained(rate).item() for rate in rates], label="after 10 steps")
plt.semilogy(*zip(*path, strict=True), "o", markersize=5, label="the rates tried")
plt.xlabel("learning rate")
plt.ylabel("loss")
plt.legend()
plt.show()

# %% maml
from torch import nn
from torch.func import functional_call, grad, vmap

torch.manual_seed(0)
net = nn.Sequential(
    nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
).double()


def task_loss(params, x, y):
    return (functional_call(net, params, x) - y).square().mean()


def adapt(params, x, y, steps):
    for _ in range(steps):
        grads = grad(task_loss)(params, x, y)
        params = {name: p - 0.05 * grads[name] for name, p in params.items()}
    return params


def sines(tasks):
    height = 0.5 + 2 * torch.rand(tasks, 1, 1).double()
    phase = torch.pi * torch.rand(tasks, 1, 1).double()
    x = 10 * torch.rand(tasks, 20, 1).double() - 5
    return x, height * torch.sin(x + phase)


def outer_loss(params, x, y, steps):
    def one_task(x, y):
        adapted = adapt(params, x[:10], y[:10], steps)
        return task_loss(adapted, x[10:], y[10:])

    return vmap(one_task)(x, y).mean()


# %% maml_training
def train(steps_inside):
    params = {name: p.detach().clone() for name, p in net.named_parameters()}
    for p in params.values():
        p.requires_grad_()
    optimizer = torch.optim.Adam(params.values(), lr=0.005)
    for _ in range(300):
        optimizer.zero_grad()
        outer_loss(params, *sines(25), steps_inside).backward()
        optimizer.step()
    return {name: p.detach() for name, p in params.items()}


starts = {"MAML": train(1), "plain": train(0)}
x, y = sines(200)
for name, params in starts.items():
    before, after = (outer_loss(params, x, y, steps).item() for steps in (0, 1))
    print(f"{name}: before = {before:.1f}, after one step = {after:.1f}")

# %% maml_figure
left, right = plt.figure(figsize=(7, 3)).subplots(1, 2)
grid = torch.linspace(-5, 5, 101).double().unsqueeze(1)
few = torch.linspace(-4.5, 4.5, 10).double().unsqueeze(1)
left.plot(grid, 2 * torch.sin(grid + 1), color="gray")
left.plot(few, 2 * torch.sin(few + 1), "o", color="gray", markersize=4)
for (name, params), style in zip(starts.items(), ["-", "--"], strict=True):
    adapted = adapt(params, few, 2 * torch.sin(few + 1), 1)
    left.plot(grid, functional_call(net, adapted, grid), style, label=name)
    curve = [outer_loss(params, x, y, steps).item() for steps in range(9)]
    right.plot(curve, style, marker=".", label=name)
left.set_xlabel("x, after one step")
right.set_xlabel("steps on a new task")
right.set_ylabel("mean loss")
right.legend()
plt.show()

# %% fixed_point
W = torch.tensor([[0.5, -0.3], [0.6, 0.4]]).double()
x = torch.tensor([0.3, -0.6]).double().requires_grad_()


def layer(z):
    return torch.tanh(W @ z + x)


z = torch.zeros(2).double()
for _ in range(60):
    z = layer(z)
size_unrolled = nodes(z)
(unrolled,) = torch.autograd.grad(z.sum(), x)
print("z =", z.detach())
print("unrolled =", unrolled)

# %% one_more_step
with torch.no_grad():
    z = torch.zeros(2).double()
    for _ in range(60):
        z = layer(z)
z.requires_grad_()
fz = layer(z)
(direct,) = torch.autograd.grad(fz.sum(), x, retain_graph=True)
print("direct =", direct)

# %% implicit
v = torch.ones(2).double()
u = v
for _ in range(60):
    (back,) = torch.autograd.grad(fz, z, u, retain_graph=True)
    u = v + back
(implicit,) = torch.autograd.grad(fz, x, u, retain_graph=True)
print("implicit =", implicit)
print("same =", torch.allclose(implicit, unrolled))

# %% implicit_size
size_implicit = nodes(fz)
print("size_unrolled =", size_unrolled)
print("size_implicit =", size_implicit)

# %% exercise_1
w0 = torch.tensor([1.0, 1.0], requires_grad=True)
(g0,) = torch.autograd.grad(loss(w0), w0)
w1 = (w0 - 0.125 * g0).detach().requires_grad_()
(g1,) = torch.autograd.grad(loss(w1), w1)
print("-g1 @ g0 =", -g1 @ g0)
lr = torch.tensor(0.125, requires_grad=True)
print(torch.autograd.grad(loss(step(w0, lr)), lr))

# %% exercise_2
a = torch.tensor(4.0, requires_grad=True)
with torch.no_grad():
    z = torch.tensor(1.0)
    for _ in range(6):
        z = (z + a / z) / 2
fz = (z + a / z) / 2
print("fz =", fz.item())
print(torch.autograd.grad(fz, a))

# %% exercise_3
X = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]).double()
y = torch.tensor([1.0, 2.0, 4.0]).double()
penalty = torch.tensor(0.5).double().requires_grad_()
matrix = X.T @ X + penalty * torch.eye(2).double()
best = torch.linalg.solve(matrix, X.T @ y)
(through,) = torch.autograd.grad(best.sum(), penalty, retain_graph=True)
by_hand = -torch.linalg.solve(matrix, best).sum()
print("through =", round(through.item(), 6))
print("by_hand =", round(by_hand.item(), 6))
