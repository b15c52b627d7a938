# %% error raises="RuntimeError"
import torch

x = torch.tensor([0.0, 1.0], requires_grad=True)
y = x.exp()
y += 1
y.sum().backward()

# %% version
t = torch.zeros(2)
t += 1
t[0] = 5
t.relu_()
print("t._version =", t._version)

# %% out_of_place
y = x.exp()
saved = y
y = y + 1
print("y is saved =", y is saved)
y.sum().backward()
print("x.grad =", x.grad)

# %% reuse
a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(3.0, requires_grad=True)
h = a * b
h = h * h
a = torch.tensor(100.0)
h.backward()
print("b.grad =", b.grad)

# %% sine
x.grad = None
y = x.sin()
y += 1
y.sum().backward()
print("x.grad =", x.grad)

# %% table
w = torch.tensor([2.0, 3.0], requires_grad=True)
operations = {
    "h + w": lambda h: h + w,
    "h * w": lambda h: h * w,
    "h.sin()": torch.sin,
    "h.log()": torch.log,
    "h.exp()": torch.exp,
    "h.tanh()": torch.tanh,
    "h.relu()": torch.relu,
    "h.norm()": torch.norm,
}


# zh: 对 f 的输入或输出就地加 1，再反向
# en: add 1 in place to the input or the output of f, then go backward
def write(f, place):
    h = x * 0.5 + 1
    out = f(h)
    # zh: 在改写之前看：节点存了哪些张量
    # en: before writing, look which tensors the node has saved
    node = out.grad_fn
    names = [name for name in dir(node) if name.startswith("_saved_")]
    tensors = [n for n in names if isinstance(getattr(node, n), torch.Tensor)]
    (h if place == "input" else out).add_(1)
    try:
        out.sum().backward()
        verdict = "fine"
    except RuntimeError:
        verdict = "error"
    return verdict, " ".join(n.removeprefix("_saved_") for n in tensors)


print("operation  h += 1  out += 1  saved")
for name, f in operations.items():
    (on_input, saved), (on_output, _) = write(f, "input"), write(f, "output")
    print(f"{name:10} {on_input:7} {on_output:9} {saved or 'nothing'}")

# %% last_writer raises="RuntimeError"
h = x * 2
y = h.sin()
h += 1
y.sum().backward()

# %% leaf raises="RuntimeError"
w += 1

# %% leaf_view raises="RuntimeError"
w[0] = 5.0

# %% update
w = torch.tensor([2.0, 3.0], requires_grad=True)
loss = (w * w).sum()
loss.backward()
with torch.no_grad():
    w -= 0.1 * w.grad
print("w =", w)
print("w._version =", w._version)

# %% gan raises="RuntimeError"
torch.manual_seed(0)
G = torch.nn.Linear(1, 1)
D = torch.nn.Linear(1, 1)
opt_d = torch.optim.SGD(D.parameters(), lr=0.1)

fake = G(torch.ones(1, 1))
loss_d = D(fake.detach()).sum()
loss_g = -D(fake).sum()

loss_d.backward()
opt_d.step()
loss_g.backward()

# %% gan_cured
fake = G(torch.ones(1, 1))
loss_d = D(fake.detach()).sum()
opt_d.zero_grad()
loss_d.backward()
opt_d.step()
# zh: 先更新 D，再让 fake 重新经过 D
# en: first update D, then send fake through D again
loss_g = -D(fake).sum()
loss_g.backward()
print("G.weight.grad =", G.weight.grad)
print("D.weight =", D.weight.detach())

# %% view
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
w = torch.tensor(5.0, requires_grad=True)
h = x * 1
v = h[:2]
v *= w
print("h =", h)
print("h._version =", h._version)

# %% view_grad
print("h.grad_fn =", h.grad_fn)
print("h.grad_fn.next_functions =", h.grad_fn.next_functions)
print("v.grad_fn.next_functions =", v.grad_fn.next_functions)
h.sum().backward()
print("x.grad =", x.grad)
print("w.grad =", w.grad)

# %% picture
from gradgraph import record

x.grad = w.grad = None
h = x * 1
v = h[:2]
v *= w
record(h.sum(), x=x, w=w)

# %% unbind raises="RuntimeError"
h = x * 1
for element in h:
    element *= 2

# %% by_index
h = x * 1
for i in range(3):
    h[i] *= 2
print("h =", h)

# %% shapes
x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
results = {
    "x.view(2, 2)": x.view(2, 2),
    "x.view(2, 2).T": x.view(2, 2).T,
    "x.view(2, 2).T.reshape(4)": x.view(2, 2).T.reshape(4),
    "x.unsqueeze(0)": x.unsqueeze(0),
    "x[1:3]": x[1:3],
    "x[[0, 0, 3]]": x[[0, 0, 3]],
    "torch.cat([x, x])": torch.cat([x, x]),
    "x.expand(2, 4)": x.expand(2, 4),
    "x + torch.zeros(2, 4)": x + torch.zeros(2, 4),
    "x.clone()": x.clone(),
}
for name, y in results.items():
    # zh: 第 i 个元素的梯度是 i，看它回到哪里
    # en: element number i gets the gradient i; see where it comes back
    count = torch.arange(1.0, y.numel() + 1).reshape(y.shape)
    (gradient,) = torch.autograd.grad(y, x, count)
    kind = "view" if y._base is x else "new"
    print(f"{name:26} {kind:5} {gradient.tolist()}")


# %% residual
def block(relu):
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    h = x * 3
    out = relu(h) + h
    out.sum().backward()
    return out.tolist(), x.grad.tolist()


print("block(ReLU()) =", block(torch.nn.ReLU()))

# %% residual_inplace
print("block(ReLU(inplace=True)) =", block(torch.nn.ReLU(inplace=True)))

# %% anomaly raises="RuntimeError"
import warnings

x = torch.tensor([0.0, 1.0], requires_grad=True)
with (
    torch.autograd.set_detect_anomaly(True),
    warnings.catch_warnings(record=True) as caught,
):
    y = x.exp()
    y += 1
    y.sum().backward()

# %% backtrace
lines = str(caught[-1].message).splitlines()
print(lines[0], *lines[-3:-1], sep="\n")

# %% culprit
y = x.exp()
versions = [y._version]
y += 1
versions.append(y._version)
print("versions =", versions)

# %% data
u = torch.tensor(3.0, requires_grad=True)
loss = u * u
u.data.zero_()
loss.backward()
print("u._version =", u._version)
print("u.grad =", u.grad)

# %% allow
x.grad = None
with torch.autograd.graph.allow_mutation_on_saved_tensors():
    y = x.exp()
    y += 1
    y.sum().backward()
print("x.grad =", x.grad)

# %% exercise_1
x = torch.tensor([0.5, 1.0], requires_grad=True)
for f in (torch.sqrt, torch.cos, torch.sigmoid, torch.square):
    out = f(x)
    out *= 2
    try:
        out.sum().backward()
        print(f"{f.__name__}: fine")
    except RuntimeError:
        print(f"{f.__name__}: error")

# %% exercise_2_error raises="RuntimeError"
w = torch.tensor(2.0, requires_grad=True)
h = torch.zeros(3)
h[0] = 1.0
for i in range(1, 3):
    h[i] = w * h[i - 1]
h[2].backward()

# %% exercise_2
states = [torch.tensor(1.0)]
for _ in range(2):
    states.append(w * states[-1])
h = torch.stack(states)
h[2].backward()
print("w.grad =", w.grad)

# %% exercise_3
w = torch.tensor(1.0, requires_grad=True)
a = w
with torch.no_grad():
    a -= 0.1
print("(w is a, w.is_leaf, w._version) =", (w is a, w.is_leaf, w._version))

b = w
with torch.no_grad():
    b = b - 0.1
print("(w is b, b.requires_grad) =", (w is b, b.requires_grad))

c = w
c.data -= 0.1
print("(w is c, w._version) =", (w is c, w._version))
