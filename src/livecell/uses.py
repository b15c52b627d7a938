"""Which names of a library a program uses, read from its syntax tree.

A use is written as

- a dotted path, `torch.autograd.grad`, however the program imported it; a method that a class
  defines has the path of the class it derives from, `torch.autograd.Function.forward`;
- `base .attribute` on anything that is no module, where `base` is the last word before the dot, if
  there is one: `loss .backward`, `grad_fn .register_hook`, ` .item`.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect
from collections.abc import Iterator

from livecell.cells import syntax_tree

HEADER = re.compile(r"# %% (\w+)")


def cells(source: str) -> dict[str, list[str]]:
    """What each cell of a snippet uses, in the order of first use.

    Args:
        source: the text of the snippet file; must be Python.
    """
    starts = [
        (number, header[1])
        for number, line in enumerate(source.split("\n"), start=1)
        if (header := HEADER.match(line))
    ]
    found: dict[str, dict[str, None]] = {name: {} for _, name in starts}
    lines = [number for number, _ in starts]
    for line, use in _Reader().read(syntax_tree(source)):
        place = bisect(lines, line) - 1
        if place >= 0:
            found[starts[place][1]][use] = None
    return {name: list(uses) for name, uses in found.items()}


class _Reader:
    """Follows imports and plain renamings, so that a name is found under its dotted path."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}

    def read(self, tree: ast.Module) -> Iterator[tuple[int, str]]:
        """Line and use, for every use."""
        for node in ast.walk(tree):
            self._imports(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
                path = self._path(node.value)
                if path:
                    self._paths.setdefault(target.id, path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                yield node.lineno, self._path(node) or f"{_last(node.value)} .{node.attr}"
            elif isinstance(node, ast.Name) and node.id in self._paths:
                yield node.lineno, self._paths[node.id]
            elif isinstance(node, ast.ClassDef):
                for base in filter(None, map(self._path, node.bases)):
                    for method in node.body:
                        if isinstance(method, ast.FunctionDef):
                            yield method.lineno, f"{base}.{method.name}"

    def _imports(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for name in node.names:
                known = name.asname or name.name.partition(".")[0]
                self._paths[known] = name.name if name.asname else known
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for name in node.names:
                self._paths[name.asname or name.name] = f"{node.module}.{name.name}"

    def _path(self, node: ast.AST) -> str | None:
        """The dotted path of an expression, if a module begins it."""
        if isinstance(node, ast.Name):
            return self._paths.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self._path(node.value)
            return f"{base}.{node.attr}" if base else None
        return None


def _last(node: ast.AST) -> str:
    """The last word of an expression; nothing of a call or a subscript."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
