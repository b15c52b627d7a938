# %% input
import torch
from torch import nn

net = nn.Linear(2, 1, bias=False)
with torch.no_grad():
    net.weight.copy_(torch.tensor([[3.0, -1.0]]))

x = torch.tensor([[2.0, 5.0]], requires_grad=True)
(g,) = torch.autograd.grad(net(x).sum(), x)
print("g =", g)
print("x.grad =", x.grad)
print("net.weight.grad =", net.weight.grad)

# %% backward
net(x).sum().backward()
print("x.grad =", x.grad)
print("net.weight.grad =", net.weight.grad)

# %% frozen
net.requires_grad_(False)
x.grad = net.weight.grad = None
net(x).sum().backward()
print("x.grad =", x.grad)
print("net.weight.grad =", net.weight.grad)

# %% too_late
net.requires_grad_(True)
x = torch.tensor([[2.0, 5.0]])
score = net(x).sum()
x.requires_grad_()
score.backward()
print("x.grad =", x.grad)

# %% prepared
raw = torch.tensor([[51.0, 102.0]], requires_grad=True)
x = raw / 255
net(x).sum().backward()
print("x.is_leaf =", x.is_leaf)
print("raw.grad =", raw.grad)

# %% integers raises="RuntimeError"
ids = torch.tensor([[3, 1]])
ids.requires_grad_()

# %% embedding
embedding = nn.Embedding(5, 2)
h = embedding(ids)
(g,) = torch.autograd.grad(net(h).sum(), h)
print("g =", g)

# %% batch
rows = torch.tensor([[1.0, 0.0], [2.0, 5.0], [0.0, 3.0]], requires_grad=True)


def scores(x):
    return net(x).square()


(g,) = torch.autograd.grad(scores(rows).sum(), rows)
apart = [torch.autograd.grad(scores(row), row)[0] for row in rows.split(1)]
(of_mean,) = torch.autograd.grad(scores(rows).mean(), rows)
print("g =", g, sep="\n")
print("torch.equal(g, torch.cat(apart)) =", torch.equal(g, torch.cat(apart)))
print("torch.allclose(of_mean, g / 3) =", torch.allclose(of_mean, g / 3))

# %% batch_norm
model = nn.Sequential(nn.BatchNorm1d(2), net)


def rows_that_count():
    # zh: 只问第 0 行的分数
    # en: the score of row 0 only
    (g,) = torch.autograd.grad(model(rows)[0, 0], rows)
    return g.any(dim=1).tolist()


model.train()
print("train =", rows_that_count())
model.eval()
print("eval =", rows_that_count())

# %% classifier
plus = torch.zeros(5, 5)
plus[2] = plus[:, 2] = 1
cross = torch.maximum(torch.eye(5), torch.eye(5).flip(0))
shapes = torch.stack([plus, cross])

classifier = nn.Sequential(
    nn.Conv2d(1, 2, 5, padding=2),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(2, 2, bias=False),
)
with torch.no_grad():
    classifier[0].weight.copy_((3 * shapes - 1).unsqueeze(1) / 16)
    classifier[0].bias.fill_(-0.12)
    classifier[4].weight.copy_(torch.tensor([[1440.0, -1440.0], [-1440.0, 1440.0]]))
classifier.requires_grad_(False)

torch.manual_seed(1)
image = 0.35 * torch.rand(1, 1, 12, 12)
image[0, 0, 3:8, 5:10] += 0.5 * plus
print("classifier(image) =", classifier(image))

# %% saliency
x = image.clone().requires_grad_()
(saliency,) = torch.autograd.grad(classifier(x)[0, 0], x)
inside = saliency[0, 0, 3:8, 5:10].abs().sum() / saliency.abs().sum()
print("saliency.shape =", tuple(saliency.shape))
print("inside =", round(inside.item(), 2))

# %% softmax
(of_probability,) = torch.autograd.grad(classifier(x).softmax(dim=1)[0, 0], x)
print("saliency.abs().max() =", round(saliency.abs().max().item(), 1))
print("of_probability.abs().max() =", round(of_probability.abs().max().item(), 3))

# %% grad_cam
features = classifier[:2](x)
score = classifier[2:](features)[0, 0]
(to_features,) = torch.autograd.grad(score, features)
weights = to_features.mean(dim=(2, 3), keepdim=True)
cam = (weights * features).sum(dim=1).relu().detach()
row, column = divmod(cam.argmax().item(), 12)
print("row, column =", (row, column))

# %% no_history raises="RuntimeError"
features = classifier[:2](image)
score = classifier[2:](features)[0, 0]
torch.autograd.grad(score, features)

# %% maps
import matplotlib.pyplot as plt


def show(panels):
    figure = plt.figure(figsize=(2.5 * len(panels), 2.6))
    axes = figure.subplots(1, len(panels))
    for ax, (title, pixels) in zip(axes, panels.items(), strict=True):
        limit = pixels.abs().max().item()
        low, colours = (-limit, "RdBu_r") if pixels.min() < 0 else (0, "viridis")
        ax.imshow(pixels.detach().reshape(12, 12), cmap=colours, vmin=low, vmax=limit)
        ax.set_title(title)
        ax.set_axis_off()
    plt.show()


show({"image": image, "gradient": saliency, "Grad-CAM": cam})

# %% fgsm
from torch.nn.functional import cross_entropy

# zh: 类别 0 是加号，1 是叉号
# en: class 0 is the plus, 1 is the cross
label = torch.tensor([0])
x = image.clone().requires_grad_()
(g,) = torch.autograd.grad(cross_entropy(classifier(x), label), x)
fgsm = image + 0.1 * g.sign()
noisy = image + 0.1 * torch.randn(image.shape).sign()
print("image:", classifier(image).argmax().item())
print("noisy:", classifier(noisy).argmax().item())
print("fgsm:", classifier(fgsm).argmax().item())

# %% trap raises="AttributeError"
x = image.clone().requires_grad_()
for _ in range(10):
    cross_entropy(classifier(x), label).backward()
    x = x + 0.02 * x.grad.sign()

# %% pgd
x = image.clone().requires_grad_()
for _ in range(10):
    cross_entropy(classifier(x), label).backward()
    x = x + 0.02 * x.grad.sign()
    # zh: 离原图不超过 0.1
    # en: no further than 0.1 from the image
    x = x.clamp(image - 0.1, image + 0.1).clamp(0, 1).detach().requires_grad_()
pgd = x.detach()
losses = [cross_entropy(classifier(i), label).item() for i in (image, fgsm, pgd)]
print("losses == sorted(losses) =", losses == sorted(losses))

# %% optimize
x = (0.5 * torch.rand(1, 1, 12, 12)).requires_grad_()
optimizer = torch.optim.Adam([x], lr=0.05)
print("before =", round(classifier(x)[0, 0].item(), 1))
for _ in range(100):
    optimizer.zero_grad()
    (-classifier(x)[0, 0]).backward()
    optimizer.step()
    with torch.no_grad():
        x.clamp_(0, 1)
print("after =", round(classifier(x)[0, 0].item(), -1))

# %% changed
show({"10 steps": pgd, "minus the image": pgd - image, "optimized": x})


# %% field
def u(X):
    x, t = X.unbind(dim=1)
    return x**2 * t**3


X = torch.tensor([[3.0, 1.0], [4.0, 2.0]], requires_grad=True)
(d,) = torch.autograd.grad(u(X).sum(), X, create_graph=True)
u_x, u_t = d.unbind(dim=1)
print("u_x =", u_x)
print("u_t =", u_t)

# %% second
(of_u_x,) = torch.autograd.grad(u_x.sum(), X, create_graph=True)
u_xx, u_xt = of_u_x.unbind(dim=1)
print("u_xx =", u_xx)
print("u_xt =", u_xt)

# %% row_sum
(of_d,) = torch.autograd.grad(d.sum(), X, create_graph=True)
print("of_d[:, 0] =", of_d[:, 0])
print("u_xx + u_xt =", u_xx + u_xt)

# %% laplacian
from torch.func import hessian, vmap


def laplacian(u, X):
    (d,) = torch.autograd.grad(u(X).sum(), X, create_graph=True)
    total = 0
    for i, column in enumerate(d.unbind(dim=1)):
        (second,) = torch.autograd.grad(column.sum(), X, create_graph=True)
        total = total + second[:, i]
    return total


def trace(row):
    return hessian(lambda row: u(row[None])[0])(row).trace()


print("laplacian(u, X) =", laplacian(u, X).detach())
print("vmap(trace)(X) =", vmap(trace)(X.detach()))

# %% train
torch.manual_seed(0)
field = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
residual = laplacian(lambda X: field(X)[:, 0], X)
residual.square().mean().backward()
print([name for name, p in field.named_parameters() if p.grad is None])


# %% fit
def fit(activation):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 32), activation, nn.Linear(32, 1)).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(500):
        optimizer.zero_grad()
        (net(points) - points.sin()).square().mean().backward()
        optimizer.step()
    return net


points = torch.linspace(-3, 3, 61, dtype=torch.float64).unsqueeze(1)
curves = {}
for activation in nn.Tanh(), nn.ReLU():
    net = fit(activation)
    p = points.clone().requires_grad_()
    y = net(p)
    (y_x,) = torch.autograd.grad(y.sum(), p, create_graph=True)
    (y_xx,) = torch.autograd.grad(y_x.sum(), p)
    name = type(activation).__name__
    curves[name] = y.detach(), y_xx
    print(name, "fits =", ((y - p.sin()).abs().max() < 0.1).item())
    print(name, "y_xx.any() =", y_xx.any().item())

# %% curvature
left, right = plt.figure(figsize=(7, 3)).subplots(1, 2)
for (name, (y, y_xx)), style in zip(curves.items(), ("-", "--"), strict=True):
    left.plot(points, y, style, label=name)
    right.plot(points, y_xx, style, label=name)
right.plot(points, -points.sin(), ":", color="gray", label="-sin(x)")
left.set_xlabel("x")
left.set_ylabel("the network")
right.set_xlabel("x")
right.set_ylabel("its second derivative")
left.legend()
right.legend()
plt.show()

# %% exercise_1
torch.manual_seed(0)
plain = nn.Sequential(
    nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 1, bias=False)
)
x = torch.randn(1, 4, requires_grad=True)
(g,) = torch.autograd.grad(plain(x).sum(), x)
print("same =", torch.allclose((g * x).sum(), plain(x).sum()))

# %% exercise_2
copies = (image + 0.1 * torch.randn(50, 1, 12, 12)).requires_grad_()
(g,) = torch.autograd.grad(classifier(copies)[:, 0].sum(), copies)
smooth = g.mean(dim=0)
print("smooth.shape =", tuple(smooth.shape))

# %% exercise_3
x = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
heat = torch.exp(-t) * torch.sin(x)
h_x, h_t = torch.autograd.grad(heat.sum(), [x, t], create_graph=True)
(h_xx,) = torch.autograd.grad(h_x.sum(), x, create_graph=True)
print("torch.allclose(h_t, h_xx) =", torch.allclose(h_t, h_xx))
