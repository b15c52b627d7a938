"""The claims of the lesson on several processes, in real processes, against one process alone."""

import multiprocessing
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch._dynamo  # DDP imports it; once here saves every process the time
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import _functional_collectives
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.nn import functional
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from livecell import Runner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the processes are forks")
Job = Callable[[int], Any]


def process(rank: int, job: Job, folder: str, results: Any) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = socket.if_nameindex()[0][1]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    dist.barrier()  # until both are connected
    try:
        results.put((rank, job(rank)))
    except Exception as error:
        results.put((rank, error))
    dist.destroy_process_group()


def launch(job: Job) -> list[Any]:
    """What `job` returns in process 0 and in process 1."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=process, args=(rank, job, folder, results)) for rank in (0, 1)
        ]
        for p in processes:
            p.start()
        answers = dict(results.get() for _ in processes)
        for p in processes:
            p.join()
    for answer in answers.values():
        if isinstance(answer, Exception):
            raise answer
    return [answers[0], answers[1]]


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def data() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(6, 3, dtype=torch.float64)


def loss(out: Tensor) -> Tensor:
    return (out - 1).square().mean()


def grads(model: nn.Module) -> list[list[Any]]:
    return [p.grad.tolist() for p in model.parameters() if p.grad is not None]


def alone(batch: Tensor, of: Callable[[Tensor], Tensor] = loss) -> list[Tensor]:
    model = mlp()
    of(model(batch)).backward()
    return [torch.tensor(grad, dtype=torch.float64) for grad in grads(model)]


def close(found: list[list[Any]], expected: list[Tensor]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(torch.allclose(torch.tensor(f, dtype=e.dtype), e) for f, e in pairs)


def ddp(sizes: list[int], of: Callable[[Tensor], Tensor] = loss) -> list[list[Any]]:
    def job(rank: int) -> list[list[Any]]:
        model = DistributedDataParallel(mlp())
        of(model(data().split(sizes)[rank])).backward()
        return grads(model)

    first, second = launch(job)
    assert first == second
    found: list[list[Any]] = first
    return found


def test_ddp_over_equal_parts_is_the_full_batch() -> None:
    assert close(ddp([3, 3]), alone(data()))


def test_ddp_over_uneven_parts_is_the_mean_of_the_parts() -> None:
    """The checker can fail: here the gradient is not that of the full batch."""
    found = ddp([1, 5])
    parts = [alone(part) for part in data().split([1, 5])]
    assert close(found, [(a + b) / 2 for a, b in zip(*parts, strict=True)])
    assert not close(found, alone(data()))


def test_sums_over_the_count_of_all_times_the_processes_mend_it() -> None:
    found = ddp([1, 5], lambda out: (out - 1).square().sum() / (6 * 2) * 2)
    assert close(found, alone(data()))


def test_a_sum_loss_comes_out_half() -> None:
    def total(out: Tensor) -> Tensor:
        return (out - 1).square().sum()

    assert close(ddp([3, 3], total), [grad / 2 for grad in alone(data(), total)])


def test_all_reduce_by_hand_is_the_full_batch() -> None:
    def job(rank: int) -> list[list[Any]]:
        model = mlp()
        loss(model(data().chunk(2)[rank])).backward()
        for p in model.parameters():
            dist.all_reduce(p.grad)
            assert p.grad is not None
            p.grad /= 2
        return grads(model)

    for found in launch(job):
        assert close(found, alone(data()))


def test_autograd_grad_is_not_averaged_and_a_penalty_is() -> None:
    """The penalty's gradient by hand: (d/dx (w x)^2)^2 = 4 w^4 x^2, so 16 w^3 x^2 for w."""

    def job(rank: int) -> tuple[float, float, float]:
        net = nn.Linear(1, 1, bias=False)
        nn.init.ones_(net.weight)
        model = DistributedDataParallel(net)
        x = torch.tensor([[rank + 1.0]], requires_grad=True)
        out = model(x).square()
        (own,) = torch.autograd.grad(out, net.weight, retain_graph=True)
        (slope,) = torch.autograd.grad(out, x, create_graph=True)
        slope.square().sum().backward()
        assert net.weight.grad is not None
        return own.item(), slope.item(), net.weight.grad.item()

    assert launch(job) == [(2.0, 2.0, 40.0), (8.0, 4.0, 40.0)]
    assert (16 + 64) / 2 == 40


@pytest.mark.parametrize("option", [{}, {"forward_sync_buffers": False}])
def test_two_forward_passes_with_buffers_are_allowed(option: dict[str, Any]) -> None:
    def job(rank: int) -> list[list[Any]]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
        model: Any = DistributedDataParallel(net, **option)
        part = data().chunk(2)[rank]
        (model(part) * model(2 * part)).square().mean().backward()
        return grads(net)

    def by_hand(rank: int) -> list[list[Any]]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
        part = data().chunk(2)[rank]
        (net(part) * net(2 * part)).square().mean().backward()
        return grads(net)

    parts = [[torch.tensor(grad, dtype=torch.float64) for grad in by_hand(rank)] for rank in (0, 1)]
    expected = [(a + b) / 2 for a, b in zip(*parts, strict=True)]
    for found in launch(job):
        assert close(found, expected)


@pytest.mark.parametrize("how", ["plain", "own", "times two", "nn", "single"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_gathered_loss_has_the_gradient_of_the_whole_only_if_messages_are_recorded(
    how: str,
) -> None:
    """L = (w + 2 w)^2, so the slope is 18; the own part put back gives half of it."""

    def job(rank: int) -> float | None:
        net = nn.Linear(1, 1, bias=False)
        nn.init.ones_(net.weight)
        model = DistributedDataParallel(net)
        h = model(torch.tensor([[rank + 1.0]]))
        if how == "nn":
            parts = list(functional.all_gather(h))
        elif how == "single":
            together = _functional_collectives.all_gather_single(h, 0, dist.group.WORLD)  # type: ignore[arg-type]
            parts = list(together)
        else:
            parts = [torch.empty_like(h) for _ in range(2)]
            dist.all_gather(parts, h)
            if how != "plain":
                parts[rank] = h
        loss: Any = sum(parts)
        loss = loss.square().sum() * (2 if how == "times two" else 1)
        if not loss.requires_grad:
            return None
        loss.backward()
        assert net.weight.grad is not None
        return net.weight.grad.item()

    expected = {"plain": None, "own": 9.0, "times two": 18.0, "nn": 18.0, "single": 18.0}
    assert launch(job) == [expected[how]] * 2


def test_the_noise_of_an_average_shrinks_with_the_root_of_the_number() -> None:
    torch.manual_seed(0)
    noise = torch.randn(16, 20_000, dtype=torch.float64)
    assert abs(noise.mean(0).std().item() * 16**0.5 - 1) < 0.05


@pytest.mark.parametrize(("quiet", "messages"), [(True, 1), (False, 2)])
def test_no_sync_saves_messages_and_changes_nothing_else(quiet: bool, messages: int) -> None:
    def job(rank: int) -> tuple[int, list[list[Any]]]:
        model = DistributedDataParallel(mlp())
        sent = []

        # torch checks the annotation
        def send(state: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
            sent.append(bucket.index())
            work = dist.all_reduce(bucket.buffer() / 2, async_op=True)
            assert work is not None
            done: torch.futures.Future[Tensor] = work.get_future().then(lambda f: f.value()[0])
            return done

        model.register_comm_hook(None, send)
        parts = data().chunk(2)[rank].split([1, 2])
        with model.no_sync() if quiet else nullcontext():
            (model(parts[0]) - 1).square().sum().backward()
        ((model(parts[1]) - 1).square().sum()).backward()
        return len(sent), grads(model)

    for count, found in launch(job):
        assert count == messages
        assert close(found, [6 * grad for grad in alone(data())])


def test_buckets_leave_in_reverse_order_while_backward_runs() -> None:
    def job(rank: int) -> list[list[str]]:
        net = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(4)])
        log: list[str] = []
        for i, weight in enumerate(net.parameters()):
            weight.register_hook(lambda grad, i=i: log.append(f"grad {i}"))
        model = DistributedDataParallel(net, bucket_cap_mb=2 * 64 * 64 * 4 / 2**20)

        # torch checks the annotation
        def send(state: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
            log.append(f"bucket {bucket.index()}")
            done: torch.futures.Future[Tensor] = torch.futures.Future()
            done.set_result(bucket.buffer())
            return done

        model.register_comm_hook(None, send)
        passes = []
        for _ in range(2):
            log.clear()
            model(torch.ones(1, 64)).sum().backward()
            passes.append(list(log))
        return passes

    first, second = launch(job)[0]
    assert first == ["grad 3", "grad 2", "grad 1", "grad 0", "bucket 0"]
    assert second == ["grad 3", "grad 2", "bucket 0", "grad 1", "grad 0", "bucket 1"]


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)

    def forward(self, h: Tensor, head: str) -> Any:
        return getattr(self, head)(h)


def test_an_unused_parameter_is_noticed_in_the_next_forward_pass() -> None:
    def job(rank: int) -> None:
        model = DistributedDataParallel(Heads())
        model(torch.ones(1, 1), "a").sum().backward()
        model(torch.ones(1, 1), "a")

    with pytest.raises(RuntimeError, match="Expected to have finished reduction in the prior"):
        launch(job)


@pytest.mark.parametrize(("heads", "expected"), [("aa", [1.0, None]), ("ab", [0.5, 0.5])])
def test_found_unused_parameters_get_nothing_or_a_share(
    heads: str, expected: list[float | None]
) -> None:
    def job(rank: int) -> list[float | None]:
        model = DistributedDataParallel(Heads(), find_unused_parameters=True)
        model(torch.ones(1, 1), heads[rank]).sum().backward()
        return [None if p.grad is None else p.grad.item() for p in model.parameters()]

    assert launch(job) == [expected, expected]


def test_sharded_gradients_are_the_plain_ones() -> None:
    def job(rank: int) -> tuple[list[int], list[list[Any]]]:
        model = mlp()
        mesh = init_device_mesh("cpu", (2,))
        for module in (model[0], model[2], model):
            fully_shard(module, mesh=mesh)
        loss(model(data().chunk(2)[rank])).backward()
        held = [p.grad.to_local().numel() for p in model.parameters()]  # type: ignore[union-attr]
        return held, [p.grad.full_tensor().tolist() for p in model.parameters()]  # type: ignore[union-attr]

    (held_0, found), (held_1, _) = launch(job)
    expected = alone(data())
    assert close(found, expected)
    assert [a + b for a, b in zip(held_0, held_1, strict=True)] == [g.numel() for g in expected]


def test_shards_are_clipped_by_the_norm_of_the_whole_gradient() -> None:
    def job(rank: int) -> tuple[float, list[list[Any]]]:
        model = mlp()
        mesh = init_device_mesh("cpu", (2,))
        fully_shard(model, mesh=mesh)
        loss(model(data().chunk(2)[rank])).backward()
        norm: Any = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        whole: list[Any] = [p.grad for p in model.parameters()]
        return norm.full_tensor().item(), [grad.full_tensor().tolist() for grad in whole]

    expected = alone(data())
    total = sum(grad.square().sum() for grad in expected) ** 0.5
    for norm, found in launch(job):
        assert norm == pytest.approx(float(total))
        assert close(found, [grad * (0.1 / total) for grad in expected])


def test_a_gradient_lies_in_the_shards_of_its_tensor() -> None:
    def job(rank: int) -> tuple[str, str, list[Any]]:
        mesh = init_device_mesh("cpu", (2,))
        W = distribute_tensor(torch.arange(8.0).reshape(4, 2), mesh, [Shard(0)])
        W.requires_grad_()
        v = distribute_tensor(torch.tensor([1.0, -2.0]), mesh, [Replicate()])
        out = (W @ v).square().sum()
        out.backward()
        grad: Any = W.grad
        return str(out.placements), str(grad.placements), grad.full_tensor().tolist()  # type: ignore[attr-defined]

    W, v = torch.arange(8.0).reshape(4, 2), torch.tensor([1.0, -2.0])
    for loss_placements, placements, grad in launch(job):
        assert "Partial" in loss_placements
        assert "Shard(dim=0)" in placements
        torch.testing.assert_close(torch.tensor(grad), 2 * torch.outer(W @ v, v))


@pytest.mark.parametrize("wrap", [False, True])
def test_ddp_gives_all_processes_the_parameters_of_rank_0(wrap: bool) -> None:
    def job(rank: int) -> float:
        torch.manual_seed(rank)
        model = nn.Linear(1, 1)
        if wrap:
            DistributedDataParallel(model)
        return model.weight.item()

    torch.manual_seed(0)
    expected = nn.Linear(1, 1).weight.item()
    first, second = launch(job)
    assert first == expected
    assert (second == expected) == wrap


def test_clipping_before_the_average_turns_it() -> None:
    g = [torch.tensor([6.0, 0.0]), torch.tensor([0.0, 2.0])]
    after = (g[0] + g[1]) / 2
    before = (g[0] / g[0].norm() + g[1] / g[1].norm()) / 2
    cosine = nn.functional.cosine_similarity
    assert cosine(before, after, dim=0) < 0.95


def test_autograd_does_not_record_all_reduce_and_warns() -> None:
    def job(rank: int) -> tuple[float, float, bool]:
        w = torch.tensor(1.0, requires_grad=True)
        total = w * (rank + 1.0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dist.all_reduce(total)
            (grad,) = torch.autograd.grad(total, w)
        warned = any("autograd kernel was not registered" in str(w.message) for w in caught)
        return total.item(), grad.item(), warned

    assert launch(job) == [(3.0, 1.0, True), (3.0, 2.0, True)]


def test_the_typed_choices_are_what_the_page_says_they_are(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("distributed_gradients").cells}
    assert f"{2 + 98 / 3:.4f}" == "34.6667"
    assert "equal  = 25.0" in cells["not_equal"]
    assert "bucket 0 starts" in cells["buckets"]
    assert cells["overlap"].splitlines()[-2:] == ["bucket 2 starts", "before = grad 4"]
