# %% hook_no_grad raises="RuntimeError"
import torch
from torch import nn

x = torch.tensor([1.0, 2.0])
x.register_hook(print)

# %% hook_no_grad_cure
x = torch.tensor([1.0, 2.0], requires_grad=True)
x.register_hook(lambda grad: print("grad =", grad))
(3 * x).sum().backward()

# %% hook_no_grad_cure_2
layers = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
layers[0].requires_grad_(False)
for name, p in layers.named_parameters():
    if p.requires_grad:
        p.register_hook(lambda grad: grad)
        print("hook on", name)

# %% post_accumulate_non_leaf raises="RuntimeError"
w = torch.tensor(2.0, requires_grad=True)
y = 3 * w
y.register_post_accumulate_grad_hook(print)

# %% post_accumulate_non_leaf_cure
y = 3 * w
y.register_hook(lambda grad: print("gradient of y =", grad))
w.register_post_accumulate_grad_hook(lambda w: print("w.grad =", w.grad))
(y**2).backward()

# %% hook_changed_size raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = 3 * x
y.register_hook(lambda grad: grad.mean())
(y * y).sum().backward()

# %% hook_changed_size_cure
y = 3 * x
y.register_hook(lambda grad: grad.mean().expand_as(grad))
(y * y).sum().backward()
print("x.grad =", x.grad)

# %% hook_changed_size_cure_2
x.grad = None
norms = []
y = 3 * x
# zh: 只看不改，就返回 None；append 返回的正是 None
# en: to look only, return None, as append does
y.register_hook(lambda grad: norms.append(grad.norm()))
(y * y).sum().backward()
print("x.grad =", x.grad)
print("norms =", norms)

# %% hook_changed_type raises="RuntimeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
x.register_hook(lambda grad: grad.double().clamp(max=0.5))
x.sum().backward()

# %% hook_changed_type_cure
x = torch.tensor([1.0, 2.0], requires_grad=True)
x.register_hook(lambda grad: grad.double().clamp(max=0.5).to(grad))
x.sum().backward()
print("x.grad =", x.grad)

# %% hook_returned_no_tensor raises="TypeError"
x = torch.tensor([1.0, 2.0], requires_grad=True)
x.register_hook(lambda grad: grad.norm().item())
x.sum().backward()

# %% hook_returned_no_tensor_cure
x = torch.tensor([3.0, 4.0], requires_grad=True)
seen = {}


def look(grad):
    seen["norm"] = grad.norm().item()


x.register_hook(look)
(x * x).sum().backward()
print("norm =", seen["norm"])

# %% node_hook_count raises="RuntimeError"
w = torch.tensor(2.0, requires_grad=True)
y = w * torch.tensor(3.0)
y.grad_fn.register_hook(lambda grad_inputs, _: (grad_inputs[0] * 10,))
y.backward()

# %% node_hook_count_cure
y = w * torch.tensor(3.0)
y.grad_fn.register_hook(lambda grad_inputs, _: (grad_inputs[0] * 10, None))
y.backward()
print("w.grad =", w.grad)

# %% hook_in_place_relu raises="RuntimeError"
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
net[0].register_full_backward_hook(lambda module, grad_input, grad_output: None)
x = torch.tensor([[1.0, 2.0]], requires_grad=True)
net(x)


# %% hook_in_place_relu_cure
def show(module, grad_input, grad_output):
    print("grad_output =", grad_output)


net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
nn.init.constant_(net[0].weight, 1.0)
net[0].register_full_backward_hook(show)
for module in net.modules():
    if isinstance(module, nn.ReLU):
        module.inplace = False
net(x).sum().backward()
print("x.grad =", x.grad)


# %% hook_in_place_relu_cure_2
def watch(module, args, output):
    output.register_hook(lambda grad: print("gradient of the output =", grad))


x.grad = None
net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
nn.init.constant_(net[0].weight, 1.0)
net[0].register_forward_hook(watch)
net(x).sum().backward()
print("x.grad =", x.grad)

# %% hook_in_place_relu_wrong
block = nn.Sequential(nn.Linear(3, 2), nn.ReLU(inplace=True))
shapes = []
block.register_backward_hook(
    lambda module, grad_input, grad_output: shapes.append(grad_input[0].shape)
)
rows = torch.ones(1, 3, requires_grad=True)
block(rows).sum().backward()
print("rows.shape =", rows.shape)
print("grad_input[0].shape =", shapes[0])

# %% module_hook_count raises="RuntimeError"
layer = nn.Linear(2, 1)
layer.register_full_backward_hook(
    lambda module, grad_input, grad_output: (grad_input[0], None, None)
)
x = torch.tensor([[1.0, 2.0]], requires_grad=True)
layer(x).sum().backward()

# %% module_hook_count_cure
layer = nn.Linear(2, 1)
nn.init.constant_(layer.weight, 3.0)
layer.register_full_backward_hook(
    lambda module, grad_input, grad_output: (grad_input[0] * 10,)
)
x = torch.tensor([[1.0, 2.0]], requires_grad=True)
layer(x).sum().backward()
print("x.grad =", x.grad)

# %% full_hook_no_input
layer = nn.Linear(2, 1)
layer.register_full_backward_hook(
    lambda module, grad_input, grad_output: print("grad_input =", grad_input)
)
layer(torch.tensor([[1.0, 2.0]])).sum().backward()

# %% full_hook_no_input_cure
layer = nn.Linear(2, 1)
layer.weight.register_hook(lambda grad: print("gradient of the weight =", grad))
layer(torch.tensor([[1.0, 2.0]])).sum().backward()

# %% full_hook_no_input_cure_2
layer = nn.Linear(2, 1)
nn.init.constant_(layer.weight, 3.0)
layer.register_full_backward_hook(
    lambda module, grad_input, grad_output: print("grad_input =", grad_input)
)
image = torch.tensor([[1.0, 2.0]], requires_grad=True)
layer(image).sum().backward()

# %% full_hook_no_input_wrong
import warnings

layer = nn.Linear(2, 1)
layer.register_full_backward_hook(
    lambda module, grad_input, grad_output: print("grad_input =", grad_input)
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    layer(torch.tensor([[1.0, 2.0]])).sum().backward()

# %% full_hook_return_no_input raises="RuntimeError"
layer = nn.Linear(2, 1)
layer.register_full_backward_hook(lambda module, grad_input, grad_output: grad_output)
with warnings.catch_warnings():
    # zh: 上一条里的警告
    # en: the warning of the entry before
    warnings.simplefilter("ignore")
    layer(torch.tensor([[1.0, 2.0]])).sum().backward()

# %% full_hook_return_no_input_cure
layer = nn.Linear(2, 1)
layer.register_full_backward_pre_hook(
    lambda module, grad_output: (grad_output[0] * 10,)
)
layer(torch.tensor([[1.0, 2.0]])).sum().backward()
print("layer.weight.grad =", layer.weight.grad)


# %% full_hook_output
class Named(nn.Module):
    def forward(self, x):
        return {"double": 2 * x}


named = Named()
called = []
named.register_full_backward_hook(lambda *_: called.append("hook"))
x = torch.tensor([1.0, 2.0], requires_grad=True)
named(x)["double"].sum().backward()
print("called =", called)


# %% full_hook_output_cure
class Pair(nn.Module):
    def forward(self, x):
        return 2 * x, 3 * x


pair = Pair()
pair.register_full_backward_hook(
    lambda module, grad_input, grad_output: print("grad_input =", grad_input)
)
double, triple = pair(x)
(double + triple).sum().backward()

# %% full_and_regular_hooks raises="RuntimeError"
layer = nn.Linear(2, 1)
layer.register_backward_hook(lambda *_: None)
layer.register_full_backward_hook(lambda *_: None)

# %% full_and_regular_hooks_cure
layer = nn.Linear(2, 1)
calls = []
layer.register_full_backward_hook(lambda *_: calls.append("first"))
layer.register_full_backward_hook(lambda *_: calls.append("second"))
layer(torch.ones(1, 2, requires_grad=True)).sum().backward()
print("calls =", calls)

# %% non_full_hook
block = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
block.register_backward_hook(
    lambda module, grad_input, grad_output: print("grad_input =", grad_input)
)
nn.init.zeros_(block[0].weight)
nn.init.zeros_(block[0].bias)
rows = torch.ones(1, 3, requires_grad=True)
block(rows).sum().backward()

# %% non_full_hook_cure
block = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
block.register_full_backward_hook(
    lambda module, grad_input, grad_output: print("grad_input =", grad_input)
)
nn.init.ones_(block[0].weight)
nn.init.constant_(block[0].bias, -3.0)
block(rows).sum().backward()

# %% forward_pre_hook_kwargs raises="RuntimeError"
layer = nn.Linear(2, 1)
layer.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
layer(torch.ones(1, 2))

# %% forward_pre_hook_kwargs_cure
layer = nn.Linear(2, 1, bias=False)
layer.register_forward_pre_hook(
    lambda module, args, kwargs: ((10 * args[0],), kwargs), with_kwargs=True
)
layer(torch.ones(1, 2)).sum().backward()
print("layer.weight.grad =", layer.weight.grad)

# %% multi_grad_hook raises="AssertionError"
from torch.autograd.graph import register_multi_grad_hook

net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
net[0].requires_grad_(False)
register_multi_grad_hook(tuple(net.parameters()), print)

# %% multi_grad_hook_cure
trained = tuple(p for p in net.parameters() if p.requires_grad)
handle = register_multi_grad_hook(
    trained, lambda grads: print("number of gradients =", len(grads))
)
net(torch.ones(1, 1)).sum().backward()

# %% unpack_not_tensor raises="TypeError"
from torch.autograd.graph import saved_tensors_hooks

x = torch.tensor([0.0, 1.0], requires_grad=True)
with saved_tensors_hooks(lambda t: t.detach().numpy(), lambda array: array):
    y = x.exp()
y.sum().backward()

# %% unpack_not_tensor_cure
with saved_tensors_hooks(lambda t: t.detach().numpy(), torch.from_numpy):
    y = x.exp()
y.sum().backward()
print("x.grad =", x.grad)

# %% unpack_not_tensor_shape
x.grad = None
with saved_tensors_hooks(lambda t: t.detach(), lambda t: t.sum()):
    y = x.exp()
y.sum().backward()
print("x.grad =", x.grad)

# %% pack_in_place raises="RuntimeError"
x = torch.tensor([0.5, 1.0], requires_grad=True)
with saved_tensors_hooks(
    lambda t: t.detach().mul_(10).to(torch.int8), lambda t: t.float() / 10
):
    y = x * x

# %% pack_in_place_cure
x = torch.tensor([0.5, 1.0], requires_grad=True)
with saved_tensors_hooks(
    lambda t: (t.detach() * 10).to(torch.int8), lambda t: t.float() / 10
):
    y = x * x
y.sum().backward()
print("x.grad =", x.grad)

# %% ddp_not_initialized raises="ValueError"
from torch.nn.parallel import DistributedDataParallel

DistributedDataParallel(nn.Linear(1, 1))

# %% ddp_not_initialized_cure
import multiprocessing
import tempfile

import torch.distributed as dist


# zh: torchrun 替你做的事：启动两个进程，各自加入进程组，再执行 work
# en: what torchrun does for you: two processes, each joins the group, then does work
def two_processes(work):
    folder = tempfile.mkdtemp()

    def begin(rank):
        store = dist.FileStore(f"{folder}/store", 2)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
        results.put((rank, work(rank)))
        dist.destroy_process_group()

    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    processes = [context.Process(target=begin, args=(rank,)) for rank in range(2)]
    for process in processes:
        process.start()
    for rank, result in sorted(results.get() for _ in processes):
        print(f"rank {rank}:", result)
    for process in processes:
        process.join()


def train(rank):
    net = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    # zh: 进程 0 的数据是 1，进程 1 的数据是 2
    # en: process 0 has the data 1, process 1 the data 2
    net(torch.tensor([[1.0 + rank]])).sum().backward()
    return net.module.weight.grad.item()


two_processes(train)


# %% ddp_unused raises="RuntimeError"
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(1, 1, bias=False)
        self.unused = nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.used(x)


# zh: 只有一个进程的进程组，报错相同
# en: a group of one process raises the same error
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
net = DistributedDataParallel(Net())
x = torch.tensor([[3.0]])
for _ in range(2):
    net(x).sum().backward()

# %% ddp_unused_find
net = DistributedDataParallel(Net())
net(x).sum().backward()
print("no gradient:", [n for n, p in net.named_parameters() if p.grad is None])

# %% ddp_unused_cure
plain = Net()
plain.unused.requires_grad_(False)
net = DistributedDataParallel(plain)
for _ in range(2):
    net(x).sum().backward()
print("plain.used.weight.grad =", plain.used.weight.grad)

# %% ddp_unused_cure_2
net = DistributedDataParallel(Net(), find_unused_parameters=True)
for _ in range(2):
    net(x).sum().backward()
print("net.module.used.weight.grad =", net.module.used.weight.grad)
dist.destroy_process_group()


# %% ddp_unused_wrong
def around(rank):
    net = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    net.module(torch.tensor([[1.0 + rank]])).sum().backward()
    return net.module.weight.grad.item()


two_processes(around)

# %% ddp_ready_twice raises="RuntimeError"
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    def __init__(self, use_reentrant):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        self.unused = nn.Linear(1, 1, bias=False)
        self.use_reentrant = use_reentrant

    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=self.use_reentrant)


dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
x = torch.tensor([[3.0]], requires_grad=True)
net = DistributedDataParallel(Checkpointed(True), find_unused_parameters=True)
net(x).sum().backward()

# %% ddp_ready_twice_cure
net = DistributedDataParallel(Checkpointed(False), find_unused_parameters=True)
net(x).sum().backward()
print("net.module.layer.weight.grad =", net.module.layer.weight.grad)

# %% ddp_ready_twice_cure_2
net = DistributedDataParallel(Checkpointed(True), static_graph=True)
net(x).sum().backward()
print("net.module.layer.weight.grad =", net.module.layer.weight.grad)


# %% ddp_static_graph raises="RuntimeError"
class Either(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(1, 1, bias=False)
        self.b = nn.Linear(1, 1, bias=False)

    def forward(self, x, first):
        return self.a(x) if first else self.b(x)


net = DistributedDataParallel(Either(), static_graph=True)
net(x, True).sum().backward()
net(x, False).sum().backward()

# %% ddp_static_graph_cure
net = DistributedDataParallel(Either(), find_unused_parameters=True)
net(x, True).sum().backward()
net(x, False).sum().backward()
print("net.module.a.weight.grad =", net.module.a.weight.grad)
print("net.module.b.weight.grad =", net.module.b.weight.grad)

# %% ddp_no_gradient raises="RuntimeError"
teacher = nn.Linear(1, 1).requires_grad_(False)
teacher = DistributedDataParallel(teacher)

# %% ddp_no_gradient_cure
teacher = nn.Linear(1, 1).requires_grad_(False)
student = DistributedDataParallel(nn.Linear(1, 1, bias=False))
(student(x) - teacher(x)).sum().backward()
print("student.module.weight.grad =", student.module.weight.grad)

# %% ddp_find_unused volatile=true
net = DistributedDataParallel(nn.Linear(1, 1), find_unused_parameters=True)
net(x).sum().backward()

# %% ddp_find_unused_cure
net = DistributedDataParallel(nn.Linear(1, 1, bias=False))
net(x).sum().backward()
print("net.module.weight.grad =", net.module.weight.grad)
dist.destroy_process_group()

# %% serialize_non_leaf raises="RuntimeError"
context = torch.multiprocessing.get_context("fork")
queue = context.SimpleQueue()
w = torch.tensor(2.0, requires_grad=True)
queue.put(w * w)

# %% serialize_non_leaf_cure
queue.put((w * w).detach())
print("queue.get() =", queue.get())


# %% serialize_non_leaf_cure_2
def gradient_of(x):
    loss = (x * w) ** 2
    (grad,) = torch.autograd.grad(loss, w)
    queue.put(grad.item())


process = context.Process(target=gradient_of, args=(3.0,))
process.start()
print("gradient =", queue.get())
process.join()

# %% fork_after_backward
(w * w).backward()
process = context.Process(target=gradient_of, args=(3.0,))
process.start()
print("gradient =", queue.get())
process.join()


# %% fork_after_backward_cure
def serve():
    while (x := tasks.get()) is not None:
        gradient_of(x)


tasks = context.SimpleQueue()
process = context.Process(target=serve)
# zh: 先启动子进程，之后再反向
# en: start the process first, then run backward
process.start()
(w * w).backward()
tasks.put(3.0)
print("gradient =", queue.get())
tasks.put(None)
process.join()
