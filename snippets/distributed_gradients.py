# %% launch
import multiprocessing
import os
import socket
import tempfile

import torch

# zh: DDP 会导入它；在这里导入一次，各个进程就不必再导入
# en: DDP imports it; once here saves every process the time
import torch._dynamo
import torch.distributed as dist

# zh: 只用本机回环接口，不经过网络
# en: the loopback interface only, not the network
os.environ["GLOO_SOCKET_IFNAME"] = socket.if_nameindex()[0][1]


# zh: 一个进程要做的全部：加入进程组，做 job，交回结果；没有优化器，只看梯度
# en: all that one process does; there is no optimizer, we only look at gradients
def process(rank, job, folder, results):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    # zh: 等两边都连上：有一边先走，另一边就连不上了
    # en: until both are connected: if one leaves early, the other cannot connect
    dist.barrier()
    try:
        results.put((rank, job(rank)))
    except Exception as error:
        results.put((rank, error))
    dist.destroy_process_group()


def launch(job):
    # zh: fork 出来的进程直接认得本文件里的函数
    # en: a forked process knows the functions of this file
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=process, args=(rank, job, folder, results))
            for rank in (0, 1)
        ]
        for p in processes:
            p.start()
        answers = dict(results.get() for _ in processes)
        for p in processes:
            p.join()
    if isinstance(answers[0], Exception):
        raise answers[0]
    return [answers[0], answers[1]]


# %% hello


def hello(rank):
    v = torch.tensor(rank + 1.0)
    dist.all_reduce(v)
    return v.item()


print("launch(hello) =", launch(hello))

# %% whole
x = torch.tensor([1.0, 2.0, 3.0, 6.0])


def gradient(batch):
    w = torch.tensor(1.0, requires_grad=True)
    (w * batch).square().mean().backward()
    return w.grad


print("gradient(x) =", gradient(x))

# %% by_hand


def by_hand(rank):
    grad = gradient(x.chunk(2)[rank])
    alone = grad.item()
    dist.all_reduce(grad)
    grad /= dist.get_world_size()
    return alone, grad.item()


print("launch(by_hand) =", launch(by_hand))

# %% ddp
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def line():
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


def ddp(rank):
    model = DistributedDataParallel(line())
    batch = x.chunk(2)[rank].unsqueeze(1)
    model(batch).square().mean().backward()
    return model.module.weight.grad.item()


print("launch(ddp) =", launch(ddp))

# %% autograd_grad


def two_ways(rank):
    net = line()
    model = DistributedDataParallel(net)
    loss = model(x.chunk(2)[rank].unsqueeze(1)).square().mean()
    (own,) = torch.autograd.grad(loss, net.weight, retain_graph=True)
    loss.backward()
    return own.item(), net.weight.grad.item()


print("launch(two_ways) =", launch(two_ways))

# %% not_equal


def with_loss(sizes, loss_of):
    def job(rank):
        model = DistributedDataParallel(line())
        batch = x.split(sizes)[rank].unsqueeze(1)
        loss_of(model(batch)).backward()
        return round(model.module.weight.grad.item(), 4)

    return launch(job)[0]


print("equal  =", with_loss([2, 2], lambda out: out.square().mean()))
print("uneven =", with_loss([1, 3], lambda out: out.square().mean()))
print("mended =", with_loss([1, 3], lambda out: out.square().sum() / 4 * 2))
print("sum    =", with_loss([2, 2], lambda out: out.square().sum()))
print("whole sum =", 4 * gradient(x).item())

# %% batch_norm


def normalized(rank):
    torch.manual_seed(0)
    model = nn.BatchNorm1d(1)
    parallel = DistributedDataParallel(model)
    parallel(x.chunk(2)[rank].unsqueeze(1)).exp().mean().backward()
    return round(model.weight.grad.item(), 4)


alone = nn.BatchNorm1d(1)
alone(x.unsqueeze(1)).exp().mean().backward()
print("launch(normalized)[0] =", launch(normalized)[0])
print("alone.weight.grad =", alone.weight.grad)

# %% two_forwards


def two_forwards(parallel):
    def job(rank):
        model = nn.BatchNorm1d(1)
        wrapped = DistributedDataParallel(model) if parallel else model
        part = x.chunk(2)[rank].unsqueeze(1)
        (wrapped(part).exp() * wrapped(2 * part)).mean().backward()
        return model.weight.grad.item()

    return launch(job)


with_ddp, local = two_forwards(parallel=True), two_forwards(parallel=False)
print("same =", all(abs(g - sum(local) / 2) < 1e-5 for g in with_ddp))

# %% all_gather
import warnings

from torch.distributed.nn.functional import all_gather


def gather(h, rank, how):
    if how == "differentiable":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return all_gather(h)
    parts = [torch.empty_like(h) for _ in range(2)]
    dist.all_gather(parts, h)
    if how == "own part put back":
        parts[rank] = h
    return parts


def across(how):
    def job(rank):
        net = line()
        model = DistributedDataParallel(net)
        h = model(torch.tensor([[rank + 1.0]]))
        loss = sum(gather(h, rank, how)).square().sum()
        if not loss.requires_grad:
            return "no graph"
        loss.backward()
        return net.weight.grad.item()

    return launch(job)


for how in "plain", "own part put back", "differentiable":
    print(how, "=", across(how))

# %% buckets


def stack(width):
    layers = [nn.Linear(width, width, bias=False) for _ in range(6)]
    return nn.Sequential(*layers)


def two_layers_a_bucket(rank):
    log = []
    net = stack(64)
    for i, layer in enumerate(net):
        layer.weight.register_hook(lambda grad, i=i: log.append(f"grad {i}"))
    model = DistributedDataParallel(net, bucket_cap_mb=2 * 64 * 64 * 4 / 2**20)

    def send(state, bucket):
        log.append(f"bucket {bucket.index()} starts")
        future = dist.all_reduce(bucket.buffer() / 2, async_op=True).get_future()
        return future.then(lambda done: done.value()[0])

    model.register_comm_hook(None, send)
    passes = []
    for _ in range(2):
        log.clear()
        model(torch.ones(2, 64)).sum().backward()
        passes.append(list(log))
    return passes


first, second = launch(two_layers_a_bucket)[0]
print("len(first) =", len(first))
print("first[-1] =", first[-1])

# %% overlap
for event in second:
    print(event)
print("before =", second[second.index("bucket 0 starts") - 1])

# %% timeline volatile=true
import time

import matplotlib.pyplot as plt


def timed(rank):
    log = []
    net = stack(1024)
    start = 0.0

    def note(kind, number):
        log.append((kind, number, 1000 * (time.perf_counter() - start)))

    for i, layer in enumerate(net):
        layer.weight.register_hook(lambda grad, i=i: note("grad", i))
    model = DistributedDataParallel(net, bucket_cap_mb=8)

    def send(state, bucket):
        k = bucket.index()
        note("sent", k)
        future = dist.all_reduce(bucket.buffer() / 2, async_op=True).get_future()

        def arrived(done):
            note("arrived", k)
            return done.value()[0]

        return future.then(arrived)

    model.register_comm_hook(None, send)
    for _ in range(2):
        loss = model(torch.ones(256, 1024)).sum()
        dist.barrier()
        log.clear()
        start = time.perf_counter()
        loss.backward()
    return log


log = launch(timed)[0]
times = {(kind, number): ms for kind, number, ms in log}
begin = 0.0
for i in range(5, -1, -1):
    end = times["grad", i]
    plt.barh("backward", end - begin, left=begin, edgecolor="white", color="#3f7fd9")
    plt.text((begin + end) / 2, "backward", i, ha="center", va="center", color="white")
    begin = end
for k in range(3):
    left, right = times["sent", k], times["arrived", k]
    lane = f"bucket {k}"
    plt.barh(lane, right - left, left=left, color="#d9622b")
plt.gca().invert_yaxis()
plt.xlabel("milliseconds since backward() was called (rank 0)")
plt.show()

# %% no_sync
from contextlib import nullcontext


def accumulate(quiet):
    def job(rank):
        net = line()
        model = DistributedDataParallel(net)
        sent = []

        def send(state, bucket):
            sent.append(bucket.index())
            future = dist.all_reduce(bucket.buffer() / 2, async_op=True).get_future()
            return future.then(lambda done: done.value()[0])

        model.register_comm_hook(None, send)
        first, second = x.chunk(2)[rank].reshape(2, 1, 1)
        with model.no_sync() if quiet else nullcontext():
            model(first).square().mean().backward()
        between = net.weight.grad.item()
        model(second).square().mean().backward()
        return between, net.weight.grad.item(), len(sent)

    return launch(job)


quiet = accumulate(quiet=True)
print("between =", [quiet[0][0], quiet[1][0]])
print("after =", [quiet[0][1], quiet[1][1]])
print("messages =", quiet[0][2])

# %% without_no_sync
loud = accumulate(quiet=False)
print("between =", [loud[0][0], loud[1][0]])
print("after =", [loud[0][1], loud[1][1]])
print("messages =", loud[0][2])


# %% unused raises="RuntimeError"
class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = line(), line()

    def forward(self, h, head):
        return getattr(self, head)(h)


def one_head_only(rank):
    model = DistributedDataParallel(Heads())
    for _ in range(2):
        model(torch.ones(1, 1), "a").sum().backward()


launch(one_head_only)

# %% find_unused


def found(heads):
    def job(rank):
        net = Heads()
        model = DistributedDataParallel(net, find_unused_parameters=True)
        model(torch.ones(1, 1), heads[rank]).sum().backward()
        return [None if p.grad is None else p.grad.item() for p in net.parameters()]

    return launch(job)


print('found("aa") =', found("aa"))
print('found("ab") =', found("ab"))

# %% sharded
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import init_device_mesh


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))


data = torch.arange(16.0).reshape(4, 4) / 16


def sharded_pass(rank):
    model = mlp()
    mesh = init_device_mesh("cpu", (2,))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    model(data.chunk(2)[rank]).square().mean().backward()
    return model


def fsdp(rank):
    model = sharded_pass(rank)
    shards = [list(p.grad.to_local().shape) for p in model.parameters()]
    return shards, [p.grad.full_tensor().tolist() for p in model.parameters()]


(shards_0, grads), (shards_1, _) = launch(fsdp)
print("rank 0 =", shards_0)
print("rank 1 =", shards_1)

plain = mlp()
plain(data).square().mean().backward()
same = [
    torch.allclose(torch.tensor(grad), p.grad, atol=1e-6)
    for grad, p in zip(grads, plain.parameters(), strict=True)
]
print("same =", same)

# %% clip_shards


def clip(rank):
    model = sharded_pass(rank)
    norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    return type(norm).__name__, round(norm.full_tensor().item(), 4)


print("launch(clip) =", launch(clip))
norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
print("norm =", round(norm.item(), 4))

# %% dtensor
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode


def rows(rank):
    mesh = init_device_mesh("cpu", (2,))
    W = distribute_tensor(torch.arange(8.0).reshape(4, 2), mesh, [Shard(0)])
    W.requires_grad_()
    v = distribute_tensor(torch.ones(2), mesh, [Replicate()])
    with CommDebugMode() as sent:
        loss = (W @ v).square().sum()
        loss.backward()
    return {
        "messages": sent.get_total_counts(),
        "loss": loss.placements,
        "W.grad": W.grad.placements,
        "local": W.grad.to_local().tolist(),
        "whole": W.grad.full_tensor().tolist(),
    }


for rank, answer in enumerate(launch(rows)):
    print("rank", rank)
    for name, value in answer.items():
        print("   ", name, "=", value)

# %% torchrun
import subprocess
import sys
from pathlib import Path

Path("train.py").write_text("""\
import os
names = "RANK", "LOCAL_RANK", "WORLD_SIZE"
with open(os.environ["RANK"] + ".txt", "w") as file:
    print({name: os.environ[name] for name in names}, file=file)
""")
torchrun = [sys.executable, "-m", "torch.distributed.run"]
command = [*torchrun, "--standalone", "--nproc-per-node=2", "train.py"]
subprocess.run(command, check=True, capture_output=True)
for rank in (0, 1):
    print(Path(f"{rank}.txt").read_text(), end="")

# %% exercise_1


def clipped(first):
    def job(rank):
        w = torch.tensor([1.0, 1.0], requires_grad=True)
        w.grad = torch.tensor([[6.0, 0.0], [0.0, 2.0]][rank])
        if first == "clip":
            nn.utils.clip_grad_norm_([w], 1.0)
        dist.all_reduce(w.grad)
        w.grad /= 2
        if first == "reduce":
            nn.utils.clip_grad_norm_([w], 1.0)
        return [round(g, 2) for g in w.grad.tolist()]

    return launch(job)[0]


print('clipped("clip") =', clipped("clip"))
print('clipped("reduce") =', clipped("reduce"))

# %% exercise_2


def seeds(wrap):
    def job(rank):
        torch.manual_seed(rank)
        model = nn.Linear(1, 1)
        if wrap:
            DistributedDataParallel(model)
        return model.weight.item()

    a, b = launch(job)
    return a == b


print("seeds(wrap=False) =", seeds(wrap=False))
print("seeds(wrap=True) =", seeds(wrap=True))

# %% exercise_3


def through_all_reduce(rank):
    w = torch.tensor(1.0, requires_grad=True)
    loss = (w * x.chunk(2)[rank]).square().mean()
    total = loss.detach().clone()
    dist.all_reduce(total)
    (grad,) = torch.autograd.grad(loss, w)
    return total.item(), total.requires_grad, grad.item()


print("launch(through_all_reduce) =", launch(through_all_reduce))
