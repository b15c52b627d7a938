# %% saved_tensor_modified raises="RuntimeError"
import torch
from torch import nn

x = torch.tensor([0.0, 0.0], requires_grad=True)
y = x.sigmoid()
y *= 2
y.sum().backward()

# %% saved_tensor_modified_find
import warnings

with (
    torch.autograd.set_detect_anomaly(True),
    warnings.catch_warnings(record=True) as caught,
):
    y = x.sigmoid()
    print("y._version =", y._version)
    y *= 2
    print("y._version =", y._version)
    try:
        y.sum().backward()
    except RuntimeError:
        lines = str(caught[-1].message).splitlines()
        print(lines[0], *lines[-3:-1], sep="\n")

# %% saved_tensor_modified_cure
y = x.sigmoid()
y = y * 2
y.sum().backward()
print("x.grad =", x.grad)

# %% saved_tensor_modified_cure_2
x.grad = None
y = x.sigmoid()
# zh: detach() 与 y 共用内存，要改就先 clone()
# en: detach() shares the memory of y: clone() before you write
shown = y.detach().clone()
shown *= 2
y.sum().backward()
print("shown =", shown)
print("x.grad =", x.grad)

# %% saved_tensor_modified_wrong
x.grad = None
y = x.sigmoid()
y.data.mul_(2)
y.sum().backward()
print("x.grad =", x.grad)

# %% saved_leaf_modified raises="RuntimeError"
g = torch.tensor([3.0], requires_grad=True)
d = torch.tensor([2.0], requires_grad=True)
opt_d = torch.optim.SGD([d], lr=0.1)

loss_d = (d * g.detach()).sum()
loss_g = -(d * g).sum()
loss_d.backward()
opt_d.step()
loss_g.backward()

# %% saved_leaf_modified_cure
g = torch.tensor([3.0], requires_grad=True)
d = torch.tensor([2.0], requires_grad=True)
opt_d = torch.optim.SGD([d], lr=0.1)

loss_d = (d * g.detach()).sum()
loss_d.backward()
opt_d.step()
# zh: 更新之后再算 loss_g，用的是新的 d
# en: compute loss_g after the step, with the new d
loss_g = -(d * g).sum()
loss_g.backward()
print("d =", d)
print("g.grad =", g.grad)

# %% saved_leaf_modified_cure_2
center = torch.tensor([5.0])
g.grad = None
loss = (g * center).sum()
# zh: 不写 center.mul_(0.9).add_(…)
# en: instead of center.mul_(0.9).add_(…)
center = 0.9 * center + 0.1 * g.detach()
loss.backward()
print("center =", center)
print("g.grad =", g.grad)

# %% saved_leaf_modified_wrong raises="RuntimeError"
loss_d = (d * g.detach()).sum()
loss_g = -(d * g).sum()
loss_d.backward(retain_graph=True)
opt_d.step()
loss_g.backward()

# %% saved_view_modified raises="RuntimeError"
w = torch.tensor(2.0, requires_grad=True)
h = torch.zeros(3)
h[0] = 1.0
for t in range(1, 3):
    h[t] = w * h[t - 1]
h[2].backward()

# %% saved_view_modified_cure
states = [torch.tensor(1.0)]
for _ in range(2):
    states.append(w * states[-1])
h = torch.stack(states)
h[2].backward()
print("w.grad =", w.grad)

# %% saved_view_modified_cure_2
w.grad = None
h = torch.zeros(3)
h[0] = 1.0
for t in range(1, 3):
    h[t] = w * h[t - 1].clone()
h[2].backward()
print("w.grad =", w.grad)

# %% leaf_in_place raises="RuntimeError"
w = torch.tensor([2.0, 3.0], requires_grad=True)
loss = (w * w).sum()
loss.backward()
w -= 0.1 * w.grad

# %% leaf_in_place_cure
with torch.no_grad():
    w -= 0.1 * w.grad
print("w =", w)

# %% leaf_in_place_cure_2
image = torch.tensor([-1.0, 2.0], requires_grad=True)
h = image.clone()
nn.functional.relu(h, inplace=True)
h.sum().backward()
print("image.grad =", image.grad)

# %% leaf_in_place_wrong
parameter = w
w = w - 0.1 * w.grad
print("w.is_leaf =", w.is_leaf)
print("w is parameter =", w is parameter)

# %% leaf_view_in_place raises="RuntimeError"
w = torch.ones(3, requires_grad=True)
w[0] = 0.0

# %% leaf_view_in_place_cure
with torch.no_grad():
    w[0] = 0.0
print("w =", w)

# %% leaf_view_in_place_cure_2
h = w.clone()
h[0] = 0.0
h.sum().backward()
print("w.grad =", w.grad)

# %% no_grad_view_modified raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
h = x * 1
with torch.no_grad():
    first = h[:1]
first *= 10

# %% no_grad_view_modified_cure
h = x * 1
first = h[:1]
first *= 10
h.sum().backward()
print("x.grad =", x.grad)

# %% no_grad_view_modified_cure_2
x.grad = None
h = x * 1
with torch.no_grad():
    first = h[:1]
    first *= 10
h.sum().backward()
print("h =", h)
print("x.grad =", x.grad)

# %% multi_view_modified raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
mean, log_std = (x * 1).chunk(2)
log_std.clamp_(max=0.5)

# %% multi_view_modified_cure
mean, log_std = (x * 1).chunk(2)
log_std = log_std.clamp(max=0.5)
(mean + log_std).sum().backward()
print("x.grad =", x.grad)

# %% multi_view_modified_cure_2
x.grad = None
h = x * 1
h[1:].clamp_(max=0.5)
h.sum().backward()
print("x.grad =", x.grad)


# %% function_view_modified raises="RuntimeError"
class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -grad


x = torch.tensor([1.0, 2.0], requires_grad=True)
y = Reverse.apply(x)
y *= 3

# %% function_view_modified_cure
y = Reverse.apply(x)
y = y * 3
y.sum().backward()
print("x.grad =", x.grad)

# %% function_view_modified_cure_2
x.grad = None
y = Reverse.apply(x).clone()
y *= 3
y.sum().backward()
print("x.grad =", x.grad)

# %% inference_view_modified raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
h = x * 1
with torch.inference_mode():
    first = h[:1]
first *= 10

# %% inference_view_modified_cure
h = x * 1
first = h[:1]
first *= 10
h.sum().backward()
print("x.grad =", x.grad)

# %% inference_in_place raises="RuntimeError"
total = 0.0
with torch.inference_mode():
    for loss in torch.tensor([1.0, 3.0]):
        total += loss
total /= 2

# %% inference_in_place_cure
total = 0.0
with torch.inference_mode():
    for loss in torch.tensor([1.0, 3.0]):
        total += loss
total = total / 2
print("total =", total)

# %% inference_in_place_cure_2
with torch.no_grad():
    layer = nn.Linear(1, 1)
layer.load_state_dict({"weight": torch.ones(1, 1), "bias": torch.zeros(1)})
print("layer.weight =", layer.weight)

# %% inference_in_place_wrong raises="RuntimeError"
with torch.inference_mode():
    cache = torch.zeros(2)
with torch.no_grad():
    cache.copy_(cache + 1)

# %% inference_saved raises="RuntimeError"
with torch.inference_mode():
    features = torch.tensor([1.0, 2.0])

w = torch.tensor([3.0, 4.0], requires_grad=True)
loss = (w * features).sum()

# %% inference_saved_find
print("features.is_inference() =", features.is_inference())
print("features.detach().is_inference() =", features.detach().is_inference())

# %% inference_saved_cure
with torch.no_grad():
    features = torch.tensor([1.0, 2.0])

loss = (w * features).sum()
loss.backward()
print("w.grad =", w.grad)

# %% inference_saved_cure_2
with torch.inference_mode():
    features = torch.tensor([1.0, 2.0])

w.grad = None
loss = (w * features.clone()).sum()
loss.backward()
print("w.grad =", w.grad)

# %% inference_requires_grad raises="RuntimeError"
with torch.inference_mode():
    start = torch.zeros(2)
start.requires_grad_()

# %% inference_requires_grad_cure
start = start.clone().requires_grad_()
(3 * start).sum().backward()
print("start.grad =", start.grad)

# %% inference_version raises="RuntimeError"
with torch.inference_mode():
    result = torch.zeros(2)
print(result._version)

# %% inference_version_cure
version = None if result.is_inference() else result._version
print("version =", version)

with torch.no_grad():
    result = torch.zeros(2)
print("result._version =", result._version)

# %% out_argument raises="RuntimeError"
w = torch.tensor([1.0, 2.0], requires_grad=True)
buffer = torch.empty(2)
torch.mul(w, 3, out=buffer)

# %% out_argument_cure
result = torch.mul(w, 3)
result.sum().backward()
print("w.grad =", w.grad)

# %% out_argument_cure_2
with torch.no_grad():
    torch.mul(w, 3, out=buffer)
print("buffer =", buffer)

# %% expanded_written raises="RuntimeError"
rows = torch.zeros(1, 2).expand(3, 2)
rows += 1

# %% expanded_written_find
print("rows.stride() =", rows.stride())

# %% expanded_written_cure
rows = torch.zeros(1, 2).expand(3, 2).clone()
rows += 1
print("rows =", rows)

# %% expanded_written_cure_2
x = torch.tensor([1.0, 2.0], requires_grad=True)
(grad,) = torch.autograd.grad(x.sum(), x)
print("grad.stride() =", grad.stride())
grad = grad * 10
print("grad =", grad)

# %% overlap_written raises="RuntimeError"
a = torch.tensor([1.0, 2.0, 3.0])
a[1:] += a[:-1]

# %% overlap_written_cure
a = torch.tensor([1.0, 2.0, 3.0])
a[1:] += a[:-1].clone()
print("a =", a)

# %% overlap_written_cure_2
a = torch.tensor([1.0, 2.0, 3.0])
print("a.cumsum(0) =", a.cumsum(0))

# %% resize_requires_grad raises="RuntimeError"
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
x.resize_(2)

# %% resize_requires_grad_cure
h = x[:2]
h.sum().backward()
print("x.grad =", x.grad)

# %% resize_requires_grad_wrong
x.data.resize_(2)
print("x.shape =", x.shape)

# %% detach_view_in_place raises="RuntimeError"
h = x * 1
part = h[:2]
part.detach_()

# %% detach_view_in_place_cure
part = h[:2].detach()
print("part.requires_grad =", part.requires_grad)
print("h.requires_grad =", h.requires_grad)

# %% in_place_broadcast raises="RuntimeError"
total = torch.zeros(3)
total += torch.ones(2, 3, requires_grad=True)

# %% in_place_broadcast_cure
batch = torch.ones(2, 3, requires_grad=True)
total = torch.zeros(3)
total = total + batch
print("total.shape =", total.shape)

# %% in_place_broadcast_cure_2
total = torch.zeros(3)
total += batch.sum(0)
total.sum().backward()
print("batch.grad =", batch.grad)

# %% in_place_result_type raises="RuntimeError"
total = torch.tensor(0)
total += torch.tensor(0.5, requires_grad=True)

# %% in_place_result_type_cure
a = torch.tensor(0.5, requires_grad=True)
total = torch.tensor(0.0)
total += a
total.backward()
print("a.grad =", a.grad)

# %% data_incompatible_type raises="RuntimeError"
with torch.device("meta"):
    layer = nn.Linear(2, 1, bias=False)
layer.weight.data = torch.ones(1, 2)

# %% data_incompatible_type_cure
layer.load_state_dict({"weight": torch.ones(1, 2)}, assign=True)
layer(torch.tensor([[1.0, 2.0]])).sum().backward()
print("layer.weight.grad =", layer.weight.grad)
