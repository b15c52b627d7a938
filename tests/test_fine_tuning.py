"""The claims of the lesson on freezing and fine-tuning, each against mathematics or torch."""

import copy
import io
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from livecell import Runner

Make = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
ROWS = st.lists(st.integers(0, 4), min_size=1, max_size=8)


def gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def text(runner: Runner, name: str) -> str:
    return {cell.name: cell.text() for cell in runner.result("fine_tuning").cells}[name]


def flags(module: nn.Module) -> set[bool]:
    return {p.requires_grad for p in module.parameters()}


def sgd(**options: float) -> Make:
    return lambda p: torch.optim.SGD(p, lr=0.1, **options)  # type: ignore[arg-type]


def test_an_attribute_of_a_module_freezes_nothing_and_neither_does_a_misspelt_flag() -> None:
    layer: Any = nn.Linear(2, 1)
    layer.requires_grad = False
    layer.weight.require_grad = False
    assert flags(layer) == {True}
    layer.requires_grad_(False)
    assert flags(layer) == {False}


def test_a_frozen_layer_in_the_middle_lets_the_gradient_through() -> None:
    first, middle, last = (nn.Linear(3, 3, dtype=torch.float64) for _ in range(3))
    x = torch.randn(2, 3, dtype=torch.float64)
    middle.requires_grad_(False)
    last(middle(first(x))).sum().backward()
    towards = torch.ones(2, 3, dtype=torch.float64) @ last.weight @ middle.weight
    torch.testing.assert_close(gradient(first.weight), towards.T @ x)
    assert middle.weight.grad is None


def test_a_layer_put_in_after_freezing_is_trainable_and_before_is_not() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model.requires_grad_(False)
    model[1] = nn.Linear(1, 1)
    assert (flags(model[0]), flags(model[1])) == ({False}, {True})
    model.requires_grad_(False)
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        model(torch.ones(1, 1)).sum().backward()


@given(st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=6), st.integers(1, 4))
def test_the_statistics_of_a_frozen_batch_norm_move_by_a_tenth(
    values: list[float], passes: int
) -> None:
    norm = nn.BatchNorm1d(1).requires_grad_(False)
    x = torch.tensor(values)[:, None]
    for _ in range(passes):
        norm(x)
    assert norm.running_mean is not None
    expected = (1 - 0.9**passes) * x.mean(0)
    torch.testing.assert_close(norm.running_mean, expected, atol=1e-5, rtol=1e-5)
    norm.eval()
    norm(x)
    torch.testing.assert_close(norm.running_mean, expected, atol=1e-5, rtol=1e-5)


def test_train_of_the_whole_model_undoes_eval_and_eval_alone_freezes_no_weight() -> None:
    net = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))
    net[0].eval()
    assert net.train()[0].training
    norm = nn.BatchNorm1d(1).eval()
    norm(torch.tensor([[1.0], [3.0]])).sum().backward()
    torch.testing.assert_close(gradient(norm.weight), torch.tensor([4.0]), rtol=1e-4, atol=0)
    assert gradient(norm.bias).item() == 2


def test_the_norm_of_the_page_stays_in_evaluation_mode(runner: Runner) -> None:
    assert text(runner, "keep_eval").split("\n")[:2] == [
        "net.head.training = True",
        "net.norm.training = False",
    ]


@pytest.mark.parametrize("make", [sgd(), sgd(momentum=0.9, weight_decay=0.5), torch.optim.AdamW])
def test_an_optimizer_skips_a_frozen_parameter_that_never_had_a_gradient(make: Make) -> None:
    frozen, other = nn.Parameter(torch.ones(1), requires_grad=False), nn.Parameter(torch.ones(1))
    optimizer = make([frozen, other])
    (frozen * other).backward()
    optimizer.step()
    assert frozen.item() == 1
    assert other.item() != 1
    frozen.requires_grad_(True)
    (frozen * other).backward()
    optimizer.step()
    assert frozen.item() != 1


def test_what_was_filtered_out_needs_add_param_group_to_be_thawed() -> None:
    frozen, other = (nn.Parameter(torch.ones(1)) for _ in range(2))
    frozen.requires_grad_(False)
    optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, [frozen, other]), lr=0.1)
    frozen.requires_grad_(True)
    (frozen + other).sum().backward()
    optimizer.step()
    assert frozen.item() == 1
    optimizer.add_param_group({"params": [frozen], "lr": 0.01})
    optimizer.step()
    torch.testing.assert_close(frozen.detach(), torch.tensor([0.99]))
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        optimizer.add_param_group({"params": [frozen]})


def test_a_group_takes_from_the_optimizer_what_it_does_not_set() -> None:
    a, b = (nn.Parameter(torch.ones(1)) for _ in range(2))
    groups: list[dict[str, Any]] = [{"params": [a], "lr": 0.01}, {"params": [b]}]
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=0.5)
    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [
        (0.01, 0.5),
        (0.1, 0.5),
    ]
    a.grad, b.grad = torch.ones(1), torch.ones(1)
    optimizer.step()
    torch.testing.assert_close(torch.cat([a, b]), torch.tensor([1 - 0.015, 1 - 0.15]))


def test_the_flag_of_a_row_is_refused_and_through_data_it_does_nothing() -> None:
    w = nn.Parameter(torch.ones(3, 1))
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf"):
        w[0].requires_grad = False
    w.data[0].requires_grad = False
    w.sum().backward()
    assert w.requires_grad
    assert gradient(w)[0] == 1


ADAM_AFTER_ONE = 0.1 * (0.09 / 0.19) / (0.000999 / 0.001999) ** 0.5
"""Adam's second step with the gradient 0, after a first one with any gradient, in closed form."""


@pytest.mark.parametrize(
    ("make", "at_once", "late"),
    [
        (sgd(), 0.0, 0.0),
        (sgd(weight_decay=0.5), 0.05, 0.05 * 0.75),
        (lambda p: torch.optim.Adam(p, lr=0.1), 0.0, ADAM_AFTER_ONE),
        (lambda p: torch.optim.AdamW(p, lr=0.1), 0.001, ADAM_AFTER_ONE + 0.001 * 0.899),
    ],
)
def test_how_far_a_masked_row_moves(make: Make, at_once: float, late: float) -> None:
    for steps_before, expected in ((0, at_once), (1, late)):
        w = nn.Parameter(torch.ones(2, 1, dtype=torch.float64))
        optimizer = make([w])
        for masked in [False] * steps_before + [True]:
            before = w[0].item()
            optimizer.zero_grad()
            w.square().sum().backward()
            if masked:
                gradient(w)[0] = 0
            optimizer.step()
        assert before - w[0].item() == pytest.approx(expected, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("make", [sgd(weight_decay=0.5, momentum=0.9), torch.optim.AdamW])
def test_a_joined_row_never_moves(make: Make) -> None:
    fixed, trained = torch.ones(1, 1), nn.Parameter(torch.ones(2, 1))
    optimizer = make([trained])
    for _ in range(3):
        optimizer.zero_grad()
        torch.cat([fixed, trained]).square().sum().backward()
        optimizer.step()
    assert fixed.item() == 1
    assert fixed.grad is None
    assert (trained < 1).all()


@given(ROWS)
def test_a_row_of_an_embedding_gets_as_many_gradients_as_it_was_used(rows: list[int]) -> None:
    for sparse in (False, True):
        table = nn.Embedding(5, 2, padding_idx=0, sparse=sparse)
        table(torch.tensor(rows)).sum().backward()
        grad = gradient(table.weight).to_dense()
        expected = [0.0 if row == 0 else float(rows.count(row)) for row in range(5)]
        assert grad.tolist() == [[count, count] for count in expected]


def test_adam_moves_an_unused_row_and_sparse_adam_does_not() -> None:
    for sparse, expected in ((False, ADAM_AFTER_ONE), (True, 0.0)):
        table = nn.Embedding(2, 1, sparse=sparse, dtype=torch.float64)
        make: Any = torch.optim.SparseAdam if sparse else torch.optim.Adam
        optimizer = make(table.parameters(), lr=0.1)
        for rows in ([0, 1], [1]):
            optimizer.zero_grad()
            before = table.weight[0].item()
            table(torch.tensor(rows)).sum().backward()
            optimizer.step()
        assert before - table.weight[0].item() == pytest.approx(expected, rel=1e-5)


def test_adam_and_clipping_refuse_a_sparse_gradient() -> None:
    table = nn.Embedding(2, 1, sparse=True)
    table(torch.tensor([0])).sum().backward()
    with pytest.raises(RuntimeError, match="Adam does not support sparse gradients"):
        torch.optim.Adam(table.parameters()).step()
    with pytest.raises(NotImplementedError, match="Could not run 'aten::linalg_vector_norm'"):
        nn.utils.clip_grad_norm_(table.parameters(), 1.0)


def test_from_pretrained_freezes_by_default() -> None:
    rows = torch.ones(2, 2)
    assert not nn.Embedding.from_pretrained(rows).weight.requires_grad
    assert nn.Embedding.from_pretrained(rows, freeze=False).weight.requires_grad


def test_only_the_same_object_ties() -> None:
    embed, out, other = nn.Embedding(3, 2), nn.Linear(2, 3, bias=False), nn.Linear(2, 3, bias=False)
    out.weight = embed.weight
    other.weight = nn.Parameter(embed.weight)
    assert len(list(nn.ModuleList([embed, out]).parameters())) == 1
    both = nn.ModuleList([embed, other])
    assert len(list(both.parameters())) == 2
    before = embed.weight.detach().clone()
    for p in both.parameters():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(both.parameters(), lr=0.1).step()
    torch.testing.assert_close(embed.weight.detach(), before - 0.2)  # stepped twice
    with pytest.raises(TypeError, match=r"cannot assign 'torch\.FloatTensor' as"):
        out.weight = embed.weight.T


@given(st.lists(st.integers(0, 2), min_size=1, max_size=5))
def test_the_gradient_of_a_tied_weight_is_the_sum_over_its_uses(rows: list[int]) -> None:
    ids = torch.tensor(rows)
    w, first, last = (torch.arange(6.0).view(3, 2).requires_grad_() for _ in range(3))
    F.linear(w[ids], w).sum().backward()
    F.linear(first[ids], last).sum().backward()
    assert torch.equal(gradient(w), gradient(first) + gradient(last))


@given(st.integers(-9, 9).map(float), st.integers(-9, 9).map(float))
def test_a_layer_called_twice_gets_both_gradients(w: float, x: float) -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, w)
    layer(layer(torch.tensor([x]))).sum().backward()
    assert gradient(layer.weight).item() == 2 * w * x


def test_the_table_of_kinds(runner: Runner) -> None:
    lines = text(runner, "kinds").splitlines()
    table = {cells[0]: cells[1:] for cells in map(str.split, lines[1:])}
    assert lines[0].split() == [".grad", "parameters()", "state_dict()", "double()"]
    assert table == {
        "parameter": ["yes", "yes", "yes", "yes"],
        "frozen": ["-", "yes", "yes", "yes"],
        "buffer": ["-", "-", "yes", "yes"],
        "unsaved": ["-", "-", "-", "yes"],
        "tensor": ["yes", "-", "-", "-"],
    }


@pytest.mark.parametrize("zero", ["A", "B", "AB"])
def test_the_gradients_of_an_adapter(zero: str) -> None:
    torch.manual_seed(0)
    size, rank = 3, 2
    W, x, y = (torch.randn(size, size, dtype=torch.float64) for _ in range(3))
    A = torch.randn(rank, size, dtype=torch.float64) * ("A" not in zero)
    B = torch.randn(size, rank, dtype=torch.float64) * ("B" not in zero)
    A.requires_grad_()
    B.requires_grad_()
    output = x @ W.T + x @ A.T @ B.T
    (output - y).square().sum().backward()
    towards = 2 * (output - y).detach()
    torch.testing.assert_close(gradient(A), B.detach().T @ towards.T @ x)
    torch.testing.assert_close(gradient(B), towards.T @ x @ A.detach().T)
    assert gradient(A).any() == ("B" not in zero)
    assert gradient(B).any() == ("A" not in zero)


@given(st.floats(0, 1), st.integers(1, 5))
def test_a_moving_average_under_no_grad(rate: float, steps: int) -> None:
    teacher, student = (nn.Parameter(torch.full((1,), v).double()) for v in (1.0, 2.0))
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in"):
        teacher.lerp_(student, rate)
    with torch.no_grad():
        for _ in range(steps):
            teacher.lerp_(student, rate)
    assert teacher.is_leaf
    assert teacher.item() == pytest.approx(2 - (1 - rate) ** steps)


def test_parameters_contain_no_buffers() -> None:
    norm = nn.BatchNorm1d(1)
    assert {name for name, _ in norm.named_parameters()} == {"weight", "bias"}
    assert "running_mean" in dict(norm.named_buffers())


def test_what_a_copy_and_a_file_keep() -> None:
    model = nn.Linear(1, 1)
    model(torch.ones(1)).sum().backward()
    model.requires_grad_(False)
    twin = copy.deepcopy(model)
    assert (twin.weight.grad, flags(twin)) == (None, {False})
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    reloaded = nn.Linear(1, 1)
    reloaded.load_state_dict(torch.load(file))
    assert (reloaded.weight.grad, flags(reloaded)) == (None, {True})
    assert torch.equal(reloaded.weight, model.weight)
