# %% function
import torch
from torch.autograd import functional
from torch.func import grad, hessian, jacrev, jvp


def f(x):
    return x[0] ** 3 + x[0] * x[1] ** 2


x = torch.tensor([1.0, 2.0], requires_grad=True)
(g,) = torch.autograd.grad(f(x), x)
print("g =", g)

# %% no_graph raises="RuntimeError"
torch.autograd.grad(g[0], x)

# %% create_graph
(g,) = torch.autograd.grad(f(x), x, create_graph=True)
print("g =", g)
rows = [torch.autograd.grad(entry, x, retain_graph=True)[0] for entry in g]
H = torch.stack(rows)
print("H =", H)

# %% picture
from gradgraph import record

t = torch.tensor(2.0, requires_grad=True)
(slope,) = torch.autograd.grad(t**3, t, create_graph=True)
record(slope, t=t, slope=slope)

# %% linear raises="RuntimeError"
(slope,) = torch.autograd.grad(3 * t, t, create_graph=True)
torch.autograd.grad(slope, t)

# %% two_flags
flags = {}, {"retain_graph": True}, {"create_graph": True}
for flag in flags:
    w = torch.tensor(2.0, requires_grad=True)
    cube = w**3
    (slope,) = torch.autograd.grad(cube, w, **flag)
    try:
        second_pass = torch.autograd.grad(cube, w)[0].item()
    except RuntimeError:
        second_pass = "error"
    has_graph = slope.grad_fn is not None
    print(flag, "second pass:", second_pass, "| slope has a graph:", has_graph)

# %% ways
point = x.detach()
by_func = hessian(f)(point)
by_functional = functional.hessian(f, point)
by_hand = jacrev(grad(f))(point)
for result in by_func, by_functional, by_hand:
    print("equal =", torch.equal(result, H))
print("linear =", hessian(lambda t: 3 * t)(point[0]))

# %% not_scalar raises="RuntimeError"
functional.hessian(lambda x: x**2, point)

# %% taylor
v = torch.tensor([1.0, 2.0])
bend = v @ H @ v
print("bend =", bend)
for h in 0.5, 0.25, 0.125:
    rest = f(point + h * v) - f(point) - h * (g @ v) - h**2 / 2 * bend
    print(f"h = {h}, rest / h**3 = {rest.item() / h**3}")

# %% eigenvalues
print("eigenvalues =", torch.linalg.eigvalsh(H.double()).numpy().round(4))


# %% hvp
def reverse_reverse(f, x, v):
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(leaf), leaf, create_graph=True)
    return torch.autograd.grad(g, leaf, v)[0]


def forward_reverse(f, x, v):
    return jvp(grad(f), (x,), (v,))[1]


def reverse_forward(f, x, v):
    return grad(lambda x: jvp(f, (x,), (v,))[1])(x)


three = reverse_reverse, forward_reverse, reverse_forward
for way in three:
    print(way.__name__, "=", way(f, point, v))
print("H @ v =", H @ v)

# %% counter
from torch.utils.flop_counter import FlopCounterMode

torch.manual_seed(0)
A, B = torch.randn(64, 64) / 8, torch.randn(64, 64) / 8


def network(x):
    return torch.tanh(torch.tanh(x @ A) @ B).square().sum()


def flops(run, *args):
    with FlopCounterMode(display=False) as counter:
        run(*args)
    return counter.get_total_flops()


p, u = torch.randn(1, 64), torch.randn(1, 64)
once = flops(network, p)
print("gradient =", flops(grad(network), p) / once)
print("full =", flops(hessian(network), p) / once)

# %% cost
for way in three:
    print(way.__name__, "=", flops(way, network, p, u) / once)

# %% functional_cost
print("hvp =", flops(functional.hvp, network, p, u) / once)
print("vhp =", flops(functional.vhp, network, p, u) / once)

# %% parameters
from torch.func import functional_call

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
data, target = torch.randn(5, 2), torch.randn(5, 1)
params = {name: p.detach() for name, p in net.named_parameters()}


def net_loss(params):
    return (functional_call(net, params, (data,)) - target).square().mean()


blocks = hessian(net_loss)(params)
for name, block in blocks["0.weight"].items():
    print(f"0.weight, {name}:", tuple(block.shape))

# %% one_matrix
sizes = [p.numel() for p in params.values()]


def unflatten(flat):
    pieces = zip(params.items(), flat.split(sizes), strict=True)
    return {name: piece.view_as(p) for (name, p), piece in pieces}


flat = torch.cat([p.flatten() for p in params.values()])
matrix = hessian(lambda flat: net_loss(unflatten(flat)))(flat)
print("matrix.shape =", matrix.shape)
print("symmetric =", torch.allclose(matrix, matrix.T, atol=1e-6))

# %% network_product
weights = list(net.parameters())
value = (net(data) - target).square().mean()
slopes = torch.autograd.grad(value, weights, create_graph=True)
along = [torch.ones_like(w) for w in weights]
moved = torch.cat([h.flatten() for h in torch.autograd.grad(slopes, weights, along)])
print("same =", torch.allclose(moved, matrix @ torch.ones(9), atol=1e-6))


# %% ignored
def ignores(*params):
    return (net(data) - target).square().mean()


blocks = functional.hessian(ignores, tuple(net.parameters()))
print("largest =", max(block.abs().max().item() for row in blocks for block in row))

# %% diagonal
diagonal = [e @ forward_reverse(f, point, e) for e in torch.eye(2)]
print("diagonal =", torch.stack(diagonal))

# %% trace
from itertools import product

signs = [torch.tensor(z) for z in product((-1.0, 1.0), repeat=2)]
samples = torch.stack([z @ forward_reverse(f, point, z) for z in signs])
print("samples =", samples)
print("samples.mean() =", samples.mean())
print("H.trace() =", H.trace())


# %% valley
def residuals(p):
    a, b = p
    return torch.stack([10 * (b - a**2), 1 - a])


def loss(p):
    return residuals(p).square().sum() / 2


def newton(p):
    return torch.linalg.solve(hessian(loss)(p), grad(loss)(p))


def walk(step, count):
    path = [torch.tensor([-1.2, 1.0], dtype=torch.float64)]
    while len(path) <= count and loss(path[-1]) > 1e-12:
        path.append(path[-1] - step(path[-1]))
    return torch.stack(path)


downhill = walk(lambda p: 0.001 * grad(loss)(p), 500)
path = walk(newton, 20)
print("downhill: loss =", round(loss(downhill[-1]).item(), 3))
print("newton: steps =", len(path) - 1)
print("newton: losses =", [round(loss(p).item(), 3) for p in path])


# %% gauss_newton
def gauss_newton(p):
    J = jacrev(residuals)(p)
    return torch.linalg.solve(J.T @ J, J.T @ residuals(p))


path = walk(gauss_newton, 20)
print("steps =", len(path) - 1)
print("path =", path.numpy().round(4).tolist())

# %% two_matrices
start = path[0]
J = jacrev(residuals)(start)
print("hessian(loss)(start) =", hessian(loss)(start).numpy().round(4).tolist())
print("J.T @ J =", (J.T @ J).numpy().round(4).tolist())
print("-20 * r1 =", -20 * round(residuals(start)[0].item(), 4))

# %% curvature
import matplotlib.pyplot as plt

a, b = torch.meshgrid(
    torch.linspace(-1.8, 1.6, 120), torch.linspace(-4.3, 2, 120), indexing="xy"
)
grid = torch.stack([a, b]).double()
moved = grid - start[:, None, None]
slope, H = grad(loss)(start), hessian(loss)(start)
model = loss(start) + torch.einsum("i,ixy->xy", slope, moved)
model = model + torch.einsum("ixy,ij,jxy->xy", moved, H, moved) / 2
height = residuals(grid).square().sum(0) / 2

plt.figure(figsize=(6.4, 5))
levels = [0.5, 2, 8, 32, 128]
plt.contour(a, b, height, levels, colors="gray", linewidths=0.8)
plt.contour(
    a, b, model, [1, 2, 4, 16], colors="tab:purple", linestyles="dashed", linewidths=0.8
)
for step, marker in (newton, "s-"), (gauss_newton, "^-"):
    plt.plot(*walk(step, 3).T, marker, label=step.__name__)
plt.plot(*downhill.T, label="gradient, 500 steps")
plt.plot([], [], "--", color="tab:purple", label="quadratic model at the start")
plt.plot(*start, "o", color="gray", markersize=9)
plt.plot(1, 1, "*", color="gray", markersize=12)
plt.xlim(-1.8, 1.6)
plt.ylim(-4.3, 2)
plt.xlabel("a")
plt.ylabel("b")
plt.figlegend(loc="outside upper center", ncols=2)
plt.show()


# %% hill
def wave(x):
    return x**4 - x**2


here = torch.tensor(0.1)
slope, bend = grad(wave)(here), grad(grad(wave))(here)
there, damped = here - slope / bend, here - slope / (bend + 4)
print("there =", round(there.item(), 4))
print("wave(there) > wave(here) =", (wave(there) > wave(here)).item())
print("wave(damped) < wave(here) =", (wave(damped) < wave(here)).item())

# %% trap
import gc
import warnings
import weakref


def step(cured):
    model = torch.nn.Linear(100, 100)
    model(torch.ones(1, 100)).square().sum().backward(create_graph=True)
    if cured:
        model.zero_grad()
    return weakref.ref(model.weight)


with warnings.catch_warnings(record=True) as caught:
    weights = [step(cured=False) for _ in range(5)]
gc.collect()
print("alive =", sum(weight() is not None for weight in weights))

# %% warning
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")

# %% trap_cured
weights = [step(cured=True) for _ in range(5)]
print("alive =", sum(weight() is not None for weight in weights))


# %% trap_avoided
def step_with_grad():
    model = torch.nn.Linear(100, 100)
    value = model(torch.ones(1, 100)).square().sum()
    torch.autograd.grad(value, model.parameters(), create_graph=True)
    return weakref.ref(model.weight)


weights = [step_with_grad() for _ in range(5)]
print("alive =", sum(weight() is not None for weight in weights))


# %% exercise_1
def first(a, b):
    return f(torch.stack([a, b]))


print("third =", grad(grad(grad(first)))(torch.tensor(1.0), torch.tensor(2.0)))


# %% exercise_2
def solve(b, steps):
    s, rest = torch.zeros_like(b), b
    along = rest
    for _ in range(steps):
        image = forward_reverse(loss, start, along)
        length = (rest @ rest) / (along @ image)
        s, new = s + length * along, rest - length * image
        along = new + (new @ new) / (rest @ rest) * along
        rest = new
    return s


s = solve(grad(loss)(start), 2)
print("same =", torch.allclose(s, newton(start)))

# %% exercise_3
weight = torch.tensor([[1.0, -2.0], [3.0, 1.0]])


def kinked(x):
    return torch.relu(weight @ x).sum()


print("hessian(kinked)(point) =", hessian(kinked)(point))
print("hessian of the square =", hessian(lambda x: kinked(x) ** 2)(point))
