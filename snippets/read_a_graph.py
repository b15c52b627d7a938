# %% parts
import torch

from gradgraph import record

k = torch.tensor(3.0)
u = torch.tensor(2.0, requires_grad=True)
v = torch.tensor(5.0, requires_grad=True)

y = u * k
z = y - v
record(z, z=z, y=y, u=u, v=v, k=k)

# %% parts_by_hand
to_y, to_v = z.grad_fn.next_functions
print("to_y =", to_y)
print("to_y[0] is y.grad_fn =", to_y[0] is y.grad_fn)
print("to_v[0].variable is v =", to_v[0].variable is v)
print("y.grad_fn.next_functions[1] =", y.grad_fn.next_functions[1])

# %% order
a = torch.tensor(0.5, requires_grad=True)
p = a.exp()
q = a.sin()
s = p * q

graph = record(s, s=s, p=p, q=q, a=a)
ran = [graph.nodes[step.node].op for step in graph.steps]
print("ran[0] =", ran[0])
print("ran[1] =", ran[1])

# %% order_picture
graph

# %% order_by_hand
for name, tensor in {"p": p, "q": q, "s": s}.items():
    print(f"{name}.grad_fn has number", tensor.grad_fn._sequence_nr())

# %% fork
v = torch.tensor(2.0, requires_grad=True)
s = v * v
t = s * s

graph = record(t, t=t, s=s, v=v)
to_s = graph.steps[1].received[0].text
print("to_s =", to_s)
print("v.grad =", v.grad)

# %% fork_picture
graph

# %% fork_by_hand
(left, _), (right, _) = t.grad_fn.next_functions
print("left is right =", left is right)

s = v * v
t = s * s
print("grad of s =", torch.autograd.grad(t, s))

# %% results
x = torch.tensor([4.0, 5.0, 6.0], requires_grad=True)
first, second, third = x.unbind()
z = second * first
record(z, z=z, x=x)

# %% results_by_hand
for node, number in z.grad_fn.next_functions:
    print(node.name(), number)
print("second.output_nr =", second.output_nr)
print("first.grad_fn is third.grad_fn =", first.grad_fn is third.grad_fn)
print("x.grad =", x.grad)

# %% saved
a = torch.tensor(0.5, requires_grad=True)
e = a.exp()
r = e.sin()
print("r.grad_fn._saved_self =", r.grad_fn._saved_self)
print("e.grad_fn._saved_result =", e.grad_fn._saved_result)

graph = record(r, r=r, e=e, a=a)
graph

# %% freed raises="RuntimeError"
print("what the picture keeps =", graph.nodes[0].saved[0].text)
print("what the node keeps =", r.grad_fn._saved_self)

# %% passes
x = torch.tensor([2.0, 5.0], requires_grad=True)
y = x**2
upper, lower = torch.eye(2)

one = record(y, gradient=upper, y=y, x=x, retain_graph=True)
two = record(y, gradient=lower, y=y, x=x)
adds = two.steps[-1].received[0].text
print("adds =", adds)

# %% passes_picture
one.then(two)

# %% passes_by_hand
print("x.grad =", x.grad)

# %% write
c = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
d = torch.tensor(9.0, requires_grad=True)

y = c * 2
print("y.grad_fn before =", y.grad_fn)
y[0] = d
print("y.grad_fn after =", y.grad_fn)

z = y[:2].sum()
record(z, z=z, c=c, d=d)

# %% write_by_hand
for target, _ in y.grad_fn.next_functions:
    print("CopySlices sends to", target)
print("c.grad =", c.grad)
print("d.grad =", d.grad)

# %% names
from torch import nn

t = torch.ones(2, 3, requires_grad=True)
linear = nn.Linear(3, 2)
no_bias = nn.Linear(3, 2, bias=False)
results = {
    "linear(t)": linear(t),
    "no_bias(t)": no_bias(t),
    "linear(t[None])": linear(t[None]),
    "no_bias(t[None])": no_bias(t[None]),
    "t @ t.T": t @ t.T,
    "t.t()": t.t(),
    "t.T": t.T,
    "t.view(6)": t.view(6),
    "t.T.reshape(6)": t.T.reshape(6),
    "t[0]": t[0],
    "t[:1]": t[:1],
    "t[t > 0]": t[t > 0],
    "t.sum()": t.sum(),
    "t.sum(0)": t.sum(0),
    "t.double()": t.double(),
    "t.clone()": t.clone(),
    "nn.LayerNorm(3)(t)": nn.LayerNorm(3)(t),
    "nn.CrossEntropyLoss()(t, …)": nn.CrossEntropyLoss()(t, torch.tensor([0, 1])),
}
for name, tensor in results.items():
    print(f"{name:28}", type(tensor.grad_fn).__name__)

# %% names_of_a_layer
targets = linear(t).grad_fn.next_functions
for name, (target, _) in zip(("bias", "input", "weight"), targets, strict=True):
    print(f"{name}: the gradient goes to", type(target).__name__)


# %% own
class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gain):
        ctx.save_for_backward(x, gain)
        return x * gain

    @staticmethod
    def backward(ctx, grad):
        _, gain = ctx.saved_tensors
        return grad * gain, None


x = torch.tensor(2.0, requires_grad=True)
gain = torch.tensor(3.0, requires_grad=True)
z = Scale.apply(x, gain)
record(z, z=z, x=x, gain=gain)

# %% own_by_hand
_, (to_gain, _) = z.grad_fn.next_functions
print("to_gain.variable is gain =", to_gain.variable is gain)
print("gain.grad =", gain.grad)

# %% exercise_1
x = torch.tensor(1.0, requires_grad=True)
left = x.sin()
right = x.cos()
z = left + right * x
print(record(z, z=z, left=left, right=right, x=x))

# %% exercise_2 raises="ValueError"
w = torch.tensor(3.0, requires_grad=True)
b = torch.tensor(1.0, requires_grad=True)
hidden = torch.tensor((w * 2).item())
loss = (hidden + b) ** 2
record(loss, loss=loss, w=w, b=b)

# %% exercise_2_cure
hidden = w * 2
loss = (hidden + b) ** 2
print(record(loss, loss=loss, w=w, b=b))


# %% exercise_3
class Gain(Scale):
    @staticmethod
    def backward(ctx, grad):
        x, gain = ctx.saved_tensors
        return grad * gain, grad * x


x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
gain = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
z = Gain.apply(x, gain)
print(record(z, z=z, x=x, gain=gain))
print("gradcheck =", torch.autograd.gradcheck(Gain.apply, (x, gain)))
