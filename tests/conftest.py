"""What all tests share: the option --update, the settings, and one run of the snippets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from livecell import Runner, Settings

ROOT = Path(__file__).parents[1]

# A slow machine is no failure; and CI must not find today what it did not find yesterday.
hypothesis.settings.register_profile(
    "project", deadline=None, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="approve the snippets' present outputs")


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings.load(ROOT)


@pytest.fixture(scope="session")
def runner(settings: Settings) -> Iterator[Runner]:
    """A runner with an empty memory: it takes nothing from the store.

    All snippets have run when the first test gets it. torch parses its own source at times, and in
    CPython 3.11 no two threads may parse at once.
    """
    with Runner(settings, use_store=False) as runner:
        runner.start(settings.stems())
        for stem in settings.stems():
            runner.outcome(stem)
        yield runner


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, made as `make build` makes it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
