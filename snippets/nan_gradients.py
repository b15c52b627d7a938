# %% sources
import warnings

import torch
from torch import nn
from torch.nn import functional as F


def gradient(formula, at):
    x = torch.tensor(at, requires_grad=True)
    y = eval(formula, {"torch": torch, "F": F, "x": x})
    y.sum().backward()
    return y.tolist(), x.grad.tolist()


# zh: x.std() 遇到单个元素时的警告，这里不显示
# en: x.std() of one element warns, too; not shown here
warnings.simplefilter("ignore")
for formula, at in {
    "torch.hypot(x[0], x[1])": [0.0, 0.0],
    "x / x.norm()": [0.0, 0.0],
    "x.softmax(0).log()[1]": [200.0, 0.0],
    "torch.special.xlogy(x, x)": [0.0],
    "x.std()": [3.0],
    "x.acos()": [1.0],
    "x.exp().log1p()": [100.0],
}.items():
    y, grad = gradient(formula, at)
    print(f"{formula:26} at {at!s:13} y = {y!s:12} grad = {grad}")

# %% mask
w = torch.ones(2, requires_grad=True)
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
keep = torch.tensor([[True, True], [False, False]])
bias = torch.zeros(2, 2).masked_fill(~keep, -torch.inf)

p = (x * w + bias).softmax(-1)
loss = p[0, 0]
loss.backward()
print("loss =", loss)
print("w.grad =", w.grad)

# %% mask_picture
from gradgraph import record

w.grad = None
scores = x * w
p = (scores + bias).softmax(-1)
only = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
record(p, gradient=only, w=w, scores=scores, p=p)

# %% mask_cures
empty = ~keep.any(-1, keepdim=True)
v = torch.tensor([[0.0], [1.0]], requires_grad=True)
ways = {
    "bias, nan_to_num": lambda s: (s + bias).softmax(-1).nan_to_num(),
    "masked_fill": lambda s: s.masked_fill(~keep, -torch.inf).softmax(-1),
    "-1e9": lambda s: s.masked_fill(~keep, -1e9).softmax(-1),
    "empty row let through": lambda s: (
        s.masked_fill(~keep & ~empty, -torch.inf).softmax(-1).masked_fill(empty, 0.0)
    ),
}
for name, way in ways.items():
    p = way(x * w)
    by_w, by_v = torch.autograd.grad((p @ v)[0].sum(), [w, v])
    print(f"{name:22} p[1] = {p[1].tolist()}")
    print(f"{'':22} w: {by_w}  v: {by_v[:, 0]}")

# %% attention
tokens = torch.tensor([[[1.0], [2.0]]])
torch.manual_seed(0)
attention = nn.MultiheadAttention(1, 1, batch_first=True)
for need_weights in True, False:
    attention.zero_grad()
    out, _ = attention(
        tokens, tokens, tokens, attn_mask=~keep, need_weights=need_weights
    )
    out[0, 0].sum().backward()
    finite = attention.in_proj_weight.grad.isfinite().all().item()
    print("need_weights =", need_weights)
    print("  out[0, 1] is nan:", out[0, 1].isnan().item(), "  gradient finite:", finite)

# %% log_softmax
for formula in ["x.softmax(0).log()[1]", "x.log_softmax(0)[1]"]:
    y, grad = gradient(formula, [200.0, 0.0])
    print(f"{formula:22} y = {y}  grad = {grad}")

# %% normalize
x = torch.zeros(2, requires_grad=True)
F.normalize(x, dim=0).sum().backward()
print("x.grad =", x.grad)

# %% normalize_figure
import matplotlib.pyplot as plt

sizes = torch.logspace(-13, 1, 200, dtype=torch.float64)
slopes = {
    "x / x.norm()": lambda x: x / x.norm(dim=1, keepdim=True),
    "F.normalize(x)": lambda x: F.normalize(x, dim=1),
    "root of x² + 1e-6": lambda x: x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt(),
}
for (name, f), style in zip(slopes.items(), ["-", "--", "-"], strict=True):
    at = torch.stack([sizes, torch.zeros_like(sizes)], 1).requires_grad_()
    (grad,) = torch.autograd.grad(f(at)[:, 1].sum(), at)
    plt.loglog(sizes, grad[:, 1], style, label=name)
plt.xlabel("length of x")
plt.ylabel("slope across x")
plt.legend()
plt.show()

# %% length_cures
for formula in [
    "x / (x.square().sum() + 1e-6).sqrt()",
    "F.cosine_similarity(x, torch.ones(2), dim=0)",
    "F.cosine_similarity(x, torch.ones(2), dim=0, eps=1e-3)",
]:
    print(formula, "->", [round(g) for g in gradient(formula, [0.0, 0.0])[1]])

# %% one_by_one
for formula, at in {
    "x * torch.where(x > 0, x, 1.0).log()": [0.0, 1.0],
    "torch.special.entr(x.clamp(min=1e-6))": [0.0, 1.0],
    "x.std(correction=0)": [3.0],
    "(x.var(correction=0) + 1e-6).sqrt()": [3.0],
    "F.softplus(x)": [100.0],
}.items():
    print(f"{formula:38} {gradient(formula, at)[1]}")

# %% eigenvectors
A = torch.eye(2, requires_grad=True)
L, Q = torch.linalg.eigh(A)
U, S, Vh = torch.linalg.svd(A)
for name, y in {
    "Q": Q,
    "U @ diag(S) @ Vh": U @ S.diag() @ Vh,
    "L": L,
    "eigvalsh": torch.linalg.eigvalsh(A),
    "matrix_norm, nuc": torch.linalg.matrix_norm(A, "nuc"),
}.items():
    (grad,) = torch.autograd.grad(y.sum(), A, retain_graph=True)
    print(f"{name:17} {grad.tolist()}")

# %% gap
for gap in 1.0, 1e-2, 1e-4:
    B = torch.diag(torch.tensor([1.0, 1.0 + gap], dtype=torch.float64)).requires_grad_()
    Q = torch.linalg.eigh(B).eigenvectors
    (grad,) = torch.autograd.grad(Q[1, 0] * Q[0, 0], B)
    print("gap =", gap, "  slope =", round(grad.abs().max().item(), 1))

# %% find
model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
bad = []


def watch(name):
    def hook(layer, args, out):
        if not out.isfinite().all():
            bad.append(name)

    return hook


for name, layer in model.named_children():
    layer.register_forward_hook(watch(name))
with torch.no_grad():
    model[0].weight[0, 0] = torch.nan
model(torch.ones(1, 2))
print("bad =", bad)

# %% exercise_1
x = torch.tensor([0.0, 1000.0], requires_grad=True)

y = torch.where(x > 20, x, torch.log1p(torch.exp(x)))
print("y =", y)
print("before =", torch.autograd.grad(y.sum(), x)[0])

small = torch.where(x > 20, 0.0, x)
y = torch.where(x > 20, x, torch.log1p(torch.exp(small)))
print("after =", torch.autograd.grad(y.sum(), x)[0])

# %% exercise_2
logits = torch.tensor([[1.0, 2.0]], requires_grad=True)
target = torch.tensor([-100])
print("mean =", F.cross_entropy(logits, target))
counted = (target != -100).sum().clamp(min=1)
loss = F.cross_entropy(logits, target, reduction="sum") / counted
print("loss =", loss)

# %% exercise_3
points = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
difference = points[:, None] - points
for name, distance in {
    "sqrt": difference.square().sum(-1).sqrt(),
    "norm": difference.norm(dim=-1),
    "cdist": torch.cdist(points, points),
}.items():
    (grad,) = torch.autograd.grad(distance.sum(), points)
    print(f"{name:5} {[[round(g, 4) for g in row] for row in grad.tolist()]}")
