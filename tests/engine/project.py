"""A throw-away project: a pyproject.toml with `[tool.livecell]`, and snippets."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from livecell import CellResult, LivecellError, Result, Runner, Settings


@dataclass(frozen=True)
class Project:
    """A project below `root`; without `preload`, so that its fork server starts at once."""

    root: Path

    @classmethod
    def make(cls, root: Path, snippets: dict[str, str], **table: object) -> Project:
        """Write a project with these snippets; `table` is what `[tool.livecell]` says."""
        root.mkdir(parents=True, exist_ok=True)
        lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
        (root / "pyproject.toml").write_text("\n".join(["[tool.livecell]", *lines]) + "\n")
        project = cls(root)
        project.settings.snippets.mkdir(exist_ok=True)
        for stem, source in snippets.items():
            project.write(stem, source)
        return project

    @property
    def settings(self) -> Settings:
        return Settings.load(self.root)

    def write(self, stem: str, source: str | bytes) -> Path:
        """Write (or change) a snippet; text is dedented."""
        path = self.settings.snippet(stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = source if isinstance(source, bytes) else dedent(source).encode()
        path.write_bytes(data)
        return path

    def outcomes(self, *, fork: bool = True, jobs: int = 4) -> dict[str, Result | LivecellError]:
        """What every snippet comes to, by stem, with a runner that takes nothing stored."""
        stems = self.settings.stems()
        with Runner(self.settings, use_store=False, fork=fork, jobs=jobs) as runner:
            runner.start(stems)
            return {stem: runner.outcome(stem) for stem in stems}

    def run(self, stem: str, *, fork: bool = True, use_store: bool = False) -> Result:
        """The result of one snippet, which must succeed."""
        with Runner(self.settings, use_store=use_store, fork=fork, jobs=1) as runner:
            return runner.result(stem)

    def entries(self) -> list[Path]:
        """Every file in the store, the unfinished ones included."""
        return sorted(path for path in self.settings.store.rglob("*") if path.is_file())


def cell(outcome: Result | LivecellError, name: str) -> CellResult:
    """The cell called `name` of a run that must have succeeded."""
    if isinstance(outcome, LivecellError):
        raise outcome
    found = outcome.cell(name)
    assert found is not None
    return found


def failure(outcome: Result | LivecellError) -> LivecellError:
    """The error of a run that must have failed."""
    assert isinstance(outcome, LivecellError), f"it ran: {outcome}"
    return outcome


def is_alive(pid: int) -> bool:
    """Whether the process still runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return False
