# %% switches
import torch
from torch import nn

layers = {name: nn.Linear(2, 1) for name in "abc"}

layers["a"].requires_grad = False
for p in layers["b"].parameters():
    p.require_grad = False
layers["c"].requires_grad_(False)


def is_frozen(layer):
    return not any(p.requires_grad for p in layer.parameters())


print("frozen =", [name for name in layers if is_frozen(layers[name])])

# %% head
model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 9))
model.requires_grad_(False)
model[2] = nn.Linear(4, 1)
for name, p in model.named_parameters():
    print(f"{name:8} {p.requires_grad}")

# %% batch_norm
net = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))
norm = net[0].requires_grad_(False)
x = torch.tensor([[1.0], [3.0]])

net(x)
print("norm.running_mean =", norm.running_mean)

# %% batch_norm_eval
norm.eval()
net(x)
print("after norm.eval() =", norm.running_mean)
net.train()
net(x)
print("after net.train() =", norm.running_mean)


# %% keep_eval
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1).requires_grad_(False)
        self.head = nn.Linear(1, 1)

    def train(self, mode=True):
        super().train(mode)
        # zh: 冻结的归一化层始终留在评估模式
        # en: the frozen norm stays in evaluation mode
        self.norm.eval()
        return self


net = Net().train()
print("net.head.training =", net.head.training)
print("net.norm.training =", net.norm.training)

# %% thaw


def half_frozen():
    return nn.Sequential(nn.Linear(1, 1).requires_grad_(False), nn.Linear(1, 1))


def moves(model, optimizer):
    before = model[0].weight.item()
    optimizer.zero_grad()
    model(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    return model[0].weight.item() != before


torch.manual_seed(0)
model = half_frozen()
trained = filter(lambda p: p.requires_grad, model.parameters())
optimizer = torch.optim.SGD(trained, lr=0.1)
model[0].requires_grad_(True)
print("filtered, thawed: moves =", moves(model, optimizer))

optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.01})
print("filtered, thawed, added: moves =", moves(model, optimizer))

model = half_frozen()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
print("all, frozen: moves =", moves(model, optimizer))
model[0].requires_grad_(True)
print("all, thawed: moves =", moves(model, optimizer))

# %% twice raises="ValueError"
optimizer.add_param_group({"params": model[0].parameters()})

# %% groups
groups = [
    {"params": model[0].parameters(), "lr": 1e-5},
    {"params": model[1].parameters()},
]
optimizer = torch.optim.AdamW(groups, lr=1e-3)
print("lr =", [group["lr"] for group in optimizer.param_groups])

# %% row_flag raises="RuntimeError"
w = nn.Parameter(torch.ones(3, 1))
w[0].requires_grad = False

# %% masked
keep = torch.tensor([[0.0], [1.0], [1.0]])
optimizers = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD, weight decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.5),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1),
}


def row_0_moves(make, late):
    w = nn.Parameter(torch.ones(3, 1))
    optimizer = make([w])
    if late:
        w.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    w.register_hook(lambda grad: grad * keep)
    before = w[0].item()
    w.square().sum().backward()
    optimizer.step()
    return w[0].item() - before


print("                   at once  after a step")
for name, make in optimizers.items():
    at_once, late = (row_0_moves(make, late) for late in (False, True))
    print(f"{name:18} {at_once:7.4f} {late:13.4f}")

# %% joined
fixed = torch.ones(1, 1)
trained = nn.Parameter(torch.ones(2, 1))
w = torch.cat([fixed, trained])
w.square().sum().backward()
print("fixed.grad =", fixed.grad)
print("trained.grad =", trained.grad)

# %% embedding
ids = torch.tensor([0, 2, 2])
table = nn.Embedding(4, 2, padding_idx=0)
table(ids).sum().backward()
print("table.weight.grad =")
print(table.weight.grad)

# %% sparse


def drift(sparse, make):
    table = nn.Embedding(3, 1, sparse=sparse)
    optimizer = make(table.parameters(), lr=0.1)
    for rows in ([0, 1], [1]):
        optimizer.zero_grad()
        before = table.weight.detach().clone()
        table(torch.tensor(rows)).sum().backward()
        optimizer.step()
    return (table.weight.detach() - before).flatten()


torch.set_printoptions(precision=3)
print("Adam =", drift(False, torch.optim.Adam))
print("SparseAdam =", drift(True, torch.optim.SparseAdam))
torch.set_printoptions(profile="default")

# %% tied
rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
embed = nn.Embedding.from_pretrained(rows, freeze=False)
out = nn.Linear(2, 3, bias=False)
out.weight = embed.weight
other = nn.Linear(2, 3, bias=False)
other.weight = nn.Parameter(embed.weight)

for name, layer in {"out": out, "other": other}.items():
    print(f"{name}.weight is embed.weight:", layer.weight is embed.weight)
    both = nn.ModuleList([embed, layer])
    print("    same memory:", layer.weight.data_ptr() == embed.weight.data_ptr())
    print("    parameters():", len(list(both.parameters())))

# %% tied_picture
from gradgraph import record

ids = torch.tensor([0, 1])
loss = out(embed(ids)).sum()
record(loss, W=embed.weight, loss=loss)

# %% tied_sum
first, last = (rows.clone().requires_grad_() for _ in range(2))
(first[ids] @ last.T).sum().backward()
print("first.grad =", first.grad.tolist())
print("last.grad =", last.grad.tolist())
print("embed.weight.grad =", embed.weight.grad.tolist())

# %% tied_transposed raises="TypeError"
square = nn.Linear(3, 2, bias=False)
square.weight = embed.weight.T

# %% kinds
from operator import attrgetter


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.parameter = nn.Parameter(torch.ones(1))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)
        self.register_buffer("buffer", torch.ones(1))
        self.register_buffer("unsaved", torch.ones(1), persistent=False)
        self.tensor = torch.ones(1, requires_grad=True)


names = "parameter", "frozen", "buffer", "unsaved", "tensor"
holder = Holder()
torch.cat(attrgetter(*names)(holder)).sum().backward()
listed, saved = dict(holder.named_parameters()), holder.state_dict()
grads = {name: getattr(holder, name).grad is not None for name in names}
holder.double()

row = "{:<11}{:<10}{:<14}{:<14}{}".format
print(row("", ".grad", "parameters()", "state_dict()", "double()"))
for name in names:
    moved = getattr(holder, name).dtype == torch.float64
    facts = grads[name], name in listed, name in saved, moved
    print(row(name, *("yes" if fact else "-" for fact in facts)))

# %% lora


class LoRA(nn.Module):
    def __init__(self, base, rank):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(rank, base.in_features) / 10)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T


torch.manual_seed(0)
layer = LoRA(nn.Linear(100, 100), rank=2)
x, y = torch.randn(2, 8, 100)
nn.functional.mse_loss(layer(x), y).backward()

# %% lora_output
for name, p in layer.named_parameters():
    print(f"{name:12}{p.numel():6}  {p.requires_grad}")
print("layer.A.grad.any() =", layer.A.grad.any())
print("layer.B.grad.any() =", layer.B.grad.any())

# %% ema_refused raises="RuntimeError"
import copy

student = nn.Linear(1, 1, bias=False)
teacher = copy.deepcopy(student)
teacher.weight.lerp_(student.weight, 0.1)

# %% ema
teacher.requires_grad_(False)


@torch.no_grad()
def update(teacher, student, rate):
    for t, s in zip(teacher.parameters(), student.parameters(), strict=True):
        t.lerp_(s, rate)


nn.init.constant_(student.weight, 2.0)
nn.init.constant_(teacher.weight, 1.0)
update(teacher, student, rate=0.1)
print("teacher.weight.item() =", round(teacher.weight.item(), 4))

# %% copies
import io

model = nn.Linear(1, 1, bias=False)
model(torch.ones(1, 1)).sum().backward()
model.requires_grad_(False)

file = io.BytesIO()
torch.save(model.state_dict(), file)
file.seek(0)
reloaded = nn.Linear(1, 1, bias=False)
reloaded.load_state_dict(torch.load(file))

models = {"model": model, "deepcopy": copy.deepcopy(model), "reloaded": reloaded}
for name, m in models.items():
    print(f"{name:9}", m.weight.grad, m.weight.requires_grad)

# %% exercise_1 raises="RuntimeError"
model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 9))
model[2] = nn.Linear(4, 1)
model.requires_grad_(False)
model(torch.ones(1, 4)).sum().backward()

# %% exercise_2
torch.manual_seed(0)
layer = LoRA(nn.Linear(4, 4), rank=2)
nn.init.zeros_(layer.A)
optimizer = torch.optim.SGD([layer.A, layer.B], lr=0.1)
for _ in range(100):
    optimizer.zero_grad()
    layer(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
print("layer.A.any() =", layer.A.any())
print("layer.B.any() =", layer.B.any())

# %% exercise_3
student = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))
teacher = copy.deepcopy(student).requires_grad_(False).eval()
for _ in range(100):
    student(5 + torch.randn(8, 1))
    update(teacher, student, rate=0.1)
print("student[0].running_mean.round() =", student[0].running_mean.round())
print("teacher[0].running_mean =", teacher[0].running_mean)

for t, s in zip(teacher.buffers(), student.buffers(), strict=True):
    t.copy_(s)
print("after the copy =", teacher[0].running_mean.round())
