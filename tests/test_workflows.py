"""The workflows for GitHub: pinned actions, and no more rights than the job needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(request.param.read_text(encoding="utf-8"))
    return loaded


def test_there_are_the_four() -> None:
    assert [path.stem for path in FILES] == ["links", "newest-torch", "pages", "test"]


def test_actions_are_pinned_by_hash(workflow: dict[str, Any]) -> None:
    actions = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert actions
    assert [action for action in actions if not PINNED.fullmatch(action)] == []


def test_a_workflow_may_only_read(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    writers = {name: job for name, job in workflow["jobs"].items() if "permissions" in job}
    assert set(writers) <= {"deploy", "notebooks"}
    for name, job in writers.items():  # what may write runs nothing of ours
        assert job["needs"] == "build", name
        commands = "\n".join(step.get("run", "") for step in job["steps"])
        assert not re.search(r"\b(make|python|pip|mkdocs|pytest|livecell)\b", commands), name


def test_no_job_runs_for_ever(workflow: dict[str, Any]) -> None:
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_the_code_of_a_fork_sees_no_secret() -> None:
    text = (FOLDER / "test.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "pull_request_target" not in "".join(path.read_text() for path in FILES)
    checkouts = re.findall(r"actions/checkout@.*\n +with:\n +persist-credentials: false", text)
    assert len(checkouts) == text.count("actions/checkout@")


def test_a_commit_is_checked_as_make_check_does() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\ncheck:")[2].partition("\n\n")[0]
    commands = [line.strip().removesuffix(" .") for line in recipe.splitlines()[1:]]
    assert [command.replace("$(BIN)", ".venv/bin") for command in commands] == entries


def test_torch_is_the_pinned_one_everywhere() -> None:
    pinned = re.search(r'"(torch==[\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert pinned
    files = [*FILES, ROOT / "README.md", ROOT / "README.zh.md"]
    for path in files:
        named = re.findall(r"torch==[\d.]+", path.read_text(encoding="utf-8"))
        assert set(named) == {pinned[1]}, path
