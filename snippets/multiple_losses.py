# %% sum
import torch

w = torch.tensor([0.0, 0.0], requires_grad=True)
a = torch.tensor([-2.5, 0.0])
b = torch.tensor([3.0, -4.0])


def losses(w):
    return (w - a).square().sum(), (w - b).square().sum()


first, second = losses(w)
(first + 0.5 * second).backward()
print("w.grad =", w.grad)

# %% each
first, second = losses(w)
(g1,) = torch.autograd.grad(first, w)
(g2,) = torch.autograd.grad(second, w)
print("g1 =", g1)
print("g2 =", g2)
print("g1 + 0.5 * g2 =", g1 + 0.5 * g2)

# %% value_and_pull
large = 1000 + 0.1 * w[0]
small = 5 * w[1]
for loss in large, small:
    (pull,) = torch.autograd.grad(loss, w)
    print(f"loss = {loss.item():.1f}, norm of its gradient = {pull.norm():.1f}")

# %% unused raises="RuntimeError"
trunk = torch.tensor(2.0, requires_grad=True)
head_a = torch.tensor(3.0, requires_grad=True)
head_b = torch.tensor(-1.0, requires_grad=True)


def two_heads():
    h = torch.exp(trunk - 2)
    return (head_a * h - 5).square(), (head_b * h - 1).square()


loss_a, loss_b = two_heads()
torch.autograd.grad(loss_a, [trunk, head_a, head_b])

# %% materialized
every = [trunk, head_a, head_b]
loss_a, loss_b = two_heads()
print(torch.autograd.grad(loss_a, every, retain_graph=True, materialize_grads=True))
print(torch.autograd.grad(loss_b, every, materialize_grads=True))

# %% conflict
cosine = torch.cosine_similarity(g1, g2, dim=0)
print("cosine =", round(cosine.item(), 3))


def falls(direction, lr=0.01):
    after = losses(w - lr * direction)
    return [(new < old).item() for new, old in zip(after, losses(w), strict=True)]


print("falls(g1 + g2) =", falls(g1 + g2))


# %% pcgrad
def pcgrad(grads):
    projected = []
    for i, g in enumerate(grads):
        for j in torch.randperm(len(grads)).tolist():
            dot = g @ grads[j]
            if j != i and dot < 0:
                g = g - dot / (grads[j] @ grads[j]) * grads[j]
        projected.append(g)
    return sum(projected)


combined = pcgrad([g1, g2])
print("g1 + g2 =", g1 + g2)
print("combined =", combined)
print("falls(combined) =", falls(combined))

# %% conflict_figure
import matplotlib.pyplot as plt
import numpy as np

ax = plt.figure(figsize=(6, 4)).subplots()
vectors = {"$-g_1$": g1, "$-g_2$": g2, "$-(g_1+g_2)$": g1 + g2, "PCGrad": combined}
styles = zip(["C0", "C1", "gray", "C2"], ["-", "-", "--", "-"], strict=True)
# zh: 两个损失都下降的方向，夹在 g1 与 g2 的两条垂线之间
# en: where both fall lies between the perpendiculars to g1 and g2
turn = np.linspace(np.arctan2(-3, -4), -np.pi / 2, 50)
fan_x, fan_y = 14 * np.cos(np.unwrap(turn)), 14 * np.sin(turn)
ax.fill([0, *fan_x], [0, *fan_y], color="C2", alpha=0.2, linewidth=0)
ax.text(-8.6, -8.5, "both losses fall")
for (name, vector), (color, style) in zip(vectors.items(), styles, strict=True):
    x, y = (-vector).tolist()
    ax.plot([0, x], [0, y], color=color, linestyle=style, linewidth=2)
    ax.plot(x, y, "o", color=color)
    ax.annotate(name, (x, y), (6, 4), textcoords="offset points")
ax.set_xlim(-9, 9)
ax.set_ylim(-11.5, 2)
ax.set_aspect("equal")
ax.set_xlabel("$w_0$")
ax.set_ylabel("$w_1$")
plt.show()

# %% clip_norm
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

w.grad = torch.tensor([3.0, 4.0])
print("clip_grad_norm_([w], max_norm=2.5) =", clip_grad_norm_([w], max_norm=2.5))
print("w.grad =", w.grad)

# %% clip_value
w.grad = torch.tensor([3.0, 4.0])
clip_grad_value_([w], clip_value=2.5)
print("w.grad =", w.grad)

# %% clip_infinite
w.grad = torch.tensor([torch.inf, 4.0])
clip_grad_norm_([w], max_norm=2.5)
print("w.grad =", w.grad)

# %% clip_error raises="RuntimeError"
w.grad = torch.tensor([torch.inf, 4.0])
clip_grad_norm_([w], max_norm=2.5, error_if_nonfinite=True)

# %% gan_leak
g = torch.tensor(2.0, requires_grad=True)
d = torch.tensor(3.0, requires_grad=True)
z, real = torch.tensor(1.0), torch.tensor(5.0)

fake = g * z
(d * fake - d * real).backward()
print("after the discriminator's pass: g.grad =", g.grad)
(-d * (g * z)).backward()
print("after the generator's pass: g.grad =", g.grad)

# %% gan_two_steps
g.grad = d.grad = None
fake = g * z
(d * fake.detach() - d * real).backward()
print("g.grad =", g.grad)
print("d.grad =", d.grad)

# %% gan_generator
(-d * fake).backward()
print("g.grad =", g.grad)
print("d.grad =", d.grad)

# %% gan_inputs
g.grad = d.grad = None
(-d * (g * z)).backward(inputs=[g])
print("g.grad =", g.grad)
print("d.grad =", d.grad)

# %% penalty
v = torch.tensor([3.0, 4.0], requires_grad=True)
x = torch.tensor([1.0, 1.0], requires_grad=True)

(slope,) = torch.autograd.grad(v @ x, x, create_graph=True)
penalty = (slope.norm() - 1).square()
penalty.backward()
print("penalty =", penalty.item())
print("v.grad =", v.grad)

# %% penalty_silent
v.grad = None
score = v @ x
(slope,) = torch.autograd.grad(score, x, retain_graph=True)
penalty = (slope.norm() - 1).square()
(score + penalty).backward(inputs=[v])
print("v.grad =", v.grad)

# %% penalty_error raises="RuntimeError"
penalty.backward()

# %% penalty_scaled
v.grad = None
optimizer = torch.optim.SGD([v], lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
(scaled,) = torch.autograd.grad(scaler.scale(v @ x), x, create_graph=True)
slope = scaled / scaler.get_scale()
scaler.scale((slope.norm() - 1).square()).backward()
scaler.unscale_(optimizer)
print("slope =", slope.detach())
print("v.grad =", v.grad)

# %% gan_training
from torch import nn
from torch.nn.functional import softplus

torch.manual_seed(0)
G = nn.Linear(1, 1)
D = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
opt_g = torch.optim.Adam(G.parameters(), lr=0.02, betas=(0.5, 0.9))
opt_d = torch.optim.Adam(D.parameters(), lr=0.05, betas=(0.5, 0.9))
means, spreads = [], []
for _ in range(400):
    real = (4 + 0.5 * torch.randn(64, 1)).requires_grad_()
    fake = G(torch.randn(64, 1))

    opt_d.zero_grad()
    score = D(real)
    loss_d = softplus(D(fake.detach())).mean() + softplus(-score).mean()
    (slopes,) = torch.autograd.grad(score.sum(), real, create_graph=True)
    (loss_d + 0.3 * slopes.square().mean()).backward()
    opt_d.step()

    opt_g.zero_grad()
    softplus(-D(fake)).mean().backward()
    opt_g.step()

    means.append(fake.mean().item())
    spreads.append(fake.std().item())

# %% gan_figure
plt.plot(means, label="mean of the fakes")
plt.plot(spreads, "--", label="their standard deviation")
plt.axhline(4, color="gray", linewidth=1)
plt.axhline(0.5, color="gray", linewidth=1, linestyle="--")
plt.xlabel("step")
plt.legend(loc="center right")
plt.show()


# %% reversal
class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(x, factor):
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx, grad):
        return -ctx.factor * grad, None


encoder = torch.tensor(2.0, requires_grad=True)
label_head = torch.tensor(3.0, requires_grad=True)
domain_head = torch.tensor(4.0, requires_grad=True)

feature = 1 * encoder
label_loss = label_head * feature
domain_loss = domain_head * Reverse.apply(feature, 0.5)
(label_loss + domain_loss).backward()
print("label_head.grad =", label_head.grad)
print("domain_head.grad =", domain_head.grad)
print("encoder.grad =", encoder.grad)

# %% reversal_picture
from gradgraph import record

encoder.grad = label_head.grad = domain_head.grad = None
feature = 1 * encoder
reversed_feature = Reverse.apply(feature, 0.5)
loss = label_head * feature + domain_head * reversed_feature
record(
    loss,
    loss=loss,
    encoder=encoder,
    label_head=label_head,
    domain_head=domain_head,
    reversed_feature=reversed_feature,
)

# %% reversal_gradcheck raises="GradcheckError"
x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
torch.autograd.gradcheck(lambda x: Reverse.apply(x, 0.5), x)

# %% exercise_1
weight = g1.norm() / g2.norm()
print("weight =", weight)
first, second = losses(w)
(balanced,) = torch.autograd.grad(first + weight * second, w)
print("balanced =", balanced)
print("falls(balanced) =", falls(balanced))

# %% exercise_2
x = torch.tensor(2.0, requires_grad=True)
factor = 0.5
y = (1 + factor) * x.detach() - factor * x
y.backward()
print("y =", y.item())
print("x.grad =", x.grad)

# %% exercise_3
loss = torch.tensor(4.0)
for value in 0.0, 1.0, 2.0:
    s = torch.tensor(value, requires_grad=True)
    (torch.exp(-s) * loss + s).backward()
    print(f"s = {value}: s.grad = {s.grad:.3f}")
print("torch.log(loss) =", torch.log(loss))
