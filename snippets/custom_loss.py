# %% function
import torch
from torch import nn


def weighted(p, t):
    return ((p - t).abs() * (1 + t)).mean()


p = torch.tensor([1.0, 3.0], requires_grad=True)
t = torch.tensor([2.0, 1.0])
weighted(p, t).backward()
print("p.grad =", p.grad)


# %% module
class Weighted(nn.Module):
    def __init__(self, offset=1.0):
        super().__init__()
        self.offset = offset

    def forward(self, p, t):
        return ((p - t).abs() * (self.offset + t)).mean()


p.grad = None
criterion = Weighted()
criterion(p, t).backward()
print("p.grad =", p.grad)

# %% cuts
p = torch.tensor([0.2, 0.7], requires_grad=True)
results = {
    "p.detach().numpy()": torch.from_numpy(p.detach().numpy()),
    "p.sum().item()": torch.tensor(p.sum().item()),
    "p.tolist()": torch.tensor(p.tolist()),
    "p.data": p.data,
    "p > 0.5": p > 0.5,
    "p.argmax()": p.argmax(),
    "p.int()": p.int(),
    "p.round()": p.round(),
}
with torch.no_grad():
    results["in no_grad()"] = 2 * p
for name, result in results.items():
    print(f"{name:19} requires_grad = {result.requires_grad}")

# %% round
p.round().sum().backward()
print("p.grad =", p.grad)

# %% accuracy raises="RuntimeError"
label = torch.tensor([True, True])
accuracy = ((p > 0.5) == label).float().mean()
(1 - accuracy).backward()

# %% half_cut
from gradgraph import record

p = torch.tensor([1.0, 3.0], requires_grad=True)
fit = (p - t).square().mean()
size = torch.tensor(p.abs().sum().item())
loss = fit + 0.5 * size
for name, part in {"fit": fit, "size": size, "loss": loss}.items():
    print(f"{name:4} requires_grad = {part.requires_grad}")

# %% half_cut_picture
record(loss, loss=loss, fit=fit, p=p)

# %% whole
p.grad = None
fit = (p - t).square().mean()
size = p.abs().sum()
(fit + 0.5 * size).backward()
print("p.grad =", p.grad)

# %% copied
w = torch.tensor(2.0, requires_grad=True)
losses = [3 * w, w**2]
print("torch.tensor(losses).requires_grad =", torch.tensor(losses).requires_grad)

# %% stacked
total = torch.stack(losses).mean()
total.backward()
print("w.grad =", w.grad)

# %% rotation
theta = torch.tensor(0.5, requires_grad=True)
cos, sin = theta.cos(), theta.sin()
R = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
(R @ torch.tensor([1.0, 0.0])).sum().backward()
print("theta.grad =", theta.grad)
print("cos - sin =", round((cos - sin).item(), 4))

# %% reduction
x = torch.tensor([1.0, 2.0, 3.0])
for reduce in torch.mean, torch.sum:
    w = torch.tensor(1.0, requires_grad=True)
    reduce(w * x).backward()
    print(f"{reduce.__name__:4} w.grad = {w.grad}")

# %% masked
pred = torch.tensor([1.0, 2.0, 5.0, 5.0], requires_grad=True)
target = torch.zeros(4)
real = torch.tensor([1.0, 1.0, 0.0, 0.0])
each = nn.functional.mse_loss(pred, target, reduction="none")
(each * real).mean().backward()
print("pred.grad =", pred.grad)

# %% masked_mean
pred.grad = None
each = nn.functional.mse_loss(pred, target, reduction="none")
((each * real).sum() / real.sum()).backward()
print("pred.grad =", pred.grad)

# %% shapes
pred = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
target = torch.tensor([1.0, 2.0, 3.0])
difference = pred - target
difference.square().mean().backward()
print("difference.shape =", difference.shape)
print("pred.grad =", pred.grad.squeeze(1))

# %% dtype_backward raises="RuntimeError"
import numpy as np
from torch.nn import functional as F

pred = torch.tensor([0.2, 0.7], requires_grad=True)
target = torch.from_numpy(np.array([0.0, 1.0]))
loss = F.huber_loss(pred, target)
print("loss.dtype =", loss.dtype)
loss.backward()

# %% dtype_find
print("pred.dtype =", pred.dtype)
print("target.dtype =", target.dtype)
F.huber_loss(pred, target.to(pred.dtype)).backward()
print("pred.grad =", pred.grad)

# %% dtype_forward
scores = torch.zeros(2, 3, requires_grad=True)
for function, args in (
    (F.binary_cross_entropy, (pred, target)),
    (F.binary_cross_entropy, (pred, target.long())),
    (F.binary_cross_entropy_with_logits, (pred, target.long())),
    (F.cross_entropy, (scores, target.float())),
):
    try:
        function(*args)
    except RuntimeError as error:
        print(f"{function.__name__}:\n    {error}")

# %% softmax
z = torch.tensor([200.0, 0.0], requires_grad=True)
(-torch.softmax(z, 0).log()[1]).backward()
print("z.grad =", z.grad)

# %% log_softmax
z.grad = None
(-torch.log_softmax(z, 0)[1]).backward()
print("z.grad =", z.grad)

# %% sigmoid
z = torch.tensor(200.0, requires_grad=True)
wrong = torch.tensor(0.0)
F.binary_cross_entropy(torch.sigmoid(z), wrong).backward()
print("z.grad =", z.grad)

# %% with_logits
z.grad = None
F.binary_cross_entropy_with_logits(z, wrong).backward()
print("z.grad =", z.grad)

# %% checked
from torch.autograd import gradcheck

p = torch.tensor([0.3, 0.6], dtype=torch.float64, requires_grad=True)
t = torch.tensor([0.5, 0.1], dtype=torch.float64)
print("weighted:", gradcheck(lambda p: weighted(p, t), p))

nudge = torch.tensor([1e-6, 0.0], dtype=torch.float64)
(gradient,) = torch.autograd.grad(weighted(p, t), p)
print(f"gradient[0] = {gradient[0]:.4f}")
print(f"by hand = {(weighted(p + nudge, t) - weighted(p, t)) / 1e-6:.4f}")


# %% check_accuracy
def accuracy(p):
    return (p > 0.5).double().mean()


print("accuracy:", gradcheck(accuracy, p))

# %% check_fails raises="GradcheckError"


def half_cut(p):
    return (p - t).square().mean() + 0.5 * p.abs().sum().item()


gradcheck(half_cut, p)

# %% decay
torch.manual_seed(0)
x, y = torch.randn(8, 3), torch.randn(8, 1)


def one_step(by_hand, optimizer):
    torch.manual_seed(1)
    model = nn.Linear(3, 1)
    step = optimizer(model.parameters(), lr=0.1, weight_decay=0.0 if by_hand else 0.01)
    loss = F.mse_loss(model(x), y)
    if by_hand:
        loss = loss + 0.005 * sum(p.square().sum() for p in model.parameters())
    loss.backward()
    step.step()
    return model.weight


for optimizer in torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW:
    same = torch.allclose(one_step(True, optimizer), one_step(False, optimizer))
    print(f"{optimizer.__name__:5} same = {same}")


# %% learned
class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.s = nn.Parameter(torch.tensor(0.0))

    def forward(self, p, t):
        return torch.exp(-self.s) * F.mse_loss(p, t) + self.s


model, criterion = nn.Linear(3, 1), Learned()
optimizer = torch.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.1)
criterion(model(x), y).backward()
optimizer.step()
print("criterion.s has moved:", criterion.s.item() != 0)


# %% exercise_1
def dice(p, t):
    return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)


z = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
t = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
print("dice:", gradcheck(lambda z: dice(torch.sigmoid(z), t), z))

# %% exercise_2
for eps in 0.0, 1e-8:
    p = torch.tensor([1.0, 2.0], requires_grad=True)
    (F.mse_loss(p, torch.tensor([1.0, 2.0])) + eps).sqrt().backward()
    print(f"eps = {eps}: p.grad = {p.grad}")

# %% exercise_3
scores = torch.tensor([[1.0, 0.0], [0.0, 0.0]], requires_grad=True)
labels = torch.tensor([0, 1])
weight = torch.tensor([3.0, 1.0])
each = F.cross_entropy(scores, labels, reduction="none")
by_hand = (weight[labels] * each).sum() / weight[labels].sum()
same = torch.allclose(F.cross_entropy(scores, labels, weight), by_hand)
print("same =", same)
