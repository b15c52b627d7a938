# %% sample_error raises="RuntimeError"
import torch
from torch.distributions import Categorical, Normal, kl_divergence
from torch.nn import functional as F

torch.manual_seed(0)
mu = torch.tensor(1.5, requires_grad=True)
sigma = torch.tensor(1.0, requires_grad=True)

z = Normal(mu, sigma).sample()
z.square().backward()

# %% silent_zero
z = torch.normal(mu, sigma)
z.square().backward()
print("z =", z)
print("mu.grad =", mu.grad)

# %% draws
p = torch.tensor([0.2, 0.3, 0.5], requires_grad=True)
draws = {
    "Normal(mu, sigma).sample()": mu,
    "Categorical(p).sample()": p,
    "p.multinomial(2)": p,
    "torch.normal(mu, sigma)": mu,
    "torch.bernoulli(p)": p,
    "torch.poisson(p)": p,
    "p.clone().uniform_()": p,
    "Normal(mu, sigma).rsample()": mu,
}
for draw, parameter in draws.items():
    z = eval(draw)
    grad = torch.autograd.grad(z.sum(), parameter)[0] if z.requires_grad else None
    print(f"{draw:28} {grad}")

# %% reparameterized
mu.grad = None
eps = torch.randn(100_000)
z = mu + sigma * eps
z.square().mean().backward()
print("mu.grad =", round(mu.grad.item(), 2))
print("sigma.grad =", round(sigma.grad.item(), 2))

# %% rsample
torch.manual_seed(1)
drawn = Normal(mu, sigma).rsample()
torch.manual_seed(1)
by_hand = mu + sigma * torch.randn(())
print("drawn == by_hand =", (drawn == by_hand).item())

# %% picture
from gradgraph import record

mu.grad = sigma.grad = None
eps = torch.tensor(0.5)
z = mu + sigma * eps
record(z.square(), mu=mu, sigma=sigma, eps=eps, z=z)

# %% vae
# zh: 编码器对一个样本的输出：两个均值，两个方差的对数
# en: what an encoder outputs for one example: two means, the logs of two variances
mean = torch.tensor([0.5, -1.0], requires_grad=True)
log_var = torch.tensor([0.0, -2.0], requires_grad=True)

std = (0.5 * log_var).exp()
z = mean + std * torch.randn(2)
kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()

print("z.requires_grad =", z.requires_grad)
print("kl =", round(kl.item(), 4))
check = kl_divergence(Normal(mean, std), Normal(0, 1)).sum()
print("check =", round(check.item(), 4))

# %% no_rsample raises="NotImplementedError"
print("Categorical.has_rsample =", Categorical.has_rsample)
Categorical(p).rsample()

# %% score_function
logits = p.detach().log().requires_grad_()
reward = torch.tensor([1.0, 2.0, 4.0])
(exact,) = torch.autograd.grad(logits.softmax(0) @ reward, logits)
print("exact =", exact)

policy = Categorical(logits=logits)
action = policy.sample((100_000,))
objective = (policy.log_prob(action) * reward[action]).mean()
(estimate,) = torch.autograd.grad(objective, logits)
print("estimate =", [round(g, 2) for g in estimate.tolist()])

# %% advantage
logits = torch.zeros(3, requires_grad=True)
value = torch.tensor(0.5, requires_grad=True)

policy = Categorical(logits=logits)
action = policy.sample()
advantage = reward[action] - value
loss = -policy.log_prob(action) * advantage
loss.backward()
print("value.grad =", value.grad)

# %% advantage_detached
value.grad = None
policy_loss = -policy.log_prob(action) * advantage.detach()
value_loss = advantage.square()
print("policy_loss =", torch.autograd.grad(policy_loss, value, allow_unused=True)[0])
print("value_loss =", torch.autograd.grad(value_loss, value)[0])

# %% variances
torch.manual_seed(0)
eps = torch.randn(2000, 1024)
z = 1.5 + eps
f = z.square()
per_draw = {
    "score": f * eps,
    "baseline": (f - f.mean()) * eps,
    "reparameterized": 2 * z,
}
for name, gradients in per_draw.items():
    print(name, "=", round(gradients.var().item()))

# %% spread
import matplotlib.pyplot as plt

sizes = torch.tensor([1, 4, 16, 64, 256, 1024])
for (name, gradients), marker in zip(per_draw.items(), "os^", strict=True):
    measured = [gradients[:, :n].mean(1).std() for n in sizes]
    (line,) = plt.loglog(sizes, gradients.std() / sizes**0.5)
    plt.loglog(sizes, measured, marker, color=line.get_color(), label=name)
plt.xlabel("draws per estimate")
plt.ylabel("standard deviation of the estimate")
plt.legend()
plt.show()

# %% gumbel_max
torch.manual_seed(0)
logits = p.detach().log().requires_grad_()
gumbel = -torch.log(-torch.log(torch.rand(100_000, 3)))
winners = (logits + gumbel).argmax(1)
print("shares =", [round(n / 100_000, 2) for n in winners.bincount().tolist()])

# %% gumbel_softmax
y = F.gumbel_softmax(logits, tau=1.0, hard=True)
print("y =", y)
print("gradient =", torch.autograd.grad(y @ reward, logits)[0])

# %% bias
many = logits.detach().expand(100_000, 3).clone().requires_grad_()
loss = (reward - 3) ** 2
(exact,) = torch.autograd.grad(logits.softmax(0) @ loss, logits)
print("exact       ", [round(g, 2) for g in exact.tolist()])

for tau in 2.0, 1.0, 0.1:
    y = F.gumbel_softmax(many, tau=tau, hard=True)
    (g,) = torch.autograd.grad(((y @ reward - 3) ** 2).sum(), many)
    mean = [round(m, 2) for m in g.mean(0).tolist()]
    print("tau =", tau, "  ", mean, "spread", round(g[:, 2].std().item(), 1))

# %% dropout
torch.manual_seed(4)
x = torch.ones(6, requires_grad=True)
y = F.dropout(x, p=0.5)
print("y =", y)

# %% dropout_backward
y.sum().backward()
print("x.grad =", x.grad)


# %% seeds
def loss_at(x):
    torch.manual_seed(4)
    return F.dropout(x, p=0.5).square().sum()


h = 0.125
difference = (loss_at(x + h) - loss_at(x - h)) / (2 * h)
print("difference =", difference.item())
print("gradient =", torch.autograd.grad(loss_at(x), x)[0].sum().item())

# %% exercise_1
theta = torch.tensor(2.0, requires_grad=True)
u = torch.rand(100_000)
(theta * u).square().mean().backward()
print("theta.grad =", round(theta.grad.item(), 2))

# %% exercise_2
mu.grad = None
policy = Normal(mu, sigma.detach())
z = policy.rsample((5,))
policy.log_prob(z).sum().backward()
print("mu.grad =", mu.grad)

# %% exercise_3
eps = torch.randn(100_000)
pathwise = 20 * torch.cos(20 * eps)
score = torch.sin(20 * eps) * eps
print("pathwise =", round(pathwise.var().item()))
print("score =", round(score.var().item(), 1))
