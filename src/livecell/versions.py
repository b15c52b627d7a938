"""Which versions a snippet ran with."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import platform
import sys

from livecell.cells import syntax_tree


def versions(source: bytes) -> dict[str, str]:
    """Versions of Python and of the installed packages that the snippet imports itself."""
    found = {"python": platform.python_version()}
    try:
        tree = syntax_tree(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return found  # `cells.parse` says what is wrong
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    for name in sorted(names - set(sys.stdlib_module_names)):
        if version := _version(name):
            found[name] = version
    return found


@functools.cache
def _version(module: str) -> str | None:
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        pass
    for name in importlib.metadata.packages_distributions().get(module, ()):
        return importlib.metadata.version(name)
    return None
