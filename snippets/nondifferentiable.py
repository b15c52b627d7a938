# %% subgradients
import matplotlib.pyplot as plt
import torch

u = torch.linspace(-2, 2, 81)
panels = {torch.abs: [-1, -0.5, 0, 0.5, 1], torch.relu: [0, 0.25, 0.5, 0.75, 1]}
figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.7), sharey=True)
for ax, (f, slopes) in zip(axes, panels.items(), strict=True):
    for g in slopes:
        ax.plot(u, g * u, color="C1", linewidth=1, label="$f(0) + g\\,x$")
    ax.plot(u, f(u), color="C0", linewidth=2.5, label="$f(x)$")
    ax.set(title=f.__name__, xlabel="$x$", ylim=(-1.2, 2.1))
handles, labels = axes[1].get_legend_handles_labels()
axes[1].legend(handles[-2:], labels[-2:], loc="upper left")


# %% corners
def gradient(formula, at=0.0):
    x = torch.tensor(at, requires_grad=True)
    y = eval(formula, {"torch": torch, "zero": torch.tensor(0.0), "x": x})
    y.sum().backward()
    return x.grad.tolist()


for formula in ["x.abs()", "x.relu()", "torch.maximum(x, zero)", "x.clamp(min=0)"]:
    print(f"gradient({formula!r}) =", gradient(formula))

# %% own_corner
for formula in ["torch.where(x > 0, x, -x)", "torch.where(x >= 0, x, -x)"]:
    print(f"gradient({formula!r}) =", gradient(formula))

# %% ties
at = [1.0, 3.0, 3.0]
for formula in ["x.max()", "x.amax()", "x.max(dim=0).values"]:
    print(f"gradient({formula!r}, at) =", gradient(formula, at))

# %% round
x = torch.tensor([0.2, 1.7], requires_grad=True)
x.round().sum().backward()
print("x.grad =", x.grad)

# %% no_edge
operations = """
x.floor()
x.sign()
x > 1
x.argmax()
x.long()
x.topk(2).values
x.topk(2).indices
x.sort().values
x.sort().indices
x.cumsum(0)
torch.bernoulli(x)
x.histc(3)
torch.bucketize(x, x.detach())
x.unique()
torch.heaviside(x, x)
"""
for operation in operations.split("\n")[1:-1]:
    x = torch.tensor([0.2, 0.9, 0.5], requires_grad=True)
    y = eval(operation)
    if y.grad_fn is None:
        found = "no edge"
    else:
        try:
            y.sum().backward()
            found = x.grad.tolist()
        except RuntimeError as error:
            found = error
    print(f"{operation:31} {found}")

# %% argmax_loss raises="RuntimeError"
scores = torch.tensor([1.0, 3.0, 2.0], requires_grad=True)
target = torch.tensor(0)
error_rate = (scores.argmax() != target).float()
error_rate.backward()

# %% indexing
scores[[0, 2, 2]].sum().backward()
print("scores.grad =", scores.grad)

# %% straight_through
x = torch.tensor([0.2, 1.7], requires_grad=True)
rounded = x + (x.round() - x).detach()
print("rounded =", rounded)

(3 * rounded).sum().backward()
print("x.grad =", x.grad)

# %% roots
for formula in ["x.sqrt()", "(x * x).sqrt()", "x.norm()", "(x * x + 1e-12).sqrt()"]:
    print(f"gradient({formula!r}) =", gradient(formula))

# %% power_zero
print("gradient('x**0') =", gradient("x**0"))

# %% where
x = torch.tensor([-1.0, 0.0, 4.0], requires_grad=True)
y = torch.where(x > 0, x.sqrt(), 0.0)
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)

# %% where_factors
root = x.sqrt()
root.retain_grad()
torch.where(x > 0, root, 0.0).sum().backward()
# zh: sqrt 的导数是 1 / (2 * sqrt(x))
# en: the derivative of sqrt is 1 / (2 * sqrt(x))
derivative = 1 / (2 * root.detach())
print("root.grad =", root.grad)
print("derivative =", derivative)
print("root.grad * derivative =", root.grad * derivative)

# %% where_graph
from gradgraph import record

x.grad = None
root = x.sqrt()
y = torch.where(x > 0, root, 0.0)
record(y.sum(), x=x, root=root, y=y)

# %% too_late
at = [-1.0, 0.0, 4.0]
for formula in [
    "(x > 0) * x.sqrt()",
    "x.sqrt()[x > 0]",
    "x.sqrt().masked_fill(x <= 0, 0)",
    "x.sqrt().nan_to_num()",
]:
    print(f"gradient({formula!r}, at) =", gradient(formula, at))

# %% double_where
x.grad = None
keep = x > 0
# zh: 1.0 是占位：sqrt 在这里有有限的导数
# en: 1.0 is a placeholder: sqrt has a finite derivative there
safe = torch.where(keep, x, 1.0)
y = torch.where(keep, safe.sqrt(), 0.0)
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)

# %% select_first
x.grad = None
y = torch.zeros_like(x)
y[keep] = x[keep].sqrt()
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)

# %% anomaly raises="RuntimeError"
import warnings

with (
    warnings.catch_warnings(record=True) as caught,
    torch.autograd.set_detect_anomaly(True),
):
    y = torch.where(x > 0, x.sqrt(), 0.0)
    y.sum().backward()

# %% culprit
# zh: 警告里有整个调用栈；这里只留开头一行和最后一处调用
# en: the warning holds the whole call stack; keep its first line and the last call
lines = str(caught[-1].message).splitlines()
print(lines[0], *lines[-3:-1], sep="\n")

# %% anomaly_inf
z = torch.tensor(0.0, requires_grad=True)
with torch.autograd.set_detect_anomaly(True):
    z.sqrt().backward()
print("z.grad =", z.grad)

# %% exercise_1
for formula in [
    "x.relu() - (-x).relu()",
    "torch.maximum(x, zero) - torch.maximum(-x, zero)",
    "x.clamp(min=0) - (-x).clamp(min=0)",
]:
    print(f"gradient({formula!r}) =", gradient(formula))

# %% exercise_2
scores = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
positions = torch.arange(3.0)
for sharpness in 1.0, 5.0:
    soft = (sharpness * scores).softmax(0) @ positions
    (grad,) = torch.autograd.grad(soft, scores)
    print("soft =", round(soft.item(), 4), "  grad =", grad)

# %% exercise_3
x = torch.tensor([-2.0, -0.5, 0.25, 3.0], requires_grad=True)
inside = x.clamp(-1, 1)
sign = inside + (x.sign() - inside).detach()
sign.sum().backward()
print("sign =", sign)
print("x.grad =", x.grad)
