"""A new lesson's files: snippet, one page per language, navigation entry, test."""

from __future__ import annotations

import re
from pathlib import Path

from livecell.errors import LivecellError
from livecell.settings import Settings

STEM = re.compile(r"^(?:[a-z][a-z0-9_]*/)*[a-z][a-z0-9_]*$")

SNIPPET = """\
# %% first_cell
{comments}answer = 6 * 7
print("answer =", answer)
"""

PAGE = {
    "zh": """\
---
description: 用一句话说明这一课回答什么问题。
---
# {title}

读者带着什么问题来？先用三行回答，再讲为什么。

## 第一步 {{#first-step}}

```python exec="on" cell="{stem}:first_cell"
```

结果是 `#!live {stem}:first_cell answer`：这个值取自运行，不是手写的。
""",
    "en": """\
---
description: One sentence that says which question this lesson answers.
---
# {title}

Which question does the reader bring? Answer it in three lines, then explain.

## First step {{#first-step}}

```python exec="on" cell="{stem}:first_cell"
```

The result is `#!live {stem}:first_cell answer`: the value comes from the run, nobody typed it.
""",
}

COMMENTS = {
    "zh": "# zh: 注释成对出现，每种语言一行\n",
    "en": "# en: comments come in pairs, a line per language\n",
}

TEST = '''\
"""Claims of the lesson `{stem}`, held by mathematics or an oracle, not by the snippet."""


def test_the_answer_is_six_times_seven() -> None:
    assert sum([6] * 7) == 42
'''


def create(settings: Settings, stem: str) -> list[Path]:
    """Write the files of the lesson `stem`, none of which may exist; the files written.

    Raises:
        LivecellError: the stem cannot be a module name, or one of the files exists.
    """
    if not STEM.match(stem):
        raise LivecellError(
            f"{stem!r} cannot name a lesson",
            expected="lower-case letters, digits and underscores, such as graph_lifetime",
        )
    files = _files(settings, stem)
    for path in files:
        if path.exists():
            raise LivecellError("the file exists already", path, todo="choose another stem")
    config = settings.root / "mkdocs.yml"
    nav = _with_entry(config.read_text(encoding="utf-8"), stem) if config.is_file() else None
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    if nav is None:
        return list(files)
    config.write_text(nav, encoding="utf-8", newline="\n")
    return [*files, config]


def _files(settings: Settings, stem: str) -> dict[Path, str]:
    languages = settings.languages or ("",)
    title = stem.rpartition("/")[2].replace("_", " ").capitalize()
    comments = "".join(COMMENTS.get(tag, f"# {tag}: …\n") for tag in settings.languages)
    files = {settings.snippet(stem): SNIPPET.format(comments=comments)}
    for tag in languages:
        page = PAGE.get(tag, PAGE["en"]).format(title=title, stem=stem)
        files[settings.docs / tag / f"{stem}.md"] = page
    name = "test_" + stem.replace("/", "_") + ".py"
    files[settings.root / "tests" / name] = TEST.format(stem=stem)
    return files


def _with_entry(config: str, stem: str) -> str | None:
    """mkdocs.yml with the page as the last entry of `nav`; None if it has no such list.

    Text in, text out: a YAML library would lose the comments, or the tags it does not know.
    """
    lines = config.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if line.rstrip() == "nav:"), None)
    if start is None:
        return None
    last = start
    for i in range(start + 1, len(lines)):
        if lines[i].strip() and not lines[i].startswith((" ", "-", "#")):
            break
        if lines[i].lstrip().startswith("- "):
            last = i
    first = lines[start + 1] if last > start else "  - "
    indent = first[: len(first) - len(first.lstrip())] if last > start else "  "
    lines.insert(last + 1, f"{indent}- {stem}.md\n")
    return "".join(lines)
