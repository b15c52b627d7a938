"""No snippet sees another, and a run repeats: same bytes from another fork server."""

from __future__ import annotations

import json
import platform

import numpy
import pytest
from tests.engine.conftest import MakeProject
from tests.engine.project import cell

from livecell import LivecellError, Result, Runner

LEAK = """\
# %% a
import builtins, json, os, random, sys, warnings
print(hasattr(json, "leak"), hasattr(builtins, "leak"), "LEAK" in os.environ)
print(len(warnings.filters), sys.getrecursionlimit(), "leak" in sys.modules)
print(os.listdir("."))
json.leak = builtins.leak = os.environ["LEAK"] = "x"
warnings.simplefilter("error")
sys.setrecursionlimit(5000)
sys.modules["leak"] = json
open("leak.txt", "w").close()
_ = os.umask(0o777)
"""
REPEATS = """\
# %% a
print({"b", "a", "c", "d", "e"}, hash("text"))
import os, sys, time
print(sorted(os.environ) == sorted(set(os.environ)), time.tzname, os.getcwd())
print({object} , object(), [lambda: 0])
"""
TORCH_LEAK = """\
# %% a
import torch
print(torch.get_default_dtype(), torch.is_grad_enabled(), hasattr(torch, "leak"))
print(torch.get_num_threads(), torch.random.initial_seed() == torch.initial_seed())
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.leak = True
# %% b
x = torch.ones(1)
print(x.dtype, torch.is_grad_enabled())
# %% warns_once
y = torch.ones(2, requires_grad=True) if torch.is_grad_enabled() else None
torch.set_grad_enabled(True)
z = torch.ones(1, requires_grad=True) * 2
print(z.grad)
"""


@pytest.mark.parametrize("fork", [True, False])
def test_what_one_snippet_does_no_other_sees(make: MakeProject, fork: bool) -> None:
    project = make({"one": LEAK, "two": LEAK, "three": LEAK})
    stems = project.settings.stems()
    with Runner(project.settings, use_store=False, fork=fork, jobs=1) as runner:
        texts = {cell(runner.outcome(stem), "a").text() for stem in stems}
    assert len(texts) == 1
    assert texts.pop().startswith("False False False\n")


def test_a_leak_would_be_seen(make: MakeProject) -> None:
    """The check above can fail: within one process the second copy does see the first."""
    project = make({"both": LEAK + LEAK.replace("# %% a", "# %% b").replace('"error"', '"ignore"')})
    result = project.run("both")
    assert cell(result, "b").text().startswith("True True True\n")


def test_torch_is_fresh_in_every_snippet(make: MakeProject) -> None:
    """Defaults, modes and warnings that libtorch gives once per process; torch preloaded."""
    project = make({"first": TORCH_LEAK, "second": TORCH_LEAK})
    (project.root / "pyproject.toml").write_text("[[tool.livecell.preload]]\nmodules = ['torch']\n")
    outcomes = project.outcomes()
    one, two = outcomes["first"], outcomes["second"]
    assert cell(one, "a").text() == "torch.float32 True False\n1 True\n"
    assert cell(one, "b").text() == "torch.float64 False\n"
    assert "UserWarning: The .grad attribute of a Tensor" in cell(one, "warns_once").text("stderr")
    assert without_stem(one) == without_stem(two)


def without_stem(outcome: Result | LivecellError) -> str:
    assert isinstance(outcome, Result)
    return json.dumps([part.outputs for part in outcome.cells]).replace(outcome.stem, "stem")


def test_a_run_repeats(make: MakeProject) -> None:
    project = make({"repeats": REPEATS})
    runs = [project.run("repeats", fork=fork) for fork in (True, True, False)]
    outputs = [run.cells[0].outputs for run in runs]
    assert outputs[0] == outputs[1] == outputs[2]
    assert not any(run.stored for run in runs)


def test_a_run_that_does_not_repeat_would_be_noticed(make: MakeProject) -> None:
    """The check above can fail."""
    project = make({"random": "# %% a\nimport random\nprint(random.random())\n"})
    assert project.run("random").cells[0].outputs != project.run("random").cells[0].outputs


def test_the_builders_secrets_are_not_shown(
    make: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "secret")
    project = make({"nosy": "# %% a\nimport os\nprint('DEPLOY_TOKEN' in os.environ)\n"})
    for fork in (True, False):
        assert cell(project.run("nosy", fork=fork), "a").text() == "False\n"


def test_results_say_what_they_were_made_with(make: MakeProject) -> None:
    project = make({"versions": "# %% a\nimport json\nif False:\n    import numpy.linalg\n"})
    result = project.run("versions")
    assert result.versions == {"python": platform.python_version(), "numpy": numpy.__version__}
    assert result.peak_mb > 1
