# %% total
# zh: 注释成对，每一页只显示自己的语言
# en: comments come in pairs; a page shows its own language
numbers = [1, 2, 3]
print("total =", sum(numbers))

# %% division raises="ZeroDivisionError"
print("numbers =", numbers)
sum(numbers) / 0

# %% alias
more = numbers
more.append(4)
print("len(numbers) =", len(numbers))

# %% same_name_twice
from pathlib import Path

from livecell import LivecellError
from livecell.cells import parse

text = "# %% total\ntotal = 1 + 2\n\n# %% total\nprint(total)\n"
try:
    parse(text, Path("snippets/sums.py"))
except LivecellError as error:
    print(error)

# %% promised_error
# zh: project() 在临时文件夹里写下这些文件
# en: project() writes these files into a temporary folder
from _project import project

from livecell import Runner

sums = '# %% total raises="ValueError"\nprint("total =", 1 + 2)\n'
with (
    project({"snippets/sums.py": sums}) as settings,
    Runner(settings, fork=False) as runner,
):
    print(runner.outcome("sums"))

# %% misspelt_cell
from livecell.check import static

page = '# Sums\n\n```python exec="on" cell="sums:totl"\n```\n'
sums = '# %% total\nprint("total =", 1 + 2)\n'
with project({"snippets/sums.py": sums, "docs/index.md": page}) as settings:
    for error in static(settings):
        print(error)

# %% settings
from dataclasses import fields

from livecell.settings import PATHS, Settings

for field in fields(Settings):
    if field.name != "root":
        print(f"{field.name} =", PATHS.get(field.name, field.default))
