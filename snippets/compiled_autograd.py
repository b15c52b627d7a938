# %% compiled
import torch

x = torch.tensor([[1.0, -1.0], [0.5, 2.0]])
w = torch.tensor([[0.5], [0.25]], requires_grad=True)


def loss_of(x, w):
    return torch.tanh(x @ w).square().sum()


compiled = torch.compile(loss_of, backend="aot_eager")

(eager,) = torch.autograd.grad(loss_of(x, w), w)
(traced,) = torch.autograd.grad(compiled(x, w), w)
print("torch.allclose(traced, eager) =", torch.allclose(traced, eager))
print("compiled(x, w).grad_fn.name() =", compiled(x, w).grad_fn.name())

# %% eager_picture
from gradgraph import record

record(loss_of(x, w), w=w)

# %% compiled_picture
w.grad = None
record(compiled(x, w), w=w)

# %% backend
from functorch.compile import (
    default_partition,
    make_boxed_func,
    min_cut_rematerialization_partition,
)
from torch._dynamo.backends.common import aot_autograd

events, programs = [], {}


def describe(program):
    lines = []
    for node in program.graph.nodes:
        if node.op == "call_function":
            lines.append(
                f"{node.name} = {node.target}({', '.join(map(str, node.args))})"
            )
        elif node.op == "output":
            lines.append(f"return {node.args[0]}")
    return lines


def keep(name):
    def compiler(program, inputs):
        events.append(name)
        programs[name] = describe(program)
        # zh: 什么也不编译，原样执行
        # en: compile nothing, run it as it is
        return make_boxed_func(program.forward)

    return compiler


def compile_with(cut, f):
    def partition(joint, inputs, **options):
        events.append("joint")
        programs["joint"] = describe(joint)
        return cut(joint, inputs, **options)

    torch._dynamo.reset()
    programs.clear()
    compilers = {"fw_compiler": keep("forward"), "bw_compiler": keep("backward")}
    return torch.compile(f, backend=aot_autograd(**compilers, partition_fn=partition))


# %% when
compiled = compile_with(default_partition, loss_of)
events.append("call")
loss = compiled(x, w)
events.append("backward()")
loss.backward()
print("order =", ", ".join(events))

# %% joint
print(*programs["joint"], sep="\n")

# %% halves
print("forward:", *programs["forward"], sep="\n  ")
print("backward:", *programs["backward"], sep="\n  ")

# %% chain
t = torch.linspace(0, 1, 1000, requires_grad=True)


def chain(t):
    return t.sin().cos().sin().cos().sin()


y = compile_with(default_partition, chain)(t)
print("len(y.grad_fn.saved_tensors) =", len(y.grad_fn.saved_tensors))

# %% min_cut
z = compile_with(min_cut_rematerialization_partition, chain)(t)
(recomputing,) = torch.autograd.grad(z.sum(), t)
z = torch.compile(chain, backend="aot_eager")(t)
print("len(z.grad_fn.saved_tensors) =", len(z.grad_fn.saved_tensors))

# %% recomputed
twice = [line for line in programs["backward"] if line in programs["forward"]]
print(*twice, sep="\n")
(plain,) = torch.autograd.grad(chain(t).sum(), t)
print("torch.allclose(recomputing, plain) =", torch.allclose(recomputing, plain))

# %% budget
import matplotlib.pyplot as plt
from torch._functorch import config

weights = [torch.full((64, 64), 0.01, requires_grad=True) for _ in range(4)]
data = torch.ones(640, 64)


def network(h):
    for weight in weights:
        h = torch.tanh(h @ weight)
    return h.square().sum()


budgets = [0, 0.2, 0.4, 0.6, 0.8, 1]
kilobytes, products = [], []
for budget in budgets:
    with config.patch(activation_memory_budget=budget):
        loss = compile_with(min_cut_rematerialization_partition, network)(data)
        kilobytes.append(sum(s.nbytes for s in loss.grad_fn.saved_tensors) / 1024)
        loss.backward()
    products.append(sum("aten.mm" in line for line in programs["backward"]))

fig, (top, bottom) = plt.subplots(2, 1, sharex=True)
top.plot(budgets, kilobytes, marker="o")
top.set_ylabel("KiB saved")
bottom.plot(budgets, products, marker="s", color="C1")
bottom.set_ylabel("matrix products\nin backward")
bottom.set_xlabel("activation_memory_budget")
top.set_ylim(0, 1000)
bottom.set_ylim(0, 13)
plt.show()

# %% again
calls = {
    "first call": lambda f: f(torch.ones(3)),
    "same kind of input": lambda f: f(torch.zeros(3)),
    "input requires a gradient": lambda f: f(torch.ones(3, requires_grad=True)),
    "the same under no_grad()": torch.no_grad()(
        lambda f: f(torch.ones(3, requires_grad=True))
    ),
    "length 4": lambda f: f(torch.ones(4)),
    "length 5": lambda f: f(torch.ones(5)),
}
g = compile_with(default_partition, lambda v: (v * v).sum())
for what, call in calls.items():
    events.clear()
    call(g)
    print(f"{what}: {', '.join(events) or 'nothing new'}")

# %% double_backward raises="RuntimeError"
v = torch.tensor(3.0, requires_grad=True)
cube = torch.compile(lambda v: v**3, backend="aot_eager")
(slope,) = torch.autograd.grad(cube(v), v, create_graph=True)
print("slope =", slope.detach())
slope.backward()

# %% grad_inside
slope_of = torch.compile(
    torch.func.grad(lambda v: v**3), backend="aot_eager", fullgraph=True
)
slope = slope_of(v)
slope.backward()
print("slope =", slope.detach())
print("v.grad =", v.grad)

# %% donated raises="RuntimeError"
twice = torch.compile(loss_of, backend="aot_eager")
twice(x, w).backward()
twice(x, w).backward(retain_graph=True)

# %% not_donated
torch._dynamo.reset()
w.grad = None
with config.patch(donated_buffer=False):
    twice(x, w).backward()
    loss = twice(x, w)
    loss.backward(retain_graph=True)
    loss.backward()
print("torch.allclose(w.grad, 3 * eager) =", torch.allclose(w.grad, 3 * eager))

# %% branch raises="Unsupported"


def clipped(v):
    u = v.exp()
    if u > 5:
        u = u.sqrt()
    return u * 2


torch.compile(clipped, backend="aot_eager", fullgraph=True)(v)

# %% pieces
out = torch.compile(clipped, backend="aot_eager")(v)
last = out.grad_fn
(first, _), *_ = last.next_functions
(leaf, _), *_ = first.next_functions
print(last.name(), first.name(), leaf.name(), sep="\n")

# %% two_backwards


def broken(v):
    h = v.exp()
    torch._dynamo.graph_break()
    return h * h


pieces = compile_with(default_partition, broken)
events.clear()
pieces(v).backward()
print("events =", ", ".join(events))

# %% compiled_autograd
graphs = []


def note(program, inputs):
    names = [node.name for node in program.graph.nodes if node.op == "call_function"]
    graphs.append([name for name in names if not name.startswith("getitem")])
    return program.forward


def train(v):
    broken(v).backward()


v.grad = None
handle = v.register_hook(lambda grad: grad * 10)
with torch._dynamo.config.patch(compiled_autograd=True):
    torch.compile(train, backend=note)(v)
handle.remove()
print("len(graphs) =", len(graphs))
print(*graphs[-1], sep="\n")

# %% hooked
v.grad, hooked = None, v.grad
broken(v).backward()
print("torch.allclose(hooked, 10 * v.grad) =", torch.allclose(hooked, 10 * v.grad))

# %% exercise_1


def softplus(t):
    return (1 + t.exp()).log()


for cut in default_partition, min_cut_rematerialization_partition:
    compile_with(cut, softplus)(t).sum().backward()
    print(programs["forward"][-1])
    print(programs["backward"][0])

# %% exercise_2
from torch.utils.checkpoint import checkpoint


def two_layers(h):
    return torch.tanh(torch.tanh(h @ weights[0]) @ weights[1]).sum()


def checkpointed(h):
    return checkpoint(two_layers, h, use_reentrant=False)


for f in two_layers, checkpointed:
    compile_with(min_cut_rematerialization_partition, f)(data).backward()
    print(f.__name__, sum("aten.mm" in line for line in programs["backward"]))

# %% exercise_3


def one_piece(v):
    u = v.exp()
    return torch.where(u > 5, u.sqrt(), u) * 2


whole = torch.compile(one_piece, backend="aot_eager", fullgraph=True)(v)
(gradient,) = torch.autograd.grad(whole, v)
(expected,) = torch.autograd.grad(clipped(v), v)
(following, _), *_ = whole.grad_fn.next_functions
print("following.name() =", following.name())
print("torch.allclose(gradient, expected) =", torch.allclose(gradient, expected))
