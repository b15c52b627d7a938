# %% [markdown] lang="zh"
# # 实验：150 行写一个自动求导引擎
#
# `loss.backward()` 背后到底发生了什么？自己写一个，就全明白了。这个实验从一个会记账的数开始，一直写到能广播的张量，最后用它训练一个小分类器，并与 PyTorch 对照：每一步的损失都相同。
#
# **怎么用。** 从上到下依次运行。标着“由你来写”的地方有九处，把 `...` 换成你的代码，再运行紧跟在后面的检查：对了，它打印 `right`；错了，它告诉你算出了什么、应当是什么、该看哪里。卡住了，先展开提示；答案在带解答的 Notebook 里。大约需要一个小时。
#
# **要先会什么。** [标量反向传播](../scalar_backward.md)和[非标量反向传播](../vector_backward.md)这两课；NumPy 只用最基本的。
#
# **怎样才算对。** 引擎的方法与 PyTorch 的同名，所以同一个 `lambda` 既能算我们的张量，也能算 `torch` 的张量。每个运算都这样对照，另外再用[有限差分](../gradcheck.md)核对一遍。
#
# 引擎本身分散在各个单元格里，连同导入合起来 150 行代码，空行和注释不算；其余的都是检查、试验和训练。
# %% [markdown] lang="en"
# # Lab: an autograd engine in 150 lines
#
# What really happens behind `loss.backward()`? Write one yourself, and you know. This lab starts from a number that keeps a record, gets to tensors that broadcast, and ends by training a small classifier, step by step beside PyTorch, with the same losses.
#
# **How to use it.** Run the cells from top to bottom. Nine places say “your turn”: replace `...` by your code and run the check that follows. If you are right, it prints `right`; if not, it says what it found, what it expected and where to look. If you are stuck, open the hint; the answers are in the notebook with solutions. Allow about an hour.
#
# **What you need.** The lessons on [scalar](../scalar_backward.md) and [non-scalar backward](../vector_backward.md), and the very basics of NumPy.
#
# **What counts as right.** The engine's methods are named as PyTorch's are, so one and the same `lambda` takes our tensors and those of `torch`. Every operation is compared like that, and with [finite differences](../gradcheck.md) as well.
#
# The engine is spread over the cells: 150 lines of code in all, imports included, blank lines and comments not. The rest is checks, trials and training.
# %% engine_imports
import contextlib
from collections import Counter

import numpy as np
import torch

# %% [markdown] lang="zh"
# ## 第一部分：一个会记账的数
#
# 一个 `Value` 要记住四件事：值 `data`、要不要梯度 `requires_grad`、得到的梯度 `grad`，以及它是怎么算出来的 `grad_fn`。
#
# `grad_fn` 是一个节点 `Node`。节点知道自己的输入，还带着一条求导规则 `rule`：收到输出的梯度，返回每个输入的梯度。与 PyTorch 一样，把节点当函数调用，就是让它运行一次。
#
# 每个运算最后都交给 `record`：它造出结果；只要有一个输入需要梯度，就再给结果配上节点。开关 `recording` 后面会用到。
# %% [markdown] lang="en"
# ## Part 1: a number that keeps a record
#
# A `Value` remembers four things: its `data`, whether it `requires_grad`, the `grad` it got, and, in `grad_fn`, how it was computed.
#
# `grad_fn` is a `Node`. A node knows its inputs and carries a `rule`: given the gradient of the output, it returns the gradient of each input. As in PyTorch, calling the node runs it.
#
# Every operation ends in `record`. It makes the result, and gives it a node if at least one input requires a gradient. The switch `recording` is for later.
# %% engine_value
recording = True


class Node:
    def __init__(self, name, inputs, rule):
        self.name, self.inputs, self.rule = name, inputs, rule

    def __call__(self, grad):
        return self.rule(grad)


class Value:
    node = Node

    def __init__(self, data, requires_grad=False):
        self.data = np.asarray(data, dtype=float)
        self.requires_grad = requires_grad
        self.grad = self.grad_fn = None

    def __repr__(self):
        origin = f", grad_fn=<{self.grad_fn.name}>" if self.grad_fn else ""
        return f"{type(self).__name__}({self.data.tolist()}{origin})"

    def item(self):
        return self.data.item()


def record(name, data, inputs, rule):
    out = type(inputs[0])(data)
    if recording and any(i.requires_grad for i in inputs):
        out.requires_grad, out.grad_fn = True, out.node(name, inputs, rule)
    return out


# %% [markdown] lang="zh"
# 加法最简单：两个输入的导数都是 1，所以收到的梯度原样交给两边。装饰器 `constants` 让 `x + 1` 这样的写法也能用：普通的数先变成不需要梯度的 `Value`。
# %% [markdown] lang="en"
# Addition is the simplest operation: the derivative with respect to either input is 1, so the gradient goes to both as it is. The decorator `constants` makes `x + 1` work too: a plain number becomes a `Value` that requires no gradient.
# %% engine_add
def constants(f):
    return lambda a, b: f(a, b if isinstance(b, Value) else type(a)(b))


@constants
def add(a, b):
    def rule(grad):
        return grad, grad

    return record("add", a.data + b.data, (a, b), rule)


Value.__add__ = Value.__radd__ = add

# %% try_add
x = Value(2.0, requires_grad=True)
y = x + 5
print("y =", y)
print("y.grad_fn.inputs =", y.grad_fn.inputs)
print("y.grad_fn(1.0) =", y.grad_fn(1.0))


# %% [markdown] lang="zh"
# 下面是检查用的工具，值得读一遍。`check_rule` 用同一个 `f` 算两次，一次用我们的 `Value`，一次用 `torch`，然后给输出一个不全是 1 的梯度 `seed`，比较两边的规则；`slopes` 再用中心差分把导数量一遍。
# %% [markdown] lang="en"
# Here are the tools that check, and they are worth reading. `check_rule` runs the same `f` twice, with our `Value` and with `torch`, hands the output a gradient `seed` that is not just 1, and compares the rules; `slopes` measures the derivatives once more by central differences.
# %% tools
def arrays(data):
    return [np.array(d, dtype=float) for d in data]


def slopes(f, kind, data, seed, h=1e-6):
    # zh: 逐个挪动输入的元素，量 (seed * f).sum() 的变化
    # en: move the elements of the inputs one by one; how does (seed * f).sum() change?
    found = [np.zeros_like(d) for d in data]
    for d, slope in zip(data, found, strict=True):
        for at in np.ndindex(d.shape):
            old, values = d[at], []
            for d[at] in old + h, old - h:
                values.append((seed * f(*[kind(x.copy()) for x in data]).data).sum())
            d[at] = old
            slope[at] = (values[0] - values[1]) / (2 * h)
    return found


def twin(f, data):
    # zh: torch 算出的值、给输出的梯度、各输入的梯度
    # en: what torch computes: the value, a gradient for it, the gradients of the inputs
    inputs = [torch.tensor(d, requires_grad=True) for d in data]
    out = f(*inputs)
    seed = np.linspace(1.5, 2.5, out.numel()).reshape(out.shape)
    grads = torch.autograd.grad(out, inputs, torch.tensor(seed))
    return out.detach().numpy(), seed, [g.numpy() for g in grads]


def compare(name, found, expected, seed, measured):
    for n, (f, e, m) in enumerate(zip(found, expected, measured, strict=True)):
        f = np.asarray(f, dtype=float)
        assert f.shape == e.shape, (
            f"{name}: the gradient of input {n} has shape {f.shape}, but the input has shape "
            f"{e.shape}; a gradient has the shape of its tensor"
        )
        if np.allclose(f, e, rtol=1e-9) and np.allclose(f, m, rtol=1e-5, atol=1e-6):
            continue
        advice = "go through the chain rule on paper, one input at a time"
        if np.allclose(f, e):
            advice = "torch agrees, finite differences do not; is there a kink at this place?"
        elif seed.size == 1 and np.allclose(f * seed, e):
            advice = "this is the local derivative; multiply it by `grad`"
        elif any(f.shape == o.shape and np.allclose(f, o) for o in expected):
            advice = "this is the gradient of another input; have you swapped the two?"
        elif np.allclose(-f, e):
            advice = "the sign is wrong"
        raise AssertionError(
            f"{name}: the gradient of input {n} is {f.tolist()}, expected {e.tolist()} (torch; "
            f"finite differences say {np.round(m, 4).tolist()}); {advice}"
        )


def check_value(name, out, expected):
    assert isinstance(out, Value), (
        f"{name}: returns {out!r}, expected a {Value.__name__}; is something still `...`?"
    )
    right = out.data.shape == expected.shape and np.allclose(out.data, expected)
    assert right, (
        f"{name}: the value is {out.data.tolist()}, expected {expected.tolist()}; "
        "look at the forward pass first"
    )


def check_rule(name, f, *data, kind=Value):
    data = arrays(data)
    out = f(*[kind(d, requires_grad=True) for d in data])
    value, seed, expected = twin(f, data)
    check_value(name, out, value)
    found = out.grad_fn.rule(seed)
    right = isinstance(found, tuple) and len(found) == len(data)
    assert right, (
        f"{name}: the rule returned {found!r}, expected a tuple of {len(data)} gradient(s), "
        "one for each input; is something still `...`?"
    )
    compare(name, found, expected, seed, slopes(f, kind, data, seed))
    print(f"{name}: right")


# %% check_add
check_rule("add", lambda a, b: a + b, 2.0, -3.0)


# %% [markdown] lang="zh"
# ### 由你来写 1：乘法
#
# 写出乘法的规则。输出的梯度是 `grad`；`a.data` 和 `b.data` 是两个输入的值。
#
# <details><summary>提示</summary>
#
# $y = ab$，所以 $\partial y / \partial a = b$。链式法则再乘上输出的梯度：`grad * b.data`。另一个输入同理。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 1: multiplication
#
# Write the rule of multiplication. `grad` is the gradient of the output; `a.data` and `b.data` are the values of the inputs.
#
# <details><summary>Hint</summary>
#
# $y = ab$, so $\partial y / \partial a = b$. The chain rule multiplies that by the gradient of the output: `grad * b.data`. The other input goes likewise.
#
# </details>
# %% engine_mul
@constants
def mul(a, b):
    def rule(grad):
        # solution:
        return grad * b.data, grad * a.data
        # end

    return record("mul", a.data * b.data, (a, b), rule)


Value.__mul__ = Value.__rmul__ = mul

# %% check_mul
check_rule("mul", lambda a, b: a * b, 2.0, -3.0)


# %% [markdown] lang="zh"
# ### 由你来写 2：一个输入的函数
#
# `unary` 把一个函数变成方法。`derivative` 收到输入 `x` 和已经算好的输出 `y`，返回导数；能用 `y` 就不必重算。`exp` 是现成的例子，照着写 `log`、`tanh` 和 `relu`。
#
# 先想一想：`relu` 在 0 处没有导数。PyTorch 在那里取多少？
#
# <details><summary>提示</summary>
#
# $(\ln x)' = 1/x$；$\tanh' = 1 - \tanh^2$，用 `y` 来写最短。`relu` 的前向是 `np.maximum(x, 0)`，导数是 `x > 0`（参与乘法时，`True` 当 1，`False` 当 0）。在 0 处 PyTorch 取 0，是[次梯度](../nondifferentiable.md)之一。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 2: functions of one input
#
# `unary` makes a method of a function. `derivative` gets the input `x` and the output `y`, which is known already, and returns the derivative; what `y` can give need not be computed again. `exp` is the example; write `log`, `tanh` and `relu` after it.
#
# Think first: `relu` has no derivative at 0. What does PyTorch take there?
#
# <details><summary>Hint</summary>
#
# $(\ln x)' = 1/x$; $\tanh' = 1 - \tanh^2$, shortest in terms of `y`. The forward of `relu` is `np.maximum(x, 0)` and its derivative `x > 0` (in a product, `True` counts as 1 and `False` as 0). At 0 PyTorch takes 0, one of the [subgradients](../nondifferentiable.md).
#
# </details>
# %% engine_unary
def unary(name, forward, derivative):
    def method(a):
        x, y = a.data, forward(a.data)
        return record(name, y, (a,), lambda grad: (grad * derivative(x, y),))

    setattr(Value, name, method)


unary("exp", np.exp, lambda x, y: y)
# solution:
unary("log", np.log, lambda x, y: 1 / x)
unary("tanh", np.tanh, lambda x, y: 1 - y**2)
unary("relu", lambda x: np.maximum(x, 0), lambda x, y: x > 0)
# end


# %% check_unary
def check_unary(name, *places, kinks=()):
    assert hasattr(Value, name), (
        f"{name}: Value has no such method; add unary({name!r}, …)"
    )
    for x in places:
        check_rule(f"{name} at {x}", lambda a: getattr(a, name)(), x)
    for x in kinks:
        (found,) = getattr(Value(x, requires_grad=True), name)().grad_fn.rule(1.0)
        assert found == 0, f"{name} at {x}: the rule gives {found}, torch takes 0"


check_unary("exp", -1.0, 2.0)
check_unary("log", 0.5)
check_unary("tanh", -0.4)
check_unary("relu", -0.5, 2.0, kinks=[0.0])


# %% [markdown] lang="zh"
# 剩下的四则运算都能由加法、乘法和乘方拼出来，不用再写规则：$a - b = a + (-1) \cdot b$，$a / b = a \cdot b^{-1}$。引擎的规则越少，要检查的也越少。
# %% [markdown] lang="en"
# The rest of arithmetic is made of addition, multiplication and powers, and needs no rules: $a - b = a + (-1) \cdot b$ and $a / b = a \cdot b^{-1}$. The fewer rules an engine has, the less there is to check.
# %% engine_arithmetic
def power(a, n):
    def rule(grad):
        return (grad * n * a.data ** (n - 1),)

    return record("pow", a.data**n, (a,), rule)


Value.__pow__ = power
Value.__neg__ = lambda a: a * -1
Value.__sub__ = lambda a, b: a + -b
Value.__rsub__ = lambda a, b: -a + b
Value.__truediv__ = lambda a, b: a * b**-1
Value.__rtruediv__ = lambda a, b: a**-1 * b

# %% check_power
check_rule("pow", lambda a: a**3, -2.0)
check_rule("pow", lambda a: a**-1, 4.0)


# %% [markdown] lang="zh"
# ## 往回走
#
# 规则都有了，还差一个走法。先猜：$y = x \cdot x$，$x = 3$，两条路各送来多少？`x.grad` 应当是多少？再想一个难一点的：
#
# $$u = 2x, \qquad v = u \cdot u, \qquad y = u + v$$
#
# 从 `y` 出发，`u` 收到两份梯度：一份直接来自 `y`，一份经过 `v`。`u` 的节点什么时候可以运行？
#
# 等两份都到齐，加起来，再运行，而且只运行一次。所以要先数好每个 `Value` 会收到几份梯度，这就是 `count_uses` 的活；PyTorch 的引擎也正是这样数的。到达叶子的梯度，`accumulate` 加到 `.grad` 上。
# %% [markdown] lang="en"
# ## The walk back
#
# The rules are there; the walk is missing. Guess first: $y = x \cdot x$ and $x = 3$. What arrives along each of the two paths, and what should `x.grad` be? Then a harder one:
#
# $$u = 2x, \qquad v = u \cdot u, \qquad y = u + v$$
#
# Starting from `y`, two gradients go to `u`: one straight from `y`, one by way of `v`. When may the node of `u` run?
#
# When both have arrived and are added up, and then just once. So it must be known beforehand how many gradients each `Value` will get. That is the job of `count_uses`, and the engine of PyTorch counts in the same way. What reaches a leaf, `accumulate` adds to its `.grad`.
# %% engine_walk
def count_uses(root):
    uses, waiting = Counter(), [root]
    while waiting:
        node = waiting.pop().grad_fn
        for i in node.inputs if node else ():
            uses[i] += 1
            if uses[i] == 1:
                waiting.append(i)
    return uses


def accumulate(leaf, grad):
    before = 0 if leaf.grad is None else leaf.grad.data
    leaf.grad = type(leaf)(before + grad)


# %% [markdown] lang="zh"
# ### 由你来写 3：分发梯度
#
# `ready` 里是可以运行的，`grads` 里是已经到的梯度，`missing` 记着还差几份。内层循环每次拿到一个输入 `i` 和送给它的梯度 `g`。写出三件事：把 `g` 加到 `grads[i]` 上；`missing[i]` 减一；减到零，就把 `i` 放进 `ready`。
#
# <details><summary>提示</summary>
#
# 第一份梯度到达时，`grads` 里还没有 `i`：`grads.get(i, 0) + g` 对第一份和后面几份都适用。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 3: hand out the gradients
#
# `ready` holds what may run, `grads` what has arrived, and `missing` how many gradients are still to come. The inner loop gets an input `i` and the gradient `g` for it. Write three things: add `g` to `grads[i]`; take one off `missing[i]`; at zero, put `i` into `ready`.
#
# <details><summary>Hint</summary>
#
# When the first gradient arrives, `grads` has no `i` yet: `grads.get(i, 0) + g` does for the first and for all later ones.
#
# </details>
# %% engine_backward
def backward(self, gradient=None):
    if not self.requires_grad:
        raise RuntimeError("this value does not require grad and has no grad_fn")
    if gradient is None and self.data.size != 1:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    first = np.ones_like(self.data) if gradient is None else gradient.data
    grads, ready, missing = {self: first}, [self], count_uses(self)
    while ready:
        value = ready.pop()
        grad = grads.pop(value)
        if value.grad_fn is None:
            accumulate(value, grad)
            continue
        node = value.grad_fn
        for i, g in zip(node.inputs, node(grad), strict=True):
            if i.requires_grad:
                # solution:
                grads[i] = grads.get(i, 0) + g
                missing[i] -= 1
                if missing[i] == 0:
                    ready.append(i)
                # end


Value.backward = backward


# %% check_walk
def check_backward(name, f, *data, kind=Value):
    data = arrays(data)
    inputs = [kind(d, requires_grad=True) for d in data]
    out = f(*inputs)
    value, seed, expected = twin(f, data)
    check_value(name, out, value)
    out.backward(kind(seed))
    for n, i in enumerate(inputs):
        assert i.grad is not None, (
            f"{name}: no gradient has arrived at input {n}; does every value get into "
            "`ready` once nothing is missing any more?"
        )
    found = [i.grad.data for i in inputs]
    compare(name, found, expected, seed, slopes(f, kind, data, seed))
    print(f"{name}: right")


def diamond(x):
    u = 2 * x
    return u + u * u


def check_walk():
    runs = []
    x = Value(3.0, requires_grad=True)
    u = x.exp()
    rule = u.grad_fn.rule
    u.grad_fn.rule = lambda grad: runs.append(grad) or rule(grad)
    # zh: 运行得太早，再运行时就没有梯度可取了：KeyError
    # en: a node that ran too early finds no gradient when it runs again: KeyError
    try:
        (u * u + u).backward()
    except KeyError:
        runs.append("without a gradient")
    assert len(runs) < 2, (
        "the node of u ran before all its gradients had arrived; a value may get into "
        "`ready` only when missing[i] has come down to 0"
    )
    check_backward("a chain", lambda x: (x * 2).tanh(), 0.3)
    check_backward("two paths", lambda x: x * x, 3.0)
    check_backward("diamond", diamond, 3.0)
    check_backward("arithmetic", lambda a, b: (a - b) / (1 - a * b) - 2 / b, 0.5, -3.0)


check_walk()

# %% [markdown] lang="zh"
# 标量引擎完成了。开头的问题，现在让它自己回答：
# %% [markdown] lang="en"
# The scalar engine is done. It can answer the questions from above:
# %% try_walk
x = Value(3.0, requires_grad=True)
(x * x).backward()
print("x.grad =", x.grad)
x.grad = None
y = diamond(x)
y.backward()
print("x.grad =", x.grad)
y.backward()
print("x.grad =", x.grad)

# %% [markdown] lang="zh"
# 最后一行翻了一倍：`.grad` 会[累加](../grad_accumulation.md)，和 PyTorch 一样。不一样的是，我们能在同一张图上反向第二次而不报错：这个引擎从不释放保存的值，相当于永远写着 `retain_graph=True`。
#
# ### 由你来写 4：no_grad
#
# `detach()` 只有一行：值相同、没有 `grad_fn` 的新 `Value`。`no_grad` 要在进入时关掉 `recording`，离开时恢复成**原来的样子**，哪怕中途抛了异常。
#
# <details><summary>提示</summary>
#
# `contextlib.contextmanager` 的函数在 `yield` 处交出控制权。记下原来的值，把 `yield` 放进 `try`，在 `finally` 里恢复。直接写回 `True` 是不够的：`no_grad` 可以嵌套。
#
# </details>
# %% [markdown] lang="en"
# The last line has doubled: `.grad` [accumulates](../grad_accumulation.md), as in PyTorch. Unlike there, a second pass through the same graph raises no error: this engine never frees what it saved, as if `retain_graph=True` were always set.
#
# ### Your turn 4: no_grad
#
# `detach()` is one line: a new `Value` of the same data without a `grad_fn`. `no_grad` must switch `recording` off on entry and on exit put it back to **what it was**, even after an exception.
#
# <details><summary>Hint</summary>
#
# A function under `contextlib.contextmanager` gives control away at its `yield`. Remember the old value, put the `yield` into a `try`, and restore in `finally`. Writing `True` there is not enough: `no_grad` may be nested.
#
# </details>
# %% engine_no_grad
Value.detach = lambda self: type(self)(self.data)


@contextlib.contextmanager
def no_grad():
    global recording
    # solution:
    before, recording = recording, False
    try:
        yield
    finally:
        recording = before
    # end


# %% check_no_grad
def check_no_grad():
    global recording
    x = Value(2.0, requires_grad=True)
    try:
        with no_grad():
            inside = x * x
            with no_grad():
                pass
            nested = x * x
        after = x * x
        with contextlib.suppress(ZeroDivisionError), no_grad():
            raise ZeroDivisionError
        after_error = x * x
    except (TypeError, RuntimeError) as error:
        raise AssertionError(
            f"no_grad cannot be entered ({error}); does it `yield`?"
        ) from None
    finally:
        # zh: 无论你的 no_grad 怎样，后面的单元格都从打开的开关开始
        # en: whatever your no_grad did, the cells below start with the switch on
        recording = True
    assert not inside.requires_grad, (
        "inside no_grad, x * x requires a gradient; expected none"
    )
    assert not nested.requires_grad, (
        "after the inner of two no_grad, x * x is recorded; restore what was, not True"
    )
    assert after.requires_grad, (
        "after no_grad, x * x is not recorded; restore `recording`"
    )
    assert after_error.requires_grad, (
        "an exception left `recording` at False; restore it in `finally`"
    )
    print("no_grad: right")


check_no_grad()

# %% [markdown] lang="zh"
# ## 第二部分：张量
#
# `data` 从一开始就是 NumPy 数组，前向的运算也都是逐元素的。那么直接放进数组，会怎么样？先猜 `w.grad` 的形状，再运行。
# %% [markdown] lang="en"
# ## Part 2: tensors
#
# `data` has been a NumPy array all along, and the operations work element by element. So what happens if we just put arrays in? Guess the shape of `w.grad`, then run it.
# %% shape_goes_wrong
w = Value(2.0, requires_grad=True)
x = Value([1.0, 2.0, 3.0])
y = w * x
print("y =", y)
y.backward(Value([1.0, 1.0, 1.0]))
print("w.grad =", w.grad)


# %% [markdown] lang="zh"
# 前向没有问题，`w.grad` 却不对：`w` 是一个数，梯度却有三个。广播把 `w` 用了三次，每次送回一份梯度；一个数用了几次，几份梯度就该**加起来**，这和 `x * x` 是同一件事。`w.grad` 应当是 $1 + 2 + 3 = 6$。
#
# ### 由你来写 5：把广播收回来
#
# 写 `unbroadcast(grad, shape)`：沿着广播出来的维求和，把 `grad` 变回 `shape`。广播做了两件事，要反过来各做一次：
#
# - 在前面补上缺少的维；
# - 把长度为 1 的维拉长。
#
# PyTorch 把这件事放在引擎里，而不是每条规则里：梯度的形状与输入不符、却能由输入广播得到，引擎就把它求和还原。我们也放在节点里，`TensorNode` 对每一份梯度都这么做，已有的规则一条也不用改。
#
# <details><summary>提示 1</summary>
#
# 缺少的维有 `grad.ndim - len(shape)` 个，都在最前面。`grad.sum(axis=(0, 1))` 一次可以去掉好几个；`axis=()` 什么也不做。
#
# </details>
#
# <details><summary>提示 2</summary>
#
# 去掉以后，`shape` 里等于 1 的那些维再求一次和，这回要 `keepdims=True`，免得把它们弄丢。
#
# </details>
# %% [markdown] lang="en"
# The forward pass is fine, but `w.grad` is not: `w` is one number and has three gradients. Broadcasting has used `w` three times, and each use sends a gradient back. Gradients of several uses are **added**, just as in `x * x`: `w.grad` should be $1 + 2 + 3 = 6$.
#
# ### Your turn 5: take the broadcasting back
#
# Write `unbroadcast(grad, shape)`, which sums `grad` over the dimensions that broadcasting has made, back to `shape`. Broadcasting does two things, and each must be undone:
#
# - it adds missing dimensions in front;
# - it stretches dimensions of length 1.
#
# PyTorch leaves this to its engine, not to each rule: if a gradient has another shape than the input, but one that the input broadcasts to, the engine sums it back. We do it in the node: `TensorNode` does so with every gradient, and no rule has to change.
#
# <details><summary>Hint 1</summary>
#
# `grad.ndim - len(shape)` dimensions are too many, all of them in front. `grad.sum(axis=(0, 1))` removes several at once, and `axis=()` does nothing.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Then sum once more over the dimensions where `shape` has a 1, with `keepdims=True` so as not to lose them.
#
# </details>
# %% engine_tensor
def unbroadcast(grad, shape):
    # solution:
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    stretched = tuple(d for d, length in enumerate(shape) if length == 1)
    return grad.sum(axis=stretched, keepdims=True)
    # end


class TensorNode(Node):
    def __call__(self, grad):
        grads = zip(self.rule(grad), self.inputs, strict=True)
        return tuple(unbroadcast(np.asarray(g), i.data.shape) for g, i in grads)


class Tensor(Value):
    node = TensorNode
    shape = property(lambda self: self.data.shape)


# %% check_unbroadcast
def check_unbroadcast():
    for big, small in [
        [(3,), ()],
        [(4, 3), (3,)],
        [(4, 3), (4, 1)],
        [(2, 4, 3), (1, 3)],
        [(2, 1, 3), (1, 1)],
        [(4, 3), (4, 3)],
    ]:
        grad = np.arange(1.0, 1 + np.prod(big)).reshape(big)
        expected = torch.tensor(grad).sum_to_size(small).numpy()
        about = f"unbroadcast from {big} to {small}"
        try:
            found = unbroadcast(grad, small)
        except ValueError as error:
            raise AssertionError(f"{about}: {error}; sum, do not reshape") from None
        assert isinstance(found, (np.ndarray, float)), (
            f"{about}: returns {found!r}, expected an array; is something still `...`?"
        )
        assert np.shape(found) == small, (
            f"{about}: the result has shape {np.shape(found)}"
        )
        assert np.allclose(found, expected), (
            f"{about}: found {found.tolist()}, expected {expected.tolist()}; "
            "sum over the copies, do not pick or average them"
        )
    print("unbroadcast: right")


check_unbroadcast()

# %% unbroadcast_at_work
w = Tensor(2.0, requires_grad=True)
(w * Tensor([1.0, 2.0, 3.0])).backward(Tensor([1.0, 1.0, 1.0]))
print("w.grad =", w.grad)


# %% [markdown] lang="zh"
# ### 由你来写 6：求和
#
# 求和与广播互为镜像：广播的反向是求和，求和的反向是广播。`dim` 是要加掉的维（`None` 表示全部），`keepdim` 表示留下一个长度为 1 的维，与 PyTorch 同名。写出规则：每个元素的导数都是 1，所以收到的梯度要铺回 `a.data.shape`。
#
# <details><summary>提示</summary>
#
# `np.broadcast_to(grad, a.data.shape)` 会铺开，但前提是维数对得上。若 `dim` 不是 `None`、`keepdim` 又是 `False`，那一维已经没了，先用 `np.expand_dims(grad, dim)` 补回来。返回值是只有一项的元组：`(…,)`。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 6: the sum
#
# Sum and broadcasting mirror each other: the backward of broadcasting is a sum, and the backward of a sum is broadcasting. `dim` is the dimension to sum over (`None` for all), and `keepdim` leaves one of length 1 in its place, named as in PyTorch. Write the rule: the derivative with respect to every element is 1, so the gradient is spread over `a.data.shape`.
#
# <details><summary>Hint</summary>
#
# `np.broadcast_to(grad, a.data.shape)` spreads it, provided that the dimensions match. If `dim` is not `None` and `keepdim` is `False`, that dimension is gone; `np.expand_dims(grad, dim)` puts it back. The rule returns a tuple of one: `(…,)`.
#
# </details>
# %% engine_sum
def total(a, dim=None, keepdim=False):
    def rule(grad):
        # solution:
        if dim is not None and not keepdim:
            grad = np.expand_dims(grad, dim)
        return (np.broadcast_to(grad, a.data.shape),)
        # end

    return record("sum", a.data.sum(axis=dim, keepdims=keepdim), (a,), rule)


Tensor.sum = total
Tensor.mean = lambda a: a.sum() / a.data.size


# %% check_sum
def check_sum():
    a = np.arange(6.0).reshape(2, 3)
    for code, f in {
        "sum()": lambda a: a.sum(),
        "sum(0)": lambda a: a.sum(0),
        "sum(1)": lambda a: a.sum(1),
        "sum(1, keepdim=True)": lambda a: a.sum(1, keepdim=True),
    }.items():
        try:
            check_rule(code, f, a, kind=Tensor)
        except ValueError as error:
            raise AssertionError(
                f"{code}: numpy cannot spread the gradient ({error}); if keepdim is False, "
                "put the lost dimension back first"
            ) from None


check_sum()


# %% [markdown] lang="zh"
# ### 由你来写 7：矩阵乘法
#
# $Y = AB$，$A$ 是 $n \times k$，$B$ 是 $k \times m$。收到 $G = \partial s / \partial Y$（$n \times m$），两个输入的梯度是什么？
#
# 可以逐个元素推：$y_{ij} = \sum_l a_{il} b_{lj}$，所以
#
# $$\frac{\partial s}{\partial a_{il}} = \sum_j g_{ij}\, b_{lj}$$
#
# 这个和本身是一个矩阵乘积。是哪两个？
#
# <details><summary>提示</summary>
#
# 看形状就能猜到：要用 $G$（$n \times m$）和 $B$（$k \times m$，可以转置）拼出 $n \times k$，只有 `grad @ b.data.T` 对得上。$B$ 的梯度同理，$A$ 的转置在左边。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 7: the matrix product
#
# $Y = AB$, where $A$ is $n \times k$ and $B$ is $k \times m$. Given $G = \partial s / \partial Y$ ($n \times m$), what are the gradients of the two inputs?
#
# Element by element, $y_{ij} = \sum_l a_{il} b_{lj}$, and therefore
#
# $$\frac{\partial s}{\partial a_{il}} = \sum_j g_{ij}\, b_{lj}$$
#
# That sum is itself a matrix product. Of which two?
#
# <details><summary>Hint</summary>
#
# The shapes tell: of $G$ ($n \times m$) and $B$ ($k \times m$ or its transpose), only `grad @ b.data.T` is $n \times k$. For $B$ likewise, with the transpose of $A$ on the left.
#
# </details>
# %% engine_matmul
def matmul(a, b):
    def rule(grad):
        # solution:
        return grad @ b.data.T, a.data.T @ grad
        # end

    return record("matmul", a.data @ b.data, (a, b), rule)


Tensor.__matmul__ = matmul


# %% check_matmul
def check_matmul():
    a = np.array([[1.0, 2.0, 0.0], [3.0, -1.0, 4.0]])
    b = np.array([[2.0], [-1.0], [0.5]])
    try:
        check_rule("matmul", lambda a, b: a @ b, a, b, kind=Tensor)
    except ValueError as error:
        raise AssertionError(
            f"matmul: the shapes do not fit ({error}); which factor needs a transpose?"
        ) from None


check_matmul()


# %% [markdown] lang="zh"
# 还缺两样：`reshape` 和取下标。先猜：`x` 有三个元素，`x[[0, 0, 2]].sum()` 的梯度是什么？
# %% [markdown] lang="en"
# Two are missing: `reshape` and indexing. Guess first: `x` has three elements; what is the gradient of `x[[0, 0, 2]].sum()`?
# %% engine_shapes
def reshape(a, *shape):
    def rule(grad):
        return (grad.reshape(a.data.shape),)

    return record("reshape", a.data.reshape(shape), (a,), rule)


def index(a, at):
    def rule(grad):
        full = np.zeros_like(a.data)
        np.add.at(full, at, grad)
        return (full,)

    return record("index", a.data[at], (a,), rule)


Tensor.reshape, Tensor.__getitem__ = reshape, index

# %% try_index
x = Tensor([10.0, 20.0, 30.0], requires_grad=True)
x[[0, 0, 2]].sum().backward()
print("x.grad =", x.grad)

# %% [markdown] lang="zh"
# 下标 0 用了两次，所以它的梯度是 2。规则里若写 `full[at] += grad`，NumPy 对重复的下标只加一次，结果就错了；`np.add.at` 才会一次不漏。
#
# ## 全部对照一遍
#
# 运算齐了。下面的每一行都用我们的 `Tensor` 和 `torch` 各算一遍，值、梯度、有限差分三方核对。形状特意挑了会广播的。
# %% [markdown] lang="en"
# Index 0 is used twice, so its gradient is 2. With `full[at] += grad` in the rule, NumPy would add only once for a repeated index, which is wrong; `np.add.at` counts all of them.
#
# ## Everything, compared
#
# The operations are complete. Each line below runs with our `Tensor` and with `torch`; values, gradients and finite differences must agree. The shapes are chosen so that they broadcast.
# %% check_everything
rng = np.random.default_rng(0)
row, column = rng.normal(size=3), rng.normal(size=(2, 1))
matrix = rng.normal(size=(2, 3))
positive = np.abs(matrix) + 0.5

for code, f, *data in [
    ["a + b", lambda a, b: a + b, row, matrix],
    ["a - b", lambda a, b: a - b, column, row],
    ["a * b", lambda a, b: a * b, matrix, 3.0],
    ["a / b", lambda a, b: a / b, row, positive],
    ["1 - 2 / a", lambda a: 1 - 2 / a, positive],
    ["a**3", lambda a: a**3, matrix],
    ["a.exp()", lambda a: a.exp(), matrix],
    ["a.log()", lambda a: a.log(), positive],
    ["a.tanh()", lambda a: a.tanh(), column],
    ["a.relu()", lambda a: a.relu(), matrix],
    ["a.sum(0)", lambda a: a.sum(0), matrix],
    ["a.mean()", lambda a: a.mean(), matrix],
    ["a @ b", lambda a, b: a @ b, matrix.T, matrix],
    ["a.reshape(3, 2)", lambda a: a.reshape(3, 2), matrix],
    ["a[[1, 1], [0, 2]]", lambda a: a[[1, 1], [0, 2]], matrix],
    ["(a @ b + c)**2", lambda a, b, c: (a @ b + c) ** 2, matrix, matrix.T, column],
]:
    check_backward(code, f, *data, kind=Tensor)


# %% [markdown] lang="zh"
# ## 训练一个分类器
#
# 分类要用到交叉熵：先把 logits $z$ 变成对数概率，再取正确那一类的，变号、平均。
#
# $$\log p_i = z_i - \log \sum_j e^{z_j}$$
#
# ### 由你来写 8：数值稳定的 log_softmax
#
# 照公式直接写，logits 到了 1000 会怎样？$e^{1000}$ 在 float64 里是 `inf`。好在 $z$ 整体减去一个数，结果不变：减去每一行的最大值，就不会上溢了。
#
# 只用已有的运算来写，不写新规则。最大值要不要求导？不要：减去多少都不改变结果，所以它对结果的导数是零，当作常数即可。
#
# <details><summary>提示</summary>
#
# `z = z - Tensor(z.data.max(axis=1, keepdims=True))`；然后照公式，对 `dim=1` 求和，记得 `keepdim=True`。
#
# </details>
# %% [markdown] lang="en"
# ## Train a classifier
#
# Classification needs the cross-entropy: turn the logits $z$ into log-probabilities, take that of the right class, change the sign, average.
#
# $$\log p_i = z_i - \log \sum_j e^{z_j}$$
#
# ### Your turn 8: a numerically stable log_softmax
#
# What becomes of the formula, taken literally, if a logit is 1000? In float64, $e^{1000}$ is `inf`. Luckily the result stays the same if a number is taken off all of $z$: subtract the maximum of each row, and nothing overflows.
#
# Use the operations that there are; no new rule. Must the maximum be differentiated? No: no shift changes the result, so the derivative with respect to it is zero, and it may be a constant.
#
# <details><summary>Hint</summary>
#
# `z = z - Tensor(z.data.max(axis=1, keepdims=True))`; then the formula, with a sum over `dim=1`, and don't forget `keepdim=True`.
#
# </details>
# %% engine_loss
def log_softmax(z):
    # solution:
    z = z - Tensor(z.data.max(axis=1, keepdims=True))
    return z - z.exp().sum(1, keepdim=True).log()
    # end


def cross_entropy(logits, labels):
    return -log_softmax(logits)[np.arange(len(labels)), labels].mean()


# %% check_log_softmax
def check_log_softmax():
    # zh: 同一个 lambda：张量是谁家的，就用谁家的 log_softmax
    # en: one lambda for both: each kind of tensor gets its own log_softmax
    def either(z):
        return log_softmax(z) if isinstance(z, Tensor) else torch.log_softmax(z, 1)

    z = np.array([[1.0, 2.0, 4.0], [-1.0, 0.0, 0.5]])
    check_backward("log_softmax", either, z, kind=Tensor)
    with np.errstate(all="ignore"):
        huge = log_softmax(Tensor([[1000.0, 0.0]])).data
    assert np.isfinite(huge).all(), (
        f"log_softmax of [1000, 0] is {huge.tolist()}, expected [[0.0, -1000.0]]; "
        "subtract the maximum of each row before exp()"
    )
    print("log_softmax of large numbers: right")


check_log_softmax()


# %% [markdown] lang="zh"
# 优化器也在引擎里，九行。`step` 直接改 `data`，不经过任何运算，所以不会被记录。
# %% [markdown] lang="en"
# The optimizer belongs to the engine, too: nine lines. `step` changes `data` itself without any operation, so nothing is recorded.
# %% engine_sgd
class SGD:
    def __init__(self, parameters, lr):
        self.parameters, self.lr = list(parameters), lr

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    def step(self):
        for p in self.parameters:
            p.data = p.data - self.lr * p.grad.data


# %% [markdown] lang="zh"
# 数据：三条螺旋臂，每条 30 个点，一条一类，任何直线都分不开。模型：一个 32 个单元的隐藏层。`model` 里没有一个字提到是谁家的张量，所以后面原封不动地交给 `torch`。
# %% [markdown] lang="en"
# The data: three arms of a spiral, 30 points each, one class per arm; no straight line separates them. The model: one hidden layer of 32 units. Nothing in `model` says whose tensors they are, so it will serve for `torch` unchanged.
# %% data
rng = np.random.default_rng(1)
labels = np.repeat([0, 1, 2], 30)
radius = np.tile(np.linspace(0.1, 1, 30), 3)
angle = 4 * radius + labels * 2 * np.pi / 3 + rng.normal(scale=0.15, size=90)
points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

start = [
    rng.normal(scale=2, size=(2, 32)),
    rng.normal(size=32),
    rng.normal(scale=0.2, size=(32, 3)),
    np.zeros(3),
]


def model(x, w1, b1, w2, b2):
    return (x @ w1 + b1).tanh() @ w2 + b2


# %% [markdown] lang="zh"
# ### 由你来写 9：训练一步
#
# 老规矩四件事：清梯度、前向算损失、反向、更新。损失用 `loss_of(model(x, *parameters), labels)`，把每一步的 `loss.item()` 收进 `losses`。用谁的优化器，函数里没有写死：检查会让两边各跑一遍。
#
# <details><summary>提示</summary>
#
# `optimizer.zero_grad()`，`loss = …`，`loss.backward()`，`optimizer.step()`，`losses.append(loss.item())`。为什么收的是 `item()` 而不是 `loss`？见[计算图的一生](../graph_lifetime.md)。
#
# </details>
# %% [markdown] lang="en"
# ### Your turn 9: a step of training
#
# The usual four: clear the gradients, compute the loss, go backward, update. The loss is `loss_of(model(x, *parameters), labels)`; collect each `loss.item()` in `losses`. Whose optimizer it is, the function does not know: the check runs it with both.
#
# <details><summary>Hint</summary>
#
# `optimizer.zero_grad()`, `loss = …`, `loss.backward()`, `optimizer.step()`, `losses.append(loss.item())`. Why `item()` and not `loss`? See [the life of a graph](../graph_lifetime.md).
#
# </details>
# %% train
def train(x, labels, parameters, loss_of, optimizer, steps):
    losses = []
    for _ in range(steps):
        # solution:
        optimizer.zero_grad()
        loss = loss_of(model(x, *parameters), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        # end
    return losses


# %% check_train
def with_ours(steps):
    parameters = [Tensor(p, requires_grad=True) for p in start]
    optimizer = SGD(parameters, lr=1.0)
    x = Tensor(points)
    return parameters, train(x, labels, parameters, cross_entropy, optimizer, steps)


def with_torch(steps):
    parameters = [torch.tensor(p, requires_grad=True) for p in start]
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    x, y = torch.tensor(points), torch.tensor(labels)
    loss_of = torch.nn.functional.cross_entropy
    return parameters, train(x, y, parameters, loss_of, optimizer, steps)


def check_train():
    try:
        losses = with_ours(20)[1]
    except AttributeError as error:
        raise AssertionError(
            f"train: {error}; step() needs gradients: backward() comes before it, "
            "and zero_grad() not between the two"
        ) from None
    assert len(losses) == 20, f"train: {len(losses)} losses after 20 steps, expected 20"
    assert all(isinstance(loss, float) for loss in losses), (
        f"train: losses holds a {type(losses[0]).__name__}, expected numbers; use loss.item()"
    )
    assert losses[-1] < losses[0], (
        f"train: the loss goes from {losses[0]:.3f} to {losses[-1]:.3f}, expected it to fall; "
        "are all of zero_grad, backward and step there?"
    )
    # zh: 不清梯度的那种错法，损失也会下降；这里自己再做一步，与之比较
    # en: without zero_grad the loss may fall as well; so do two steps by hand and compare
    parameters = [Tensor(p, requires_grad=True) for p in start]
    for expected in losses[:3]:
        loss = cross_entropy(model(Tensor(points), *parameters), labels)
        loss.backward()
        assert np.isclose(loss.item(), expected), (
            f"train: one of the first three losses is {expected:.6f}, expected "
            f"{loss.item():.6f}; is the gradient cleared in every step?"
        )
        parameters = [
            Tensor(p.data - p.grad.data, requires_grad=True) for p in parameters
        ]
    print("train: right")


check_train()

# %% [markdown] lang="zh"
# 现在正式训练 800 步，两边从同样的初值出发：
# %% [markdown] lang="en"
# Now for 800 steps, on both sides from the same start:
# %% compare_training
parameters, losses = with_ours(800)
twins, torch_losses = with_torch(800)
with no_grad():
    predicted = model(Tensor(points), *parameters).data.argmax(axis=1)

print("losses[0] =", round(losses[0], 3))
print("losses[-1] =", round(losses[-1], 3))
print("accuracy =", round((predicted == labels).mean(), 3))
print("losses equal to torch's:", np.allclose(losses, torch_losses, rtol=1e-6))
equal = [
    np.allclose(ours.data, theirs.detach(), rtol=1e-6, atol=1e-8)
    for ours, theirs in zip(parameters, twins, strict=True)
]
print("parameters equal to torch's:", equal)

# %% [markdown] lang="zh"
# 800 步之后，损失和参数仍与 PyTorch 的一致。看看学到了什么：
# %% [markdown] lang="en"
# After 800 steps, losses and parameters still agree with PyTorch's. This is what was learnt:
# %% figure
import matplotlib.pyplot as plt

side = np.linspace(-1.25, 1.25, 40)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
with no_grad():
    logits = model(Tensor(grid), *parameters).data

figure, (left, right) = plt.subplots(1, 2)
for label, marker in enumerate("os^"):
    # zh: 这一类的 logit 比其余两类中较大的高多少；大于 0 就是它的区域
    # en: by how much this logit exceeds the larger of the others: its region is above 0
    ahead = logits[:, label] - np.delete(logits, label, axis=1).max(axis=1)
    region = ahead.reshape(40, 40)
    left.contourf(side, side, region, [0, np.inf], colors=f"C{label}", alpha=0.25)
    left.plot(*points[labels == label].T, marker, color=f"C{label}", markersize=3)
left.set(title="classes", aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
right.plot(losses, label="ours")
right.plot(torch_losses, linestyle=":", linewidth=3, label="torch")
right.set(title="loss", xlabel="step", yscale="log")
right.minorticks_off()
right.legend()
plt.show()

# %% [markdown] lang="zh"
# <!-- alt: 左图：三条螺旋臂的 90 个点，三种颜色的区域各自沿着一条臂弯曲，每个点都落在自己那一类的区域里。右图：对数坐标下的损失，800 步里从约 1 降到 0.01 以下；我们的实线与 torch 的点线重合。 -->
# 左边的三块区域沿着螺旋臂弯曲；右边的两条损失曲线重合。
#
# ## 它还缺什么
#
# 与 PyTorch 相比，这个引擎省掉了不少东西，每一样都有对应的课：
#
# - **版本计数器。** 反向之前就地改了 `data`，我们会悄悄算错，[PyTorch 会报错](../inplace_and_views.md)。
# - **释放。** 我们把用过的值一直留着；PyTorch [反向走过就释放](../graph_lifetime.md)。
# - **双重反向。** 我们的规则算的是 NumPy 数组，不留记录；PyTorch 的规则本身也由可导的运算组成，所以能用 `create_graph=True` 求高阶导数。[自定义 Function](../custom_function.md) 一课里有例子。
# - **钩子、视图、别的数据类型和设备。** 见[钩子](../hooks.md)和[数据类型与复数](../dtypes_and_complex.md)。
#
# ## 还想再写
#
# - 写一个 `maximum(a, b)`。两者相等时，PyTorch 给两边各一半；你的规则呢？用 `check_backward` 对照。
# - 把规则改写成用 `Tensor` 运算，而不用 NumPy，并在反向时套上 `no_grad()`。去掉 `no_grad()`，就得到了双重反向。
# - 给 `Value` 加一个版本号，每次改 `data` 就加一；节点记下保存时的版本号，反向时核对。
# %% [markdown] lang="en"
# <!-- alt: Left: the 90 points of three spiral arms; three coloured regions bend along the arms, and every point lies in the region of its class. Right: the loss on a logarithmic scale, falling from about 1 to below 0.01 in 800 steps; our solid line and torch's dotted line coincide. -->
# On the left, the three regions bend along the arms of the spiral; on the right, the two loss curves coincide.
#
# ## What it lacks
#
# Compared with PyTorch, this engine leaves out a good deal, and there is a lesson for each:
#
# - **Version counters.** If `data` is changed in place before backward, we silently get it wrong; [PyTorch raises an error](../inplace_and_views.md).
# - **Freeing.** We keep what was used for ever; PyTorch [frees it as the pass goes by](../graph_lifetime.md).
# - **Double backward.** Our rules work on NumPy arrays and leave no record. PyTorch's rules are made of differentiable operations themselves, which is why `create_graph=True` can give higher-order derivatives. The lesson on [custom Functions](../custom_function.md) has an example.
# - **Hooks, views, other dtypes and devices.** See [hooks](../hooks.md) and [dtypes and complex numbers](../dtypes_and_complex.md).
#
# ## Go on
#
# - Write `maximum(a, b)`. If both are equal, PyTorch gives half to each; what does your rule do? Compare with `check_backward`.
# - Write the rules with `Tensor` operations instead of NumPy's and run the backward pass under `no_grad()`. Take the `no_grad()` away, and you have double backward.
# - Give `Value` a version that goes up whenever `data` changes; let nodes note it when they save, and check it in the backward pass.
