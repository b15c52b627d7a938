"""What all tests share: the option --update, the settings, and one run of the snippets."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

from livecell import Runner, Settings

ROOT = Path(__file__).parents[1]

# A slow machine is no failure; and CI must not find today what it did not find yesterday.
hypothesis.settings.register_profile(
    "project", deadline=None, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("project")


LONG = ("test_every_page", "test_every_page_en", "test_snippets", "test_notebooks", "test_beside")
"""The files that take longest, begun first: a file has one worker, and no other waits for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="approve the snippets' present outputs")


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings.load(ROOT)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of this test run share, for what is made once."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def runner(settings: Settings, shared: Path) -> Iterator[Runner]:
    """A runner that takes nothing from the author's store: all snippets run, once for all workers.

    They have run when the first test gets it. torch parses its own source at times, and in
    CPython 3.11 no two threads may parse at once.
    """
    fresh = dataclasses.replace(settings, store=shared / "store")
    with Runner(fresh) as runner:
        with FileLock(shared / "store.lock"):
            runner.start(settings.stems())
            for stem in settings.stems():
                runner.outcome(stem)
        yield runner


@pytest.fixture(scope="session")
def site(settings: Settings, runner: Runner, shared: Path) -> Path:
    """The built site, made once as `make build` makes it, with the results of this test run."""
    folder = shared / "site"
    with FileLock(shared / "site.lock"):
        if not folder.is_dir():
            results = runner.settings.store / "results"
            shutil.copytree(results, settings.store / "results", dirs_exist_ok=True)
            command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir"]
            done = subprocess.run(
                [*command, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return folder
