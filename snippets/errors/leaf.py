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

# %% change_flag_row raises="RuntimeError"
table = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], requires_grad=True)
table[0].requires_grad = False

# %% change_flag_cure_3
frozen = torch.tensor([[1.0, 1.0]])
trained = torch.tensor([[1.0, 1.0], [1.0, 1.0]], requires_grad=True)
table = torch.cat([frozen, trained])
(table**2).sum().backward()
print("trained.grad =", trained.grad)

# %% change_flag_wrong
table = torch.tensor([[1.0, 1.0], [1.0, 1.0]], requires_grad=True)
table.data[0].requires_grad = False
(table**2).sum().backward()
print("table.grad =", table.grad)

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

# %% to_scalar_matrix
angle = torch.tensor(0.0, requires_grad=True)
c, s = torch.cos(angle), torch.sin(angle)
rotation = torch.tensor([[c, -s], [s, c]], requires_grad=True)
rotation.sum().backward()
print("rotation.grad =", rotation.grad)
print("angle.grad =", angle.grad)

# %% to_scalar_cure_3
rotation = torch.stack([torch.stack([c, -s]), torch.stack([s, c])])
rotation[1, 0].backward()
print("angle.grad =", angle.grad)

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

# %% sparse_clip
table = torch.nn.Embedding(5, 2, sparse=True)
table(torch.tensor([3, 3])).sum().backward()
try:
    torch.nn.utils.clip_grad_norm_(table.parameters(), max_norm=1.0)
except NotImplementedError as error:
    print(str(error).split(". ")[0])

# %% sparse_clip_cure
# zh: 同一行的几份梯度先相加
# en: adds the parts that belong to the same row
table.weight.grad = table.weight.grad.coalesce()
values = table.weight.grad.values()
norm = torch.linalg.vector_norm(values)
values.mul_(min(1.0, 1.0 / norm))
print("norm =", norm)
print("values =", values)

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

# %% grad_none_attribute raises="AttributeError"
used = torch.tensor(1.0, requires_grad=True)
unused = torch.tensor(1.0, requires_grad=True)
(3 * used).backward()
for p in [used, unused]:
    p.data -= 0.1 * p.grad.data

# %% grad_none_attribute_find
named = {"used": used, "unused": unused}
print("without gradient:", [name for name, p in named.items() if p.grad is None])

# %% grad_none_attribute_causes
w = torch.tensor(2.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
print("before backward():", w.grad)
(w * w).backward()
print("after backward():", w.grad)
optimizer.zero_grad()
print("after zero_grad():", w.grad)

# %% grad_none_attribute_cure
used = torch.tensor(1.0, requires_grad=True)
(3 * used).backward()
with torch.no_grad():
    for p in [used, unused]:
        if p.grad is not None:
            p -= 0.1 * p.grad
print("used =", used)
print("unused =", unused)

# %% grad_none_attribute_cure_2
norm = torch.nn.utils.clip_grad_norm_([used, unused], max_norm=1.0)
print("norm =", norm)
torch.optim.SGD([used, unused], lr=0.1).step()
print("used =", used)

# %% scheduler_before_step
w = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=1.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
(2 * w).backward()
scheduler.step()
optimizer.step()
print("w =", w)

# %% scheduler_before_step_cure
w = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=1.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
(2 * w).backward()
optimizer.step()
scheduler.step()
print("w =", w)

# %% scheduler_before_step_scaler
w = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=1.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
# zh: 系数大到溢出，第一步跳过
# en: a factor so large that the first step overflows and is skipped
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
scaler.scale(2 * w).backward()
scaler.step(optimizer)
scaler.update()
scheduler.step()
print("w =", w)
print("lr =", scheduler.get_last_lr()[0])

# %% scheduler_before_step_cure_2
w = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=1.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
for step in range(3):
    optimizer.zero_grad()
    scaler.scale(2 * w).backward()
    before = scaler.get_scale()
    scaler.step(optimizer)
    scaler.update()
    if scaler.get_scale() >= before:
        scheduler.step()
    print(f"step {step}: w = {w.item()}, lr = {scheduler.get_last_lr()[0]}")

# %% no_inf_checks raises="AssertionError"
old = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(old.parameters(), lr=0.1)
model = torch.nn.Linear(1, 1)
scaler = torch.amp.GradScaler("cpu")
loss = model(torch.ones(1, 1)).sum()
scaler.scale(loss).backward()
scaler.step(optimizer)

# %% no_inf_checks_find
held = [p for group in optimizer.param_groups for p in group["params"]]
print("parameters with a gradient:", sum(p.grad is not None for p in held))
print("of this model:", [any(p is q for q in model.parameters()) for p in held])

# %% no_inf_checks_cure
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu")
loss = model(torch.ones(1, 1)).sum()
scaler.scale(loss).backward()
scaler.step(optimizer)
scaler.update()
print("model.weight.grad =", model.weight.grad)

# %% no_inf_checks_wrong raises="AssertionError"
optimizer.zero_grad()
with torch.no_grad():
    loss = model(torch.ones(1, 1)).sum()
loss.requires_grad_()
scaler.scale(loss).backward()
scaler.step(optimizer)

# %% unscale_fp16 raises="ValueError"
model = torch.nn.Linear(1, 1).half()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu")
loss = model(torch.ones(1, 1).half()).sum()
scaler.scale(loss).backward()
scaler.step(optimizer)

# %% unscale_fp16_find
print({name: p.dtype for name, p in model.named_parameters() if p.requires_grad})

# %% unscale_fp16_cure
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
with torch.autocast("cpu", dtype=torch.float16):
    out = model(torch.ones(1, 1))
scaler.scale(out.float().sum()).backward()
scaler.step(optimizer)
print("out.dtype =", out.dtype)
print("weight.grad =", model.weight.grad)

# %% unscale_fp16_cure_2
base = torch.nn.Linear(1, 1).half().requires_grad_(False)
adapter = torch.nn.Linear(1, 1).half()
for p in adapter.parameters():
    p.data = p.data.float()
optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
with torch.autocast("cpu", dtype=torch.float16):
    out = base(torch.ones(1, 1)) + adapter(torch.ones(1, 1))
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
scaler.scale(out.float().sum()).backward()
scaler.step(optimizer)
print("adapter.weight.grad =", adapter.weight.grad)

# %% unscale_fp16_wrong
for dtype in (torch.float16, torch.float32):
    w = torch.tensor(1.0, dtype=dtype, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.0001)
    for _ in range(100):
        optimizer.zero_grad()
        w.backward()
        optimizer.step()
    print(dtype, round(w.item(), 4))

# %% volatile_removed
w = torch.tensor(3.0, requires_grad=True)
x = torch.autograd.Variable(torch.tensor(2.0), volatile=True)
y = w * x
print("type(x) =", type(x))
print("y.requires_grad =", y.requires_grad)

# %% volatile_removed_cure
x = torch.tensor(2.0)
with torch.no_grad():
    y = w * x
print("y.requires_grad =", y.requires_grad)
