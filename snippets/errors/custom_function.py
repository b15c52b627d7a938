# %% wrong_number_of_gradients raises="RuntimeError"
import torch
from torch.autograd import Function


class Scale(Function):
    @staticmethod
    def forward(ctx, x, k):
        ctx.k = k
        return x * k

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.k


x = torch.tensor([1.0, 2.0], requires_grad=True)
Scale.apply(x, 3.0).sum().backward()


# %% wrong_number_of_gradients_cure
class ScaleCured(Scale):
    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.k, None


x = torch.tensor([1.0, 2.0], requires_grad=True)
ScaleCured.apply(x, 3.0).sum().backward()
print("x.grad =", x.grad)


# %% gradient_wrong_shape raises="RuntimeError"
class Linear(Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w.T

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad @ w, x.T @ grad


x = torch.tensor([[1.0, 2.0, 3.0]])
w = torch.ones(2, 3, requires_grad=True)
Linear.apply(x, w).sum().backward()

# %% gradient_wrong_shape_find
node = Linear.apply(x, w).grad_fn
print("node =", node.name())
print("input 1 =", node.next_functions[1][0].variable)


# %% gradient_wrong_shape_cure
class LinearCured(Linear):
    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad @ w, grad.T @ x


LinearCured.apply(x, w).sum().backward()
print("w.grad =", w.grad)

# %% gradient_wrong_shape_silent
square = torch.ones(3, 3, requires_grad=True)
Linear.apply(x, square).sum().backward()
print("wrong:", square.grad)
square.grad = None
LinearCured.apply(x, square).sum().backward()
print("right:", square.grad)


# %% gradient_wrong_device raises="RuntimeError"
class Double(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return torch.full((3,), 2.0)


# zh: meta 在这里代替 GPU：也是另一个设备
# en: meta stands for the GPU here: it is another device, too
x = torch.ones(3, device="meta", requires_grad=True)
Double.apply(x).sum().backward()


# %% gradient_wrong_device_cure
class DoubleCured(Double):
    @staticmethod
    def backward(ctx, grad):
        return grad * 2


x = torch.ones(3, device="meta", requires_grad=True)
DoubleCured.apply(x).sum().backward()
print("x.grad.device =", x.grad.device)
x = torch.ones(3, requires_grad=True)
DoubleCured.apply(x).sum().backward()
print("x.grad =", x.grad)


# %% gradient_complex raises="RuntimeError"
class LowPass(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.keep = torch.tensor([1.0, 1.0, 0.0, 1.0])
        return torch.fft.ifft(torch.fft.fft(x) * ctx.keep).real

    @staticmethod
    def backward(ctx, grad):
        return torch.fft.ifft(torch.fft.fft(grad) * ctx.keep)


x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
LowPass.apply(x)[0].backward()


# %% gradient_complex_cure
class LowPassCured(LowPass):
    @staticmethod
    def backward(ctx, grad):
        return torch.fft.ifft(torch.fft.fft(grad) * ctx.keep).real


LowPassCured.apply(x)[0].backward()
print("x.grad =", x.grad)

# %% gradient_not_a_tensor raises="RuntimeError"
import numpy as np


class Sin(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.cos = np.cos(x.numpy())
        return torch.from_numpy(np.sin(x.numpy()))

    @staticmethod
    def backward(ctx, grad):
        return grad.numpy() * ctx.cos


x = torch.tensor([0.0, 1.0], requires_grad=True)
Sin.apply(x).sum().backward()

# %% gradient_not_a_tensor_cure
from torch.autograd.function import once_differentiable


class SinCured(Sin):
    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return torch.from_numpy(grad.numpy() * ctx.cos)


x = torch.tensor([0.0, 1.0], requires_grad=True)
SinCured.apply(x).sum().backward()
print("x.grad =", x.grad)


# %% legacy_function raises="RuntimeError"
class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


x = torch.tensor(3.0, requires_grad=True)
square = Square()
y = square(x)

# %% legacy_function_cure
square = Square.apply
y = square(x)
y.backward()
print("x.grad =", x.grad)


# %% legacy_function_cure_2
class SquareLayer(torch.nn.Module):
    def forward(self, x):
        return Square.apply(x)


x = torch.tensor(3.0, requires_grad=True)
square = SquareLayer()
square(x).backward()
print("x.grad =", x.grad)

# %% function_instantiated
y = Square(x)
print("y is a tensor:", isinstance(y, torch.Tensor))

# %% function_instantiated_cure
y = Square.apply(x)
print("y =", y)


# %% forward_without_ctx raises="TypeError"
class Triple(Function):
    @staticmethod
    def forward(x):
        return x * 3

    @staticmethod
    def backward(ctx, grad):
        return grad * 3


x = torch.tensor(1.0, requires_grad=True)
Triple.apply(x)


# %% forward_without_ctx_cure
class TripleCured(Triple):
    @staticmethod
    def forward(ctx, x):
        return x * 3


TripleCured.apply(x).backward()
print("x.grad =", x.grad)


# %% forward_without_ctx_cure_2
class TripleSplit(Triple):
    @staticmethod
    def setup_context(ctx, inputs, output):
        pass


x.grad = None
TripleSplit.apply(x).backward()
print("x.grad =", x.grad)


# %% backward_argument_count raises="TypeError"
class Powers(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2, x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


x = torch.tensor(2.0, requires_grad=True)
square, cube = Powers.apply(x)
square.backward()


# %% backward_argument_count_cure
class PowersCured(Powers):
    @staticmethod
    def backward(ctx, grad_square, grad_cube):
        (x,) = ctx.saved_tensors
        return 2 * x * grad_square + 3 * x**2 * grad_cube


square, cube = PowersCured.apply(x)
(square + cube).backward()
print("x.grad =", x.grad)


# %% backward_not_implemented raises="NotImplementedError"
class Round(Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()


x = torch.tensor([0.4, 1.6], requires_grad=True)
Round.apply(x).sum().backward()


# %% backward_not_implemented_cure
class RoundCured(Round):
    # zh: 直通估计：反向时当作恒等函数
    # en: straight-through: the identity in the backward pass
    @staticmethod
    def backward(ctx, grad):
        return grad


RoundCured.apply(x).sum().backward()
print("x.grad =", x.grad)


# %% save_non_tensor raises="TypeError"
class Power(Function):
    @staticmethod
    def forward(ctx, x, n):
        ctx.save_for_backward(x, n)
        return x**n

    @staticmethod
    def backward(ctx, grad):
        x, n = ctx.saved_tensors
        return n * x ** (n - 1) * grad, None


x = torch.tensor(2.0, requires_grad=True)
Power.apply(x, 3)


# %% save_non_tensor_cure
class PowerCured(Function):
    @staticmethod
    def forward(ctx, x, n):
        ctx.save_for_backward(x)
        ctx.n = n
        return x**n

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return ctx.n * x ** (ctx.n - 1) * grad, None


PowerCured.apply(x, 3).backward()
print("x.grad =", x.grad)


# %% save_non_tensor_wrong
class PowerUnsafe(Function):
    @staticmethod
    def forward(ctx, x, n):
        ctx.x, ctx.n = x, n
        return x**n

    @staticmethod
    def backward(ctx, grad):
        return ctx.n * ctx.x ** (ctx.n - 1) * grad, None


x = torch.tensor(2.0, requires_grad=True)
h = x * 1
y = PowerUnsafe.apply(h, 3)
h += 10
y.backward()
print("x.grad =", x.grad)


# %% nothing_saved raises="ValueError"
class Product(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a)
        ctx.save_for_backward(b)
        return a * b

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        return grad * b, grad * a


a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(5.0, requires_grad=True)
Product.apply(a, b).backward()


# %% nothing_saved_cure
class ProductCured(Product):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b


ProductCured.apply(a, b).backward()
print("a.grad =", a.grad, " b.grad =", b.grad)


# %% saved_tensors_tuple raises="AttributeError"
class Sine(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, grad):
        x = ctx.saved_tensors
        return grad * x.cos()


x = torch.tensor(0.0, requires_grad=True)
Sine.apply(x).backward()


# %% saved_tensors_tuple_cure
class SineCured(Sine):
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.cos()


SineCured.apply(x).backward()
print("x.grad =", x.grad)


# %% ctx_attribute_missing raises="AttributeError"
class Clip(Function):
    @staticmethod
    def forward(ctx, x, limit):
        ctx.save_for_backward(x)
        return x.clamp(max=limit)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x <= ctx.limit), None


x = torch.tensor([1.0, 5.0], requires_grad=True)
Clip.apply(x, 2.0).sum().backward()


# %% ctx_attribute_missing_cure
class ClipCured(Clip):
    @staticmethod
    def forward(ctx, x, limit):
        ctx.save_for_backward(x)
        ctx.limit = limit
        return x.clamp(max=limit)


ClipCured.apply(x, 2.0).sum().backward()
print("x.grad =", x.grad)


# %% once_differentiable raises="RuntimeError"
class SquareOnce(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


x = torch.tensor(3.0, requires_grad=True)
y = SquareOnce.apply(x) ** 2
(g,) = torch.autograd.grad(y, x, create_graph=True)
g.backward()


# %% once_differentiable_cure
class SquareTwice(SquareOnce):
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


x = torch.tensor(3.0, requires_grad=True)
y = SquareTwice.apply(x) ** 2
(g,) = torch.autograd.grad(y, x, create_graph=True)
g.backward()
print("g =", g)
print("x.grad =", x.grad)


# %% once_differentiable_wrong
class SquareDetached(SquareOnce):
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x.detach() * grad


x = torch.tensor(3.0, requires_grad=True)
y = SquareDetached.apply(x) ** 2
(g,) = torch.autograd.grad(y, x, create_graph=True)
g.backward()
print("g =", g)
print("x.grad =", x.grad)


# %% second_derivative_wrong
class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        square = x * x
        ctx.save_for_backward(square)
        return square * x

    @staticmethod
    def backward(ctx, grad):
        (square,) = ctx.saved_tensors
        return 3 * square * grad


x = torch.tensor(2.0, requires_grad=True)
y = Cube.apply(x) ** 2
(g,) = torch.autograd.grad(y, x, create_graph=True)
print("g =", g)
g.backward()
print("x.grad =", x.grad)

# %% second_derivative_wrong_find
from torch.autograd import gradcheck, gradgradcheck

point = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
print("gradcheck:", gradcheck(Cube.apply, point))
print("gradgradcheck:", gradgradcheck(Cube.apply, point, raise_exception=False))


# %% second_derivative_wrong_cure
class CubeCured(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x * x * grad


x = torch.tensor(2.0, requires_grad=True)
y = CubeCured.apply(x) ** 2
(g,) = torch.autograd.grad(y, x, create_graph=True)
g.backward()
print("x.grad =", x.grad)
print("gradgradcheck:", gradgradcheck(CubeCured.apply, point))


# %% dirty_not_returned raises="RuntimeError"
class TripleInPlace(Function):
    @staticmethod
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * 3


x = torch.tensor(2.0, requires_grad=True)
h = x * 1
TripleInPlace.apply(h)


# %% dirty_not_returned_cure
class TripleInPlaceCured(TripleInPlace):
    @staticmethod
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x


h = x * 1
TripleInPlaceCured.apply(h)
h.backward()
print("h =", h)
print("x.grad =", x.grad)


# %% dirty_not_returned_wrong
class TripleUnmarked(TripleInPlace):
    @staticmethod
    def forward(ctx, x):
        x.mul_(3)
        return x.clone()


x = torch.tensor(2.0, requires_grad=True)
h = x * 1
TripleUnmarked.apply(h)
h.backward()
print("h =", h)
print("x.grad =", x.grad)


# %% dirty_leaf raises="RuntimeError"
class HalveInPlace(Function):
    @staticmethod
    def forward(ctx, x):
        x.div_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


w = torch.tensor(8.0, requires_grad=True)
HalveInPlace.apply(w)

# %% dirty_leaf_find
print("w =", w)

# %% dirty_leaf_cure
w = torch.tensor(8.0, requires_grad=True)
y = HalveInPlace.apply(w.clone())
y.backward()
print("w =", w)
print("w.grad =", w.grad)


# %% view_from_function raises="RuntimeError"
class ReverseGradient(Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, grad):
        return -grad


x = torch.tensor([1.0, -2.0], requires_grad=True)
y = ReverseGradient.apply(x * 1)
y.relu_()

# %% view_from_function_cure
y = ReverseGradient.apply(x * 1)
y.relu().sum().backward()
print("x.grad =", x.grad)


# %% view_from_function_cure_2
class ReverseGradientCopy(ReverseGradient):
    @staticmethod
    def forward(ctx, x):
        return x.clone()


x.grad = None
y = ReverseGradientCopy.apply(x * 1)
y.relu_()
y.sum().backward()
print("x.grad =", x.grad)


# %% tensors_in_a_list
class Halves(Function):
    @staticmethod
    def forward(ctx, x):
        return [x[:1] * 2, x[1:] * 3]

    @staticmethod
    def backward(ctx, grad_first, grad_second):
        return torch.cat([grad_first * 2, grad_second * 3])


x = torch.tensor([1.0, 1.0], requires_grad=True)
first, second = Halves.apply(x)
print("first.requires_grad =", first.requires_grad)


# %% tensors_in_a_list_cure
class HalvesCured(Halves):
    @staticmethod
    def forward(ctx, x):
        return x[:1] * 2, x[1:] * 3


first, second = HalvesCured.apply(x)
(first + second).backward()
print("x.grad =", x.grad)


# %% tensors_in_a_list_cure_2
class Total(Function):
    @staticmethod
    def forward(ctx, *tensors):
        ctx.n = len(tensors)
        return sum(tensors)

    @staticmethod
    def backward(ctx, grad):
        return (grad,) * ctx.n


layers = [torch.ones(2, requires_grad=True) for _ in range(2)]
Total.apply(*layers).sum().backward()
print("layers[1].grad =", layers[1].grad)


# %% none_gradient raises="TypeError"
class PowersLean(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x**2, x**3

    @staticmethod
    def backward(ctx, grad_square, grad_cube):
        (x,) = ctx.saved_tensors
        return 2 * x * grad_square + 3 * x**2 * grad_cube


x = torch.tensor(2.0, requires_grad=True)
square, cube = PowersLean.apply(x)
square.backward()


# %% none_gradient_cure
class PowersLeanCured(PowersLean):
    @staticmethod
    def backward(ctx, grad_square, grad_cube):
        (x,) = ctx.saved_tensors
        result = None
        if grad_square is not None:
            result = 2 * x * grad_square
        if grad_cube is not None:
            part = 3 * x**2 * grad_cube
            result = part if result is None else result + part
        return result


square, cube = PowersLeanCured.apply(x)
square.backward()
print("x.grad =", x.grad)


# %% ctx_and_setup_context raises="TypeError"
class Negate(Function):
    @staticmethod
    def forward(ctx, x):
        return -x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return -grad


x = torch.tensor(1.0, requires_grad=True)
Negate.apply(x)


# %% ctx_and_setup_context_cure
class NegateCured(Negate):
    @staticmethod
    def forward(x):
        return -x


NegateCured.apply(x).backward()
print("x.grad =", x.grad)


# %% functorch_setup_context raises="RuntimeError"
class SquareCombined(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


x = torch.tensor(3.0)
torch.func.grad(SquareCombined.apply)(x)


# %% functorch_setup_context_cure
class SquareSplit(Function):
    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


print("grad =", torch.func.grad(SquareSplit.apply)(x))

# %% no_vmap_rule raises="RuntimeError"
batch = torch.tensor([1.0, 2.0, 3.0])
torch.vmap(torch.func.grad(SquareSplit.apply))(batch)


# %% no_vmap_rule_cure
class SquareBatched(SquareSplit):
    generate_vmap_rule = True


print("grads =", torch.vmap(torch.func.grad(SquareBatched.apply))(batch))


# %% no_vmap_rule_cure_2
class SquareByHand(SquareSplit):
    @staticmethod
    def vmap(info, in_dims, x):
        return SquareByHand.apply(x), in_dims[0]


print("grads =", torch.vmap(torch.func.grad(SquareByHand.apply))(batch))

# %% no_jvp_rule raises="NotImplementedError"
x, v = torch.tensor(3.0), torch.tensor(1.0)
torch.func.jvp(SquareSplit.apply, (x,), (v,))


# %% no_jvp_rule_cure
class SquareForward(SquareSplit):
    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def jvp(ctx, v):
        (x,) = ctx.saved_tensors
        return 2 * x * v


print("jvp =", torch.func.jvp(SquareForward.apply, (x,), (v,)))

# %% no_jvp_rule_cure_2
print("jacrev =", torch.func.jacrev(SquareSplit.apply)(x))


# %% autocast_dtype raises="RuntimeError"
class Multiply(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        return grad @ b.T, a.T @ grad


a = torch.tensor([[1.0, 2.0]], requires_grad=True)
b = torch.tensor([[3.0], [4.0]], requires_grad=True)
with torch.autocast("cpu", dtype=torch.bfloat16):
    y = Multiply.apply(a, b)
y.sum().backward()

# %% autocast_dtype_find
print("saved:", [saved.dtype for saved in y.grad_fn.saved_tensors])
print("output, and so grad:", y.dtype)


# %% autocast_dtype_cure
class MultiplyAmp(Multiply):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(ctx, a, b):
        return Multiply.forward(ctx, a, b)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad):
        return Multiply.backward(ctx, grad)


with torch.autocast("cpu", dtype=torch.bfloat16):
    y = MultiplyAmp.apply(a, b)
y.sum().backward()
print("a.grad =", a.grad)


# %% autocast_dtype_cure_2
class MultiplyFloat(Multiply):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, a, b):
        return Multiply.forward(ctx, a, b)


a.grad = None
with torch.autocast("cpu", dtype=torch.bfloat16):
    y = MultiplyFloat.apply(a, b)
y.sum().backward()
print("y.dtype =", y.dtype)
print("a.grad =", a.grad)
