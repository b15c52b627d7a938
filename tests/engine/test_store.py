"""The store: whatever happens to it, results are right, and no run fails because of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engine.conftest import MakeProject
from tests.engine.project import Project, cell, failure

from livecell import LivecellError, Result, Runner, run, store
from livecell.store import write_atomically

ONE = "# %% a\nprint('one')\n"


def stored(project: Project, stem: str = "one") -> bool:
    """Whether the result comes from the store; that it is right is asserted on the way."""
    result = project.run(stem, use_store=True)
    assert result.cells[0].text() == "one\n"
    return result.stored


def test_a_result_is_stored_once_and_found_again(make: MakeProject) -> None:
    project = make({"one": ONE})
    assert [stored(project), stored(project), stored(project)] == [False, True, True]
    assert len(project.entries()) == 1


def test_a_stored_result_is_the_same_as_a_fresh_one(make: MakeProject) -> None:
    code = """\
        # %% a
        import sys, numpy
        print("雅可比 \\x00 \\ud800", file=sys.stderr)
        class A:
            def _repr_html_(self): return "<b>"
        A()
        # %% b raises="KeyError" volatile=true
        # zh: 一
        # en: one
        {}["x"]
        """
    project = make({"rich": code}, languages=["zh", "en"])
    fresh = project.run("rich", use_store=True)
    again = project.run("rich", use_store=True)
    assert (fresh.stored, again.stored) == (False, True)
    assert fresh.to_dict() == again.to_dict()
    assert Result.from_dict(json.loads(json.dumps(fresh.to_dict()))) == fresh


def test_the_snippets_own_text_counts(make: MakeProject) -> None:
    project = make({"one": ONE})
    stored(project)
    project.write("one", ONE + "# a comment\n")
    assert not stored(project)
    project.write("one", ONE)
    assert stored(project)


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data.replace(b'"one\\n"', b'"two\\n"')


def another_format(data: bytes) -> bytes:
    head, body = data.split(b"\n", 1)
    return head.replace(f"{store.FORMAT} ".encode(), f"{store.FORMAT + 1} ".encode()) + b"\n" + body


def another_shape(data: bytes) -> bytes:
    return sealed(b'{"stem": "one", "colour": "red"}')


def not_even_a_table(data: bytes) -> bytes:
    return sealed(b"[1, 2]")


def sealed(body: bytes) -> bytes:
    """A body with the checksum it should have."""
    return f"{store.FORMAT} {store.digest(body)}\n".encode() + body


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        flipped,
        another_format,
        another_shape,
        not_even_a_table,
        lambda data: b"",
        lambda data: b"\xff" * len(data),
        lambda data: data + b" ",
        lambda data: data.split(b"\n", 1)[1],
    ],
)
def test_a_damaged_entry_is_no_entry_and_is_replaced(
    make: MakeProject, damage: Callable[[bytes], bytes]
) -> None:
    project = make({"one": ONE})
    stored(project)
    (entry,) = project.entries()
    before = entry.read_bytes()
    entry.write_bytes(damage(before))
    assert entry.read_bytes() != before
    assert not stored(project)
    assert project.entries() == [entry]
    assert stored(project)


def test_the_checksum_is_what_refuses_a_changed_entry(make: MakeProject) -> None:
    """The checks above can fail: with a new checksum the changed entry is believed."""
    project = make({"one": ONE})
    stored(project)
    (entry,) = project.entries()
    entry.write_bytes(sealed(flipped(entry.read_bytes().split(b"\n", 1)[1])))
    result = project.run("one", use_store=True)
    assert result.stored
    assert result.cells[0].text() == "two\n"


def test_an_entry_that_is_a_folder_does_no_harm(make: MakeProject) -> None:
    project = make({"one": ONE})
    stored(project)
    (entry,) = project.entries()
    entry.unlink()
    entry.mkdir()
    assert not stored(project)
    assert project.entries() == []


@pytest.mark.parametrize("obstacle", ["store", "store/results"])
def test_a_store_that_cannot_be_written_fails_nothing(make: MakeProject, obstacle: str) -> None:
    project = make({"one": ONE, "bad": "# %% a\n1 / 0\n"}, store="store")
    file = project.root / obstacle
    file.parent.mkdir(exist_ok=True)
    file.write_text("a file where a folder should be")
    with Runner(project.settings) as runner:
        runner.start(["one", "bad"])
        assert cell(runner.outcome("one"), "a").text() == "one\n"
        assert "ZeroDivisionError" in failure(runner.outcome("bad")).problem
        assert not runner.store.writable
    assert file.read_text() == "a file where a folder should be"


def test_a_full_disk_leaves_no_half_entry(
    make: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    project = make({"one": ONE})
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        assert not stored(project)
        assert project.entries() == []
    assert not stored(project)
    assert stored(project)


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "new" / "entry"
    assert write_atomically(target, b"one")
    assert write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert list(target.parent.iterdir()) == [target]
    assert not write_atomically(target / "below a file", b"three")


def test_failures_are_not_stored(make: MakeProject) -> None:
    project = make({"bad": "# %% a\nprint(1)\n\n# %% b\n1 / 0\n"})
    for _ in range(2):
        with pytest.raises(LivecellError, match="ZeroDivisionError"):
            project.run("bad", use_store=True)
    assert project.entries() == []


DEPENDENT = """\
# %% a
from pathlib import Path
import _helper
from _package.inner import name
data = Path(__file__).parent.parent / "data"
print(_helper.word, name, (data / "words.txt").read_text().strip())
print((data / "maybe.txt").exists())
try:
    print((data / "maybe.txt").read_text())
except FileNotFoundError:
    print("none")
(data / "written.txt").write_text("new")
open("scratch.txt", "w").write("new")
print(open("scratch.txt").read())
"""


@pytest.fixture
def dependent(make: MakeProject) -> Project:
    project = make({"dependent": DEPENDENT})
    project.write("_helper", "import _deeper\nword = _deeper.word\n")
    project.write("_deeper", "word = 'deep'\n")
    project.write("_package/__init__", "")
    project.write("_package/inner", "name = 'inner'\n")
    (project.root / "data").mkdir()
    (project.root / "data/words.txt").write_text("words\n")
    return project


def test_local_modules_and_data_files_are_what_a_result_depends_on(dependent: Project) -> None:
    result = dependent.run("dependent", use_store=True)
    assert result.cells[0].text() == "deep inner words\nFalse\nnone\nnew\n"
    assert set(result.reads) == {
        "snippets/_helper.py",
        "snippets/_deeper.py",
        "snippets/_package/__init__.py",
        "snippets/_package/inner.py",
        "data/words.txt",
        "data/maybe.txt",
    }
    assert result.reads["data/maybe.txt"] is None
    assert dependent.settings.stems() == ["dependent"]


@pytest.mark.parametrize(
    ("file", "content", "shown"),
    [
        ("snippets/_deeper.py", "word = 'shallow'\n", "shallow inner words"),
        ("snippets/_package/inner.py", "name = 'outer'\n", "deep outer words"),
        ("data/words.txt", "other\n", "deep inner other"),
        ("data/maybe.txt", "there\n", "True\nthere"),
    ],
)
def test_a_changed_dependency_is_a_new_run(
    dependent: Project, file: str, content: str, shown: str
) -> None:
    def run() -> Result:
        return dependent.run("dependent", use_store=True)

    before = run()
    assert run().stored
    path = dependent.root / file
    old = path.read_bytes() if path.exists() else None
    path.write_text(content)
    changed = run()
    assert not changed.stored
    assert shown in changed.cells[0].text()
    assert run().stored
    if old is None:
        path.unlink()
    else:
        path.write_bytes(old)
    assert run().to_dict() == before.to_dict()
    assert run().stored


def test_a_warm_runner_notices_a_changed_dependency(dependent: Project) -> None:
    """As under `mkdocs serve`: one runner, many saves."""
    with Runner(dependent.settings) as runner:

        def shown() -> str:
            runner.start(["dependent"])
            return cell(runner.outcome("dependent"), "a").text().splitlines()[0]

        assert shown() == "deep inner words"
        first = runner.outcome("dependent")
        runner.start(["dependent"])
        assert runner.outcome("dependent") is first
        (dependent.root / "data/words.txt").write_text("saved")
        assert shown() == "deep inner saved"
        dependent.write("_helper", "raise ValueError('half-written')\n")
        runner.start(["dependent"])
        error = failure(runner.outcome("dependent"))
        assert (error.line, error.cell) == (3, "a")
        assert 'File "snippets/_helper.py", line 1' in str(error)
        dependent.write("_helper", "word = 'healed'\n")
        assert shown() == "healed inner saved"


def test_stores_of_two_machines_can_be_merged(make: MakeProject, tmp_path: Path) -> None:
    project = make({"one": ONE, "two": ONE.replace("a\n", "b\n", 1)})
    stored(project, "one")
    shutil.move(project.settings.store, tmp_path / "first")
    stored(project, "two")
    shutil.copytree(tmp_path / "first", project.settings.store, dirs_exist_ok=True)
    assert len(project.entries()) == 2
    assert stored(project, "one")
    assert stored(project, "two")


def test_another_version_of_a_package_is_a_new_run(
    make: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make({"one": "# %% a\nif False: import numpy\nprint('one')\n"})
    assert not stored(project)
    assert stored(project)
    with monkeypatch.context() as patch:
        patch.setattr("livecell.versions._version", lambda module: "0.0")
        assert not stored(project)
    assert stored(project)


def test_another_engine_or_thread_count_is_a_new_run(
    make: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make({"one": ONE})
    stored(project)
    with monkeypatch.context() as patch:
        patch.setattr("livecell.run._engine", lambda whole: "another")
        assert not stored(project)
    (project.root / "pyproject.toml").write_text("[tool.livecell]\nthreads = 2\n")
    assert not stored(project)


def test_a_snippet_that_changes_in_mid_run_is_not_mixed_up(make: MakeProject) -> None:
    """The result belongs to the text that ran; the new text is run when asked for."""
    code = """\
        # %% a
        from pathlib import Path
        Path(__file__).write_text("# %% a\\n\\n# why\\n\\nprint('new')\\n")
        print("one")
        """
    project = make({"one": code})
    with Runner(project.settings) as runner:
        runner.start(["one"])
        assert cell(runner.outcome("one"), "a").text() == "one\n"
        runner.start(["one"])
        new = cell(runner.outcome("one"), "a")
        assert (new.text(), new.line) == ("new\n", 3)
    project.write("one", code)
    assert stored(project)


def test_a_snippet_that_calls_the_engine_depends_on_all_of_it() -> None:
    assert run._engine(whole=True) != run._engine(whole=False)
