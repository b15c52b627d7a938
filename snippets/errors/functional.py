# %% vmap_in_place raises="RuntimeError"
import torch
from torch.func import vmap

batch = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def swap(row):
    out = torch.zeros(2)
    out[0], out[1] = row[1], row[0]
    return out


vmap(swap)(batch)


# %% vmap_in_place_2 raises="RuntimeError"
def add_up(row):
    total = torch.zeros(())
    for value in row:
        total += value
    return total


vmap(add_up)(batch)


# %% vmap_in_place_cure
def swap(row):
    out = torch.zeros_like(row)
    out[0], out[1] = row[1], row[0]
    return out


print("swapped =", vmap(swap)(batch).tolist())


# %% vmap_in_place_cure_2
def swap(row):
    return torch.stack([row[1], row[0]])


print("swapped =", vmap(swap)(batch).tolist())

# %% captured_mutation raises="RuntimeError"
from torch.func import grad

seen = torch.zeros(2)


def loss(w):
    seen.add_(w)
    return (w * w).sum()


w = torch.tensor([1.0, 2.0])
grad(loss)(w)


# %% captured_mutation_cure
def loss(w, seen):
    return (w * w).sum(), seen + w


gradient, seen = grad(loss, has_aux=True)(w, torch.zeros(2))
print("gradient =", gradient)
print("seen =", seen)

# %% captured_mutation_cure_2
from torch import nn
from torch.func import functional_call

norm = nn.BatchNorm1d(2)
params = dict(norm.named_parameters())
buffers = dict(norm.named_buffers())


def loss(params, buffers, x):
    new = {name: buffer.clone() for name, buffer in buffers.items()}
    out = functional_call(norm, (params, new), (x,))
    return out.sum(), new


gradient, buffers = grad(loss, has_aux=True)(params, buffers, batch)
print("gradient['bias'] =", gradient["bias"].detach())
print("running_mean =", buffers["running_mean"])


# %% vmap_control_flow raises="RuntimeError"
def flip(row):
    return row if row.sum() > 4 else -row


vmap(flip)(batch)


# %% vmap_control_flow_cure
def flip(row):
    return torch.where(row.sum() > 4, row, -row)


print("flipped =", vmap(flip)(batch).tolist())
gradients = vmap(grad(lambda row: flip(row).sum()))(batch)
print("gradients =", gradients.tolist())


# %% vmap_control_flow_cure_2
def flip(row):
    return row if row.sum() > 4 else -row


print("gradient =", grad(lambda row: flip(row).sum())(batch[0]))


# %% vmap_item raises="RuntimeError"
def scale(row):
    return row / row.max().item()


vmap(scale)(batch)


# %% vmap_item_cure
def scale(row):
    return row / row.max()


print("scaled =", vmap(scale)(batch[:2]).tolist())

# %% vmap_item_cure_2
lengths = torch.tensor([1, 2, 0])


def first(row, n):
    # zh: 代替 row[:n].sum()
    # en: instead of row[:n].sum()
    return torch.where(torch.arange(2) < n, row, 0).sum()


print("sums =", vmap(first)(batch, lengths))


# %% vmap_boolean_mask raises="RuntimeError"
def large(row):
    return row[row > 2].sum()


vmap(large)(batch)


# %% vmap_boolean_mask_cure
def large(row):
    return torch.where(row > 2, row, 0).sum()


print("sums =", vmap(large)(batch))
print("gradients =", vmap(grad(large))(batch).tolist())


# %% vmap_boolean_mask_cure_2
def large_mean(row):
    keep = row > 2
    return torch.where(keep, row, 0).sum() / keep.sum().clamp(min=1)


print("means =", vmap(large_mean)(batch))

# %% vmap_randomness raises="RuntimeError"
from torch.nn import functional as F

vmap(F.dropout)(batch)

# %% vmap_randomness_cure
torch.manual_seed(0)
for randomness in ("same", "different"):
    noise = vmap(lambda row: torch.rand(2), randomness=randomness)(batch)
    print(f"{randomness:9} rows equal = {torch.equal(noise[0], noise[1])}")

# %% vmap_randomness_cure_2
torch.manual_seed(0)
noise = torch.rand(3, 2)
noisy = vmap(lambda row, noise: row + noise)(batch, noise)
print("noise added =", torch.equal(noisy, batch + noise))

# %% vmap_randomness_cure_3
from torch.func import hessian

model = nn.Sequential(nn.Dropout(), nn.Softplus()).eval()
print("hessian =", hessian(lambda x: model(x).sum())(torch.zeros(2)).tolist())

# %% batching_rule raises="RuntimeError"
torch.manual_seed(0)
lstm = nn.LSTM(2, 3, batch_first=True)
sequences = torch.randn(4, 5, 2)
vmap(lstm)(sequences)

# %% batching_rule_cure
out, _ = lstm(sequences)
print("out.shape =", out.shape)

# %% batching_rule_cure_2
rows = torch.stack([lstm(sequence)[0] for sequence in sequences])
print("same =", torch.allclose(rows, out, atol=1e-6))

# %% vmap_batch_size raises="ValueError"
weight = torch.tensor([1.0, 10.0])
vmap(torch.dot)(batch, weight)

# %% vmap_batch_size_cure
print("products =", vmap(torch.dot, in_dims=(0, None))(batch, weight))

# %% vmap_batch_size_cure_2
print("products =", vmap(torch.dot, in_dims=(1, None))(batch.T, weight))


# %% vmap_non_tensor raises="ValueError"
def power(row, exponent):
    return row**exponent


vmap(power)(batch, 2)

# %% vmap_non_tensor_cure
print("squares =", vmap(power, in_dims=(0, None))(batch, 2).tolist())

# %% vmap_non_tensor_cure_2
print("squares =", vmap(lambda row: power(row, 2))(batch).tolist())

# %% func_grad_scalar raises="RuntimeError"
x = torch.tensor([0.0, 1.0])
grad(torch.sin)(x)

# %% func_grad_scalar_cure
print("gradient =", grad(lambda x: torch.sin(x).sum())(x))

# %% func_grad_scalar_cure_2
from torch.func import jacrev

print("derivatives =", vmap(grad(torch.sin))(x))
print("diagonal =", jacrev(torch.sin)(x).diagonal())


# %% func_grad_tensor raises="RuntimeError"
def loss(w):
    return (w * w).sum().item()


grad(loss)(w)


# %% func_grad_tensor_cure
def loss(w):
    return (w * w).sum()


print("gradient =", grad(loss)(w))


# %% func_grad_tensor_cure_2
def loss(w):
    out = w * w
    return out.sum(), out


gradient, out = grad(loss, has_aux=True)(w)
print("gradient =", gradient)
print("out =", out)


# %% requires_grad_inside raises="RuntimeError"
def loss(w):
    w.requires_grad_()
    return (w * w).sum()


grad(loss)(w)


# %% requires_grad_inside_cure
def loss(w):
    return (w * w).sum()


print("gradient =", grad(loss)(w))


# %% requires_grad_inside_cure_2
def energy(x):
    return (x**3).sum()


print("hessian =", vmap(hessian(energy))(batch)[0].tolist())


# %% backward_inside raises="RuntimeError"
def slope(x):
    energy(x).backward()
    return x.grad.sum()


grad(slope)(w)


# %% backward_inside_cure
def slope(x):
    return grad(energy)(x).sum()


print("gradient =", grad(slope)(w))


# %% backward_inside_wrong
def slope(x):
    (g,) = torch.autograd.grad(energy(x), x)
    return g.sum()


print("gradient =", grad(slope)(w))


# %% backward_inside_cure_2
def slope(x):
    (g,) = torch.autograd.grad(energy(x), x, create_graph=True)
    return g.sum()


print("gradient =", grad(slope)(w))

# %% functional_call_keys raises="RuntimeError"
torch.manual_seed(0)
layer = nn.Linear(2, 1, bias=False)
params = {"wieght": torch.tensor([[1.0, 10.0]])}
functional_call(layer, params, (batch,), strict=True)


# %% functional_call_keys_find
def loss(params):
    return functional_call(layer, params, (batch,)).sum()


print("gradient =", grad(loss)(params))

# %% functional_call_keys_find_2
params = dict(layer.named_parameters())
print("gradient =", grad(lambda params: layer(batch).sum())(params))

# %% functional_call_keys_cure
params = {name: p.detach() for name, p in layer.named_parameters()}
print("gradient =", grad(loss)(params))

# %% vmap_batch_norm raises="RuntimeError"
norm = nn.BatchNorm1d(2)
groups = torch.stack([batch, 10 * batch])
vmap(norm)(groups)

# %% vmap_batch_norm_cure
norm.eval()
same = torch.allclose(vmap(norm)(groups)[1], norm(groups[1]))
print("same =", same)

# %% vmap_batch_norm_cure_2
from torch.func import replace_all_batch_norm_modules_

net = nn.Sequential(nn.BatchNorm1d(2))
replace_all_batch_norm_modules_(net)
out = vmap(net)(groups)
print("running_mean =", net[0].running_mean)
print("means per group =", out.mean(dim=1).abs().round(decimals=4).tolist())

# %% jvp_structure raises="RuntimeError"
from torch.func import jvp

a, b = torch.tensor(2.0), torch.tensor(3.0)
jvp(torch.mul, (a, b), (torch.tensor(1.0),))

# %% jvp_structure_cure
tangents = (torch.tensor(1.0), torch.tensor(0.0))
product, change = jvp(torch.mul, (a, b), tangents)
print("change =", change)

# %% jvp_structure_cure_2
product, change = jvp(lambda a: a * b, (a,), (torch.tensor(1.0),))
print("change =", change)

# %% func_integer raises="RuntimeError"
jacrev(torch.square)(torch.tensor([1, 2]))

# %% func_integer_cure
print("jacobian =", jacrev(torch.square)(torch.tensor([1, 2]).double()).tolist())


# %% func_integer_cure_2
def pick(index, w):
    return w[index] ** 2


print("gradient =", grad(pick, argnums=1)(torch.tensor(1), w))


# %% argnum_range raises="RuntimeError"
def loss(w, x):
    return (w * x).sum()


grad(loss, argnums=1)(w, x=x)

# %% argnum_range_cure
print("gradient =", grad(loss, argnums=1)(w, x))

# %% argnum_range_cure_2
print("gradient =", grad(lambda x: loss(w, x=x))(x))

# %% escaped_from_vmap raises="RuntimeError"
kept = []


def double(row):
    kept.append(2 * row)
    return row.sum()


vmap(double)(batch)
kept[0].sum()


# %% escaped_from_vmap_cure
def double(row):
    return row.sum(), 2 * row


sums, doubled = vmap(double)(batch)
print("doubled =", doubled.tolist())

# %% escaped_from_vmap_cure_2
kept.clear()


def loss(w):
    out = w * w
    kept.append(out)
    return out.sum()


w = torch.tensor([1.0, 2.0], requires_grad=True)
grad(loss)(w)
print("escaped =", kept[0])
kept[0].sum().backward()
print("w.grad =", w.grad)

# %% func_leaves_grad
torch.manual_seed(0)
layer = nn.Linear(2, 1, bias=False)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
before = layer.weight.detach().clone()
params = {name: p.detach().clone() for name, p in layer.named_parameters()}


def loss(params, x):
    return functional_call(layer, params, (x,)).sum()


gradients = grad(loss)(params, batch)
optimizer.step()
print("gradient =", gradients["weight"])
print("layer.weight.grad =", layer.weight.grad)
print("moved =", not torch.equal(layer.weight, before))

# %% func_leaves_grad_cure
for name, p in layer.named_parameters():
    p.grad = gradients[name]
optimizer.step()
print("moved =", not torch.equal(layer.weight, before))

# %% func_leaves_grad_cure_2
params = {name: p - 0.1 * gradients[name] for name, p in params.items()}
print("same =", torch.allclose(params["weight"], layer.weight))

# %% make_functional
from functorch import make_functional
from torch import nn

model = nn.Linear(1, 1, bias=False)
function, params = make_functional(model)

# %% make_functional_cure
model.weight.data.fill_(2.0)
params = {name: p.detach() for name, p in model.named_parameters()}
x = torch.tensor([[3.0]])


def loss_of(params):
    return torch.func.functional_call(model, params, (x,)).square().sum()


print("gradient =", torch.func.grad(loss_of)(params)["weight"])
