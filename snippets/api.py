# %% several_at_once
import torch

x = torch.tensor(3.0, requires_grad=True)
torch.autograd.backward(
    [x**2, 5 * x], grad_tensors=[torch.tensor(1.0), torch.tensor(2.0)]
)
print("x.grad =", x.grad)

# %% anomaly raises="RuntimeError"
x = torch.tensor(0.0, requires_grad=True)
with torch.autograd.detect_anomaly(check_nan=True):
    (x.sqrt() * 0).backward()

# %% same_thread
import threading

seen = []
x = torch.tensor(1.0, requires_grad=True)
x.register_hook(lambda grad: seen.append(threading.current_thread().name))
with torch.autograd.set_multithreading_enabled(False):
    (2 * x).backward()
print("seen =", seen)

# %% layout
for enforced in False, True:
    w = torch.ones(2, 3, requires_grad=True)
    with torch.autograd.grad_mode.enforce_grad_layout_policy(enforced):
        (w.T * torch.ones(3, 2)).sum().backward()
    print(enforced, w.grad.stride())

# %% edges
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

x = torch.tensor(2.0, requires_grad=True)
h = x**2
edge = get_gradient_edge(h)
y = h.exp()
# zh: 握着边就能求梯度，不必握着张量
# en: the edge is enough for a gradient; the tensor may go
del h
print("isinstance(edge, GradientEdge) =", isinstance(edge, GradientEdge))
print("isinstance(edge.node, Node) =", isinstance(edge.node, Node))
edge.node.metadata["note"] = "the square"
print(
    "y.grad_fn.next_functions[0][0].metadata =", y.grad_fn.next_functions[0][0].metadata
)
print("gradient =", torch.autograd.grad(y, edge))

# %% unseen_write raises="RuntimeError"
a = torch.ones(3, requires_grad=True)
b = a * 2
y = b.square()
b.detach().numpy()[0] = 7.0
torch.autograd.graph.increment_version(b)
y.sum().backward()

# %% hooks_off raises="RuntimeError"
with (
    torch.autograd.graph.disable_saved_tensors_hooks("no packing in this block"),
    torch.autograd.graph.save_on_cpu(),
):
    a.exp()

# %% context
from torch.autograd.function import FunctionCtx


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x**3

    @staticmethod
    def backward(ctx: FunctionCtx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2

    @staticmethod
    def jvp(ctx: FunctionCtx, tangent):
        (x,) = ctx.saved_tensors
        return tangent * 3 * x**2


# %% levels
from torch.autograd import forward_ad

level = forward_ad.enter_dual_level()
dual = Cube.apply(forward_ad.make_dual(torch.tensor(2.0), torch.tensor(1.0)))
pair = forward_ad.unpack_dual(dual)
print(
    "isinstance(pair, UnpackedDualTensor) =",
    isinstance(pair, forward_ad.UnpackedDualTensor),
)
print("pair.tangent =", pair.tangent)
forward_ad.exit_dual_level(level=level)

# %% failed_check
from torch.autograd.gradcheck import GradcheckError, gradcheck

half = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
try:
    gradcheck(lambda x: x * x.detach(), half)
except GradcheckError as error:
    print(str(error).splitlines()[0])

# %% transforms
from torch.func import debug_unwrap, functionalize, rearrange, vmap

seen = []


def double_in_place(row):
    copy = row.clone()
    copy.mul_(2)
    seen.append(debug_unwrap(row).shape)
    return copy


rows = torch.arange(6.0).reshape(2, 3)
print("without_writes =", functionalize(double_in_place)(rows[0]))
vmap(double_in_place)(rows)
print("seen[-1] =", seen[-1])
print("rearrange(rows, 'a b -> b a').shape =", rearrange(rows, "a b -> b a").shape)

# %% checkpoint
from torch.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    set_checkpoint_debug_enabled,
)

calls = []


def forgetful(x):
    calls.append(1)
    return x.sin() if len(calls) == 1 else x * 2


x = torch.tensor(1.0, requires_grad=True)
try:
    with set_checkpoint_debug_enabled(False):
        checkpoint(forgetful, x, use_reentrant=False).backward()
except CheckpointError as error:
    print(str(error).splitlines()[0])

# %% policy
from torch.utils.checkpoint import (
    CheckpointPolicy,
    DefaultDeviceType,
    GraphExecGroup,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

asked = []


def keep_products(context: SelectiveCheckpointContext, operation, *args, **kwargs):
    asked.append((str(operation), tuple(context.op_output.shape)))
    keep = operation is torch.ops.aten.mm.default
    return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE


def contexts():
    return create_selective_checkpoint_contexts(keep_products)


m = torch.eye(2, requires_grad=True)
with GraphExecGroup():
    out = checkpoint(
        lambda m: (m @ m).exp(), m, use_reentrant=False, context_fn=contexts
    )
    out.sum().backward()
print("asked =", asked)
print("DefaultDeviceType.get_device_type() =", DefaultDeviceType.get_device_type())
