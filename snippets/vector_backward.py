# %% inputs
import torch

x = torch.tensor([[2.0, 3.0]], requires_grad=True)
J = torch.zeros(2, 2)
print("x =", x)
print("J[0] =", J[0])

# %% empty_output
y = torch.zeros(1, 2)
print("y.requires_grad =", y.requires_grad)
print("y.is_leaf =", y.is_leaf)
print("y.grad_fn =", y.grad_fn)

# %% filled_output
y[0, 0] = x[0, 0] ** 2 + 3 * x[0, 1]
y[0, 1] = x[0, 1] ** 2 + 2 * x[0, 0]
print("y =", y)
print("y.requires_grad =", y.requires_grad)
print("y.is_leaf =", y.is_leaf)

# %% copy_slices
first_write, second_value = [node for node, _ in y.grad_fn.next_functions]
print("first_write =", type(first_write).__name__)
print("second_value =", type(second_value).__name__)

# %% no_argument raises="RuntimeError"
y.backward()

# %% wrong_shape raises="RuntimeError"
y.backward(torch.tensor([1.0, 0.0]))

# %% first_row
y.backward(torch.tensor([[1.0, 0.0]]), retain_graph=True)
J[0] = x.grad
print("x.grad =", x.grad)
print("J[0] =", J[0])

# %% cleared
x.grad = torch.zeros_like(x.grad)
print("x.grad =", x.grad)
print("J[0] =", J[0])

# %% second_row
y.backward(torch.tensor([[0.0, 1.0]]))
J[1] = x.grad
print("x.grad =", x.grad)
print("J[1] =", J[1])

# %% jacobian
print(J)

# %% third_backward raises="RuntimeError"
y.backward(torch.tensor([[0.0, 1.0]]))

# %% both_passes
from gradgraph import record

x.grad = None
y = torch.zeros(1, 2)
y[0, 0] = x[0, 0] ** 2 + 3 * x[0, 1]
y[0, 1] = x[0, 1] ** 2 + 2 * x[0, 0]
first = record(y, gradient=torch.tensor([[1.0, 0.0]]), x=x, y=y, retain_graph=True)
x.grad = torch.zeros_like(x.grad)
second = record(y, gradient=torch.tensor([[0.0, 1.0]]), x=x, y=y)
first.then(second)


# %% as_a_function
def f(x):
    y = torch.zeros(1, 2, dtype=x.dtype)
    y[0, 0] = x[0, 0] ** 2 + 3 * x[0, 1]
    y[0, 1] = x[0, 1] ** 2 + 2 * x[0, 0]
    return y


# zh: 两个方向，形状都与 y 相同
# en: the two directions, each shaped like y
e1, e2 = torch.eye(2).reshape(2, 1, 2)
print("e1 =", e1)
print("e2 =", e2)

# %% not_cleared
x.grad = None
y = f(x)
wrong = torch.zeros(2, 2)
y.backward(e1, retain_graph=True)
wrong[0] = x.grad
y.backward(e2)
wrong[1] = x.grad
print("wrong[0] =", wrong[0])
print("wrong[1] =", wrong[1])
print("J[0] + J[1] =", J[0] + J[1])


# %% three_ways_to_clear
def zero_in_place():
    x.grad.zero_()


def new_zeros():
    x.grad = torch.zeros_like(x.grad)


def back_to_none():
    x.grad = None


for clear in (zero_in_place, new_zeros, back_to_none):
    x.grad = None
    y = f(x)
    rows = []
    for v in (e1, e2):
        y.backward(v, retain_graph=True)
        # zh: 没有复制：列表里存的就是 x.grad 这个张量
        # en: no copy: the list holds the tensor x.grad itself
        rows.append(x.grad)
        clear()
    print(clear.__name__, "=", rows)

# %% nothing_to_clear raises="AttributeError"
x.grad = None
x.grad.zero_()

# %% any_direction
x.grad = None
v = torch.tensor([[10.0, 1.0]])
f(x).backward(v)
(of_scalar,) = torch.autograd.grad((v * f(x)).sum(), x)
print("x.grad =", x.grad)
print("of_scalar =", of_scalar)
print("v @ J =", v @ J)

# %% ones
x.grad = None
f(x).sum().backward()
print("from_sum =", x.grad)
x.grad = None
f(x).backward(torch.ones(1, 2))
print("from_ones =", x.grad)

# %% batch
w = torch.tensor(1.0, requires_grad=True)
losses = w * torch.tensor([1.0, 2.0, 6.0])
(of_sum,) = torch.autograd.grad(losses.sum(), w, retain_graph=True)
(of_mean,) = torch.autograd.grad(losses.mean(), w)
print("of_sum =", of_sum)
print("of_mean =", of_mean)

# %% one_element
x.grad = None
z = x.prod().reshape(1, 1)
z.backward()
print("z.shape =", z.shape)
print("x.grad =", x.grad)

# %% functional_jacobian
p = x.detach()
full = torch.autograd.functional.jacobian(f, p)
print("full.shape =", full.shape)
print("torch.equal(full.reshape(2, 2), J) =", torch.equal(full.reshape(2, 2), J))

# %% jacrev
by_func = torch.func.jacrev(f)(p)
print("by_func.shape =", by_func.shape)
print("torch.equal(by_func.reshape(2, 2), J) =", torch.equal(by_func.reshape(2, 2), J))

# %% batched
x.grad = None
directions = torch.stack([e1, e2])
(batched,) = torch.autograd.grad(f(x), x, directions, is_grads_batched=True)
print("directions.shape =", directions.shape)
print("batched.shape =", batched.shape)
print("torch.equal(batched.reshape(2, 2), J) =", torch.equal(batched.reshape(2, 2), J))
print("x.grad =", x.grad)

# %% finite_differences
h = 1e-6
columns = []
for j in range(2):
    step = torch.zeros(1, 2, dtype=torch.float64)
    step[0, j] = h
    difference = f(p.double() + step) - f(p.double() - step)
    columns.append(difference.reshape(2) / (2 * h))
numeric = torch.stack(columns, dim=1)
print("numeric.dtype =", numeric.dtype)
print("torch.allclose(numeric, J.double()) =", torch.allclose(numeric, J.double()))

# %% cost
seen = []


def watched(x):
    y = f(x)
    y.register_hook(seen.append)
    return y


torch.autograd.functional.jacobian(watched, p)
print("one_by_one =", seen)
seen.clear()
torch.autograd.grad(watched(x), x, directions, is_grads_batched=True)
print("passes_when_batched =", len(seen))

# %% columns
by_columns = torch.func.jacfwd(f)(p)
print("torch.equal(by_columns, by_func) =", torch.equal(by_columns, by_func))

# %% exercise_1
x.grad = None
f(x).backward(torch.tensor([[2.0, -1.0]]))
print("x.grad =", x.grad)
print("2 * J[0] - J[1] =", 2 * J[0] - J[1])

# %% exercise_2
t = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
torch.sin(t).backward(torch.ones(3))
D = torch.func.jacrev(torch.sin)(t.detach())
print("torch.equal(D, torch.diag(D.diag())) =", torch.equal(D, torch.diag(D.diag())))
cosine = torch.cos(t.detach())
print("torch.allclose(D.diag(), cosine) =", torch.allclose(D.diag(), cosine))
print("torch.allclose(t.grad, D.diag()) =", torch.allclose(t.grad, D.diag()))

# %% exercise_3
A = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
for point in (p, 10 * p):
    L = torch.autograd.functional.jacobian(lambda x: x @ A.T, point).reshape(3, 2)
    print(f"torch.equal(L, A) at {point.tolist()} =", torch.equal(L, A))

x.grad = None
v = torch.tensor([[1.0, 10.0, 100.0]])
(x @ A.T).backward(v)
print("x.grad =", x.grad)
print("v @ A =", v @ A)
