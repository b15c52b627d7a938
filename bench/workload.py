"""Writes the same bilingual book for three site builders; only their own syntax differs.

Every chapter is a Chinese and an English page with the same cells of code, prose and two formulas.
One chapter in five (number % 5 == 2) trains something for about half a second, one in five
(number % 5 == 4) draws a figure. The builders:

- `ours`: livecell; the code lies in snippets/, pages cite its cells.
- `mkexec`: markdown-exec and mkdocs-static-i18n; every page holds and runs the code itself.
- `plain`: the pages of `mkexec` with code and outputs pasted in; nothing is executed.

`python bench/workload.py FOLDER BUILDER CHAPTERS` writes a book; writing `plain` imports torch.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import sys
import tomllib
from pathlib import Path

BUILDERS = ("ours", "mkexec", "plain")
LANGUAGES = ("zh", "en")
CELLS = 8
FIGURE_CELL = 5
TRAIN_STEPS = 3000
REPOSITORY = Path(__file__).resolve().parents[1]

WORDS = {
    "en": (
        "tensor gradient graph node leaf backward value shape stride view batch layer weight bias "
        "loss step update learning rate function derivative chain rule Jacobian vector product "
        "memory buffer detach clone sample seed dtype device scalar matrix broadcast index slice "
        "the a of in to and is we each this that when so with from into it its one every"
    ),
    "zh": (
        "张量 梯度 计算图 节点 叶子 反向传播 数值 形状 步长 视图 批次 网络层 权重 偏置 损失 更新 "
        "学习率 函数 导数 链式法则 雅可比矩阵 向量积 内存 缓冲区 分离 克隆 样本 随机种子 数据类型 "
        "设备 标量 矩阵 广播 索引 切片 我们 这里 因此 每个 可以 得到 需要 注意 其中 然后 并且 就是 "
        "对于 之后 例如"
    ),
}
REVISION = {"en": ("Revision ", " of this paragraph"), "zh": ("本段修订 ", " 版")}
INLINE = r"f(x) = \sum_{i=1}^{n} w_i x_i + b"
DISPLAY = r"\frac{\partial L}{\partial w} = \frac{2}{n}\sum_i (\hat{y}_i - y_i)\, x_i"


# ------------------------------------------------------------------ what every builder is given
def stem(chapter: int) -> str:
    """The file name of a chapter, without its suffix."""
    return f"ch{chapter:03d}"


def cells(chapter: int, *, for_page: bool) -> list[str]:
    """The code of a chapter; `for_page` makes a figure print itself as markdown-exec wants it."""
    s = [chapter * 100 + i for i in range(CELLS)]
    out = [
        f"import torch\n\ntorch.manual_seed({s[0]})\n"
        f"x = torch.arange({6 + chapter % 3}, dtype=torch.float32)\n"
        "print(x)\nprint(x.shape, x.dtype)",
        f"a = torch.tensor([1.0, 2.0, {s[1] % 11}.5], requires_grad=True)\n"
        f"b = (a * {2 + s[1] % 3}).exp().log()\nprint(b)\nprint(b.grad_fn)\nprint((a * a).grad_fn)",
        "loss = (b ** 2).sum()\na.grad = None\nloss.backward()\nprint(loss.item())\nprint(a.grad)",
        "from torch.autograd.functional import jacobian\n\n"
        f"J = jacobian(lambda t: torch.stack([t.prod(), t.sum(), (t ** {2 + s[3] % 2}).sum()]), "
        "torch.tensor([1.0, 2.0, 3.0]))\nprint(J)",
        f"shift = 100\nw = torch.randn(3, {2 + s[4] % 3})\nprint(w)\nprint(shift * 2)\n"
        "print((w + shift).mean(dim=0))",
        f"m = torch.arange(12).reshape(3, 4)\nprint(m * torch.tensor([{s[5] % 5}, 1, 2, 3]))\n"
        "print(m[:, 1:3].T)",
        f"p = torch.full((2, 3), {s[6] % 9}.25)\nq = torch.eye(3)\nprint(p @ q)\n"
        "print(torch.einsum('ij,kj->ik', p, q))",
        "with torch.no_grad():\n    c = a * 3\nprint(c.requires_grad, (a * 3).requires_grad)\n"
        f"print(torch.where(a > {s[7] % 3}, a, -a))",
    ]
    if chapter % 5 == 2:
        out[FIGURE_CELL] = (
            f"X = torch.linspace(-1, 1, 64).unsqueeze(1)\nY = {1 + s[5] % 4} * X - 0.5\n"
            "model = torch.nn.Linear(1, 1)\nopt = torch.optim.SGD(model.parameters(), lr=0.1)\n"
            f"for step in range({TRAIN_STEPS}):\n    opt.zero_grad()\n"
            "    err = ((model(X) - Y) ** 2).mean()\n    err.backward()\n    opt.step()\n"
            "print(f'{err.item():.6f}')\nprint(model.weight)"
        )
    if chapter % 5 == 4:
        out[FIGURE_CELL] = (
            ("import matplotlib\n\nmatplotlib.use('Agg')\n" if for_page else "")
            + "import matplotlib.pyplot as plt\n\nt = torch.linspace(0, 6.28, 200)\n"
            "fig, ax = plt.subplots(figsize=(4, 2.5))\n"
            f"ax.plot(t, torch.sin({1 + s[5] % 5} * t))\nax.set_title('sine {s[5]}')\n"
            + (
                "import io\n\nbuf = io.StringIO()\nfig.savefig(buf, format='svg')\nplt.close(fig)\n"
                "print(buf.getvalue())"
                if for_page
                else "plt.show()"
            )
        )
    return out


def draws(chapter: int, cell: int) -> bool:
    """Whether the cell draws a figure."""
    return chapter % 5 == 4 and cell == FIGURE_CELL


def page(language: str, chapter: int, blocks: list[str]) -> str:
    """A page: title, prose, a block for every cell, formulas."""
    rnd = random.Random(f"{language}{chapter}")
    per = (150 if language == "en" else 110) // (CELLS + 1)
    vocabulary = WORDS[language].split()
    paragraphs = []
    for _ in range(CELLS + 1):
        words = [rnd.choice(vocabulary) for _ in range(per)]
        text = " ".join(words).capitalize() + "." if language == "en" else "".join(words) + "。"
        paragraphs.append(text)
    before, after = REVISION[language]
    title = f"Chapter {chapter}: gradients" if language == "en" else f"第 {chapter} 章：梯度"
    out = [f"# {title}\n", f"{paragraphs[0]} {before}0{after}. ${INLINE}$\n"]
    for i, block in enumerate(blocks):
        if i % 2 == 0:
            out.append(f"## {'Step' if language == 'en' else '步骤'} {chapter}.{i}\n")
        out += [paragraphs[i + 1] + "\n", block + "\n"]
    return "\n".join([*out, f"$$\n{DISPLAY}\n$$\n"])


# ------------------------------------------------------------------ each builder's own syntax
EXTENSIONS = """markdown_extensions:
  admonition: {}
  attr_list: {}
  toc: {permalink: true}
  pymdownx.highlight: {}
  pymdownx.superfences: {}
  pymdownx.arithmatex: {generic: true}
"""
PEER = """site_name: bench
theme: {name: material, font: false}
plugins:
  search: {lang: [en, zh]}
%s  i18n:
    docs_structure: folder
    languages:
      - {locale: zh, name: 中文, default: true, build: true}
      - {locale: en, name: English, build: true}
"""
OURS = """site_name: bench
docs_dir: docs/zh
theme: {name: material, font: false, language: zh}
plugins:
  search: {lang: [zh, en]}
  markdown-exec: {languages: [python]}
  livecell: {twins: {en: mkdocs.en.yml}}
"""
OURS_EN = """INHERIT: mkdocs.yml
docs_dir: docs/en
theme: {language: en}
plugins: {search: {lang: [en]}}
"""


def write(folder: Path, builder: str, chapters: int) -> None:
    """Write a book for `builder` into `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    if builder == "ours":
        _put(folder / "mkdocs.yml", OURS + EXTENSIONS + "  mathml: {}\n")
        _put(folder / "mkdocs.en.yml", OURS_EN)
        _put(folder / "pyproject.toml", _settings())
    else:
        execute = "  markdown-exec: {}\n" if builder == "mkexec" else ""
        _put(folder / "mkdocs.yml", PEER % execute + EXTENSIONS)
    for language in LANGUAGES:
        _put(folder / "docs" / language / "index.md", f"# bench {language}\n\nbench\n")
    for chapter in range(chapters):
        if builder == "ours":
            code = cells(chapter, for_page=False)
            text = "\n\n".join(f"# %% c{i}\n{source}" for i, source in enumerate(code))
            _put(folder / "snippets" / f"{stem(chapter)}.py", text + "\n")
        outputs = _run(chapter) if builder == "plain" else []
        for language in LANGUAGES:
            blocks = _blocks(builder, language, chapter, outputs)
            text = page(language, chapter, blocks)
            _put(folder / "docs" / language / f"{stem(chapter)}.md", text)


def _blocks(builder: str, language: str, chapter: int, outputs: list[str]) -> list[str]:
    blocks = []
    for i, code in enumerate(cells(chapter, for_page=True)):
        figure = draws(chapter, i)
        if builder == "ours":
            alt = (' alt="a sine"' if language == "en" else ' alt="正弦曲线"') if figure else ""
            block = f'```python exec="on" cell="{stem(chapter)}:c{i}"{alt}\n```'
        elif builder == "mkexec":
            how = 'html="on"' if figure else 'result="text"'
            session = f'session="{stem(chapter)}-{language}"'
            block = f'```python exec="on" source="block" {how} {session}\n{code}\n```'
        elif figure:
            svg = outputs[i][outputs[i].index("<svg") :].replace("\n\n", "\n")
            block = f"```python\n{code}\n```\n\n<div>{svg}</div>"
        else:
            block = f"```python\n{code}\n```\n\n```text\n{outputs[i].rstrip()}\n```"
        blocks.append(block)
    return blocks


def _run(chapter: int) -> list[str]:
    """What the cells of a chapter print, run here."""
    namespace: dict[str, object] = {"__name__": "cell"}
    outputs = []
    for code in cells(chapter, for_page=True):
        buffer = io.StringIO()
        with contextlib.redirect_stdout(buffer):
            exec(code, namespace)
        outputs.append(buffer.getvalue())
    return outputs


def _settings() -> str:
    """The book's pyproject.toml: the languages and the preloaded modules of our own site."""
    own = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    table = own["tool"]["livecell"]
    lines = ["[tool.livecell]", f"languages = {json.dumps(LANGUAGES)}"]
    for stage in table.get("preload", ()):
        lines.append("[[tool.livecell.preload]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in stage.items()]
    return "\n".join(lines) + "\n"


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------ what an author does
Seen = list[tuple[str, str]]
"""What a reader must come to see: addresses, and a text on each."""


def address(language: str, chapter: int) -> str:
    """The path of a page in the site of every builder."""
    return ("/" if language == LANGUAGES[0] else f"/{language}/") + f"{stem(chapter)}/"


def edit_prose(folder: Path, revision: int, chapter: int, language: str) -> Seen:
    """Change a number in a sentence of one page."""
    before, after = REVISION[language]
    path = folder / "docs" / language / f"{stem(chapter)}.md"
    _replace(path, before, after, str(revision))
    return [(address(language, chapter), f"{before}{revision}{after}")]


def edit_code(folder: Path, builder: str, revision: int, chapter: int) -> Seen:
    """Change a number in a cell, in the one or two files it stands in."""
    number = 7_000_000 + revision
    if builder == "ours":
        paths = [folder / "snippets" / f"{stem(chapter)}.py"]
    else:
        paths = [folder / "docs" / lang / f"{stem(chapter)}.md" for lang in LANGUAGES]
    for path in paths:
        _replace(path, "shift = ", "\n", str(number))
    return [(address(lang, chapter), str(2 * number)) for lang in LANGUAGES]


def _replace(path: Path, before: str, after: str, value: str) -> None:
    text = path.read_text(encoding="utf-8")
    start = text.index(before) + len(before)
    path.write_text(text[:start] + value + text[text.index(after, start) :], encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
