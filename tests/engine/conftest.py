"""Projects that the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engine.project import Project

MakeProject = Callable[..., Project]


@pytest.fixture
def make(tmp_path: Path) -> MakeProject:
    """Makes a project of its own for one test; see `Project.make`."""

    def make(snippets: dict[str, str], **table: object) -> Project:
        return Project.make(tmp_path / "project", snippets, **table)

    return make
