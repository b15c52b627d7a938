# %% model
import torch
from torch import nn

from gradgraph import record

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1, bias=False))
x = torch.tensor([[1.0, 2.0]])
loss = net(x).square().sum()

graph = record(loss, loss=loss, net=net, x=x)
graph

# %% terminal
print(graph)

# %% files
svg = graph.to_svg()
html = graph.to_html(language="zh")

# %% names
w = torch.tensor([1.0, 2.0], requires_grad=True)
scale = torch.tensor(10.0)

y = (w * scale).sum()
print(record(y, scale=scale, names={"weight, layer 1": w}))

# %% outputs
a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor([3.0, 4.0], requires_grad=True)

power, scaled = a**2, a * b
weights = torch.tensor([1.0, 10.0])
graph = record(
    [power, scaled], gradient=[None, weights], power=power, scaled=scaled, a=a, b=b
)
graph

# %% inputs
a.grad = b.grad = None
total = (a * b.exp()).sum()
print(record(total, inputs=[a], a=a, b=b))
print("b.grad =", b.grad)

# %% second_graph
r = torch.tensor(2.0, requires_grad=True)
(slope,) = torch.autograd.grad(r**3, r, create_graph=True)
print(record(slope, slope=slope, r=r))

# %% values
t = torch.tensor(0.5, requires_grad=True)
graph = record((t.exp() * 2 + 1).log(), t=t, values=True)
for node in graph.nodes:
    print(node.op, node.value.text if node.value else "unknown")

# %% steps
w = torch.tensor(3.0, requires_grad=True)
z = (w * 2) ** 2
graph = record(z, z=z, w=w)
for number, step in enumerate(graph.steps, 1):
    node = graph.nodes[step.node]
    received = [value.text if value else None for value in step.received]
    sent = [value.text if value else None for value in step.sent]
    print(number, node.op, "received", received, "sent", sent)

# %% dictionary
import json

data = json.loads(json.dumps(graph.to_dict()))
print("list(data) =", list(data))
print('data["edges"][0] =', data["edges"][0])

# %% rules
for step in graph.steps:
    for rule, value in zip(step.rules, step.sent, strict=True):
        if rule:
            print(graph.nodes[step.node].op, f"to {rule.wrt}: {rule.formula}")
            print("    =", rule.numbers, "=", value.text)

# %% no_rule
m = torch.tensor([[2.0, 1.0], [0.0, 3.0]], requires_grad=True)
graph = record(torch.linalg.det(m), m=m)
print("graph.nodes[0].op =", graph.nodes[0].op)
print("graph.steps[0].rules =", graph.steps[0].rules)

# %% large
x = torch.tensor(1.0, requires_grad=True)
y = x
for _ in range(100):
    y = y * 0.9 + 1
graph = record(y, y=y, x=x)
print("len(graph.nodes) =", len(graph.nodes))
graph

# %% sizes
import inspect

from gradgraph.fold import fold
from gradgraph.recorder import DETAILED
from gradgraph.rule_table import RULES
from gradgraph.text import LINES
from gradgraph.values import SMALL

print("limit =", inspect.signature(fold).parameters["limit"].default)
print("LINES =", LINES)
print("DETAILED =", DETAILED)
print("SMALL =", SMALL)
print("len(RULES) =", len(RULES))

# %% error_shape raises="RuntimeError"
v = torch.tensor([1.0, 2.0], requires_grad=True)
record(v * 2, v=v)

# %% error_again raises="RuntimeError"
z = (v * v).sum()
z.backward()
record(z, v=v)

# %% error_name raises="ValueError"
copy = v.detach().requires_grad_()
record((v * 2).sum(), copy=copy)

# %% error_number raises="TypeError"
record((v * 2).sum().item(), v=v)

# %% same
v.grad = None
z = (v * v).sum()
z.backward(retain_graph=True)
plain, v.grad = v.grad, None

graph = record(z, v=v, retain_graph=True)
print("torch.equal(v.grad, plain) =", torch.equal(v.grad, plain))

z.backward()
print("len(graph.steps) =", len(graph.steps))
