"""A project made of a few texts, for the page that shows what mistakes look like."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from livecell import Settings


@contextlib.contextmanager
def project(files: dict[str, str]) -> Iterator[Settings]:
    """Work in a temporary folder that holds `files`; its settings as a project."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, text in files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text, encoding="utf-8")
        yield Settings.load()
