# %% forward
import torch

x = torch.tensor([2.0])
w = torch.tensor([3.0], requires_grad=True)
b = torch.tensor([1.0], requires_grad=True)

y = w * x
z = y + b
loss = z**2
print("loss.grad_fn =", loss.grad_fn)
print("loss.grad_fn.next_functions =", loss.grad_fn.next_functions)


# %% walk
def walk(node, depth=0):
    name = "None" if node is None else type(node).__name__
    print("    " * depth + name)
    if node is not None:
        for target, _ in node.next_functions:
            walk(target, depth + 1)


walk(loss.grad_fn)

# %% variable
to_w = y.grad_fn.next_functions[0][0]
print("to_w.variable is w =", to_w.variable is w)

# %% picture
from gradgraph import record

record(loss, x=x, w=w, b=b)

# %% without_y
import weakref

w.grad = b.grad = None
y = w * x
loss = (y + b) ** 2

tensor_y = weakref.ref(y)
del y
print("tensor_y() =", tensor_y())

loss.backward()
print("w.grad =", w.grad)

# %% requires_grad
results = {
    "x * x": x * x,
    "w * x": w * x,
    "w > 0": w > 0,
    "w.detach()": w.detach(),
}
for name, tensor in results.items():
    print(f"({name}).requires_grad =", tensor.requires_grad)

# %% variable_call
from torch.autograd import Variable

old = Variable(torch.ones(1), volatile=True)
print("type(old) =", type(old))
print("isinstance(w, Variable) =", isinstance(w, Variable))

# %% change_a_flag raises="RuntimeError"
y = w * x
y.requires_grad = False


# %% saved
def saved(tensor):
    node = tensor.grad_fn
    names = [name for name in dir(node) if name.startswith("_saved")]
    return [name for name in names if torch.is_tensor(getattr(node, name))]


print("saved(w.sin()) =", saved(w.sin()))
print("saved(w.exp()) =", saved(w.exp()))
print("saved(-w) =", saved(-w))

# %% no_copy
e = w.exp()
kept = e.grad_fn._saved_result
print("kept.data_ptr() == e.data_ptr() =", kept.data_ptr() == e.data_ptr())


# %% dynamic
def double_until_100(v):
    while v < 100:
        v = v * 2
    return v


def gradient_at(start):
    v = torch.tensor(start, requires_grad=True)
    double_until_100(v).backward()
    return v.grad


print("gradient_at(60.0) =", gradient_at(60.0))
print("gradient_at(20.0) =", gradient_at(20.0))

# %% walk_the_loop
walk(double_until_100(torch.tensor(20.0, requires_grad=True)).grad_fn)

# %% sawtooth
import matplotlib.pyplot as plt

starts = torch.linspace(10.0, 120.0, 441)
ends = torch.stack([double_until_100(start) for start in starts])
# zh: 在跳跃处断开，不连竖线
# en: break the line at each jump
ends[1:][ends.diff() < 0] = torch.nan

fig, ax = plt.subplots(figsize=(6, 3))
ax.plot(starts, ends)
ax.set_xlabel("v")
ax.set_ylabel("double_until_100(v)")

# %% move
print("device =", w.device)
# zh: meta 设备只有形状、没有数据，这里用它代替 GPU
# en: the meta device has shapes but no data; here it stands in for a GPU
flags = w.to("cpu").is_leaf, w.to("meta").is_leaf
print("flags =", flags)

# %% lost
table = torch.zeros(4, 2, requires_grad=True)
results = {
    "w / 10": w / 10,
    "w.double()": w.double(),
    'w.to("meta")': w.to("meta"),
    "w.view(1, 1)": w.view(1, 1),
    "table[2]": table[2],
}
for name, tensor in results.items():
    print(f"({name}).is_leaf =", tensor.is_leaf, type(tensor.grad_fn).__name__)

# %% optimizer raises="ValueError"
torch.optim.SGD([w / 10], lr=0.1)

# %% leaf_last
# zh: 先算好数值，再要求梯度
# en: finish the values, then ask for the gradient
scaled = (torch.ones(3) / 10).requires_grad_()
# zh: 手上只有非叶子张量：切断它的来历
# en: a non-leaf is all you have: cut off its history
again = (w / 10).detach().requires_grad_()
# zh: 模块不用操心：.double() 换掉参数的数据，参数仍是叶子张量
# en: a module takes care: .double() replaces the data, its parameters stay leaves
linear = torch.nn.Linear(2, 1).double()

optimizer = torch.optim.SGD([scaled, again, *linear.parameters()], lr=0.1)
for name, tensor in {"scaled": scaled, "again": again, "weight": linear.weight}.items():
    print(f"{name}.is_leaf =", tensor.is_leaf)

# %% row
table[2].sum().backward()
print("table.grad =", table.grad)

# %% exercise_1
v = torch.tensor(1.0, requires_grad=True)
t = v
for _ in range(10):
    t = t + t


def paths(node):
    targets = [target for target, _ in node.next_functions]
    return sum(map(paths, targets)) if targets else 1


nodes, queue = set(), [t.grad_fn]
while queue:
    node = queue.pop()
    if node not in nodes:
        nodes.add(node)
        queue += [target for target, _ in node.next_functions]

print("len(nodes) =", len(nodes))
print("paths(t.grad_fn) =", paths(t.grad_fn))
t.backward()
print("v.grad =", v.grad)

# %% exercise_2
p = torch.tensor([0.5, 2.0], requires_grad=True)
results = {
    "p.tanh()": p.tanh(),
    "p.log()": p.log(),
    "p.sqrt()": p.sqrt(),
    "p.sum()": p.sum(),
    "p * 3": p * 3,
    "p * p": p * p,
}
for name, tensor in results.items():
    print(f"{name:9} saves", saved(tensor))

# %% exercise_3 raises="TypeError"
w = torch.tensor([3.0], requires_grad=True)
for _ in range(2):
    loss = (w * x) ** 2
    loss.backward()
    w = w - 0.1 * w.grad
    print("w.is_leaf =", w.is_leaf)

# %% exercise_3_cure
w = torch.tensor([3.0], requires_grad=True)
for _ in range(2):
    loss = (w * x) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
    print("w.is_leaf =", w.is_leaf, w)
