# %% never_called
import torch


class WithBackward(torch.nn.Module):
    def forward(self, x):
        return x.square().sum()

    def backward(self, grad):
        raise NotImplementedError


x = torch.tensor([1.0, 3.0], requires_grad=True)
WithBackward()(x).backward()
print("x.grad =", x.grad)

# %% why
import numpy as np
from torch.autograd import Function

x = torch.tensor([-8.0, 1.0], requires_grad=True)
print("x ** (1 / 3) =", x ** (1 / 3))
print("np.cbrt(x) =", np.cbrt(x.detach().numpy()))

# %% numpy raises="RuntimeError"
torch.from_numpy(np.cbrt(x.numpy()))


# %% first
class Cbrt(Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.from_numpy(np.cbrt(x.detach().numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad / (3 * y**2)


y = Cbrt.apply(x)
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)

# %% picture
from gradgraph import record

x.grad = None
y = Cbrt.apply(x)
record(y.sum(), x=x, y=y)


# %% unchecked
class Wrong(Cbrt):
    @staticmethod
    def backward(ctx, grad):
        return 100 * grad


print("grad =", torch.autograd.grad(Wrong.apply(x).sum(), x)[0])


# %% arguments
class Project(Function):
    @staticmethod
    def forward(ctx, x, w, scale):
        ctx.save_for_backward(x, w)
        ctx.scale = scale
        return scale * (x @ w)

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        needed = ctx.needs_input_grad
        print("needed =", needed)
        grad_x = ctx.scale * (grad @ w.T) if needed[0] else None
        grad_w = ctx.scale * (x.T @ grad) if needed[1] else None
        return grad_x, grad_w, None


data = torch.ones(4, 2)
w = torch.ones(2, 1, requires_grad=True)
Project.apply(data, w, 0.5).sum().backward()
print("w.grad.T =", w.grad.T)


# %% too_few raises="RuntimeError"
class TooFew(Project):
    @staticmethod
    def backward(ctx, grad):
        return Project.backward(ctx, grad)[:2]


TooFew.apply(data, w, 0.5).sum().backward()

# %% saved raises="RuntimeError"
x = torch.tensor([1.0], requires_grad=True)
y = Cbrt.apply(x)
y += 1
y.backward()


# %% attribute
class Attribute(Cbrt):
    @staticmethod
    def forward(ctx, x):
        ctx.y = torch.from_numpy(np.cbrt(x.detach().numpy()))
        return ctx.y

    @staticmethod
    def backward(ctx, grad):
        return grad / (3 * ctx.y**2)


y = Attribute.apply(x)
y += 1
y.backward()
print("x.grad =", x.grad)

# %% cycle
import gc
import weakref

# zh: 自动回收随时会来，先关掉
# en: automatic collection may come at any time; off with it
gc.disable()
for function in Cbrt, Attribute:
    y = function.apply(x)
    alive = weakref.ref(y)
    del y
    print(function.__name__, "alive =", alive() is not None)
gc.enable()
gc.collect()
print("after gc.collect(): alive =", alive() is not None)


# %% outputs
class Parts(Function):
    @staticmethod
    def forward(ctx, x):
        whole = x.trunc()
        ctx.mark_non_differentiable(whole)
        return x - whole, x.abs(), whole

    @staticmethod
    def backward(ctx, grad_rest, grad_size, grad_whole):
        print("grad_rest =", grad_rest)
        print("grad_size =", grad_size)
        print("grad_whole =", grad_whole)
        # zh: 这里没用到 size；完整的写法还要加上 grad_size * x.sign()
        # en: size is not used here; in full, grad_size * x.sign() is to be added
        return grad_rest


x = torch.tensor([2.5, -1.25], requires_grad=True)
rest, size, whole = Parts.apply(x)
print("whole.requires_grad =", whole.requires_grad)
rest.sum().backward()


# %% not_materialized
class Lean(Parts):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return Parts.forward(ctx, x)


Lean.apply(x)[0].sum().backward()


# %% in_place
class Careless(Cbrt):
    @staticmethod
    def forward(ctx, x):
        memory = x.detach().numpy()
        np.cbrt(memory, out=memory)
        ctx.save_for_backward(x)
        return x


class Dirty(Careless):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return Careless.forward(ctx, x)


w = torch.tensor([8.0], requires_grad=True)
for function in Careless, Dirty:
    h = 1 * w
    y = function.apply(h)
    print(function.__name__, "y is h =", y is h, "h._version =", h._version)

# %% careless
w.grad = None
h = 1 * w
z = h * h
Careless.apply(h)
z.backward()
print("w.grad =", w.grad)

# %% dirty raises="RuntimeError"
h = 1 * w
z = h * h
Dirty.apply(h)
z.backward()


# %% double
class Cached(Cbrt):
    @staticmethod
    def forward(ctx, x):
        y = torch.from_numpy(np.cbrt(x.detach().numpy()))
        ctx.save_for_backward(1 / (3 * y**2))
        return y

    @staticmethod
    def backward(ctx, grad):
        (slope,) = ctx.saved_tensors
        return grad * slope


def derivatives(function):
    x = torch.tensor([1.0], requires_grad=True)
    loss = function.apply(x) ** 2
    (first,) = torch.autograd.grad(loss, x, create_graph=True)
    first.backward()
    return first.detach(), x.grad


first, second = derivatives(Cbrt)
print("first =", first)
print("second =", second)

# %% double_cached
first, second = derivatives(Cached)
print("first =", first)
print("second =", second)

# %% once raises="RuntimeError"
from torch.autograd.function import once_differentiable


class Once(Cached):
    backward = staticmethod(once_differentiable(Cached.backward))


derivatives(Once)

# %% old_style raises="RuntimeError"
x = torch.tensor([-8.0, 1.0])
torch.func.grad(lambda x: Cbrt.apply(x).sum())(x)


# %% setup_context
class Root(Function):
    @staticmethod
    def forward(x):
        return torch.from_numpy(np.cbrt(x.detach().numpy()))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad / (3 * y**2)


print("grad =", torch.func.grad(lambda x: Root.apply(x).sum())(x))


# %% no_jvp raises="NotImplementedError"
ones = torch.ones(2)
torch.func.jvp(Root.apply, (x,), (ones,))


# %% jvp
class ForwardRoot(Root):
    @staticmethod
    def jvp(ctx, tangent):
        (y,) = ctx.saved_tensors
        return tangent / (3 * y**2)


y, tangent = torch.func.jvp(ForwardRoot.apply, (x,), (ones,))
print("tangent =", tangent)

# %% no_vmap raises="RuntimeError"
torch.vmap(ForwardRoot.apply)(x)


# %% vmap
class BatchRoot(ForwardRoot):
    @staticmethod
    def vmap(info, in_dims, x):
        return BatchRoot.apply(x), in_dims[0]


def root(x):
    return BatchRoot.apply(x)


batch = torch.tensor([[1.0, 8.0], [27.0, 64.0], [-1.0, -8.0]])
print("roots =", torch.vmap(root)(batch))
per_sample = torch.vmap(torch.func.grad(lambda row: root(row).prod()))
print("per_sample(batch) =", per_sample(batch))

# %% check
from torch.autograd import gradcheck, gradgradcheck

x = torch.tensor([-8.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
everything = {"check_forward_ad": True, "check_batched_grad": True}
print("gradcheck =", gradcheck(root, x, **everything))
print("gradgradcheck =", gradgradcheck(root, x))


# %% exercise_1
class Round(Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


x = torch.tensor([0.4, 1.6], requires_grad=True)
y = Round.apply(x)
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)

# %% exercise_2_naive
x = torch.tensor([0.0, 100.0], requires_grad=True)
naive = torch.log1p(torch.exp(x))
print("naive =", naive)
print("grad =", torch.autograd.grad(naive.sum(), x)[0])


# %% exercise_2
class Softplus(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.sigmoid(x)


print("Softplus.apply(x) =", Softplus.apply(x))
per_sample = torch.vmap(torch.func.grad(Softplus.apply))
print("per_sample(x) =", per_sample(x.detach()))


# %% exercise_3
class SortRows(Function):
    @staticmethod
    def forward(x):
        order = torch.from_numpy(np.argsort(x.detach().numpy(), axis=-1))
        return x.gather(-1, order), order

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx, grad, _):
        (order,) = ctx.saved_tensors
        return torch.zeros_like(grad).scatter(-1, order, grad)

    @staticmethod
    def vmap(info, in_dims, x):
        return SortRows.apply(x.movedim(in_dims[0], 0)), (0, 0)


columns = torch.tensor([[3.0, 4.0], [1.0, 6.0], [2.0, 5.0]])
values, order = torch.vmap(SortRows.apply, in_dims=1)(columns)
print("values =", values)
print("order =", order)
