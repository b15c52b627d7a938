"""What holds for every snippet: approved outputs, repeatability, and the same as a plain run."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from livecell import Result, Runner, Settings, present, transcript
from livecell.environment import environment

STEMS = Settings.load().stems()


def outputs(result: Result) -> list[object]:
    """All that must repeat: the outputs of the cells that are not volatile."""
    return [(cell.name, cell.outputs) for cell in result.cells if not cell.volatile]


@pytest.mark.parametrize("stem", STEMS)
def test_outputs_are_the_approved_ones(
    stem: str, runner: Runner, settings: Settings, request: pytest.FixtureRequest
) -> None:
    result = runner.result(stem)
    if request.config.getoption("--update"):
        transcript.approve(settings, result)
    difference = transcript.difference(settings, result)
    assert not difference, f"{difference}\nIf this is right: make update, and review the change"


def test_every_transcript_has_its_snippet(settings: Settings) -> None:
    assert transcript.orphans(settings) == []


def test_drift_is_noticed(runner: Runner, settings: Settings) -> None:
    result = runner.result(STEMS[0])
    cell = next(cell for cell in result.cells if cell.text())
    stream = next(o for o in cell.outputs if o["output_type"] == "stream")
    before = stream["text"]
    stream["text"] = before.replace("=", "≠", 1)
    try:
        assert "≠" in transcript.difference(settings, result)
    finally:
        stream["text"] = before


@pytest.mark.audit
def test_running_twice_gives_the_same_bytes(settings: Settings, runner: Runner) -> None:
    """With fork servers of its own, so that nothing random at import time can be shared."""
    with Runner(settings, use_store=False) as again:
        again.start(STEMS)
        for stem in STEMS:
            assert outputs(again.result(stem)) == outputs(runner.result(stem))


@pytest.mark.parametrize("stem", STEMS)
def test_a_plain_run_prints_what_the_page_shows(
    stem: str, runner: Runner, settings: Settings, tmp_path: Path
) -> None:
    result = runner.result(stem)
    path = settings.snippet(stem)
    variables = {**os.environ, **environment(settings.threads, settings.store), "MPLBACKEND": "agg"}
    del variables["PYTHONHASHSEED"]  # a plain run has another one every time
    done = subprocess.run(
        [sys.executable, str(path)],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    before_error = itertools.takewhile(lambda cell: not cell.raises, result.cells)
    shown = list(before_error)
    failing = result.cells[len(shown)] if len(shown) < len(result.cells) else None
    expected = "".join(cell.text() for cell in [*shown, *([failing] if failing else [])])
    if not any(cell.volatile for cell in shown):
        assert present.mask(done.stdout, str(settings.root), str(tmp_path)) == expected
    if failing:
        assert done.returncode == 1
        assert failing.error is not None
        assert done.stderr.rstrip().endswith(failing.error["traceback"][-1])
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stem", STEMS)
def test_figures_have_a_glyph_for_every_character(stem: str, runner: Runner) -> None:
    """Matplotlib has no Chinese font of its own; it warns, and draws a box."""
    printed = "".join(cell.text("stderr") for cell in runner.result(stem).cells)
    assert "missing from" not in printed
