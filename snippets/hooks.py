# %% see
import torch
from torch import nn

x = torch.tensor(2.0)
w = torch.tensor(3.0, requires_grad=True)

y = w * x
y.register_hook(lambda grad: print("gradient of y =", grad))
z = y**2
z.backward()
print("w.grad =", w.grad)

# %% change
w.grad = None
y = w * x
y.register_hook(lambda grad: grad.clamp(max=1.0))
z = y**2
z.backward()
print("w.grad =", w.grad)

# %% by_hand
weights = torch.ones(3, requires_grad=True)
optimizer = torch.optim.SGD([weights], lr=0.1)
(2 * weights).sum().backward()
weights.grad.mul_(torch.tensor([0.0, 1.0, 1.0]))
optimizer.step()
print("weights =", weights)

# %% once
v = torch.tensor(1.0, requires_grad=True)
seen = []
v.register_hook(lambda grad: seen.append(grad.item()))
(2 * v + 5 * v).backward()
(2 * v).backward()
print("seen =", seen)
print("v.grad =", v.grad)


# %% in_place
def ten_times(grad):
    grad.mul_(10)


a = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(1.0, requires_grad=True)
a.register_hook(ten_times)
(a + b).backward()
print("a.grad =", a.grad)
print("b.grad =", b.grad)

# %% step_in_backward
from copy import deepcopy

torch.manual_seed(0)
data = torch.randn(8, 2)
net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
plain = deepcopy(net)
optimizers = {p: torch.optim.SGD([p], lr=0.1) for p in net.parameters()}
held = []


def step_now(p):
    held.append(sum(q.grad is not None for q in net.parameters()))
    optimizers[p].step()
    optimizers[p].zero_grad()


for p in net.parameters():
    p.register_post_accumulate_grad_hook(step_now)
net(data).square().mean().backward()
print("held =", held)
print("max(held) =", max(held))

# %% plain_step
optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
plain(data).square().mean().backward()
optimizer.step()
pairs = zip(net.parameters(), plain.parameters(), strict=True)
print("same =", all(torch.equal(p, q) for p, q in pairs))

# %% not_a_leaf raises="RuntimeError"
(w * x).register_post_accumulate_grad_hook(step_now)

# %% no_gradient raises="RuntimeError"
x.register_hook(print)

# %% node
y = w * x
z = y**2
node = y.grad_fn
node.register_prehook(lambda grad_outputs: print("grad_outputs =", grad_outputs))
node.register_hook(lambda grad_inputs, _: print("grad_inputs =", grad_inputs))
z.backward()

# %% order
order = []


def note(name):
    return lambda *_: order.append(name)


w = torch.tensor(3.0, requires_grad=True)
w.register_post_accumulate_grad_hook(note("w.grad"))
w.register_hook(note("w"))
y = w * x
y.grad_fn.register_hook(note("node after"))
y.grad_fn.register_prehook(note("node before"))
y.register_hook(note("y"))
z = y**2
z.backward()
print("order =", ", ".join(order))

# %% where
from gradgraph import record

w.grad = None
y = w * x
z = y**2
graph = record(z, x=x, w=w, y=y)
graph

# %% module
layer = nn.Linear(2, 1, bias=False)
nn.init.constant_(layer.weight, 3.0)


def show(module, grad_input, grad_output):
    print("grad_output =", grad_output)
    print("grad_input =", grad_input)


layer.register_full_backward_hook(show)
row = torch.tensor([[1.0, 2.0]], requires_grad=True)
layer(row).sum().backward()

# %% first_layer
layer(row.detach()).sum().backward()

# %% in_place_relu raises="RuntimeError"
net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(inplace=True))
with torch.no_grad():
    net[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))

handle = net[0].register_full_backward_hook(show)
net(row)

# %% forward_hook
handle.remove()


def watch(module, args, output):
    output.register_hook(lambda grad: print("gradient of the output =", grad))


net[0].register_forward_hook(watch)
output = net(row)
output.sum().backward()
print("output =", output)

# %% multi_grad
from torch.autograd.graph import register_multi_grad_hook

a, b, c = (torch.tensor(1.0, requires_grad=True) for _ in range(3))
handle = register_multi_grad_hook((a, b, c), lambda grads: print("grads =", grads))
(2 * a + 3 * b).backward()

# %% piling_up
v = torch.tensor(1.0, requires_grad=True)
for step in range(3):
    v.grad = None
    v.register_hook(lambda grad: 10 * grad)
    (2 * v).backward()
    print(f"step {step}: v.grad =", v.grad)

# %% removed
v = torch.tensor(1.0, requires_grad=True)
handle = v.register_hook(lambda grad: 10 * grad)
handle.remove()
with v.register_hook(lambda grad: -grad):
    (2 * v).backward()
print("inside: v.grad =", v.grad)

v.grad = None
(2 * v).backward()
print("after: v.grad =", v.grad)

# %% exercise_1
encoder, head = (torch.tensor(2.0, requires_grad=True) for _ in range(2))
feature = encoder * 3
feature.register_hook(lambda grad: -grad)
(head * feature).backward()
print("head.grad =", head.grad)
print("encoder.grad =", encoder.grad)

# %% exercise_2
order.clear()
y = w * x
y.register_hook(note("y"))
torch.autograd.grad(y**2, w)
print("order =", ", ".join(order))

# %% exercise_3
net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
norms = []
register_multi_grad_hook(
    tuple(net.parameters()),
    lambda grads: norms.append(torch.cat([g.flatten() for g in grads]).norm()),
)
net(data).square().mean().backward()
total = torch.nn.utils.get_total_norm([p.grad for p in net.parameters()])
print("torch.allclose(norms[0], total) =", torch.allclose(norms[0], total))
