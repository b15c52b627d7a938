# %% kinds
import sympy
import torch


def steps(x, n):
    for _ in range(n):
        x = 4 * x * (1 - x)
    return x


at, h = 0.125, 1e-6
print("numerical =", (steps(at + h, 3) - steps(at - h, 3)) / (2 * h))
s = sympy.Symbol("s")
print("symbolic =", sympy.diff(steps(s, 3), s).subs(s, at))
x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
print("automatic =", torch.autograd.grad(steps(x, 3), x)[0].item())


# %% growth
def nodes(node, seen):
    if node and node not in seen:
        seen.add(node)
        for child, _ in node.next_functions:
            nodes(child, seen)
    return len(seen)


for n in 1, 2, 4, 8:
    formula = sympy.diff(steps(s, n), s).count_ops()
    graph = nodes(steps(x, n).grad_fn, set())
    print(f"n = {n}: {formula} operations in the formula, {graph} nodes in the graph")

# %% entry
from pathlib import Path

import torchgen

packaged = Path(torchgen.__file__).with_name("packaged")
table = (packaged / "autograd/derivatives.yaml").read_text(encoding="utf-8")
entries = table.split("\n- name: ")[1:]


def entry(name):
    (found,) = [text for text in entries if text.startswith(f"{name}(")]
    return found.split("\n\n")[0]


print(entry("tanh"))
print("len(entries) =", len(entries))

# %% by_hand
x = torch.tensor([0.5, 1.0], requires_grad=True)
y = x.tanh()
grad = torch.tensor([1.0, 10.0])
formula = torch.ops.aten.tanh_backward(grad, y.detach())
(engine,) = torch.autograd.grad(y, x, grad, retain_graph=True)
print("torch.equal(formula, engine) =", torch.equal(formula, engine))
print("y.grad_fn.name() =", y.grad_fn.name())

# %% generator
from tempfile import TemporaryDirectory

from torchgen.packaged.autograd.load_derivatives import load_derivatives


def pick(path, key, names):
    blocks = (packaged / path).read_text(encoding="utf-8").split(f"\n- {key}: ")
    found = [block for block in blocks if block.split("(")[0] in names]
    return "".join(f"- {key}: {block}\n" for block in found)


# zh: 只挑出 tanh，免得生成器读完整张表
# en: tanh only, lest the generator read the whole table
native = "ATen/native/native_functions.yaml"
with TemporaryDirectory() as folder:
    derivatives, functions = Path(folder, "d.yaml"), Path(folder, "f.yaml")
    derivatives.write_text(pick("autograd/derivatives.yaml", "name", ["tanh"]))
    functions.write_text(pick(native, "func", ["tanh", "tanh_", "tanh.out"]))
    tags = packaged / "ATen/native/tags.yaml"
    found, _ = load_derivatives(str(derivatives), str(functions), str(tags))
(by_key,) = found.values()
info = by_key["Default"]

# %% generated
print("info.op =", info.op)
print("saved inputs =", [saved.nctype.name for saved in info.all_saved_inputs])
print("saved outputs =", [saved.nctype.name for saved in info.all_saved_outputs])

# %% saved
e = x.exp()
names = [name for name in dir(e.grad_fn) if name.startswith("_saved_")]
print("names =", names)

# %% names
import re

w = torch.tensor([2.0, 3.0], requires_grad=True)
results = {
    "tanh": x.tanh(),
    "exp": x.exp(),
    "sin": x.sin(),
    "sqrt": x.sqrt(),
    "mul.Tensor": x * w,
    "add.Tensor": x + w,
    "atan2": torch.atan2(x, w),
}


def named(text):
    # zh: 只看反向的公式；self.scalar_type() 之类用不着张量本身
    # en: backward formulas only; self.scalar_type() needs no tensor
    lines = [line for line in text.split("\n")[1:] if "result:" not in line]
    text = re.sub(r"\w+\.scalar_type\(\)", "", " ".join(lines))
    text = re.sub(r"[\w, ]+: ", " ", text)
    return sorted({"self", "other", "result"} & set(re.findall(r"\w+", text)))


def kept(node):
    names = [n for n in dir(node) if n.startswith("_saved_")]
    tensors = [n for n in names if isinstance(getattr(node, n), torch.Tensor)]
    return sorted(n.removeprefix("_saved_") for n in tensors)


print("operation   in the formula   kept by the node")
for name, out in results.items():
    formula, node = " ".join(named(entry(name))), " ".join(kept(out.grad_fn))
    print(f"{name:11} {formula or '-':16} {node or '-'}")

# %% numbers
print(torch.ops.aten.mul.Tensor(x, w).grad_fn.name())
print(torch.ops.aten.mul.Scalar(x, 2).grad_fn.name())

# %% square
s = x.square()
print("s.grad_fn.name() =", s.grad_fn.name())

# %% composite
has = torch._C._dispatch_has_kernel_for_dispatch_key
for op in "aten::tanh", "aten::square", "aten::outer":
    in_table = any(text.startswith(op[6:] + "(") for text in entries)
    composite = has(op, "CompositeImplicitAutograd")
    print(f"{op}: in the table {in_table}, composite {composite}")

# %% keys
from torch._C import DispatchKey


def has_key(tensor):
    return torch._C._dispatch_keys(tensor).has(DispatchKey.AutogradCPU)


with torch.no_grad():
    under_no_grad = torch.ones(2)
with torch.inference_mode():
    inference = torch.ones(2)
print("keys =", [has_key(t) for t in (x, torch.ones(2), under_no_grad, inference)])

# %% below
print(torch._C._dispatch_keys(x))
with torch._C._AutoDispatchBelowAutograd():
    below = x.tanh()
print("below =", below)
print("y =", y)

# %% log
from torch.utils._python_dispatch import TorchDispatchMode


class Log(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        print(function, "grad_fn =", out.grad_fn)
        return out


with Log():
    y = x.tanh()
print("y.grad_fn.name() =", y.grad_fn.name())

# %% not_implemented raises="NotImplementedError"
a = torch.tensor(1.0, requires_grad=True)
p = torch.special.gammainc(a, torch.tensor(2.0))
print("p.grad_fn.name() =", p.grad_fn.name())
p.backward()

# %% engine
import heapq
import itertools


def run(root, seed):
    # zh: 第一步：数一数，通到每个节点的边有几条
    # en: first, count the edges that lead to each node
    waits, found, todo = {}, {root}, [root]
    while todo:
        for node, _ in todo.pop().next_functions:
            if node is not None:
                waits[node] = waits.get(node, 0) + 1
                if node not in found:
                    found.add(node)
                    todo.append(node)
    # zh: 第二步：谁的梯度到齐了，谁就进队列，编号最大的先出来
    # en: then, queue a node when all has arrived; the highest number goes first
    arrived, order, ties = {root: {0: seed}}, [], itertools.count()
    queue = [(-root._sequence_nr(), next(ties), root)]
    while queue:
        *_, node = heapq.heappop(queue)
        order.append(node.name().split("::")[-1])
        slots = arrived.pop(node)
        grads = [slots.get(i) for i in range(len(node._input_metadata))]
        sent = node(*grads)
        sent = sent if isinstance(sent, tuple) else (sent,)
        for (following, slot), grad in zip(node.next_functions, sent, strict=False):
            if following is None:
                continue
            slots = arrived.setdefault(following, {})
            if grad is not None:
                slots[slot] = slots[slot] + grad if slot in slots else grad
            waits[following] -= 1
            if waits[following] == 0:
                key = -following._sequence_nr()
                heapq.heappush(queue, (key, next(ties), following))
    return order


def function(v):
    h = v.tanh()
    return h.exp() + h * v.sin()


v = torch.tensor(0.5, requires_grad=True)
out = function(v)
with torch.no_grad():
    order = run(out.grad_fn, torch.tensor(1.0))
ours, v.grad = v.grad, None
print(*order, sep="\n")

# %% recorded
from gradgraph import record

graph = record(function(v), v=v)
graph

# %% compared
theirs = [graph.nodes[step.node].op for step in graph.steps]
print("order == theirs =", order == theirs)
print("torch.equal(ours, v.grad) =", torch.equal(ours, v.grad))

# %% priority
out = function(v)
(exp, _), (product, _) = out.grad_fn.next_functions
(tanh, _), (sin, _) = product.next_functions
((leaf, _),) = tanh.next_functions
first = tanh._sequence_nr()
for node in tanh, exp, sin, product, out.grad_fn:
    print(node.name(), node._sequence_nr() - first)
print("leaf._sequence_nr() == 2**64 - 1 =", leaf._sequence_nr() == 2**64 - 1)

# %% counting
t = torch.zeros(2)
t += 1
with torch._C._ExcludeDispatchKeyGuard(
    torch._C.DispatchKeySet(DispatchKey.ADInplaceOrView)
):
    t += 1
print("t =", t)
print("t._version =", t._version)

# %% comparing raises="RuntimeError"
e = x.exp()
node = e.grad_fn
print("node._saved_result =", node._saved_result.detach())
e += 1
node._saved_result

# %% exercise_1
for out in x.cosh(), x.reciprocal(), x.relu():
    print(out.grad_fn.name(), kept(out.grad_fn))

# %% exercise_2_error raises="RuntimeError"


@torch.library.custom_op("book::cube", mutates_args=())
def cube(u: torch.Tensor) -> torch.Tensor:
    return u * u * u


cube(x).sum().backward()

# %% exercise_2


def setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def backward(ctx, grad):
    (u,) = ctx.saved_tensors
    return grad * 3 * u * u


cube.register_autograd(backward, setup_context=setup_context)
print(cube(x).grad_fn.name())
u = torch.tensor([0.5, -2.0], dtype=torch.float64, requires_grad=True)
print("gradcheck =", torch.autograd.gradcheck(cube, u))

# %% exercise_3
r = torch.tensor(3.0, requires_grad=True)
run((r**3).grad_fn, torch.tensor(1.0))
slope = r.grad
print("slope =", slope.detach())
print("slope.grad_fn is None =", slope.grad_fn is None)
(second,) = torch.autograd.grad(slope, r)
print("second =", second)
