"""How Chinese is set is checked: each rule finds what it is for, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from livecell import Settings, typography

ROOT = Path(__file__).parents[2]


def problems(text: str) -> list[str]:
    """What is wrong with a page, in short."""
    found = [
        (start + fault.start, fault.problem)
        for start, piece in typography.texts(text)
        for fault in typography.faults(piece)
    ]
    return [problem for _, problem in sorted(found)]


SPACE = "no space between Chinese and Western text"
HALF = "half-width punctuation in Chinese text"
ROUND = "half-width parentheses in Chinese text"
BESIDE = "a space beside full-width punctuation"
DOUBLE = "more than one space"
STRAIGHT = "straight quotation marks in Chinese text"
DOTS = "an ellipsis made of dots"
WIDE = "a full-width letter or digit"
TWICE = "punctuation given twice"
ALONE = "a quotation mark without its partner"
MIXED = "two kinds of quotation marks on one page"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("调用backward 之后", [SPACE]),
        ("调用 backward之后", [SPACE]),
        ("第1 课", [SPACE]),
        ("第 1课", [SPACE]),
        ("参数`x` 的", [SPACE]),
        ("参数 `x`的", [SPACE]),
        ("参数$x$ 的", [SPACE]),
        ("参数 $x$的", [SPACE]),
        ("系数α 是", [SPACE]),
        ("读**梯度**的值", []),
        ("读**grad** 的值", [SPACE]),
        ("读[文档](https://a.b/c)里", []),
        ("读[docs](https://a.b/c)里", [SPACE, SPACE]),
        ("<b>读</b>docs", [SPACE]),
        ("张量,标量", [HALF]),
        ("张量;标量", [HALF]),
        ("结果:", [HALF]),
        ("为什么?", [HALF]),
        ("停!", [HALF]),
        ("结束.", [HALF]),
        ("用 `x`, 然后", [HALF]),
        ("用 PyTorch. 然后", [HALF]),
        ("版本 2.13 的文件 .py", []),
        ("张量(tensor)", [ROUND]),
        ("张量 (tensor)", [ROUND]),
        ("f(x) 中(这里)", [ROUND, ROUND]),
        ("点 (1, 2) 在图上", []),
        ("调用 `f(x)` 和 zero_grad() 之后", []),
        ("先 clip(x) 再 step()", []),
        ("张量， 标量", [BESIDE]),
        ("张量 ，标量", [BESIDE]),
        ("用 `x` （张量）", [BESIDE]),
        ("（ 张量）", [BESIDE]),
        ("**原因。** 因为", []),
        ("张量  标量", [DOUBLE]),
        ("a  b", [DOUBLE]),
        ('这是"张量"', [STRAIGHT, STRAIGHT]),
        ("这是“张量”", []),
        ("这是「张量」", []),
        ("这是“张量", [ALONE]),
        ("这是张量”", [ALONE]),
        ("这是“张“量”", [ALONE]),
        ("“张量”和「标量」", [MIXED]),
        ("等等...", [DOTS]),
        ("等等……", []),
        ("第 １ 课", [WIDE]),
        ("张量，，标量", [TWICE]),
        ("向量–雅可比积——也就是 VJP", []),
    ],
)
def test_each_rule(text: str, expected: list[str]) -> None:
    assert problems(text) == expected
    for frame in (
        f"# {text}\n",
        f"## {text} {{#some-id}}\n",
        f"- {text}\n",
        f"1.  {text}\n",
        f"> {text}\n",
        f"    :   {text}\n",
        f'!!! note "框"\n\n    {text}\n',
        f"<!-- 注释comment -->\n\n{text}\n",
    ):
        assert problems(frame) == expected, frame


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx=1  # 注释comment,没有空格\n```",
        '!!! note "框"\n\n    ```yaml\n    a: 中文English\n    ```',
        "`中文English,` 是代码",
        "`#!live s:cell 值value` 取自运行",
        "$x,中y$ 是公式",
        "$$\\text{中English}$$",
        "见 [这里](../中文page.md#a,b)。",
        "见 <https://a.b/中文,x>。",
        "## 标题 {#id .class}",
        "![图](图a.svg)",
        "[ENTRY some-id]",
        "| 一 | b |\n|---|---|\n| 中 | x |",
        "*[VJP]: 向量–雅可比积",
        "脚注[^1]在这里",
        "行尾有两个空格  \n下一行",
        "-   缩进的列表项",
        "`w = w - 0.1 * g` 之后",
        "w - 0.1 * w.grad 就对了",
    ],
)
def test_what_is_no_text_is_left_alone(text: str) -> None:
    assert problems(text + "\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "---\ndescription: 讲backward 的\n---\n",
        '```python exec="on" cell="s:a" alt="图里有x 轴"\n```\n',
        '!!! note "讲backward 的"\n',
        '??? note "讲backward 的"\n',
        "| 表头 |\n|---|\n| 讲backward 的 |\n",
        "![图里有x 轴](a.svg)\n",
    ],
)
def test_texts_out_of_the_way_are_read_too(text: str) -> None:
    assert problems(text) == [SPACE]


def project(root: Path, languages: list[str]) -> Settings:
    for language in languages:
        page = root / "docs" / language / "page.md"
        page.parent.mkdir(parents=True)
        page.write_text("---\ntitle: 好\n---\n\n第一行\n\n见`x` 吧\n", encoding="utf-8")
    (root / "snippets").mkdir()
    (root / "snippets" / "s.py").write_text(
        "# %% a\n# zh: 打印x\n# en: prints,x\nprint(1)  # 中x\n", encoding="utf-8"
    )
    return Settings.from_table(root, {"languages": languages})


LAB = """# %% [markdown] lang="zh"
# # 题目
# 见`x` 吧

# %% [markdown] lang="en"
# # A title
# See,x

# %% a
print(1)
"""
LISTED = """topic:
- id: x
  zh: 好
  zh_def: >-
    第一行，
    见`x` 吧
  zh_also: [中x]
  en_def: a,b
  zh_symptoms: [好, 中x]
"""


def test_labs_and_lists_are_read_too(tmp_path: Path) -> None:
    settings = project(tmp_path, ["zh", "en"])
    for name, text in ("snippets/labs/l.py", LAB), ("docs/atlas/a.yml", LISTED):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    told = {(str(e.file), e.line, e.found) for e in typography.check(settings)}
    assert {one for one in told if one[0].endswith(("l.py", "a.yml"))} == {
        (str(tmp_path / "snippets/labs/l.py"), 3, "见`x` 吧"),
        (str(tmp_path / "docs/atlas/a.yml"), 4, "第一行，见`x` 吧"),
        (str(tmp_path / "docs/atlas/a.yml"), 9, "中x"),
    }


def test_what_cannot_be_read_is_left_to_others(tmp_path: Path) -> None:
    settings = project(tmp_path, ["zh", "en"])
    (tmp_path / "docs/a.yml").write_text("{", encoding="utf-8")
    (tmp_path / "docs/zh/b.md").write_bytes(b"\xff")
    assert len(typography.check(settings)) == 2


def test_file_and_line_are_told(tmp_path: Path) -> None:
    first, second = typography.check(project(tmp_path, ["zh-Hans", "en"]))
    assert (first.file, first.line) == (tmp_path / "docs/zh-Hans/page.md", 7)
    assert (first.found, first.problem) == ("见`x` 吧", SPACE)
    assert (second.file, second.line) == (tmp_path / "snippets/s.py", 2)


def test_other_languages_are_left_alone(tmp_path: Path) -> None:
    assert typography.check(project(tmp_path, ["en", "ja"])) == []


def test_the_site_itself() -> None:
    assert [str(error) for error in typography.check(Settings.load(ROOT))] == []


def test_a_space_lost_anywhere_on_the_site_is_found() -> None:
    han = typography.HAN
    lost = 0
    for page in sorted((ROOT / "docs" / "zh").glob("*.md"))[:20]:
        *_, (_, text) = typography.texts(page.read_text(encoding="utf-8"))
        for space in re.finditer(rf"(?m)(?<=^[^`$|<(]{{4}}[{han}]) (?=[`$A-Za-z])", text):
            assert SPACE in problems(text[: space.start()] + text[space.end() :]), space
            lost += 1
    assert lost > 20
