# %% second_time raises="RuntimeError"
import torch

w = torch.tensor(2.0, requires_grad=True)
shared = w.exp()
(shared * 3).backward()
(shared * 5).backward()

# %% second_time_find
import warnings

with (
    torch.autograd.set_detect_anomaly(True),
    warnings.catch_warnings(record=True) as caught,
):
    shared = w.exp()
    (shared * 3).backward()
    try:
        (shared * 5).backward()
    except RuntimeError:
        lines = str(caught[-1].message).splitlines()
        print(lines[0], lines[-2], sep="\n")

# %% second_time_cure
w.grad = None
shared = w.exp()
(shared * 3 + shared * 5).backward()
print("w.grad =", w.grad)

# %% second_time_cure_2
w.grad = None
state = torch.tensor(1.0)
for _ in range(3):
    # zh: 带走值，不带来历
    # en: carry the value, not the history
    state = (w * state.detach()).tanh()
    state.backward()
print("w.grad =", w.grad)

# %% second_time_wrong raises="RuntimeError"
state = torch.tensor(1.0)
for _ in range(3):
    state = (w * state).tanh()
    state.backward(retain_graph=True)
    with torch.no_grad():
        w -= 0.1 * w.grad

# %% scalar_outputs raises="RuntimeError"
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
loss = (x - 1) ** 2
loss.backward()

# %% scalar_outputs_cure
loss = ((x - 1) ** 2).mean()
loss.backward()
print("x.grad =", x.grad)

# %% scalar_outputs_cure_2
x.grad = None
loss = (x - 1) ** 2
loss.backward(gradient=torch.tensor([0.0, 0.5, 0.5]))
print("x.grad =", x.grad)

# %% scalar_outputs_wrong
x.grad = None
loss = (x - 1) ** 2
loss.backward(torch.ones_like(loss))
print("x.grad =", x.grad)

# %% complex_scalar raises="RuntimeError"
z = torch.tensor(1 + 2j, requires_grad=True)
loss = z * z
loss.backward()

# %% complex_scalar_cure
loss = z.abs() ** 2
loss.backward()
print("z.grad =", z.grad)

# %% complex_scalar_cure_2
(from_real,) = torch.autograd.grad((z * z).real, z)
out = z * z
(from_one,) = torch.autograd.grad(out, z, grad_outputs=torch.ones_like(out))
print("from_real =", from_real)
print("from_one =", from_one)

# %% no_grad_fn raises="RuntimeError"
w = torch.tensor(2.0, requires_grad=True)
x = torch.tensor([1.0, 3.0])
prediction = (w * x).detach()
loss = (prediction - 1).square().mean()
loss.backward()

# %% no_grad_fn_causes
layer = torch.nn.Linear(2, 1).requires_grad_(False)
causes = {
    "torch.no_grad()": torch.no_grad()(lambda: (w * x).sum())(),
    "w.detach()": (w.detach() * x).sum(),
    "w.item()": (w.item() * x).sum(),
    "torch.tensor(…)": torch.tensor((w * x).tolist()).sum(),
    "NumPy and back": torch.from_numpy((w * x).detach().numpy()).sum(),
    "argmax()": (w * x).argmax().float(),
    "> 3": ((w * x) > 3).float().mean(),
    ".long()": (w * x).long().float().sum(),
    "frozen layer": layer(x).sum(),
    "a gradient": torch.autograd.grad(w * w, w)[0],
}
for cause, loss in causes.items():
    print(f"{cause:16} requires_grad = {loss.requires_grad}")

# %% no_grad_fn_find
hidden = w * x
prediction = torch.tensor([hidden[0].item(), hidden[1].item()])
loss = (prediction - 1).square().mean()
print("hidden.requires_grad =", hidden.requires_grad)
print("prediction.requires_grad =", prediction.requires_grad)
print("loss.requires_grad =", loss.requires_grad)

# %% no_grad_fn_cure
hidden = w * x
prediction = torch.stack([hidden[0], hidden[1]])
loss = (prediction - 1).square().mean()
loss.backward()
print("w.grad =", w.grad)

# %% no_grad_fn_cure_2
logits = torch.tensor([[1.0, 2.0]], requires_grad=True)
target = torch.tensor([0])
# zh: 不是 (logits.argmax(1) == target).float().mean()
# en: not (logits.argmax(1) == target).float().mean()
loss = torch.nn.functional.cross_entropy(logits, target)
loss.backward()
print("logits.grad =", logits.grad)


# %% no_grad_fn_cure_3
@torch.no_grad()
def evaluate(x):
    # zh: 这里确实要梯度：重新打开记录，并用一个新的叶子
    # en: a gradient is wanted here: record again, from a new leaf
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (x**2).sum().backward()
    return x.grad


print("evaluate(x) =", evaluate(x))

# %% no_grad_fn_wrong
w.grad = None
prediction = (w * x).detach()
loss = (prediction - 1).square().mean()
loss.requires_grad_()
loss.backward()
print("w.grad =", w.grad)

# %% no_backward raises="AttributeError"
w = torch.tensor(2.0, requires_grad=True)
total = 0.0
for value in (1.0, 3.0):
    loss = (w * value - 1) ** 2
    total += loss.item()
total.backward()

# %% no_backward_cure
total = 0.0
for value in (1.0, 3.0):
    loss = (w * value - 1) ** 2
    total = total + loss
total.backward()
print("w.grad =", w.grad)

# %% no_backward_wrong
w.grad = None
total = sum(((w * value - 1) ** 2).item() for value in (1.0, 3.0))
torch.tensor(total, requires_grad=True).backward()
print("w.grad =", w.grad)

# %% gradient_shape raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
loss = (x * x).sum()
loss.backward(torch.tensor([1.0]))

# %% gradient_shape_cure
loss = (x * x).sum()
loss.backward()
print("x.grad =", x.grad)

# %% gradient_shape_cure_2
rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
y = rows.sum(dim=1)
weights = torch.tensor([[1.0], [10.0]])
y.backward(weights.reshape(y.shape))
print("rows.grad =", rows.grad)

# %% gradient_count raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
y, z = x * 2, x * 3
torch.autograd.grad([y, z], x, grad_outputs=torch.ones(2))

# %% gradient_count_cure
ones = [torch.ones(2), torch.ones(2)]
(to_x,) = torch.autograd.grad([y, z], x, grad_outputs=ones)
print("to_x =", to_x)

# %% gradient_not_tensor raises="TypeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
(x * x).backward([1.0, 0.5])

# %% gradient_not_tensor_number raises="TypeError"
(x * x).sum().backward(0.5)

# %% gradient_not_tensor_cure
(x * x).backward(torch.tensor([1.0, 0.5]))
print("x.grad =", x.grad)

# %% gradient_not_tensor_cure_2
x.grad = None
loss = (x * x).sum()
(0.5 * loss).backward()
print("x.grad =", x.grad)

# %% complex_gradient raises="RuntimeError"
z = torch.tensor([1 + 2j, 3j], requires_grad=True)
y = z * 2
y.backward(torch.ones(2))

# %% complex_gradient_cure
y.backward(torch.ones_like(y))
print("z.grad =", z.grad)

# %% assigned_shape raises="RuntimeError"
w = torch.tensor([1.0, 2.0], requires_grad=True)
per_sample = torch.tensor([[1.0, 3.0], [5.0, 7.0], [9.0, 11.0]])
w.grad = per_sample

# %% assigned_shape_cure
w.grad = per_sample.mean(dim=0)
print("w.grad =", w.grad)

# %% assigned_dtype raises="RuntimeError"
w = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
w.grad = torch.tensor([0.5, 0.25])

# %% assigned_dtype_cure
w.grad = torch.tensor([0.5, 0.25]).to(w.dtype)
print("w.grad =", w.grad)

# %% assigned_dtype_cure_2
w.grad = None
w.grad_dtype = torch.float32
w.grad = torch.tensor([0.5, 0.25])
print("w.grad.dtype =", w.grad.dtype)

# %% assigned_device raises="RuntimeError"
w = torch.tensor([1.0, 2.0], requires_grad=True)
w.grad = torch.ones(2, device="meta")

# %% assigned_device_cure
gradient = torch.ones(2)
w.grad = gradient.to(w.device)
print("w.grad =", w.grad)

# %% assigned_type raises="TypeError"
w = torch.tensor([1.0, 2.0], requires_grad=True)
(w * w).sum().backward()
w.grad = 0

# %% assigned_type_cure
w.grad = None
(w * w).sum().backward()
print("w.grad =", w.grad)

# %% not_used raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
loss = (x * x).sum()
torch.autograd.grad(loss, x[0])

# %% not_used_cure
(to_x,) = torch.autograd.grad(loss, x)
print("to_x[0] =", to_x[0])

# %% not_used_cure_2
unused = torch.tensor([5.0], requires_grad=True)
loss = (x * x).sum()
to_x, to_unused = torch.autograd.grad(loss, [x, unused], materialize_grads=True)
print("to_unused =", to_unused)

# %% not_used_wrong
loss = (x * x).sum()
print(torch.autograd.grad(loss, x[0], allow_unused=True))

# %% input_no_grad raises="RuntimeError"
x = torch.tensor([1.0, 2.0])
w = torch.tensor(3.0, requires_grad=True)
loss = (w * x).sum()
torch.autograd.grad(loss, x)

# %% input_no_grad_cure
x = torch.tensor([1.0, 2.0], requires_grad=True)
loss = (w * x).sum()
(to_x,) = torch.autograd.grad(loss, x)
print("to_x =", to_x)

# %% input_no_grad_wrong raises="RuntimeError"
x = torch.tensor([1.0, 2.0])
loss = (w * x).sum()
x.requires_grad_()
torch.autograd.grad(loss, x)

# %% inputs_empty raises="RuntimeError"
torch.manual_seed(0)
model = torch.nn.Linear(2, 1)
chosen = [p for n, p in model.named_parameters() if n.startswith("head.")]
model(torch.ones(1, 2)).sum().backward(inputs=chosen)

# %% inputs_empty_cure
print([name for name, _ in model.named_parameters()])
chosen = [p for n, p in model.named_parameters() if n == "bias"]
model(torch.ones(1, 2)).sum().backward(inputs=chosen)
print("model.bias.grad =", model.bias.grad)
print("model.weight.grad =", model.weight.grad)

# %% materialize_conflict raises="ValueError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
w = torch.tensor(3.0, requires_grad=True)
loss = x.sum()
torch.autograd.grad(loss, [x, w], allow_unused=False, materialize_grads=True)

# %% materialize_conflict_cure
print(torch.autograd.grad(loss, [x, w], materialize_grads=True))

# %% create_graph
x = torch.tensor([1.0, 2.0], requires_grad=True)
loss = (x**3).sum()
loss.backward(create_graph=True)

# %% create_graph_find
import gc
import weakref

watch = weakref.ref(x)
del x, loss
gc.collect()
print("alive:", watch() is not None)
watch().grad = None
print("alive:", watch() is not None)

# %% create_graph_cure
x = torch.tensor([1.0, 2.0], requires_grad=True)
loss = (x**3).sum()
(gradient,) = torch.autograd.grad(loss, x, create_graph=True)
(loss + gradient.square().sum()).backward()
print("x.grad =", x.grad)

# %% non_leaf_grad
w = torch.tensor([1.0, 2.0], requires_grad=True)
hidden = w * 3
hidden.square().sum().backward()
print("hidden.grad =", hidden.grad)

# %% non_leaf_grad_find
lost = torch.ones(2, requires_grad=True) * 0.1
print("lost.is_leaf =", lost.is_leaf)
print("lost.grad_fn =", lost.grad_fn)

# %% non_leaf_grad_cure
hidden = w * 3
hidden.retain_grad()
hidden.square().sum().backward()
print("hidden.grad =", hidden.grad)

# %% non_leaf_grad_cure_2
leaf = (torch.ones(2) * 0.1).requires_grad_()
(5 * leaf).sum().backward()
print("leaf.grad =", leaf.grad)

# %% batched_shape raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = x * x
torch.autograd.grad(y, x, grad_outputs=torch.ones(2), is_grads_batched=True)

# %% batched_shape_cure
rows = torch.eye(2)
(jacobian,) = torch.autograd.grad(y, x, grad_outputs=rows, is_grads_batched=True)
print("jacobian =", jacobian)

# %% returned_nan raises="RuntimeError"
x = torch.tensor([0.0, 4.0], requires_grad=True)
with torch.autograd.set_detect_anomaly(True):
    root = torch.where(x > 0, x.sqrt(), 0.0)
    root.sum().backward()

# %% returned_nan_find
root = torch.where(x > 0, x.sqrt(), 0.0)
root.sum().backward()
print("x.grad =", x.grad)

# %% returned_nan_cure
x.grad = None
safe = torch.where(x > 0, x, 1.0)
root = torch.where(x > 0, safe.sqrt(), 0.0)
root.sum().backward()
print("x.grad =", x.grad)

# %% returned_nan_wrong
v = torch.tensor(3.0, requires_grad=True)
x.grad = None
(torch.where(x > 0, x.sqrt(), 0.0).sum() + v * v).backward()
print("v.grad =", v.grad)
torch.nn.utils.clip_grad_norm_([x, v], max_norm=1.0)
print("v.grad =", v.grad)

# %% loss_dtype raises="RuntimeError"
import numpy as np
import torch.nn.functional as F

prediction = torch.tensor([0.5, 0.2], requires_grad=True)
target = torch.from_numpy(np.array([1.0, 0.0]))
loss = F.huber_loss(prediction, target)
print("loss.dtype =", loss.dtype)
loss.backward()

# %% loss_dtype_find
print("prediction.dtype =", prediction.dtype)
print("target.dtype =", target.dtype)

# %% loss_dtype_losses
for loss_of in (
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.huber_loss,
    F.mse_loss,
):
    for kind in (torch.float64, torch.int64):
        try:
            loss_of(prediction, target.to(kind)).backward()
            said = "no error"
        except RuntimeError as error:
            said = error
        print(f"{loss_of.__name__}, {kind}: {said}")

# %% loss_dtype_cure
prediction.grad = None
F.huber_loss(prediction, target.float()).backward()
print("prediction.grad =", prediction.grad)

# %% loss_dtype_cure_2
numbers = np.array([[1.0, 2.0]])
layer = torch.nn.Linear(2, 1)
try:
    layer(torch.from_numpy(numbers))
except RuntimeError as error:
    print(error)
print(layer(torch.from_numpy(numbers).float()).dtype)

# %% loss_dtype_class
scores = torch.zeros(2, 3, requires_grad=True)
try:
    F.cross_entropy(scores, target)
except RuntimeError as error:
    print(error)
F.cross_entropy(scores, target.long()).backward()
print("scores.grad =", scores.grad)

# %% complex_to_real
z = torch.tensor([3.0 + 4.0j], requires_grad=True)
loss = z.float().sum()
loss.backward()
print("z.grad =", z.grad)

# %% complex_to_real_cure
z.grad = None
z.abs().sum().backward()
print("z.grad =", z.grad)

# %% complex_to_real_cure_2
z.grad = None
z.real.sum().backward()
print("z.grad =", z.grad)

# %% state_tuple raises="AttributeError"
torch.manual_seed(0)
rnn = torch.nn.LSTM(1, 1)
state = None
for part in torch.ones(4, 1, 1).split(2):
    out, state = rnn(part, state)
    out.sum().backward()
    state = state.detach()

# %% state_tuple_cure
rnn.zero_grad()
state = None
for part in torch.ones(4, 1, 1).split(2):
    out, state = rnn(part, state)
    out.sum().backward()
    state = tuple(s.detach() for s in state)
print("has a gradient:", rnn.weight_hh_l0.grad is not None)

# %% donated_buffers raises="RuntimeError"
x = torch.tensor([[1.0, 2.0]])
w = torch.tensor([[0.5, 0.1], [0.5, 0.2]], requires_grad=True)


def model(w):
    return (x @ w).sin()[0]


compiled = torch.compile(model, backend="aot_eager")
compiled(w).sum().backward()
out = compiled(w)
out[0].backward(retain_graph=True)
out[1].backward()

# %% donated_buffers_cure
w.grad = None
out = compiled(w)
(out[0] + out[1]).backward()
compiled_grad = w.grad
w.grad = None
model(w).sum().backward()
print("as without compile:", torch.allclose(w.grad, compiled_grad))

# %% donated_buffers_cure_2
torch.compiler.reset()
w.grad = None
with torch._functorch.config.patch(donated_buffer=False):
    out = compiled(w)
    out[0].backward(retain_graph=True)
    out[1].backward()
print("as without compile:", torch.allclose(w.grad, compiled_grad))
