"""All words that a picture says, in each language."""

from __future__ import annotations

import re

WORDS = {
    "en": {
        # in the boxes
        "saves": "saves {what}",
        "shape": "shape {shape}",
        "results": "{n} results: ",
        "result": "result {n}",
        "more": "saves {n} more",
        "function": "autograd.Function",
        "leaf": "leaf",
        "output": "output",
        "no gradient": "no gradient",
        "no gradient for": "{name}: no gradient",
        "none": "none",
        # what happens
        "start": "Start",
        "step": "Step {k} of {n}",
        "start of": "Pass {p} of {passes}, start",
        "step of": "Pass {p}, step {k} of {n}",
        "colon": ": ",
        "enters": "The gradient {value} enters at {name}.",
        "enter": "Gradients enter: {list}.",
        "enters at": "{value} at {name}",
        "empty": "No leaf has a .grad yet.",
        "cleared": "Cleared: {list}.",
        "kept": "Not cleared: {list}.",
        "sends": "{node} receives {received} and sends {list}.",
        "sends on": "{node} sends {list}.",
        "ends": "{node} receives {received} and sends nothing on.",
        "runs": "{node} runs.",
        "to": "{value} to {name}",
        "nothing": "no gradient",
        "becomes": "{name}.grad becomes {after}.",
        "adds": "{name}.grad: {terms} = {after}.",
        "and": "{all} and {last}",
        "comma": ", ",
        "named": "{op} ({label})",
        "stays": "No gradient reaches {name}: {name}.grad stays {grad}.",
        "tensor": "a gradient of shape {shape}",
        # the local rule
        "stored": "There was no .grad yet, so the gradient becomes .grad.",
        "added": "The gradient is added to the .grad that was there before.",
        "arrive": "grad is the sum of all gradients that arrive here.",
        "is": "{wrt} is {name}",
        "no rule": "There is no rule for {op} here; the numbers are what PyTorch sent.",
        "own": "The backward method of this Function decides what is sent.",
        "group": "This box stands for several nodes; each of them follows its own rule.",
        # around the picture
        "title": "Backward pass from {names}",
        "leads": "{node} leads to {list}.",
        "starts": "The gradient enters at {list}.",
        "last": "At the end {list}.",
        "caption": "What the backward pass did, step by step",
        "summary": "All {n} steps as a table",
        "one step": "The one step as a table",
        "#": "Step",
        "happens": "What happens",
        "rule": "Local rule, with numbers",
        "hint": "The picture shows the end of the pass. Press Play to see how it came about.",
        "hint of": "The picture shows the end of the last pass. Press Play to see all of them.",
        "play": "Play",
        "pause": "Pause",
        "next": "Step",
        "back": "Back",
        "slider": "Steps of the backward pass",
        "frame": "Picture of the graph",
        # large graphs
        "times": "{block} × {n}",
        "members": "{op} × {n}",
        "others": "{n} more nodes",
        "leaves": "{n} more leaves",
        "ops": "{first} → … → {last}, {n} nodes",
        "grouped": "The graph has {n} nodes; those that belong together share a box.",
        "cut": "The graph has {n} nodes; those farthest from the outputs share one box.",
    },
    "zh": {
        "saves": "保存 {what}",
        "shape": "形状 {shape}",
        "results": "{n} 个结果：",
        "result": "结果 {n}",
        "more": "另保存 {n} 项",
        "function": "自定义 Function",
        "leaf": "叶子",
        "output": "输出",
        "no gradient": "不需要梯度",
        "no gradient for": "{name}：不需要梯度",
        "none": "无",
        "start": "开始",
        "step": "第 {k} 步，共 {n} 步",
        "start of": "第 {p} 次反向传播（共 {passes} 次），开始",
        "step of": "第 {p} 次反向传播，第 {k} 步，共 {n} 步",
        "colon": "：",
        "enters": "梯度 {value} 从 {name} 进入。",
        "enter": "梯度进入：{list}。",
        "enters at": "{value} 从 {name}",
        "empty": "叶子张量都还没有 .grad。",
        "cleared": "已经清零：{list}。",
        "kept": "没有清零：{list}。",
        "sends": "{node} 收到 {received}，送出 {list}。",
        "sends on": "{node} 送出 {list}。",
        "ends": "{node} 收到 {received}，不再往下送。",
        "runs": "{node} 运行。",
        "to": "{value} 给 {name}",
        "nothing": "空梯度",
        "becomes": "{name}.grad 成为 {after}。",
        "adds": "{name}.grad：{terms} = {after}。",
        "and": "{all}，{last}",
        "comma": "，",
        "named": "{op}（{label}）",
        "stays": "没有梯度到达 {name}：{name}.grad 仍是 {grad}。",
        "tensor": "形状为 {shape} 的梯度",
        "stored": "此前没有 .grad，到达的梯度直接成为 .grad。",
        "added": "到达的梯度加到原有的 .grad 上。",
        "arrive": "grad 是到达这里的所有梯度之和。",
        "is": "{wrt} 就是 {name}",
        "no rule": "这里没有收录 {op} 的局部求导法则；图中数字是 PyTorch 实际送出的。",
        "own": "送出什么，由这个 Function 自己的 backward 方法决定。",
        "group": "这个框代表若干个节点，每个节点各按自己的法则计算。",
        "title": "从 {names} 开始的反向传播",
        "leads": "{node} 通向 {list}。",
        "starts": "梯度从 {list} 进入。",
        "last": "结束时 {list}。",
        "caption": "反向传播的每一步",
        "summary": "用表格列出全部 {n} 步",
        "one step": "用表格列出这一步",
        "#": "步骤",
        "happens": "发生了什么",
        "rule": "局部法则（代入数值）",
        "hint": "图中是反向传播结束时的样子。点“播放”，看它是怎样一步步得来的。",
        "hint of": "图中是最后一次反向传播结束时的样子。点“播放”，从头看每一次。",
        "play": "播放",
        "pause": "暂停",
        "next": "下一步",
        "back": "上一步",
        "slider": "反向传播的步骤",
        "frame": "计算图",
        "times": "{block} × {n}",
        "members": "{op} × {n}",
        "others": "其余 {n} 个节点",
        "leaves": "其余 {n} 个叶子",
        "ops": "{first} → … → {last}，共 {n} 个节点",
        "grouped": "这张图共有 {n} 个节点；同属一组的画在一个框里。",
        "cut": "这张图共有 {n} 个节点；离输出最远的那些合在一个框里。",
    },
}


def word(key: str, language: str, **parts: object) -> str:
    """What `key` says in `language` (in English where there is none), with its parts filled in."""
    chosen = WORDS.get(language.partition("-")[0], WORDS["en"])
    text = chosen[key].format(**parts) if parts else chosen[key]
    # No space beside full-width punctuation, whatever was filled in.
    return (
        text if chosen is WORDS["en"] else re.sub(r"(?<=[（）：，。]) | (?=[（）：，。])", "", text)
    )


def listed(items: list[str], language: str) -> str:
    """Several things in a sentence."""
    if len(items) < 2:
        return "".join(items)
    *most, last = items
    return word("and", language, all=word("comma", language).join(most), last=last)
