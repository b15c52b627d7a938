# %% one_step
import torch

x = torch.tensor([1.0, 2.0])
y = torch.tensor([3.0, 5.0])
w = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(0.0, requires_grad=True)
optimizer = torch.optim.SGD([w, b], lr=0.1)


def show(line):
    grads = [None if p.grad is None else p.grad.item() for p in (w, b)]
    print(f"{line:13} {w.item():5.2f} {b.item():5.2f} {grads[0]!s:>7} {grads[1]!s:>7}")


print("line              w     b  w.grad  b.grad")
show("")
optimizer.zero_grad()
show("zero_grad()")
loss = (w * x + b - y).square().mean()
show("loss = ...")
loss.backward()
show("backward()")

# %% after_step
optimizer.step()
show("step()")
print("w.grad =", w.grad)
print("w =", w)

# %% same_object
held = optimizer.param_groups[0]["params"]
print("held[0] is w =", held[0] is w)

# %% run
from torch import nn
from torch.nn import functional as F

x = torch.linspace(-2, 2, 64).unsqueeze(1)
y = torch.sin(3 * x)


def train(model, lr=0.05, steps=300, max_norm=None):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


torch.manual_seed(0)
shallow = nn.Sequential(
    nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
)
losses = train(shallow)
for step in (0, 50, 299):
    print(f"losses[{step}] = {losses[step]:.2f}")

# %% deep
DEPTH = 20


def sigmoid_block():
    return nn.Sequential(nn.Linear(32, 32), nn.Sigmoid())


def deep(block):
    torch.manual_seed(0)
    blocks = [block() for _ in range(DEPTH)]
    return nn.Sequential(nn.Linear(1, 32), *blocks, nn.Linear(32, 1))


losses = train(deep(sigmoid_block), steps=100)
for step in (0, 50, 99):
    print(f"losses[{step}] = {losses[step]:.2f}")
print(f"((y - y.mean()) ** 2).mean() = {((y - y.mean()) ** 2).mean():.2f}")

# %% flow
from math import log10


def flow(model):
    norms = []

    def watch(layer, inputs, output):
        output.register_hook(lambda grad: norms.append(grad.norm().item()))

    for layer in model:
        layer.register_forward_hook(watch)
    F.mse_loss(model(x), y).backward()
    # zh: 反向先到最后一层，所以要倒过来
    # en: backward meets the last layer first, so reverse
    return norms[::-1]


norms = flow(deep(sigmoid_block))
print("powers_of_ten =", round(log10(norms[0] / norms[-2])))

# %% figure
import matplotlib.pyplot as plt


def relu_block(std=None):
    linear = nn.Linear(32, 32)
    if std is not None:
        nn.init.normal_(linear.weight, std=std)
    return nn.Sequential(linear, nn.ReLU())


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(32)
        self.block = relu_block()

    def forward(self, h):
        return h + self.block(self.norm(h))


cases = {
    "sigmoid": (sigmoid_block, "o-"),
    "ReLU, default": (relu_block, "s--"),
    "ReLU, std 0.5": (lambda: relu_block(0.5), "^-."),
    "ReLU, He": (lambda: relu_block((2 / 32) ** 0.5), "D-"),
    "residual": (Residual, "x:"),
}
for name, (block, style) in cases.items():
    # zh: 去掉最后一层，它只有一个输出
    # en: without the last layer, which has one output only
    norms = flow(deep(block))[:-1]
    relative = [norm / norms[-1] for norm in norms]
    plt.semilogy(relative, style, label=name, markersize=4)
plt.xlabel("layer (0 is next to the input)")
plt.ylabel("gradient, relative to the top")
plt.figlegend(loc="outside upper center", ncols=3)
plt.show()

# %% factors
mean_square_slope = {"sigmoid": 1 / 16, "ReLU": 1 / 2}
for name, slope, variance in (
    ("sigmoid", "sigmoid", 1 / (3 * 32)),
    ("ReLU, default", "ReLU", 1 / (3 * 32)),
    ("ReLU, std 0.5", "ReLU", 0.5**2),
    ("ReLU, He", "ReLU", 2 / 32),
):
    factor = (32 * variance * mean_square_slope[slope]) ** 0.5
    print(f"{name:13} {factor:.2f} per layer, {factor**DEPTH:.0e} in all")

# %% cured
for name in ("ReLU, He", "residual"):
    losses = train(deep(cases[name][0]), lr=0.002, steps=100)
    print(f"{name:8} {losses[0]:.2f} ... {losses[-1]:.2f}")

# %% exploded raises="RuntimeError"
model = deep(cases["ReLU, std 0.5"][0])
losses = train(model, steps=5)
print(f"losses[0] = {losses[0]:.0e}")
print("losses[-1] =", losses[-1])
nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)

# %% clipped
for name in ("ReLU, std 0.5", "ReLU, He"):
    losses = train(deep(cases[name][0]), steps=100, max_norm=1.0)
    print(f"{name}: better than 0.5 = {losses[-1] < 0.5}")

# %% adam
for size in (1.0, 1e-4, 1e-8, 1e-12):
    p = torch.tensor(0.0, requires_grad=True)
    adam = torch.optim.Adam([p], lr=0.1)
    p.grad = torch.tensor(size)
    adam.step()
    print(f"gradient {size:.0e}: step {-p.item():.0e}")

# %% scaler
x2 = torch.tensor([[1.0], [2.0]])
y2 = torch.tensor([[3.0], [5.0]])
model = nn.Linear(1, 1)
with torch.no_grad():
    model.weight.fill_(1.0)
    model.bias.fill_(0.0)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)

print("  scale    scaled  unscaled  weight after step()")
for _ in range(3):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        out = model(x2)
    loss = F.mse_loss(out.float(), y2)
    scaler.scale(loss).backward()
    scaled = model.weight.grad.item()
    scaler.unscale_(optimizer)
    unscaled = model.weight.grad.item()
    nn.utils.clip_grad_norm_(model.parameters(), 100.0)
    scaler.step(optimizer)
    weight = model.weight.item()
    print(f"{scaler.get_scale():7.0f} {scaled:9.0f} {unscaled:9.0f} {weight:9.1f}")
    scaler.update()

# %% unscaled_twice raises="RuntimeError"
optimizer.zero_grad()
for part in (0, 1):
    loss = F.mse_loss(model(x2[part]), y2[part]) / 2
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)


# %% scheduler
def three_steps(may_skip):
    p = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(3 * p).backward()
        scaler.step(optimizer)
        before = scaler.get_scale()
        scaler.update()
        if not may_skip or scaler.get_scale() >= before:
            scheduler.step()
    return f"p = {p.item():.3f}, lr = {scheduler.get_last_lr()[0]}"


print(three_steps(may_skip=False))

# %% scheduler_cure
print(three_steps(may_skip=True))

# %% two_optimizers
a = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(1.0, requires_grad=True)
optimizers = [torch.optim.SGD([a], lr=0.1), torch.optim.Adam([b], lr=0.1)]
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
scaler.scale(a + b).backward()
for optimizer in optimizers:
    scaler.step(optimizer)
scaler.update()
print("a =", round(a.item(), 2), " b =", round(b.item(), 2))

# %% noise
from itertools import combinations

inputs = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
targets = 2 * inputs + torch.tensor([1.0, -1.0, 0.0, 1.0, -1.0, 0.0])


def gradients(at, size):
    # zh: 每一种抽法，各算一次梯度
    # en: the gradient of every possible batch of this size
    found = []
    for batch in combinations(range(6), size):
        v = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        loss = (v * inputs[list(batch)] - targets[list(batch)]).square().mean()
        found += torch.autograd.grad(loss, v)
    return torch.stack(found)


single = gradients(0.0, 1).var(correction=0)
print("size  batches    mean  spread  formula")
for size in (1, 2, 3, 6):
    g = gradients(0.0, size)
    formula = (single / size * (6 - size) / 5).sqrt()
    print(
        f"{size:4} {len(g):8} {g.mean():7.2f} {g.std(correction=0):7.2f} {formula:8.2f}"
    )

# %% noise_at_the_end
best = ((inputs * targets).sum() / (inputs**2).sum()).item()
g = gradients(best, 1)
print("abs(g.mean()) < 1e-9 =", (abs(g.mean()) < 1e-9).item())
print(f"g.std(correction=0) = {g.std(correction=0):.2f}")

# %% checkup


def checkup(model, optimizer):
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            finding = "requires_grad=False"
        elif p.grad is None:
            finding = ".grad is None"
        elif not p.grad.isfinite().all():
            finding = ".grad has inf or nan"
        elif not p.grad.any():
            finding = ".grad is all zeros"
        elif id(p) not in known:
            finding = "not in the optimizer"
        else:
            finding = f".grad / weight ~ 1e{log10(p.grad.norm() / p.norm()):+.0f}"
        print(f"{name:15} {finding}")


# %% log
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
F.mse_loss(model(x), y).backward()
for name, p in model.named_parameters():
    print(f"{name:9} {p.grad.norm():.2f}")
total = nn.utils.get_total_norm([p.grad for p in model.parameters()])
print(f"total     {total:.2f}")


# %% broken
class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(1, 8)
        self.dead = nn.Linear(8, 8)
        nn.init.constant_(self.dead.bias, -10.0)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.extra = [nn.Linear(8, 8)]
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        h = self.encoder(x).detach()
        h = torch.relu(self.dead(h))
        return self.head(self.extra[0](self.frozen(h)))


torch.manual_seed(0)
model = Broken()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model.head = nn.Linear(8, 1)
F.mse_loss(model(x), y).backward()
checkup(model, optimizer)

# %% only_a_list raises="ValueError"


class OnlyAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(1, 8), nn.Linear(8, 1)]


torch.optim.SGD(OnlyAList().parameters(), lr=0.1)

# %% exercise_1
flat = y.squeeze(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
loss = F.mse_loss(model(x), flat)
print("(model(x) - flat).shape =", (model(x) - flat).shape)

# %% exercise_2
for activation, gain in ((nn.Tanh, 1.0), (nn.ReLU, 2**0.5)):

    def block(activation=activation, gain=gain):
        linear = nn.Linear(32, 32)
        nn.init.normal_(linear.weight, std=gain / 32**0.5)
        return nn.Sequential(linear, activation())

    norms = flow(deep(block))
    drop = log10(norms[0] / norms[-2])
    print(f"{activation.__name__}: within two powers of ten = {abs(drop) < 2}")

# %% exercise_3
p = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD([p], lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
scaler.scale(p * 3).backward()
torch.nn.utils.clip_grad_norm_([p], max_norm=10.0)
scaler.step(optimizer)
print("p =", p)
