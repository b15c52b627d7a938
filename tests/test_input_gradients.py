"""The claims of the lesson on gradients of the input, each against mathematics or an oracle."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import hessian, vmap
from torch.nn.functional import cross_entropy

from livecell import Runner

Scores = Callable[[Tensor], Tensor]
seeds = st.integers(0, 2**31)


def linear() -> nn.Linear:
    net = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[3.0, -1.0]]))
    return net


def gradient(scores: Tensor, x: Tensor) -> Tensor:
    (g,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return g


# ------------------------------------------------------------------ the input is a leaf
@pytest.mark.parametrize("frozen", [False, True])
def test_who_writes_what(frozen: bool) -> None:
    net = linear().requires_grad_(not frozen)
    x = torch.tensor([[2.0, 5.0]], requires_grad=True)
    (g,) = torch.autograd.grad(net(x).sum(), x)
    assert g.tolist() == [[3, -1]]
    assert x.grad is None
    assert net.weight.grad is None
    net(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[3, -1]]
    assert (net.weight.grad is None) is frozen
    assert frozen or torch.equal(net.weight.grad, x.detach())


def test_eval_freezes_nothing() -> None:
    net, x = linear().eval(), torch.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    assert net.weight.grad is not None


def test_too_late_and_not_the_leaf() -> None:
    net, x = linear(), torch.ones(1, 2)
    score = net(x).sum()
    x.requires_grad_()
    score.backward()
    assert x.grad is None
    raw = torch.ones(2, requires_grad=True)
    for made in raw / 255, raw.double(), raw[None], raw.to("meta"):
        assert not made.is_leaf
    net((raw / 255)[None]).sum().backward()
    assert raw.grad is not None
    torch.testing.assert_close(raw.grad, torch.tensor([3.0, -1.0]) / 255)


def test_nothing_recorded_is_an_error() -> None:
    net, x = linear(), torch.ones(1, 2, requires_grad=True)
    with torch.no_grad():
        score = net(x).sum()
    frozen = net.requires_grad_(False)(torch.ones(1, 2)).sum()
    for nothing in score, frozen:
        with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
            nothing.backward()


@pytest.mark.parametrize("frozen", [False, True])
def test_ids_have_no_gradient_and_their_vectors_do(frozen: bool) -> None:
    ids, net = torch.tensor([[3, 1]]), linear()
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype"):
        ids.requires_grad_()
    h: Tensor = nn.Embedding(5, 2).requires_grad_(not frozen)(ids)
    assert h.requires_grad is not frozen
    if frozen:
        h.requires_grad_()
    assert gradient(net(h), h).tolist() == [[[3, -1], [3, -1]]]


# ------------------------------------------------------------------ batches
@given(seeds, st.integers(1, 6))
def test_the_gradient_of_the_sum_is_that_of_each_row(seed: int, n: int) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    rows = torch.randn(n, 3).double().requires_grad_()
    apart = torch.cat([gradient(net(row), row) for row in rows.split(1)])
    torch.testing.assert_close(gradient(net(rows), rows), apart)
    torch.testing.assert_close(gradient(net(rows).mean(), rows), apart / n)


def test_batch_norm_mixes_the_rows_in_training_only() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(2), linear()).double()
    rows = torch.randn(4, 2).double().requires_grad_()
    assert gradient(model(rows)[0, 0], rows).any(dim=1).all()
    torch.testing.assert_close(gradient(model(rows), rows).abs().max().item(), 0.0)
    model.eval()
    assert gradient(model(rows)[0, 0], rows).any(dim=1).tolist() == [True, False, False, False]


# ------------------------------------------------------------------ images
def templates() -> Tensor:
    plus = torch.zeros(5, 5)
    plus[2] = plus[:, 2] = 1
    return torch.stack([plus, torch.maximum(torch.eye(5), torch.eye(5).flip(0))])


def classifier() -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 5, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 2, bias=False),
    )
    first, last = net[0], net[4]
    assert isinstance(first, nn.Conv2d)
    assert first.bias is not None
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        first.weight.copy_((3 * templates() - 1).unsqueeze(1) / 16)
        first.bias.fill_(-0.12)
        last.weight.copy_(1440 * torch.tensor([[1.0, -1], [-1, 1]]))
    return net.requires_grad_(False)


def noisy_plus(seed: int) -> Tensor:
    torch.manual_seed(seed)
    image = 0.35 * torch.rand(1, 1, 12, 12)
    image[0, 0, 3:8, 5:10] += 0.5 * templates()[0]
    return image


def test_the_classifier_tells_a_plus_from_a_cross() -> None:
    net = classifier()
    for label, shape in enumerate(templates()):
        for seed in range(5):
            image = noisy_plus(seed)
            image[0, 0, 3:8, 5:10] += 0.5 * (shape - templates()[0])
            assert net(image).argmax() == label


def test_a_sure_softmax_is_flat() -> None:
    net, x = classifier(), noisy_plus(1).requires_grad_()
    score, probability = net(x)[0, 0], net(x).softmax(dim=1)[0, 0]
    assert probability > 0.999
    ratio = gradient(probability, x).abs().max() / gradient(score, x).abs().max()
    assert ratio < 0.001


def test_grad_cam_in_closed_form() -> None:
    """Behind an average and a linear layer, the weights are the layer's own, by the pixels."""
    net, x = classifier(), noisy_plus(1).requires_grad_()
    features = net[:2](x)
    g = gradient(net[2:](features)[0, 0], features)
    torch.testing.assert_close(g.mean(dim=(2, 3)), torch.tensor([[10.0, -10.0]]))
    cam = (10 * (features[:, 0] - features[:, 1])).relu()
    assert divmod(cam.argmax().item(), 12) == (5, 7)


def test_features_of_a_frozen_network_need_an_input_that_requires_grad() -> None:
    net, image = classifier(), noisy_plus(1)
    features = net[:2](image)
    assert not features.requires_grad
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        torch.autograd.grad(net[2:](features)[0, 0], features)
    assert net[:2](image.requires_grad_()).requires_grad


@given(seeds)
def test_no_change_of_that_size_does_more_to_first_order(seed: int) -> None:
    torch.manual_seed(seed)
    g, other = torch.randn(20).double(), (torch.rand(20).double() * 2 - 1) * 0.1
    assert (g * 0.1 * g.sign()).sum() >= (g * other).sum()


def attack(net: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    x = image
    for _ in range(10):
        x = x.detach().requires_grad_()
        cross_entropy(net(x), label).backward()
        assert x.grad is not None
        x = (x + 0.02 * x.grad.sign()).clamp(image - 0.1, image + 0.1).clamp(0, 1)
    return x.detach()


def test_signs_of_the_gradient_fool_it_and_random_ones_do_not() -> None:
    net, image, label = classifier(), noisy_plus(1), torch.tensor([0])
    x = image.clone().requires_grad_()
    fgsm = image + 0.1 * gradient(cross_entropy(net(x), label), x).sign()
    assert net(fgsm).argmax() == 1
    for _ in range(50):
        assert net(image + 0.1 * torch.randn(image.shape).sign()).argmax() == 0
    pgd = attack(net, image, label)
    assert cross_entropy(net(pgd), label) > cross_entropy(net(fgsm), label)
    assert (pgd - image).abs().max() <= 0.1 + 1e-6


def test_the_loop_without_detach_has_no_gradient_in_its_second_round() -> None:
    x = torch.ones(2, requires_grad=True)
    x.sum().backward()
    assert x.grad is not None
    moved = x + 0.1 * x.grad.sign()
    assert not moved.is_leaf
    moved.sum().backward()
    with pytest.warns(UserWarning, match="not a leaf Tensor"):
        assert moved.grad is None
    again = moved.detach().requires_grad_()
    assert again.is_leaf
    assert again.grad is None


def test_the_best_image_is_not_a_plus() -> None:
    net = classifier()
    torch.manual_seed(0)
    x = (0.5 * torch.rand(1, 1, 12, 12)).requires_grad_()
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        torch.optim.Adam([0.5 * x])
    optimizer = torch.optim.Adam([x], lr=0.05)
    before = net(x)[0, 0].item()
    for _ in range(100):
        optimizer.zero_grad()
        (-net(x)[0, 0]).backward()
        optimizer.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    after = net(x)[0, 0].item()
    clean = torch.zeros(1, 1, 12, 12)
    clean[0, 0, 3:8, 5:10] = templates()[0]
    bars = torch.zeros(1, 1, 12, 12)
    bars[..., 3::5] = 1
    assert after > net(bars)[0, 0] > net(clean)[0, 0] > before


# ------------------------------------------------------------------ many points
def u(X: Tensor) -> Tensor:
    x, t = X.unbind(dim=1)
    return x**2 * t**3


def laplacian(u: Scores, X: Tensor) -> Tensor:
    columns = gradient(u(X), X).unbind(dim=1)
    return torch.stack([gradient(c, X)[:, i] for i, c in enumerate(columns)]).sum(0)


points = st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=5)


@given(points)
def test_columns_give_the_second_derivatives_and_their_sum_does_not(
    at: list[tuple[float, float]],
) -> None:
    X = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    x, t = X.detach().unbind(dim=1)
    d = gradient(u(X), X)
    torch.testing.assert_close(d.detach(), torch.stack([2 * x * t**3, 3 * x**2 * t**2], 1))
    second = gradient(d[:, 0], X).detach()
    torch.testing.assert_close(second, torch.stack([2 * t**3, 6 * x * t**2], 1))
    summed = gradient(d, X).detach()[:, 0]
    torch.testing.assert_close(summed, 2 * t**3 + 6 * x * t**2)


def test_the_sum_over_columns_is_another_number() -> None:
    X = torch.tensor([[2.0, 3.0]], requires_grad=True)
    d = gradient(u(X), X)
    assert gradient(d, X)[0, 0] == 162
    assert gradient(d[:, 0], X)[0, 0] == 54


@given(points)
def test_the_laplacian_is_the_trace_of_the_hessian(at: list[tuple[float, float]]) -> None:
    X = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    x, t = X.detach().unbind(dim=1)
    expected = 2 * t**3 + 6 * x**2 * t
    torch.testing.assert_close(laplacian(u, X).detach(), expected)

    def trace(row: Tensor) -> Tensor:
        H: Tensor = hessian(lambda row: u(row[None])[0])(row)
        return H.trace()

    torch.testing.assert_close(vmap(trace)(X.detach()), expected)


def test_the_last_bias_has_no_part_in_a_derivative() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    X = torch.randn(5, 2, requires_grad=True)
    laplacian(lambda X: net(X)[:, 0], X).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == ["2.bias"]
    (net(X)[:, 0] - 1).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_without_create_graph_the_residual_is_a_constant() -> None:
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    X = torch.randn(5, 2, requires_grad=True)
    d = gradient(net(X), X)
    (last,) = torch.autograd.grad(d[:, 0].sum(), X)
    assert not last.requires_grad


@pytest.mark.parametrize(
    ("activation", "curved"),
    [
        (nn.ReLU(), False),
        (nn.LeakyReLU(), False),
        (nn.Tanh(), True),
        (nn.SiLU(), True),
        (nn.Softplus(), True),
    ],
)
def test_who_has_a_second_derivative(activation: nn.Module, curved: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), activation, nn.Linear(8, 1))
    X = torch.randn(5, 2, requires_grad=True)
    assert gradient(gradient(net(X), X)[:, 0], X).any() == curved


def test_a_linear_network_raises_instead() -> None:
    X = torch.randn(5, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        gradient(gradient(linear()(X), X)[:, 0], X)


# ------------------------------------------------------------------ exercises
@given(seeds)
def test_gradient_times_input_adds_up_to_the_score_without_biases(seed: int) -> None:
    torch.manual_seed(seed)
    for bias in False, True:
        net = nn.Sequential(nn.Linear(4, 8, bias=bias), nn.ReLU(), nn.Linear(8, 1, bias=bias))
        x = torch.randn(1, 4, requires_grad=True)
        total, score = (gradient(net(x), x) * x).sum(), net(x).sum()
        assert torch.allclose(total, score, atol=1e-5) is not bias


def test_smoothed_saliency_is_the_mean_of_the_copies() -> None:
    net = classifier()
    copies = (noisy_plus(1) + 0.1 * torch.randn(6, 1, 12, 12)).requires_grad_()
    apart = [gradient(net(c)[0, 0], c)[0] for c in copies.split(1)]
    torch.testing.assert_close(gradient(net(copies)[:, 0], copies).mean(0), sum(apart) / 6)


def test_the_solution_of_the_heat_equation_and_one_that_is_none() -> None:
    x = torch.linspace(0, 3, 7, dtype=torch.float64, requires_grad=True)
    t = torch.linspace(0, 1, 7, dtype=torch.float64, requires_grad=True)
    for speed in 1, 2:
        h = torch.exp(-speed * t) * torch.sin(x)
        h_xx = gradient(gradient(h, x), x)
        assert torch.allclose(gradient(h, t), h_xx) is (speed == 1)


# ------------------------------------------------------------------ the page
def test_what_the_sentences_say_of_the_runs(runner: Runner) -> None:
    cells = {cell.name: cell.text() for cell in runner.result("input_gradients").cells}
    assert "image: 0\nnoisy: 0\nfgsm: 1" in cells["fgsm"]
    assert "losses == sorted(losses) = True" in cells["pgd"]
    assert "row, column = (5, 7)" in cells["grad_cam"]
    assert cells["fit"].splitlines() == [
        "Tanh fits = True",
        "Tanh y_xx.any() = True",
        "ReLU fits = True",
        "ReLU y_xx.any() = False",
    ]
