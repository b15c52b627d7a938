# %% integers raises="RuntimeError"
import torch

x = torch.tensor([1, 2, 3], requires_grad=True)

# %% table
print("dtype             floating  complex  can require grad")
for dtype in (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.complex128,
    torch.complex64,
    torch.int64,
    torch.uint8,
    torch.bool,
):
    try:
        torch.zeros(1, dtype=dtype, requires_grad=True)
        can = True
    except RuntimeError:
        can = False
    print(f"{dtype!s:17} {dtype.is_floating_point!s:9} {dtype.is_complex!s:8} {can}")

# %% cut
x = torch.tensor([1.0, 2.5], requires_grad=True)
n = x.long()
print("n =", n)
print("n.requires_grad =", n.requires_grad)
print("n.float().requires_grad =", n.float().requires_grad)

# %% own_dtype
w = torch.tensor([2.0], dtype=torch.float16, requires_grad=True)
x = torch.tensor([3.0], dtype=torch.float64)
y = w * x
y.backward()
print("y.dtype =", y.dtype)
print("w.grad.dtype =", w.grad.dtype)

# %% target_dtype raises="RuntimeError"
prediction = torch.tensor([0.3, 0.7], requires_grad=True)
target = torch.tensor([0.0, 1.0], dtype=torch.float64)
loss = torch.nn.functional.huber_loss(prediction, target)
print("loss.dtype =", loss.dtype)
loss.backward()

# %% cast
w = torch.tensor(2.0, requires_grad=True)
h = w.bfloat16()
print("h.grad_fn =", h.grad_fn)
y = (h * 3).float()
y.backward()
print("w.grad =", w.grad)

# %% picture
from gradgraph import record

w = torch.tensor(2.0, requires_grad=True)
record((w.bfloat16() * 3).float(), w=w)

# %% differences
import matplotlib.pyplot as plt

steps = torch.logspace(-10, -1, 91, dtype=torch.float64)
true = torch.cos(torch.tensor(1.0, dtype=torch.float64))
for dtype, style in ((torch.float32, "--"), (torch.float64, "-")):
    x, step = torch.ones(1, dtype=dtype), steps.to(dtype)
    estimate = (torch.sin(x + step) - torch.sin(x - step)) / (2 * step)
    plt.loglog(steps, (estimate - true).abs(), style, label=str(dtype))
plt.axvline(1e-6, color="gray", linewidth=1, linestyle=":")
plt.text(1.3e-6, 0.2, "gradcheck's step")
plt.xlabel("step")
plt.ylabel("error")
plt.figlegend(loc="outside upper center", ncols=2)
plt.show()

# %% gradcheck_float32 raises="GradcheckError"
x = torch.tensor([1.0], requires_grad=True)
torch.autograd.gradcheck(torch.sin, x)

# %% gradcheck
x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
print("gradcheck =", torch.autograd.gradcheck(torch.sin, x))

# %% autocast
torch.manual_seed(0)
layer = torch.nn.Linear(2, 1)
with torch.autocast("cpu", dtype=torch.bfloat16):
    y = layer(torch.ones(1, 2))
y.float().sum().backward()
print("layer.weight.dtype =", layer.weight.dtype)
print("y.dtype =", y.dtype)
print("layer.weight.grad.dtype =", layer.weight.grad.dtype)

# %% underflow
w = torch.tensor(1.0, requires_grad=True)
loss = w.half().float() * 1e-8
loss.backward()
print("w.grad =", w.grad)

half = torch.finfo(torch.float16)
print("half.smallest_normal * half.eps =", half.smallest_normal * half.eps)

# %% scaled
w.grad = None
loss = w.half().float() * 1e-8
(loss * 65536).backward()
print("w.grad / 65536 =", w.grad / 65536)

# %% overflow
x = torch.tensor(300.0, requires_grad=True)
y = x.half().square().float()
print("y =", y)
print("torch.tensor(1e-8).half() =", torch.tensor(1e-8).half())

# %% eps
for dtype in torch.float32, torch.float16:
    h = torch.zeros(2, dtype=dtype, requires_grad=True)
    share = h / (h.abs().sum() + 1e-8)
    share.sum().backward()
    print("h.grad =", h.grad)

# %% ones
p = torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True)
for _ in range(300):
    (p * 1).backward()
print("p.grad =", p.grad)

# %% grad_dtype
p = torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True)
p.grad_dtype = torch.float32
for _ in range(300):
    (p * 1).backward()
print("p.grad =", p.grad)

# %% assign raises="RuntimeError"
p = torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True)
p.grad = torch.tensor(1.0)

# %% complex_grad
z = torch.tensor(3.0 + 4.0j, requires_grad=True)
L = z.abs() ** 2
L.backward()
print("z.grad =", z.grad)

# %% two_reals
x = torch.tensor(3.0, requires_grad=True)
y = torch.tensor(4.0, requires_grad=True)
(x**2 + y**2).backward()
print("torch.complex(x.grad, y.grad) =", torch.complex(x.grad, y.grad))

# %% descent
target = 1.0 - 1.0j
z = torch.tensor(3.0 + 4.0j, requires_grad=True)
for step in range(41):
    z.grad = None
    loss = (z - target).abs() ** 2
    loss.backward()
    if step % 10 == 0:
        print(f"{step:2}  loss {loss.item():.1e}  z {z.detach():.3f}")
    with torch.no_grad():
        z -= 0.1 * z.grad

# %% complex_result raises="RuntimeError"
z = torch.tensor(3.0 + 4.0j, requires_grad=True)
f = z**2
f.backward()

# %% holomorphic
f.backward(torch.tensor(1.0 + 0.0j))
print("z.grad =", z.grad)
print("2 * z =", 2 * z.detach())

# %% complex_to_real
z = torch.tensor(3.0 + 4.0j, requires_grad=True)
z.float().backward()
print("z.grad =", z.grad)

# %% fft
x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
power = torch.fft.fft(x).abs().square().sum()
power.backward()
print("x.grad.dtype =", x.grad.dtype)
print("torch.allclose(x.grad, 8 * x) =", torch.allclose(x.grad, 8 * x))

# %% exercise_1
w = torch.tensor(2.0, requires_grad=True)
a, b = w.half(), w.double()
a.retain_grad()
b.retain_grad()
(a * b).backward()
print("a.grad.dtype =", a.grad.dtype)
print("b.grad.dtype =", b.grad.dtype)
print("w.grad.dtype =", w.grad.dtype)

# %% exercise_2
z = torch.tensor(3.0 + 4.0j, requires_grad=True)
(z**2).real.backward()
print("z.grad =", z.grad)

# %% exercise_3
x = torch.tensor(2.0, requires_grad=True)
z = x * (1.0 + 1.0j)
z.retain_grad()
(z.abs() ** 2).backward()
print("z.grad =", z.grad)
print("x.grad =", x.grad)
