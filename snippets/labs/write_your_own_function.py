# %% [markdown] lang="zh"
# # 实验：自己写 Function
#
# 两个 autograd 自己做不好的函数，由你来写导数：
#
# - **log-sum-exp**：公式对，算出来却是 `inf` 和 `nan`。你要写出稳定的前向和反向，让它还能再求一次导，再量一量省了多少内存。
# - **直通量化**：真正的导数几乎处处是零，没法训练。你要写一个“错”的导数，并且知道它错在哪里。
#
# 每个空格写着 `...  # 由你来写`；紧接着的检查会告诉你写得对不对，不对时说明差在哪里。卡住了，先展开提示；答案在“带解答的 Notebook”里。本页显示的输出，都是用解答运行出来的。
#
# 需要的知识都在[自定义 Function](../custom_function.md) 和 [gradcheck](../gradcheck.md) 两课里。

# %% [markdown] lang="en"
# # Lab: write your own Function
#
# Two functions that autograd does not do well by itself. You write their derivatives:
#
# - **Log-sum-exp**: the formula is right, but the results are `inf` and `nan`. You write a stable forward and backward, make it differentiable twice, and measure how much memory that saves.
# - **A straight-through quantiser**: its true derivative is zero almost everywhere, and nothing can be trained with that. You write a “wrong” one, and know in which way it is wrong.
#
# Each gap reads `...  # your turn`. The check below it says whether your code is right and, if it is not, what differs. If you are stuck, open the hint; the answers are in the notebook with solutions. The outputs on this page were made with those.
#
# All you need is in the lessons [Custom Functions](../custom_function.md) and [gradcheck](../gradcheck.md).

# %% setup
import torch
from torch.autograd import Function, gradcheck, gradgradcheck
from torch.autograd.graph import saved_tensors_hooks


# zh: 每个检查都用它来比较两个张量
# en: every check compares two tensors with this
def compare(what, found, expected, hint):
    if not isinstance(found, torch.Tensor):
        raise AssertionError(f"{what}: found {found!r}, expected a tensor; {hint}")
    if found.shape != expected.shape:
        shapes = f"found shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
        raise AssertionError(f"{what}: {shapes}; {hint}")
    if not torch.allclose(found, expected):
        values = f"found {found.tolist()}, expected {expected.tolist()}"
        raise AssertionError(f"{what}: {values}; {hint}")
    print(f"{what}: right")


# %% [markdown] lang="zh"
# ## 一个会溢出的公式 {#overflow}
#
# $$y = \log \sum_j e^{x_j}$$
#
# 它是最大值的光滑版本，分类的损失里到处都有它。照公式写，一行就够：

# %% [markdown] lang="en"
# ## A formula that overflows {#overflow}
#
# $$y = \log \sum_j e^{x_j}$$
#
# This is a smooth version of the maximum, and every classification loss contains it. As the formula has it, it takes one line:


# %% naive
def naive(x):
    return x.exp().sum(-1).log()


x = torch.tensor([[1.0, 2.0, 3.0], [0.0, 50.0, 100.0]], requires_grad=True)
y = naive(x)
y.sum().backward()
print("y =", y)
print("x.grad =", x.grad)

# %% [markdown] lang="zh"
# 第一行没有问题。第二行里 $e^{100}$ 超出了 float32 的范围，成了 `inf`，梯度里就出现了 `nan`。
#
# 设 $m = \max_j x_j$。指数里减去 $m$，外面再加回来，值不变：
#
# $$\log \sum_j e^{x_j} = m + \log \sum_j e^{x_j - m}$$
#
# 现在最大的指数是 $e^0 = 1$，不会溢出；和至少是 1，对数也没有问题。
#
# ## 稳定的前向 {#forward}
#
# 沿最后一维计算，形状 `(…, n)` 变成 `(…)`。

# %% [markdown] lang="en"
# The first row is fine. In the second, $e^{100}$ is beyond the range of float32 and becomes `inf`, and so `nan` gets into the gradient.
#
# Let $m = \max_j x_j$. Subtract $m$ inside, add it outside, and the value stays the same:
#
# $$\log \sum_j e^{x_j} = m + \log \sum_j e^{x_j - m}$$
#
# Now the largest exponential is $e^0 = 1$, which cannot overflow, and the sum is at least 1, which suits the logarithm.
#
# ## A stable forward {#forward}
#
# Work along the last dimension: the shape `(…, n)` becomes `(…)`.


# %% forward
def stable(x):
    # solution:
    m = x.amax(-1, keepdim=True)
    return m.squeeze(-1) + (x - m).exp().sum(-1).log()
    # end


# %% [markdown] lang="zh"
# <details>
# <summary>提示</summary>
#
# `x.amax(-1, keepdim=True)` 的形状是 `(…, 1)`，可以直接从 `x` 里减去。加回来的时候，这个多余的维要用 `squeeze(-1)` 去掉，否则有 $k$ 行时，`(k, 1)` 加 `(k,)` 会广播成 `(k, k)`。
#
# </details>

# %% [markdown] lang="en"
# <details>
# <summary>Hint</summary>
#
# `x.amax(-1, keepdim=True)` has the shape `(…, 1)`, so it can be subtracted from `x` as it is. When you add it back, `squeeze(-1)` takes that dimension away; otherwise, with $k$ rows, `(k, 1)` plus `(k,)` broadcasts to `(k, k)`.
#
# </details>


# %% check_forward
def check_forward(f):
    rows = torch.tensor([[1.0, 2.0, 3.0], [0.0, 100.0, 200.0], [-200.0, -100.0, 0.5]])
    for name, x in ("small", rows[0]), ("rows", rows), ("very negative", rows - 300):
        hint = "subtract the largest value of each row, and add it back outside"
        compare(f"forward, {name}", f(x), torch.logsumexp(x, -1), hint)


check_forward(stable)

# %% [markdown] lang="zh"
# ## 反向 {#backward}
#
# 求导得到 softmax，而且用 $y$ 来写最简单，不必再求最大值：
#
# $$p_j = \frac{\partial y}{\partial x_j} = \frac{e^{x_j}}{\sum_k e^{x_k}} = e^{x_j - y}$$
#
# 因为 $x_j \le y$，这里也不会溢出。请写两处：`setup_context` 存下反向要用的张量；`backward` 收到 $y$ 的梯度（形状 `(…)`），返回 $x$ 的梯度（形状 `(…, n)`）。

# %% [markdown] lang="en"
# ## Backward {#backward}
#
# The derivative is the softmax, and it is simplest in terms of $y$, with no maximum in sight:
#
# $$p_j = \frac{\partial y}{\partial x_j} = \frac{e^{x_j}}{\sum_k e^{x_k}} = e^{x_j - y}$$
#
# Since $x_j \le y$, this does not overflow either. Write two things: `setup_context` saves the tensors that the backward needs; `backward` receives the gradient of $y$, of shape `(…)`, and returns that of $x$, of shape `(…, n)`.


# %% backward
class LogSumExp(Function):
    @staticmethod
    def forward(x):
        return stable(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        # solution:
        ctx.save_for_backward(*inputs, output)
        # end

    @staticmethod
    def backward(ctx, grad):
        # solution:
        x, y = ctx.saved_tensors
        return grad.unsqueeze(-1) * (x - y.unsqueeze(-1)).exp()
        # end


# %% [markdown] lang="zh"
# <details>
# <summary>提示</summary>
#
# `inputs` 是元组 `(x,)`，`output` 是 $y$。一次 `ctx.save_for_backward(x, y)` 存下两个张量；在 `backward` 里，`x, y = ctx.saved_tensors` 取出来。`grad` 和 `y` 都少一维，先 `unsqueeze(-1)`。
#
# </details>

# %% [markdown] lang="en"
# <details>
# <summary>Hint</summary>
#
# `inputs` is the tuple `(x,)`, and `output` is $y$. One call, `ctx.save_for_backward(x, y)`, saves both; `x, y = ctx.saved_tensors` gets them back in `backward`. `grad` and `y` lack a dimension: `unsqueeze(-1)` first.
#
# </details>


# %% check_backward
def check_backward(function):
    x = torch.tensor([[1.0, 2.0, 3.0], [0.0, 50.0, 100.0]], requires_grad=True)
    weights = torch.tensor([1.0, -2.0])
    (found,) = torch.autograd.grad(function.apply(x), x, weights, allow_unused=True)
    expected = weights.unsqueeze(-1) * x.detach().softmax(-1)
    hint = (
        "each row is grad times exp(x - y); check unsqueeze(-1), and that grad is used"
    )
    compare("backward", found, expected, hint)


check_backward(LogSumExp)

# %% [markdown] lang="zh"
# ## 再求一次导 {#double}
#
# 海森矩阵也写得出来：$\dfrac{\partial p_i}{\partial x_j} = p_i (\delta_{ij} - p_j)$。你的 `backward` 如果从**保存的输入和输出**出发、只用 PyTorch 的运算，autograd 就能穿过它再求一次导。

# %% [markdown] lang="en"
# ## Once more {#double}
#
# The Hessian has a formula, too: $\dfrac{\partial p_i}{\partial x_j} = p_i (\delta_{ij} - p_j)$. If your `backward` starts from the saved **inputs and outputs**, and uses PyTorch operations only, autograd can differentiate through it again.


# %% check_double
def check_double(function):
    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    found = torch.autograd.functional.hessian(function.apply, x)
    p = x.softmax(-1)
    hint = "backward must compute p from the saved x and y; a p saved ready-made is a constant"
    compare("double backward", found, p.diag() - p.outer(p), hint)


check_double(LogSumExp)

# %% [markdown] lang="zh"
# 这个检查防的是下面这种写法：先把 $p$ 算好存起来，反向少算一个指数。一阶导数对，二阶导数却悄悄成了零：在反向看来，$p$ 是常数，不随 $x$ 变化。

# %% [markdown] lang="en"
# What this check guards against is the following: compute $p$ at once and save it, to spare the backward an exponential. The first derivative is right. The second is zero, without a word: to the backward, $p$ is a constant that does not change with $x$.


# %% ready_made
class ReadyMade(LogSumExp):
    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0].softmax(-1))

    @staticmethod
    def backward(ctx, grad):
        (p,) = ctx.saved_tensors
        return grad.unsqueeze(-1) * p


check_backward(ReadyMade)
hessian = torch.autograd.functional.hessian(ReadyMade.apply, x[0].detach())
print("hessian =", hessian)

# %% [markdown] lang="zh"
# 最后让 `gradcheck` 用有限差分核对一遍：它不知道任何公式。要用 float64。

# %% [markdown] lang="en"
# Finally `gradcheck` compares with finite differences: it knows no formula. It wants float64.

# %% gradcheck
torch.manual_seed(0)
sample = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
print("gradcheck =", gradcheck(LogSumExp.apply, sample))
print("gradgradcheck =", gradgradcheck(LogSumExp.apply, sample))

# %% [markdown] lang="zh"
# ## save_for_backward 还是属性 {#save}
#
# 把张量存成 `ctx` 的属性，程序短一行，结果也一样，直到有人就地改写了输出：

# %% [markdown] lang="en"
# ## save_for_backward or attributes {#save}
#
# Tensors kept as attributes of `ctx` make the program a line shorter and give the same results, until someone overwrites the output in place:


# %% attributes
class Attributes(LogSumExp):
    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.x, ctx.y = *inputs, output

    @staticmethod
    def backward(ctx, grad):
        return grad.unsqueeze(-1) * (ctx.x - ctx.y.unsqueeze(-1)).exp()


check_backward(Attributes)
for function in LogSumExp, Attributes:
    y = function.apply(x)
    y += 1
    try:
        (grad,) = torch.autograd.grad(y.sum(), x)
        print(function.__name__, "sum of a row =", round(grad[0].sum().item(), 4))
    except RuntimeError as error:
        print(function.__name__, str(error)[:64], "…")

# %% [markdown] lang="zh"
# softmax 每一行的和应当是 1。`LogSumExp` 拒绝用改写过的 $y$；`Attributes` 却给出了 $e^{-1}$ 倍的梯度，什么也没说。另外，保存张量的钩子也看不见属性，下面量内存的方法对它就不管用。
#
# ## 省了多少内存 {#memory}
#
# 凡是为反向保存的张量，都要经过 `saved_tensors_hooks` 的手。输入 `x` 本来就在内存里，不算；同一块内存只算一次。

# %% [markdown] lang="en"
# The rows of a softmax add up to 1. `LogSumExp` refuses to use a $y$ that was overwritten; `Attributes` gave $e^{-1}$ times the gradient, and said nothing. Besides, hooks on saved tensors do not see attributes, so the measurement below could not count them.
#
# ## How much memory it saves {#memory}
#
# Whatever is saved for the backward passes through the hands of `saved_tensors_hooks`. The input `x` is in memory anyway and does not count; a piece of memory counts once.


# %% memory
def saved_bytes(f, x):
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        f(x)
    sizes.pop(x.untyped_storage().data_ptr(), None)
    return sum(sizes.values())


functions = {
    "naive": naive,
    "stable": stable,
    "LogSumExp": LogSumExp.apply,
    "torch.logsumexp": lambda x: torch.logsumexp(x, -1),
}
big = torch.randn(1000, 100, requires_grad=True)
print("big.nbytes =", big.nbytes)
for name, f in functions.items():
    print(f"{name:16}saves", saved_bytes(f, big), "bytes")

# %% [markdown] lang="zh"
# 按公式写的两个版本都留着一份和 `x` 一样大的指数。你的 Function 只留下 $y$，每行一个数，和 PyTorch 自己的 `logsumexp` 一样多；指数在反向里重新算。这就是激活检查点的想法，用在一个函数上。
#
# 时间呢？每次运行都不同，所以只作参考：

# %% [markdown] lang="en"
# The two versions in plain autograd keep exponentials as large as `x`. Your Function keeps $y$ only, one number per row, as much as PyTorch's own `logsumexp`; the backward computes the exponentials anew. That is the idea of checkpointing, applied to a single function.
#
# And the time? It differs from run to run, so take it as an example:

# %% speed volatile=true
from time import perf_counter

for name, f in functions.items():
    times = []
    for _ in range(20):
        start = perf_counter()
        f(big).sum().backward()
        times.append(perf_counter() - start)
    print(f"{name:16}{1000 * min(times):.2f} ms, forward and backward")

# %% [markdown] lang="zh"
# `backward` 用 Python 写，每次调用都要多花一点固定的时间，张量小的时候格外明显；张量大了，少读写一份指数就能补回来。
#
# ## 直通量化 {#quantise}
#
# 4 比特的权重只能取 16 个值：$s$ 的 $-8, \dots, 7$ 倍。
#
# $$q(x) = s \cdot \operatorname{clamp}\bigl(\operatorname{round}(x / s),\, -8,\, 7\bigr)$$
#
# 它是一级级台阶，除了跳变的地方，导数都是零；跳变处没有导数，PyTorch 也当作零：

# %% [markdown] lang="en"
# Its `backward` is written in Python, which costs a little extra at every call. That shows most with small tensors; with large ones, not writing and reading the exponentials makes up for it.
#
# ## A straight-through quantiser {#quantise}
#
# A weight of four bits has 16 values to choose from: $-8, \dots, 7$ times $s$.
#
# $$q(x) = s \cdot \operatorname{clamp}\bigl(\operatorname{round}(x / s),\, -8,\, 7\bigr)$$
#
# This is a staircase. Its derivative is zero wherever it does not jump, and where it does, PyTorch takes zero, too:


# %% rounding
def rounded(x, s):
    return s * (x / s).round().clamp(-8, 7)


x = torch.tensor([-3.0, -0.4, 0.3, 2.6], requires_grad=True)
q = rounded(x, 0.25)
q.sum().backward()
print("q =", q)
print("x.grad =", x.grad)

# %% [markdown] lang="zh"
# 直通估计假装 $q$ 就是恒等函数。不过，截断的地方要诚实：$x$ 已经超出范围，再推也推不动，那里梯度仍是零。也就是说，当 $-8 \le x/s \le 7$ 时让梯度通过，否则拦下。
#
# `s` 是一个普通的数，不求它的梯度；但 `forward` 有两个参数，`backward` 就得返回两个梯度。

# %% [markdown] lang="en"
# The straight-through estimator pretends that $q$ is the identity. It is honest where values are clamped: an $x$ beyond the range cannot be pushed further, and its gradient stays zero. So let the gradient pass where $-8 \le x/s \le 7$, and stop it elsewhere.
#
# `s` is an ordinary number, and nobody wants its gradient. But `forward` has two arguments, so `backward` must return two gradients.


# %% quantise
class Quantise(Function):
    @staticmethod
    def forward(x, s):
        return rounded(x, s)

    @staticmethod
    def setup_context(ctx, inputs, output):
        # solution:
        x, s = inputs
        ctx.save_for_backward((x / s >= -8) & (x / s <= 7))
        # end

    @staticmethod
    def backward(ctx, grad):
        # solution:
        (inside,) = ctx.saved_tensors
        return grad * inside, None
        # end


# %% [markdown] lang="zh"
# <details>
# <summary>提示</summary>
#
# 反向只需要知道哪些元素在范围之内：一个布尔张量，每个元素一个字节。它由比较得到，本来就没有梯度，存下它不会像 `ReadyMade` 那样弄丢什么。`s` 的梯度是 `None`。
#
# </details>

# %% [markdown] lang="en"
# <details>
# <summary>Hint</summary>
#
# The backward only has to know which elements are within the range: a Boolean tensor, one byte for each. It comes from a comparison and has no gradient anyway, so nothing gets lost by saving it, unlike in `ReadyMade`. The gradient of `s` is `None`.
#
# </details>


# %% check_quantise
def check_quantise(function):
    x = torch.tensor([-3.0, -0.4, 0.3, 2.6], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (found,) = torch.autograd.grad(
        function.apply(x, 0.25), x, weights, allow_unused=True
    )
    expected = torch.tensor([0.0, 2.0, 3.0, 0.0])
    hint = "grad passes where -8 <= x/s <= 7 and is zero elsewhere"
    compare("quantiser", found, expected, hint)


check_quantise(Quantise)

# %% [markdown] lang="zh"
# `gradcheck` 会怎么说？采样点都避开了台阶的边缘。

# %% [markdown] lang="en"
# What does `gradcheck` say? None of these points is at the edge of a step.

# %% refused
points = torch.tensor([-0.4, 0.3, 1.1], dtype=torch.float64, requires_grad=True)
try:
    gradcheck(Quantise.apply, (points, 0.25))
except RuntimeError as error:
    print(str(error).split("\n")[0])
print("gradgradcheck =", gradgradcheck(Quantise.apply, (points, 0.25)))

# %% [markdown] lang="zh"
# 它拒绝了，而且拒绝得对：有限差分量到的是台阶的斜率，零。你的导数是故意写错的，所以测试里不要对它用 `gradcheck`，要像上面的检查那样，写明你**想要**的梯度。`gradgradcheck` 却通过了：它核对的是 `backward` 自己的导数，而 `backward` 对 `grad` 是线性的。
#
# ## 用 4 比特权重训练 {#train}
#
# 线性回归，权重每次先量化再使用。三种训练只差一个函数：

# %% [markdown] lang="en"
# It refuses, and it is right: finite differences see the slope of the step, which is zero. Your derivative is wrong on purpose, so do not use `gradcheck` on it in a test; state the gradient that you **want**, as the check above does. `gradgradcheck` passes: it looks at the derivative of `backward` itself, and `backward` is linear in `grad`.
#
# ## Train with four bits {#train}
#
# Linear regression whose weights are quantised before each use. The three trainings differ in one function only:

# %% train
torch.manual_seed(0)
inputs = torch.randn(64, 8)
targets = inputs @ torch.linspace(-1.1, 1.3, 8)


def train(use, steps=60, rate=0.05):
    weights = torch.zeros(8, requires_grad=True)
    losses = []
    for _ in range(steps):
        loss = (inputs @ use(weights) - targets).square().mean()
        losses.append(loss.item())
        (grad,) = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            weights -= rate * grad
    return losses


ways = {
    "32 bits": lambda w: w,
    "4 bits, straight through": lambda w: Quantise.apply(w, 0.25),
    "4 bits, true derivative": lambda w: rounded(w, 0.25),
}
losses = {name: train(use) for name, use in ways.items()}
for name, values in losses.items():
    print(f"{name}: from {values[0]:.2f} to {values[-1]:.2f}")

# %% figure
import matplotlib.pyplot as plt

for (name, values), style in zip(losses.items(), ("-", "--", ":"), strict=True):
    plt.plot(values, style, label=name)
plt.xlabel("step")
plt.ylabel("loss")
plt.legend()
plt.show()

# %% [markdown] lang="zh"
# <!-- alt: 三种训练的损失随步数的变化。32 比特：平滑地降到零。4 比特、直通：一级一级地跟着下降，最后在零的上方小幅跳动。4 比特、真导数：一条水平线，从不变化。 -->
#
# 用真导数，权重从来没有动过。直通估计的梯度是虚构的，却指对了方向。它最后在几组相邻的取值之间来回跳，降不到零，因为最好的权重不在那 16 个值当中。
#
# ## 记住这些 {#remember}
#
# - `backward` 从保存的输入和输出重新算，既省内存，又能再求导；存现成的中间结果，两样都丢了。
# - 张量交给 `save_for_backward`，它防改写；属性不防。
# - 公式对不对，问 `gradcheck`；故意写“错”的导数，要写明想要的梯度，自己来测。
#
# 还想接着做？让 `LogSumExp` 支持一整行都是 $-\infty$ 的输入（现在得到 `nan`，`torch.logsumexp` 得到 $-\infty$）；或者为它写上 `jvp` 和 `vmap`，见[自定义 Function](../custom_function.md#setup-context)。

# %% [markdown] lang="en"
# <!-- alt: The loss of the three trainings over their steps. 32 bits: falls smoothly to zero. 4 bits, straight through: follows it down in steps, and ends in small jumps above zero. 4 bits, true derivative: a level line that never changes. -->
#
# With the true derivative the weights never moved. The gradient of the straight-through estimator is made up, but it points the right way. It ends by jumping between neighbouring values and does not reach zero, because the best weights are not among the 16.
#
# ## Remember {#remember}
#
# - A `backward` that computes anew from saved inputs and outputs saves memory and can be differentiated again. One that saves an intermediate result ready-made loses both.
# - Give tensors to `save_for_backward`: it notices when they are overwritten. Attributes do not.
# - Whether a formula is right, `gradcheck` knows. If a derivative is “wrong” on purpose, state the gradient you want, and test that.
#
# Want to go on? Make `LogSumExp` handle a row that is $-\infty$ throughout (it gives `nan` now, `torch.logsumexp` gives $-\infty$), or give it `jvp` and `vmap`, see [Custom Functions](../custom_function.md#setup-context).
