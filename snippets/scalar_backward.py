# %% forward
import torch

torch.manual_seed(0)

# zh: 输入：不求导
# en: the input: no gradient wanted
x = torch.tensor([2.0])
# zh: 参数：要求导
# en: the parameters: gradients wanted
w = torch.randn(1, requires_grad=True)
b = torch.randn(1, requires_grad=True)

y = torch.mul(w, x)
z = torch.add(y, b)

print("x.requires_grad =", x.requires_grad)
print("y.requires_grad =", y.requires_grad)

# %% leaves
print("y.requires_grad =", y.requires_grad)
print("x.is_leaf =", x.is_leaf)
print("y.is_leaf =", y.is_leaf)
print("w.is_leaf =", w.is_leaf)

# %% grad_fns
print("x.grad_fn =", x.grad_fn)
print("y.grad_fn =", y.grad_fn)
print("z.grad_fn =", z.grad_fn)

# %% backward
z.backward()
print("x.grad =", x.grad)
print("w.grad =", w.grad)
print("b.grad =", b.grad)

# %% edges
print("y.grad_fn.next_functions =", y.grad_fn.next_functions)

# %% picture
from gradgraph import record

# zh: 从头再来一次，这回由 record 来调用 backward()
# en: once more from the start; this time record calls backward()
w.grad = b.grad = None
y = torch.mul(w, x)
z = torch.add(y, b)
record(z, x=x, w=w, b=b, y=y, z=z)

# %% backward_again raises="RuntimeError"
z.backward()

# %% after_the_error
print("w.grad =", w.grad)
print("b.grad =", b.grad)

# %% saved_before
y = torch.mul(w, x)
z = torch.add(y, b)
print("y.grad_fn._saved_self =", y.grad_fn._saved_self)
print("y.grad_fn._saved_other =", y.grad_fn._saved_other)

# %% graph_after
z.backward()
print("z.grad_fn =", z.grad_fn)
print("z.grad_fn.next_functions =", z.grad_fn.next_functions)
print("y.grad_fn.next_functions =", y.grad_fn.next_functions)

# %% saved_after raises="RuntimeError"
print("y.grad_fn._saved_other =", y.grad_fn._saved_other)

# %% additions_only
u = torch.tensor([1.0], requires_grad=True)
s = torch.add(u, x)
saved = [name for name in dir(s.grad_fn) if name.startswith("_saved")]
s.backward()
s.backward()
print("saved =", saved)
print("u.grad =", u.grad)

# %% retain_graph
# zh: 从空的 .grad 重新开始
# en: start again from an empty .grad
w.grad = b.grad = None
y = torch.mul(w, x)
z = torch.add(y, b)
z.backward(retain_graph=True)
print("w.grad =", w.grad)

# %% accumulate
z.backward()
print("w.grad =", w.grad)

# %% clear
w.grad = None
b.grad.zero_()
print("w.grad =", w.grad)
print("b.grad =", b.grad)

# %% two_uses
t = w * x + w
t.backward()
print("w.grad =", w.grad)

# %% fork
w.grad = None
t = w * x + w
record(t, x=x, w=w, t=t)

# %% micro_batches
data = torch.tensor([1.0, 2.0, 3.0, 4.0])

w.grad = None
(w * data).sum().backward()
whole = w.grad
print("whole =", whole)

w.grad = None
for part in data.split(2):
    (w * part).sum().backward()
print("w.grad =", w.grad)

# %% non_leaf_grad
print("y.grad =", y.grad)

# %% retain_grad
y = torch.mul(w, x)
y.retain_grad()
z = torch.add(y, b)
z.backward()
print("y.is_leaf =", y.is_leaf)
print("y.grad =", y.grad)

# %% exercise_1
v = torch.tensor(3.0, requires_grad=True)
p = v * v
q = p + v
edges_to_v = [*p.grad_fn.next_functions, q.grad_fn.next_functions[1]]
q.backward()
print("v.grad =", v.grad)
print("len(edges_to_v) =", len(edges_to_v))
print("len(set(edges_to_v)) =", len(set(edges_to_v)))

# %% exercise_1_picture
v.grad = None
record(v * v + v, v=v)

# %% exercise_2
x = torch.tensor([2.0])
w = torch.tensor([3.0], requires_grad=True)
y = w * x
y.retain_grad()
z = y**2
z.backward()
print("y.grad =", y.grad)
print("w.grad =", w.grad)
print("y.grad * x =", y.grad * x)

# %% exercise_3
a = torch.ones(1, requires_grad=True)
c = torch.ones(1)
d = c * 2
e = a * 2
f = e.detach()
g = e.detach().requires_grad_()
for name, tensor in {"c": c, "d": d, "e": e, "f": f, "g": g}.items():
    flags = tensor.requires_grad, tensor.is_leaf
    print(f"({name}.requires_grad, {name}.is_leaf) =", flags)
