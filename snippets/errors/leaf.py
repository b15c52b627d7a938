# %% non_leaf_optimizer raises="ValueError"
import torch

w = torch.ones(2, requires_grad=True) * 0.1
optimizer = torch.optim.SGD([w], lr=0.5)

# %% non_leaf_optimizer_find
print("w.is_leaf =", w.is_leaf)
print("w.grad_fn =", w.grad_fn)

# %% non_leaf_optimizer_cure
w = (torch.ones(2) * 0.1).requires_grad_()
optimizer = torch.optim.SGD([w], lr=0.5)
(w * w).sum().backward()
print("w.grad =", w.grad)
optimizer.step()
print("w =", w)

# %% non_leaf_optimizer_cure_2
source = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([source], lr=0.5)
w = source * 0.1
(w * w).sum().backward()
print("source.grad =", source.grad)

# %% non_leaf_optimizer_retained
source = torch.ones(2, requires_grad=True)
w = source * 0.1
w.retain_grad()
optimizer = torch.optim.SGD([w], lr=0.5)
(w * w).sum().backward()
optimizer.step()
print("w =", w)
print("source * 0.1 =", source * 0.1)

# %% only_floats raises="RuntimeError"
x = torch.tensor([1, 2, 3], requires_grad=True)

# %% only_floats_method raises="RuntimeError"
x = torch.arange(3).requires_grad_()

# %% only_floats_cure
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = torch.arange(3, dtype=torch.float32, requires_grad=True)
(x * y).sum().backward()
print("x.grad =", x.grad)

# %% only_floats_cure_2
codes = torch.nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
print("codes =", codes)

# %% change_flag raises="RuntimeError"
w = torch.tensor([1.0, 2.0], requires_grad=True)
hidden = w * 3
hidden.requires_grad = False

# %% change_flag_cure
target = hidden.detach()
(hidden * target).sum().backward()
print("w.grad =", w.grad)

# %% change_flag_cure_2
torch.manual_seed(0)
model = torch.nn.Linear(2, 1)
for parameter in model.parameters():
    parameter.requires_grad_(False)
x = torch.tensor([1.0, 2.0], requires_grad=True)
model(x).sum().backward()
print("x.grad is the weight:", torch.equal(x.grad, model.weight[0]))
print("model.weight.grad =", model.weight.grad)

# %% retain_grad raises="RuntimeError"
x = torch.tensor([1.0, 2.0])
x.retain_grad()

# %% retain_grad_inputs raises="RuntimeError"
w = torch.tensor([3.0, 4.0], requires_grad=True)
(w * x).sum().backward(inputs=[w, x])

# %% retain_grad_cure
x = torch.tensor([1.0, 2.0], requires_grad=True)
(w * x).sum().backward(inputs=[w, x])
print("x.grad =", x.grad)

# %% call_numpy raises="RuntimeError"
import numpy as np

w = torch.tensor([1.0, 4.0], requires_grad=True)
w.numpy()

# %% call_numpy_hidden raises="RuntimeError"
np.sqrt(w)

# %% call_numpy_cure
print(w.detach().numpy())
with torch.no_grad():
    print(w.numpy())

# %% call_numpy_cure_2
root = torch.sqrt(w)
root.sum().backward()
print("w.grad =", w.grad)

# %% call_numpy_shared
array = w.detach().numpy()
array[0] = 9.0
print("w =", w)
print("w._version =", w._version)

# %% call_numpy_wrong
w = torch.tensor([1.0, 4.0], requires_grad=True)
v = torch.tensor([1.0, 1.0], requires_grad=True)
root = torch.from_numpy(np.sqrt(w.detach().numpy()))
(v * root).sum().backward()
print("v.grad =", v.grad)
print("w.grad =", w.grad)

# %% deepcopy raises="RuntimeError"
import copy

model = torch.nn.Linear(2, 1)
model.last = model(torch.ones(1, 2))
copy.deepcopy(model)

# %% deepcopy_find
for module_name, module in model.named_modules():
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor) and not value.is_leaf:
            print(f"{module_name!r} holds {name!r} from {value.grad_fn.name()}")

# %% deepcopy_cure
model.last = model(torch.ones(1, 2)).detach()
twin = copy.deepcopy(model)
print("same weight:", torch.equal(twin.weight, model.weight))
print("twin.weight.is_leaf =", twin.weight.is_leaf)

# %% deepcopy_cure_2
hidden = torch.ones(2, requires_grad=True) * 3
value = hidden.detach().clone()
same_history = hidden.clone()
print("value =", value)
print("same_history.requires_grad =", same_history.requires_grad)

# %% to_scalar
x = torch.tensor(4.0, requires_grad=True)
loss = x * x
total = float(loss)

# %% to_scalar_cure
total = loss.item()
print("total =", total)

# %% to_scalar_cure_2
# zh: 不是 math.sqrt(loss)
# en: not math.sqrt(loss)
torch.sqrt(loss).backward()
print("x.grad =", x.grad)

# %% item_of_many raises="RuntimeError"
x = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
losses = x * x
total = losses.item()

# %% item_of_many_float raises="ValueError"
total = float(losses)

# %% item_of_many_cure
loss = losses.mean()
loss.backward()
print("loss.item() =", round(loss.item(), 4))
print("x.grad =", x.grad)

# %% item_of_many_cure_2
print("losses.tolist() =", losses.tolist())

# %% length_of_scalar raises="TypeError"
w = torch.tensor(3.0, requires_grad=True)
losses = w**2 + 2 * w
len(losses)

# %% length_of_scalar_cure
losses = [w**2, 2 * w]
sum(losses).backward()
print("len(losses) =", len(losses))
print("w.grad =", w.grad)

# %% length_of_scalar_cure_2
print("losses[0].numel() =", losses[0].numel())
print("losses[0].dim() =", losses[0].dim())

# %% copy_construct
x = torch.tensor([1.0, 2.0], requires_grad=True)
copied = torch.tensor(x)

# %% copy_construct_cure
copied = x.detach().clone()
print("copied =", copied)

# %% copy_construct_cure_2
copied = x.clone()
(copied * copied).sum().backward()
print("x.grad =", x.grad)


# %% empty_list raises="ValueError"
class Stack(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)]


torch.optim.SGD(Stack().parameters(), lr=0.1)

# %% empty_list_find
print([name for name, _ in Stack().named_parameters()])


# %% empty_list_cure
class Stack(torch.nn.Module):
    def __init__(self):
        super().__init__()
        layers = [torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)]
        self.layers = torch.nn.ModuleList(layers)


torch.optim.SGD(Stack().parameters(), lr=0.1)
print([name for name, _ in Stack().named_parameters()])

# %% empty_list_cure_2
# zh: model.parameters() 是生成器，只能走一遍；列表可以走很多遍
# en: model.parameters() is a generator and runs out; a list does not
parameters = list(Stack().parameters())
print("numbers to learn:", sum(p.numel() for p in parameters))
optimizer = torch.optim.SGD(parameters, lr=0.1)
print("in the optimizer:", len(optimizer.param_groups[0]["params"]))

# %% not_iterable raises="TypeError"
w = torch.tensor([1.0, 2.0], requires_grad=True)
torch.optim.SGD(w, lr=0.1)

# %% not_iterable_module raises="TypeError"
torch.optim.SGD(torch.nn.Linear(2, 1), lr=0.1)

# %% not_iterable_cure
optimizer = torch.optim.SGD([w], lr=0.1)
optimizer = torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=0.1)
print([tuple(p.shape) for p in optimizer.param_groups[0]["params"]])

# %% not_tensors raises="TypeError"
first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
torch.optim.SGD([first.parameters(), second.parameters()], lr=0.1)

# %% not_tensors_state raises="TypeError"
torch.optim.SGD(first.state_dict(), lr=0.1)

# %% not_tensors_cure
optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
print([tuple(p.shape) for p in optimizer.param_groups[0]["params"]])

# %% not_tensors_cure_2
groups = [
    {"params": first.parameters(), "lr": 0.01},
    {"params": second.parameters()},
]
optimizer = torch.optim.SGD(groups, lr=0.1)
print([group["lr"] for group in optimizer.param_groups])

# %% two_groups raises="ValueError"
model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
groups = [{"params": model.parameters()}, {"params": model[1].parameters(), "lr": 1.0}]
torch.optim.SGD(groups, lr=0.1)

# %% two_groups_cure
head = set(model[1].parameters())
groups = [
    {"params": [p for p in model.parameters() if p not in head]},
    {"params": [p for p in model.parameters() if p in head], "lr": 1.0},
]
optimizer = torch.optim.SGD(groups, lr=0.1)
print([len(group["params"]) for group in optimizer.param_groups])

# %% duplicates
w = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD([w, w], lr=0.1)

# %% duplicates_find
w.backward()
optimizer.step()
print("w =", w)

# %% duplicates_cure
w = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD(list(dict.fromkeys([w, w])), lr=0.1)
w.backward()
optimizer.step()
print("w =", w)

# %% state_size raises="ValueError"
old = torch.nn.Sequential(torch.nn.Linear(2, 2))
new = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
saved = torch.optim.SGD(old.parameters(), lr=0.1, momentum=0.9).state_dict()
optimizer = torch.optim.SGD(new.parameters(), lr=0.1, momentum=0.9)
optimizer.load_state_dict(saved)

# %% state_size_groups raises="ValueError"
groups = [{"params": [old[0].weight]}, {"params": [old[0].bias]}]
optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
optimizer.load_state_dict(saved)

# %% state_size_find
for number, group in enumerate(saved["param_groups"]):
    print(f"saved group {number}: {len(group['params'])} parameters")

# %% state_size_cure
optimizer = torch.optim.SGD(old.parameters(), lr=0.1, momentum=0.9)
optimizer.load_state_dict(saved)
optimizer.add_param_group({"params": new[1].parameters()})
print([len(group["params"]) for group in optimizer.param_groups])

# %% assign_parameter raises="TypeError"
model = torch.nn.Linear(2, 1, bias=False)
model.weight = torch.tensor([[1.0, 2.0]])

# %% assign_parameter_cure
with torch.no_grad():
    model.weight.copy_(torch.tensor([[1.0, 2.0]]))
print("model.weight =", model.weight)

# %% assign_parameter_cure_2
scale = torch.tensor(3.0, requires_grad=True)
x = torch.tensor([[1.0, 1.0]])
weights = {"weight": model.weight * scale}
torch.func.functional_call(model, weights, (x,)).sum().backward()
print("scale.grad =", scale.grad)

# %% assign_parameter_wrong
scale.grad = None
model.weight = torch.nn.Parameter(model.weight * scale)
model(x).sum().backward()
print("scale.grad =", scale.grad)


# %% before_init raises="AttributeError"
class Scale(torch.nn.Module):
    def __init__(self):
        self.factor = torch.nn.Parameter(torch.tensor(2.0))


Scale()


# %% before_init_cure
class Scale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))


print([name for name, _ in Scale().named_parameters()])

# %% grad_is_none raises="TypeError"
w = torch.tensor(1.0, requires_grad=True)
for _ in range(2):
    (w * w).backward()
    w = w - 0.1 * w.grad

# %% grad_is_none_cure
w = torch.tensor(1.0, requires_grad=True)
for _ in range(2):
    (w * w).backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
print("w =", w)

# %% grad_is_none_cure_2
w = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for _ in range(2):
    optimizer.zero_grad()
    (w * w).backward()
    optimizer.step()
print("w =", w)

# %% grad_is_none_wrong raises="RuntimeError"
w = torch.tensor(1.0, requires_grad=True)
for _ in range(2):
    (w * w).backward()
    with torch.no_grad():
        w = w - 0.1 * w.grad

# %% sparse_gradient raises="RuntimeError"
table = torch.nn.Embedding(5, 2, sparse=True)
optimizer = torch.optim.Adam(table.parameters())
table(torch.tensor([3])).sum().backward()
optimizer.step()

# %% sparse_gradient_cure
optimizer = torch.optim.SparseAdam(table.parameters(), lr=0.1)
before = table.weight.detach().clone()
optimizer.step()
changed = (table.weight != before).any(dim=1)
print("changed rows:", changed.nonzero().flatten())

# %% sparse_gradient_cure_2
table = torch.nn.Embedding(5, 2)
optimizer = torch.optim.Adam(table.parameters())
table(torch.tensor([3])).sum().backward()
optimizer.step()
print("table.weight.grad.is_sparse =", table.weight.grad.is_sparse)

# %% closure_missing raises="TypeError"
w = torch.tensor(5.0, requires_grad=True)
optimizer = torch.optim.LBFGS([w])
((w - 3) ** 2).backward()
optimizer.step()


# %% closure_missing_cure
def closure():
    optimizer.zero_grad()
    loss = (w - 3) ** 2
    loss.backward()
    return loss


optimizer.step(closure)
print("w =", round(w.item(), 4))
