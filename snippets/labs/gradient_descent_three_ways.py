# %% [markdown] lang="zh"
# # 实验：梯度下降的三种写法
#
# 同一个梯度，可以在纸上推出来，可以让 autograd 来算，也可以整个交给优化器。三种写法真的一样吗？学习率又能大到什么程度？多数教程说“试试看”；对线性回归，答案却是一个精确的公式，这个实验先把它推出来，再用数来验证。
#
# **怎么用。** 从上到下依次运行。标着“由你来写”的地方有八处，把 `...` 换成你的代码，再运行后面的检查：对了，它打印 `right`；错了，它告诉你算出了什么、应当是什么、该看哪里。卡住了，先展开提示；答案在带解答的 Notebook 里。大约需要 45 分钟。
#
# **要先会什么。** [标量反向传播](../scalar_backward.md)和[梯度累加](../grad_accumulation.md)；讲上界的几节要用到特征值。
# %% [markdown] lang="en"
# # Lab: gradient descent, three ways
#
# A gradient can be derived on paper, left to autograd, or left, with everything else, to an optimizer. Are the three really the same? And how large may the learning rate be? Most tutorials say “try”. For linear regression there is an exact formula: this lab derives it, and then you watch it hold.
#
# **How to use it.** Run the cells from top to bottom. Eight places say “your turn”: replace `...` by your code and run the check that follows. If you are right, it prints `right`; if not, it says what it found, what it expected and where to look. If you are stuck, open the hint; the answers are in the notebook with solutions. Allow about 45 minutes.
#
# **What you need.** The lessons on [scalar backward](../scalar_backward.md) and [gradient accumulation](../grad_accumulation.md); the parts on bounds use eigenvalues.
# %% data
import matplotlib.pyplot as plt
import torch

torch.manual_seed(0)
n = 30
x = torch.linspace(0, 3, n, dtype=torch.float64)
y = 1.5 * x - 0.5 + 0.4 * torch.randn(n, dtype=torch.float64)

# zh: 一列是 x，一列全是 1：X @ theta 就是“斜率 · x + 截距”
# en: a column of x and a column of ones: X @ theta is slope · x + intercept
X = torch.stack([x, torch.ones_like(x)], dim=1)


def loss(theta):
    return (X @ theta - y).square().mean()


start = torch.tensor([-2.0, 3.0], dtype=torch.float64)
print("X.shape =", X.shape)
print("loss(start) =", round(loss(start).item(), 3))


# %% [markdown] lang="zh"
# ## 线性回归：手推梯度
#
# 参数 $\theta$ 是斜率和截距，损失是均方误差：
#
# $$\ell(\theta) = \frac{1}{n} \sum_{i=1}^{n} \left( x_i^\top \theta - y_i \right)^2$$
#
# 其中 $x_i^\top$ 是 `X` 的第 $i$ 行。
#
# ### 由你来写 1：梯度公式
#
# 在纸上对 $\theta_j$ 求偏导，写成一行矩阵运算。这里不许用 autograd。
#
# <details><summary>提示</summary>
#
# 记残差 $r = X\theta - y$。第 $i$ 项的导数是 $2 r_i x_{ij}$，平均之后
#
# $$\frac{\partial \ell}{\partial \theta_j} = \frac{2}{n} \sum_i x_{ij} r_i$$
#
# 对 $i$ 求和，正是 `X.T` 乘以残差。
#
# </details>
# %% [markdown] lang="en"
# ## Linear regression: the gradient on paper
#
# The parameters $\theta$ are slope and intercept, and the loss is the mean squared error:
#
# $$\ell(\theta) = \frac{1}{n} \sum_{i=1}^{n} \left( x_i^\top \theta - y_i \right)^2$$
#
# where $x_i^\top$ is row $i$ of `X`.
#
# ### Your turn 1: the formula
#
# On paper, take the partial derivative with respect to $\theta_j$, and write it as one line of matrix arithmetic. Autograd is not allowed here.
#
# <details><summary>Hint</summary>
#
# Let $r = X\theta - y$ be the residuals. The derivative of term $i$ is $2 r_i x_{ij}$, and the mean gives
#
# $$\frac{\partial \ell}{\partial \theta_j} = \frac{2}{n} \sum_i x_{ij} r_i$$
#
# The sum over $i$ is `X.T` times the residuals.
#
# </details>
# %% gradient
def gradient(theta):
    # solution:
    return 2 / n * X.T @ (X @ theta - y)
    # end


# %% [markdown] lang="zh"
# 检查不靠 autograd，只用中心差分：把每个参数挪动一点点，量损失的变化。
# %% [markdown] lang="en"
# The check does without autograd. It uses central differences: move each parameter a little, and measure the change of the loss.
# %% check_gradient
def measured_gradient(loss, theta, h=1e-6):
    steps = h * torch.eye(len(theta), dtype=theta.dtype)
    return torch.stack([loss(theta + s) - loss(theta - s) for s in steps]) / (2 * h)


def check_gradient(name, gradient, loss):
    for theta in start, torch.tensor([0.7, 0.1], dtype=torch.float64):
        found, expected = gradient(theta), measured_gradient(loss, theta)
        assert isinstance(found, torch.Tensor), (
            f"{name}: returns {found!r}, expected a tensor; is something still `...`?"
        )
        assert found.shape == theta.shape, (
            f"{name}: the shape is {tuple(found.shape)}, expected {tuple(theta.shape)}; "
            "add up over the data, not over the parameters"
        )
        factor = (found / expected).mean().item()
        advice = "go through the derivative of a single term"
        if torch.allclose(found, factor * expected, rtol=1e-5):
            advice = f"it is {factor:.4g} times what it should be; look at the factors"
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-7), (
            f"{name}: at theta = {theta.tolist()} found {found.tolist()}, expected "
            f"{[round(v, 4) for v in expected.tolist()]} (finite differences); {advice}"
        )
    print(f"{name}: right")


check_gradient("gradient", gradient, loss)


# %% [markdown] lang="zh"
# 有了梯度，下降只有一句：$\theta \leftarrow \theta - \eta \nabla \ell(\theta)$，$\eta$ 是学习率。为了比较三种写法，每一步都留下走到的位置和用到的梯度：
# %% [markdown] lang="en"
# With a gradient, descent is one line: $\theta \leftarrow \theta - \eta \nabla \ell(\theta)$, where $\eta$ is the learning rate. To compare the three ways, each step keeps where it was and which gradient it used:
# %% by_hand
def by_hand(gradient, start, rate, steps):
    theta, path, gradients = start, [], []
    for _ in range(steps):
        path.append(theta)
        gradients.append(gradient(theta))
        theta = theta - rate * gradients[-1]
    return torch.stack(path), torch.stack(gradients)


path, gradients = by_hand(gradient, start, rate=0.1, steps=100)
print("last theta =", [round(v, 3) for v in path[-1].tolist()])


# %% [markdown] lang="zh"
# ## 让 autograd 来算
#
# ### 由你来写 2：循环体
#
# 这回 `theta` 是需要梯度的叶子张量，损失照旧，公式不用了。循环体里写三件事：清掉旧梯度，反向，更新。更新要就地改 `theta`，而且不能被记录下来。
#
# 先想一想：如果忘了清，第二步用的是什么梯度？
#
# <details><summary>提示</summary>
#
# `theta.grad = None`；`loss(theta).backward()`；在 `with torch.no_grad():` 里写 `theta -= rate * theta.grad`。写成 `theta = theta - …` 会得到一个新张量：它不再是那个需要梯度的叶子。
#
# </details>
# %% [markdown] lang="en"
# ## Leave it to autograd
#
# ### Your turn 2: the body of the loop
#
# Now `theta` is a leaf that requires a gradient. The loss stays, the formula goes. Write three things: clear the old gradient, go backward, update. The update must change `theta` in place, and must not be recorded.
#
# Think first: which gradient would the second step use if you forgot to clear?
#
# <details><summary>Hint</summary>
#
# `theta.grad = None`; `loss(theta).backward()`; and under `with torch.no_grad():`, `theta -= rate * theta.grad`. With `theta = theta - …` you would get a new tensor, no longer the leaf that requires a gradient.
#
# </details>
# %% by_autograd
def by_autograd(loss, start, rate, steps):
    theta, path, gradients = start.clone().requires_grad_(), [], []
    for _ in range(steps):
        path.append(theta.detach().clone())
        # solution:
        theta.grad = None
        loss(theta).backward()
        with torch.no_grad():
            theta -= rate * theta.grad
        # end
        gradients.append(theta.grad.clone())
    return torch.stack(path), torch.stack(gradients)


# %% check_by_autograd
def check_descent(name, descend):
    expected_path, expected = by_hand(gradient, start, rate=0.1, steps=20)
    try:
        path, found = descend(loss, start, 0.1, 20)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise AssertionError(
            f"{name}: {type(error).__name__}: {error}. theta must stay the one leaf, get its "
            "gradient from backward(), and be updated in place where nothing is recorded"
        ) from None
    assert torch.allclose(path[0], start), f"{name}: the path must begin at `start`"
    advice = "compare with by_hand, step by step"
    if torch.allclose(found[1], found[0] + expected[1]):
        advice = "the second gradient contains the first; clear it in every step"
    elif torch.equal(path[1], start):
        advice = "theta has not moved"
    elif torch.allclose(path[1] - start, 0.1 * expected[0]):
        advice = "the step goes uphill; subtract"
    elif not torch.allclose(path[1], expected_path[1]):
        advice = (
            "the first step has the wrong length; is it the learning rate times grad?"
        )
    right = torch.allclose(found, expected) and torch.allclose(path, expected_path)
    assert right, (
        f"{name}: after one step theta = {path[1].tolist()} with the gradient "
        f"{found[1].tolist()}, expected {expected_path[1].tolist()} and "
        f"{expected[1].tolist()}; {advice}"
    )
    print(f"{name}: right")


check_descent("by_autograd", by_autograd)


# %% [markdown] lang="zh"
# ## 交给优化器
#
# ### 由你来写 3：还是循环体
#
# 优化器管两件事：清梯度和更新。`make` 收到参数列表，造出优化器，于是学习率之类的设置留在外面。
#
# <details><summary>提示</summary>
#
# `optimizer.zero_grad()`、`loss(theta).backward()`、`optimizer.step()`。
#
# </details>
# %% [markdown] lang="en"
# ## Leave it to an optimizer
#
# ### Your turn 3: the body once more
#
# An optimizer takes over two jobs, clearing and updating. `make` gets the list of parameters and makes the optimizer, so that settings such as the learning rate stay outside.
#
# <details><summary>Hint</summary>
#
# `optimizer.zero_grad()`, `loss(theta).backward()`, `optimizer.step()`.
#
# </details>
# %% by_optimizer
def by_optimizer(loss, start, make, steps):
    theta, path, gradients = start.clone().requires_grad_(), [], []
    optimizer = make([theta])
    for _ in range(steps):
        path.append(theta.detach().clone())
        # solution:
        optimizer.zero_grad()
        loss(theta).backward()
        optimizer.step()
        # end
        gradients.append(theta.grad.clone())
    return torch.stack(path), torch.stack(gradients)


def sgd(rate, **options):
    return lambda parameters: torch.optim.SGD(parameters, lr=rate, **options)


# %% check_by_optimizer
check_descent("by_optimizer", lambda f, s, rate, k: by_optimizer(f, s, sgd(rate), k))

# %% [markdown] lang="zh"
# 三种写法并排放在一起，先看前三步的梯度，再比较全部 100 步：
# %% [markdown] lang="en"
# The three side by side: first the gradients of three steps, then a comparison of all 100:
# %% three_ways
ways = {
    "by_hand": by_hand(gradient, start, 0.1, 100),
    "by_autograd": by_autograd(loss, start, 0.1, 100),
    "by_optimizer": by_optimizer(loss, start, sgd(0.1), 100),
}
for step in range(3):
    for name, (_, found) in ways.items():
        print(step, [round(v, 6) for v in found[step].tolist()], name)
for name, (_, found) in ways.items():
    print("equal in all steps:", torch.allclose(found, gradients, rtol=1e-9), name)

# %% [markdown] lang="zh"
# 梯度相等（舍入误差除外），走的路也就相同。差别只在谁来写：公式、循环，还是两样都不写。
#
# ## 看看它怎么走
#
# 线性回归的最小值点可以直接解出来。下面用三种学习率，从同一个起点走 30 步。运行之前先猜：在山谷两侧来回跳的那个，会输给稳稳当当的那个吗？
# %% [markdown] lang="en"
# The gradients are equal, up to rounding, and so the paths are, too. What differs is what you write: the formula, the loop, or neither.
#
# ## Watch it go
#
# The minimum of linear regression can be computed directly. Below, three learning rates take 30 steps from the same start. Guess before you run it: does the one that jumps across the valley lose against the smooth ones?
# %% paths_figure
minimum = torch.linalg.lstsq(X, y[:, None]).solution[:, 0]


def contours(axes, loss, centre, width, height, levels):
    # zh: 损失的等高线，以最小值点为中心
    # en: contour lines of the loss around its minimum
    grid = torch.linspace(-1, 1, 25, dtype=torch.float64)
    across, up = centre[0] + width * grid, centre[1] + height * grid
    values = [[loss(torch.stack([a, b])).item() for a in across] for b in up]
    axes.contour(across, up, values, levels=levels, colors="gray", linewidths=0.6)
    axes.plot(*centre, "+", color="gray", markersize=10)
    axes.set(xlabel="slope")


def losses_along(path, loss):
    return [loss(theta).item() for theta in path]


figure, (left, right) = plt.subplots(1, 2)
contours(left, loss, minimum, 4.2, 5.2, [0.5, 3, 11])
for rate, style in [(0.02, "-"), (0.13, "--"), (0.25, ":")]:
    path, _ = by_hand(gradient, start, rate, 30)
    left.plot(*path.T, style, linewidth=1.2)
    right.plot(losses_along(path, loss), style, label=f"{rate}")
left.set(ylabel="intercept", xticks=[-2, 0, 2, 4], yticks=[-4, -2, 0, 2, 4])
right.set(xlabel="step", title="loss", yscale="log")
right.minorticks_off()
right.legend(title="rate")
plt.show()


# %% [markdown] lang="zh"
# <!-- alt: 左图：损失的等高线是倾斜的狭长椭圆。学习率 0.02 的路慢慢滑进谷底，30 步后离最小值点还很远；0.13 的路很快进入谷底，再沿谷走；0.25 的路在山谷两侧来回跳，越跳越窄，跳向最小值点。右图：对数坐标下的损失，0.02 降得最慢；0.13 起初最快，后来被 0.25 超过，0.25 最后最低。 -->
# 来回跳的反而赢了：陡的方向上，一左一右，越跳越近；平的方向上，步子大就走得快。那就再大一点？0.26 还行，0.27 就完了。这条界线在哪里，算得出来。
#
# ## 学习率的精确上界
#
# 线性回归的损失是二次函数，梯度是线性的：$\nabla \ell(\theta) = H (\theta - \theta^*)$，$\theta^*$ 是最小值点，$H = \frac{2}{n} X^\top X$ 是海森矩阵。把它代进下降的公式，误差 $e_k = \theta_k - \theta^*$ 满足
#
# $$e_{k+1} = (I - \eta H)\, e_k$$
#
# 把 $e$ 分解到 $H$ 的特征方向上，每个方向各走各的：特征值为 $\lambda$ 的那个方向，每步乘以 $1 - \eta\lambda$。要趋于零，就要 $|1 - \eta\lambda| < 1$，即 $0 < \eta < 2/\lambda$。每个方向都要满足，最严的是最大的特征值 $L$：
#
# $$\text{对任意起点都收敛} \iff 0 < \eta < \frac{2}{L}$$
#
# ### 由你来写 4：上界
#
# <details><summary>提示</summary>
#
# `torch.linalg.eigvalsh(H)` 返回对称矩阵的特征值，从小到大。
#
# </details>
# %% [markdown] lang="en"
# <!-- alt: Left: the contour lines of the loss are long, tilted ellipses. With rate 0.02 the path slides slowly into the valley and is far from the minimum after 30 steps; with 0.13 it is soon in the valley and follows it; with 0.25 it jumps from side to side, less and less far, to the minimum. Right: the loss on a logarithmic scale; 0.02 falls most slowly; 0.13 is fastest at first, then 0.25 overtakes it and ends lowest. -->
# The one that jumps wins: in the steep direction, the jumps from left to right shrink little by little, and in the flat direction a large step gets on faster. Larger still, then? 0.26 is all right, 0.27 is the end. Where that border lies can be computed.
#
# ## The exact bound on the learning rate
#
# The loss of linear regression is quadratic and its gradient linear: $\nabla \ell(\theta) = H (\theta - \theta^*)$ with the minimum $\theta^*$ and the Hessian $H = \frac{2}{n} X^\top X$. Put that into the step, and the error $e_k = \theta_k - \theta^*$ obeys
#
# $$e_{k+1} = (I - \eta H)\, e_k$$
#
# Split $e$ into the eigenvectors of $H$, and each direction goes its own way: with eigenvalue $\lambda$, each step multiplies it by $1 - \eta\lambda$. That goes to zero if $|1 - \eta\lambda| < 1$, that is, $0 < \eta < 2/\lambda$. All directions must do so, and the largest eigenvalue $L$ is the strictest:
#
# $$\text{convergence from every start} \iff 0 < \eta < \frac{2}{L}$$
#
# ### Your turn 4: the bound
#
# <details><summary>Hint</summary>
#
# `torch.linalg.eigvalsh(H)` returns the eigenvalues of a symmetric matrix, the smallest first.
#
# </details>
# %% largest_rate
def largest_rate(H):
    # solution:
    return 2 / torch.linalg.eigvalsh(H)[-1]
    # end


# %% check_largest_rate
def check_largest_rate():
    H = torch.tensor([[5.0, 3.0], [3.0, 5.0]])
    found = largest_rate(H)
    assert isinstance(found, (float, torch.Tensor)), (
        f"largest_rate: returns {found!r}, expected a number; is something still `...`?"
    )
    assert torch.as_tensor(found).numel() == 1, (
        f"largest_rate: returns {found}, expected one number for all directions"
    )
    advice = {
        1.0: "this belongs to the smallest eigenvalue; the largest is the strictest",
        8.0: "this is the eigenvalue L itself; the bound is 2 / L",
        0.125: "this is 1 / L; see for which rates |1 - rate * L| < 1",
    }.get(round(float(found), 4), "the eigenvalues of this H are 2 and 8")
    assert abs(float(found) - 0.25) < 1e-5, (
        f"largest_rate of {H.tolist()} is {float(found):.4f}, expected 0.25; {advice}"
    )
    print("largest_rate: right")


check_largest_rate()

# %% [markdown] lang="zh"
# 现在让它接受检验。取上界的 0.5、0.99、1、1.01 倍，各走 200 步，量第 200 步和第 100 步到最小值点的距离之比。先猜：正好取上界，会怎样？
#
# 每行末尾是公式的预言：100 步之后，主导的那个方向乘了 $|1 - \eta\lambda|^{100}$。
# %% [markdown] lang="en"
# Now put it to the test. Take 0.5, 0.99, 1 and 1.01 times the bound for 200 steps, and compare the distance to the minimum at step 200 with that at step 100. Guess first: what happens exactly at the bound?
#
# The last number of each line is what the formula foretells: in 100 steps the leading direction is multiplied by $|1 - \eta\lambda|^{100}$.
# %% bound_seen
H = 2 / n * X.T @ X
bound = largest_rate(H).item()
eigenvalues = torch.linalg.eigvalsh(H)
print("eigenvalues =", [round(v, 3) for v in eigenvalues.tolist()])
print("bound =", round(bound, 4))


def distances(path):
    return (path - minimum).norm(dim=1)


for factor in 0.5, 0.99, 1, 1.01:
    path, _ = by_hand(gradient, start, factor * bound, 201)
    ratio = distances(path)[200] / distances(path)[100]
    foretold = (1 - factor * bound * eigenvalues).abs().max() ** 100
    print(f"{factor} of the bound: {ratio:.3g}, foretold {foretold:.3g}")

# %% [markdown] lang="zh"
# 三位数字全都对上了。0.5 倍时慢的是小特征值那个方向；0.99 倍时每步把误差翻到对面，只缩短 2%；正好取上界，就永远在两点之间跳；超过 1%，每步放大 2%，损失越走越大，直到溢出。
#
# 海森矩阵也不必手推：`torch.autograd.functional.hessian` 用[双重反向](../hessians.md#create-graph)就能算出来。
# %% [markdown] lang="en"
# All three digits agree. At 0.5 the slow direction is that of the small eigenvalue. At 0.99 each step throws the error to the other side and shortens it by 2% only. Exactly at the bound it jumps between two points for ever. At 1% more, each step makes it 2% longer, and the loss grows until it overflows.
#
# The Hessian need not be derived, either: `torch.autograd.functional.hessian` gets it by [double backward](../hessians.md#create-graph).
# %% hessian_by_autograd
found = torch.autograd.functional.hessian(loss, start)
print("equal to 2/n XᵀX:", torch.allclose(found, H))


# %% [markdown] lang="zh"
# ## 动量
#
# 来回跳和慢慢爬，是同一个毛病的两面：一个学习率要照顾所有方向。动量给下降加上惯性，来回跳的分量互相抵消，方向一致的分量越积越多。PyTorch 的写法是：
#
# $$v \leftarrow \beta v + \nabla \ell(\theta), \qquad \theta \leftarrow \theta - \eta v$$
#
# ### 由你来写 5：带动量的一步
#
# `velocity` 从零开始。写出循环体里的两行更新，`g` 是当前的梯度。
#
# <details><summary>提示</summary>
#
# 注意 PyTorch 的公式里梯度前面没有 $(1 - \beta)$：有的书那样写，两者只差一个学习率的换算。
#
# </details>
# %% [markdown] lang="en"
# ## Momentum
#
# Jumping from side to side and crawling are two faces of one problem: a single rate for all directions. Momentum gives the descent inertia. What jumps to and fro cancels, what keeps its direction piles up. In PyTorch's form:
#
# $$v \leftarrow \beta v + \nabla \ell(\theta), \qquad \theta \leftarrow \theta - \eta v$$
#
# ### Your turn 5: a step with momentum
#
# `velocity` starts at zero. Write the two updates in the body of the loop; `g` is the present gradient.
#
# <details><summary>Hint</summary>
#
# In PyTorch's formula there is no $(1 - \beta)$ before the gradient. Some books write one; the two differ by a factor in the learning rate.
#
# </details>
# %% with_momentum
def with_momentum(gradient, start, rate, beta, steps):
    theta, velocity, path = start, torch.zeros_like(start), []
    for _ in range(steps):
        path.append(theta)
        g = gradient(theta)
        # solution:
        velocity = beta * velocity + g
        theta = theta - rate * velocity
        # end
    return torch.stack(path)


# %% check_with_momentum
def check_with_momentum():
    found = with_momentum(gradient, start, 0.02, 0.9, 20)
    expected, _ = by_optimizer(loss, start, sgd(0.02, momentum=0.9), 20)
    plain, _ = by_hand(gradient, start, 0.02, 20)
    advice = "compare your two lines with the formula"
    if torch.equal(found[1], start):
        advice = "theta has not moved"
    elif torch.allclose(found, plain):
        advice = "this is descent without momentum; is the old velocity in the new one?"
    elif torch.allclose(found[1] - start, 0.1 * (expected[1] - start)):
        advice = "there is a factor (1 - beta) before the gradient; PyTorch has none"
    assert torch.allclose(found, expected), (
        f"with_momentum: the first three steps are {found[1:4].tolist()}, expected "
        f"{expected[1:4].tolist()} (torch.optim.SGD with momentum=0.9); {advice}"
    )
    print("with_momentum: right")


check_with_momentum()


# %% [markdown] lang="zh"
# ### 由你来写 6：动量的上界
#
# 有了惯性，学习率的上界会变小还是变大？先凭直觉猜，再来推。在特征值为 $\lambda$ 的方向上，消去 $v$，得到
#
# $$e_{k+1} = (1 + \beta - \eta\lambda)\, e_k - \beta\, e_{k-1}$$
#
# 它的解由方程 $r^2 - (1 + \beta - \eta\lambda)\, r + \beta = 0$ 的两个根决定，趋于零就要两个根的绝对值都小于 1。对 $0 \le \beta < 1$，这等价于 $|1 + \beta - \eta\lambda| < 1 + \beta$。由此写出 $\eta$ 的上界，`L` 是最大的特征值。
#
# <details><summary>提示</summary>
#
# 去掉绝对值：$-(1 + \beta) < 1 + \beta - \eta\lambda$，所以 $\eta\lambda < 2(1 + \beta)$。$\beta = 0$ 时应当回到 $2/L$。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 6: the bound with momentum
#
# With inertia, does the bound on the learning rate become smaller or larger? Guess, then derive it. Along an eigenvector with eigenvalue $\lambda$, eliminating $v$ gives
#
# $$e_{k+1} = (1 + \beta - \eta\lambda)\, e_k - \beta\, e_{k-1}$$
#
# Its solutions are governed by the two roots of $r^2 - (1 + \beta - \eta\lambda)\, r + \beta = 0$, and they go to zero if both roots are less than 1 in absolute value. For $0 \le \beta < 1$ that is the same as $|1 + \beta - \eta\lambda| < 1 + \beta$. Write the bound on $\eta$ that follows; `L` is the largest eigenvalue.
#
# <details><summary>Hint</summary>
#
# Without the absolute value: $-(1 + \beta) < 1 + \beta - \eta\lambda$, hence $\eta\lambda < 2(1 + \beta)$. For $\beta = 0$ you must get back to $2/L$.
#
# </details>
# %% largest_rate_with_momentum
def largest_rate_with_momentum(L, beta):
    # solution:
    return 2 * (1 + beta) / L
    # end


# %% check_momentum_bound
def check_momentum_bound():
    L = eigenvalues[-1].item()
    for beta in 0.0, 0.5, 0.9:
        bound = largest_rate_with_momentum(L, beta)
        assert isinstance(bound, (float, torch.Tensor)), (
            f"returns {bound!r}, expected a number; is something still `...`?"
        )
        # zh: 略小于上界要收敛，略大于上界要发散
        # en: a little below it must converge, a little above it must diverge
        for factor, says in (0.98, "converge"), (1.02, "diverge"):
            path = with_momentum(gradient, start, factor * float(bound), beta, 1500)
            shrinks = bool((distances(path)[-1] < 1e-3).item())
            assert shrinks == (says == "converge"), (
                f"beta = {beta}: your bound is {float(bound):.4f}, but {factor} times that "
                f"does not {says}; the bound must be too {'small' if shrinks else 'large'}"
            )
    print("largest_rate_with_momentum: right")


check_momentum_bound()

# %% [markdown] lang="zh"
# 变大了，$\beta = 0.9$ 时几乎翻倍。不过动量真正的好处不在这里，而在快。设最大、最小特征值之比为 $\kappa$。不用动量，最好的学习率是 $2/(L + \mu)$（$\mu$ 是最小特征值），每步误差乘以 $(\kappa - 1)/(\kappa + 1)$；用动量，最好的一对 $\eta$、$\beta$ 能让它接近 $(\sqrt\kappa - 1)/(\sqrt\kappa + 1)$。一个开方，差多少步？
# %% [markdown] lang="en"
# Larger: almost twice as large for $\beta = 0.9$. But the real gain of momentum is not that; it is speed. Let $\kappa$ be the ratio of the largest to the smallest eigenvalue. Without momentum the best rate is $2/(L + \mu)$, where $\mu$ is the smallest eigenvalue, and each step multiplies the error by $(\kappa - 1)/(\kappa + 1)$. With it, the best pair of $\eta$ and $\beta$ gets close to $(\sqrt\kappa - 1)/(\sqrt\kappa + 1)$. One square root: how many steps is that worth?
# %% speed
smallest, L = eigenvalues.tolist()
kappa = L / smallest
best_rate = 2 / (L + smallest)
best_beta = ((kappa**0.5 - 1) / (kappa**0.5 + 1)) ** 2
best_pair_rate = (2 / (L**0.5 + smallest**0.5)) ** 2

plain, _ = by_hand(gradient, start, best_rate, 300)
heavy = with_momentum(gradient, start, best_pair_rate, best_beta, 300)
print("kappa =", round(kappa, 1))
print("best rate =", round(best_rate, 3))
print("best pair =", round(best_pair_rate, 3), round(best_beta, 3))
for name, path in {"plain": plain, "momentum": heavy}.items():
    steps = int((distances(path) > 1e-6).sum())
    print(f"{name}: {steps} steps to within 1e-6 of the minimum")

# %% bounds_figure
at = range(0, 101, 5)
for factor, style in [(0.5, "-"), (0.99, "--"), (1, "-."), (1.01, ":")]:
    path, _ = by_hand(gradient, start, factor * bound, 101)
    plt.plot(at, distances(path)[::5], style, label=f"{factor} × 2/L")
plt.plot(at[:9], distances(heavy[:41])[::5], label="momentum")
plt.xlabel("step")
plt.ylabel("distance")
plt.yscale("log")
plt.yticks([1e-6, 1e-3, 1])
plt.minorticks_off()
plt.legend(loc="lower right")
plt.show()

# %% [markdown] lang="zh"
# <!-- alt: 到最小值点的距离，对数坐标，100 步。学习率为上界的 0.5 倍，距离按直线下降；0.99 倍起初下降，此后降得很慢；正好等于上界，很快变成水平线；1.01 倍先降后升。动量的最好一对陡得多，40 步就降到百万分之一以下。 -->
# 不带动量的四条线最后都成了直线，斜率是 $\log|1 - \eta\lambda|$：往下、水平、往上，界线分明。动量的那条陡得多。
#
# ## 逻辑回归
#
# 线性回归的故事太完整了：二次函数，一条界线管一切。换一个不是二次的损失，哪些还成立？标签 `t` 是 0 或 1，预测是 $\sigma(x_i^\top\theta)$，损失是交叉熵。令 $z = X\theta$，可以写成
#
# $$\ell(\theta) = \frac{1}{n} \sum_i \left( \log(1 + e^{z_i}) - t_i z_i \right)$$
#
# 直接写 `log(1 + exp(z))`，$z$ 很大时会溢出，所以用 `softplus`。
# %% [markdown] lang="en"
# <!-- alt: Distance to the minimum in 100 steps on a logarithmic scale. At 0.5 of the bound it falls in a straight line; at 0.99 it falls at first and then very slowly; exactly at the bound it soon becomes level; at 1.01 it falls and then rises. The best pair with momentum is much steeper and gets below a millionth in 40 steps. -->
# The four curves without momentum end as straight lines of slope $\log|1 - \eta\lambda|$: downwards, level, upwards, with a clear border. The one with momentum is much steeper.
#
# ## Logistic regression
#
# The story of linear regression is almost too good: a quadratic, and one border that rules it all. What remains if the loss is not quadratic? The labels `t` are 0 or 1, the prediction is $\sigma(x_i^\top\theta)$, and the loss is the cross-entropy. With $z = X\theta$ it reads
#
# $$\ell(\theta) = \frac{1}{n} \sum_i \left( \log(1 + e^{z_i}) - t_i z_i \right)$$
#
# Taken literally, `log(1 + exp(z))` overflows for large $z$; hence `softplus`.
# %% logistic_data
t = (torch.rand(n) < torch.sigmoid(3 * (x - 1.5))).double()
print("t =", t.int().tolist())


def logistic_loss(theta):
    z = X @ theta
    return (torch.nn.functional.softplus(z) - t * z).mean()


# %% [markdown] lang="zh"
# ### 由你来写 7：逻辑回归的梯度
#
# 还是先在纸上推，不用 autograd。
#
# <details><summary>提示</summary>
#
# $\frac{d}{dz} \log(1 + e^z) = \sigma(z)$，所以每一项对 $z_i$ 的导数是 $\sigma(z_i) - t_i$：预测减标签。剩下的和线性回归一样，只是少了那个 2。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 7: the gradient of logistic regression
#
# On paper again, without autograd.
#
# <details><summary>Hint</summary>
#
# $\frac{d}{dz} \log(1 + e^z) = \sigma(z)$, so the derivative of each term with respect to $z_i$ is $\sigma(z_i) - t_i$: prediction minus label. The rest is as in linear regression, without the 2.
#
# </details>
# %% logistic_gradient
def logistic_gradient(theta):
    # solution:
    return X.T @ (torch.sigmoid(X @ theta) - t) / n
    # end


# %% check_logistic_gradient
check_gradient("logistic_gradient", logistic_gradient, logistic_loss)

# %% [markdown] lang="zh"
# 前面写的三种下降一个字也不用改：
# %% [markdown] lang="en"
# The three ways of descent serve as they are:
# %% logistic_three_ways
zero = torch.zeros_like(start)
_, by_formula = by_hand(logistic_gradient, zero, 1.0, 100)
_, by_graph = by_autograd(logistic_loss, zero, 1.0, 100)
_, by_sgd = by_optimizer(logistic_loss, zero, sgd(1.0), 100)
for step in 0, 1, 99:
    print(step, [round(v, 6) for v in by_formula[step].tolist()])
print("by_autograd equal in all steps:", torch.allclose(by_graph, by_formula))
print("by_optimizer equal in all steps:", torch.allclose(by_sgd, by_formula))


# %% [markdown] lang="zh"
# ### 由你来写 8：最小值点附近的上界
#
# 现在海森矩阵随 $\theta$ 而变，$2/L$ 里的 $L$ 该取哪里的？走到最小值点 $\theta^*$ 附近，损失近似于二次函数，所以**那里**的海森矩阵说了算：学习率超过 $2/L(\theta^*)$，就收敛不到 $\theta^*$，除非碰巧从某些特别的点出发。
#
# 用 autograd 求海森矩阵，再交给前面的 `largest_rate`。`logistic_minimum` 由牛顿法求得，已经写好。
#
# <details><summary>提示</summary>
#
# `torch.autograd.functional.hessian(loss, theta)`，就是前面验证过的那个。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 8: the bound near the minimum
#
# Now the Hessian changes with $\theta$. Whose $L$ belongs into $2/L$? Near the minimum $\theta^*$ the loss is almost quadratic, so the Hessian **there** decides: beyond $2/L(\theta^*)$, descent does not converge to $\theta^*$, except from a few special starts.
#
# Get the Hessian by autograd and give it to `largest_rate` from above. `logistic_minimum` is found by Newton's method; that part is written.
#
# <details><summary>Hint</summary>
#
# `torch.autograd.functional.hessian(loss, theta)`, which you saw above.
#
# </details>
# %% largest_rate_at
def largest_rate_at(loss, theta):
    # solution:
    return largest_rate(torch.autograd.functional.hessian(loss, theta))
    # end


logistic_minimum = zero
for _ in range(20):
    curvature = torch.autograd.functional.hessian(logistic_loss, logistic_minimum)
    slope = logistic_gradient(logistic_minimum)
    logistic_minimum = logistic_minimum - torch.linalg.solve(curvature, slope)
print("logistic_minimum =", [round(v, 3) for v in logistic_minimum.tolist()])


# %% check_largest_rate_at
def check_largest_rate_at():
    found = largest_rate_at(logistic_loss, logistic_minimum)
    assert isinstance(found, (float, torch.Tensor)), (
        f"largest_rate_at: returns {found!r}, expected a number; is something still `...`?"
    )
    p = torch.sigmoid(X @ logistic_minimum)
    by_formula = largest_rate(X.T @ (X * (p * (1 - p))[:, None]) / n)
    linear = largest_rate(H)
    close = torch.allclose(torch.as_tensor(found), linear)
    advice = (
        "this is the bound of linear regression"
        if close
        else "differentiate which loss?"
    )
    assert torch.allclose(torch.as_tensor(found), by_formula), (
        f"largest_rate_at: found {float(found):.4f}, expected {float(by_formula):.4f} "
        f"(2 / L of the Hessian by formula, at the minimum); {advice}"
    )
    print("largest_rate_at: right")


check_largest_rate_at()

# %% [markdown] lang="zh"
# 接下来是整个实验里最出人意料的一次运行。从最小值点旁边出发，学习率取这个上界的 0.9 倍和 1.1 倍，走 2000 步。线性回归里，1.1 倍会让损失冲向无穷。这里呢？先猜。
# %% [markdown] lang="en"
# Next comes the most surprising run of this lab. Start beside the minimum and take 0.9 and 1.1 times the bound, for 2000 steps. In linear regression, 1.1 would send the loss to infinity. And here? Guess first.
# %% logistic_bound_seen
local_bound = largest_rate_at(logistic_loss, logistic_minimum).item()
safe_bound = largest_rate(X.T @ X / (4 * n)).item()
beside = logistic_minimum + 0.05
print("local bound =", round(local_bound, 3))
print("safe bound =", round(safe_bound, 3))
print("loss at the minimum =", round(logistic_loss(logistic_minimum).item(), 4))
runs = {}
for factor in 0.9, 1.1:
    runs[factor], _ = by_hand(logistic_gradient, beside, factor * local_bound, 2000)
    last = losses_along(runs[factor][-4:], logistic_loss)
    print(f"{factor} of the local bound:", [round(v, 4) for v in last])

# %% [markdown] lang="zh"
# 它没有冲向无穷，也没有收敛，而是永远在两个点之间来回跳。为什么跳不远？因为 $\sigma(z_i) - t_i$ 总在 $-1$ 和 $1$ 之间，梯度有界；离最小值点远了，曲率就变小，跳过头的一步会被拉回来。线性回归的梯度随距离增长，没有东西拉住它。
#
# 另一个数 `safe bound` 是对所有 $\theta$ 都成立的保证：$\sigma' \le 1/4$，所以任何地方的海森矩阵都不超过 $\frac{1}{4n} X^\top X$；学习率小于它给出的上界，每一步损失都不会上升。这是充分条件，不是必要条件：在这里，局部的界线是它的 2.7 倍。
# %% [markdown] lang="en"
# It neither runs to infinity nor converges: it jumps between two points for ever. What holds it back? $\sigma(z_i) - t_i$ always lies between $-1$ and $1$, so the gradient is bounded; and the further from the minimum, the smaller the curvature, so a step too far is pulled back. The gradient of linear regression grows with the distance, and nothing holds it.
#
# The other number, `safe bound`, is a guarantee for all $\theta$: $\sigma' \le 1/4$, so nowhere does the Hessian exceed $\frac{1}{4n} X^\top X$, and with a rate below the bound from that, no step makes the loss larger. That is sufficient, not necessary: here the local border is 2.7 times as large.
# %% logistic_figure
figure, axes = plt.subplots()
contours(axes, logistic_loss, logistic_minimum, 3, 4, [0.4, 0.6])
safe, _ = by_hand(logistic_gradient, zero, safe_bound, 100)
axes.plot(*safe.T, label="safe")
axes.plot(*runs[1.1][-2:].T, "--", marker="o", label="1.1 × 2/L")
axes.set(ylabel="intercept", xticks=[0, 2, 4], yticks=[-6, -4, -2, 0])
axes.legend()
plt.show()

# %% [markdown] lang="zh"
# <!-- alt: 逻辑回归损失的等高线，一条狭长倾斜的山谷。学习率取 safe bound 的路（图例 safe）从原点出发，拐两个小弯之后沿着谷底走到最小值点；取局部上界的 1.1 倍时，最后剩下一条虚线段，横跨山谷，两端各在最小值点的一侧。 -->
# 实线走到了最小值点；虚线的两端，就是另一个永远来回跳的两个点，最小值点的两侧各一个。
#
# ## 记住这些
#
# - 手推、autograd、优化器，用的是同一个梯度，走的是同一条路。
# - 二次损失的上界是精确的：$\eta < 2/L$，带动量则是 $\eta < 2(1 + \beta)/L$，$L$ 是海森矩阵的最大特征值。
# - 一般的损失，最小值点处的 $2/L$ 决定能不能收敛到那里；超过了，也未必冲向无穷。
# - 损失来回跳，多半是学习率碰到了最大的特征值；下降得慢，多半是最小的特征值。
#
# ## 还想再试
#
# - 把 `x` 标准化（减均值、除以标准差），再看 $\kappa$ 和所需的步数。
# - 把标签换成线性可分的 `t = (x > 1.5).double()`：损失还有最小值吗？`theta` 往哪里去？
# - 用 `sgd(rate, momentum=0.9, nesterov=True)`，与普通的动量比较步数。
# %% [markdown] lang="en"
# <!-- alt: Contour lines of the logistic loss, a long, tilted valley. With the safe bound as the rate (“safe”), the path from the origin takes two small turns and then follows the valley to the minimum. At 1.1 of the local bound a short dashed line is left, across the valley, with one end on either side of the minimum. -->
# The solid path gets to the minimum. The ends of the dashed line are the two points between which the other one jumps for ever, one on either side of the minimum.
#
# ## What you should remember
#
# - On paper, by autograd or by an optimizer: it is the same gradient and the same path.
# - For a quadratic loss the bound is exact: $\eta < 2/L$, and $\eta < 2(1 + \beta)/L$ with momentum, where $L$ is the largest eigenvalue of the Hessian.
# - For other losses, $2/L$ at the minimum decides whether descent can converge to it. Beyond it, the loss need not run to infinity.
# - A loss that jumps up and down has probably met the largest eigenvalue, a slow one the smallest.
#
# ## Go on
#
# - Standardise `x` (subtract the mean, divide by the standard deviation), and look at $\kappa$ and the number of steps again.
# - Make the labels separable, `t = (x > 1.5).double()`: does the loss still have a minimum? Where does `theta` go?
# - Use `sgd(rate, momentum=0.9, nesterov=True)`, and compare the number of steps with ordinary momentum.
