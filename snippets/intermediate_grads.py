# %% network
import torch

x = torch.tensor([2.0, 4.0])
w = torch.tensor([3.0, -1.0], requires_grad=True)
v = torch.tensor([1.0, 5.0], requires_grad=True)


def network(w, v):
    h = w * x
    r = h.relu()
    return h, r, (r * v).sum()


h, r, loss = network(w, v)
loss.backward()
print("w.grad =", w.grad)

# %% not_stored
print("h.grad =", h.grad)

# %% retain_grad
h, r, loss = network(w, v)
r.retain_grad()
h.retain_grad()
loss.backward()
print("r.grad =", r.grad)
print("h.grad =", h.grad)

# %% picture
from gradgraph import record

w.grad = v.grad = None
h, r, loss = network(w, v)
record(loss, x=x, w=w, v=v, h=h, r=r)

# %% too_late
h, r, loss = network(w, v)
loss.backward()
h.retain_grad()
print("h.grad =", h.grad)

# %% no_gradient_to_retain raises="RuntimeError"
x.retain_grad()

# %% grad
w.grad = v.grad = None
h, r, loss = network(w, v)
to_h, to_w = torch.autograd.grad(loss, [h, w])
print("to_h =", to_h)
print("to_w =", to_w)
print("w.grad =", w.grad)

# %% retained
h, r, loss = network(w, v)
h.retain_grad()
(to_w,) = torch.autograd.grad(loss, w)
print("w.grad =", w.grad)
print("h.grad =", h.grad)

# %% off_the_path
h, r, loss = network(w, v)
h.retain_grad()
(to_v,) = torch.autograd.grad(loss, v)
print("to_v =", to_v)
print("h.grad =", h.grad)

# %% inputs
h, r, loss = network(w, v)
loss.backward(inputs=[v])
print("w.grad =", w.grad)
print("v.grad =", v.grad)

# %% inputs_non_leaf
h, r, loss = network(w, v)
loss.backward(inputs=[h])
print("h.grad =", h.grad)
print("h.retains_grad =", h.retains_grad)

# %% who_writes
calls = {
    "loss.backward()": lambda: loss.backward(),
    "loss.backward(inputs=[v])": lambda: loss.backward(inputs=[v]),
    "loss.backward(inputs=[w])": lambda: loss.backward(inputs=[w]),
    "torch.autograd.grad(loss, v)": lambda: torch.autograd.grad(loss, v),
    "torch.autograd.grad(loss, w)": lambda: torch.autograd.grad(loss, w),
}
for name, call in calls.items():
    w.grad = v.grad = None
    h, r, loss = network(w, v)
    h.retain_grad()
    call()
    tensors = {"w": w, "v": v, "h": h}
    print(f"{name:28} fills", [n for n, t in tensors.items() if t.grad is not None])

# %% unused raises="RuntimeError"
spare = torch.tensor([1.0], requires_grad=True)
h, r, loss = network(w, v)
torch.autograd.grad(loss, [w, spare])

# %% allow_unused
h, r, loss = network(w, v)
to_w, to_spare = torch.autograd.grad(loss, [w, spare], allow_unused=True)
print("to_w =", to_w)
print("to_spare =", to_spare)

# %% materialize
h, r, loss = network(w, v)
to_w, to_spare = torch.autograd.grad(loss, [w, spare], materialize_grads=True)
print("to_spare =", to_spare)

# %% silent
h, r, loss = network(w, v)
loss.backward(inputs=[spare])
print("spare.grad =", spare.grad)

# %% slice raises="RuntimeError"
h, r, loss = network(w, v)
torch.autograd.grad(loss, w[0])

# %% slice_afterwards
h, r, loss = network(w, v)
(to_w,) = torch.autograd.grad(loss, w)
print("to_w[0] =", to_w[0])

# %% no_gradient_wanted raises="RuntimeError"
h, r, loss = network(w, v)
torch.autograd.grad(loss, x)

# %% several_outputs
h, r, loss = network(w, v)
penalty = (w**2).sum()
(to_w,) = torch.autograd.grad([loss, penalty], w)
print("to_w =", to_w)

# %% weighted_outputs
h, r, loss = network(w, v)
penalty = (w**2).sum()
weights = [torch.tensor(1.0), torch.tensor(0.1)]
(to_w,) = torch.autograd.grad([loss, penalty], w, grad_outputs=weights)
print("to_w =", to_w)

# %% exercise_1
layers = [torch.tensor(0.0, requires_grad=True)]
for _ in range(5):
    layers.append(layers[-1].sigmoid())

for depth, gradient in enumerate(torch.autograd.grad(layers[-1], layers)):
    print(f"gradient at layer {depth} = {gradient:.6f}")

# %% exercise_2
h, r, loss = network(w, v)
(to_h,) = torch.autograd.grad(loss, h)
(to_w,) = torch.autograd.grad(h, w, to_h)
print("to_w =", to_w)

# %% exercise_3
a, b, c, d = torch.ones(4).requires_grad_().unbind()
s = a * 0 + (b - 2).relu() + c.detach() + 1
for name, gradient in zip(
    "abcd", torch.autograd.grad(s, [a, b, c, d], allow_unused=True), strict=True
):
    print(f"to_{name} =", gradient)
