"""Time limit, processes left behind, builders and fork servers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engine.conftest import MakeProject
from tests.engine.project import Project, cell, failure, is_alive

from livecell import LivecellError, Result, Runner

# Each leaves a process behind that has left its process group, and notes its number.
NOTE = """\
import os, pathlib, subprocess, sys, time
def note(pid):
    file = pathlib.Path(__file__).with_suffix(".pid")
    file.with_suffix(".part").write_text(str(pid))
    file.with_suffix(".part").rename(file)
"""
NEW_SESSION = NOTE + "note(subprocess.Popen(['sleep', '99'], start_new_session=True).pid)\n"
DAEMON = (
    NOTE
    + """\
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note(os.getpid())
        time.sleep(99)
    os._exit(0)
os.wait()
while not pathlib.Path(__file__).with_suffix(".pid").exists():
    time.sleep(0.01)
"""
)
ENDINGS = {
    "ends": "",
    "raises": "1 / 0",
    "exits": "os._exit(3)",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "hangs": "time.sleep(99)",
}
LEAVERS = {
    f"{kind}_{ending}": f"# %% a\n{code}\n# %% b\n{end}\npass\n"
    for kind, code in (("new_session", NEW_SESSION), ("daemon", DAEMON))
    for ending, end in ENDINGS.items()
}
LOOPS = {
    "busy": "# %% a\nx = 1\n\n# %% b\nwhile True:\n    x += 1\n",
    "sleeping": "# %% a\nimport time\n# %% b\n\n\ntime.sleep(99)\n",
    "stubborn": "# %% a\nimport time\n# %% b\nwhile True:\n    try: time.sleep(9)\n"
    "    except BaseException: pass\n",
    "deaf": "# %% a\nimport signal, time\n# %% b\nfor s in range(1, 65):\n"
    "    if s not in (9, 12, 19, 32, 33): signal.signal(s, signal.SIG_IGN)\ntime.sleep(99)\n",
    "waiting": "# %% a\nimport subprocess\n# %% b\nx = 1\nsubprocess.run(['sleep', '99'])\n",
    "called": "# %% a\nimport time\ndef f():\n    x = 1\n    time.sleep(99)\n# %% b\nf()\n",
}
LOOP_LINES = {"busy": (5, 6), "sleeping": (6,), "stubborn": (5,), "deaf": (6,), "waiting": (5,)}
LOOP_LINES["called"] = (5,)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("processes") / "课程"
    good = {"good": "# %% a\nprint('good')\n"}
    return Project.make(root, LEAVERS | LOOPS | good, seconds=3)


@pytest.fixture(scope="module")
def outcomes(project: Project) -> dict[str, Result | LivecellError]:
    return project.outcomes(jobs=10)  # most of them sleep


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_ended_and_its_line_named(
    name: str, outcomes: dict[str, Result | LivecellError]
) -> None:
    error = failure(outcomes[name])
    assert error.problem == "the snippet ran longer than 3 s"
    assert error.line in LOOP_LINES[name]
    assert error.cell == "b"
    assert "endless loop" in str(error)


def test_the_loops_do_no_harm_to_the_others(
    project: Project, outcomes: dict[str, Result | LivecellError]
) -> None:
    assert cell(outcomes["good"], "a").text() == "good\n"
    assert len(project.entries()) == 1


@pytest.mark.parametrize("name", LEAVERS)
def test_nothing_survives_the_snippet(
    name: str, project: Project, outcomes: dict[str, Result | LivecellError]
) -> None:
    error = failure(outcomes[name])
    pid = int(project.settings.snippet(name).with_suffix(".pid").read_text())
    assert not is_alive(pid)
    ending = name.rpartition("_")[2]
    problem = {
        "ends": "1 child process(es) still running after the last cell",
        "raises": "the cell raised ZeroDivisionError: division by zero",
        "exits": "the process ended with exit code 3 in mid-run",
        "crashes": "the process died of SIGSEGV",
        "hangs": "the snippet ran longer than 3 s",
    }
    assert (error.problem, error.cell) == (problem[ending], "b")


def test_a_survivor_would_be_noticed() -> None:
    """The checker itself can fail."""
    child = subprocess.Popen(["sleep", "99"])
    assert is_alive(child.pid)
    child.kill()
    child.wait()
    assert not is_alive(child.pid)


@pytest.mark.parametrize("kind", [NEW_SESSION, DAEMON], ids=["new_session", "daemon"])
def test_nothing_survives_without_a_fork_server(make: MakeProject, kind: str) -> None:
    project = make({"leaver": f"# %% a\n{kind}"})
    assert "child process(es) still running" in str(project.outcomes(fork=False)["leaver"])
    assert not is_alive(int(project.settings.snippet("leaver").with_suffix(".pid").read_text()))


def wait_for(condition: Callable[[], object], what: str) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail(f"in 30 s not: {what}")


BUILD = """
import sys
from pathlib import Path
from livecell import Runner, Settings
settings = Settings.load(Path(sys.argv[1]))
with Runner(settings) as runner:
    runner.start(settings.stems())
    for stem in settings.stems():
        print(stem, runner.outcome(stem).cells[0].outputs)
"""


def build(project: Project, folder: Path) -> subprocess.Popen[str]:
    """A builder of its own, with `folder` for its temporary files."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(project.root)],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files; unlike tmp_path short enough for a socket."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_killed_build_leaves_nothing_behind(make: MakeProject, folder: Path) -> None:
    """No process, no half entry, no temporary file; and the next build works."""
    waiting = NOTE + "go = pathlib.Path(__file__).with_name('go')\nnote(os.getpid())\n"
    waiting += "while not go.exists(): time.sleep(0.01)\nprint('done')\n"
    project = make({"waiting": "# %% a\n" + waiting, "leaver": f"# %% a\n{DAEMON}time.sleep(99)\n"})
    pids = [project.settings.snippet(stem).with_suffix(".pid") for stem in ("waiting", "leaver")]
    builder = build(project, folder)
    wait_for(lambda: all(file.exists() for file in pids), "both snippets run")
    assert list(folder.iterdir())
    builder.kill()
    builder.communicate()
    for file in pids:
        wait_for(lambda: not is_alive(int(file.read_text())), f"{file.name} is gone")  # noqa: B023
    wait_for(lambda: not list(folder.iterdir()), "the temporary files are gone")
    assert project.entries() == []

    project.settings.snippet("leaver").unlink()
    project.settings.snippet("go").with_suffix("").touch()
    output, _ = build(project, folder).communicate()
    assert "done" in output
    assert len(project.entries()) == 1
    assert not list(folder.iterdir())


@pytest.mark.parametrize("entries", [1, 3, 6])
def test_a_build_killed_at_any_moment_leaves_whole_entries_only(
    make: MakeProject, folder: Path, entries: int
) -> None:
    project = make({f"s{i}": f"# %% a\nprint({i})\n" for i in range(12)})
    builder = build(project, folder)

    def whole_entries() -> list[Path]:  # one that is being written has another name
        return [path for path in project.entries() if path.suffix == ".json"]

    wait_for(lambda: len(whole_entries()) >= entries, f"{entries} entries")
    builder.kill()
    builder.communicate()
    whole = whole_entries()
    with Runner(project.settings) as runner:
        stems = project.settings.stems()
        runner.start(stems)
        results = [runner.result(stem) for stem in stems]
    assert [result.cells[0].text() for result in results] == [f"{s[1:]}\n" for s in stems]
    assert sum(result.stored for result in results) == len(whole) >= entries


def test_two_builds_at_once_share_a_store(make: MakeProject, folder: Path) -> None:
    """Both run each snippet at the same time, and wait for each other while they do."""
    rendezvous = """\
        # %% a
        import os, pathlib, time
        here = pathlib.Path(__file__)
        here.with_suffix(f".{os.getppid()}").touch()
        while len(list(here.parent.glob(here.stem + ".*"))) < 3:
            time.sleep(0.01)
        print("met")
        """
    project = make({"one": rendezvous, "two": rendezvous})
    builders = [build(project, folder), build(project, folder)]
    outputs = [builder.communicate()[0] for builder in builders]
    assert outputs[0] == outputs[1]
    assert outputs[0].count("met") == 2
    assert [path.suffix for path in project.entries()] == [".json", ".json"]
    assert project.run("one", use_store=True).stored


def test_a_stopped_build_does_not_wait_for_the_time_limit(make: MakeProject) -> None:
    sleeper = f"# %% a\n{NOTE}note(os.getpid())\ntime.sleep(99)\n"
    for fork in (True, False):
        project = make({"sleeper": sleeper, "waiter": sleeper})
        file = project.settings.snippet("sleeper").with_suffix(".pid")
        file.unlink(missing_ok=True)
        with Runner(project.settings, fork=fork, jobs=1) as runner:
            runner.start(["sleeper", "waiter"])
            wait_for(file.exists, "the snippet runs")
        for stem in ("sleeper", "waiter"):
            assert "the build was stopped" in str(runner.outcome(stem))
        assert not is_alive(int(file.read_text()))
        assert project.entries() == []


def test_a_killed_fork_server_is_replaced(make: MakeProject) -> None:
    kill = (
        "# %% a\nimport os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(99)\n"
    )
    project = make({"killer": kill, "good": "# %% a\nprint('good')\n"})
    with Runner(project.settings, jobs=1) as runner:
        assert "the fork server died" in failure(runner.outcome("killer")).problem
        assert cell(runner.outcome("good"), "a").text() == "good\n"


def stages(*modules: tuple[list[str], str]) -> list[dict[str, object]]:
    return [{"modules": names, "when": when} for names, when in modules]


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_preload_that_fails_is_an_error_for_those_who_need_it(
    make: MakeProject, broken: int
) -> None:
    needs = {f"stage_{i}": f"# %% a\nprint({i})  # wants {i}\n" for i in range(3)}
    project = make(needs)
    lists = [[], ["colorsys"], ["wave"]]
    lists[broken] = ["no_such_module"]
    text = "[tool.livecell]\n"
    for i, modules in enumerate(lists):
        text += f"[[tool.livecell.preload]]\nmodules = {modules}\nwhen = 'wants {i}'\n"
    (project.root / "pyproject.toml").write_text(text)
    outcomes = project.outcomes()
    for i in range(broken):
        assert cell(outcomes[f"stage_{i}"], "a").text() == f"{i}\n"
    for i in range(broken, 3):
        error = failure(outcomes[f"stage_{i}"])
        assert error.problem == "the fork server could not start"
        assert "No module named 'no_such_module'" in str(error)


def test_stages_change_nothing_but_the_speed(make: MakeProject) -> None:
    """Each snippet runs in the last stage that it matches, and gives what it gives without."""
    code = "# %% a\nimport sys\nprint('wave' in sys.modules, 'colorsys' in sys.modules)\n"
    project = make({"plain": code, "second": code + "# wants wave\n"})
    (project.root / "pyproject.toml").write_text(
        "[[tool.livecell.preload]]\nmodules = ['colorsys']\n"
        "[[tool.livecell.preload]]\nmodules = ['wave']\nwhen = 'wants wave'\n"
    )
    outcomes = project.outcomes()
    assert cell(outcomes["plain"], "a").text() == "False True\n"
    assert cell(outcomes["second"], "a").text() == "True True\n"


def test_a_long_temporary_folder_is_no_obstacle(make: MakeProject, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    project = make({"good": "# %% a\nprint('good')\n"})
    assert "good" in build(project, folder).communicate()[0]


def test_signals_of_the_terminal_do_not_reach_the_snippets(make: MakeProject, folder: Path) -> None:
    """Ctrl-C ends the builder in order; what it ran is gone, too."""
    project = make({"sleeper": f"# %% a\n{NOTE}note(os.getpid())\ntime.sleep(99)\n"})
    file = project.settings.snippet("sleeper").with_suffix(".pid")
    builder = build(project, folder)
    wait_for(file.exists, "the snippet runs")
    builder.send_signal(signal.SIGINT)
    builder.communicate()
    assert not is_alive(int(file.read_text()))
    assert not list(folder.iterdir())
    assert project.entries() == []
